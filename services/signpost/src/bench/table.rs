//! What every bench shows: a table for people, one flat JSON object for machines, and the comparison of two of them.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use comfy_table::CellAlignment;
use hdrhistogram::{
    Histogram,
    serialization::{Serializer, V2Serializer},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli;

/// How the result of a bench is shown.
pub(super) struct Form {
    /// The value of `bench` in the JSON: the name of the command.
    pub(super) bench: &'static str,
    /// Rows of the table: key in the JSON, and what it is.
    pub(super) rows: &'static [(&'static str, &'static str)],
    /// What may differ from before, and what it is called. Then the ratio compares more than two versions.
    pub(super) conditions: &'static [(&'static str, &'static str)],
}

/// Returns the fields of a result.
pub(super) fn fields(report: &impl Serialize) -> anyhow::Result<Map<String, Value>> {
    match serde_json::to_value(report)? {
        Value::Object(fields) => Ok(fields),
        _ => bail!("the result is no object"),
    }
}

/// Returns the JSON, for a file.
pub(super) fn to_json(report: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

impl Form {
    /// Returns the table for people, beside what was measured before.
    pub(super) fn table(&self, now: &Map<String, Value>, before: Option<&Before>) -> String {
        let mut header = vec!["measure", if before.is_some() { "now" } else { "value" }];
        header.extend(before.iter().flat_map(|_| ["before", "ratio"]));
        let mut table = cli::table(&header);
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        for (key, name) in self.rows {
            let value = now.get(*key).and_then(Value::as_f64);
            let mut row = vec![(*name).to_owned(), number(value)];
            if let Some(Before(before)) = before {
                let past = before.get(*key).and_then(Value::as_f64);
                let both = value.zip(past).filter(|(_, past)| *past != 0.0);
                row.extend([
                    number(past),
                    both.map_or("-".into(), |(now, past)| format!("{:.2}", now / past)),
                ]);
            }
            table.add_row(row);
        }
        table.trim_fmt()
    }

    /// Reads a file that `--json` wrote.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<Before> {
        let (shown, bench) = (path.display(), self.bench);
        let text = fs::read_to_string(path).with_context(|| {
            format!("reading {shown}; `signpost bench {bench} --json {shown}` makes such a file")
        })?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) if fields.get("bench").is_some_and(|name| name == bench) => {
                Ok(Before(fields))
            }
            _ => bail!("{shown} is no result of `signpost bench {bench}`: name a file that its --json wrote"),
        }
    }

    /// Says what else is not as it was before.
    pub(super) fn warnings(&self, before: &Before, now: &Map<String, Value>) -> Vec<String> {
        let Before(before) = before;
        let differs = self.conditions.iter().filter(|(key, _)| before.get(*key) != now.get(*key));
        let shown = |fields: &Map<String, Value>, key| match fields.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "not known".into(),
        };
        let warning = |(key, name): &(&'static str, &'static str)| {
            format!(
                "the {name} was {} before and is {}: the ratios say little",
                shown(before, *key),
                shown(now, *key)
            )
        };
        differs.map(warning).collect()
    }
}

/// What an earlier bench wrote, perhaps one of another version.
#[derive(Debug)]
pub(super) struct Before(pub(super) Map<String, Value>);

/// Returns the ratio of two numbers, 0 when there is none.
pub(super) fn ratio(one: f64, other: f64) -> f64 {
    if other > 0.0 { one / other } else { 0.0 }
}

/// Cuts digits that mean nothing.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.fract() == 0.0 || value >= 1000.0 => format!("{value:.0}"),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.1}"),
    }
}

/// Packs a histogram so that other tools can read all of it: HdrHistogram's V2 form, base64.
pub(super) fn packed(histogram: &Histogram<u64>) -> anyhow::Result<String> {
    let mut bytes = vec![];
    V2Serializer::new().serialize(histogram, &mut bytes).context("packing the histogram")?;
    Ok(BASE64_STANDARD.encode(bytes))
}
