//! Rootcast's own mesh frames.
//!
//! Every frame fits ESP-NOW v1 (250 bytes) and begins alike, all numbers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic `CA 57` |
//! | 2 | 1 | version, 1 |
//! | 3 | 1 | kind |
//! | 4 | 8 | source: the node that made the frame (not the one that forwards it) |
//! | 12 | 4 | sequence: rises by one with each frame of that source |
//! | 16 | ≤ 218 | body, by kind |
//! | last | 16 | left free for an authentication tag, [`SEAL_BYTES`] |
//!
//! Kinds 1–31 are in this module, 32–127 belong to the spread protocol and are handed out as they are
//! ([`Body::Spread`]), 128–255 are reserved for sealed frames. Source and sequence together are unique and make a
//! 12-byte nonce.

mod hello;

pub use hello::Hello;
pub(crate) use hello::{read_node_type, read_text, write_text};

use crate::{
    NodeId, NodeStatus, Report, TooSmall,
    bytes::{Reader, Short, Writer},
    cast::{CastFragment, CastId},
};

/// The longest frame: ESP-NOW v1's payload (`ESP_NOW_MAX_DATA_LEN`).
pub const MAX_FRAME_BYTES: usize = 250;
/// The header of every frame.
pub const HEADER_BYTES: usize = 16;
/// Left free at the end of the longest frame for an authentication tag.
pub const SEAL_BYTES: usize = 16;
/// The longest body.
pub const MAX_BODY_BYTES: usize = MAX_FRAME_BYTES - HEADER_BYTES - SEAL_BYTES;
/// The first two bytes of every frame.
pub const MAGIC: [u8; 2] = [0xCA, 0x57];
/// The version this module reads and writes.
pub const VERSION: u8 = 1;
/// The first kind that belongs to the spread protocol.
pub const FIRST_SPREAD_KIND: u8 = 32;
/// The last kind that belongs to the spread protocol.
pub const LAST_SPREAD_KIND: u8 = 127;

const HELLO: u8 = 1;
const CAST_FRAGMENT: u8 = 2;
const REPORT: u8 = 3;
const REPORT_ACK: u8 = 4;
const START_REQUEST: u8 = 5;
const START_GRANT: u8 = 6;
const STATUS: u8 = 7;
const RESTART_GRANT: u8 = 8;

/// For what a node asks the root's leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StartPurpose {
    /// A download of the image.
    #[default]
    Download = 0,
    /// Reading a signed release: no neighbour can spare it that.
    Release = 1,
    /// The restart into the image, which it has.
    Restart = 2,
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<'a> {
    /// The node that made it.
    pub source: NodeId,
    /// Rises by one with each frame of that source.
    pub sequence: u32,
    /// What it says.
    pub body: Body<'a>,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// A node announces itself. To its neighbours and, forwarded, to the root.
    Hello(Hello),
    /// A piece of a cast command. To every node.
    CastFragment(CastFragment<'a>),
    /// A step of an update on the source. To the root.
    Report(Report),
    /// The root has published the report with this sequence of this node. To that node.
    ReportAck {
        /// The node that reported.
        node: NodeId,
        /// The sequence of the frame that carried the report.
        sequence: u32,
    },
    /// The source asks to begin its download. To the root.
    StartRequest {
        /// The cast that it is about.
        cast_id: CastId,
        /// For what: one more byte, absent for a download of an image that is not named.
        purpose: StartPurpose,
        /// Of a download: the first two bytes of the SHA-256 of the file that a release told the source to install,
        /// little-endian, behind the purpose. 0, and absent, if no release did. Who wants the same file need not
        /// download it twice.
        file: u16,
    },
    /// The root lets a node begin its download. To that node.
    StartGrant {
        /// The node that may begin.
        node: NodeId,
        /// The cast that it is about.
        cast_id: CastId,
    },
    /// The root lets a node restart into the image that it has installed. To that node. A frame of its own, since a
    /// repeated [`Body::StartGrant`] may come late.
    RestartGrant {
        /// The node that may restart.
        node: NodeId,
        /// The cast that it is about.
        cast_id: CastId,
    },
    /// The source's status, for the root to publish. To the root.
    Status(NodeStatus),
    /// A frame of the spread protocol, as it is.
    Spread {
        /// From [`FIRST_SPREAD_KIND`] to [`LAST_SPREAD_KIND`].
        kind: u8,
        /// The body, at most [`MAX_BODY_BYTES`].
        bytes: &'a [u8],
    },
}

/// Why bytes are no frame, or a frame cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Does not begin with [`MAGIC`]: a frame of something else.
    #[error("not a frame of ours: it does not begin with ca57")]
    Magic,
    /// Another version.
    #[error("the frame has version {0}, known is {VERSION}")]
    Version(u8),
    /// A kind that this version does not know.
    #[error("the frame has kind {0}, which this version does not know")]
    Kind(u8),
    /// Ends before its fields do.
    #[error("the frame is truncated")]
    Truncated,
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("the frame has {0} bytes, at most {MAX_FRAME_BYTES} are allowed")]
    TooLong(usize),
    /// A field's value cannot be.
    #[error("the frame's field {0} is malformed")]
    Field(&'static str),
    /// A report or status of one node in a frame of another.
    #[error("the frame's source is {frame}, but it speaks of node {body}")]
    Source {
        /// The frame's source.
        frame: NodeId,
        /// The node in the body.
        body: NodeId,
    },
    /// The buffer to write to is too small; [`MAX_FRAME_BYTES`] are always enough.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
}

impl From<Short> for FrameError {
    fn from(_: Short) -> Self {
        FrameError::Truncated
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame. Bytes behind the known fields of a body are ignored: a later version may add fields there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(bytes);
        if reader.array()? != MAGIC {
            return Err(FrameError::Magic);
        }
        if bytes.len() > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(bytes.len()));
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let kind = reader.u8()?;
        let source = node(&mut reader, "source")?;
        let sequence = reader.u32()?;
        let body = match kind {
            HELLO => Body::Hello(Hello::read(&mut reader)?),
            CAST_FRAGMENT => Body::CastFragment(CastFragment {
                cast_id: CastId(reader.u32()?),
                index: reader.u8()?,
                count: reader.u8()?,
                total_len: reader.u16()?,
                bytes: reader.rest(),
            }),
            REPORT => Body::Report(Report::read_compact(source, &mut reader)?),
            REPORT_ACK => Body::ReportAck { node: node(&mut reader, "node")?, sequence: reader.u32()? },
            START_REQUEST => Body::StartRequest {
                cast_id: CastId(reader.u32()?),
                purpose: match reader.u8() {
                    Ok(1) => StartPurpose::Release,
                    Ok(2) => StartPurpose::Restart,
                    _ => StartPurpose::Download,
                },
                file: reader.u16().unwrap_or(0),
            },
            START_GRANT => {
                Body::StartGrant { node: node(&mut reader, "node")?, cast_id: CastId(reader.u32()?) }
            }
            RESTART_GRANT => {
                Body::RestartGrant { node: node(&mut reader, "node")?, cast_id: CastId(reader.u32()?) }
            }
            STATUS => Body::Status(NodeStatus::read_compact(source, &mut reader)?),
            FIRST_SPREAD_KIND..=LAST_SPREAD_KIND => Body::Spread { kind, bytes: reader.rest() },
            other => return Err(FrameError::Kind(other)),
        };
        Ok(Frame { source, sequence, body })
    }

    /// Writes the frame and returns how many bytes it took.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, FrameError> {
        let (kind, about) = match &self.body {
            Body::Hello(_) => (HELLO, self.source),
            Body::CastFragment(_) => (CAST_FRAGMENT, self.source),
            Body::Report(report) => (REPORT, report.device),
            Body::ReportAck { .. } => (REPORT_ACK, self.source),
            Body::StartRequest { .. } => (START_REQUEST, self.source),
            Body::StartGrant { .. } => (START_GRANT, self.source),
            Body::RestartGrant { .. } => (RESTART_GRANT, self.source),
            Body::Status(status) => (STATUS, status.device),
            Body::Spread { kind: kind @ FIRST_SPREAD_KIND..=LAST_SPREAD_KIND, .. } => (*kind, self.source),
            Body::Spread { kind, .. } => return Err(FrameError::Kind(*kind)),
        };
        if about != self.source {
            return Err(FrameError::Source { frame: self.source, body: about });
        }
        let limit = buffer.len().min(HEADER_BYTES + MAX_BODY_BYTES);
        let mut out = Writer::new(buffer.get_mut(..limit).unwrap_or_default());
        self.write_all(kind, &mut out).map_err(|Short| TooSmall)?;
        Ok(out.used())
    }

    fn write_all(&self, kind: u8, out: &mut Writer<'_>) -> Result<(), Short> {
        out.put(&MAGIC)?;
        out.put(&[VERSION, kind])?;
        out.u64(self.source.0)?;
        out.u32(self.sequence)?;
        match &self.body {
            Body::Hello(hello) => hello.write(out),
            Body::CastFragment(piece) => {
                out.u32(piece.cast_id.0)?;
                out.put(&[piece.index, piece.count])?;
                out.u16(piece.total_len)?;
                out.put(piece.bytes)
            }
            Body::Report(report) => report.write_compact(out),
            Body::ReportAck { node, sequence } => {
                out.u64(node.0)?;
                out.u32(*sequence)
            }
            Body::StartRequest { cast_id, purpose, file } => {
                out.u32(cast_id.0)?;
                match (*purpose, *file) {
                    (StartPurpose::Download, 0) => Ok(()),
                    (purpose, 0) => out.u8(purpose as u8),
                    (purpose, file) => {
                        out.u8(purpose as u8)?;
                        out.u16(file)
                    }
                }
            }
            Body::StartGrant { node, cast_id } | Body::RestartGrant { node, cast_id } => {
                out.u64(node.0)?;
                out.u32(cast_id.0)
            }
            Body::Status(status) => status.write_compact(out),
            Body::Spread { bytes, .. } => out.put(bytes),
        }
    }
}

pub(crate) fn node(reader: &mut Reader<'_>, field: &'static str) -> Result<NodeId, FrameError> {
    let id = NodeId(reader.u64()?);
    if id > NodeId::MAX { Err(FrameError::Field(field)) } else { Ok(id) }
}
