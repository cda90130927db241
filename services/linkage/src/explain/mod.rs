//! Explanations: why a pair weighs what it weighs, in numbers that a person can add up.
//!
//! The parts of an explanation sum to the weight: the prior, then each field in turn, with what it moved the odds given
//! all before it, then the correction of the calibration. No value of a record is in it, only levels.

use std::fmt::Write;

use serde::Serialize;

use crate::{
    compare::Comparison,
    decide::{Thresholds, stop},
    model::{Class, Component, Model},
    packed::View,
    pattern::{Field, MISSING, Pattern},
};

mod waterfall;

/// Why a pair weighs what it weighs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Version of the model.
    pub model: String,
    /// What each field says; fields of which one side knows nothing are left out.
    pub fields: Vec<FieldPart>,
    /// Log2 of the odds before anything is compared.
    pub prior_bits: f64,
    /// What calibration adds or takes, in bits.
    pub calibration_bits: f64,
    /// Log2 of the odds that the two are one person's: the sum of all parts.
    pub bits: f64,
    /// The probability that the two are one person's, 0 to 1.
    pub probability: f64,
    /// Posterior of "same person" before calibration, 0 to 1.
    pub same: f64,
    /// Posterior of "another person of the same household".
    pub household: f64,
    /// Posterior of "unrelated".
    pub unrelated: f64,
    /// The rule that decided: `LINK`, `REVIEW`, `APART`, or the code of a [`Stop`](crate::decide::Stop).
    pub rule: &'static str,
}

/// What a field says of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldPart {
    /// The field.
    pub field: Field,
    /// The level of agreement that was reached.
    pub level: &'static str,
    /// What the level adds to the odds, in bits.
    pub bits: f64,
    /// What the frequency of the agreeing value adds, in bits; 0 where frequency says nothing.
    pub frequency_bits: f64,
}

/// Explains a pair.
pub fn explain(model: &Model, thresholds: Thresholds, a: View<'_>, b: View<'_>) -> Explanation {
    let comparison = model.compare(a, b);
    let score = model.judge(comparison);
    let (fields, raw_bits) = parts(model, &comparison);
    let [same, household, unrelated] = classes(&model.posterior(&comparison));
    let rule = match stop(model, &comparison, a, b) {
        Some(stop) => stop.code(),
        None if score.bits >= thresholds.link_bits => "LINK",
        None if score.bits >= thresholds.review_bits => "REVIEW",
        None => "APART",
    };
    Explanation {
        model: model.version.clone(),
        fields,
        prior_bits: model.prior_bits(),
        calibration_bits: score.bits - raw_bits,
        bits: score.bits,
        probability: score.probability(),
        same,
        household,
        unrelated,
        rule,
    }
}

/// Returns what each field adds in turn, and the odds after the last.
fn parts(model: &Model, comparison: &Comparison) -> (Vec<FieldPart>, f64) {
    let mut fields = vec![];
    let mut seen = Comparison::default();
    let mut before = model.prior_bits();
    let known = Field::ALL.into_iter().filter(|field| comparison.pattern.level(*field) != MISSING);
    for field in known {
        let level = comparison.pattern.level(field);
        seen.pattern = Pattern::with(seen.pattern, field, level);
        let plain = model.odds(&seen);
        match field {
            Field::Given => seen.given = comparison.given,
            Field::Family => seen.family = comparison.family,
            _ => {}
        }
        let after = model.odds(&seen);
        let level = field.levels()[usize::from(level)];
        fields.push(FieldPart { field, level, bits: plain - before, frequency_bits: after - plain });
        before = after;
    }
    (fields, before)
}

/// Returns the posteriors of [`Class`] from those of the components.
fn classes(posterior: &[f64]) -> [f64; 3] {
    let mut classes = [0.0; 3];
    for (component, share) in Component::ALL.into_iter().zip(posterior) {
        classes[component.class() as usize] += share;
    }
    debug_assert_eq!([Class::Same as usize, Class::Unrelated as usize], [0, 2]);
    classes
}

impl Explanation {
    /// Returns the explanation as a table of plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, level: &str, bits: f64| {
            writeln!(text, "{name:<14} {level:<32} {bits:>+9.2}").ok();
        };
        row("prior", "", self.prior_bits);
        for FieldPart { field, level, bits, frequency_bits } in &self.fields {
            row(field.name(), level, *bits);
            if *frequency_bits != 0.0 {
                row("", "how frequent the value is", *frequency_bits);
            }
        }
        if self.calibration_bits != 0.0 {
            row("calibration", "", self.calibration_bits);
        }
        row("weight", "", self.bits);
        let Self { probability, same, household, unrelated, rule, model, .. } = self;
        writeln!(
            text,
            "probability {probability:.6}; same {same:.4}, household {household:.4}, unrelated {unrelated:.4}"
        )
        .ok();
        writeln!(text, "decided by {rule}, model {model}").ok();
        text
    }

    /// Returns the explanation as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("invariant: an explanation is numbers and names")
    }

    /// Returns the explanation as an SVG picture: a bar for each part, each beginning where the one before ended.
    pub fn svg(&self) -> String {
        waterfall::draw(self)
    }
}

#[cfg(test)]
mod tests;
