//! The jail of renders, tried by hostile programs: each stands in for kustomize, and does what a render must not do.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use provost::render::jail::Confinement;
use provost::render::{Launcher, RenderConfig, Renderer};
use serde_json::json;

use super::support::render::{Fixture, launcher, request};

/// Says loudly that a test is skipped where this kernel cannot confine anything.
fn kernel_or_skip() -> bool {
    let probe = Command::new(env!("CARGO_BIN_EXE_provost"))
        .args(["jail", "/nonexistent"])
        .output()
        .expect("provost runs");
    let said = String::from_utf8_lossy(&probe.stderr).into_owned();
    let works = said.contains("could not be executed");
    if !works {
        harness::skip(module_path!(), &said);
    }
    works
}

/// A program that says its version when asked, and else does this.
fn script(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let program = folder.join(name);
    std::fs::write(
        &program,
        format!("#!/bin/bash\n[ \"$1\" = version ] && {{ echo v0; exit 0; }}\n{text}\n"),
    )?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

async fn renderer_with(
    fixture: &Fixture,
    kustomize: PathBuf,
    launcher: Launcher,
) -> anyhow::Result<Renderer> {
    let config = RenderConfig {
        folder: fixture.folder.path().join("renders"),
        kustomize: Some(kustomize),
        helm: None,
        search_path: String::new(),
        launcher,
    };
    Ok(Renderer::start(&config).await?)
}

/// What comes of a render by a program that does this; `ROOM` in it is the fixture's folder.
async fn outcome(fixture: &mut Fixture, text: &str, deadline: Duration) -> anyhow::Result<String> {
    let commit = fixture.push(&[("app/kustomization.yaml", "namePrefix: a-\n")])?;
    let room = fixture.folder.path().display().to_string();
    let program = script(fixture.folder.path(), "hostile", &text.replace("ROOM", &room))?;
    let launcher = Launcher {
        deadline,
        ..launcher()
    };
    let renderer = renderer_with(fixture, program, launcher).await?;
    let source = fixture.source(&commit, "app", &json!({}))?;
    match renderer.render(request(vec![source]), None).await {
        Ok(_) => Ok("it rendered".to_owned()),
        Err(error) => Ok(error.to_string()),
    }
}

#[rstest::rstest]
#[case::a_file_of_the_system(
    "read -r line < /etc/passwd && echo $line >&2; exit 1",
    &["/etc/passwd: Permission denied", "a render may read only its copy of the commit's files"]
)]
#[case::another_repository(
    "read -r line < ROOM/infrastructure/app/kustomization.yaml && echo $line >&2; exit 1",
    &["kustomization.yaml: Permission denied", "a render may read only"]
)]
#[case::a_listing_of_the_neighbours(
    "cd ROOM; for file in *; do echo $file >&2; done; exit 1",
    &["kustomize build app: *"]
)]
#[case::a_file_outside("echo x > ROOM/outside || exit 1", &["outside: Permission denied", "may write nothing"])]
#[case::a_file_in_its_copy("echo x > files/app/new || exit 1", &["app/new: Permission denied", "may write nothing"])]
#[case::another_program("exec /bin/cat files/app/kustomization.yaml", &["/bin/cat: Permission denied"])]
#[case::its_parent("kill -9 $PPID || exit 1", &["kill: ", "start no other process"])]
#[case::its_limits("ulimit -d unlimited || exit 1", &["cannot modify limit"])]
#[case::too_much_memory(
    "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done",
    &["cannot allocate", "a render may use 1024 MiB of memory"]
)]
#[case::many_processes("f() { f | f & }; f; exit 1", &["fork: Permission denied", "a render may start no other process"])]
#[case::endless_output("trap '' PIPE; while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done", &["was ended: it printed more than 64 MiB"])]
#[tokio::test]
async fn a_program_that_wants_more_than_to_render_gets_nowhere(
    #[case] program: &str,
    #[case] words: &[&str],
) -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let said = outcome(&mut fixture, program, Duration::from_mins(2)).await?;
    for words in words {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("root:"), "{said}");
    assert!(!fixture.folder.path().join("outside").exists());
    Ok(())
}

#[tokio::test]
async fn a_program_reaches_no_listener() -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{}", listener.local_addr()?.port());
    let said = outcome(&mut Fixture::new()?, &connect, Duration::from_mins(1)).await?;
    assert!(said.contains("socket: Permission denied"), "{said}");
    assert!(said.contains("a render may open no socket"), "{said}");
    assert!(listener.accept().is_err(), "somebody came");
    Ok(())
}

#[tokio::test]
async fn a_program_gets_an_empty_environment() -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let said = outcome(
        &mut Fixture::new()?,
        "export -p >&2; exit 1",
        Duration::from_mins(1),
    )
    .await?;
    let names: Vec<_> = said
        .lines()
        .filter_map(|line| line.split("declare -x ").nth(1)?.split('=').next())
        .collect();
    // What bash makes itself.
    assert_eq!(names, ["OLDPWD", "PWD", "SHLVL"], "{said}");
    Ok(())
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended() -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let start = Instant::now();
    let said = outcome(&mut fixture, "while :; do :; done", Duration::from_secs(2)).await?;
    assert!(said.contains("was ended: it took more than 2 s"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(30));
    let program = fixture.folder.path().join("hostile").display().to_string();
    assert_eq!(running(&program)?, 0, "{program} still runs");
    Ok(())
}

/// How many processes have this in their command line, less those that have ended.
fn running(text: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let command = entry?.path().join("cmdline");
        count += usize::from(std::fs::read_to_string(command).is_ok_and(|command| command.contains(text)));
    }
    Ok(count)
}

#[tokio::test]
async fn leave_to_run_unconfined_takes_nothing_from_a_kernel_that_can_confine() -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[("app/kustomization.yaml", "namePrefix: a-\n")])?;
    let program = script(
        fixture.folder.path(),
        "hostile",
        "read -r line < /etc/passwd || exit 1",
    )?;
    let launcher = Launcher {
        confinement: Confinement::WhereAvailable,
        ..launcher()
    };
    let renderer = renderer_with(&fixture, program, launcher).await?;
    let source = fixture.source(&commit, "app", &json!({}))?;
    let said = renderer
        .render(request(vec![source]), None)
        .await
        .expect_err("a refusal");
    assert!(
        said.to_string().contains("/etc/passwd: Permission denied"),
        "{said}"
    );
    Ok(())
}

/// The jail has no Landlock of its own to offer: within it, a second one finds a kernel without.
#[tokio::test]
async fn a_kernel_that_cannot_confine_is_named_and_nothing_runs() -> anyhow::Result<()> {
    if !kernel_or_skip() {
        return Ok(());
    }
    let mut fixture = Fixture::new()?;
    let commit = fixture.push(&[
        ("app/kustomization.yaml", "namePrefix: a-\n"),
        ("plain/a.yaml", super::support::render::CONFIG),
    ])?;
    let marker = fixture.folder.path().join("ran");
    let program = script(
        fixture.folder.path(),
        "kustomize",
        &format!("echo > {}", marker.display()),
    )?;
    let provost = env!("CARGO_BIN_EXE_provost");
    let launcher_without = fixture.folder.path().join("launcher");
    std::fs::write(
        &launcher_without,
        format!(
            "#!/bin/bash\nexec {provost} jail --read / --execute {provost} --execute /lib64/ld-linux-x86-64.so.2 {provost} -- \"$@\"\n"
        ),
    )?;
    std::fs::set_permissions(&launcher_without, std::fs::Permissions::from_mode(0o755))?;
    let without = Launcher {
        provost: launcher_without,
        ..launcher()
    };
    let renderer = renderer_with(&fixture, program, without).await?;
    let render = async |path: &str| -> anyhow::Result<_> {
        let source = fixture.source(&commit, path, &json!({}))?;
        Ok(renderer.render(request(vec![source]), None).await)
    };
    let said = render("app").await?.expect_err("a refusal").to_string();
    assert!(
        said.starts_with("app needs kustomize, which cannot be confined here, so it does not run: this kernel cannot confine files: Landlock is missing"),
        "{said}"
    );
    assert!(
        said.ends_with("To run it nevertheless: --allow-unconfined-render"),
        "{said}"
    );
    assert!(!marker.exists());
    // Plain folders need no program.
    assert_eq!(render("plain").await??.unwrap().objects.len(), 1);
    Ok(())
}
