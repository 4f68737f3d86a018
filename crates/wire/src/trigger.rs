//! The trigger: which image, for whom, how and when.

use crate::{
    NodeId, NodeType,
    json::{JsonWriter, write_text},
    text::Hex,
    time::Rfc3339,
};
use core::{
    fmt::{self, Write},
    str::FromStr,
};
use heapless::{String, Vec};

/// The longest URL that reaches every node, in bytes. Pre-signed object store URLs have 500 to 1,800.
pub const MAX_URL_BYTES: usize = 2048;
/// The longest version text, in bytes: what an ESP-IDF app descriptor holds (`esp_app_desc_t.version`).
pub const MAX_VERSION_BYTES: usize = 32;
/// The longest rollout id, in bytes.
pub const MAX_ROLLOUT_BYTES: usize = 64;
/// The most entries that `targets` may have.
pub const MAX_TARGETS: usize = 32;

/// The URL of an image or a release.
pub type Url = String<MAX_URL_BYTES>;
/// A version as text.
pub type Version = String<MAX_VERSION_BYTES>;
/// A rollout's id: text that the control plane chooses and nodes hand back.
pub type RolloutId = String<MAX_ROLLOUT_BYTES>;

/// A request to update, as it comes from MQTT and as it is cast into the mesh (DESIGN §4.1).
///
/// About 3 KB: a node keeps one and reads into it ([`crate::parse_command_into`], [`crate::cast::decode`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trigger {
    /// Where the app image or the signed release is: http or https.
    pub url: Url,
    /// SHA-256 over the whole file, as `sha256sum` prints it.
    pub sha256: Option<[u8; 32]>,
    /// The file's size in bytes, at least 1.
    pub size: Option<u32>,
    /// The version it brings, for people; nothing is decided by it.
    pub version: Option<Version>,
    /// Who is meant; empty = every node.
    pub targets: Targets,
    /// How the image travels; `None` = through the mesh where nodes can share it, as [`Mode::Spread`].
    pub mode: Option<Mode>,
    /// How many nodes may download at once, at least 1; `None` = the root decides.
    pub max_parallel: Option<u16>,
    /// Not to begin before this time, in Unix seconds.
    pub not_before: Option<u64>,
    /// The rollout this belongs to; nodes hand it back in their reports.
    pub rollout: Option<RolloutId>,
    /// Install even an image that failed its trial before. Never loosens a check of signature, chip or size.
    pub force: bool,
}

impl Trigger {
    /// An empty trigger: no URL, all nodes, nothing asked for.
    pub const fn new() -> Self {
        Trigger {
            url: String::new(),
            sha256: None,
            size: None,
            version: None,
            targets: Targets::all(),
            mode: None,
            max_parallel: None,
            not_before: None,
            rollout: None,
            force: false,
        }
    }

    /// Whether nodes that can share pages do: unless the trigger says otherwise, they do.
    #[must_use]
    pub fn spreads(&self) -> bool {
        self.mode != Some(Mode::Direct)
    }

    /// Makes it as [`Trigger::new`], in place: nothing of 3 KB passes over the stack.
    pub fn clear(&mut self) {
        let Trigger { url, sha256, size, version, targets, mode, max_parallel, not_before, rollout, force } =
            self;
        url.clear();
        targets.0.clear();
        (*sha256, *size, *version, *mode) = (None, None, None, None);
        (*max_parallel, *not_before, *rollout, *force) = (None, None, None, false);
    }

    /// Writes the JSON that [`crate::parse_command`] reads. Absent fields are left out.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut json = JsonWriter::open(out)?;
        json.text("type", "ota_trigger")?;
        json.text("url", &self.url)?;
        if let Some(sha256) = &self.sha256 {
            json.text("sha256", Hex(sha256))?;
        }
        if let Some(size) = self.size {
            json.plain("size", size)?;
        }
        if let Some(version) = &self.version {
            json.text("version", version)?;
        }
        if !self.targets.is_all() {
            json.plain("targets", &self.targets)?;
        }
        if let Some(mode) = self.mode {
            json.text("mode", mode)?;
        }
        if let Some(max_parallel) = self.max_parallel {
            json.plain("max_parallel", max_parallel)?;
        }
        if let Some(not_before) = self.not_before {
            json.text("not_before", Rfc3339(not_before))?;
        }
        if let Some(rollout) = &self.rollout {
            json.text("rollout", rollout)?;
        }
        if self.force {
            json.plain("force", true)?;
        }
        json.close()
    }
}

/// How an image travels to the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Every node downloads it for itself.
    Direct = 1,
    /// The root downloads it once and the mesh shares it.
    Spread = 2,
}

impl Mode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Direct => "direct",
            Mode::Spread => "spread",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Mode::Direct, Mode::Spread].into_iter().find(|mode| mode.name() == name)
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Mode::Direct, Mode::Spread].into_iter().find(|mode| *mode as u8 == number)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One entry of `targets`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The node with this id, or with this alias in an original dialect.
    Node(NodeId),
    /// Every node of this type; `relay` means every relay.
    Type(NodeType),
    /// The node that is the root, whatever its type.
    Root,
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads an id (decimal or MAC address), `root`, or a node type.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text == "root" {
            return Ok(Target::Root);
        }
        if let Ok(id) = text.parse() {
            return Ok(Target::Node(id));
        }
        // What looks like an id but is none must not become a node type that no node has.
        if text.contains(':') || text.bytes().all(|c| c.is_ascii_digit()) {
            return Err(TargetError);
        }
        NodeType::from_name(text).map(Target::Type).ok_or(TargetError)
    }
}

/// The text is neither a node's id nor a node type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a target is a node id below 2^48, a MAC address, \"root\" or a node type of at most 16 bytes")]
pub struct TargetError;

/// Who is meant by a trigger: all nodes, or up to [`MAX_TARGETS`] ids and types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(Vec<Target, MAX_TARGETS>);

/// More than [`MAX_TARGETS`] targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_TARGETS} targets")]
pub struct TooManyTargets;

impl Targets {
    /// Every node.
    pub const fn all() -> Self {
        Targets(Vec::new())
    }

    /// True if every node is meant.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries; none if every node is meant.
    pub fn entries(&self) -> &[Target] {
        &self.0
    }

    /// Adds an entry. The first one narrows the trigger from all nodes to that entry.
    pub fn push(&mut self, target: Target) -> Result<(), TooManyTargets> {
        self.0.push(target).map_err(|_| TooManyTargets)
    }

    /// True if this node is meant.
    pub fn include(&self, node: NodeId, node_type: &NodeType, is_root: bool) -> bool {
        self.is_all()
            || self.0.iter().any(|target| match target {
                Target::Node(id) => node.answers_to(id.0),
                Target::Type(wanted) => wanted.covers(node_type),
                Target::Root => is_root,
            })
    }
}

/// As the JSON array of the trigger.
impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (at, target) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            match target {
                Target::Node(id) => write!(f, "{id}")?,
                Target::Type(node_type) => write_text(f, node_type)?,
                Target::Root => f.write_str("\"root\"")?,
            }
        }
        f.write_char(']')
    }
}

/// Why a text is not a URL that nodes can fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than [`MAX_URL_BYTES`].
    #[error("the URL has {0} bytes, at most {MAX_URL_BYTES} are allowed")]
    TooLong(usize),
    /// Has no scheme, no host, or a character that may not stand in a URL (RFC 3986 §2).
    #[error("the URL {0}")]
    Invalid(&'static str),
    /// The scheme is neither http nor https.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
}

/// Checks a URL's form: length, characters, scheme, and that there is a host. What the host is, the download finds out.
pub fn check_url(url: &str) -> Result<(), UrlError> {
    if url.len() > MAX_URL_BYTES {
        return Err(UrlError::TooLong(url.len()));
    }
    if url.is_empty() {
        return Err(UrlError::Invalid("is empty"));
    }
    // Spaces, control characters and non-ASCII would let a URL end or change the HTTP request that carries it.
    if !url.bytes().all(|c| {
        c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    }) {
        return Err(UrlError::Invalid("contains a character that must be percent-encoded"));
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(UrlError::Invalid("has no scheme such as https://"));
    };
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        || !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'))
    {
        return Err(UrlError::Invalid("has no scheme such as https://"));
    }
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(UrlError::Scheme);
    }
    let host = rest.strip_prefix("//").ok_or(UrlError::Invalid("has no // after its scheme"))?;
    if host.is_empty() || host.starts_with(['/', '?', '#', ':', '@']) {
        return Err(UrlError::Invalid("has no host"));
    }
    Ok(())
}
