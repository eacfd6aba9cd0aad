//! The arrows between the rooms, read from the source: which room imports which, and what the pure crates link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use regex::Regex;

/// Rooms of the first floor on which its others may stand.
const UNDER_THE_ADAPTERS: [&str; 3] = ["api", "config", "telemetry"];

/// Imports on one floor that the design names.
const NAMED: [(&str, &str); 2] = [("render", "git"), ("cli", "serve")];

/// What a pure crate may not link: runtimes, clients, Git, servers.
const IMPURE: [&str; 8] = [
    "tokio",
    "kube",
    "kube-client",
    "kube-runtime",
    "git2",
    "axum",
    "hyper",
    "reqwest",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn rooms_import_lower_floors_only() -> anyhow::Result<()> {
    let floors = floors(&fs::read_to_string(root().join("src/lib.rs"))?)?;
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src"))? {
        let Some(room) = room_of(&file) else { continue };
        let floor = floors
            .get(&room)
            .with_context(|| format!("src/lib.rs gives {room} no floor"))?;
        for other in imports(&fs::read_to_string(&file)?)? {
            let Some(other_floor) = floors.get(&other) else {
                continue;
            };
            if !may_import((&room, *floor), (&other, *other_floor)) {
                wrong.push(format!(
                    "{}: {room} (floor {floor}) imports {other} (floor {other_floor})",
                    file.display()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "a shared need moves down a floor:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn the_architecture_page_puts_each_room_on_the_floor_that_the_code_gives_it() -> anyhow::Result<()> {
    let floors = floors(&fs::read_to_string(root().join("src/lib.rs"))?)?;
    let design = root().join("ARCHITECTURE.md");
    let designed = designed_floors(&fs::read_to_string(design)?)?;
    for (room, floor) in floors {
        assert_eq!(
            designed.get(&room),
            Some(&floor),
            "floor of {room} in ARCHITECTURE.md and in src/lib.rs"
        );
    }
    Ok(())
}

#[test]
fn pure_crates_link_no_runtime_and_no_client() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        let package = format!("provost-{}", entry?.file_name().to_string_lossy());
        let linked = linked_by(&package)?;
        assert!(linked.contains(&package), "cargo tree lists {package} itself");
        wrong.extend(
            IMPURE
                .iter()
                .filter(|name| linked.contains(**name))
                .map(|name| format!("{package} links {name}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn imports_are_read_in_every_form() -> anyhow::Result<()> {
    let source = "use crate::git::Mirror;\nuse crate::{api, sync::{run, crate_like}, render as r};\n\
        fn f() -> crate::ledger::Ledger { todo!() }\n// use crate::webhook;\n/// [`crate::report`]\n";
    assert_eq!(
        imports(source)?,
        BTreeSet::from(["api", "git", "ledger", "render", "sync"].map(str::to_owned))
    );
    Ok(())
}

#[test]
fn siblings_and_higher_floors_are_refused() {
    assert!(may_import(("sync", 3), ("git", 1)));
    assert!(may_import(("git", 1), ("config", 1)));
    assert!(may_import(("render", 1), ("git", 1)));
    assert!(!may_import(("git", 1), ("render", 1)));
    assert!(!may_import(("sync", 3), ("webhook", 3)));
    assert!(!may_import(("ledger", 1), ("policies", 2)));
    assert!(!may_import(("config", 1), ("api", 1)));
}

fn may_import((room, floor): (&str, u32), (other, other_floor): (&str, u32)) -> bool {
    let adapter_on_base =
        floor == 1 && UNDER_THE_ADAPTERS.contains(&other) && !UNDER_THE_ADAPTERS.contains(&room);
    room == other
        || other_floor < floor
        || other_floor == floor && (adapter_on_base || NAMED.contains(&(room, other)))
}

/// Reads `// floor N: …` and the modules below it.
fn floors(source: &str) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut floors = BTreeMap::new();
    let mut floor = None;
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("// floor ") {
            let number = rest.split(':').next().unwrap_or_default();
            floor = Some(number.parse().with_context(|| format!("the floor in {line:?}"))?);
        } else if let Some(room) = line
            .strip_prefix("pub mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        {
            floors.insert(
                room.to_owned(),
                floor.with_context(|| format!("no floor above {line:?}"))?,
            );
        }
    }
    Ok(floors)
}

/// Reads the design's table: a row without a floor is on the floor of the row above.
fn designed_floors(text: &str) -> anyhow::Result<BTreeMap<String, u32>> {
    let room = Regex::new(r"`src/(\w+)`")?;
    let mut floors = BTreeMap::new();
    let mut floor = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("| ") else {
            continue;
        };
        floor = rest
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .or(floor);
        let Some(floor) = floor else { continue };
        floors.extend(room.captures_iter(line).map(|found| (found[1].to_owned(), floor)));
    }
    Ok(floors)
}

/// First path segments after `crate::`, comments left out.
fn imports(source: &str) -> anyhow::Result<BTreeSet<String>> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let single = Regex::new(r"\bcrate::(\w+)")?;
    let group = Regex::new(r"\bcrate::\{")?;
    let mut found: BTreeSet<_> = single
        .captures_iter(&code)
        .map(|found| found[1].to_owned())
        .collect();
    for start in group.find_iter(&code) {
        found.extend(heads_of_group(&code[start.end()..]));
    }
    Ok(found)
}

/// `a, b::{c, d}, e as f}` has the heads a, b, e.
fn heads_of_group(text: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let mut item = String::new();
    let mut heads = Vec::new();
    let head = |item: &str| {
        item.trim()
            .split([':', ' '])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&std::mem::take(&mut item))),
            other => item.push(other),
        }
    }
    heads.push(head(&item));
    heads
}

/// The room that a file of src belongs to; none for lib.rs and main.rs.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib" && room != "main").then(|| room.to_owned())
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Names of all packages that a package links, itself included.
fn linked_by(package: &str) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges=normal",
            "--prefix=none",
            "--format={p}",
            "--package",
            package,
        ])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}
