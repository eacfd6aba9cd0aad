//! Facts of the ledger: what the webhook judged, what the agent did, and when either was there to do so.

use super::{Cell, ColumnType, Fact, FromCell, HasColumnType};

fact! {
    /// A chain of the ledger: one boot of one process.
    LedgerChain in "ledger_chains" by (chain) {
        /// Its name.
        chain: String,
        /// Who writes it, `webhook@host`.
        writer: String,
        /// The roles that the process runs, joined by `; `.
        roles: String,
        /// The version of Provost.
        version: String,
        /// The time of its first record.
        opened_at: String,
        /// The time of its last record.
        last_at: String,
        /// The time of its end record; none where it has none: the process was ended, or still runs.
        closed_at: Option<String>,
        /// Records that were read.
        records: u64,
        /// Records that the chain says were lost.
        lost: u64,
        /// Seconds between heartbeats; none where it promises none.
        heartbeat_seconds: Option<u64>,
        /// Namespaces whose requests it does not judge, joined by `; `.
        exempt_namespaces: String,
    }
}

fact! {
    /// A judgement of the webhook: of a request, which may still have failed afterwards.
    Evaluation in "evaluations" by (uid) {
        /// `uid` of the AdmissionRequest.
        uid: String,
        /// The chain that has it.
        chain: String,
        /// Its number there.
        seq: u64,
        /// When it was recorded.
        recorded_at: String,
        /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
        operation: String,
        /// API group.
        api_group: Option<String>,
        /// API version.
        version: String,
        /// Kind.
        kind: String,
        /// Subresource.
        subresource: Option<String>,
        /// Namespace.
        namespace: Option<String>,
        /// Name; none where it was still to be generated.
        name: Option<String>,
        /// Who asked: a name, or a pseudonym.
        user: String,
        /// Whether it was a dry run.
        dry_run: bool,
        /// The class of the rules that judged, where not all did.
        class: Option<String>,
        /// `allowed`, `denied`, `warned`, `exempt`.
        verdict: String,
        /// Digest of the policy set that judged.
        policy_set: Option<String>,
        /// `policy/rule` of each rule that did not pass, with its status, joined by `; `.
        rules: Option<String>,
        /// Whether a policy or an exception was asked for.
        is_policy: bool,
        /// Digest of the policy or exception that was asked for.
        object_sha256: Option<String>,
    }
}

fact! {
    /// A rule that did not pass, of an evaluation.
    EvaluationRule in "evaluation_rules" by (uid) and (policy) {
        /// `uid` of the AdmissionRequest.
        uid: String,
        /// The policy.
        policy: String,
        /// What is recorded: `policy/rule` with its status.
        rule: String,
    }
}

fact! {
    /// A request to write, as all witnesses in the ledger together tell of it.
    Write in "writes" by (write_id) and (object) {
        /// Its place in the period, by time.
        write_id: u64,
        /// When the apiserver got it; else when the first witness told of it.
        at: String,
        /// `witnessed`, `admitted_not_observed`, `observed_not_admitted`, `not_evaluated`, `refused_after_admission`,
        /// `denied`, `refused`, `not_asked`.
        state: String,
        /// Who asked, as the best witness has it; none where only a watch tells.
        user: Option<String>,
        /// As whom they acted.
        impersonated: Option<String>,
        /// `create`, `patch`, `delete`, …
        verb: String,
        /// The object, `Deployment shop/my-app`; `deployments.apps shop/my-app` where only the resource is known.
        object: String,
        /// API group.
        api_group: Option<String>,
        /// API version.
        version: String,
        /// Kind, where a witness names it.
        kind: Option<String>,
        /// The kind's name in URLs.
        resource: Option<String>,
        /// Subresource.
        subresource: Option<String>,
        /// Namespace.
        namespace: Option<String>,
        /// Name.
        name: Option<String>,
        /// The apiserver's answer; none where no audit log tells.
        code: Option<u64>,
        /// The field manager that wrote, by its own claim.
        manager: Option<String>,
        /// Who tells of it, joined by `; `.
        witnesses: String,
        /// `auditID` of the request.
        audit_id: Option<String>,
        /// Why the state is what it is, where the word does not say it all.
        reason: Option<String>,
    }
}

fact! {
    /// An evaluation of a write: an apiserver asks once for each webhook.
    WriteReview in "write_reviews" by (uid) and (write_id) {
        /// The write.
        write_id: u64,
        /// `uid` of the AdmissionRequest.
        uid: String,
    }
}

fact! {
    /// A sync of an Application, as the agent recorded it when it had ended.
    SyncRun in "syncs" by (sync) {
        /// Its name: chain and number.
        sync: String,
        /// When it was recorded.
        recorded_at: String,
        /// The version of Provost that wrote it.
        agent_version: String,
        /// Who wrote it.
        agent: String,
        /// `namespace/name`.
        application: String,
        /// Repository URL.
        repository: String,
        /// The commit that was wanted.
        revision: String,
        /// The commit that was there before.
        previous: Option<String>,
        /// Tree id of the render in the rendered history.
        rendered_tree: Option<String>,
        /// `succeeded` or `failed`.
        outcome: String,
        /// Why it failed.
        message: Option<String>,
        /// Objects made, changed and deleted.
        objects_changed: u64,
        /// How the revision lies to the one before, in the repository that was read: `first`, `same`, `forward`,
        /// `back`, `aside` (on another branch); none where the repository does not have both.
        direction: Option<String>,
        /// Whether the report's revision reaches it; none where the repository does not have it.
        in_revision: Option<bool>,
        /// Seconds since the revision before was brought; none where the period has no record of that.
        seconds_since_previous: Option<u64>,
    }
}

fact! {
    /// A change of the branch that a sync brought into the cluster for the first time since the revision before.
    SyncChange in "sync_changes" by (sync) and (step) {
        /// The sync.
        sync: String,
        /// The step of the first-parent line.
        step: String,
        /// Seconds from the committer's date of the step until the sync was recorded; none where that is later.
        seconds: Option<u64>,
    }
}

fact! {
    /// A live object that was not as Git says, as the agent recorded it.
    DriftSeen in "drifts" by (object) {
        /// The chain that has it.
        chain: String,
        /// Its number there.
        seq: u64,
        /// When it was recorded.
        recorded_at: String,
        /// `namespace/name` of the Application.
        application: String,
        /// The object, `Deployment shop/my-app`.
        object: String,
        /// The field paths that differed, joined by `; `.
        fields: Option<String>,
        /// The field managers that wrote them, by their own claim, joined by `; `.
        managers: Option<String>,
        /// When the managers say to have written last.
        managers_at: Option<String>,
        /// `put back` or `reported`.
        resolution: String,
        /// When the agent first saw it differ; none in records that do not say.
        seen_since: Option<String>,
        /// Seconds from then until it was recorded.
        seconds: Option<u64>,
    }
}

fact! {
    /// A policy during a time in which a process had it in force, or refused it.
    PolicyInForce in "policies_in_force" by (policy) and (policy_set) {
        /// The chain of the process.
        chain: String,
        /// The policy, or the exception as `namespace/name`.
        policy: String,
        /// `policy`, `exception`, or `refused` (the text says what and why).
        kind: String,
        /// Digest of the set that it is part of.
        policy_set: String,
        /// From when on.
        valid_from: String,
        /// Until when: the next set, or the chain's last record.
        valid_to: String,
    }
}

fact! {
    /// A time during which a component of Provost was in one state. Those of a component tile the period.
    ControlInterval in "control_intervals" by (component) {
        /// `webhook`, `agent`, `recorder`.
        component: String,
        /// From when on.
        valid_from: String,
        /// Until when.
        valid_to: String,
        /// `up`, `degraded`, `down`, `fail_open`, `unknown`.
        state: String,
        /// What tells so.
        basis: String,
        /// How long it took, in seconds.
        seconds: u64,
    }
}

fact! {
    /// A sample of what no API keeps a history of.
    SampleTaken in "samples" by (subject) {
        /// `rbac`, `webhook-configurations`, `policies`, `exempt-namespaces`.
        subject: String,
        /// When it was taken.
        recorded_at: String,
        /// The chain that has it.
        chain: String,
        /// Its number there.
        seq: u64,
        /// Digest of all of it; none where it could not be taken.
        digest: Option<String>,
        /// How many objects it was.
        objects: u64,
        /// When it was sampled before.
        since: Option<String>,
        /// The longest time between two samples, in seconds.
        interval_seconds: u64,
        /// Why there is none.
        failure: Option<String>,
    }
}
