//! The measures as aligned plain text.

use std::fmt;

use super::{
    Evaluation, Scores,
    calibration::Calibration,
    links::LinkMeasures,
    pairs::PairMeasures,
    relations::{RelationMeasures, SCORED_HIGH_MIN},
};

/// Stands for a number that does not exist.
const NONE: &str = "-";
/// Spaces between columns.
const GAP: &str = "  ";

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        links(f, &self.links)?;
        if let Some(measures) = &self.pairs {
            writeln!(f)?;
            pairs(f, measures)?;
            writeln!(f)?;
            calibration(f, &measures.calibration)?;
        }
        if let Some(measures) = &self.relations {
            writeln!(f)?;
            relations(f, measures)?;
        }
        Ok(())
    }
}

/// Writes the measures of links.
fn links(f: &mut fmt::Formatter<'_>, links: &LinkMeasures) -> fmt::Result {
    writeln!(f, "Links")?;
    let counts = [
        ("records", links.records),
        ("records without a link", links.records_unlinked),
        ("persons", links.persons),
        ("entities", links.entities),
        ("persons equal to an entity", links.persons_exact),
        ("persons of several entities", links.persons_mixed),
        ("pairs within persons", links.pairs_linked),
        ("pairs within entities", links.pairs_true),
        ("pairs within both", links.pairs_linked_true),
    ];
    aligned(f, &counts.map(|(name, count)| row([name.into(), count.to_string()])))?;
    writeln!(f)?;
    let header = row(["agreement", "precision", "recall", "F1"].map(String::from));
    let named = [("pairwise", links.pairwise), ("B-cubed", links.b_cubed), ("exact", links.exact)];
    let mut rows = vec![header];
    rows.extend(named.map(|(name, Scores { precision, recall, f1 })| {
        row([name.into(), decimal(precision), decimal(recall), decimal(f1)])
    }));
    aligned(f, &rows)
}

/// Writes the measures of pairs.
fn pairs(f: &mut fmt::Formatter<'_>, pairs: &PairMeasures) -> fmt::Result {
    writeln!(f, "Pairs")?;
    let counts = [
        ("pairs scored", pairs.pairs.to_string()),
        ("rows repeating a pair", pairs.rows_repeated.to_string()),
        ("true pairs", pairs.pairs_true.to_string()),
        ("true pairs scored", pairs.pairs_true_scored.to_string()),
        ("highest recall possible", decimal(pairs.recall_max)),
    ];
    aligned(f, &counts.map(|(name, value)| row([name.into(), value])))?;
    writeln!(f)?;
    let mut rows = vec![row(["operating point", "threshold", "precision", "recall", "F1"].map(String::from))];
    if let Some(best) = pairs.best_f1 {
        let Scores { precision, recall, f1 } = best.scores;
        let threshold = probability(best.threshold);
        rows.push(row(["best F1".into(), threshold, decimal(precision), decimal(recall), decimal(f1)]));
    }
    for at in &pairs.recall_at_precision {
        let name = format!("precision >= {}", at.precision_min);
        let threshold = at.threshold.map_or(NONE.into(), probability);
        rows.push(row([name, threshold, NONE.into(), decimal(at.recall), NONE.into()]));
    }
    aligned(f, &rows)?;
    writeln!(f)?;
    let mut rows = vec![row(["decision", "pairs", "true", "precision", "recall"].map(String::from))];
    rows.extend(pairs.decisions.iter().map(|by| {
        let [all, hits] = [by.pairs, by.pairs_true].map(|count| count.to_string());
        row([by.decision.clone(), all, hits, decimal(by.precision), decimal(by.recall)])
    }));
    aligned(f, &rows)
}

/// Writes the calibration.
fn calibration(f: &mut fmt::Formatter<'_>, calibration: &Calibration) -> fmt::Result {
    writeln!(f, "Calibration")?;
    let high = &calibration.stated_high;
    let summary = [
        ("expected calibration error".into(), optional(calibration.expected_error)),
        (format!("pairs stated >= {}", high.probability_min), high.pairs.to_string()),
        ("precision of these".into(), optional(high.precision)),
    ];
    aligned(f, &summary.map(|(name, value)| row([name, value])))?;
    writeln!(f)?;
    let mut rows =
        vec![row(["from", "to", "pairs", "stated", "observed", "95 % low", "high"].map(String::from))];
    rows.extend(calibration.bins.iter().map(|bin| {
        let shares = [bin.stated, bin.observed, bin.observed_low, bin.observed_high];
        let [stated, observed, low, high] = shares.map(probability);
        row([bin.from.to_string(), bin.to.to_string(), bin.pairs.to_string(), stated, observed, low, high])
    }));
    aligned(f, &rows)
}

/// Writes the measures of relations.
fn relations(f: &mut fmt::Formatter<'_>, relations: &RelationMeasures) -> fmt::Result {
    writeln!(f, "False joins")?;
    let counts = [
        ("persons of several, unrelated entities", relations.persons_mixed_unrelated),
        ("relations without records", relations.rows_left_out),
    ];
    aligned(f, &counts.map(|(name, count)| row([name.into(), count.to_string()])))?;
    writeln!(f)?;
    let scored_high = format!("scored >= {SCORED_HIGH_MIN}");
    let header = ["relation", "entity pairs", "joined", "share", &scored_high, "share"];
    let mut rows = vec![row(header.map(String::from))];
    rows.extend(relations.kinds.iter().map(|kind| {
        let high = kind.scored_high.map_or(NONE.into(), |count| count.to_string());
        row([
            kind.relation.clone(),
            kind.entity_pairs.to_string(),
            kind.joined.to_string(),
            optional(kind.joined_share),
            high,
            optional(kind.scored_high_share),
        ])
    }));
    aligned(f, &rows)
}

/// Writes rows in columns, the first to the left and the others to the right.
fn aligned(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let mut widths = vec![0; rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(f, "{GAP}{cell:<width$}")?,
                _ => write!(f, "{GAP}{cell:>width$}")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

/// Returns a row of cells.
fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.into()
}

/// Returns a share with four decimals.
fn decimal(value: f64) -> String {
    format!("{value:.4}")
}

/// Returns a probability with six decimals, as those near 1 differ late.
fn probability(value: f64) -> String {
    format!("{value:.6}")
}

/// Returns a share, or a sign that there is none.
fn optional(value: Option<f64>) -> String {
    value.map_or(NONE.into(), decimal)
}
