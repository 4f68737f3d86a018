//! What a command prints: lines for people, or with `--json` one object a line. Results go to standard output, errors
//! to standard error; with `--json` the error is an object on standard output too, unless the summary says it: the last
//! line always says how it ended.

use crate::error::Error;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};

/// Where results go. A reader that has gone away (`| head`) ends the command, quietly.
pub struct Output {
    json: bool,
    out: io::Stdout,
}

#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    error: &'a str,
    advice: Option<&'a str>,
}

impl Output {
    /// Output in JSON or for people.
    pub fn new(json: bool) -> Self {
        Self { json, out: io::stdout() }
    }

    /// Prints facts in the form asked for.
    pub fn show(&mut self, facts: &(impl Display + Serialize)) -> Result<(), Error> {
        if self.json { self.object(facts) } else { self.line(facts.to_string().trim_end()) }
    }

    /// Whether machines are to read it.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text for people. What came from a file or a node cannot move the cursor or ring the bell.
    pub fn line(&mut self, text: impl Display) -> Result<(), Error> {
        writeln!(self.out, "{}", harmless(&text.to_string())).map_err(Error::Output)
    }

    /// Prints an object for machines.
    pub fn object(&mut self, facts: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(facts).map_err(|error| Error::Output(error.into()))?;
        writeln!(self.out, "{text}").map_err(Error::Output)
    }

    /// Prints why the command failed. Nothing more can be done if that fails too.
    pub fn failure(&mut self, error: &Error) {
        if error.is_silent() {
            return;
        }
        let (text, advice) = (harmless(&error.to_string()), error.advice());
        if self.json && !error.is_in_summary() {
            let _ = self.object(&Failure { event: "error", error: &text, advice: advice.as_deref() });
        }
        let mut stderr = io::stderr();
        let _ = writeln!(stderr, "rootcast: {text}");
        if let Some(advice) = advice {
            let _ = writeln!(stderr, "  {advice}");
        }
    }
}

/// Text without control characters other than the end of a line.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
