//! Facts: what capture found in Git and in the cluster, typed, before anything is concluded from it.
//!
//! Each type is one CSV file, facts/NAME.csv, whose columns are its fields in order. Times are RFC 3339 in UTC with
//! milliseconds, commits and UIDs as their systems write them, truth is `true` or `false`, and no value is an empty
//! cell. An object is named as `Kind.group namespace/name` (`Deployment.apps shop/my-app`, `Service shop/web`,
//! `Namespace shop`), which is the key that joins what is live, what was applied and what is written in files.

use std::fmt::Write as _;

use crate::table::{Cell, ColumnType, FromCell, HasColumnType, Table};

pub use self::changes::{PullRequest, Revert, Rule, Signature, Trailer, Words};
pub use self::recorded::{
    ControlInterval, DriftSeen, Evaluation, EvaluationRule, LedgerChain, PolicyInForce, SampleTaken,
    SyncChange, SyncRun, Write, WriteReview,
};

pub use self::forge::{
    Forge, ForgeAccess, ForgeAnswer, ForgeCheck, ForgeContributor, ForgeProtection, ForgePull, ForgePullStep,
    ForgeReview, IdentityLink,
};

/// A row of a facts file.
pub trait Fact: Ord {
    /// The file's name, without `.csv`.
    const NAME: &'static str;
    /// The columns.
    const COLUMNS: &'static [&'static str];
    /// What each column holds.
    const TYPES: &'static [ColumnType];
    /// By which columns queries look rows up.
    const KEY: &'static [&'static str];
    /// By which other column, where there is one.
    const SECOND_KEY: &'static [&'static str];

    /// The row.
    fn cells(&self) -> Vec<Cell>;

    /// The fact of a row as a CSV file has it: all text, and no value is an empty cell.
    fn from_cells(cells: &[Cell]) -> Option<Self>
    where
        Self: Sized;
}

/// The facts of a table that was read from a CSV file; `None` where it is of another form.
pub fn from_table<F: Fact>(table: &Table) -> Option<Vec<F>> {
    let is_same = table
        .columns
        .iter()
        .map(String::as_str)
        .eq(F::COLUMNS.iter().copied());
    if !is_same {
        return None;
    }
    table.rows.iter().map(|row| F::from_cells(row)).collect()
}

/// Everything that a report is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What was asked.
    pub scope: Vec<Scope>,
    /// Commits.
    pub commits: Vec<Commit>,
    /// Pull requests that commits name.
    pub pull_requests: Vec<PullRequest>,
    /// Files that commits changed.
    pub commit_files: Vec<CommitFile>,
    /// Files, and the commits that last changed them.
    pub files: Vec<File>,
    /// Objects in files.
    pub manifests: Vec<Manifest>,
    /// Objects that the agent applied.
    pub inventory: Vec<InventoryEntry>,
    /// Objects in the cluster.
    pub live_objects: Vec<LiveObject>,
    /// Steps of the first-parent line.
    pub steps: Vec<Step>,
    /// Rules that were in force.
    pub rules: Vec<Rule>,
    /// What the words of steps hold.
    pub words: Vec<Words>,
    /// Trailers of messages.
    pub trailers: Vec<Trailer>,
    /// Signatures of commits.
    pub signatures: Vec<Signature>,
    /// Commits that undo others.
    pub reverts: Vec<Revert>,
    /// The forge.
    pub forge: Vec<Forge>,
    /// Merged pull requests.
    pub forge_pulls: Vec<ForgePull>,
    /// The steps that they became.
    pub forge_pull_steps: Vec<ForgePullStep>,
    /// Who had a hand in them.
    pub forge_contributors: Vec<ForgeContributor>,
    /// Their reviews.
    pub forge_reviews: Vec<ForgeReview>,
    /// What was checked of them.
    pub forge_checks: Vec<ForgeCheck>,
    /// What the forge asks for.
    pub forge_protections: Vec<ForgeProtection>,
    /// Who may do what.
    pub forge_access: Vec<ForgeAccess>,
    /// What the forge answered.
    pub forge_answers: Vec<ForgeAnswer>,
    /// Who is who.
    pub identity_links: Vec<IdentityLink>,
    /// Chains of the ledger.
    pub ledger_chains: Vec<LedgerChain>,
    /// What the webhook judged.
    pub evaluations: Vec<Evaluation>,
    /// Rules that did not pass.
    pub evaluation_rules: Vec<EvaluationRule>,
    /// Requests to write.
    pub writes: Vec<Write>,
    /// Their evaluations.
    pub write_reviews: Vec<WriteReview>,
    /// What the agent synced.
    pub syncs: Vec<SyncRun>,
    /// Changes that syncs brought.
    pub sync_changes: Vec<SyncChange>,
    /// Objects that were not as Git says.
    pub drifts: Vec<DriftSeen>,
    /// Policies in force.
    pub policies_in_force: Vec<PolicyInForce>,
    /// When the components worked.
    pub control_intervals: Vec<ControlInterval>,
    /// Samples of the recorder.
    pub samples: Vec<SampleTaken>,
    /// What frameworks ask for.
    pub controls: Vec<Control>,
    /// Which tables evidence it.
    pub control_tables: Vec<ControlTable>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Declares a fact: its type, its file and its columns are one list.
macro_rules! fact {
    ($(#[$doc:meta])* $name:ident in $file:literal by ($($key:ident),*) $(and ($second:ident))? {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Fact for $name {
            const NAME: &'static str = $file;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];
            const TYPES: &'static [ColumnType] = &[$(<$type as HasColumnType>::TYPE),*];
            const KEY: &'static [&'static str] = &[$(stringify!($key)),*];
            const SECOND_KEY: &'static [&'static str] = &[$(stringify!($second))?];

            fn cells(&self) -> Vec<Cell> {
                vec![$(Cell::from(&self.$field)),*]
            }

            fn from_cells(cells: &[Cell]) -> Option<Self> {
                let mut cells = cells.iter();
                $(let $field = <$type as FromCell>::from_cell(cells.next()?)?;)*
                Some(Self { $($field,)* })
            }
        }
    };
}

mod changes;
mod forge;
mod recorded;

fact! {
    /// What the report was asked: one row.
    Scope in "scope" by () {
        /// The commit that the population is counted from.
        revision: String,
        /// The revision as it was asked for.
        revision_asked: String,
        /// Where the period begins.
        period_from: Option<String>,
        /// Where it ends; the end itself is not in it.
        period_to: Option<String>,
        /// UID of the namespace kube-system, which is the cluster's identity; none for a repository alone.
        cluster: Option<String>,
        /// Whether a ledger was read.
        has_ledger: bool,
        /// How many changes were to be sampled; none where no sample was asked for.
        sample_size: Option<u64>,
        /// The seed of the sample.
        sample_seed: Option<String>,
    }
}

fact! {
    /// A commit. Author and committer are text that their clients set: claimed, not proven.
    Commit in "commits" by (commit_id) and (step) {
        /// Its id.
        commit_id: String,
        /// Its parents in order, joined by `; `.
        parents: String,
        /// How many they are.
        parent_count: u64,
        /// Id of its tree.
        tree: String,
        /// Who wrote the change.
        author_name: String,
        /// Their address.
        author_email: String,
        /// When, as they say.
        authored_at: Option<String>,
        /// Who made the commit.
        committer_name: String,
        /// Their address.
        committer_email: String,
        /// When, as they say.
        committed_at: Option<String>,
        /// The message's first paragraph, in one line.
        subject: String,
        /// Whether the report's revision reaches it; others are there because an Application is synced to them.
        in_revision: bool,
        /// Whether it is on the first-parent line of the report's revision.
        on_first_parent_line: bool,
        /// The merge that brought it in and that names a pull request; none for what is on the line itself.
        brought_in_by: Option<String>,
        /// The commit of the first-parent line that brought it on to the line; itself, where it is on the line; none
        /// where the revision doesn't reach it.
        step: Option<String>,
    }
}

fact! {
    /// A step of the first-parent line of the report's revision, in the period: a move of the branch, as far as Git
    /// tells.
    Step in "steps" by (step) {
        /// The commit on the line.
        step: String,
        /// The one before it on the line; none for a root.
        before: Option<String>,
        /// `no merge`, `automatic` (a merge as Git makes it by itself), `conflicts` (somebody decided between two sides),
        /// `other` (not the tree that merging gives) or `octopus` (more than two parents).
        merge: String,
        /// Files that differ.
        files: u64,
        /// Lines that came.
        additions: u64,
        /// Lines that went.
        deletions: u64,
        /// SHA-256 of what `git diff-tree -r -z --no-renames --no-abbrev BEFORE STEP` prints.
        diff_sha256: String,
        /// The rules in force before it: the blob of .provost/rules.yaml, or `defaults`; none where they can't be read.
        rules: Option<String>,
    }
}

fact! {
    /// A file that a commit changed, against its first parent.
    CommitFile in "commit_files" by (commit_id, path) {
        /// The commit.
        commit_id: String,
        /// The file.
        path: String,
        /// `added`, `changed` or `deleted`; a renamed file is deleted and added.
        change: String,
    }
}

fact! {
    /// A file of a revision.
    File in "files" by (revision, path) {
        /// The revision.
        revision: String,
        /// The file.
        path: String,
        /// The commit that last changed it: `git log -1 --format=%H REVISION -- PATH`.
        last_commit: String,
    }
}

fact! {
    /// An object that is written in a file of the report's revision.
    Manifest in "manifests" by (path) {
        /// The file.
        path: String,
        /// The line on which it begins.
        line: u64,
        /// The object.
        object: String,
        /// Its API group.
        api_group: Option<String>,
        /// Its API version.
        version: String,
        /// Its kind.
        kind: String,
        /// Its namespace, where it says one.
        namespace: Option<String>,
        /// Its name.
        name: String,
    }
}

fact! {
    /// An object that the agent applied, from an Inventory.
    InventoryEntry in "inventory" by (object) {
        /// The object.
        object: String,
        /// The Application, `namespace/name`.
        application: String,
        /// Its UID, once the agent had seen it.
        uid: Option<String>,
        /// Repository URL.
        repository: String,
        /// The commit that it was rendered from.
        revision: String,
        /// The file that it is written in.
        file: Option<String>,
        /// The sync option that asked for it, where no file declares it.
        sync_option: Option<String>,
    }
}

fact! {
    /// An object in the cluster.
    LiveObject in "live_objects" by (object) {
        /// The object.
        object: String,
        /// Its UID.
        uid: String,
        /// Its API group.
        api_group: Option<String>,
        /// Its API version.
        version: String,
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// When it was made.
        created_at: Option<String>,
        /// The object at the end of the chain of controllers that own it; itself, where none does.
        root: String,
        /// The UID of that one.
        root_uid: String,
        /// Why it is not in the population, where it isn't.
        excluded: Option<String>,
    }
}

fact! {
    /// What a framework asks for. Its words are ours: the texts of most frameworks are their publishers'.
    Control in "controls" by (framework, control) {
        /// The framework.
        framework: String,
        /// Its edition.
        framework_version: String,
        /// Where the control stands in its file.
        position: u64,
        /// The control's id, as the framework writes it.
        control: String,
        /// What it asks for.
        asks: String,
        /// `full`, `partial` or `supporting`: how much of what is usually tested the tables hold; none where nothing
        /// here evidences it.
        strength: Option<String>,
        /// What has to come from elsewhere.
        not_evidenced: Option<String>,
    }
}

fact! {
    /// A table that evidences a control.
    ControlTable in "control_tables" by (framework, control) {
        /// The framework.
        framework: String,
        /// The control.
        control: String,
        /// The table.
        table_name: String,
    }
}

fact! {
    /// Something that the report should cover and does not.
    Gap in "gaps" by () {
        /// `file`, `kind`, `commit` or `forge`.
        source: String,
        /// Which.
        item: String,
        /// Why.
        reason: String,
    }
}

// === impl Facts ===

/// What is done for each kind of fact, in the order in which they are loaded.
macro_rules! for_each_fact {
    ($($field:ident: $fact:ident),* $(,)?) => {
        impl Facts {
            /// Each kind of fact as a table, its rows sorted, so that the order in which they were found doesn't matter.
            pub fn tables(&self) -> Vec<Table> {
                vec![$(table::<$fact>(&self.$field)),*]
            }
        }

        /// schema.sql: types the facts, once each was loaded as `csv_NAME`.
        pub fn schema() -> String {
            let mut sql = String::from(SCHEMA_HEAD);
            $(sql.push_str(&schema_of::<$fact>());)*
            sql
        }
    };
}

for_each_fact! {
    scope: Scope,
    commits: Commit,
    pull_requests: PullRequest,
    commit_files: CommitFile,
    files: File,
    manifests: Manifest,
    inventory: InventoryEntry,
    live_objects: LiveObject,
    steps: Step,
    rules: Rule,
    words: Words,
    trailers: Trailer,
    signatures: Signature,
    reverts: Revert,
    forge: Forge,
    forge_pulls: ForgePull,
    forge_pull_steps: ForgePullStep,
    forge_contributors: ForgeContributor,
    forge_reviews: ForgeReview,
    forge_checks: ForgeCheck,
    forge_protections: ForgeProtection,
    forge_access: ForgeAccess,
    forge_answers: ForgeAnswer,
    identity_links: IdentityLink,
    ledger_chains: LedgerChain,
    evaluations: Evaluation,
    evaluation_rules: EvaluationRule,
    writes: Write,
    write_reviews: WriteReview,
    syncs: SyncRun,
    sync_changes: SyncChange,
    drifts: DriftSeen,
    policies_in_force: PolicyInForce,
    control_intervals: ControlInterval,
    samples: SampleTaken,
    controls: Control,
    control_tables: ControlTable,
    gaps: Gap,
}

const SCHEMA_HEAD: &str = "\
-- Types the facts. Each file facts/NAME.csv is loaded as csv_NAME, all text; here it becomes the table NAME: numbers
-- are INTEGER, an empty cell is NULL, everything else stays text (times sort as text: all are UTC and of one form; truth
-- is 'true' or 'false'). The indexes only make the queries fast.
";

fn schema_of<F: Fact>() -> String {
    let columns: Vec<String> = F::COLUMNS
        .iter()
        .zip(F::TYPES)
        .map(|(column, kind)| format!("  {column} {}", kind.sql()))
        .collect();
    let values: Vec<String> = F::COLUMNS
        .iter()
        .map(|column| format!("NULLIF({column}, '')"))
        .collect();
    let name = F::NAME;
    let mut sql = format!(
        "\nCREATE TABLE {name} (\n{}\n);\nINSERT INTO {name}\nSELECT {}\nFROM csv_{name};\n",
        columns.join(",\n"),
        values.join(",\n       ")
    );
    for key in [F::KEY, F::SECOND_KEY] {
        if let Some(first) = key.first() {
            let columns = key.join(", ");
            let _ = writeln!(sql, "CREATE INDEX {name}_by_{first} ON {name} ({columns});");
        }
    }
    sql
}

fn table<F: Fact>(facts: &[F]) -> Table {
    let mut facts: Vec<&F> = facts.iter().collect();
    facts.sort_unstable();
    Table {
        name: F::NAME.to_owned(),
        columns: F::COLUMNS.iter().map(|column| (*column).to_owned()).collect(),
        rows: facts.into_iter().map(Fact::cells).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an auditor reads in the source is what every report carries.
    #[test]
    fn the_schema_that_is_kept_is_the_one_of_the_facts() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../reports/tables/schema.sql");
        assert_eq!(
            std::fs::read_to_string(kept).unwrap(),
            schema(),
            "{kept} should hold:\n{}",
            schema()
        );
    }
}
