//! Putting a cast together again.

use super::{CastFragment, CastId, FRAGMENT_BYTES, MAX_CAST_BYTES, fragment, fragment_count};
use crate::{Abort, TooSmall, Trigger};

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The cast is complete now: [`CastReassembly::encoded`] hands it out. Said once for each cast.
    Complete(CastId),
    /// New and taken; the cast is not complete yet.
    Partial,
    /// Already there.
    Duplicate,
    /// Of an older cast than the one at hand.
    Stale,
    /// Contradicts itself or the cast's other fragments; dropped.
    Malformed,
}

/// Collects the fragments of the newest cast, in any order, with losses and repetitions; 2.8 KB, the only buffer that
/// a node needs for casts. The root loads its own cast into it too, so that every node can repeat fragments.
#[derive(Clone, Debug)]
pub struct CastReassembly {
    id: CastId,
    total_len: u16,
    /// Bit n: fragment n is there.
    have: u32,
    bytes: [u8; MAX_CAST_BYTES],
}

impl Default for CastReassembly {
    fn default() -> Self {
        Self::new()
    }
}

impl CastReassembly {
    /// Nothing at hand: any cast is new.
    pub const fn new() -> Self {
        CastReassembly { id: CastId::NONE, total_len: 0, have: 0, bytes: [0; MAX_CAST_BYTES] }
    }

    /// The cast at hand, complete or not; [`CastId::NONE`] at first.
    pub fn id(&self) -> CastId {
        self.id
    }

    /// True if every fragment of the cast at hand is there.
    pub fn is_complete(&self) -> bool {
        self.id != CastId::NONE && self.have == self.all()
    }

    /// A mask with a bit for each fragment of the cast at hand.
    fn all(&self) -> u32 {
        (1 << fragment_count(usize::from(self.total_len))) - 1
    }

    /// Takes in a fragment. A newer cast takes the place of the one at hand, an older one is left out.
    pub fn accept(&mut self, piece: &CastFragment<'_>) -> Accepted {
        let total = usize::from(piece.total_len);
        let from = usize::from(piece.index) * FRAGMENT_BYTES;
        if piece.cast_id == CastId::NONE
            || total > MAX_CAST_BYTES
            || piece.count != fragment_count(total)
            || piece.index >= piece.count
            || piece.bytes.len() != FRAGMENT_BYTES.min(total - from)
        {
            return Accepted::Malformed;
        }
        if piece.cast_id != self.id {
            if !piece.cast_id.is_newer_than(self.id) {
                return Accepted::Stale;
            }
            (self.id, self.total_len, self.have) = (piece.cast_id, piece.total_len, 0);
        } else if piece.total_len != self.total_len {
            return Accepted::Malformed;
        }
        let bit = 1 << piece.index;
        if self.have & bit != 0 {
            return Accepted::Duplicate;
        }
        // Within bounds by the checks above: from + length <= total <= MAX_CAST_BYTES.
        let Some(room) = self.bytes.get_mut(from..from + piece.bytes.len()) else {
            return Accepted::Malformed;
        };
        room.copy_from_slice(piece.bytes);
        self.have |= bit;
        if self.have == self.all() { Accepted::Complete(self.id) } else { Accepted::Partial }
    }

    /// The complete command, for [`super::decode`].
    pub fn encoded(&self) -> Option<&[u8]> {
        if self.is_complete() { self.bytes.get(..usize::from(self.total_len)) } else { None }
    }

    /// Fragment `index` of the cast at hand, to repeat it for a neighbour; `None` if it is not there.
    pub fn fragment(&self, index: u8) -> Option<CastFragment<'_>> {
        if index >= 32 || self.have & 1 << index == 0 {
            return None;
        }
        fragment(self.id, self.bytes.get(..usize::from(self.total_len))?, index)
    }

    /// How many fragments the cast at hand has.
    pub fn fragment_count(&self) -> u8 {
        fragment_count(usize::from(self.total_len))
    }

    /// Forgets the fragments but not the id's place in time: after [`super::decode`] refused the command, fragments of
    /// the same cast are collected afresh.
    pub fn collect_again(&mut self) {
        self.have = 0;
    }

    /// At the root: makes this trigger the newest cast. `heard` is the newest id heard from any node.
    pub fn originate_trigger(&mut self, trigger: &Trigger, heard: CastId) -> Result<CastId, TooSmall> {
        let length = super::encode_trigger(trigger, &mut self.bytes);
        self.originate(length, heard)
    }

    /// At the root: makes this abort the newest cast. `heard` is the newest id heard from any node.
    pub fn originate_abort(&mut self, abort: &Abort, heard: CastId) -> Result<CastId, TooSmall> {
        let length = super::encode_abort(abort, &mut self.bytes);
        self.originate(length, heard)
    }

    fn originate(&mut self, length: Result<usize, TooSmall>, heard: CastId) -> Result<CastId, TooSmall> {
        self.have = 0;
        let length = length?;
        let newest = if heard.is_newer_than(self.id) { heard } else { self.id };
        self.id = CastId::after(newest, self.bytes.get(..length).unwrap_or_default());
        self.total_len = u16::try_from(length).map_err(|_| TooSmall)?;
        self.have = self.all();
        Ok(self.id)
    }
}
