//! Spread: the mesh shares one download.
//!
//! Radio is a broadcast medium, so a block of pages is sent once for everybody who hears it. Nodes take the blocks of an
//! object in order. Whoever lacks a block asks *one* neighbour that has it; everybody else who lacks it, too, listens.
//! What is lost is repaired by coded packets, of which any serves any listener, so a request says only *how many* are
//! missing, and one request speaks for all who miss less. Only nodes that are asked ever send, so only nodes that
//! somebody needs forward.
//!
//! ```text
//!                 advertisement or request shows       timer, and nobody asked first
//!   [Quiet] ────────────────────────────────▶ [Wanting] ───────────────────────────▶ [Asked]
//!      ▲            somebody who has more         ▲  ▲                                  │ packets
//!      │                                          │  └── silence: ask again, or another ┤
//!      │  nobody has more                         │                                     ▼
//!      └────────────────────────── block whole and its digests right: stored ◀──── [Listening]
//! ```
//! Each page is checked against its digest before it is stored or sent on; the digests travel as the object's first
//! pages, and are checked against the description, which comes from the root.
//!
//! | module | what it knows |
//! |---|---|
//! | `machine` | the protocol's state, what is offered and wanted, time |
//! | `hear` | what a frame changes |
//! | `receive` | a block from its first packet to the store |
//! | `ask` | when to ask for what, and whom |
//! | `serve` | sending what was asked for |
//! | `relay` | an object of others that passes through this node |
//! | [`code`] | packets of a block, and repair packets |
//! | `packet` | the frames, byte by byte |
//! | `object` | what is spread, and its digests |
//! | `seal` | frames that strangers cannot make |
//! | `neighbours`, `trickle` | whom a node hears; when to advertise |
//!
//! `docs/spread.md` describes the protocol for whoever wants to implement it anew. Start with [`Spread`].

mod ask;
pub mod code;
mod hear;
mod machine;
mod neighbours;
mod object;
mod packet;
mod receive;
mod relay;
mod seal;
mod serve;
#[cfg(test)]
mod tests;
mod trickle;

pub use code::{BLOCK_BYTES, BlockDecoder, PACKET_BYTES, PACKETS, PAGES_PER_BLOCK};
pub use machine::{Sent, Spread};
pub use object::{Description, DigestList, MAX_LIST_PAGES, MAX_PAGES, ObjectId, PageDigest};
pub use packet::{
    ADVERTISE, Advertise, DATA_FRAME_BYTES, DATA_HEADER_BYTES, DATA_MAGIC, Data, MAX_ADVERTISE_BYTES,
    REQUEST, REQUEST_BYTES, Request,
};
pub use seal::{SEAL_BYTES, Seal};

use crate::PAGE_BYTES;

/// Where a node keeps the file's pages.
pub trait PageStore {
    /// Reads from a page that the store holds; `false` when it cannot.
    fn read(&mut self, page: u16, offset: usize, into: &mut [u8]) -> bool;

    /// Stores a verified page; `false` when it cannot. A page that stood in the store before and turned out to be right
    /// is given again.
    fn write(&mut self, page: u16, bytes: &[u8; PAGE_BYTES]) -> bool;

    /// Reads from a page of an object that this node offers to others without using it ([`Spread::offer_other`]). Its
    /// pages are numbered with the list pages first.
    fn read_other(&mut self, object: ObjectId, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let _ = (object, page, offset, into);
        false
    }
}

/// Rhythm of a mesh's link, as the body that drives it declares it: all of the protocol's timers follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Microseconds from one packet of a sender to its next: the packet's airtime, and room for others' frames.
    pub packet_us: u32,
    /// Packets in a frame: 1 for ESP-NOW v1, up to 6 for ESP-NOW v2.
    pub packets_per_frame: u8,
    /// Milliseconds that may pass, besides its airtime, until a frame that was handed over is heard: queues, and the
    /// scheduling of an operating system. 0 for a radio.
    pub latency_ms: u8,
}

impl Default for Pace {
    /// For ESP-NOW v1 at 1 Mbit/s, where a full frame with its seal takes 2.5 ms and waits 0.3 ms for the channel: almost
    /// half of the air is left to everything else that the mesh has to say.
    fn default() -> Self {
        Self { packet_us: 5_120, packets_per_frame: 1, latency_ms: 0 }
    }
}

/// What a node wants to send: the kind of frame, and its bytes in the buffer given to [`Spread::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadFrame {
    /// A frame of this kind with a body of so many bytes.
    Body {
        /// [`ADVERTISE`] or [`REQUEST`].
        kind: u8,
        /// Length of the body.
        length: usize,
    },
    /// A data frame of so many bytes, complete.
    Data(usize),
}

/// Bytes that [`Spread::poll`] needs room for, with one packet in a frame.
pub const MAX_SPREAD_BYTES: usize = DATA_FRAME_BYTES;

/// Bytes that [`Spread::poll`] needs room for, with six packets in a frame.
pub const MAX_SPREAD_BYTES_V2: usize = DATA_HEADER_BYTES + 6 * PACKET_BYTES;

const _: () = assert!(MAX_ADVERTISE_BYTES <= MAX_SPREAD_BYTES);
// ESP-NOW v1 and v2 payloads.
const _: () = assert!(MAX_SPREAD_BYTES + SEAL_BYTES <= 250 && MAX_SPREAD_BYTES_V2 + SEAL_BYTES <= 1470);
// A block's buffer is two pages, one of which counts as the page buffer that any update needs.
const _: () = assert!(size_of::<Spread>() <= 12 * 1024 + PAGE_BYTES);
