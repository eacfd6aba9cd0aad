//! `make demo`: Provost's main job on real parts, in a minute. What needs only the binary is told while the control
//! plane is still being built or started. Everything is left in reports/demo to look at.

mod narrator;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use harness::binaries::Binaries;
use harness::progress::Progress;
use harness::provost::provost_binary;
use harness::{Cluster, Provost, User, wait_for};
use tokio::sync::oneshot;

use crate::narrator::{Expected, Narrator, Person};
use crate::stage::Stage;

/// What the story waits for takes a second or two; a busy machine needs more.
const SOON: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    harness::run(tell())
}

async fn tell() -> anyhow::Result<()> {
    let start = Instant::now();
    let mut stage = Stage::set()?;
    let progress = Arc::new(Progress::hidden());
    let mut cluster = prepare(Arc::clone(&progress));
    let mut narrator = Narrator::new(
        &stage.folder.join("transcript.txt"),
        harness::settings::no_color(),
    )?;
    narrator.print("Provost keeps order in a Kubernetes cluster, and keeps the record. This is its main job, on real parts.")?;
    without_a_cluster(&mut narrator, &stage)?;

    if cluster.is_empty() {
        narrator.say(
            "(A real control plane is being prepared: etcd, the apiserver, its controllers and scheduler.)",
        )?;
    }
    progress.show();
    let cluster = tokio::select! {
        cluster = &mut cluster => cluster??,
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    tokio::select! {
        told = with_a_cluster(&mut narrator, &mut stage, &cluster) => told?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
    }
    narrator.print("")?;
    let folder = "reports/demo";
    narrator.print(&format!(
        "Told in {} s. To look at: {folder}/tables, {folder}/ledger, {folder}/infrastructure (a Git repository), \
         {folder}/transcript.txt. To play on a cluster yourself: make cluster",
        start.elapsed().as_secs()
    ))
}

/// Builds and starts the control plane on a thread of its own, which nobody waits for when the story ends early.
fn prepare(progress: Arc<Progress>) -> oneshot::Receiver<anyhow::Result<Cluster>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let start = || {
            Binaries::build(&progress)?;
            tokio::runtime::Runtime::new()?.block_on(Cluster::own())
        };
        // Nobody listens any more where the story has ended.
        let _ = sender.send(start());
    });
    receiver
}

/// Checking a manifest and reporting on a repository need the binary and nothing else.
fn without_a_cluster(narrator: &mut Narrator, stage: &Stage) -> anyhow::Result<()> {
    let dana = person("dana", stage, None)?;
    narrator.step("Check a manifest before anybody sees it")?;
    narrator.say("The company has three policies, in Kyverno's form, in the folder policies. Dana has written a manifest.")?;
    narrator.run(
        &dana,
        "provost check --policies policies my-app.yaml",
        Expected::Refusal,
    )?;

    narrator.step("Read the record of a configuration repository")?;
    narrator
        .say("What runs in the cluster is written in a Git repository; changes come by pull requests.")?;
    narrator.run(
        &dana,
        "git -C infrastructure log --oneline --graph",
        Expected::Success,
    )?;
    narrator.run(
        &dana,
        "provost report --repo infrastructure --out tables/repository",
        Expected::Success,
    )?;
    narrator.run(&dana, "cat tables/repository/commits.md", Expected::Success)?;
    Ok(())
}

async fn with_a_cluster(narrator: &mut Narrator, stage: &mut Stage, cluster: &Cluster) -> anyhow::Result<()> {
    let dana = person("dana", stage, Some((cluster, User::Developer)))?;
    let alex = person("alex", stage, Some((cluster, User::Admin)))?;
    let provost = person("provost", stage, Some((cluster, User::Agent)))?;

    narrator.step("Start Provost on a real cluster")?;
    narrator.run(&alex, "kubectl version", Expected::Success)?;
    alex.run(
        "kubectl create namespace shop; kubectl create namespace argocd",
        Expected::Success,
    )?;
    let serving = serve(narrator, &provost).await?;

    denial(narrator, &dana)?;
    synced_commit(narrator, stage, &alex).await?;
    healed_edit(narrator, &dana, &alex).await?;
    evidence(narrator, &alex)?;

    narrator.step("Verify the ledger")?;
    narrator.say("Provost stops, which closes its chain of records. Each record carries the hash of the one before it.")?;
    serving.stop().await?;
    narrator.run(&alex, "provost verify ledger", Expected::Success)?;
    Ok(())
}

fn denial(narrator: &mut Narrator, dana: &Person) -> anyhow::Result<()> {
    narrator.step("The apiserver refuses what the policies refuse")?;
    narrator.say("The same engine judges, and says the same; this time it binds.")?;
    narrator.run(dana, "kubectl apply -f my-app.yaml", Expected::Refusal)?;
    narrator.say("\nDana mends what the text names, and it is let in.")?;
    narrator.run(
        dana,
        "diff -u0 my-app.yaml my-app-fixed.yaml | tail -n +3",
        Expected::Success,
    )?;
    narrator.run(dana, "kubectl apply -f my-app-fixed.yaml", Expected::Success)?;
    Ok(())
}

async fn synced_commit(narrator: &mut Narrator, stage: &mut Stage, alex: &Person) -> anyhow::Result<()> {
    narrator.step("A commit reaches the cluster")?;
    narrator.say("An AppProject, in Argo CD's form, says what a team may take from where, and put where.")?;
    narrator.run(alex, "kubectl apply -f project.yaml", Expected::Success)?;
    narrator.say("\nAn Application, in Argo CD's form too, says which folder of the repository belongs into which namespace.")?;
    narrator.run(alex, "kubectl apply -f application.yaml", Expected::Success)?;
    eventually(
        alex,
        "kubectl -n argocd get application cart -o jsonpath='{.status.sync.status} {.status.health.status}'",
        "Synced Healthy",
    )
    .await?;
    narrator.run(alex, "kubectl -n argocd get applications", Expected::Success)?;
    narrator.run(
        alex,
        "kubectl -n store get deployments,services -o wide",
        Expected::Success,
    )?;
    narrator.say("\nDana proposes version 1.1.0 in pull request 2, and Alex merges it.")?;
    let commit = stage.release()?;
    narrator.run(alex, "git -C infrastructure log --oneline -1", Expected::Success)?;
    eventually(
        alex,
        "kubectl -n argocd get application cart -o jsonpath='{.status.sync.revision}'",
        &commit,
    )
    .await?;
    narrator.run(
        alex,
        "kubectl -n store get deployment cart -o wide",
        Expected::Success,
    )?;
    Ok(())
}

async fn healed_edit(narrator: &mut Narrator, dana: &Person, alex: &Person) -> anyhow::Result<()> {
    narrator.step("An edit by hand is put back")?;
    narrator.say("Somebody is in a hurry: two replicas become five, and nothing of it is in Git.")?;
    narrator.run(
        dana,
        "kubectl -n store scale deployment cart --replicas=5",
        Expected::Success,
    )?;
    eventually(
        alex,
        "kubectl -n store get deployment cart -o jsonpath='{.spec.replicas}'",
        "2",
    )
    .await?;
    narrator.say("\nA moment later it is as Git says again, and the ledger has which field was changed, and by which field manager.")?;
    narrator.run(alex, "kubectl -n store get deployment cart", Expected::Success)?;
    Ok(())
}

fn evidence(narrator: &mut Narrator, alex: &Person) -> anyhow::Result<()> {
    narrator.step("The evidence: the commit, the author and the file behind every live object")?;
    narrator.say("Pods and ReplicaSets are traced to the Deployment that made them. No file declares the namespace: the Application asked for it.")?;
    narrator.run(
        alex,
        "provost report --repo infrastructure --kubeconfig \"$KUBECONFIG\" --out tables/cluster",
        Expected::Success,
    )?;
    narrator.run(alex, "cat tables/cluster/objects.md", Expected::Success)?;
    Ok(())
}

/// Somebody with Provost, kubectl and the cluster's other programs on the PATH.
fn person(name: &'static str, stage: &Stage, cluster: Option<(&Cluster, User)>) -> anyhow::Result<Person> {
    let binary = provost_binary()?;
    let mut folders: Vec<PathBuf> = binary.parent().map(PathBuf::from).into_iter().collect();
    folders.extend(cluster.map(|(cluster, _)| cluster.binaries().folder().to_owned()));
    let path = harness::settings::path_with(&folders)?;
    let kubeconfig = cluster.map(|(cluster, user)| cluster.kubeconfig(user));
    Ok(Person {
        name,
        folder: stage.folder.clone(),
        path,
        kubeconfig,
    })
}

/// Starts `provost serve` and shows what it says of itself.
async fn serve(narrator: &mut Narrator, person: &Person) -> anyhow::Result<Provost> {
    let command = "provost serve --policies policies --certs certs --ledger ledger --listen 127.0.0.1:0 \
                   --metrics-listen 127.0.0.1:0 --log warn --allow-local-repositories --control-namespace argocd --poll-interval 1s";
    narrator.show(person, command)?;
    let args: Vec<_> = command.split_whitespace().skip(1).collect();
    let kubeconfig = person
        .kubeconfig
        .as_ref()
        .context("no cluster")?
        .display()
        .to_string();
    let env = [
        ("KUBECONFIG", kubeconfig.as_str()),
        ("PATH", person.path.as_str()),
    ];
    let mut serving = Provost::start_in(Some(&person.folder), &args, &env)?;
    serving.wait_for_line("Ready.", SOON).await?;
    serving.log().lines().try_for_each(|line| narrator.print(line))?;
    Ok(serving)
}

/// Runs `command` until it prints `wanted`.
async fn eventually(person: &Person, command: &str, wanted: &str) -> anyhow::Result<()> {
    wait_for(&format!("{command} prints {wanted:?}"), SOON, async || {
        let printed = person.run(command, Expected::Success)?;
        anyhow::ensure!(printed == wanted, "it printed {printed:?}");
        Ok(())
    })
    .await
}
