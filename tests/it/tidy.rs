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
        ("locator", service),
        ("source", service),
        ("people", &["signpost-common", "signpost-linkage"]),
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
            || place.starts_with("services/linkage/src");
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
