//! How an update went: a table, a sentence, and the JSON object.

use super::fleet::Fleet;
use super::node::{Node, Outcome, state_name};
use super::picture::{failure, from_to, runs, seconds, width};
use super::screen::is_narrow;
use super::tree;
use crate::size::Bytes;
use rootcast_wire::text::Hex;
use rootcast_wire::{ErrorCode, NodeId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The end of an update.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    event: &'static str,
    /// Nodes that run the new image, those that did before included.
    pub updated: usize,
    /// Nodes that do not.
    pub not_updated: usize,
    /// Nodes that were heard of but cannot report: the original firmware.
    pub unable_to_report: usize,
    /// Bytes that all nodes fetched from the server, through the router.
    bytes: u64,
    /// Bytes that all nodes heard from their neighbours.
    shared_bytes: u64,
    seconds: f64,
    nodes: Vec<Line>,
    /// What to do, for each error code.
    advice: BTreeMap<&'static str, &'static str>,
    #[serde(skip)]
    versions: BTreeMap<String, usize>,
    /// Whether the table is for a narrow terminal.
    #[serde(skip)]
    narrow: bool,
}

/// One node of the table.
#[derive(Clone, Debug, Serialize)]
struct Line {
    node: String,
    id: u64,
    #[serde(rename = "type")]
    node_type: String,
    root: bool,
    layer: Option<u8>,
    from: Option<String>,
    to: Option<String>,
    running: Option<String>,
    target: Option<String>,
    bytes: u32,
    shared_bytes: u32,
    seconds: Option<f64>,
    state: Option<&'static str>,
    error: Option<&'static str>,
    detail: Option<String>,
    updated: bool,
    #[serde(skip)]
    short: String,
    #[serde(skip)]
    from_to: String,
    #[serde(skip)]
    result: String,
    #[serde(skip)]
    time: String,
}

impl Summary {
    /// Sums up.
    pub fn of(fleet: &Fleet, now: Duration) -> Self {
        let rows = tree::rows(fleet);
        let nodes: Vec<&Node> = rows.iter().map(|row| row.node).collect();
        let is_updated = |node: &&Node| matches!(node.outcome(), Outcome::Updated | Outcome::AlreadyThere);
        let updated = nodes.iter().copied().filter(is_updated).count();
        let unable = nodes.iter().filter(|node| !node.reports).count();
        let mut versions = BTreeMap::new();
        for node in nodes.iter().copied().filter(is_updated) {
            *versions.entry(runs(node)).or_default() += 1;
        }
        let codes = nodes.iter().filter(|node| !is_updated(node)).filter_map(|node| node.error);
        Self {
            event: "summary",
            updated,
            not_updated: nodes.len() - updated - unable,
            unable_to_report: unable,
            bytes: nodes.iter().map(|node| u64::from(node.fetched_bytes())).sum(),
            shared_bytes: nodes.iter().map(|node| u64::from(node.shared_bytes)).sum(),
            seconds: rounded(now),
            advice: codes.map(|code: ErrorCode| (code.name(), code.advice())).collect(),
            nodes: nodes.iter().map(|node| Line::of(node, now)).collect(),
            versions,
            narrow: is_narrow(),
        }
    }

    /// Whether every node that was meant and can report runs the new image, and there is one.
    pub fn is_success(&self) -> bool {
        self.not_updated == 0 && self.updated > 0
    }

    /// Whether this node says that it runs the new image.
    pub fn says_updated(&self, id: NodeId) -> bool {
        self.nodes.iter().any(|line| line.id == id.0 && line.updated)
    }

    /// Bytes that came to this node, from the server or from neighbours.
    pub fn bytes_of(&self, id: NodeId) -> u32 {
        self.nodes.iter().find(|line| line.id == id.0).map_or(0, |line| line.bytes + line.shared_bytes)
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let (all, time) = (self.updated + self.not_updated, seconds(Duration::from_secs_f64(self.seconds)));
        let mut text = match (all, self.not_updated) {
            (0, _) => "No node reported anything.".to_string(),
            (_, 0) => {
                let versions: Vec<&str> = self.versions.keys().map(String::as_str).collect();
                format!("All {all} nodes run {}, confirmed in {time}", versions.join(" or "))
            }
            _ => format!(
                "{} of {all} nodes run the new image after {time}, {} do not",
                self.updated, self.not_updated
            ),
        };
        if all > 0 {
            text.push_str(&format!("; {} fetched", Bytes(self.bytes)));
            if self.shared_bytes > 0 {
                text.push_str(&format!(
                    " through the router, {} heard from neighbours",
                    Bytes(self.shared_bytes)
                ));
            }
            text.push('.');
        }
        if self.unable_to_report > 0 {
            text.push_str(&format!(
                " {} run the original firmware and cannot report.",
                self.unable_to_report
            ));
        }
        text
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

impl Line {
    fn of(node: &Node, now: Duration) -> Self {
        let hex = |hash: Option<[u8; 32]>| hash.map(|hash| Hex(&hash).to_string());
        let time = node.time(now);
        Self {
            node: node.mac(),
            short: node.short_mac(),
            id: node.id.0,
            node_type: node.type_name().to_string(),
            root: node.is_root,
            layer: node.layer,
            from: node.from.clone(),
            to: node.to.clone(),
            running: hex(node.running),
            target: hex(node.target),
            bytes: node.fetched_bytes(),
            shared_bytes: node.shared_bytes,
            seconds: time.map(rounded),
            state: node.state.map(|state| state.name()),
            error: node.error.map(ErrorCode::name),
            detail: Some(node.detail.clone()).filter(|detail| !detail.is_empty()),
            updated: matches!(node.outcome(), Outcome::Updated | Outcome::AlreadyThere),
            from_to: match node.outcome() {
                Outcome::Updated => from_to(node),
                _ => node.from.clone().unwrap_or_default(),
            },
            result: match node.outcome() {
                Outcome::AlreadyThere => "ran this image already".to_string(),
                Outcome::NotUpdated => format!("{}: {}", state_name(node.state), failure(node)),
                Outcome::Silent if !node.reports => "cannot report (original firmware)".to_string(),
                Outcome::Updated | Outcome::Unfinished | Outcome::Silent => {
                    state_name(node.state).to_string()
                }
            },
            time: time.map(seconds).unwrap_or_default(),
        }
    }

    fn cells(&self, narrow: bool) -> [String; HEADS.len()] {
        let node_type = if self.root { format!("{} (root)", self.node_type) } else { self.node_type.clone() };
        let amount = |bytes: u32| if bytes > 0 { Bytes(bytes.into()).to_string() } else { String::new() };
        let (bytes, shared) = (amount(self.bytes), amount(self.shared_bytes));
        let layer = self.layer.map(|layer| layer.to_string()).unwrap_or_default();
        let (from_to, result) = (self.from_to.clone(), self.result.clone());
        let node = if narrow { &self.short } else { &self.node };
        [node.clone(), node_type, layer, from_to, bytes, shared, self.time.clone(), result]
    }
}

/// Head of a column that is left out where no node heard anything from its neighbours.
const SHARED: &str = "shared";

/// Heads of the table's columns, and whether they stand to the right.
const HEADS: [(&str, bool); 8] = [
    ("node", false),
    ("type", false),
    ("layer", true),
    ("from → to", false),
    ("fetched", true),
    (SHARED, true),
    ("time", true),
    ("result", false),
];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.nodes.is_empty() {
            let heads = HEADS.map(|(head, _)| head.to_string());
            let table: Vec<_> =
                std::iter::once(heads).chain(self.nodes.iter().map(|line| line.cells(self.narrow))).collect();
            let widths: [usize; HEADS.len()] =
                std::array::from_fn(|column| table.iter().map(|row| width(&row[column])).max().unwrap_or(0));
            for row in &table {
                let mut line = String::new();
                for ((cell, room), (head, right)) in row.iter().zip(widths).zip(HEADS) {
                    if head == SHARED && self.shared_bytes == 0 {
                        continue;
                    }
                    line.push_str(&if right {
                        format!("{cell:>room$}  ")
                    } else {
                        format!("{cell:<room$}  ")
                    });
                }
                writeln!(f, "{}", line.trim_end())?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{}", self.sentence())?;
        for (code, advice) in &self.advice {
            writeln!(f, "  {code}: {advice}")?;
        }
        Ok(())
    }
}
