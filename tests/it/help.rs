//! What `--help` says, of every command: the whole of it is a snapshot, so that no flag changes unseen.

use std::process::Command;

use insta::assert_snapshot;

fn help(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_provost"))
        .args(arguments)
        .arg("--help")
        .env_clear()
        .env("COLUMNS", "100")
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "provost {} --help fails",
        arguments.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The commands that a help text lists, `help` itself aside.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .map_while(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn every_command_says_what_it_does_and_shows_examples() -> anyhow::Result<()> {
    let top = help(&[])?;
    let mut all = top.clone();
    for command in commands(&top) {
        let text = help(&[command])?;
        let below = commands(&text);
        if below.is_empty() {
            assert!(
                text.contains("Examples:"),
                "provost {command} --help shows no example"
            );
        }
        for command_below in below {
            let text = help(&[command, command_below])?;
            assert!(
                text.contains("Examples:"),
                "provost {command} {command_below} --help shows no example"
            );
        }
        all = format!("{all}\n$ provost {command} --help\n{text}");
    }
    let versionless = all.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_snapshot!(versionless);
    Ok(())
}
