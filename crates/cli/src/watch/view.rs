//! What a person or a program sees while an update goes on.

use super::fleet::{Change, Fleet};
use super::node::{Node, Outcome, state_name};
use super::picture::{Canvas, failure, from_to, picture};
use super::screen::Screen;
use crate::error::Error;
use crate::output::Output;
use crate::size::Bytes;
use rootcast_wire::UpdateState;
use rootcast_wire::text::Hex;
use serde::Serialize;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How often a picture is drawn anew at most.
pub const REDRAW: Duration = Duration::from_millis(100);

/// A picture that moves, lines, or JSON.
pub enum View {
    /// On a terminal.
    Picture { screen: Screen, title: String, colour: bool },
    /// Without one.
    Lines,
    /// For programs.
    Json,
}

/// A report as a JSON object.
#[derive(Serialize)]
struct ReportEvent<'a> {
    event: &'static str,
    time: String,
    node: String,
    id: u64,
    #[serde(rename = "type")]
    node_type: &'a str,
    layer: Option<u8>,
    parent: Option<u64>,
    state: Option<&'static str>,
    progress: u8,
    /// Fetched from the server, and heard from neighbours.
    bytes: u32,
    shared_bytes: u32,
    attempt: u8,
    error: Option<&'static str>,
    detail: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    running: Option<String>,
    target: Option<String>,
}

impl View {
    /// The view that suits the output. `title` stands above the picture.
    pub fn new(output: &Output, title: String) -> Self {
        if output.is_json() {
            return Self::Json;
        }
        match Screen::new() {
            Some(screen) => Self::Picture { screen, title, colour: std::env::var_os("NO_COLOR").is_none() },
            None => Self::Lines,
        }
    }

    /// Says what stands above the picture from now on.
    pub fn set_title(&mut self, text: String) {
        if let Self::Picture { title, .. } = self {
            *title = text;
        }
    }

    /// Shows what a message changed.
    pub fn changed(
        &mut self,
        output: &mut Output,
        fleet: &Fleet,
        change: Change,
        now: Duration,
    ) -> Result<(), Error> {
        let (Change::Step(id) | Change::Progress(id)) = change else { return Ok(()) };
        let Some(node) = fleet.node(id) else { return Ok(()) };
        match (self, change) {
            (Self::Json, _) => output.object(&event(node)),
            (Self::Lines, Change::Step(_)) => output.line(line(node, now)),
            _ => Ok(()),
        }
    }

    /// Shows how things are now; called every [`REDRAW`].
    pub fn redraw(&mut self, fleet: &Fleet, now: Duration) -> Result<(), Error> {
        let Self::Picture { screen, title, colour } = self else { return Ok(()) };
        let (width, height) = screen.size();
        let canvas = Canvas { width, height, colour: *colour };
        screen.draw(&picture(title, fleet, now, canvas)).map_err(Error::Output)
    }

    /// Says something that is no report.
    pub fn note(&mut self, output: &mut Output, text: &str) -> Result<(), Error> {
        match self {
            Self::Picture { screen, .. } => screen.above(text).map_err(Error::Output),
            Self::Lines => output.line(text),
            Self::Json => output.object(&serde_json::json!({ "event": "note", "time": now(), "text": text })),
        }
    }
}

/// The time of day, in UTC.
pub fn now() -> String {
    // Cannot fail for years up to 9999.
    OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .ok()
        .and_then(|now| now.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn event(node: &Node) -> ReportEvent<'_> {
    let hex = |hash: Option<[u8; 32]>| hash.map(|hash| Hex(&hash).to_string());
    ReportEvent {
        event: "report",
        time: now(),
        node: node.mac(),
        id: node.id.0,
        node_type: node.type_name(),
        layer: node.layer,
        parent: node.parent.map(|parent| parent.0),
        state: node.state.map(UpdateState::name),
        progress: node.progress,
        bytes: node.fetched_bytes(),
        shared_bytes: node.shared_bytes,
        attempt: node.attempt,
        error: node.error.map(|code| code.name()),
        detail: Some(node.detail.as_str()).filter(|detail| !detail.is_empty()),
        from: node.from.as_deref(),
        to: node.to.as_deref(),
        running: hex(node.running),
        target: hex(node.target),
    }
}

/// A step as a line: when, who, what, and what there is to say about it.
fn line(node: &Node, now: Duration) -> String {
    let what = match (node.outcome(), node.state) {
        (Outcome::Updated, _) => from_to(node),
        (Outcome::NotUpdated, _) => failure(node),
        (Outcome::AlreadyThere, _) => "runs this image already".to_string(),
        (_, Some(UpdateState::Verifying | UpdateState::Installed)) => Bytes(node.bytes.into()).to_string(),
        _ => match (node.error, node.detail.as_str()) {
            (Some(_), _) => failure(node),
            (None, detail) => detail.to_string(),
        },
    };
    let line = format!(
        "{:>7.1} s  {}  {:<8} layer {}  {:<11}  {what}",
        now.as_secs_f64(),
        node.mac(),
        node.type_name(),
        node.layer.map_or("?".to_string(), |layer| layer.to_string()),
        state_name(node.state),
    );
    line.trim_end().to_string()
}
