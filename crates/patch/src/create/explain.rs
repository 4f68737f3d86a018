//! What is in a patch, and where its bytes go.

use std::boxed::Box;
use std::vec::Vec;

use super::{InMemory, image_hash};
use crate::coder::{Account, Coder, RangeDecoder};
use crate::header::ID_BYTES;
use crate::walk::{Guide, STEP_OUTPUT, Walker};
use crate::{PatchError, PatchHeader};

/// The account of a patch.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its header.
    pub header: PatchHeader,
    /// What the bytes of the body are spent on: name, bytes (fractions of a bit are counted).
    pub spent: Vec<(&'static str, f64)>,
    /// Copy commands.
    pub copies: usize,
    /// Bytes of the new file that no copy covers.
    pub new_bytes: usize,
    /// Entries of the address map.
    pub map_entries: usize,
    /// Tokens and bytes that were not as predicted.
    pub misses: usize,
    /// The new file.
    pub made: Vec<u8>,
}

/// Applies a patch and accounts for its bits.
///
/// # Errors
/// As [`crate::Decoder::decode`].
pub fn explain(patch: &[u8], old: &[u8]) -> Result<Explanation, PatchError> {
    let header = PatchHeader::parse(patch)?;
    header.check_base(&image_hash(old))?;
    let mut body = patch.get(usize::from(header.header_len)..).unwrap_or(&[]);
    body = body.get(..header.body_len as usize).ok_or(PatchError::Truncated)?;
    let mut coder = Accountant { inner: RangeDecoder::IDLE, spent: [0.0; 8], to: 0, misses: 0 };
    coder.inner.start();
    let mut walker = Box::new(Walker::IDLE);
    walker.start(header.new_len);
    walker.reads_back = header.reads_back;
    let mut made = Vec::new();
    let mut begun = false;
    let (mut copies, mut new_bytes) = (0, 0);
    while !walker.is_done() {
        let taken = coder.inner.fill(body);
        body = body.get(taken..).unwrap_or(&[]);
        if !begun {
            coder.inner.begin();
            begun = true;
        }
        let between = walker.left == 0;
        let mut out = [0; STEP_OUTPUT];
        let n = walker.step(&mut coder, &mut InMemory { old, made: &made }, &Guide::NONE, &mut out)?;
        if between && walker.left > 0 {
            if walker.copying { copies += 1 } else { new_bytes += walker.left as usize }
        }
        made.extend(out.get(..n).unwrap_or(&[]));
        if coder.inner.overrun > 8 {
            return Err(PatchError::Truncated);
        }
    }
    let spent = Account::NAMES.iter().zip(coder.spent).map(|(&name, bits)| (name, bits / 8.0)).collect();
    let mut result = [0; ID_BYTES];
    result.copy_from_slice(&walker.sha.finish()[..ID_BYTES]);
    if result != header.result {
        return Err(PatchError::WrongResult { expected: header.result, found: result });
    }
    Ok(Explanation {
        header,
        spent,
        copies,
        new_bytes,
        map_entries: usize::from(walker.pool.count),
        misses: coder.misses,
        made,
    })
}

struct Accountant {
    inner: RangeDecoder,
    spent: [f64; 8],
    to: usize,
    misses: usize,
}

impl Coder for Accountant {
    const ENCODING: bool = false;

    fn code(&mut self, p1: u32, bit: u32) -> u32 {
        let bit = self.inner.code(p1, bit);
        let p = if bit != 0 { p1 } else { 65_536 - p1 };
        if let Some(spent) = self.spent.get_mut(self.to) {
            *spent -= (f64::from(p) / 65_536.0).log2();
        }
        bit
    }

    fn account(&mut self, to: Account) {
        self.to = to as usize;
    }

    fn note_miss(&mut self, _span: u32) {
        self.misses += 1;
    }
}
