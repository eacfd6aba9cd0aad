//! The rules by which approvals count and changes pass, one case each.

use rstest::rstest;

use super::super::{Database, Query};
use super::FORGE_TABLES;
use crate::csv;
use crate::facts::{
    Facts, Forge, ForgeContributor, ForgeProtection, ForgePull, ForgePullStep, ForgeReview, IdentityLink,
    Rule, Scope, Step,
};
use crate::table::Table;

const MERGED: &str = "2026-03-01T12:00:00.000Z";
const BEFORE: &str = "2026-03-01T11:00:00.000Z";
const LATER_BEFORE: &str = "2026-03-01T11:30:00.000Z";
const AFTER: &str = "2026-03-01T13:00:00.000Z";

fn review(review_id: u64, reviewer: &str, state: &str, at: &str) -> ForgeReview {
    ForgeReview {
        number: 7,
        review_id,
        reviewer: Some(reviewer.to_owned()),
        state: state.to_owned(),
        submitted_at: Some(at.to_owned()),
        reviewed_commit: Some("head".to_owned()),
        is_official: true,
        content_match: "same_sha".to_owned(),
        ..ForgeReview::default()
    }
}

fn contributor(role: &str, login: Option<&str>, email: Option<&str>) -> ForgeContributor {
    ForgeContributor {
        number: 7,
        role: role.to_owned(),
        login: login.map(str::to_owned),
        email: email.map(str::to_owned),
    }
}

fn link(system: &str, account: &str, person: &str, kind: &str) -> IdentityLink {
    IdentityLink {
        identities: "file".to_owned(),
        system: system.to_owned(),
        account: account.to_owned(),
        person: person.to_owned(),
        kind: kind.to_owned(),
    }
}

/// Pull request 7, which Alice wrote and opened, Bob approved and Carol merged by the only step.
fn facts() -> Facts {
    Facts {
        scope: vec![Scope::default()],
        steps: vec![Step {
            step: "step".to_owned(),
            before: Some("before".to_owned()),
            rules: Some("defaults".to_owned()),
            ..Step::default()
        }],
        rules: vec![Rule {
            rules: "defaults".to_owned(),
            approvals: 1,
            ..Rule::default()
        }],
        forge: vec![Forge {
            merged: Some(1),
            has_protections: true,
            identities: Some("file".to_owned()),
            ..Forge::default()
        }],
        forge_pulls: vec![ForgePull {
            number: 7,
            base: "main".to_owned(),
            opened_by: Some("alice".to_owned()),
            merged_by: Some("carol".to_owned()),
            merged_at: Some(MERGED.to_owned()),
            content: "equal".to_owned(),
            rule: Some("main".to_owned()),
            identities: Some("file".to_owned()),
            is_whole: true,
            ..ForgePull::default()
        }],
        forge_pull_steps: vec![ForgePullStep {
            step: "step".to_owned(),
            number: 7,
        }],
        forge_contributors: vec![
            contributor("opened", Some("alice"), None),
            contributor("authored", Some("alice"), Some("alice@example.com")),
        ],
        forge_reviews: vec![review(1, "bob", "approved", BEFORE)],
        forge_protections: vec![ForgeProtection {
            pattern: "main".to_owned(),
            required_approvals: 1,
            edited_at: Some("2026-01-01T00:00:00.000Z".to_owned()),
            ..ForgeProtection::default()
        }],
        ..Facts::default()
    }
}

fn run(facts: &Facts, name: &str) -> Table {
    let tables = facts.tables();
    let texts: Vec<String> = tables.iter().map(csv::exact).collect();
    let files = tables
        .iter()
        .zip(&texts)
        .map(|(table, text)| (table.name.as_str(), text.as_str()));
    let query: Query<'_> = *FORGE_TABLES.iter().find(|query| query.name == name).unwrap();
    Database::load(files).unwrap().run(query).unwrap()
}

fn only(table: &Table, column: &str) -> String {
    let cells: Vec<_> = table.column(column).collect();
    assert_eq!(cells.len(), 1, "{column}: {cells:?}");
    cells[0].as_text().unwrap_or_default().to_owned()
}

/// The class and code of review 1, the verdict, and its codes.
fn judged(change: fn(&mut Facts)) -> [String; 4] {
    let mut facts = facts();
    change(&mut facts);
    let mut approvals = run(&facts, "approvals");
    let sod = run(&facts, "sod");
    let ids = approvals
        .columns
        .iter()
        .position(|name| name == "review_id")
        .unwrap();
    approvals
        .rows
        .retain(|row| row[ids] == crate::table::Cell::Integer(1));
    let of_review = |column| {
        let cell = approvals.column(column).next();
        cell.and_then(crate::table::Cell::as_text)
            .unwrap_or_default()
            .to_owned()
    };
    [
        of_review("class"),
        of_review("code"),
        only(&sod, "verdict"),
        only(&sod, "reason_codes"),
    ]
}

#[rstest]
#[case::somebody_else_approved(|_: &mut Facts| {}, ["valid", "", "pass", ""])]
#[case::merges_of_the_branch_came_after_it(|f: &mut Facts| f.forge_reviews[0].content_match = "base_merge_only".into(), ["valid", "", "pass", ""])]
#[case::another_commit_of_the_same_tree(|f: &mut Facts| f.forge_reviews[0].content_match = "same_tree".into(), ["valid", "", "pass", ""])]
#[case::commits_came_after_it(|f: &mut Facts| f.forge_reviews[0].content_match = "stale".into(), ["invalid", "STALE", "fail", "TOO_FEW; STALE"])]
#[case::the_old_head_is_gone(|f: &mut Facts| f.forge_reviews[0].content_match = "unknown".into(), ["undetermined", "STALE_UNPROVEN", "unknown", "UNDETERMINED; STALE_UNPROVEN"])]
#[case::another_branch_was_chosen_after_it(|f: &mut Facts| f.forge_pulls[0].retargeted_at = Some(LATER_BEFORE.into()), ["invalid", "STALE", "fail", "TOO_FEW; STALE"])]
#[case::another_branch_was_chosen_before_it(|f: &mut Facts| f.forge_pulls[0].retargeted_at = Some("2026-03-01T10:00:00.000Z".into()), ["valid", "", "pass", ""])]
#[case::nobody_approved(|f: &mut Facts| f.forge_reviews.clear(), ["", "", "fail", "TOO_FEW; BYPASS"])]
#[case::only_a_comment(|f: &mut Facts| f.forge_reviews[0].state = "comment".into(), ["", "", "fail", "TOO_FEW; BYPASS"])]
#[case::after_the_merge(|f: &mut Facts| f.forge_reviews[0].submitted_at = Some(AFTER.into()), ["invalid", "AFTER_MERGE", "fail", "TOO_FEW; AFTER_MERGE; BYPASS"])]
#[case::in_the_second_of_the_merge(|f: &mut Facts| f.forge_reviews[0].submitted_at = Some(MERGED.into()), ["valid", "", "pass", ""])]
#[case::when_is_not_known(|f: &mut Facts| f.forge_reviews[0].submitted_at = None, ["undetermined", "SRC_MISSING", "unknown", "UNDETERMINED; SRC_MISSING; BYPASS"])]
#[case::who_opened_it(|f: &mut Facts| f.forge_contributors[0].login = Some("bob".into()), ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::who_pushed_to_it(|f: &mut Facts| f.forge_contributors.push(contributor("pushed", Some("bob"), None)), ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::a_co_author(|f: &mut Facts| f.forge_contributors.push(contributor("co-authored", Some("bob"), Some("bob@example.com"))), ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::a_second_account(|f: &mut Facts| f.identity_links = vec![link("forge", "alice", "alice", "human"), link("forge", "bob", "alice", "human")], ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::a_second_account_by_address(|f: &mut Facts| {
    f.forge_contributors.push(contributor("authored", None, Some("B@home.example")));
    f.identity_links = vec![link("git-email", "b@home.example", "bob", "human"), link("forge", "bob", "bob", "human")];
}, ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::the_forge_and_the_file_disagree(|f: &mut Facts| {
    f.forge_contributors[1].login = Some("bob".into());
    f.identity_links = vec![link("git-email", "alice@example.com", "alice", "human")];
}, ["invalid", "SELF", "fail", "TOO_FEW; SELF"])]
#[case::links_of_another_version(|f: &mut Facts| {
    f.identity_links = vec![link("forge", "alice", "alice", "human"), link("forge", "bob", "alice", "human")];
    f.identity_links.iter_mut().for_each(|link| link.identities = "other".into());
}, ["valid", "", "pass", ""])]
#[case::an_author_that_nobody_knows(|f: &mut Facts| f.forge_contributors.push(contributor("authored", None, Some("x@home.example"))), ["undetermined", "IDENTITY", "unknown", "UNDETERMINED; IDENTITY"])]
#[case::an_author_whom_the_file_knows(|f: &mut Facts| {
    f.forge_contributors.push(contributor("authored", None, Some("x@home.example")));
    f.identity_links = vec![link("git-email", "x@home.example", "xenia", "human")];
}, ["valid", "", "pass", ""])]
#[case::an_account_that_is_gone(|f: &mut Facts| f.forge_reviews[0].reviewer = None, ["undetermined", "IDENTITY", "unknown", "UNDETERMINED; IDENTITY; BYPASS"])]
#[case::identities_that_cannot_be_read(|f: &mut Facts| f.forge_pulls[0].identities = None, ["undetermined", "IDENTITY", "unknown", "UNDETERMINED; IDENTITY"])]
#[case::a_program(|f: &mut Facts| f.identity_links = vec![link("forge", "bob", "robot", "bot")], ["invalid", "BOT_APPROVER", "fail", "TOO_FEW; BOT_APPROVER"])]
#[case::a_shared_account(|f: &mut Facts| f.identity_links = vec![link("forge", "bob", "office", "shared")], ["invalid", "SHARED", "fail", "TOO_FEW; SHARED"])]
#[case::somebody_whom_the_forge_does_not_let(|f: &mut Facts| f.forge_reviews[0].is_official = false, ["invalid", "NO_RIGHT", "fail", "TOO_FEW; NO_RIGHT; BYPASS"])]
#[case::a_right_that_the_forge_took_back_when_they_commented(|f: &mut Facts| {
    f.forge_reviews[0].is_official = false;
    f.forge_reviews.push(review(2, "bob", "comment", AFTER));
}, ["undetermined", "RIGHT_UNPROVEN", "unknown", "UNDETERMINED; RIGHT_UNPROVEN"])]
#[case::dismissed_before(|f: &mut Facts| {
    f.forge_reviews[0].is_dismissed = true;
    f.forge_reviews[0].dismissed_at = Some(LATER_BEFORE.into());
}, ["invalid", "DISMISSED", "fail", "TOO_FEW; DISMISSED; BYPASS"])]
#[case::dismissed_after(|f: &mut Facts| {
    f.forge_reviews[0].is_dismissed = true;
    f.forge_reviews[0].dismissed_at = Some(AFTER.into());
}, ["valid", "DISMISSED_LATER", "pass", "DISMISSED_LATER"])]
#[case::dismissed_at_no_known_time(|f: &mut Facts| f.forge_reviews[0].is_dismissed = true, ["undetermined", "DISMISSED_UNPROVEN", "unknown", "UNDETERMINED; DISMISSED_UNPROVEN; BYPASS"])]
#[case::taken_back_by_the_same_person(|f: &mut Facts| f.forge_reviews.push(review(2, "bob", "changes", LATER_BEFORE)), ["invalid", "SUPERSEDED", "fail", "BLOCKED; SUPERSEDED"])]
#[case::taken_back_after_the_merge(|f: &mut Facts| f.forge_reviews.push(review(2, "bob", "changes", AFTER)), ["valid", "", "pass", ""])]
#[case::somebody_else_objects(|f: &mut Facts| f.forge_reviews.push(review(2, "dave", "changes", LATER_BEFORE)), ["valid", "", "fail", "BLOCKED"])]
#[case::an_author_objects(|f: &mut Facts| f.forge_reviews.push(review(2, "alice", "changes", LATER_BEFORE)), ["valid", "", "pass", ""])]
#[case::who_objected_approved_later(|f: &mut Facts| {
    f.forge_reviews.push(review(2, "dave", "changes", BEFORE));
    f.forge_reviews.push(review(3, "dave", "approved", LATER_BEFORE));
}, ["valid", "", "pass", ""])]
#[case::an_objection_that_was_dismissed(|f: &mut Facts| {
    let mut objection = review(2, "dave", "changes", BEFORE);
    objection.is_dismissed = true;
    objection.dismissed_at = Some(LATER_BEFORE.into());
    f.forge_reviews.push(objection);
}, ["valid", "", "pass", ""])]
#[case::two_are_wanted(|f: &mut Facts| f.rules[0].approvals = 2, ["valid", "", "fail", "TOO_FEW"])]
#[case::two_are_wanted_and_one_is_not_known(|f: &mut Facts| {
    f.rules[0].approvals = 2;
    f.forge_reviews.push(review(2, "dave", "approved", LATER_BEFORE));
    f.forge_reviews[1].content_match = "unknown".into();
}, ["valid", "", "unknown", "UNDETERMINED; STALE_UNPROVEN"])]
#[case::two_approvals_of_one_person(|f: &mut Facts| {
    f.rules[0].approvals = 2;
    f.forge_reviews.push(review(2, "bob2", "approved", LATER_BEFORE));
    f.identity_links = vec![link("forge", "bob", "bob", "human"), link("forge", "bob2", "bob", "human")];
}, ["invalid", "SUPERSEDED", "fail", "TOO_FEW; SUPERSEDED"])]
#[case::the_author_merged(|f: &mut Facts| f.forge_pulls[0].merged_by = Some("alice".into()), ["valid", "", "pass", "MERGER_AUTHOR"])]
#[case::the_author_merged_and_may_not(|f: &mut Facts| {
    f.forge_pulls[0].merged_by = Some("alice".into());
    f.rules[0].separate_merger = true;
}, ["valid", "", "fail", "MERGER_AUTHOR"])]
#[case::nobody_knows_who_merged(|f: &mut Facts| {
    f.forge_pulls[0].merged_by = None;
    f.rules[0].separate_merger = true;
}, ["valid", "", "unknown", "IDENTITY"])]
#[case::what_was_merged_is_something_else(|f: &mut Facts| f.forge_pulls[0].content = "differs".into(), ["valid", "", "fail", "CONTENT_DIFF"])]
#[case::git_cannot_merge_it(|f: &mut Facts| f.forge_pulls[0].content = "conflicts".into(), ["valid", "", "unknown", "MERGE_ENGINE"])]
#[case::the_head_is_not_here(|f: &mut Facts| f.forge_pulls[0].content = "unknown".into(), ["valid", "", "unknown", "HEAD_MISSING"])]
#[case::the_head_is_not_here_and_nobody_approved(|f: &mut Facts| {
    f.forge_pulls[0].content = "unknown".into();
    f.forge_reviews.clear();
}, ["", "", "fail", "TOO_FEW; BYPASS"])]
#[case::an_approval_and_more_asked_for(|f: &mut Facts| f.forge_protections[0].required_approvals = 2, ["valid", "", "pass", "BYPASS"])]
#[case::the_rule_was_edited_since(|f: &mut Facts| {
    f.forge_protections[0].edited_at = Some(AFTER.into());
    f.forge_reviews.clear();
}, ["", "", "fail", "TOO_FEW"])]
#[case::no_pull_request(|f: &mut Facts| f.forge_pull_steps.clear(), ["valid", "", "fail", "NO_PR"])]
#[case::a_pull_request_that_could_not_be_read(|f: &mut Facts| f.forge_pulls[0].is_whole = false, ["valid", "", "unknown", "SRC_MISSING"])]
#[case::a_list_that_could_not_be_read(|f: &mut Facts| {
    f.forge[0].merged = None;
    f.forge_pull_steps.clear();
}, ["valid", "", "unknown", "SRC_MISSING"])]
#[case::rules_that_could_not_be_read(|f: &mut Facts| f.steps[0].rules = None, ["valid", "", "unknown", "RULES_UNREADABLE"])]
#[case::the_first_commit(|f: &mut Facts| {
    f.steps[0].before = None;
    f.forge_pull_steps.clear();
}, ["valid", "", "", "INITIAL_IMPORT"])]
fn an_approval_counts_and_a_change_passes_by_the_rules(
    #[case] change: fn(&mut Facts),
    #[case] expected: [&str; 4],
) {
    assert_eq!(judged(change), expected);
}

#[test]
fn both_tables_judge_approvals_by_the_same_words() {
    for name in ["approvals", "sod"] {
        let query = FORGE_TABLES.iter().find(|query| query.name == name).unwrap();
        assert!(query.sql.contains("FROM judged_review"), "{name}");
    }
}

/// What is known of a rule: nothing until it was last edited, and from then on what it says now.
#[rstest]
#[case::edited_within("2026-02-01T00:00:00.000Z", &[
    "2026-01-01T00:00:00.000Z 2026-02-01T00:00:00.000Z unknown unknown",
    "2026-02-01T00:00:00.000Z 2026-04-01T00:00:00.000Z in force pass",
])]
#[case::edited_before("2025-02-01T00:00:00.000Z", &["2026-01-01T00:00:00.000Z 2026-04-01T00:00:00.000Z in force pass"])]
#[case::edited_after("2026-05-01T00:00:00.000Z", &["2026-01-01T00:00:00.000Z 2026-04-01T00:00:00.000Z unknown unknown"])]
fn intervals_of_a_rule_tile_the_period(#[case] edited_at: &str, #[case] expected: &[&str]) {
    let mut facts = facts();
    facts.scope[0].period_from = Some("2026-01-01T00:00:00.000Z".to_owned());
    facts.scope[0].period_to = Some("2026-04-01T00:00:00.000Z".to_owned());
    facts.forge_protections[0].edited_at = Some(edited_at.to_owned());
    assert_eq!(intervals(&facts), expected);
}

#[test]
fn a_rule_that_asks_for_less_than_ours_or_lets_people_push_past_it_fails() {
    let since = "2026-01-01T00:00:00.000Z";
    let mut facts = facts();
    facts.rules[0].approvals = 2;
    assert_eq!(
        intervals(&facts),
        [
            format!(" {since} unknown unknown"),
            format!("{since}  in force fail")
        ]
    );
    facts.rules[0].approvals = 1;
    facts.forge_protections[0].lets_push = true;
    assert_eq!(intervals(&facts)[1], format!("{since}  in force fail"));
    facts.forge_protections.clear();
    assert_eq!(intervals(&facts), ["  unknown unknown"]);
}

fn intervals(facts: &Facts) -> Vec<String> {
    let table = run(facts, "protections");
    let column = |name| table.column(name).map(|cell| cell.as_text().unwrap_or_default());
    column("valid_from")
        .zip(column("valid_to"))
        .zip(column("state").zip(column("verdict")))
        .map(|((from, to), (state, verdict))| format!("{from} {to} {state} {verdict}"))
        .collect()
}
