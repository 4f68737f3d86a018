//! An image with everything blanked that moves when code moves: what is left can be compared.

use std::vec;
use std::vec::Vec;

use crate::isa::Kind;
use crate::reader::Reader;
use crate::space::Space;

pub(super) struct Normal {
    pub(super) bytes: Vec<u8>,
    /// Whether a token begins at each byte.
    pub(super) starts: Vec<bool>,
}

impl Normal {
    pub(super) fn of(image: &[u8], space: Option<&Space>) -> Self {
        let mut bytes = image.to_vec();
        let mut starts = vec![true; image.len()];
        let Some(space) = space else { return Self { bytes, starts } };
        let mut source = image;
        for segment in &space.segments[..usize::from(space.count)] {
            let mut reader = Reader::new();
            let mut position = segment.position;
            let end = segment.position + segment.length;
            while position < end {
                let Ok(token) = reader.token(&mut source, space, position, end - position) else { break };
                let len = usize::from(token.len);
                let at = position as usize;
                starts[at + 1..at + len].fill(false);
                let mask: u64 = match token.kind {
                    Kind::Pointer | Kind::OddPointer => 0xFC00_0000,
                    Kind::RelativePointer => 0xFF00_0000,
                    Kind::BackPointer => 0xFFFF_0000,
                    Kind::XtLiteral => 0xFF,
                    Kind::XtCall | Kind::XtJump => 0x3F,
                    Kind::RvJal | Kind::RvUpper => 0xFFF,
                    Kind::RvJumpCompressed => 0xE003,
                    Kind::RvPairI => 0x000F_FFFF_0000_0FFF,
                    Kind::RvPairS => 0x01FF_F07F_0000_0FFF,
                    Kind::RvLowerI => 0x000F_FFFF,
                    Kind::RvLowerS => 0x01FF_F07F,
                    _ => u64::MAX,
                };
                // A blank is not zero, so that it does not look like padding.
                for (i, byte) in bytes[at..at + len].iter_mut().enumerate() {
                    let m = (mask >> (8 * i)) as u8;
                    *byte = *byte & m | 0xA5 & !m;
                }
                position += u32::from(token.len);
            }
        }
        Self { bytes, starts }
    }
}
