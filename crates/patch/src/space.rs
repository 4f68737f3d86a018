//! Where the bytes of an image live in memory: file positions to load addresses and back.

use crate::PatchError;

/// ESP-IDF allows 16 segments (`esp_app_format.h`, `ESP_IMAGE_MAX_SEGMENTS`).
pub(crate) const MAX_SEGMENTS: usize = 16;
/// Image header (24 bytes) before the first segment header (8 bytes).
pub(crate) const IMAGE_HEADER_BYTES: u32 = 24;
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 8;
/// No image is larger (`ESP_IMAGE_MAX_FLASH_ADDR_SIZE`).
pub(crate) const MAX_IMAGE_BYTES: u32 = 16 << 20;
/// Positions from here on stand for memory that is not in the file (zeroed variables).
pub(crate) const OUTSIDE: u32 = 1 << 28;
/// So far behind a data segment lies what belongs to it but is not in the file: zeroed variables, and
/// ESP-IDF's read-only data that is never loaded (`.flash.rodata_noload`).
const UNFILED_BYTES: u32 = 0x6_0000;

/// The instruction set of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isa {
    None,
    Xtensa,
    RiscV,
}

impl Isa {
    /// Instruction set of a chip id (`esp_app_format.h`, `esp_chip_id_t`; 0xFFFE is the emulated board).
    pub(crate) fn of_chip(chip: u16) -> Self {
        match chip {
            0 | 2 | 9 => Self::Xtensa,
            5 | 12 | 13 | 16 | 18 | 20 | 23 | 25 | 28 | 32 | 0xFFFE => Self::RiscV,
            _ => Self::None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// File position of the data.
    pub(crate) position: u32,
    pub(crate) length: u32,
    pub(crate) address: u32,
}

impl Segment {
    pub(crate) const NONE: Self = Self { position: 0, length: 0, address: 0 };

    fn end(&self) -> u32 {
        self.position.wrapping_add(self.length)
    }

    /// Padding segments have no address worth the name (`esp_image_format.c`: below 0x10000000).
    fn is_loaded(&self) -> bool {
        self.address >= 0x1000_0000
    }

    /// ESP chips map and load code at 0x4000_0000 and above, up to RTC memory at 0x5000_0000; the emulated
    /// board from 0x8000_0000 on.
    fn is_code(&self) -> bool {
        matches!(self.address >> 28, 4 | 8)
    }
}

/// The segments of one image.
#[derive(Clone)]
pub(crate) struct Space {
    pub(crate) segments: [Segment; MAX_SEGMENTS],
    pub(crate) count: u8,
    pub(crate) isa: Isa,
    /// Whether a SHA-256 follows the checksum.
    pub(crate) hashed: bool,
}

impl Space {
    pub(crate) const NONE: Self =
        Self { segments: [Segment::NONE; MAX_SEGMENTS], count: 0, isa: Isa::None, hashed: false };

    /// Reads header and segment headers through `read(position, buffer)`; `Ok(None)` if it is no ESP image.
    pub(crate) fn parse(
        mut read: impl FnMut(u32, &mut [u8]) -> Result<(), PatchError>,
    ) -> Result<Option<Self>, PatchError> {
        let mut header = [0u8; IMAGE_HEADER_BYTES as usize];
        read(0, &mut header)?;
        let count = header[1];
        if header[0] != 0xE9 || count == 0 || usize::from(count) > MAX_SEGMENTS {
            return Ok(None);
        }
        let chip = u16::from_le_bytes([header[12], header[13]]);
        let mut space = Self { isa: Isa::of_chip(chip), count, hashed: header[23] == 1, ..Self::NONE };
        let mut position = IMAGE_HEADER_BYTES;
        for segment in space.segments.iter_mut().take(usize::from(count)) {
            let mut bytes = [0u8; SEGMENT_HEADER_BYTES as usize];
            read(position, &mut bytes)?;
            let [a, b, c, d, e, f, g, h] = bytes;
            let length = u32::from_le_bytes([e, f, g, h]);
            if length > MAX_IMAGE_BYTES || position > MAX_IMAGE_BYTES {
                return Ok(None);
            }
            *segment = Segment {
                position: position + SEGMENT_HEADER_BYTES,
                length,
                address: u32::from_le_bytes([a, b, c, d]),
            };
            position = segment.end();
        }
        Ok(Some(space))
    }

    /// Whether a table read from a saved state keeps what [`Space::parse`] ensures.
    pub(crate) fn is_sound(&self) -> bool {
        self.used().iter().all(|s| {
            s.position >= SEGMENT_HEADER_BYTES
                && s.position <= 2 * MAX_IMAGE_BYTES
                && s.length <= MAX_IMAGE_BYTES
        })
    }

    /// Whether every length is whole words, as the bootloader demands (`esp_image_format.c`: "unaligned segment
    /// length") and as the patch's segment table counts them.
    #[cfg(feature = "create")]
    pub(crate) fn is_regular(&self) -> bool {
        self.used().iter().all(|s| s.length.is_multiple_of(4))
    }

    fn used(&self) -> &[Segment] {
        self.segments.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Position behind the last segment.
    pub(crate) fn data_end(&self) -> u32 {
        self.used().last().map_or(0, Segment::end)
    }

    /// Position behind a segment (0 where there is none).
    pub(crate) fn data_end_of(&self, index: usize) -> u32 {
        self.segments.get(index).map_or(0, Segment::end)
    }

    /// Position of the checksum byte: the last of a 16-byte block.
    pub(crate) fn checksum_position(&self) -> u32 {
        self.data_end() | 15
    }

    /// Length of the image with checksum and, where there is one, hash.
    pub(crate) fn image_len(&self) -> u32 {
        self.checksum_position() + 1 + if self.hashed { 32 } else { 0 }
    }

    /// The segment whose data contains a position.
    pub(crate) fn segment_at(&self, position: u32) -> Option<&Segment> {
        self.used().iter().find(|s| position >= s.position && position < s.end())
    }

    /// Load address of a position (the position itself outside all segments).
    pub(crate) fn address_of(&self, position: u32) -> u32 {
        self.segment_at(position).map_or(position, |s| s.address.wrapping_add(position - s.position))
    }

    /// The segment headers are known once the table is: where the next one begins at or after `position`.
    pub(crate) fn next_header(&self, position: u32) -> u32 {
        self.used()
            .iter()
            .map(|s| s.position)
            .find(|&p| p > position)
            .map_or(u32::MAX, |p| p - SEGMENT_HEADER_BYTES)
    }

    /// The byte of a segment header at `position`, if there is one.
    pub(crate) fn header_byte(&self, position: u32) -> Option<u8> {
        let s = self
            .used()
            .iter()
            .find(|s| position < s.position && position >= s.position - SEGMENT_HEADER_BYTES)?;
        let at = (position + SEGMENT_HEADER_BYTES - s.position) as usize;
        let (a, l) = (s.address.to_le_bytes(), s.length.to_le_bytes());
        if at < 4 { a.get(at).copied() } else { l.get(at - 4).copied() }
    }

    pub(crate) fn is_code(&self, position: u32) -> bool {
        self.isa != Isa::None && self.segment_at(position).is_some_and(Segment::is_code)
    }

    /// File position of an address: within a segment (its end included), or a place in
    /// [`OUTSIDE`] for what lies behind a data segment. `None`: not an address of this image.
    pub(crate) fn position_of(&self, address: u32) -> Option<u32> {
        let mut outside = None;
        for s in self.used().iter().filter(|s| s.is_loaded() && s.length > 0) {
            let offset = address.wrapping_sub(s.address);
            if offset < s.length {
                return Some(s.position + offset);
            }
            if offset == s.length {
                outside = Some(s.position + offset);
            } else if !s.is_code() && offset < UNFILED_BYTES && outside.is_none() {
                outside = Some(OUTSIDE | address & (OUTSIDE - 1));
            }
        }
        outside
    }

    /// Whether a call or jump may go to this address: code of the image, or a chip's ROM.
    pub(crate) fn is_code_target(&self, address: u32) -> bool {
        (0x4000_0000..0x4006_0000).contains(&address)
            || self.used().iter().any(|s| s.is_code() && address.wrapping_sub(s.address) < s.length)
    }

    /// The address that old `address`, moved from position `from` to position `to`, has in `new`.
    pub(crate) fn moved_address(&self, address: u32, from: u32, to: u32, new: &Space) -> u32 {
        if from >= OUTSIDE {
            return address.wrapping_add(to.wrapping_sub(from));
        }
        if let Some(s) = new.segment_at(to) {
            return s.address.wrapping_add(to - s.position);
        }
        // At the end of a segment, or lost: stay beside the place's own segment.
        let index = self.used().iter().position(|s| from >= s.position && from <= s.end()).unwrap_or(0);
        match new.used().get(index) {
            Some(s) => s.address.wrapping_add(to.wrapping_sub(s.position)),
            None => address,
        }
    }
}
