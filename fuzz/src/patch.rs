//! Patches, and the saved state of a decoder in the middle of one.

use rootcast_image::writer::{AppImageBuilder, assemble};
use rootcast_image::{ChipId, ImageHeader};
use rootcast_patch::{
    Decoder, MAX_SNAPSHOT_BYTES, OldImage, OldImageError, Options, PatchError, PatchHeader, create,
    image_hash,
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "patch", run: patch, seeds: patches, repair: None },
    Target { name: "patch_state", run: state, seeds: states, repair: None },
];

/// Room for the new image: enough for every seed, little enough to be fast.
const ROOM: usize = 640;
const PAGE: usize = 256;

/// The image that the patches are for, and what a decoder asks its hash to be.
static OLD: LazyLock<(Vec<u8>, [u8; 32])> = LazyLock::new(|| {
    let old = image(3, 0);
    let hash = image_hash(&old);
    (old, hash)
});

/// A decoder in the middle of the first seed: its patch, and its state as it was saved.
static HALFWAY: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let patch = patches().swap_remove(0);
    let mut decoder = Decoder::new(OLD.1, ROOM as u32);
    let mut slot = Slot { made: Vec::new() };
    let mut page = [0; PAGE];
    let half = patch.len() / 2;
    let progress = decoder.decode(&patch[..half], &mut slot, &mut page, 0).expect("a valid patch");
    slot.made.extend(&page[..progress.produced]);
    let mut saved = vec![0; MAX_SNAPSHOT_BYTES];
    let length = decoder.save(&mut saved).expect("room");
    saved.truncate(length);
    (patch, saved)
});

/// What has been made so far; the decoder may read it back.
struct Slot {
    made: Vec<u8>,
}

impl OldImage for Slot {
    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), OldImageError> {
        OLD.0.as_slice().read(offset, into)
    }

    fn read_back(&mut self, offset: u32, into: &mut [u8]) -> Result<(), OldImageError> {
        self.made.as_slice().read(offset, into)
    }
}

/// Any bytes as a patch: an error or the image that the header promises, never more than there is room for, and
/// the same however the patch is cut into pieces.
pub fn patch(input: &[u8]) {
    let whole = apply(input, usize::MAX);
    if let Ok(made) = &whole {
        let header = PatchHeader::parse(input).expect("what was applied has a header");
        assert_eq!(made.len(), header.new_len as usize);
        assert_eq!(Sha256::digest(made)[..8], header.result, "what is made is what was promised");
    }
    // The second pass costs as much as the first: one input in four gets it.
    if input.last().is_some_and(|last| last & 3 == 0) {
        assert_eq!(apply(input, 7), whole, "in pieces of seven bytes");
    }
}

fn apply(patch: &[u8], piece: usize) -> Result<Vec<u8>, PatchError> {
    let mut decoder = Decoder::new(OLD.1, ROOM as u32);
    let mut slot = Slot { made: Vec::new() };
    run(&mut decoder, patch, piece, &mut slot)?;
    Ok(slot.made)
}

fn run(decoder: &mut Decoder, patch: &[u8], piece: usize, slot: &mut Slot) -> Result<(), PatchError> {
    let mut page = [0; PAGE];
    let mut from = 0_usize;
    loop {
        let input = &patch[from..patch.len().min(from.saturating_add(piece))];
        let progress = decoder.decode(input, slot, &mut page, 0)?;
        assert!(progress.consumed <= input.len() && progress.produced <= page.len());
        from += progress.consumed;
        slot.made.extend(&page[..progress.produced]);
        assert!(slot.made.len() <= ROOM, "no more than there is room for");
        if progress.done {
            return decoder.finish();
        }
        if progress.consumed == 0 && progress.produced == 0 {
            assert!(from == patch.len(), "progress, unless the patch has ended");
            return Err(decoder.finish().expect_err("not done"));
        }
    }
}

/// A saved state with any of its bytes changed and its checksum made right: it is refused, or the decoder goes on
/// to an error or an end. Each change is an offset (two bytes) and what is added to the byte there.
pub fn state(input: &[u8]) {
    let (patch, saved) = &*HALFWAY;
    let mut saved = saved.clone();
    let end = saved.len() - 16;
    for change in input.chunks_exact(3) {
        let at = 4 + usize::from(u16::from_le_bytes([change[0], change[1]])) % (end - 4);
        saved[at] = saved[at].wrapping_add(change[2]);
    }
    let check = Sha256::digest(&saved[4..end]);
    saved[end..].copy_from_slice(&check[..16]);
    let mut decoder = Decoder::new(OLD.1, ROOM as u32);
    if decoder.restore(&saved).is_err() {
        return;
    }
    let from = (decoder.patch_position() as usize).min(patch.len());
    // What the decoder made before stands in the slot; here nothing does, and reading it back is an error like any.
    let _ = run(&mut decoder, &patch[from..], usize::MAX, &mut Slot { made: Vec::new() });
}

/// An image with calls, pointers and text; `added` bytes move everything behind the first function.
fn image(functions: u32, added: u32) -> Vec<u8> {
    const CODE: u32 = 0x4200_0020;
    let mut starts = Vec::new();
    let mut code: Vec<u8> = Vec::new();
    for function in 0..functions {
        starts.push(CODE + code.len() as u32);
        if function == 1 {
            code.extend((0..added).map(|byte| byte as u8 | 3));
        }
        for call in 0..4 + function % 3 {
            // jal to an earlier function (RISC-V unprivileged ISA, J-type), addi, auipc and jalr.
            let target = starts[(function * 7 + call) as usize % starts.len()];
            let distance = target.wrapping_sub(CODE + code.len() as u32);
            let jal = 0xEF
                | (distance >> 20 & 1) << 31
                | (distance >> 1 & 0x3FF) << 21
                | (distance >> 11 & 1) << 20
                | (distance >> 12 & 255) << 12;
            code.extend(jal.to_le_bytes());
            code.extend((0x13 | (function * 31 + call) << 20).to_le_bytes());
            code.extend((0x97_u32 | 1 << 12).to_le_bytes());
            code.extend(0x0000_80E7_u32.to_le_bytes());
        }
    }
    let mut data = Vec::new();
    for start in &starts {
        data.extend(start.to_le_bytes());
        data.extend(b"name of it\0\0");
    }
    // Of an image only its header is taken: the builder pads segments for the MMU, and these are to stay small.
    let whole = AppImageBuilder::new(ChipId::ESP32C3).size(1024).build().expect("the size is enough");
    let header = whole.first_chunk().and_then(ImageHeader::parse).expect("a header");
    assemble(&header, &[(0x3C0C_0020, data), (CODE, code)]).expect("two segments")
}

fn patches() -> Vec<Vec<u8>> {
    let old = &OLD.0;
    let moved = image(3, 16);
    let grown = image(4, 4);
    let make = |old: &[u8], new: &[u8]| create(old, new, &Options::default()).expect("a patch").patch;
    vec![make(old, &moved), make(old, &grown), make(old, old), make(&[], &moved), make(&[], &[7; 300])]
}

fn states() -> Vec<Vec<u8>> {
    vec![Vec::new(), vec![0, 0, 1], vec![0x10, 0, 1, 0x20, 0, 0x80, 0xFF, 1, 3], vec![0xFF; 60]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_patches_that_apply() {
        for seed in patches() {
            let made = apply(&seed, usize::MAX).expect("a valid patch");
            assert!(!made.is_empty() && made.len() <= ROOM);
        }
        let (patch, saved) = &*HALFWAY;
        let mut decoder = Decoder::new(OLD.1, ROOM as u32);
        decoder.restore(saved).expect("an unchanged state");
        assert!(decoder.patch_position() > 0 && (decoder.patch_position() as usize) < patch.len());
    }
}
