//! A drawing of the scored pairs: precision against recall, and observed against stated probability.

use std::{io, ops::Range};

use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint},
    },
    element::DashedPathElement,
    prelude::*,
};

use super::{
    calibration::Bin,
    pairs::{PairMeasures, Point},
};

/// Why a drawing failed.
pub(super) type Failure = DrawingAreaErrorKind<io::Error>;
/// A part of the drawing.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A panel with two axes.
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 480);
const FONT: &str = "sans-serif";
const CAPTION_SIZE: u32 = 22;
const LABEL_SIZE: u32 = 16;
const MARGIN: u32 = 16;
const X_LABELS_HEIGHT: u32 = 44;
const Y_LABELS_WIDTH: u32 = 64;
const DOT_RADIUS: u32 = 4;
const DASH: u32 = 6;
const GAP: u32 = 4;
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(130, 130, 130);

/// Where the axes of the first panel may begin, and the decimals of their labels.
const ZOOMS: [(f64, usize); 6] = [(0.99, 3), (0.95, 2), (0.9, 2), (0.8, 2), (0.5, 1), (0.0, 1)];
/// Steps between the labels of the first panel.
const ZOOM_STEPS: u8 = 5;
/// The worse of precision and recall lies at most at this part of the axis from 1.
const ZOOM_ROOM: f64 = 0.6;

/// Lowest and highest probability of the second panel; what lies beyond is drawn at the edge.
const PROBABILITY_ENDS: (f64, f64) = (0.0005, 0.999_95);
/// Labelled probabilities of the second panel.
const PROBABILITY_TICKS: [f64; 8] = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999];

/// Returns the drawing as an SVG document.
pub(super) fn svg(pairs: &PairMeasures) -> Result<String, Failure> {
    let mut document = String::new();
    let root = SVGBackend::with_string(&mut document, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    precision_recall(&left, pairs)?;
    reliability(&right, &pairs.calibration.bins)?;
    root.present()?;
    drop((left, right, root));
    Ok(document)
}

/// Draws precision against recall, with the point of the best F1.
fn precision_recall(area: &Area<'_>, pairs: &PairMeasures) -> Result<(), Failure> {
    let (from, decimals) = zoom(pairs.best_f1.as_ref());
    let step = (1.0 - from) / f64::from(ZOOM_STEPS);
    let ticks = (0..=ZOOM_STEPS).map(|tick| from + f64::from(tick) * step).collect();
    let label = |value: &f64| format!("{value:.decimals$}");
    let names = ["Precision and recall of pairs", "recall", "precision"];
    let mut panel = panel(area, names, (from, 1.0), ticks, &label)?;
    let curve: Vec<(f64, f64)> = pairs.curve.iter().map(place).collect();
    let lines = curve.windows(2).filter_map(|ends| clip(ends[0], ends[1], from));
    panel.draw_series(lines.map(|ends| PathElement::new(ends, BLUE.stroke_width(2))))?;
    if let Some(best) = &pairs.best_f1
        && place(best).0.min(place(best).1) >= from
    {
        panel.draw_series([Circle::new(place(best), DOT_RADIUS, ORANGE.filled())])?;
        let text = format!("best F1 {:.4} at {:.4}", best.scores.f1, best.threshold);
        let corner = (from + step / 4.0, from + step / 2.0);
        panel.draw_series([Text::new(text, corner, (FONT, LABEL_SIZE).into_font().color(&ORANGE))])?;
    }
    Ok(())
}

/// Draws the observed share of each bin with its interval against the stated probability, both as log-odds.
fn reliability(area: &Area<'_>, bins: &[Bin]) -> Result<(), Failure> {
    let ends = (log_odds(PROBABILITY_ENDS.0), log_odds(PROBABILITY_ENDS.1));
    let label = |odds: &f64| tick_label(*odds);
    let names = ["Stated and observed probability", "stated", "observed"];
    let mut panel = panel(area, names, ends, PROBABILITY_TICKS.map(log_odds).into(), &label)?;
    let ideal = [(ends.0, ends.0), (ends.1, ends.1)];
    panel.draw_series([DashedPathElement::new(ideal, DASH, GAP, GREY)])?;
    let interval = |bin: &Bin| {
        let stated = log_odds(bin.stated);
        vec![(stated, log_odds(bin.observed_low)), (stated, log_odds(bin.observed_high))]
    };
    panel.draw_series(bins.iter().map(|bin| PathElement::new(interval(bin), BLUE.stroke_width(2))))?;
    let dot = |bin: &Bin| (log_odds(bin.stated), log_odds(bin.observed));
    panel.draw_series(bins.iter().map(|bin| Circle::new(dot(bin), DOT_RADIUS, BLUE.filled())))?;
    Ok(())
}

/// Returns an empty panel with a caption, the names of its axes, and equal ends and ticks on both.
fn panel<'a, 'b>(
    area: &'a Area<'b>,
    [caption, x_name, y_name]: [&str; 3],
    ends: (f64, f64),
    ticks: Vec<f64>,
    label: &dyn Fn(&f64) -> String,
) -> Result<Panel<'a, 'b>, Failure> {
    let axis = || Axis { ends, ticks: ticks.clone() };
    let mut panel = ChartBuilder::on(area)
        .caption(caption, (FONT, CAPTION_SIZE))
        .margin(MARGIN)
        .x_label_area_size(X_LABELS_HEIGHT)
        .y_label_area_size(Y_LABELS_WIDTH)
        .build_cartesian_2d(axis(), axis())?;
    panel
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(y_name)
        .x_label_formatter(label)
        .y_label_formatter(label)
        .label_style((FONT, LABEL_SIZE))
        .draw()?;
    Ok(panel)
}

/// Returns where both axes of the first panel begin to show the best point well, and the decimals of their labels.
fn zoom(best: Option<&Point>) -> (f64, usize) {
    let worse = best.map_or(0.0, |best| best.scores.precision.min(best.scores.recall));
    let shows = |(from, _): &(f64, usize)| 1.0 - worse <= (1.0 - from) * ZOOM_ROOM;
    ZOOMS.into_iter().find(shows).unwrap_or(ZOOMS[ZOOMS.len() - 1])
}

/// Returns where a point of the curve lies: recall, precision.
fn place(point: &Point) -> (f64, f64) {
    (point.scores.recall, point.scores.precision)
}

/// Returns the part of a line on which both coordinates are at least `from`.
fn clip(begin: (f64, f64), end: (f64, f64), from: f64) -> Option<Vec<(f64, f64)>> {
    // Positions on the line from 0 to 1 between which it is visible, narrowed by each coordinate.
    let (mut first, mut last) = (0.0_f64, 1.0_f64);
    for (a, b) in [(begin.0, end.0), (begin.1, end.1)] {
        match (a >= from, b >= from) {
            (true, true) => {}
            (false, true) => first = first.max((from - a) / (b - a)),
            (true, false) => last = last.min((from - a) / (b - a)),
            (false, false) => return None,
        }
    }
    let at = |position: f64| (begin.0 + position * (end.0 - begin.0), begin.1 + position * (end.1 - begin.1));
    (first <= last).then(|| vec![at(first), at(last)])
}

/// Returns the logarithm of the odds of a probability, which is first moved to the ends of the panel.
fn log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(PROBABILITY_ENDS.0, PROBABILITY_ENDS.1);
    (probability / (1.0 - probability)).ln()
}

/// Returns the probability of a tick as it is written in [`PROBABILITY_TICKS`].
fn tick_label(odds: f64) -> String {
    let is_nearer = |a: &&f64, b: &&f64| {
        let distance = |tick: f64| (log_odds(tick) - odds).abs();
        distance(**a).total_cmp(&distance(**b))
    };
    PROBABILITY_TICKS.iter().min_by(is_nearer).map_or(String::new(), f64::to_string)
}

/// A linear axis with chosen ticks, which plotters has for whole numbers only.
struct Axis {
    ends: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        let part = (value - self.ends.0) / (self.ends.1 - self.ends.0);
        pixels.0 + (part * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between the ticks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}
