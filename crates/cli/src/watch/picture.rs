//! The fleet as lines of text: one a node, fitted to the terminal.

use super::fleet::Fleet;
use super::node::{Led, Node, Outcome, state_name};
use super::tree::{self, Row};
use crate::size::Bytes;
use rootcast_wire::UpdateState;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a picture may look.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Lines; the picture stays below that.
    pub height: usize,
    /// Whether colours may be used.
    pub colour: bool,
}

/// Columns of a state's name.
const STATE: usize = 11;
/// Columns of `100%`, of bytes and of a rate.
const PERCENT: usize = 4;
const BYTES: usize = 8;
const RATE: usize = 10;
/// Columns of a bar.
const BAR: std::ops::RangeInclusive<usize> = 8..=40;
/// From this width on there is room for whole MAC addresses.
pub const WIDE: usize = 109;
/// Fewer nodes than these are not worth a picture.
const LEAST_ROWS: usize = 3;

/// Draws the fleet, `title` above it.
pub fn picture(title: &str, fleet: &Fleet, now: Duration, canvas: Canvas) -> Vec<String> {
    // A line as wide as the terminal would put the cursor in doubt.
    let canvas = Canvas { width: canvas.width.saturating_sub(1), ..canvas };
    let rows = tree::rows(fleet);
    // Title, counts, a line for those left out, and the line where the cursor stands.
    let room = canvas.height.saturating_sub(4).max(LEAST_ROWS);
    let shown = choose(&rows, room);
    let columns = Columns::of(&shown, canvas);
    let mut lines = vec![cut(&format!("{title}  {}", clock(now)), canvas.width)];
    lines.extend(shown.iter().map(|row| columns.line(row, now)));
    if shown.len() < rows.len() {
        let left_out: Vec<&Row<'_>> =
            rows.iter().filter(|row| !shown.iter().any(|it| it.node.id == row.node.id)).collect();
        let text = format!("… and {} more: {}", left_out.len(), counts(left_out.iter().map(|row| row.node)));
        lines.push(cut(&text, canvas.width));
    }
    let bytes: u64 = rows.iter().map(|row| u64::from(row.node.bytes)).sum();
    let rate: u64 = rows.iter().filter_map(|row| row.node.rate()).sum();
    let mut last = format!("{} nodes", rows.len());
    if bytes > 0 {
        last.push_str(&format!(", {}", Bytes(bytes)));
    }
    if rate > 0 {
        last.push_str(&format!(", {}/s", Bytes(rate)));
    }
    last.push_str(&format!(": {}", counts(rows.iter().map(|row| row.node))));
    lines.push(cut(&last, canvas.width));
    lines
}

/// The rows to show where not all have room: those where something happens first, in the order of the tree.
fn choose<'a, 'b>(rows: &'b [Row<'a>], room: usize) -> Vec<&'b Row<'a>> {
    let mut ranked: Vec<(usize, &Row<'_>)> = rows.iter().enumerate().collect();
    ranked.sort_by_key(|(index, row)| (dullness(row.node), *index));
    ranked.truncate(room);
    ranked.sort_by_key(|(index, _)| *index);
    ranked.into_iter().map(|(_, row)| row).collect()
}

fn dullness(node: &Node) -> u8 {
    use UpdateState as S;
    match (node.outcome(), node.state) {
        (_, Some(S::Downloading | S::Verifying | S::Installed | S::Restarting | S::Trial)) => 0,
        (Outcome::NotUpdated, _) => 1,
        (Outcome::Unfinished | Outcome::Silent, _) => 2,
        (Outcome::Updated | Outcome::AlreadyThere, _) => 3,
    }
}

/// `7 downloading, 3 waiting, 2 confirmed`, in the order of the steps.
fn counts<'a>(nodes: impl Iterator<Item = &'a Node>) -> String {
    let mut by_state: BTreeMap<Option<UpdateState>, usize> = BTreeMap::new();
    for node in nodes {
        *by_state.entry(node.state).or_default() += 1;
    }
    let parts: Vec<String> =
        by_state.iter().map(|(state, count)| format!("{count} {}", state_name(*state))).collect();
    parts.join(", ")
}

/// Where what stands, for all rows alike.
struct Columns {
    branch: usize,
    name: usize,
    bar: usize,
    canvas: Canvas,
}

impl Columns {
    fn of(rows: &[&Row<'_>], canvas: Canvas) -> Self {
        let branch = rows.iter().map(|row| width(&row.branch)).max().unwrap_or(0);
        let types = rows.iter().map(|row| width(row.node.type_name())).max().unwrap_or(0);
        let mac = if canvas.width >= WIDE { 17 } else { 8 };
        let name = types + 1 + mac;
        let rest = branch + 2 + name + 2 + STATE + 2 + 1 + PERCENT + 2 + BYTES + 2 + RATE;
        let bar = canvas.width.saturating_sub(rest + 1).clamp(*BAR.start(), *BAR.end());
        Self { branch, name, bar, canvas }
    }

    fn line(&self, row: &Row<'_>, now: Duration) -> String {
        let node = row.node;
        let mac = if self.canvas.width >= WIDE { node.mac() } else { node.short_mac() };
        let types = self.name - width(&mac) - 1;
        let name = format!("{:<types$} {mac}", node.type_name());
        let state = format!("{:<STATE$}", state_name(node.state));
        let text = cut(&self.progress(node, now), self.right());
        let dot = match led_colour(node.led()) {
            Some(colour) => self.paint(colour, "●"),
            None => "○".to_string(),
        };
        let branch = self.branch(row, &dot);
        let (state, text) = match node.outcome() {
            Outcome::Updated | Outcome::AlreadyThere => (self.paint(GREEN, &state), text),
            Outcome::NotUpdated => (self.paint(RED, &state), self.paint(RED, &text)),
            _ => (state, text),
        };
        format!("{branch} {name}  {state}  {text}").trim_end().to_string()
    }

    /// Columns right of the state.
    fn right(&self) -> usize {
        self.canvas.width.saturating_sub(self.branch + 2 + self.name + 2 + STATE + 2 + 1)
    }

    /// Branch and dot, equally wide on all layers, so that columns stand below each other.
    fn branch(&self, row: &Row<'_>, dot: &str) -> String {
        let missing = self.branch - width(&row.branch);
        match row.branch.as_str() {
            "" => format!("{dot}{}", " ".repeat(missing)),
            branch => format!("{branch}{}{dot}", "─".repeat(missing)),
        }
    }

    /// Bar, bytes and rate; at the end, how it went.
    fn progress(&self, node: &Node, now: Duration) -> String {
        use UpdateState as S;
        let time = node.time(now).unwrap_or_default();
        match (node.outcome(), node.state) {
            (Outcome::Silent, _) => match (&node.from, node.reports) {
                (Some(version), true) => format!("runs {version}"),
                (_, true) => String::new(),
                (_, false) => "the original firmware: it does not report".to_string(),
            },
            (Outcome::Updated, _) => format!("{} in {}", from_to(node), seconds(time)),
            (Outcome::AlreadyThere, _) => "runs this image already".to_string(),
            (Outcome::NotUpdated, _) => failure(node),
            (Outcome::Unfinished, Some(S::Accepted | S::Waiting)) => match node.error {
                Some(code) if node.attempt > 0 => {
                    format!("after try {}: {}", node.attempt, said(code.name(), node))
                }
                _ => node.detail.clone(),
            },
            (Outcome::Unfinished, _) => {
                let filled = self.bar * usize::from(node.progress.min(100)) / 100;
                let bar = format!("{}{}", "█".repeat(filled), "░".repeat(self.bar - filled));
                let bytes = if node.bytes > 0 { Bytes(node.bytes.into()).to_string() } else { String::new() };
                let rate = node.rate().map(|rate| format!("{}/s", Bytes(rate))).unwrap_or_default();
                let percent = format!("{}%", node.progress);
                format!("{bar} {percent:>PERCENT$}  {bytes:>BYTES$}  {rate:>RATE$}")
            }
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.canvas.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_string() }
    }
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "94";

fn led_colour(led: Led) -> Option<&'static str> {
    match led {
        Led::Off => None,
        Led::Red => Some(RED),
        Led::Yellow => Some(YELLOW),
        Led::Green => Some(GREEN),
        Led::Blue => Some(BLUE),
    }
}

/// `1.0.0 → 1.1.0`, or the images' hashes where versions say nothing (the Arduino core's never change).
pub fn from_to(node: &Node) -> String {
    match (&node.from, &node.to) {
        (Some(from), Some(to)) if from != to => format!("{from} → {to}"),
        _ => match (node.from_image, node.target.or(node.running)) {
            (Some(from), Some(to)) => format!("{} → {}", short_hash(&from), short_hash(&to)),
            _ => node.to.clone().unwrap_or_default(),
        },
    }
}

/// What a node runs: its version, or the image's hash where that is no news.
pub fn runs(node: &Node) -> String {
    match (&node.to, node.running) {
        (Some(version), _) if node.from.as_ref() != Some(version) => version.clone(),
        (_, Some(hash)) => format!("image {}", short_hash(&hash)),
        (Some(version), None) => version.clone(),
        (None, None) => "an unknown image".to_string(),
    }
}

/// The first digits of an image hash: enough to tell a house's images apart.
pub fn short_hash(hash: &[u8; 32]) -> String {
    rootcast_wire::text::Hex(&hash[..4]).to_string()
}

/// Why a node was not updated.
pub fn failure(node: &Node) -> String {
    match node.error {
        Some(code) => said(code.name(), node),
        None if node.state == Some(UpdateState::Confirmed) => "runs another image than was meant".to_string(),
        None => node.detail.clone(),
    }
}

fn said(code: &str, node: &Node) -> String {
    if node.detail.is_empty() { code.to_string() } else { format!("{code}: {}", node.detail) }
}

/// `14.2 s`, `3:07 min`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{}:{:02} min", whole / 60, whole % 60),
    }
}

/// `0:14`.
fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Columns of a text, none of whose letters is wide.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// As much of a text as has room, with `…` where it was cut.
pub fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_string();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}
