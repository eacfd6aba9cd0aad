//! AppProjects on a real apiserver: the CRD that is shipped keeps what users write.

use harness::User;
use kube::api::Api;
use provost::api::argoproj::AppProject;
use provost_delivery::project::Destination;

const CRD: &str = include_str!("../../deploy/crds/argoproj-appproject.yaml");

const PROJECT: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: shop}
spec:
  description: the shop's
  sourceRepos: ["https://git.example.com/shop/*"]
  destinations: [{server: "*", namespace: shop}]
  clusterResourceWhitelist: [{group: "", kind: Namespace}]
  syncWindows: [{kind: deny, schedule: "0 22 * * *", duration: 8h, applications: ["*"], timeZone: Europe/Berlin}]
  roles: [{name: ci, policies: ["p, proj:shop:ci, applications, sync, shop/*, allow"]}]
  someday: {unheard: of}
"#;

#[tokio::test]
async fn the_crd_keeps_every_field_so_that_an_unknown_one_can_be_refused_by_name() -> anyhow::Result<()> {
    let cluster = harness::cluster_or_skip!();
    let namespace = cluster.namespace("project").await?;
    let kubectl =
        async |args: &[&str], stdin: &str| cluster.kubectl(User::Admin, args, stdin).await?.success();
    kubectl(&["apply", "--server-side", "-f", "-"], CRD).await?;
    kubectl(
        &[
            "wait",
            "--for=condition=Established",
            "crd/appprojects.argoproj.io",
            "--timeout=30s",
        ],
        "",
    )
    .await?;
    kubectl(&["-n", &namespace, "apply", "-f", "-"], PROJECT).await?;

    let projects: Api<AppProject> = Api::namespaced(cluster.client(User::Admin).await?, &namespace);
    let mut live = projects.get("shop").await?;
    let error = live.project().unwrap_err();
    assert_eq!(error.to_string(), "spec.someday is not supported");

    live.spec.as_object_mut().unwrap().remove("someday");
    let project = live.project()?;
    assert_eq!(project.name(), "shop");
    let destination = |namespace| Destination {
        server: "https://kubernetes.default.svc",
        cluster: "in-cluster",
        namespace,
    };
    assert!(project.check_destination(&destination("shop")).is_ok());
    assert!(project.check_destination(&destination("kube-system")).is_err());
    Ok(())
}
