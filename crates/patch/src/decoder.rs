//! Applies a patch as it arrives.
//!
//! ```text
//!  header bytes ──▶ Header ──(base and length checked)──▶ Walk ──(all bytes made)──▶ hash checked ──▶ done
//! ```

use crate::coder::{RangeDecoder, STEP_INPUT};
use crate::header::{ID_BYTES, MAX_HEADER_BYTES, PatchHeader};
use crate::walk::{Guide, STEP_OUTPUT, Walker};
use crate::{OldImage, PatchError};

/// What one call of [`Decoder::decode`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// Bytes written to the output.
    pub produced: usize,
    /// The whole new image has been handed out and its hash is right.
    pub done: bool,
}

/// A patch being applied. Its size is all the memory it uses beyond the caller's input and output slices.
#[derive(Clone)]
pub struct Decoder {
    pub(crate) base: [u8; 32],
    pub(crate) limit: u32,
    pub(crate) header: [u8; MAX_HEADER_BYTES],
    pub(crate) header_have: u8,
    pub(crate) new_len: u32,
    pub(crate) result: [u8; ID_BYTES],
    /// Bytes of the body not yet taken in.
    pub(crate) body_left: u32,
    /// Bytes of the patch taken in.
    pub(crate) taken: u32,
    pub(crate) stage: u8,
    /// Bytes made but not yet handed out.
    pub(crate) made: [u8; STEP_OUTPUT],
    pub(crate) made_from: u8,
    pub(crate) made_to: u8,
    pub(crate) input: RangeDecoder,
    pub(crate) walker: Walker,
}

const HEADER: u8 = 0;
const START: u8 = 1;
const WALK: u8 = 2;
const CHECKED: u8 = 3;
const FAILED: u8 = 4;

/// The decoder's memory stays under this, whatever the patch.
pub const MAX_DECODER_BYTES: usize = 16 * 1024;
const _: () = assert!(core::mem::size_of::<Decoder>() <= MAX_DECODER_BYTES);

impl Decoder {
    /// A decoder on a node that runs the image with hash `base` and has room for `limit` bytes.
    pub const fn new(base: [u8; 32], limit: u32) -> Self {
        Self {
            base,
            limit,
            header: [0; MAX_HEADER_BYTES],
            header_have: 0,
            new_len: 0,
            result: [0; ID_BYTES],
            body_left: 0,
            taken: 0,
            stage: HEADER,
            made: [0; STEP_OUTPUT],
            made_from: 0,
            made_to: 0,
            input: RangeDecoder::new(),
            walker: Walker::new(0),
        }
    }

    /// Length of the new file, once the header has been read.
    pub fn new_len(&self) -> Option<u32> {
        (self.stage != HEADER).then_some(self.new_len)
    }

    /// Bytes of the new file made so far (handed out or about to be).
    pub fn position(&self) -> u32 {
        self.walker.position.saturating_sub(u32::from(self.made_to.saturating_sub(self.made_from)))
    }

    /// Takes in what it can of `input` and fills what it can of `output`.
    ///
    /// Call it until `done`; it always consumes or produces something unless it needs more input, needs
    /// more room, or is done. An empty `input` means no more than that: nothing new yet.
    ///
    /// # Errors
    /// The first thing wrong with patch or old image; every later call fails as well.
    pub fn decode<O: OldImage>(
        &mut self,
        input: &[u8],
        old: &mut O,
        output: &mut [u8],
    ) -> Result<Progress, PatchError> {
        if self.stage == FAILED {
            return Err(PatchError::Corrupt("an error before this"));
        }
        let result = self.run(input, old, output);
        match &result {
            Ok(progress) => self.taken = self.taken.saturating_add(progress.consumed as u32),
            Err(_) => self.fail(),
        }
        result
    }

    pub(crate) fn fail(&mut self) {
        self.stage = FAILED;
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// [`PatchError::Truncated`] if the patch was not complete.
    pub fn finish(&self) -> Result<(), PatchError> {
        if self.stage == CHECKED && self.made_from == self.made_to {
            Ok(())
        } else {
            Err(PatchError::Truncated)
        }
    }

    fn run<O: OldImage>(
        &mut self,
        input: &[u8],
        old: &mut O,
        output: &mut [u8],
    ) -> Result<Progress, PatchError> {
        let mut progress = Progress { consumed: 0, produced: 0, done: false };
        if self.stage == HEADER {
            progress.consumed = self.read_header(input)?;
            if self.stage == HEADER {
                return Ok(progress);
            }
        }
        loop {
            // Hand out.
            let made = self.made.get(usize::from(self.made_from)..usize::from(self.made_to)).unwrap_or(&[]);
            let room = output.get_mut(progress.produced..).unwrap_or_default();
            let n = made.len().min(room.len());
            room[..n].copy_from_slice(&made[..n]);
            progress.produced += n;
            self.made_from += n as u8;
            if self.made_from < self.made_to {
                return Ok(progress);
            }
            if self.stage == CHECKED {
                progress.done = true;
                return Ok(progress);
            }
            if self.walker.is_done() {
                if self.body_left > 0 || self.input.buffered() > 0 {
                    return Err(PatchError::Corrupt("bytes behind the end"));
                }
                self.check_result()?;
                continue;
            }
            if self.walker.position < self.new_len && progress.produced == output.len() {
                return Ok(progress);
            }
            // Take in.
            if self.input.buffered() < STEP_INPUT && self.body_left > 0 {
                let rest = input.get(progress.consumed..).unwrap_or(&[]);
                let rest = rest.get(..self.body_left as usize).unwrap_or(rest);
                let n = self.input.fill(rest);
                progress.consumed += n;
                self.body_left -= n as u32;
                if self.input.buffered() < STEP_INPUT && self.body_left > 0 {
                    return Ok(progress);
                }
            }
            if self.stage == START {
                self.input.begin();
                self.stage = WALK;
            }
            let n = self.walker.step(&mut self.input, old, &Guide::NONE, &mut self.made)?;
            self.made_from = 0;
            self.made_to = n as u8;
            // The encoder drops trailing zeros, so a whole patch may read a few bytes past its end, not more.
            if self.input.overrun > 8 {
                return Err(PatchError::Truncated);
            }
        }
    }

    fn read_header(&mut self, input: &[u8]) -> Result<usize, PatchError> {
        for (consumed, &byte) in input.iter().enumerate() {
            let have = usize::from(self.header_have);
            if let Some(slot) = self.header.get_mut(have) {
                *slot = byte;
                self.header_have += 1;
            }
            match PatchHeader::parse(self.header.get(..have + 1).unwrap_or(&self.header)) {
                Err(PatchError::Truncated) => {}
                Err(error) => return Err(error),
                Ok(header) => {
                    header.check_base(&self.base)?;
                    if header.new_len > self.limit {
                        return Err(PatchError::TooLong { length: header.new_len, limit: self.limit });
                    }
                    self.new_len = header.new_len;
                    self.result = header.result;
                    self.body_left = header.body_len;
                    self.walker.new_len = header.new_len;
                    self.walker.reads_back = header.reads_back;
                    self.stage = START;
                    return Ok(consumed + 1);
                }
            }
        }
        Ok(input.len())
    }

    fn check_result(&mut self) -> Result<(), PatchError> {
        let digest = self.walker.sha.clone().finish();
        let mut found = [0; ID_BYTES];
        found.copy_from_slice(&digest[..ID_BYTES]);
        if found != self.result {
            return Err(PatchError::WrongResult { expected: self.result, found });
        }
        self.stage = CHECKED;
        Ok(())
    }
}
