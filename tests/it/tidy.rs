//! Rules of the house that no compiler checks.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("root")?.to_owned())
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn all_rust_files() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![];
    for folder in ["proto", "services", "tests"] {
        rust_files(&root()?.join(folder), &mut found)?;
    }
    Ok(found)
}

/// The project's own crates that a crate depends on outside of tests.
fn dependencies(folder: &Path) -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).context("no dependencies")?;
    Ok(table.keys().filter(|name| name.starts_with("signpost")).cloned().collect())
}

#[test]
fn dependencies_point_one_way() -> anyhow::Result<()> {
    let service = ["signpost-common", "signpost-proto"].as_slice();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("linkage", [].as_slice()),
        ("common", &["signpost-proto"]),
        ("mpi", &["signpost-common", "signpost-linkage", "signpost-proto"]),
        ("registry", service),
        ("consent", service),
        ("directory", service),
        ("audit", service),
        ("locator", &["signpost-common", "signpost-proto", "signpost-summary"]),
        ("source", service),
        ("people", &["signpost-common", "signpost-linkage"]),
        ("summary", &[]),
    ]);
    for (name, allowed) in allowed {
        for dependency in dependencies(&root()?.join("services").join(name))? {
            assert!(
                allowed.contains(&dependency.as_str()),
                "services/{name} must not depend on {dependency}"
            );
        }
    }
    Ok(())
}

/// Decisions are pure: what they are made of can be read and tested without a network, a database or a clock.
#[test]
fn domains_and_the_engine_are_pure() -> anyhow::Result<()> {
    let banned = ["tonic", "sqlx", "tokio", "std::fs", "std::net", "std::time::SystemTime", "Timestamp::now"];
    let mut checked = 0;
    for path in all_rust_files()? {
        let place = path.strip_prefix(root()?)?.to_string_lossy().into_owned();
        let pure = place.contains("/domain/")
            || place.contains("/fhir/")
            || place.starts_with("services/linkage/src")
            || place.starts_with("services/summary/src");
        if !pure {
            continue;
        }
        checked += 1;
        let text = fs::read_to_string(&path)?;
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for name in banned {
                let named = line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                assert!(!named, "{place} names {name}: {line}");
            }
        }
    }
    assert!(checked > 15, "only {checked} files were found to check");
    Ok(())
}

#[test]
fn files_are_short_and_say_what_they_are_for() -> anyhow::Result<()> {
    for path in all_rust_files()? {
        let text = fs::read_to_string(&path)?;
        let place = path.display();
        assert!(text.lines().count() <= 600, "{place} is longer than 600 lines: split it by concept");
        let included = path.parent().is_some_and(|p| p.ends_with("store") || p.ends_with("db"));
        let tests = path.file_name().is_some_and(|name| name == "tests.rs");
        let begins = text.starts_with("//!") || (included && text.starts_with("//")) || tests;
        assert!(begins, "{place} does not say what it is for in its first line");
    }
    Ok(())
}

#[test]
fn nothing_is_left_half_done() -> anyhow::Result<()> {
    // Built of pieces, so that this file does not find itself.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["#[ign", "ore"],
        ["dbg", "!("],
    ];
    for path in all_rust_files()? {
        let text = fs::read_to_string(&path)?;
        for mark in marks.map(|pieces| pieces.concat()) {
            assert!(!text.contains(&mark), "{} holds {mark}", path.display());
        }
    }
    Ok(())
}

/// Both databases have the same tables and columns, by the same migrations.
#[test]
fn migrations_come_in_pairs() -> anyhow::Result<()> {
    for service in ["audit", "consent", "directory", "mpi", "registry"] {
        let names = |database: &str| -> anyhow::Result<Vec<String>> {
            let folder = root()?.join("migrations").join(service).join(database);
            let mut names: Vec<_> = fs::read_dir(folder)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<anyhow::Result<_>>()?;
            names.sort();
            Ok(names)
        };
        let sqlite = names("sqlite")?;
        assert_eq!(sqlite, names("postgres")?, "{service}");
        assert!(!sqlite.is_empty());
    }
    Ok(())
}

/// What is named between backticks, as `file::test`, in the last column of the tables of threats.
fn named_tests(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut named = vec![];
    for row in text.lines().filter(|line| line.starts_with('|') && !line.contains("|---|")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let last = cells.last().context("an empty row")?.trim();
        if last == "shown by" {
            continue;
        }
        let tests: Vec<_> =
            last.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")).collect();
        anyhow::ensure!(cells.len() == 4 && !tests.is_empty(), "no test shows this: {row}");
        named.extend(tests.into_iter().map(|(file, test)| (file.to_owned(), test.to_owned())));
    }
    Ok(named)
}

#[test]
fn every_threat_names_a_test_that_is_there() -> anyhow::Result<()> {
    let named = named_tests(&fs::read_to_string(root()?.join("services/THREATS.md"))?)?;
    assert!(named.len() > 60, "{} tests are named", named.len());
    for (file, test) in named {
        let path = root()?.join("tests/it").join(&file).with_extension("rs");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut lines = text.lines().rev().skip_while(|line| !line.contains(&format!("fn {test}(")));
        let is_test = lines.nth(1).is_some_and(|before| before.contains("test"));
        assert!(is_test, "{file}::{test} is no test, and a threat is to be shown by it");
    }
    assert!(named_tests("| a | b | on | by nothing |").is_err(), "what nothing shows is found");
    Ok(())
}

/// Parsers of what others send, each by the crate that has it.
const FUZZED: [(&str, &[&str]); 6] = [
    ("audit", &["note", "misuse"]),
    ("common", &["token", "certificate"]),
    ("consent", &["policy", "fhir"]),
    ("linkage", &["normalise", "packed"]),
    ("people", &["read"]),
    ("summary", &["summarise"]),
];

/// The targets build with a sanitizer alone; what they do with their bytes runs in the crate's own tests.
#[test]
fn every_parser_of_outside_bytes_is_fuzzed() -> anyhow::Result<()> {
    for (name, targets) in FUZZED {
        let folder = root()?.join("services").join(name);
        let mut tests = vec![];
        for part in ["src", "tests"] {
            rust_files(&folder.join(part), &mut tests).ok();
        }
        let runs =
            tests.iter().any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("fuzz/bodies")));
        assert!(runs, "no test of {name} runs what its fuzz targets do");
        for target in targets {
            let path = folder.join("fuzz/fuzz_targets").join(target).with_extension("rs");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            assert!(text.contains("fuzz_target!") && text.contains("bodies"), "{}", path.display());
        }
    }
    Ok(())
}

#[test]
fn nothing_of_ours_is_unsafe() -> anyhow::Result<()> {
    let root = root()?;
    let workspace: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let lint = workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(lint, Some("forbid"));
    let mut manifests = vec![root.join("proto/Cargo.toml"), root.join("tests/Cargo.toml")];
    for service in fs::read_dir(root.join("services"))? {
        let manifest = service?.path().join("Cargo.toml");
        if manifest.is_file() {
            manifests.push(manifest);
        }
    }
    assert!(manifests.len() > 10);
    for path in manifests {
        let manifest: toml::Table = fs::read_to_string(&path)?.parse()?;
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(
            lints.and_then(toml::Value::as_bool),
            Some(true),
            "{} has lints of its own",
            path.display()
        );
    }
    Ok(())
}
