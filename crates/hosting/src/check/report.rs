//! [`CheckReport`]: what the check found.

use rootcast_wire::ErrorCode;
use serde::Serialize;

use super::estimate::Estimate;
use super::release::ReleaseFacts;
use crate::publish::ImageFacts;

/// One thing that was looked at. The order of the variants is the order of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepId {
    /// Form and length of the URL.
    Url,
    /// The host's name.
    Dns,
    /// The connection.
    Tcp,
    /// The handshake: versions and algorithms.
    Tls,
    /// The certificates the server sends.
    Chain,
    /// The name in the certificate.
    Domain,
    /// The certificates' time.
    Validity,
    /// The authority at the chain's end.
    Trust,
    /// Where a redirect leads.
    Redirect,
    /// The answer's status, and whether it is HTTP at all.
    Status,
    /// The length the server announces.
    Length,
    /// The entity tag.
    Etag,
    /// Resuming in the middle.
    Range,
    /// The media type.
    ContentType,
    /// Compression.
    Encoding,
    /// The download itself.
    Transfer,
    /// A signed release: its form and its number.
    Release,
    /// Size and digest against what the trigger or the release says.
    Digest,
    /// The chip the image is for, and its revision.
    Chip,
    /// The image's size against the slot.
    Size,
    /// The image's structure.
    Structure,
    /// The image's checksum.
    Checksum,
    /// The image's hash.
    Hash,
    /// The image's signature.
    Signature,
}

impl StepId {
    /// Its stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Chain => "chain",
            Self::Domain => "domain",
            Self::Validity => "validity",
            Self::Trust => "trust",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Length => "length",
            Self::Etag => "etag",
            Self::Range => "range",
            Self::ContentType => "content_type",
            Self::Encoding => "encoding",
            Self::Transfer => "transfer",
            Self::Release => "release",
            Self::Digest => "digest",
            Self::Chip => "chip",
            Self::Size => "size",
            Self::Structure => "structure",
            Self::Checksum => "checksum",
            Self::Hash => "hash",
            Self::Signature => "signature",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Nodes will take it, but something is worth knowing.
    Warn,
    /// Nodes will not take it.
    Fail,
}

/// Codes of warnings. Failures have the nodes' own codes ([`ErrorCode::name`]).
pub mod warning {
    /// The URL is not https: anybody on the way can read and change the image.
    pub const PLAIN_HTTP: &str = "plain_http";
    /// The name leads to this very machine.
    pub const LOOPBACK_ADDRESS: &str = "loopback_address";
    /// The name has no IPv4 address.
    pub const IPV6_ONLY: &str = "ipv6_only";
    /// A certificate ends within days.
    pub const CERTIFICATE_ENDS_SOON: &str = "certificate_ends_soon";
    /// The server does not say how long the file is.
    pub const NO_CONTENT_LENGTH: &str = "no_content_length";
    /// No strong entity tag.
    pub const NO_STRONG_ETAG: &str = "no_strong_etag";
    /// Downloads cannot be resumed.
    pub const NO_RANGE: &str = "no_range";
    /// A resumed download gets other bytes.
    pub const RANGE_WRONG: &str = "range_wrong";
    /// Not `application/octet-stream`.
    pub const CONTENT_TYPE: &str = "content_type";
    /// No key was given to check signatures against.
    pub const SIGNATURE_UNCHECKED: &str = "signature_unchecked";
    /// No chip was given to check against.
    pub const CHIP_UNCHECKED: &str = "chip_unchecked";
    /// The URL's query holds a signature: it will end.
    pub const SIGNED_URL: &str = "signed_url";
    /// The server is slower than the nodes.
    pub const SLOW: &str = "slow";
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was looked at.
    pub step: StepId,
    /// Which server: 0 is the URL's own, 1 the first redirect's, …
    pub hop: u8,
    /// Which file, for those that a release leads to; absent for the URL itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// A stable code: a node's for failures, one of [`warning`] for warnings.
    pub code: Option<&'static str>,
    /// What was found, in plain words.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How the download went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Bytes of content.
    pub bytes: u64,
    /// Milliseconds from the request to the last byte.
    pub millis: u64,
}

/// What the check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The URL.
    pub url: String,
    /// Whether nodes will accept it.
    pub accepted: bool,
    /// What a node would report for it, if they will not.
    pub code: Option<&'static str>,
    /// All steps in order.
    pub steps: Vec<Step>,
    /// The download, if there was one.
    pub transfer: Option<Transfer>,
    /// SHA-256 of the content in hex, if all of it arrived.
    pub sha256: Option<String>,
    /// What the image says about itself, if it is whole.
    pub image: Option<ImageFacts>,
    /// What the release says about itself, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseFacts>,
    /// How long a mesh will take, if it is accepted.
    pub estimate: Option<Estimate>,
}

impl CheckReport {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            accepted: true,
            code: None,
            steps: Vec::new(),
            transfer: None,
            sha256: None,
            image: None,
            release: None,
            estimate: None,
        }
    }

    /// The first step of a kind.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.step == id)
    }

    /// The warnings' codes.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().filter(|step| step.outcome == Outcome::Warn).filter_map(|step| step.code)
    }
}

/// Where steps are noted: the report, and which server they are about.
pub(super) struct Notes<'a> {
    pub(super) report: &'a mut CheckReport,
    pub(super) hop: u8,
    pub(super) file: Option<String>,
}

impl Notes<'_> {
    pub(super) fn ok(&mut self, step: StepId, found: impl Into<String>) {
        self.push(step, Outcome::Ok, None, found.into(), None);
    }

    pub(super) fn warn(&mut self, step: StepId, code: &'static str, found: impl Into<String>, advice: &str) {
        self.push(step, Outcome::Warn, Some(code), found.into(), Some(advice.to_owned()));
    }

    /// A failure with the code's own advice.
    pub(super) fn fail(&mut self, step: StepId, code: ErrorCode, found: impl Into<String>) {
        self.fail_with(step, code, found, code.advice());
    }

    pub(super) fn fail_with(
        &mut self,
        step: StepId,
        code: ErrorCode,
        found: impl Into<String>,
        advice: &str,
    ) {
        // The first failure is the one that a node stops at.
        self.node_reports(code);
        self.push(step, Outcome::Fail, Some(code.name()), found.into(), Some(advice.to_owned()));
    }

    /// What a node would report, unless it stopped earlier.
    pub(super) fn node_reports(&mut self, code: ErrorCode) {
        self.report.accepted = false;
        self.report.code.get_or_insert(code.name());
    }

    fn push(
        &mut self,
        step: StepId,
        outcome: Outcome,
        code: Option<&'static str>,
        found: String,
        advice: Option<String>,
    ) {
        let file = self.file.clone();
        self.report.steps.push(Step { step, hop: self.hop, file, outcome, code, found, advice });
    }
}
