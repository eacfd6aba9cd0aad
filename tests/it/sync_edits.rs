//! What people and attackers change by hand, under whatever name, against a real control plane: each edit is seen and
//! put back; a table of what matters most, and random ones.

use std::time::{Duration, Instant};

use harness::wait_for;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::edits::{Change, Edit, Verb, additions, mutate, without_bookkeeping};
use crate::support::random::Random;

/// How soon an edit is to be undone; a busy machine has as long again.
const PROMISED: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(4);

/// Names under which edits are made: of people's tools, of other controllers, and our own.
const MANAGERS: [&str; 3] = ["kubectl-edit", "somebody", "provost"];

/// Fewer edits of one object than the budget by which a fight with a controller is told from a person.
const EDITS_OF_ONE: usize = 8;

/// How often an update is tried while a controller writes to the object too.
const UPDATES: usize = 10;

/// One object of many kinds each, whose names end in `SUFFIX`.
const OBJECTS: &str = r#"
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web-SUFFIX, labels: {app: web}}, spec: {replicas: 0, selector: {matchLabels: {app: web-SUFFIX}}, template: {metadata: {labels: {app: web-SUFFIX}}, spec: {containers: [{name: web, image: 'registry.example.com/web:v1', env: [{name: MODE, value: quiet}, {name: LEVEL, value: '3'}], ports: [{containerPort: 8080, name: http}], resources: {limits: {cpu: 500m, memory: 128Mi}}, securityContext: {privileged: false, runAsNonRoot: true}, readinessProbe: {httpGet: {path: /, port: http}}}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: store-SUFFIX}, spec: {replicas: 0, serviceName: store, selector: {matchLabels: {app: store-SUFFIX}}, template: {metadata: {labels: {app: store-SUFFIX}, annotations: {team: storage}}, spec: {containers: [{name: store, image: 'registry.example.com/store:v1', args: [serve, --quiet]}], volumes: [{name: scratch, emptyDir: {}}]}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-SUFFIX}, spec: {selector: {app: web-SUFFIX}, ports: [{name: http, port: 80, targetPort: http}, {name: metrics, port: 9090}]}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader-SUFFIX}, rules: [{apiGroups: [''], resources: [configmaps, services], verbs: [get, list]}, {apiGroups: [apps], resources: [deployments], verbs: [get]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader-SUFFIX}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader-SUFFIX}, subjects: [{kind: User, name: carol, apiGroup: rbac.authorization.k8s.io}, {kind: ServiceAccount, name: default, namespace: NAMESPACE}]}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web-SUFFIX}, spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: proxy}}}], ports: [{port: 8080}]}], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 443, protocol: TCP}]}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings-SUFFIX, annotations: {team: web}}, data: {LEVEL: info, MODE: quiet, file.conf: "a = 1\nb = 2\n"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: settings-SUFFIX}, stringData: {password: first, user: app}, data: {key: YWJj}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web-SUFFIX}, spec: {tls: [{hosts: [web.example.com], secretName: web-tls}], rules: [{host: web.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}, {path: /api, pathType: Exact, backend: {service: {name: api, port: {number: 80}}}}]}}]}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web-SUFFIX}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: elsewhere}, minReplicas: 2, maxReplicas: 5, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web-SUFFIX}, spec: {minAvailable: 1, selector: {matchLabels: {app: web-SUFFIX}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly-SUFFIX}, spec: {schedule: '0 3 29 2 *', suspend: true, jobTemplate: {spec: {backoffLimit: 2, template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'registry.example.com/nightly:v1', command: [run], env: [{name: WHEN, value: night}]}]}}}}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web-SUFFIX, labels: {app: web}}, automountServiceAccountToken: false}
---
{apiVersion: GROUP/v1, kind: Widget, metadata: {name: web-SUFFIX}, spec: {size: 3, tags: [red, blue], parts: [{name: wheel, count: 4}], free: {any: {thing: yes please}}}}
"#;

/// A kind of one's own, structural, with a list that is a map by name and a place that takes anything.
const WIDGET: &str = r"
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.GROUP}, spec: {group: GROUP, scope: Namespaced, names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}, tags: {type: array, items: {type: string}}, parts: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [name], items: {type: object, required: [name], properties: {name: {type: string}, count: {type: integer, default: 1}}}}, free: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}]}}
";

/// An object that the agent keeps.
struct Kept {
    api_version: String,
    kind: String,
    name: String,
}

/// Syncs so many copies of each object, one folder and Application a copy.
async fn sync(agent: &mut Agent<'_>, copies: usize) -> anyhow::Result<Vec<Kept>> {
    let group = format!("{}.example.com", agent.namespace);
    agent
        .kubectl(
            &["apply", "--server-side", "-f", "-"],
            &WIDGET.replace("GROUP", &group),
        )
        .await?;
    let kind = format!("crd/widgets.{group}");
    agent
        .kubectl(&["wait", "--for=condition=Established", &kind], "")
        .await?;
    let mut kept = Vec::new();
    for copy in 0..copies {
        let text = OBJECTS
            .replace("SUFFIX", &copy.to_string())
            .replace("GROUP", &group);
        for document in provost_manifest::yaml::parse_stream(&text) {
            let object = document?.value;
            let text = |pointer: &str| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap()
                    .to_owned()
            };
            kept.push(Kept {
                api_version: text("/apiVersion"),
                kind: text("/kind"),
                name: text("/metadata/name"),
            });
        }
        agent.commit(&[(&format!("app-{copy}/all.yaml"), &text)])?;
    }
    let head = agent.repository.head()?;
    for copy in 0..copies {
        let name = format!("app-{copy}");
        agent.application(&name, &name, json!({})).await?;
    }
    for copy in 0..copies {
        agent.wait_synced(&format!("app-{copy}"), &head).await?;
    }
    Ok(kept)
}

impl Agent<'_> {
    /// Makes the edit. Returns the object as it then is, or `None` where the apiserver did not take it.
    async fn make(&self, kept: &Kept, edit: &Edit) -> anyhow::Result<Option<Value>> {
        let live = &edit.live;
        let api = self.api(&kept.api_version, &kept.kind);
        let parameters = PatchParams {
            field_manager: Some(edit.manager.to_owned()),
            ..PatchParams::default()
        };
        let name = kept.name.as_str();
        let done = match edit.verb {
            Verb::Merge => {
                let patch = Patch::Merge(edit.merge_patch(live));
                api.patch(name, &parameters, &patch).await
            }
            Verb::Strategic => {
                let patch = Patch::Strategic(edit.merge_patch(live));
                api.patch(name, &parameters, &patch).await
            }
            Verb::Json => {
                let patch = Patch::<Value>::Json(json_patch::diff(live, &edit.object));
                api.patch(name, &parameters, &patch).await
            }
            Verb::Apply => {
                let patch = Patch::Apply(edit.applied());
                api.patch(name, &parameters.force(), &patch).await
            }
            Verb::Update => {
                let mut object: DynamicObject = serde_json::from_value(edit.object.clone())?;
                let parameters = PostParams {
                    field_manager: parameters.field_manager,
                    ..PostParams::default()
                };
                let mut tries = 0;
                loop {
                    tries += 1;
                    // Its controller may have written its status since.
                    object.metadata.resource_version = api.get(name).await?.metadata.resource_version;
                    match api.replace(name, &parameters, &object).await {
                        Err(kube::Error::Api(status)) if status.code == 409 && tries < UPDATES => {}
                        done => break done,
                    }
                }
            }
            Verb::Delete => {
                api.delete(name, &DeleteParams::default()).await?;
                return Ok(Some(Value::Null));
            }
        };
        match done {
            Ok(object) => Ok(Some(serde_json::to_value(object)?)),
            Err(kube::Error::Api(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the edit and waits until the object is again as it was; how long that took, or `None` where the edit
    /// was none: not accepted, or without an effect.
    async fn edit_and_heal(&self, kept: &Kept, edit: &Edit) -> anyhow::Result<Option<Duration>> {
        let api = self.api(&kept.api_version, &kept.kind);
        let before = without_bookkeeping(&edit.live, edit.verb);
        let start = Instant::now();
        let Some(edited) = self.make(kept, edit).await? else {
            return Ok(None);
        };
        if without_bookkeeping(&edited, edit.verb) == before {
            return Ok(None);
        }
        let mut last = Value::Null;
        let healed = wait_for(
            &format!("{} {} to be put back", kept.kind, kept.name),
            LIMIT,
            async || {
                let now = match api.get_opt(&kept.name).await? {
                    Some(now) => serde_json::to_value(now)?,
                    None => Value::Null,
                };
                last = without_bookkeeping(&now, edit.verb);
                anyhow::ensure!(last == before, "it differs");
                Ok(())
            },
        )
        .await;
        match healed {
            Ok(()) => Ok(Some(start.elapsed())),
            Err(error) => {
                let copy = kept.name.rsplit('-').next().unwrap_or_default();
                let conditions = self.status(&format!("app-{copy}")).await?["conditions"].clone();
                let differs = json_patch::diff(&before, &last);
                anyhow::bail!("{error:#}: {differs}; the Application says: {conditions}")
            }
        }
    }
}

/// Makes so many random edits that are accepted and change something, and holds each to what was promised.
async fn edit_at_random(agent: &mut Agent<'_>, edits: usize) -> anyhow::Result<()> {
    let seed = Random::seed();
    harness::progress::note(&format!("{edits} random edits, PROVOST_TEST_SEED={seed}"));
    let mut random = Random::of_seed(seed);
    let objects = OBJECTS.matches("---").count() + 1;
    // Half as many again as are needed, since chance is not even.
    let kept = sync(agent, (edits * 3 / 2).div_ceil(EDITS_OF_ONE * objects)).await?;
    let (mut missed, mut times, mut tries) = (Vec::new(), Vec::new(), 0);
    let mut left = vec![EDITS_OF_ONE; kept.len()];
    let mut tally = std::collections::BTreeMap::<(String, &str), usize>::new();
    while times.len() + missed.len() < edits {
        tries += 1;
        anyhow::ensure!(tries < edits * 20, "too few edits are accepted");
        let which = random.below(kept.len());
        let one = &kept[which];
        if left[which] == 0 {
            continue;
        }
        let live = agent.get(&one.api_version, &one.kind, &one.name).await?;
        let Some(edit) = mutate(&mut random, &live) else {
            continue;
        };
        match agent.edit_and_heal(one, &edit).await {
            Ok(None) => {}
            Ok(Some(took)) => {
                left[which] -= 1;
                times.push(took);
                *tally.entry((one.kind.clone(), edit.verb.name())).or_default() += 1;
            }
            Err(error) => {
                // It may be stuck: no further edit would say anything.
                left[which] = 0;
                missed.push(format!("{} {}: {edit}: {error:#}", one.kind, one.name));
            }
        }
    }
    times.sort_unstable();
    let slow = times.iter().filter(|took| **took > PROMISED).count();
    harness::progress::note(&format!(
        "{} edits of {tries} tries put back: median {:?}, slowest {:?}, {slow} slower than {PROMISED:?}; {tally:?}",
        times.len(),
        times.get(times.len() / 2).unwrap_or(&Duration::ZERO),
        times.last().unwrap_or(&Duration::ZERO),
    ));
    assert!(
        missed.is_empty(),
        "PROVOST_TEST_SEED={seed}: {} edits missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_edits_are_all_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "edits").await?;
    edit_at_random(&mut agent, 30).await?;
    agent.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes: make soak runs it"]
async fn soak_a_thousand_random_edits_are_all_put_back() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!(own);
    let mut agent = Agent::start(&cluster, "edits").await?;
    edit_at_random(&mut agent, 1_000).await?;
    agent.stop().await
}

/// What an attacker adds or changes, as a person reads it: what, of which kind, and how.
fn table() -> Vec<(&'static str, &'static str, Change)> {
    [of_pods(), of_rights_and_ways()].concat()
}

fn of_pods() -> Vec<(&'static str, &'static str, Change)> {
    let container = json!({"name": "miner", "image": "registry.example.com/miner:v1"});
    let privileged = json!({"name": "root", "image": "registry.example.com/root:v1", "securityContext": {"privileged": true}});
    vec![
        (
            "the host's network",
            "Deployment",
            Change::set("/spec/template/spec/hostNetwork", json!(true)),
        ),
        (
            "a privileged container",
            "Deployment",
            Change::add("/spec/template/spec/containers", privileged),
        ),
        (
            "a container made privileged",
            "Deployment",
            Change::set(
                "/spec/template/spec/containers/0/securityContext",
                json!({"privileged": true}),
            ),
        ),
        (
            "a second container",
            "Deployment",
            Change::add("/spec/template/spec/containers", container.clone()),
        ),
        (
            "an init container",
            "StatefulSet",
            Change::add("/spec/template/spec/initContainers", container),
        ),
        (
            "a variable more",
            "Deployment",
            Change::add(
                "/spec/template/spec/containers/0/env",
                json!({"name": "LD_PRELOAD", "value": "/tmp/x.so"}),
            ),
        ),
        (
            "a variable's value",
            "Deployment",
            Change::set("/spec/template/spec/containers/0/env/0/value", json!("loud")),
        ),
        (
            "a folder of the host",
            "StatefulSet",
            Change::add(
                "/spec/template/spec/volumes",
                json!({"name": "host", "hostPath": {"path": "/"}}),
            ),
        ),
        (
            "another account",
            "StatefulSet",
            Change::set("/spec/template/spec/serviceAccountName", json!("other")),
        ),
        (
            "another account for a job",
            "CronJob",
            Change::set(
                "/spec/jobTemplate/spec/template/spec/serviceAccountName",
                json!("other"),
            ),
        ),
    ]
}

fn of_rights_and_ways() -> Vec<(&'static str, &'static str, Change)> {
    let anything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let anywhere = json!({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]});
    let mallory = json!({"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"});
    vec![
        (
            "a label",
            "ConfigMap",
            Change::set("/metadata/labels/added", json!("by-hand")),
        ),
        (
            "our label",
            "ConfigMap",
            Change::remove("/metadata/labels/provost.dev~1owner"),
        ),
        (
            "another's label",
            "Service",
            Change::set("/spec/selector/app", json!("mallory")),
        ),
        ("an RBAC rule", "Role", Change::add("/rules", anything)),
        (
            "a verb of an RBAC rule",
            "Role",
            Change::add("/rules/0/verbs", json!("*")),
        ),
        ("a subject", "RoleBinding", Change::add("/subjects", mallory)),
        (
            "an egress rule",
            "NetworkPolicy",
            Change::add("/spec/egress", anywhere),
        ),
        (
            "no egress policy",
            "NetworkPolicy",
            Change::set("/spec/policyTypes", json!(["Ingress"])),
        ),
        (
            "a key of a Secret",
            "Secret",
            Change::set("/data/backdoor", json!("eA==")),
        ),
        (
            "a port's number",
            "Service",
            Change::set("/spec/ports/1/port", json!(9093)),
        ),
        (
            "a port's protocol",
            "Deployment",
            Change::set("/spec/template/spec/containers/0/ports/0/protocol", json!("UDP")),
        ),
        (
            "a schedule",
            "CronJob",
            Change::set("/spec/suspend", json!(false)),
        ),
        (
            "a field that takes anything",
            "Widget",
            Change::set("/spec/free/more", json!({"a": [1]})),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matters_is_put_back_under_every_name_and_verb() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let mut agent = Agent::start(cluster, "table").await?;
    // A copy for each name, so that no object is changed as often as in a fight.
    let kept = sync(&mut agent, MANAGERS.len()).await?;
    let mut missed = Vec::new();
    for (copy, manager) in MANAGERS.into_iter().enumerate() {
        for (number, (what, kind, change)) in table().into_iter().enumerate() {
            let is_it = |one: &&Kept| one.kind == kind && one.name.ends_with(&format!("-{copy}"));
            let one = kept.iter().find(is_it).unwrap();
            let live = agent.get(&one.api_version, &one.kind, &one.name).await?;
            // An apply of another's takes nothing away.
            let takes_away = !matches!(change, Change::Remove(_)) || manager == "provost";
            let verbs = [Verb::Json, Verb::Update, Verb::Merge, Verb::Apply];
            let verb = verbs[(number + copy) % if takes_away { 4 } else { 3 }];
            let mut object = live.clone();
            change.make(&mut object)?;
            let mut edit = Edit {
                live,
                object,
                manager,
                verb,
            };
            let mut healed = agent.edit_and_heal(one, &edit).await;
            if matches!(healed, Ok(None)) {
                // An apply beside what is there is refused to others too; a patch is not.
                edit.verb = Verb::Json;
                healed = agent.edit_and_heal(one, &edit).await;
            }
            match healed {
                Ok(Some(_)) => {}
                Ok(None) => missed.push(format!("{what}: {edit}: it was no edit")),
                Err(error) => missed.push(format!("{what}: {edit}: {error:#}")),
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(
        additions("Deployment").len() > 3,
        "random edits know what attackers add too"
    );
    agent.stop().await
}
