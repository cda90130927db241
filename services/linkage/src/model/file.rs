//! A model as a file: versioned JSON that a person can read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{COMPONENTS, Calibration, Component, Frequencies, Levels, Model, Placeholders};
use crate::{
    nickname,
    pattern::{Field, LEVELS_MAX},
};

/// How far the probabilities of a field's levels may be from 1 together.
const SUM_TOLERANCE: f64 = 0.01;

/// Version of the file's form.
const FORMAT: u32 = 2;

/// Why a file is no model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape. What stands there is not shown: it may be anything, also a patient's.
    #[error("not a model: line {line}, column {column} is not what `signpost people train` writes")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// Of another version.
    #[error("the model is of format {0}, this program reads format {FORMAT}: train it again")]
    Format(u32),
    /// Made with another nickname table.
    #[error("the model was made with nickname table {0:?}, this program has another: train it again")]
    Nicknames(String),
    /// A level or field that the program does not know, or a number that is no probability.
    #[error("{0}: {1}")]
    Level(String, &'static str),
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// How a model was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Records it was trained on.
    pub records: u64,
    /// Pairs that blocking found.
    pub pairs: u64,
    /// Pairs that training looked at.
    pub pairs_sampled: u64,
    /// Random pairs, for how strangers agree.
    pub pairs_random: u64,
    /// Different agreement patterns.
    pub patterns: u64,
    /// Rounds of expectation and maximisation.
    pub rounds: u32,
    /// True when the last round changed next to nothing.
    pub converged: bool,
    /// Seed of what is drawn at random.
    pub seed: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    version: String,
    nicknames: String,
    facts: Facts,
    /// Expected pairs of each component for a record.
    rates: BTreeMap<String, f64>,
    /// Field, level, component: probability.
    levels: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>,
    frequencies: Frequencies,
    placeholders: Placeholders,
    calibration: Calibration,
}

impl Model {
    /// Returns the model as JSON.
    ///
    /// # Errors
    /// When a number in it cannot be written.
    pub fn to_json(&self) -> Result<String, Error> {
        let by_component = |values: &[f64]| {
            let names = Component::ALL.iter().map(|component| component.name().to_owned());
            names.zip(values.iter().copied()).collect::<BTreeMap<_, _>>()
        };
        let levels = Field::ALL.map(|field| {
            let levels = field.levels().iter().zip(&self.levels[field as usize]).skip(1);
            let levels = levels.map(|(name, row)| ((*name).to_owned(), by_component(row)));
            (field.name().to_owned(), levels.collect())
        });
        let file = File {
            format: FORMAT,
            version: self.version.clone(),
            nicknames: nickname::VERSION.to_owned(),
            facts: self.facts.clone(),
            rates: by_component(&self.rates),
            levels: levels.into_iter().collect(),
            frequencies: self.frequencies.clone(),
            placeholders: self.placeholders.clone(),
            calibration: self.calibration.clone(),
        };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }

    /// Reads a model.
    ///
    /// # Errors
    /// When the text is no model of this version.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let Header { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(Error::Format(format));
        }
        let file: File = serde_json::from_str(text)?;
        if file.nicknames != nickname::VERSION {
            return Err(Error::Nicknames(file.nicknames));
        }
        let mut rates = [0.0; COMPONENTS - 1];
        for (rate, component) in rates.iter_mut().zip(Component::ALL) {
            *rate = number("rates", file.rates.get(component.name()), 1e6)?;
        }
        let mut levels: Levels = [[[0.0; COMPONENTS]; LEVELS_MAX]; Field::ALL.len()];
        for field in Field::ALL {
            for (place, level) in field.levels().iter().enumerate().skip(1) {
                let row = file.levels.get(field.name()).and_then(|levels| levels.get(*level));
                let at = format!("levels.{}.{level}", field.name());
                let row = row.ok_or(Error::Level(at.clone(), "is missing"))?;
                for component in Component::ALL {
                    let cell = number(&at, row.get(component.name()), 1.0)?;
                    levels[field as usize][place][component as usize] = cell;
                }
            }
        }
        for field in Field::ALL {
            for component in Component::ALL {
                let sum: f64 = levels[field as usize].iter().map(|row| row[component as usize]).sum();
                if (sum - 1.0).abs() > SUM_TOLERANCE {
                    let at = format!("levels.{}, {}", field.name(), component.name());
                    return Err(Error::Level(at, "does not sum to 1"));
                }
            }
        }
        let File { version, facts, frequencies, placeholders, calibration, .. } = file;
        Ok(Self::new(version, facts, rates, levels, frequencies, placeholders, calibration))
    }
}

fn number(at: &str, number: Option<&f64>, most: f64) -> Result<f64, Error> {
    let number = *number.ok_or(Error::Level(at.to_owned(), "is missing"))?;
    let fits = (0.0..=most).contains(&number);
    if fits { Ok(number) } else { Err(Error::Level(at.to_owned(), "is not a probability")) }
}
