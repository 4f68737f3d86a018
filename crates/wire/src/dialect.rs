//! The mesh frames of the original firmware's two dialects, for nodes that still run it.
//!
//! Facts from drdubel/domator, `uc/buttonsMeshIDF`: the first dialect as of commit f8b9365, the later as of 7653c9b
//! (`domator_mesh.h`, `mesh_comm.c`, `node_root.c`). Both are packed C structs, little-endian, sent at their full size.

pub mod first;
pub mod later;

/// What a frame of either dialect is about: the byte `msg_type`, an ASCII letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// A button was pressed; to the root.
    Button = b'B',
    /// A leaf's status as JSON; to the root, which publishes it.
    Status = b'S',
    /// A command to a relay, such as `a1`.
    Command = b'C',
    /// A command has arrived.
    Ack = b'A',
    /// An output has changed.
    RelayState = b'R',
    /// The root asks a relay for all its outputs.
    SyncRequest = b'Y',
    /// Configuration.
    Config = b'G',
    /// First dialect: update from the URL in the data.
    OtaTrigger = b'O',
    /// Later dialect: update from the compiled-in URL.
    OtaStart = b'U',
    /// Later dialect: a node tells the root what it is.
    TypeInfo = b'T',
    /// Is anyone there.
    Ping = b'P',
}

impl MessageType {
    /// Every type.
    pub const ALL: [MessageType; 11] = [
        MessageType::Button,
        MessageType::Status,
        MessageType::Command,
        MessageType::Ack,
        MessageType::RelayState,
        MessageType::SyncRequest,
        MessageType::Config,
        MessageType::OtaTrigger,
        MessageType::OtaStart,
        MessageType::TypeInfo,
        MessageType::Ping,
    ];

    /// The type with this letter.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == letter)
    }
}

/// Why bytes are no frame of a dialect, or a frame cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialectError {
    /// Shorter than the dialect's struct, which is always sent whole.
    #[error("the frame has {found} bytes, the dialect's have {expected}")]
    Length {
        /// Bytes of the dialect's struct.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A message type that neither dialect has.
    #[error("the frame has type 0x{0:02x}, which neither dialect has")]
    MessageType(u8),
    /// A target type that the later dialect does not have.
    #[error("the frame has target type 0x{0:02x}, which is none of S, R and 0")]
    TargetType(u8),
    /// `data_len` is larger than the room for data.
    #[error("the frame says it has {found} bytes of data, at most {limit} fit")]
    DataLength {
        /// The room.
        limit: usize,
        /// What `data_len` says, or the data to be written has.
        found: usize,
    },
    /// The URL does not fit and is not cut.
    #[error("the URL has {found} bytes, the first dialect carries at most {limit}")]
    UrlTooLong {
        /// The longest URL.
        limit: usize,
        /// The URL's length.
        found: usize,
    },
    /// The source's id is larger than the dialect's ids are.
    #[error("the id {0} is larger than the dialect's ids are")]
    Id(u64),
}
