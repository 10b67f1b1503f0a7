//! Plots as SVG, readable on light and on dark pages.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 48.0;
const COLOURS: [&str; 8] =
    ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888", "#dd7733"];

/// A line with a name.
pub struct Line {
    /// What it is.
    pub name: String,
    /// Points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic axis.
#[must_use]
pub fn lines(title: &str, x_title: &str, y_title: &str, lines: &[Line]) -> String {
    let (height, bottom) = (400.0, 52.0);
    let points = || lines.iter().flat_map(|line| &line.points);
    let top = nice(points().map(|point| point.1).fold(1.0, f64::max));
    let decades = points().map(|point| point.0.max(1.0).log10()).fold(1.0, f64::max).ceil();
    let x = |value: f64| LEFT + value.max(1.0).log10() / decades * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| height - bottom - value / top * (height - bottom - TOP);
    let mut svg = begin(height, title);
    for step in 0..=5 {
        let value = top * f64::from(step) / 5.0;
        rule(&mut svg, (LEFT, y(value)), (WIDTH - RIGHT, y(value)));
        text(&mut svg, LEFT - 8.0, y(value) + 4.0, "end", &number(value));
    }
    for decade in 0..=decades as i32 {
        let value = 10f64.powi(decade);
        rule(&mut svg, (x(value), TOP), (x(value), height - bottom));
        text(&mut svg, x(value), height - bottom + 18.0, "middle", &number(value));
    }
    text(&mut svg, (LEFT + WIDTH - RIGHT) / 2.0, height - 10.0, "middle", x_title);
    text(&mut svg, LEFT, TOP - 10.0, "middle", y_title);
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> =
            line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.join(" ")
        );
        for point in path {
            let (at, value) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, r#"<circle cx="{at}" cy="{value}" r="3" fill="{colour}"/>"#);
        }
        let row = TOP + 8.0 + 20.0 * number as f64;
        let _ = writeln!(
            svg,
            r#"<rect x="{}" y="{}" width="12" height="12" fill="{colour}"/>"#,
            WIDTH - RIGHT + 14.0,
            row - 10.0
        );
        text(&mut svg, WIDTH - RIGHT + 32.0, row, "start", &line.name);
    }
    svg + "</svg>\n"
}

/// A bar with a name. Those of others are grey.
pub struct Bar {
    /// What it is.
    pub name: String,
    /// How long it is.
    pub value: f64,
    /// How long it may be, if not certain.
    pub high: Option<f64>,
    /// Whether it is lb-app's.
    pub ours: bool,
}

/// Bars from left to right, one below the other.
#[must_use]
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let (left, step) = (230.0, 26.0);
    let height = TOP + step * bars.len() as f64 + 16.0;
    let most = bars.iter().map(|bar| bar.high.unwrap_or(bar.value)).fold(1.0, f64::max);
    let length = |value: f64| value.max(0.0) / most * (WIDTH - left - 90.0);
    let mut svg = begin(height, title);
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + step * number as f64;
        let colour = if bar.ours { COLOURS[0] } else { COLOURS[6] };
        text(&mut svg, left - 8.0, y + 14.0, "end", &bar.name);
        let high = bar.high.unwrap_or(bar.value);
        for (value, opacity) in [(high, 0.45), (bar.value, 1.0)] {
            let _ = writeln!(
                svg,
                r#"<rect x="{left}" y="{y:.1}" width="{:.1}" height="18" fill="{colour}" opacity="{opacity}"/>"#,
                length(value)
            );
        }
        let label = match bar.high {
            Some(high) => format!("{:.0}-{high:.0}", bar.value),
            None => format!("{:.0}", bar.value),
        };
        text(&mut svg, left + length(high) + 6.0, y + 14.0, "start", &label);
    }
    svg + "</svg>\n"
}

fn begin(height: f64, title: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>text {{ font: 12px sans-serif; fill: #222 }} .title {{ font-size: 15px }} line {{ stroke: #8884 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n"
    );
    let _ = writeln!(svg, r#"<text class="title" x="16" y="22">{}</text>"#, escape(title));
    svg
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ =
        writeln!(svg, r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#, from.0, from.1, to.0, to.1);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// The next round number that five steps divide evenly.
fn nice(value: f64) -> f64 {
    let magnitude = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0];
    steps.iter().map(|step| step * magnitude).find(|step| *step >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.0} M", value / 1e6),
        value if value >= 1e3 => format!("{:.0} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}
