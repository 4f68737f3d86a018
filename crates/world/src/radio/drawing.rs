//! A run as a picture: nodes on their plan, coloured by when they had the image, and how far all of them were.

use super::links::{Links, Place};
use super::outcome::Outcome;
use super::phy::Rate;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
/// The plan is as high as the mesh is deep, within this.
const PLAN: f64 = 380.0;
/// Where storeys stand below each other, the most of each.
const STOREY: f64 = 260.0;
const CURVES: f64 = 260.0;
/// Room between storeys.
const BETWEEN: f64 = 24.0;
/// Room for a storey's name, above the dots.
const LABEL: f64 = 14.0;
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
    let mut drawing = String::new();
    let plan_end = match runs.last() {
        Some(last) => plan(&mut drawing, places, links, rate, last),
        None => MARGIN,
    };
    curves(&mut drawing, plan_end + 1.5 * MARGIN, runs);
    let height = plan_end + 1.5 * MARGIN + CURVES;
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, \
         sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{MARGIN}\" \
         y=\"28\" font-size=\"18\">{}</text>\n",
        escape(title)
    );
    out.push_str(&drawing);
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draws the plan, and says where it ends.
fn plan(out: &mut String, places: Option<&[Place]>, links: &Links, rate: Rate, run: &Drawn<'_>) -> f64 {
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
    // Storeys stand beside each other or, if they are wide, below each other; all of one size.
    let (columns, rows) = if width > depth { (1.0, f64::from(floors)) } else { (f64::from(floors), 1.0) };
    let label = if floors > 1 { LABEL } else { 0.0 };
    let room = (WIDTH - 2.0 * MARGIN + BETWEEN) / columns - BETWEEN;
    let high = if rows > 1.0 { STOREY } else { PLAN };
    let scale = (room / width).min((high - BETWEEN - label) / depth);
    let pitch = if rows > 1.0 { (0.0, depth * scale + BETWEEN + label) } else { (room + BETWEEN, 0.0) };
    let corner = |floor: u8| {
        (MARGIN + f64::from(floor) * pitch.0, MARGIN + BETWEEN + label + f64::from(floor) * pitch.1)
    };
    if floors > 1 {
        for floor in 0..floors {
            let (x, y) = corner(floor);
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.0}\" font-size=\"11\" fill=\"#555\">storey {}</text>",
                y - label,
                floor + 1
            );
        }
    }
    let at = |node: usize| {
        let floor = places.and_then(|places| places.get(node)).map_or(0, |place| place.floor);
        let ((x, y), (left_edge, upper_edge)) = (all[node], corner(floor));
        (left_edge + (x - left) * scale, upper_edge + (y - top) * scale)
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
    let digits = usize::from(latest - earliest < 10.0);
    let never = if times.iter().any(Option::is_none) { ", white never had it" } else { "" };
    let end = corner(if rows > 1.0 { floors - 1 } else { 0 }).1 + depth * scale + 38.0;
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{end:.0}\">{}: green had it after {earliest:.digits$} s, red after {latest:.digits$} s; black is \
         the root{never}</text>",
        escape(run.name)
    );
    end
}

/// The step between marks of the time axis: 1, 2 or 5 times a power of ten, four to ten of them.
fn step(longest: f64) -> f64 {
    let power = 10f64.powf((longest / 4.0).log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|by| by * power).find(|step| longest / step >= 4.0).unwrap_or(power)
}

fn curves(out: &mut String, top: f64, runs: &[Drawn<'_>]) {
    let longest = runs.iter().map(|run| run.outcome.progress.len()).max().unwrap_or(1).max(2) as f64;
    let (width, bottom) = (WIDTH - 2.0 * MARGIN, top + CURVES - MARGIN);
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{:.0}\">How much of the image the nodes have, on average</text>",
        top - 14.0
    );
    for percent in [0, 25, 50, 75, 100] {
        let y = bottom - f64::from(percent) / 100.0 * (bottom - top);
        let _ = writeln!(
            out,
            "<line x1=\"{MARGIN}\" y1=\"{y:.1}\" x2=\"{:.0}\" y2=\"{y:.1}\" stroke=\"#eee\"/>\n<text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\" font-size=\"11\" fill=\"#555\">{percent} %</text>",
            MARGIN + width,
            MARGIN - 6.0,
            y + 4.0
        );
    }
    let step = step(longest);
    for mark in (0..).map(|mark| f64::from(mark) * step).take_while(|mark| *mark <= longest) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#555\">{mark} s</text>",
            MARGIN + mark / longest * width,
            bottom + 18.0
        );
    }
    let _ = writeln!(
        out,
        "<path d=\"M{MARGIN} {top} V{bottom} H{}\" fill=\"none\" stroke=\"#333\"/>",
        MARGIN + width
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
            MARGIN + 160.0 * place as f64,
            bottom + 36.0,
            escape(run.name)
        );
    }
}
