//! The tables that a report has where a forge was asked: without one there is nothing to judge by.

use super::Query;

/// Who reviewed, and by what right things reached the branch.
pub const FORGE_TABLES: &[Query<'static>] = &[
    Query {
        name: "approvals",
        sql: include_str!("../../../../reports/tables/approvals.sql"),
        shown: &[
            "pull_request",
            "reviewer",
            "state",
            "submitted_at",
            "reviewed_commit",
            "content_match",
            "class",
            "code",
        ],
    },
    Query {
        name: "sod",
        sql: include_str!("../../../../reports/tables/sod.sql"),
        shown: &[
            "result_commit",
            "pull_request",
            "contributors",
            "approvers_valid",
            "merger",
            "required",
            "bypass_used",
            "verdict",
            "reason_codes",
        ],
    },
    Query {
        name: "protections",
        sql: include_str!("../../../../reports/tables/protections.sql"),
        shown: &[
            "pattern",
            "valid_from",
            "valid_to",
            "state",
            "required_approvals",
            "lets_push",
            "holds_administrators",
            "basis",
            "verdict",
        ],
    },
    Query {
        name: "repo_access",
        sql: include_str!("../../../../reports/tables/repo_access.sql"),
        shown: &[
            "principal",
            "person",
            "level",
            "path",
            "can_push",
            "can_merge",
            "can_change_rules",
        ],
    },
    Query {
        name: "identities",
        sql: include_str!("../../../../reports/tables/identities.sql"),
        shown: &["person", "system", "account", "kind", "basis"],
    },
];

#[cfg(test)]
mod tests;
