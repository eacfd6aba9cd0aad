//! A story on a real Gitea, and the tables that were written down by hand for it.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::support::evidence::{assert_sqlite3_makes_the_same_tables, read, report, rows};
use crate::support::forge::Story;
use crate::support::history::{git, shell};

const IDENTITIES: &str = "\
version: provost.dev/identities/v1
people:
- {id: alice, forge: [alice, alice-at-home], emails: [alice@example.com, alice-at-home@example.com]}
- {id: bob, forge: [bob], emails: [bob@example.com]}
- {id: carol, forge: [carol], emails: [carol@example.com]}
";

const RULE: &str = "main";

async fn protect(story: &Story) -> anyhow::Result<()> {
    let body = json!({"rule_name": RULE, "required_approvals": 1, "enable_push": false});
    let rule = story
        .done("carol", Method::POST, "/branch_protections", body)
        .await?;
    // The forge's times are whole seconds: in the second of the edit nobody could say which came first.
    let edited_at: jiff::Timestamp = rule["updated_at"].as_str().unwrap().parse()?;
    harness::wait_until("the second has passed", Duration::from_secs(10), async || {
        jiff::Timestamp::now().as_second() > edited_at.as_second() + 1
    })
    .await
}

async fn unprotect(story: &Story) -> anyhow::Result<()> {
    let path = format!("/branch_protections/{RULE}");
    story
        .done("carol", Method::DELETE, &path, json!(null))
        .await
        .map(drop)
}

/// Everything that happens, in order; each part is one change of the branch, but for the last, which is two.
async fn happen(story: &Story) -> anyhow::Result<()> {
    // Reviewed, and merged by a third person.
    let number = story
        .proposed("alice", "reviewed", &[("a.yaml", "a: 1\n")])
        .await?;
    story.review("bob", number, "APPROVED").await?;
    let head = git(story.work(), &["rev-parse", "HEAD"]);
    for state in ["pending", "success"] {
        let status = json!({"state": state, "context": "ci/render"});
        story
            .done("carol", Method::POST, &format!("/statuses/{head}"), status)
            .await?;
    }
    story.merge("carol", number, "merge").await?;
    // Merged by the one who wrote it, and nobody looked.
    let number = story.proposed("alice", "own", &[("b.yaml", "b: 1\n")]).await?;
    story.merge("alice", number, "merge").await?;
    // Pushed past any pull request.
    story.on_branch("direct");
    story.commit("bob", "Push it", &[("c.yaml", "c: 1\n")]);
    story.push("bob", "main");
    // Protection on and off again, and on again: what was merged between them is not known to have been protected.
    protect(story).await?;
    unprotect(story).await?;
    let number = story
        .proposed("alice", "between", &[("d.yaml", "d: 1\n")])
        .await?;
    story.review("carol", number, "COMMENT").await?;
    story.merge("alice", number, "merge").await?;
    protect(story).await?;
    // Approved, and then something else was pushed.
    let number = story.proposed("alice", "stale", &[("e.yaml", "e: 1\n")]).await?;
    story.review("bob", number, "APPROVED").await?;
    story.commit("alice", "And more", &[("e.yaml", "e: 2\n")]);
    story.push_more("alice", "stale", number).await?;
    story.merge("carol", number, "merge").await?;
    // An emergency: the owner merges past the rule.
    let number = story
        .proposed("bob", "emergency", &[("f.yaml", "f: 1\n")])
        .await?;
    let label = json!({"name": "emergency", "color": "#ff0000"});
    let label = story.done("carol", Method::POST, "/labels", label).await?;
    let labels = json!({"labels": [label["id"]]});
    story
        .done("carol", Method::POST, &format!("/issues/{number}/labels"), labels)
        .await?;
    story.force_merge("carol", number).await?;
    // Approved by a second account of the one who wrote it.
    let number = story.proposed("alice", "alone", &[("g.yaml", "g: 1\n")]).await?;
    story.review("alice-at-home", number, "APPROVED").await?;
    story.merge("bob", number, "merge").await?;
    // Approved, and then brought up to date with the branch, as Git does it.
    let number = story
        .proposed("alice", "current", &[("h.yaml", "h: 1\n")])
        .await?;
    story.review("bob", number, "APPROVED").await?;
    let other = story.proposed("bob", "other", &[("i.yaml", "i: 1\n")]).await?;
    story.review("carol", other, "APPROVED").await?;
    story.merge("bob", other, "squash").await?;
    story.on_branch("main-now");
    git(story.work(), &["checkout", "--quiet", "current"]);
    story.git_as("alice", &["merge", "--quiet", "--no-edit", "main-now"]);
    story.push_more("alice", "current", number).await?;
    story.merge("carol", number, "merge").await?;
    // A revert of what was pushed, squashed.
    story.on_branch("back");
    let pushed = git(story.work(), &["log", "--format=%H", "--grep=^Push it"]);
    story.git_as("carol", &["revert", "--no-edit", &pushed]);
    story.push("carol", "back");
    let number = story.propose("carol", "back", "Take it back").await?;
    story.review("alice", number, "APPROVED").await?;
    story.merge("alice", number, "squash").await?;
    // Two commits, made again on top of what came meanwhile.
    story.on_branch("again");
    story.commit("bob", "One", &[("j.yaml", "j: 1\n")]);
    story.commit("bob", "Two", &[("k.yaml", "k: 1\n")]);
    story.push("bob", "again");
    let number = story.propose("bob", "again", "Again").await?;
    let other = story
        .proposed("alice", "before-it", &[("l.yaml", "l: 1\n")])
        .await?;
    let third = story.proposed("carol", "third", &[("o.yaml", "o: 1\n")]).await?;
    for (reviewer, number) in [("carol", other), ("alice", number), ("bob", third)] {
        story.review(reviewer, number, "APPROVED").await?;
    }
    story.merge("carol", other, "merge").await?;
    story.merge("alice", number, "rebase").await?;
    story.merge("bob", third, "rebase-merge").await?;
    // An approval that was dismissed, and one beside an objection.
    let number = story
        .proposed("alice", "dismissed", &[("m.yaml", "m: 1\n")])
        .await?;
    let review = story.review("bob", number, "APPROVED").await?;
    let path = format!("/pulls/{number}/reviews/{}/dismissals", review["id"]);
    let body = json!({"message": "Look again."});
    story.done("carol", Method::POST, &path, body).await?;
    story.force_merge("carol", number).await?;
    let number = story
        .proposed("alice", "objected", &[("n.yaml", "n: 1\n")])
        .await?;
    story.review("bob", number, "REQUEST_CHANGES").await?;
    story.review("carol", number, "APPROVED").await?;
    story.merge("carol", number, "fast-forward-only").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_on_a_forge_and_the_tables_of_what_they_did() -> anyhow::Result<()> {
    let gitea = harness::gitea_or_skip!();
    let files = [(".provost/identities.yaml", IDENTITIES), ("README", "shop\n")];
    let others = ["alice", "bob", "alice-at-home"];
    let story = Story::begin(gitea, &others, &files).await?;
    happen(&story).await?;

    let folder = tempfile::tempdir()?;
    let clone = story.cloned(folder.path());
    let token = story.token_file(folder.path()).await?;
    let out = folder.path().join("out");
    let arguments = [
        "--forge",
        &story.url(),
        "--forge-token-file",
        token.to_str().unwrap(),
    ];
    let (code, text) = report(&clone, &out, &arguments);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("15 changes came by a pull request, 1 past one."),
        "{text}"
    );
    assert_sod(&clone, &out);
    assert_approvals(&out);
    assert_settings(&out);
    assert_checks_and_labels(&out);
    assert_answers_are_kept(&out);
    let page = std::fs::read_to_string(out.join("README.md"))?;
    assert!(
        page.contains("| pull requests of the period, on the branch | 14 | 14 | yes |"),
        "{page}"
    );
    assert_sqlite3_makes_the_same_tables(&out);

    let again = folder.path().join("again");
    assert_eq!(report(&clone, &again, &arguments).0, 0);
    // Of the answers themselves a live server may word another: its counts and sizes go on.
    for table in provost_evidence::tables::FORGE_TABLES {
        let read = |folder: &Path| std::fs::read(folder.join(format!("{}.csv", table.name))).unwrap();
        assert_eq!(read(&out), read(&again), "{}", table.name);
    }
    Ok(())
}

fn assert_sod(clone: &Path, out: &Path) {
    let columns = [
        "merge_method",
        "contributors",
        "approvers_valid",
        "merger",
        "self_merge",
        "forge_enforced",
        "bypass_used",
        "verdict",
        "reason_codes",
        "result_commit",
        "labels",
    ];
    let mut found = rows(&read(out, "sod"), &columns);
    // In the order of the branch.
    let line = git(clone, &["rev-list", "--first-parent", "--reverse", "HEAD"]);
    let place = |row: &Vec<String>| line.lines().position(|id| id == row[9]).unwrap();
    found.sort_by_key(place);
    assert_eq!(found.len(), line.lines().count());
    let found: Vec<String> = found.iter().map(|row| row[..9].join(" | ")).collect();
    let expected = [
        " |  |  |  | false |  |  |  | INITIAL_IMPORT",
        "merge | alice | bob | carol | false |  |  | pass | ",
        "merge | alice |  | alice | true |  |  | fail | TOO_FEW; MERGER_AUTHOR",
        " |  |  |  | false |  |  | fail | NO_PR",
        "merge | alice |  | alice | true |  |  | fail | TOO_FEW; MERGER_AUTHOR",
        "merge | alice |  | carol | false | 1 | false | fail | TOO_FEW; STALE",
        "merge | bob |  | carol | false | 1 | true | fail | TOO_FEW; BYPASS",
        "merge | alice |  | bob | false | 1 | false | fail | TOO_FEW; SELF",
        "squash | bob | carol | bob | true | 1 | false | pass | MERGER_AUTHOR",
        "merge | alice | bob | carol | false | 1 | false | pass | ",
        "squash | carol | alice | alice | false | 1 | false | pass | ",
        "merge | alice | carol | carol | false | 1 | false | pass | ",
        "rebase | bob | alice | alice | false | 1 | false | pass | ",
        "rebase | bob | alice | alice | false | 1 | false | pass | ",
        "rebase-merge | carol | bob | bob | false | 1 | false | pass | ",
        "merge | alice |  | carol | false | 1 | true | fail | TOO_FEW; DISMISSED; BYPASS",
        "fast-forward | alice | carol | carol | false | 1 | false | fail | BLOCKED",
    ];
    assert_eq!(found, expected);
}

fn assert_approvals(out: &Path) {
    let columns = [
        "pull_request",
        "reviewer",
        "state",
        "content_match",
        "class",
        "code",
    ];
    let table = read(out, "approvals");
    let found: Vec<String> = rows(&table, &columns).iter().map(|row| row.join(" | ")).collect();
    let expected = [
        "1 | bob | approved | same_sha | valid | ",
        "3 | carol | comment | same_sha |  | ",
        "4 | bob | approved | stale | invalid | STALE",
        "6 | alice | approved | same_sha | invalid | SELF",
        "7 | bob | approved | base_merge_only | valid | ",
        "8 | carol | approved | same_sha | valid | ",
        "9 | alice | approved | same_sha | valid | ",
        "10 | alice | approved | same_sha | valid | ",
        "11 | carol | approved | same_sha | valid | ",
        "12 | bob | approved | same_sha | valid | ",
        "13 | bob | approved | same_sha | invalid | DISMISSED",
        "14 | bob | changes | same_sha |  | ",
        "14 | carol | approved | same_sha | valid | ",
    ];
    assert_eq!(found, expected);
}

fn assert_settings(out: &Path) {
    let columns = ["pattern", "state", "lets_push", "verdict"];
    let found = rows(&read(out, "protections"), &columns);
    assert_eq!(
        found,
        [
            ["main", "unknown", "", "unknown"],
            ["main", "in force", "false", "pass"]
        ]
    );
    let found = rows(
        &read(out, "repo_access"),
        &["principal", "person", "level", "path"],
    );
    assert_eq!(
        found,
        [
            ["alice", "alice", "write", "direct"],
            ["alice-at-home", "alice", "write", "direct"],
            ["bob", "bob", "write", "direct"],
            ["carol", "carol", "owner", "owner"],
        ]
    );
    let found = rows(
        &read(out, "identities"),
        &["person", "system", "account", "basis"],
    );
    assert!(
        found.contains(
            &["alice", "forge", "alice-at-home", "customer-file"]
                .map(str::to_owned)
                .to_vec()
        ),
        "{found:?}"
    );
    assert!(found.iter().all(|row| row[3] == "customer-file"), "{found:?}");
}

fn assert_checks_and_labels(out: &Path) {
    let found = rows(
        &read(out, "facts/forge_checks"),
        &["context", "state", "reported_by"],
    );
    let mut states: Vec<String> = found.iter().map(|row| row.join(" ")).collect();
    states.sort();
    assert_eq!(states, ["ci/render pending carol", "ci/render success carol"]);
    let labels = rows(&read(out, "sod"), &["labels", "reason_codes"]);
    assert!(labels.contains(&["emergency", "TOO_FEW; BYPASS"].map(str::to_owned).to_vec()));
    let dismissed = rows(&read(out, "approvals"), &["code", "dismissed_by"]);
    assert!(dismissed.contains(&["DISMISSED", "carol"].map(str::to_owned).to_vec()));
}

/// Each answer is in the folder under its digest, and nothing else is.
fn assert_answers_are_kept(out: &Path) {
    let table = read(out, "facts/forge_answers");
    let mut named: Vec<String> = table
        .column("sha256")
        .map(|cell| format!("{}.json", cell.as_text().unwrap()))
        .collect();
    named.sort();
    named.dedup();
    let digests = shell(
        &out.join("forge"),
        "sha256sum *.json | awk '{ print $1 \".json\" }' | sort",
    );
    let there = shell(&out.join("forge"), "ls | sort");
    assert_eq!(there, named.join("\n"));
    assert_eq!(digests, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_in_a_repository_of_an_organisation() -> anyhow::Result<()> {
    let gitea = harness::gitea_or_skip!();
    for person in ["carol", "alice", "bob"] {
        gitea.person(person).await?;
    }
    let post = async |path: &str, body| gitea.done("carol", Method::POST, path, body).await;
    post("/orgs", json!({"username": "shop"})).await?;
    post(
        "/orgs/shop/repos",
        json!({"name": "infrastructure", "default_branch": "main", "auto_init": true}),
    )
    .await?;
    let team = json!({
        "name": "deployers",
        "permission": "write",
        "units": ["repo.code", "repo.pulls"],
        "includes_all_repositories": true,
    });
    let team = post("/orgs/shop/teams", team).await?;
    let put = async |path: String, body| gitea.done("carol", Method::PUT, &path, body).await;
    put(format!("/teams/{}/members/alice", team["id"]), json!(null)).await?;
    let bob = "/repos/shop/infrastructure/collaborators/bob";
    put(bob.to_owned(), json!({"permission": "read"})).await?;
    let key = json!({
        "title": "mirror",
        "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
        "read_only": true,
    });
    post("/repos/shop/infrastructure/keys", key).await?;

    let folder = tempfile::tempdir()?;
    let clone = gitea.push_url("carol", "shop/infrastructure");
    git(folder.path(), &["clone", "--quiet", &clone, "clone"]);
    let scopes = ["read:repository", "read:issue", "read:organization", "read:user"];
    let token = folder.path().join("token");
    std::fs::write(&token, gitea.token("carol", &scopes).await?)?;
    let url = format!("{}/shop/infrastructure", gitea.url());
    let out = folder.path().join("out");
    let arguments = ["--forge", &url, "--forge-token-file", token.to_str().unwrap()];
    let (code, text) = report(&folder.path().join("clone"), &out, &arguments);
    assert_eq!(code, 0, "{text}");
    let columns = ["principal", "level", "path", "can_push", "can_change_rules"];
    let found: Vec<String> = rows(&read(&out, "repo_access"), &columns)
        .iter()
        .map(|row| row.join(" | "))
        .collect();
    assert_eq!(
        found,
        [
            "alice | write | team deployers | true | false",
            "bob | read | direct | false | false",
            "carol | owner | team Owners | true | true",
            "mirror | read | deploy key | false | false",
        ]
    );

    // Whose token may not see a thing is told so; it is no empty table without a word.
    std::fs::write(&token, gitea.token("alice", &["read:repository"]).await?)?;
    let (code, text) = report(&folder.path().join("clone"), &out, &arguments);
    assert_eq!(code, 3, "{text}");
    let page = std::fs::read_to_string(out.join("README.md"))?;
    assert!(
        page.contains("forge rules of protection: the forge refuses"),
        "{page}"
    );
    let found = rows(&read(&out, "protections"), &["state", "verdict", "basis"]);
    assert_eq!(
        found,
        [["unknown", "unknown", "the forge did not show its rules"]]
    );
    Ok(())
}
