//! Applies a patch as it arrives.
//!
//! ```text
//!  header bytes ──▶ Header ──(base and length checked)──▶ Walk ──(all bytes made)──▶ hash checked ──▶ done
//! ```

use crate::coder::{RangeDecoder, STEP_INPUT};
use crate::header::{ID_BYTES, MAX_HEADER_BYTES, PatchHeader};
use crate::walk::{Guide, STEP_OUTPUT, Walker};
use crate::{OldImage, OldImageError, PatchError};

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

/// Nothing can be expected of it: it has not been started, or something was wrong.
const FAILED: u8 = 0;
const HEADER: u8 = 1;
const START: u8 = 2;
const WALK: u8 = 3;
const CHECKED: u8 = 4;

/// The decoder's memory stays under this, whatever the patch: with the 1,500 bytes of stack that it was measured to
/// take on riscv32imc (`cargo xtask bench delta`), it is 16 KiB.
pub const MAX_DECODER_BYTES: usize = 16 * 1024 - 1500;
const _: () = assert!(core::mem::size_of::<Decoder>() <= MAX_DECODER_BYTES);

/// The caller's images, and before them what is on the page under way.
struct Handed<'a, O> {
    images: &'a mut O,
    /// Position of the page's first byte.
    from: u32,
    bytes: &'a [u8],
}

impl<O: OldImage> OldImage for Handed<'_, O> {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        self.images.read(offset, buf)
    }

    fn read_back(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        let before = (self.from.saturating_sub(offset) as usize).min(buf.len());
        let (earlier, here) = buf.split_at_mut(before);
        if !earlier.is_empty() {
            self.images.read_back(offset, earlier)?;
        }
        if !here.is_empty() {
            let mut bytes = self.bytes;
            bytes.read((offset + before as u32).wrapping_sub(self.from), here)?;
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder that has yet to be started: nothing but zeros, so that a static one costs no flash, and none is
    /// put together on the stack.
    pub const IDLE: Self = Self {
        base: [0; 32],
        limit: 0,
        header: [0; MAX_HEADER_BYTES],
        header_have: 0,
        new_len: 0,
        result: [0; ID_BYTES],
        body_left: 0,
        taken: 0,
        stage: FAILED,
        made: [0; STEP_OUTPUT],
        made_from: 0,
        made_to: 0,
        input: RangeDecoder::IDLE,
        walker: Walker::IDLE,
    };

    /// A started decoder; see [`Decoder::start`]. Passes through the stack with all its size: for hosts.
    pub fn new(base: [u8; 32], limit: u32) -> Self {
        let mut decoder = Self::IDLE;
        decoder.start(base, limit);
        decoder
    }

    /// Begins anew where it is, on a node that runs the image with hash `base` and has room for `limit` bytes.
    pub fn start(&mut self, base: [u8; 32], limit: u32) {
        *self = Self::IDLE;
        self.base = base;
        self.limit = limit;
        self.stage = HEADER;
        self.input.start();
        self.walker.start(0);
    }

    /// Length of the new file, once the header has been read.
    pub fn new_len(&self) -> Option<u32> {
        (self.stage > HEADER).then_some(self.new_len)
    }

    /// Bytes of the new file made so far (handed out or about to be).
    pub fn position(&self) -> u32 {
        self.walker.position.saturating_sub(u32::from(self.made_to.saturating_sub(self.made_from)))
    }

    /// Takes in what it can of `input` and fills what it can of `page` from byte `filled` on.
    ///
    /// The bytes before `filled` are the last ones handed out and not yet written to where
    /// [`OldImage::read_back`] finds them: the decoder reads them here.
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
        page: &mut [u8],
        filled: usize,
    ) -> Result<Progress, PatchError> {
        if self.stage == FAILED {
            return Err(PatchError::Corrupt("an error before this"));
        }
        let result = self.run(input, old, page, filled);
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
        page: &mut [u8],
        filled: usize,
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
            let room = page.get_mut(filled + progress.produced..).unwrap_or_default();
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
            if self.walker.position < self.new_len && filled + progress.produced >= page.len() {
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
            let bytes = page.get(..filled + progress.produced).unwrap_or_default();
            let from = self.walker.position.saturating_sub(bytes.len() as u32);
            let mut images = Handed { images: old, from, bytes };
            let n = self.walker.step(&mut self.input, &mut images, &Guide::NONE, &mut self.made)?;
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
