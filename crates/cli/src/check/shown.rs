//! A report of the check, for people and for machines.

use rootcast_hosting::check::{CheckReport, Outcome, Step};
use serde::Serialize;
use std::fmt;

/// Where what was found begins in a line.
const INDENT: usize = 21;

/// A report to print.
#[derive(Serialize)]
pub struct Shown<'a> {
    event: &'static str,
    #[serde(flatten)]
    report: &'a CheckReport,
    /// Steps that went well are left out.
    #[serde(skip)]
    only_flaws: bool,
}

impl<'a> Shown<'a> {
    /// All steps.
    pub fn new(report: &'a CheckReport) -> Self {
        Self { event: "check", report, only_flaws: false }
    }

    /// Failures and their advice.
    pub fn failures(report: &'a CheckReport) -> Self {
        Self { event: "check", report, only_flaws: true }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        writeln!(f, "{}", short(&report.url))?;
        let mut place = (0, None);
        for step in &report.steps {
            if self.only_flaws && step.outcome != Outcome::Fail {
                continue;
            }
            if place != (step.hop, step.file.as_deref()) {
                place = (step.hop, step.file.as_deref());
                match (step.hop, &step.file) {
                    (0, Some(file)) => writeln!(f, " {file}")?,
                    (hop, Some(file)) => writeln!(f, " {file}, after redirect {hop}")?,
                    (hop, None) => writeln!(f, " after redirect {hop}")?,
                }
            }
            write_step(f, step)?;
        }
        match (report.accepted, report.code) {
            (true, _) if report.release.is_some() => {
                write!(f, "Nodes will accept this release and all its files.")?
            }
            (true, _) => write!(f, "Nodes will accept this image.")?,
            (false, code) => write!(f, "Nodes will not accept this: {}.", code.unwrap_or("failed"))?,
        }
        if let Some(estimate) = report.estimate.as_ref().filter(|_| !self.only_flaws) {
            write!(
                f,
                "\n{} nodes take about {} (each downloads) or {} (spread).\n  {}",
                estimate.nodes,
                Minutes(estimate.direct_seconds),
                Minutes(estimate.spread_seconds),
                estimate.assumes
            )?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    let word = match step.outcome {
        Outcome::Ok => "ok",
        Outcome::Warn => "warn",
        Outcome::Fail => "FAIL",
    };
    writeln!(f, "  {word:<5}{:<14}{}", step.step.name(), step.found)?;
    let code = step.code.filter(|_| step.outcome != Outcome::Ok);
    let aside = match (code, &step.advice) {
        (Some(code), Some(advice)) => format!("{code}: {advice}"),
        (Some(code), None) => code.to_string(),
        (None, Some(advice)) => advice.clone(),
        (None, None) => return Ok(()),
    };
    writeln!(f, "{:INDENT$}{aside}", "")
}

/// A URL without the signature that its query may hold.
fn short(url: &str) -> String {
    match url.split_once('?') {
        Some((path, query)) => format!("{path}?… ({} bytes of query)", query.len()),
        None => url.to_string(),
    }
}

struct Minutes(u64);

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds => write!(f, "{} min", seconds.div_ceil(60)),
        }
    }
}

/// In one line, that nodes will accept a URL.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Passed<'a>(Shown<'a>);

impl<'a> Passed<'a> {
    /// Of a report that accepts the URL.
    pub fn new(report: &'a CheckReport) -> Self {
        Self(Shown::new(report))
    }
}

impl fmt::Display for Passed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0.report;
        write!(f, "checked: nodes will accept ")?;
        match (&report.image, &report.release) {
            (Some(image), _) => write!(f, "{} {} for {}", image.project, image.version, image.chip)?,
            (None, Some(release)) => write!(
                f,
                "release {} with {} image(s)",
                release.version.as_deref().unwrap_or("without a version"),
                release.variants
            )?,
            (None, None) => write!(f, "it")?,
        }
        let warnings: Vec<&str> = report.warnings().collect();
        match warnings.is_empty() {
            true => Ok(()),
            false => write!(f, " (to know: {})", warnings.join(", ")),
        }
    }
}
