//! Policies and cases in files, and by name.

use std::{
    convert::Infallible,
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, ensure};
use signpost_consent::document::{Document, Problem, TEMPLATES};

/// Most bytes of a file that are read; a policy has fewer.
const BYTES_MAX: u64 = 4 << 20;

/// How a policy is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// By its file.
    File(PathBuf),
    /// By the name of a template.
    Template(&'static str),
    /// By its version, such as `opt-out@3`.
    Version(String),
}

impl FromStr for Named {
    type Err = Infallible;

    /// What is neither a version (`NAME@NUMBER`, or `NAME@shipped-HASH`) nor a template is a file; `./` before it makes a file of those, too.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let template = TEMPLATES.iter().find(|(name, _)| *name == text);
        let name = |name: &str| !name.is_empty() && !name.contains(['/', '\\']);
        let at = |at: &str| at.parse::<i64>().is_ok() || at.starts_with("shipped-");
        let is_version = text.rsplit_once('@').is_some_and(|(of, number)| name(of) && at(number));
        Ok(match template {
            Some((name, _)) => Self::Template(name),
            None if is_version => Self::Version(text.to_owned()),
            None => Self::File(text.into()),
        })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Template(name) => name.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}

/// A policy that was read, with its text.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) text: String,
    pub(super) document: Document,
}

/// Returns the document of a template.
pub(super) fn template(name: &str) -> anyhow::Result<&'static str> {
    let known = TEMPLATES.map(|(name, _)| name).join(", ");
    let found = TEMPLATES.iter().find(|(of, _)| *of == name);
    found.map(|(_, text)| *text).with_context(|| format!("{name:?} is no template; there are {known}"))
}

/// Reads a policy, `None` when problems of its document were told.
pub(super) fn policy(of: &str, text: String) -> Option<Policy> {
    let document = good(of, Document::parse(&text))?;
    Some(Policy { text, document })
}

/// Reads a policy that is not stored, `None` when problems of its document were told.
pub(super) fn local(named: &Named) -> anyhow::Result<Option<Policy>> {
    let text = match named {
        Named::File(path) => text(path)?,
        Named::Template(name) => Some(template(name)?.to_owned()),
        Named::Version(version) => anyhow::bail!(
            "{version} is a version that is stored, and this asks no server; `signpost policy show {version}` prints it"
        ),
    };
    Ok(text.and_then(|text| policy(&named.to_string(), text)))
}

/// Returns what was read, or tells every problem on standard error.
pub(super) fn good<T>(of: &str, read: Result<T, Vec<Problem>>) -> Option<T> {
    let tell = |problems: Vec<Problem>| {
        for Problem { line, message } in problems {
            eprintln!("{of}:{line}: {message}");
        }
    };
    read.map_err(tell).ok()
}

/// Reads a file, `None` when what is wrong with its text was told.
pub(super) fn text(path: &Path) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let reading = || format!("reading {shown}");
    let file = File::open(path).with_context(reading)?;
    ensure!(!file.metadata().with_context(reading)?.is_dir(), "reading {shown}: it is a folder; name a file");
    let mut bytes = vec![];
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).with_context(reading)?;
    ensure!(bytes.len() as u64 <= BYTES_MAX, "reading {shown}: it has more than {BYTES_MAX} bytes");
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
        vec![Problem { line, message: "this is no UTF-8 text; save the file as UTF-8".to_owned() }]
    });
    Ok(good(&shown.to_string(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_by_template_version_or_file() {
        let read = |text: &str| text.parse::<Named>().unwrap();
        assert_eq!(read("opt-out"), Named::Template("opt-out"));
        assert_eq!(read("opt-out@3"), Named::Version("opt-out@3".into()));
        assert_eq!(read("opt-out@shipped-0a"), Named::Version("opt-out@shipped-0a".into()));
        for file in ["./opt-out", "opt-out.toml", "./opt-out@3", "night@shift", "@3", "a@3.toml"] {
            assert_eq!(read(file), Named::File(file.into()));
        }
    }
}
