#![expect(
    clippy::needless_pass_by_value,
    reason = "json! reads best where the value is wanted"
)]

use rstest::rstest;
use serde_json::json;

use super::*;

fn project(spec: Value) -> Project {
    Project::parse("shop", &spec).unwrap()
}

const HERE: Destination<'static> = Destination {
    server: "https://kubernetes.default.svc",
    cluster: "in-cluster",
    namespace: "shop",
};

#[rstest]
#[case(json!(["*"]), "https://git.example.com/a/b", true)]
#[case(json!([]), "https://git.example.com/a/b", false)]
#[case(json!(["https://git.example.com/a/b"]), "https://git.example.com/a/b.git", true)]
#[case(json!(["https://git.example.com/a/b.git"]), "https://git.example.com/A/b/", true)]
#[case(json!(["https://git.example.com/a/*"]), "https://git.example.com/a/b", true)]
#[case(json!(["https://git.example.com/a/*"]), "https://git.example.com/a/b/c", false)]
#[case(json!(["https://git.example.com/*"]), "https://git.example.com.evil.org/a", false)]
#[case(json!(["https://git.example.com/**"]), "https://git.example.com/a/b/c", true)]
#[case(json!(["https://git.example.com/a/?"]), "https://git.example.com/a/bc", false)]
#[case(json!(["git@git.example.com:a/*"]), "git@git.example.com:a/b.git", true)]
#[case(json!(["git@git.example.com:a/*"]), "ssh://git@git.example.com/a/b", true)]
#[case(json!(["*", "!https://git.example.com/secret/*"]), "https://git.example.com/secret/b", false)]
#[case(json!(["!https://git.example.com/secret/*", "*"]), "https://git.example.com/open/b", true)]
#[case(json!(["!https://git.example.com/secret/*"]), "https://git.example.com/open/b", false)]
fn repositories(#[case] patterns: Value, #[case] url: &str, #[case] is_allowed: bool) {
    let project = project(json!({ "sourceRepos": patterns }));
    assert_eq!(project.check_source(url).is_ok(), is_allowed);
}

#[rstest]
#[case(json!([]), false)]
#[case(json!([{"server": "https://kubernetes.default.svc", "namespace": "shop"}]), true)]
#[case(json!([{"name": "in-cluster", "namespace": "sh*"}]), true)]
#[case(json!([{"server": "*", "namespace": "*"}]), true)]
#[case(json!([{"server": "https://10.*", "namespace": "*"}]), false)]
#[case(json!([{"server": "*"}]), false)]
#[case(json!([{"server": "*", "namespace": "*"}, {"server": "*", "namespace": "!sh*"}]), false)]
#[case(json!([{"server": "*", "namespace": "!kube-system"}, {"server": "*", "namespace": "*"}]), true)]
// What denies one allows no other.
#[case(json!([{"server": "*", "namespace": "!kube-system"}]), false)]
#[case(json!([{"server": "!https://kubernetes.*", "namespace": "*"}, {"server": "*", "namespace": "*"}]), false)]
#[case(json!([{"server": "!https://other", "namespace": "*"}, {"server": "*", "namespace": "*"}]), true)]
#[case(json!([{"name": "!in-*", "namespace": "shop"}, {"server": "*", "namespace": "*"}]), false)]
fn destinations(#[case] rules: Value, #[case] is_allowed: bool) {
    let project = project(json!({ "destinations": rules }));
    assert_eq!(project.check_destination(&HERE).is_ok(), is_allowed);
}

#[rstest]
// What is in no namespace needs a line.
#[case(json!({}), "", "Namespace", false, false)]
#[case(json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}), "", "Namespace", false, true)]
#[case(json!({"clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}]}), "rbac.authorization.k8s.io", "ClusterRole", false, false)]
#[case(json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*"}], "clusterResourceBlacklist": [{"group": "rbac.*", "kind": "Cluster*"}]}), "rbac.authorization.k8s.io", "ClusterRole", false, false)]
#[case(json!({"clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "shop-*"}]}), "", "Namespace", false, false)]
// What is in one is allowed unless something says otherwise.
#[case(json!({}), "apps", "Deployment", true, true)]
#[case(json!({"namespaceResourceBlacklist": [{"group": "apps", "kind": "*"}]}), "apps", "Deployment", true, false)]
#[case(json!({"namespaceResourceWhitelist": [{"group": "apps", "kind": "Deployment"}]}), "apps", "Deployment", true, true)]
#[case(json!({"namespaceResourceWhitelist": [{"group": "apps", "kind": "Deployment"}]}), "", "Secret", true, false)]
#[case(json!({"namespaceResourceWhitelist": []}), "", "Secret", true, false)]
#[case(json!({"namespaceResourceWhitelist": null}), "", "Secret", true, true)]
#[case(json!({"namespaceResourceWhitelist": [{"group": "*", "kind": "*"}], "namespaceResourceBlacklist": [{"group": "", "kind": "Secret"}]}), "", "Secret", true, false)]
fn kinds_by_scope(
    #[case] spec: Value,
    #[case] group: &str,
    #[case] kind: &str,
    #[case] is_namespaced: bool,
    #[case] is_allowed: bool,
) {
    let project = project(spec);
    assert_eq!(
        project.check_kind(group, kind, "cart", is_namespaced).is_ok(),
        is_allowed
    );
}

#[rstest]
#[case(json!([]), "provost", true)]
#[case(json!([]), "team-a", false)]
#[case(json!(["team-*"]), "team-a", true)]
#[case(json!(["/^team-(a|b)$/"]), "team-b", true)]
#[case(json!(["/^team-(a|b)$/"]), "team-bc", false)]
fn applications_may_be_where_the_project_says(
    #[case] namespaces: Value,
    #[case] namespace: &str,
    #[case] is_allowed: bool,
) {
    let project = project(json!({ "sourceNamespaces": namespaces }));
    assert_eq!(
        project.check_application_namespace(namespace, "provost").is_ok(),
        is_allowed
    );
}

#[rstest]
#[case("shop", Some(("shop", "deployer")))]
#[case("web", Some(("ops", "web-deployer")))]
#[case("other", Some(("other", "fallback")))]
fn the_first_line_about_a_destination_names_the_service_account(
    #[case] namespace: &str,
    #[case] expected: Option<(&str, &str)>,
) {
    let project = project(json!({"destinationServiceAccounts": [
        {"server": "https://kubernetes.*", "namespace": "shop", "defaultServiceAccount": "deployer"},
        {"server": "*", "namespace": "w*", "defaultServiceAccount": "ops:web-deployer"},
        {"server": "*", "namespace": "*", "defaultServiceAccount": "fallback"},
    ]}));
    let account = project.service_account(&Destination { namespace, ..HERE });
    let expected = expected.map(|(namespace, name)| ServiceAccount {
        namespace: namespace.into(),
        name: name.into(),
    });
    assert_eq!(account, expected);
    assert_eq!(Project::default().service_account(&HERE), None);
}

#[test]
fn a_refusal_says_what_and_by_which_line() {
    let project = project(json!({
        "sourceRepos": ["!https://git.example.com/old"],
        "destinations": [{"server": "*", "namespace": "!kube-*"}],
        "clusterResourceBlacklist": [{"group": "", "kind": "Node"}],
    }));
    let kube_system = Destination {
        namespace: "kube-system",
        ..HERE
    };
    let refusals = [
        project.check_source("https://git.example.com/new"),
        project.check_source("https://git.example.com/old"),
        project.check_destination(&HERE),
        project.check_destination(&kube_system),
        project.check_kind("apps", "DaemonSet", "a", false),
        project.check_kind("", "Node", "a", false),
        project.check_application_namespace("team-a", "provost"),
        Err(Refusal::NoProject {
            project: "shop".into(),
            namespace: "provost".into(),
        }),
    ];
    let texts: Vec<_> = refusals
        .into_iter()
        .map(|refusal| refusal.unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    AppProject shop does not allow the repository https://git.example.com/new; it would with this line in spec.sourceRepos: - https://git.example.com/new
    AppProject shop denies the repository https://git.example.com/old, by spec.sourceRepos[0]: "!https://git.example.com/old"
    AppProject shop does not allow namespace shop of cluster in-cluster; it would with this line in spec.destinations: - {server: https://kubernetes.default.svc, namespace: "shop"}
    AppProject shop denies namespace kube-system of cluster in-cluster, by spec.destinations[0]: {server: "*", namespace: "!kube-*"}
    AppProject shop does not allow the kind DaemonSet.apps; it would with this line in spec.clusterResourceWhitelist: - {group: "apps", kind: DaemonSet}
    AppProject shop denies the kind Node, by spec.clusterResourceBlacklist[0]: {group: "", kind: "Node"}
    AppProject shop does not allow Applications in namespace team-a; it would with this line in spec.sourceNamespaces: - team-a
    there is no AppProject provost/shop, so that nothing is allowed; create it, or name another in spec.project
    "#);
}

#[test]
fn every_flaw_of_a_project_is_named() {
    let spec = json!({
        "sourceRepos": ["!*", 1],
        "destinations": [{"namespace": "a"}, {"server": "!*", "namespace": "a"}],
        "clusterResourceWhitelist": [{"group": "a"}, {"group": "", "kind": "A", "odd": 1}],
        "destinationServiceAccounts": [{"server": "*", "namespace": "!a", "defaultServiceAccount": "a"}, {"server": "*", "namespace": "a", "defaultServiceAccount": "*"}],
        "signatureKeys": [{}],
        "sourceIntegrity": {},
    });
    let error = Project::parse("shop", &spec).unwrap_err();
    insta::assert_snapshot!(error.0.join("\n"), @r#"
    spec.sourceRepos[1] must be text
    spec.sourceRepos[0] "!*" would deny every repository: leave out what allows them instead
    spec.destinations[0] has neither server nor name
    spec.destinations[1].server "!*" would deny everything: leave out what allows it instead
    spec.destinations[1] has neither server nor name
    spec.clusterResourceWhitelist[0] needs group and kind
    spec.clusterResourceWhitelist[1] has odd, which is not supported
    spec.destinationServiceAccounts[0].namespace may not be turned around by !
    spec.destinationServiceAccounts[1].defaultServiceAccount must be a name, or namespace:name
    spec.signatureKeys[0].keyID is missing
    spec.sourceIntegrity.git is missing
    "#);
}

#[test]
fn what_has_no_effect_here_is_read_and_named() {
    let project = project(
        json!({"description": "the shop", "roles": [{"name": "ci"}], "signatureKeys": [{"keyID": "4AEE18F83AFDEB23"}]}),
    );
    assert_eq!(project.without_effect, ["description", "roles"]);
    assert_eq!(project.signature_keys, ["4AEE18F83AFDEB23"]);
}
