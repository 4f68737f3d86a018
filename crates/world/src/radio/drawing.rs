//! A run as a picture: nodes on their plan, coloured by when they had the image, and how far all of them were.

use super::links::{Links, Place};
use super::outcome::Outcome;
use super::phy::Rate;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const PLAN: f64 = 380.0;
const CURVES: f64 = 260.0;
const MARGIN: f64 = 48.0;
/// Colours of the curves; the first run is drawn last and on top.
const COLOURS: [&str; 4] = ["#c2410c", "#a16207", "#4338ca", "#0f766e"];

/// A run to be drawn, with its name.
pub struct Drawn<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What came of it.
    pub outcome: &'a Outcome,
}

/// The SVG text: the plan of the last run, and the curves of all. Without places the plan is a ring by finishing time.
#[must_use]
pub fn svg(title: &str, places: Option<&[Place]>, links: &Links, rate: Rate, runs: &[Drawn<'_>]) -> String {
    let mut out = String::new();
    let height = PLAN + CURVES + 3.0 * MARGIN;
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, \
         sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{MARGIN}\" \
         y=\"28\" font-size=\"18\">{}</text>\n",
        escape(title)
    );
    if let Some(last) = runs.last() {
        plan(&mut out, places, links, rate, last);
    }
    curves(&mut out, runs);
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn plan(out: &mut String, places: Option<&[Place]>, links: &Links, rate: Rate, run: &Drawn<'_>) {
    let count = links.len();
    let ring = |node: usize| {
        let angle = node as f64 / count as f64 * std::f64::consts::TAU;
        (angle.cos(), angle.sin())
    };
    let floors = places.map_or(1, |places| places.iter().map(|it| it.floor).max().unwrap_or(0) + 1);
    let raw = |node: usize| match places.and_then(|places| places.get(node)) {
        Some(place) => (place.x, place.y),
        None => ring(node),
    };
    let all: Vec<(f64, f64)> = (0..count).map(raw).collect();
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        let values = all.iter().map(pick);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        (low, (values.fold(f64::NEG_INFINITY, f64::max) - low).max(0.001))
    };
    let ((left, width), (top, depth)) = (bounds(|at| at.0), bounds(|at| at.1));
    let room = (WIDTH - 2.0 * MARGIN) / f64::from(floors) - 16.0;
    let scale = (room / width).min((PLAN - 40.0) / depth);
    let at = |node: usize| {
        let floor = places.and_then(|places| places.get(node)).map_or(0, |place| place.floor);
        let (x, y) = all[node];
        (MARGIN + f64::from(floor) * (room + 16.0) + (x - left) * scale, MARGIN + 16.0 + (y - top) * scale)
    };
    for (node, parent) in links.tree(rate, 250).iter().enumerate() {
        if let Some((parent, _)) = parent {
            let ((x1, y1), (x2, y2)) = (at(node), at(*parent));
            let _ = writeln!(
                out,
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
            );
        }
    }
    let times = &run.outcome.finished_s;
    let latest = times.iter().flatten().copied().fold(0.001, f64::max);
    let earliest = times.iter().skip(1).flatten().copied().fold(latest, f64::min);
    for (node, time) in times.iter().enumerate() {
        let (x, y) = at(node);
        let (fill, says) = match time {
            _ if node == 0 => ("#111".to_string(), "root".to_string()),
            None => ("#fff".to_string(), "never".to_string()),
            Some(time) => {
                let late = (time - earliest) / (latest - earliest).max(0.001);
                (format!("hsl({:.0} 75% 45%)", 150.0 - 150.0 * late), format!("{time:.1} s"))
            }
        };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"{fill}\" stroke=\"#333\"><title>node {node}: \
             {says}</title></circle>"
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{:.0}\">{}: green had it after {earliest:.0} s, red after {latest:.0} s; black is the \
         root, white never had it</text>",
        PLAN + MARGIN,
        escape(run.name)
    );
}

fn curves(out: &mut String, runs: &[Drawn<'_>]) {
    let top = PLAN + 2.0 * MARGIN;
    let longest = runs.iter().map(|run| run.outcome.progress.len()).max().unwrap_or(1).max(2) as f64;
    let (width, bottom) = (WIDTH - 2.0 * MARGIN, top + CURVES - MARGIN);
    let _ = writeln!(
        out,
        "<path d=\"M{MARGIN} {top} V{bottom} H{}\" fill=\"none\" stroke=\"#333\"/>\n<text x=\"{MARGIN}\" y=\"{:.0}\">0 \
         s</text>\n<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{:.0} s</text>\n<text x=\"8\" \
         y=\"{:.0}\">100 %</text>",
        MARGIN + width,
        bottom + 18.0,
        MARGIN + width,
        bottom + 18.0,
        longest,
        top + 4.0
    );
    for (place, run) in runs.iter().enumerate() {
        let colour = COLOURS[(COLOURS.len() + place - runs.len().min(COLOURS.len())) % COLOURS.len()];
        let points: String = run
            .outcome
            .progress
            .iter()
            .enumerate()
            .map(|(second, share)| {
                let x = MARGIN + (second + 1) as f64 / longest * width;
                format!("{x:.1},{:.1} ", bottom - share * (bottom - top))
            })
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{MARGIN},{bottom} {points}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"2\"/>\n<text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{}</text>",
            MARGIN + 8.0 + 160.0 * place as f64,
            bottom + 36.0,
            escape(run.name)
        );
    }
}
