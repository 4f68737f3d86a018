//! What the tests share: images to patch, and a node's way of applying a patch.
#![allow(dead_code)]

use rootcast_patch::{Decoder, OldImage, OldImageError, PatchError, image_hash};

/// An old image in flash, and the slot being written.
pub struct Flash {
    pub old: Vec<u8>,
    pub slot: Vec<u8>,
}

impl OldImage for Flash {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        self.old.as_slice().read(offset, buf)
    }

    fn read_back(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        self.slot.as_slice().read(offset, buf)
    }
}

/// Applies a patch page by page, with input in slices of `slice` bytes.
pub fn apply_in_slices(patch: &[u8], old: &[u8], slice: usize, limit: u32) -> Result<Vec<u8>, PatchError> {
    let mut decoder = Decoder::new(image_hash(old), limit);
    let mut flash = Flash { old: old.to_vec(), slot: Vec::new() };
    let mut page = vec![0; 4096];
    let mut filled = 0;
    let mut from = 0;
    loop {
        let input = &patch[from..patch.len().min(from + slice)];
        let progress = decoder.decode(input, &mut flash, &mut page, filled)?;
        from += progress.consumed;
        filled += progress.produced;
        assert!(flash.slot.len() + filled <= limit as usize, "more than allowed was made");
        if progress.done || filled == page.len() {
            flash.slot.extend(&page[..filled]);
            filled = 0;
        }
        if progress.done {
            return Ok(flash.slot);
        }
        if from == patch.len() && progress.consumed == 0 && progress.produced == 0 {
            decoder.finish()?;
        }
    }
}

/// A valid app image with code, data and pointers; `extra_at` puts one more function before that one.
pub fn app_image(chip: u16, functions: usize, extra_at: Option<usize>) -> Vec<u8> {
    finish_image(chip, &app_segments(chip, functions, extra_at))
}

/// The segments of such an image: load address and data.
pub fn app_segments(chip: u16, functions: usize, extra_at: Option<usize>) -> Vec<(u32, Vec<u8>)> {
    let riscv = chip == 5;
    let (rodata_at, text_at) =
        if riscv { (0x3C0C_0020u32, 0x4200_0020u32) } else { (0x3F40_0020, 0x400D_0020) };
    let mut starts = Vec::new();
    let mut text: Vec<u8> = Vec::new();
    let mut state = 0x1234_5678u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for i in 0..functions {
        if extra_at == Some(i) {
            text.extend((0..40u8).map(|b| b.wrapping_mul(37) & 0xEF | 3));
        }
        starts.push(text_at + text.len() as u32);
        for _ in 0..6 + i % 5 {
            if riscv {
                let target = starts[random() as usize % starts.len()];
                let d = target.wrapping_sub(text_at + text.len() as u32);
                let jal = 0xEF
                    | (d >> 20 & 1) << 31
                    | (d >> 1 & 0x3FF) << 21
                    | (d >> 11 & 1) << 20
                    | (d >> 12 & 255) << 12;
                text.extend(jal.to_le_bytes());
                text.extend((0x13 | (random() & 0x1FF) << 20).to_le_bytes());
            } else {
                while (text.len() & 3) != 0 {
                    text.extend([0x3D, 0xF0]);
                }
                let target = starts[random() as usize % starts.len()] & !3;
                let d = target.wrapping_sub(text_at + text.len() as u32 + 4) >> 2;
                text.extend(&(0x25 | (d & 0x3FFFF) << 6).to_le_bytes()[..3]);
                text.extend(&(0x2222 | (random() & 0xFF) << 16).to_le_bytes()[..3]);
                text.extend([0x3D, 0xF0]);
            }
        }
    }
    while !text.len().is_multiple_of(4) {
        text.push(0);
    }
    let mut rodata = vec![0u8; 256];
    rodata[..4].copy_from_slice(&0xABCD_5432u32.to_le_bytes());
    rodata[144..176].copy_from_slice(&[functions as u8; 32]);
    for start in &starts {
        rodata.extend(start.to_le_bytes());
        rodata.extend(b"name of a thing\0");
    }
    if riscv {
        unwind_table(&mut rodata, rodata_at, &starts);
    }
    vec![(rodata_at, rodata), (text_at, text)]
}

/// An `.eh_frame` as compilers write it: a common entry, then one for each function, every third with an exception
/// table.
fn unwind_table(rodata: &mut Vec<u8>, rodata_at: u32, functions: &[u32]) {
    let common = rodata.len() as u32;
    rodata.extend([0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0x7A, 0x52, 0, 1, 0x7C, 1, 0x1B, 0x0C, 2, 0, 0]);
    for (i, function) in functions.iter().enumerate() {
        let has_table = i % 3 == 0;
        rodata.extend(if has_table { 0x14u32 } else { 0x10 }.to_le_bytes());
        let here = rodata.len() as u32;
        rodata.extend((here - common).to_le_bytes());
        rodata.extend(function.wrapping_sub(rodata_at + here + 4).to_le_bytes());
        rodata.extend(0x20u32.to_le_bytes());
        if has_table {
            rodata.push(4);
            let table = rodata_at + 8 * i as u32;
            rodata.extend(table.wrapping_sub(rodata_at + here + 13).to_le_bytes());
            rodata.extend([0x42, 0x0E, 0x10]);
        } else {
            rodata.extend([0, 0x42, 0x0E, 0x10]);
        }
    }
}

/// Header, segments, checksum and hash around the given data.
pub fn finish_image(chip: u16, segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut image = vec![0u8; 24];
    (image[0], image[1], image[23]) = (0xE9, segments.len() as u8, 1);
    image[12..14].copy_from_slice(&chip.to_le_bytes());
    let mut checksum = 0xEF;
    for (address, data) in segments {
        image.extend(address.to_le_bytes());
        image.extend((data.len() as u32).to_le_bytes());
        data.iter().for_each(|b| checksum ^= b);
        image.extend(data);
    }
    while image.len() % 16 != 15 {
        image.push(0);
    }
    image.push(checksum);
    let hash = <sha2::Sha256 as sha2::Digest>::digest(&image);
    image.extend(hash);
    image
}

/// Two real images, or `None` with a printed reason.
pub fn real_pair(old: &str, new: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images/");
    match (std::fs::read(format!("{folder}{old}")), std::fs::read(format!("{folder}{new}"))) {
        (Ok(old), Ok(new)) => Some((old, new)),
        _ => {
            println!("skipped: no images in {folder}");
            None
        }
    }
}
