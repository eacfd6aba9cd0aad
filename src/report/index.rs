//! The first page of a report: what was counted, against what it was checked, what is not covered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use provost_evidence::count::{counted, number};
use provost_evidence::facts::{Facts, Rule, Scope};
use provost_evidence::html;
use provost_evidence::table::Table;
use provost_evidence::tables::{self, Query};
use provost_manifest::escape;

mod counts;
mod forge;

use self::counts::{Commits, Objects};
use self::forge::ForgeRead;
use super::cluster;
use super::recorded::Recorded;

/// Gaps listed on the first page; facts/gaps.csv has all.
const MAX_GAPS: usize = 50;

const VERDICTS: [&str; 4] = ["pass", "fail", "exception", "unknown"];

/// What no report on Git alone has.
const NOT_COVERED: &[&str] = &[
    "Who reviewed and approved, who pushed, and what the forge enforced: Git does not know.",
    "When a commit reached the branch: Git does not record it.",
];
/// What is missing of a report for which a forge was asked.
const NOT_COVERED_BY_THE_FORGE: &[&str] = &[
    "Who pushed what no pull request holds, and when: the forge's lists do not have it.",
    "What the forge asked for before its rules were last edited, and who could do what before it was read: it keeps \
     neither. Who administrates the whole server may do everything and is not listed.",
];

const NO_LEDGER: &str =
    "What was judged, deployed and drifted, and when the webhook worked: no ledger was read (--ledger).";

/// The numbers of the first page, counted once, from the rows.
#[derive(Debug)]
pub(super) struct Index {
    scope: Scope,
    root_commits: Vec<String>,
    commits: Commits,
    objects: Objects,
    gaps: Vec<(String, String, String)>,
    guarded: u64,
    tables: Vec<Counted>,
    rules: Vec<Rule>,
    forge: Option<ForgeRead>,
    recorded: Option<Recorded>,
}

/// A table, counted.
#[derive(Debug)]
struct Counted {
    name: String,
    rows: usize,
    /// By verdict; none where the table tests nothing.
    verdicts: BTreeMap<String, u64>,
}

// === impl Index ===

impl Index {
    pub(super) fn of(facts: &Facts, tables: &[(Query<'_>, Table)], walked_again: u64, guarded: u64) -> Self {
        let table = |name| {
            let found = tables.iter().find(|(query, _)| query.name == name);
            found.map(|(_, table)| table)
        };
        let roots = facts
            .commits
            .iter()
            .filter(|commit| commit.in_revision && commit.parent_count == 0);
        let mut root_commits: Vec<String> = roots.map(|commit| commit.commit_id.clone()).collect();
        root_commits.sort();
        let mut gaps: Vec<_> = facts
            .gaps
            .iter()
            .map(|gap| (gap.source.clone(), gap.item.clone(), gap.reason.clone()))
            .collect();
        gaps.sort();
        let mut rules = facts.rules.clone();
        rules.sort();
        Self {
            scope: facts.scope.first().cloned().unwrap_or_default(),
            root_commits,
            commits: Commits::of(table("commits"), facts, walked_again),
            objects: Objects::of(table("objects"), facts),
            gaps,
            guarded,
            tables: tables.iter().map(|(_, table)| Counted::of(table)).collect(),
            rules,
            forge: ForgeRead::of(facts),
            recorded: Recorded::of(table("admissions"), facts),
        }
    }

    /// The most important lines, for a terminal.
    pub(super) fn summary(&self) -> String {
        let Self { commits, objects, .. } = self;
        let mut text = String::new();
        let _ = writeln!(text, "{}", self.title());
        let _ = writeln!(text, "{}", commits.sentence());
        let _ = writeln!(text, "{}", objects.sentence(self.scope.cluster.is_some()));
        let _ = writeln!(text, "{}", commits.completeness());
        if let Some(forge) = &self.forge {
            let _ = writeln!(text, "{}", forge.sentence());
        }
        for line in self.recorded.iter().flat_map(Recorded::sentences) {
            let _ = writeln!(text, "{line}");
        }
        if !self.gaps.is_empty() {
            let _ = writeln!(
                text,
                "Not covered: {}; see README.md, Not covered.",
                plural(self.gaps.len(), "gap")
            );
        }
        text
    }

    /// README.md.
    pub(super) fn page(&self) -> String {
        let mut page = String::from("# Evidence: objects and commits\n\n");
        for (index, line) in self.summary().lines().enumerate() {
            let _ = match index {
                0 => writeln!(page, "{}\n", escape::markdown(line)),
                _ => writeln!(page, "- {}", escape::markdown(line)),
            };
        }
        if let Some(seed) = &self.scope.sample_seed {
            let _ = writeln!(
                page,
                "- A sample of changes was drawn with the seed {}: dossiers/README.md.",
                escape::markdown(seed)
            );
        }
        page.push_str(
            "\nGUIDE.md says what each file is, what its columns mean and how to make the tables again without us.\n",
        );
        self.counted_tables(&mut page);
        self.population(&mut page);
        self.rules(&mut page);
        self.reconciliation(&mut page);
        self.not_covered(&mut page);
        page
    }

    /// index.html: the same for a browser and for paper.
    pub(super) fn html(&self) -> String {
        let mut body = String::from("<ul>\n");
        for line in self.summary().lines() {
            let _ = writeln!(body, "<li>{}</li>", html::text(line));
        }
        body.push_str(
            "</ul>\n<p><a href=\"README.md\">README.md</a> says what was counted, against what the counts were checked, \
             and what is not covered; <a href=\"GUIDE.md\">GUIDE.md</a> what each file is and how to make the tables \
             again.</p>\n<table>\n<thead>\n<tr><th scope=\"col\">table</th><th scope=\"col\">rows</th>",
        );
        for verdict in VERDICTS {
            let _ = write!(body, "<th scope=\"col\">{verdict}</th>");
        }
        body.push_str("</tr>\n</thead>\n<tbody>\n");
        for table in &self.tables {
            let name = html::text(&table.name);
            let _ = write!(
                body,
                "<tr><th scope=\"row\"><a href=\"{name}.html\">{name}</a></th><td class=\"n\">{}</td>",
                number(table.rows as u64)
            );
            for verdict in VERDICTS {
                let _ = write!(body, "<td class=\"n\">{}</td>", table.verdict(verdict));
            }
            body.push_str("</tr>\n");
        }
        body.push_str("</tbody>\n</table>\n<h2>Not covered</h2>\n<ul>\n");
        for sentence in self.not_covered_always() {
            let _ = writeln!(body, "<li>{}</li>", html::text(sentence));
        }
        for (source, item, reason) in self.gaps.iter().take(MAX_GAPS) {
            let reason = escape::shorten(reason, 300);
            let _ = writeln!(
                body,
                "<li>{}</li>",
                html::text(&format!("{source} {item}: {reason}"))
            );
        }
        body.push_str("</ul>\n");
        html::page("Evidence", &body)
    }

    fn counted_tables(&self, page: &mut String) {
        page.push_str(
            "\n## Tables\n\n| table | rows | pass | fail | exception | unknown |\n\
             | --- | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for table in &self.tables {
            let _ = write!(page, "| {} | {}", escape::markdown(&table.name), table.rows);
            for verdict in VERDICTS {
                let _ = write!(page, " | {}", table.verdict(verdict));
            }
            page.push_str(" |\n");
        }
        page.push_str(
            "\nA table without verdicts shows and does not test. Unknown is not a pass: it could not be determined.\n",
        );
    }

    fn title(&self) -> String {
        let Scope {
            revision,
            revision_asked,
            period_from,
            period_to,
            cluster,
            ..
        } = &self.scope;
        let period = match (period_from, period_to) {
            (None, None) => "all of its history".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (None, Some(to)) => format!("up to {to}, end excluded"),
            (Some(from), Some(to)) => format!("{from} to {to}, end excluded"),
        };
        let cluster = cluster
            .as_ref()
            .map_or_else(|| "no cluster".to_owned(), |uid| format!("cluster {uid}"));
        format!(
            "Population of commits and objects · revision {revision} ({}) · {period} · {cluster}",
            escape::line(revision_asked)
        )
    }

    fn population(&self, page: &mut String) {
        page.push_str("\n## Population\n\n");
        let roots: Vec<&str> = self.root_commits.iter().map(String::as_str).collect();
        let _ = writeln!(
            page,
            "- The repository is the one whose history begins with {}.",
            if roots.is_empty() {
                "no commit".to_owned()
            } else {
                roots.join(", ")
            }
        );
        page.push_str(
            "- Commits: every commit that the revision reaches by any parent, not only along the first. The period is \
             cut on the committer's date. Git takes it from whoever commits: it is claimed, not recorded by anybody \
             else, and so are names and addresses.\n\
             - Files of a commit: those that differ from its first parent, of a merge too. A renamed file is one \
             deleted and one added.\n\
             - Changes: the steps of the first-parent line, each with all commits that it brought on to the line. So \
             every commit belongs to one change, and a period has the changes whose own commit is in it.\n\
             - Pull requests: numbers that the subjects of merges and squashed commits name. They are hints, which who \
             merges may edit.\n",
        );
        let asked = match &self.forge {
            None => "- A forge was not asked.\n".to_owned(),
            Some(forge) => format!(
                "- The forge {} was asked for every merged pull request (GET pulls?state=closed, to its last page), and for \
                 everything about those that were merged in the period or became a change of it. Its answers are in the \
                 folder forge/.\n",
                escape::markdown(&forge.url)
            ),
        };
        page.push_str(&asked);
        let objects = &self.objects;
        if self.scope.cluster.is_none() {
            page.push_str("- Objects: those that are written in YAML and JSON files of the revision. No cluster was read.\n");
            return;
        }
        page.push_str(
            "- Objects: every live object of the namespaces for which an inventory has entries, and the cluster-scoped \
             objects that inventories name. An object that a controller made is traced to the object at the end of \
             its chain of controllers. Only metadata was read.\n",
        );
        page.push_str("- Never listed: ");
        let never: Vec<String> = cluster::NEVER_LISTED
            .iter()
            .map(|(kind, reason)| format!("{} ({reason})", escape::markdown(kind)))
            .collect();
        let _ = writeln!(page, "{}.", never.join(", "));
        for (reason, count) in &objects.excluded {
            let _ = writeln!(
                page,
                "- Listed, and not in the population: {count} ({}).",
                escape::markdown(reason)
            );
        }
    }

    /// By which rules changes were judged.
    fn rules(&self, page: &mut String) {
        page.push_str("\n## Rules in force\n\n");
        for rule in &self.rules {
            let file = if rule.rules == "defaults" {
                "Defaults, where there was no .provost/rules.yaml".to_owned()
            } else {
                format!(".provost/rules.yaml, blob {}", rule.rules)
            };
            let review = match &self.forge {
                None => String::new(),
                Some(_) => format!(
                    " It needs {} of somebody with no hand in it{}.",
                    counted(rule.approvals, "approval"),
                    if rule.separate_merger {
                        ", and another such to merge it"
                    } else {
                        ""
                    }
                ),
            };
            let _ = writeln!(
                page,
                "- {file}: the words of a change need {}.{review}",
                if rule.documentation.is_empty() {
                    "nothing"
                } else {
                    &rule.documentation
                }
            );
        }
        page.push_str("- A change is judged by the version before it.\n");
    }

    fn reconciliation(&self, page: &mut String) {
        let Self {
            commits,
            objects,
            scope,
            ..
        } = self;
        page.push_str("\n## Counts, and what they were checked against\n\n");
        page.push_str("| what | here | there | equal | there is |\n| --- | ---: | ---: | --- | --- |\n");
        let mut row = |what: &str, here: u64, there: u64, source: &str| {
            let equal = if here == there { "yes" } else { "NO" };
            let _ = writeln!(page, "| {what} | {here} | {there} | {equal} | {source} |");
        };
        let command = if scope.period_from.is_none() && scope.period_to.is_none() {
            format!("a second walk: `git rev-list --count {}`", scope.revision)
        } else {
            format!(
                "a second walk: `git log --format=%ct {}`, counted within the period",
                scope.revision
            )
        };
        row(
            "rows of commits",
            commits.rows as u64,
            commits.walked_again,
            &command,
        );
        row(
            "commits that belong to a change, of all times",
            commits.in_changes as u64,
            commits.reached as u64,
            "commits that the revision reaches",
        );
        if let Some(forge) = &self.forge {
            row(
                "pull requests of the period, on the branch",
                forge.on_line as u64,
                forge.merged as u64,
                "the forge's list of what was merged into the branch",
            );
        }
        if let Some(recorded) = &self.recorded {
            row(
                "rows of admissions",
                recorded.rows,
                recorded.evaluations + recorded.never_evaluated + recorded.seen_only,
                "evaluations in the ledger, and writes without one",
            );
        }
        if scope.cluster.is_some() {
            let excluded: usize = objects.excluded.iter().map(|(_, count)| count).sum();
            row(
                "rows of objects, and excluded",
                (objects.rows + excluded) as u64,
                objects.live as u64,
                "objects listed",
            );
            let live = objects.inventory - objects.inventory_not_live;
            row(
                "inventory entries live, and not live",
                (live + objects.inventory_not_live) as u64,
                objects.inventory as u64,
                "entries of all inventories",
            );
        } else {
            row(
                "rows of objects",
                objects.rows as u64,
                objects.manifests as u64,
                "facts/manifests.csv",
            );
        }
        let origins = objects.in_git + objects.by_application + objects.not_in_git + objects.not_known;
        row(
            "in Git, by Application, not in Git and not known",
            origins as u64,
            objects.rows as u64,
            "rows of objects",
        );
        let _ = writeln!(
            page,
            "\n{} defused in the *.excel.csv files, which are for spreadsheets; the other files are exact.",
            plural(usize::try_from(self.guarded).unwrap_or(usize::MAX), "cell")
        );
    }

    fn not_covered_always(&self) -> impl Iterator<Item = &'static str> {
        let of_git = if self.forge.is_some() {
            NOT_COVERED_BY_THE_FORGE
        } else {
            NOT_COVERED
        };
        let without_ledger = self.recorded.is_none().then_some(NO_LEDGER);
        of_git.iter().copied().chain(without_ledger)
    }

    fn not_covered(&self, page: &mut String) {
        page.push_str("\n## Not covered\n\n");
        for sentence in self.not_covered_always() {
            let _ = writeln!(page, "- {sentence}");
        }
        for (source, item, reason) in self.gaps.iter().take(MAX_GAPS) {
            let _ = writeln!(
                page,
                "- {source} {}: {}",
                escape::markdown(item),
                escape::markdown(&escape::shorten(reason, 300))
            );
        }
        if self.gaps.len() > MAX_GAPS {
            let _ = writeln!(page, "- {} more: facts/gaps.csv.", self.gaps.len() - MAX_GAPS);
        }
    }
}

// === impl Counted ===

impl Counted {
    fn of(table: &Table) -> Self {
        Self {
            name: table.name.clone(),
            rows: table.rows.len(),
            verdicts: tables::verdicts(table),
        }
    }

    /// The number of rows with a verdict; nothing where the table tests nothing.
    fn verdict(&self, verdict: &str) -> String {
        if self.verdicts.is_empty() {
            return String::new();
        }
        self.verdicts
            .get(verdict)
            .copied()
            .unwrap_or_default()
            .to_string()
    }
}

fn plural(count: usize, noun: &str) -> String {
    counted(count as u64, noun)
}
