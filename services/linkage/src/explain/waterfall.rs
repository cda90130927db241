//! A waterfall of bits, as SVG: from the prior to the weight, a bar for each part.

use std::fmt::Write;

use super::Explanation;

const ROW: f64 = 22.0;
const LABELS: f64 = 300.0;
const PLOT: f64 = 340.0;
const NUMBERS: f64 = 60.0;
const TOP: f64 = 8.0;

struct Bar {
    label: String,
    from: f64,
    to: f64,
    kind: &'static str,
}

pub(super) fn draw(explanation: &Explanation) -> String {
    let bars = bars(explanation);
    let ends = bars.iter().flat_map(|bar| [bar.from, bar.to]);
    let (low, high) = ends.fold((0.0f64, 0.0f64), |(low, high), end| (low.min(end), high.max(end)));
    let x = |bits: f64| LABELS + (bits - low) / (high - low).max(1.0) * PLOT;
    let (width, height) = (LABELS + PLOT + NUMBERS, TOP * 2.0 + ROW * bars.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\"><title>Weight of a pair, in bits</title>\
         <style>text{{fill:currentColor}}.for{{fill:#2a7f62}}.against{{fill:#b3412f}}.sum{{fill:#5a6b7b}}\
         .zero{{stroke:currentColor;stroke-width:1;opacity:.4}}</style>"
    );
    let zero = x(0.0);
    write!(svg, "<line class=\"zero\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"0\" y2=\"{height:.0}\"/>").ok();
    for (place, Bar { label, from, to, kind }) in bars.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        let (left, right) = (x(from.min(*to)), x(from.max(*to)));
        let (text, bar) = (y + ROW * 0.7, y + 3.0);
        let change = if *kind == "sum" { *to } else { to - from };
        write!(
            svg,
            "<text x=\"4\" y=\"{text:.1}\">{label}</text>\
             <rect class=\"{kind}\" x=\"{left:.1}\" y=\"{bar:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{text:.1}\">{change:+.1}</text>",
            (right - left).max(1.0),
            ROW - 6.0,
            right + 6.0,
        )
        .ok();
    }
    svg + "</svg>"
}

fn bars(explanation: &Explanation) -> Vec<Bar> {
    let mut bars = vec![];
    let mut at = 0.0;
    let mut add = |label: String, bits: f64| {
        let kind = if bits < 0.0 { "against" } else { "for" };
        bars.push(Bar { label, from: at, to: at + bits, kind });
        at += bits;
    };
    add("prior".into(), explanation.prior_bits);
    for part in &explanation.fields {
        add(format!("{}: {}", part.field.name(), part.level), part.bits);
        if part.frequency_bits != 0.0 {
            add(format!("{}: frequency", part.field.name()), part.frequency_bits);
        }
    }
    if explanation.calibration_bits != 0.0 {
        add("calibration".into(), explanation.calibration_bits);
    }
    let label = format!("weight (probability {:.4})", explanation.probability);
    bars.push(Bar { label, from: 0.0, to: explanation.bits, kind: "sum" });
    bars
}
