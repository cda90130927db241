//! A plot of the scored pairs by their probability, for each decision, with counts on a logarithmic axis.
//!
//! Text and lines get their colours from the page, so that they can be read on light and on dark.

use std::{io, ops::Range};

use plotters::{
    coord::ranged1d::{DefaultFormatting, KeyPointHint},
    prelude::*,
};
use signpost_linkage::bulk::Linked;

use crate::write::Decision;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 360);
const FONT: &str = "sans-serif";
const LABEL_SIZE: u32 = 14;
const X_LABELS_HEIGHT: u32 = 48;
const Y_LABELS_WIDTH: u32 = 80;

/// Where classes of probability end; the first begins at 0.01.
const ENDS: [f64; 14] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.999, 1.0];

/// Decisions with their colours, told apart also by those who see few.
const COLOURS: [(Decision, RGBColor); 3] = [
    (Decision::Link, RGBColor(42, 127, 98)),
    (Decision::Review, RGBColor(214, 139, 0)),
    (Decision::Apart, RGBColor(110, 123, 139)),
];

/// Pairs of each class, by decision.
fn counts(linked: &Linked) -> [[u64; 3]; ENDS.len()] {
    let mut counts = [[0; 3]; ENDS.len()];
    for pair in &linked.pairs {
        let probability = pair.probability();
        let class = ENDS.partition_point(|end| *end <= probability).min(ENDS.len() - 1);
        counts[class][Decision::of(pair, &linked.persons) as usize] += 1;
    }
    counts
}

/// Returns the plot as an SVG document.
pub(super) fn svg(linked: &Linked) -> Result<String, DrawingAreaErrorKind<io::Error>> {
    let counts = counts(linked);
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(9);
    let mut document = String::new();
    let root = SVGBackend::with_string(&mut document, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .x_label_area_size(X_LABELS_HEIGHT)
        .y_label_area_size(Y_LABELS_WIDTH)
        .build_cartesian_2d(Classes, (0.5..most as f64 * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("probability, from")
        .y_desc("pairs")
        .x_label_formatter(&|class| label(*class))
        .y_label_formatter(&|count| format!("{count:.0}"))
        .y_max_light_lines(0)
        .label_style((FONT, LABEL_SIZE))
        .draw()?;
    for (place, (decision, colour)) in COLOURS.into_iter().enumerate() {
        let bars = counts.iter().enumerate().filter_map(|(class, counts)| {
            let count = counts[decision as usize];
            let left = class as f64 + 0.1 + 0.27 * place as f64;
            let corners = [(left, 0.5), (left + 0.25, count as f64)];
            (count > 0).then(|| Rectangle::new(corners, colour.filled()))
        });
        chart.draw_series(bars)?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(document)
}

/// Returns where a class begins.
fn label(class: f64) -> String {
    let class = class.round() as usize;
    let begins = class.checked_sub(1).and_then(|before| ENDS.get(before));
    begins.map_or_else(|| "0.01".to_owned(), f64::to_string)
}

/// The axis of classes, one unit each.
struct Classes;

impl Ranged for Classes {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let part = value / ENDS.len() as f64;
        pixels.0 + (part * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between the classes.
        let classes = if hint.weight().allow_light_points() { 0 } else { ENDS.len() };
        (0..classes).map(|class| class as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..ENDS.len() as f64
    }
}
