//! `provost check` on what cannot be read: each is told clearly, and the rest is judged all the same.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use harness::provost::provost_command;
use insta::assert_snapshot;

use crate::support::check::{DEPLOYMENT, check, folder, run, told};

/// Ten lists of ten lists of ten lists …
fn alias_bomb() -> String {
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{level}: &a{level} [{aliases}]");
    }
    bomb
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_judged() {
    let folder = folder(&[
        ("apps/bomb.yaml", &alias_bomb()),
        ("apps/good.yaml", DEPLOYMENT),
        ("apps/deep.yaml", &format!("a: {}", "[".repeat(10_000))),
        ("apps/twice.yaml", "a: 1\na: 2\n"),
        ("apps/empty.yaml", ""),
    ]);
    let apps = folder.path().join("apps");
    fs::write(apps.join("latin-1.yaml"), b"kind: caf\xe9\n").unwrap();
    fs::write(apps.join("binary.yaml"), b"\x7fELF\x02\x01\x01\0\0").unwrap();
    fs::write(apps.join("utf-16.yaml"), b"\xff\xfea\0:\0").unwrap();
    symlink("nowhere.yaml", apps.join("link.yaml")).unwrap();
    symlink("..", apps.join("loop")).unwrap();
    pipe(&apps.join("pipe.yaml"));
    let huge = fs::File::create(apps.join("huge.yaml")).unwrap();
    huge.set_len(40 << 20).unwrap();
    assert_snapshot!(check(&folder, &["apps", "missing.yaml", "apps/good.yaml"], ""), @r#"
    stderr: error: apps/binary.yaml: it is a binary file, not YAML
    stderr: error: apps/bomb.yaml:6:35: more than 150000 fields and values
    stderr: error: apps/deep.yaml:1:259: recursion limit exceeded
    stderr: error: apps/huge.yaml: it has more than the 32 MiB that are read
    stderr: error: apps/latin-1.yaml:1:10: it is not UTF-8: the byte 0xe9
    stderr: error: apps/link.yaml: a link to what is not there
    stderr: error: apps/pipe.yaml: it is no regular file
    stderr: error: apps/twice.yaml:2:1: duplicate key "a"
    stderr: error: apps/utf-16.yaml: it is UTF-16: save it as UTF-8
    stderr: error: missing.yaml: there is no such file or folder
    5 objects judged by 3 policies: 0 refused, 0 warned about, 10 not judged.
    exit code 2
    "#);
}

#[test]
fn what_may_not_be_read_is_told() {
    let folder = folder(&[
        ("apps/secret.yaml", DEPLOYMENT),
        ("apps/closed/a.yaml", DEPLOYMENT),
        ("apps/good.yaml", DEPLOYMENT),
    ]);
    let apps = folder.path().join("apps");
    let permit = |path: &str, mode| {
        fs::set_permissions(apps.join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    permit("secret.yaml", 0o000);
    permit("closed", 0o000);
    let output = without_root_rights(&provost_command(folder.path()).unwrap())
        .args(["check", "apps"])
        .current_dir(&folder)
        .output()
        .unwrap();
    permit("closed", 0o755);
    assert_snapshot!(told(output), @r"
    stderr: error: apps/closed: reading it is not permitted
    stderr: error: apps/secret.yaml: reading it is not permitted
    1 object judged by 3 policies: 0 refused, 0 warned about, 2 not judged.
    exit code 2
    ");
}

/// The same command for whom file modes hold: root reads everything, unless it gives up the rights to.
fn without_root_rights(command: &Command) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mut restricted = if is_root {
        let mut setpriv = Command::new("setpriv");
        setpriv
            .arg("--bounding-set=-dac_override,-dac_read_search")
            .arg(command.get_program());
        setpriv
    } else {
        Command::new(command.get_program())
    };
    restricted.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => restricted.env(name, value),
            None => restricted.env_remove(name),
        };
    }
    restricted
}

#[test]
fn a_pipe_that_is_named_is_read() {
    let folder = folder(&[]);
    pipe(&folder.path().join("built"));
    let path = folder.path().join("built");
    let writer = std::thread::spawn(move || fs::write(path, DEPLOYMENT));
    assert_snapshot!(check(&folder, &["built"], ""), @r"
    1 object judged by 3 policies: 0 refused, 0 warned about.
    exit code 0
    ");
    writer.join().unwrap().unwrap();
}

#[test]
fn the_standard_input_is_held_to_the_same() {
    let folder = folder(&[("good.yaml", DEPLOYMENT)]);
    let output = run(&folder, &["-", "good.yaml"], b"kind: \xff\n");
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @"error: stdin:1:7: it is not UTF-8: the byte 0xff");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("1 object judged")
    );
}
