//! The image header and the segment headers.
//! Source: ESP-IDF `esp_image_header_t`, `esp_image_segment_header_t` (`esp_app_format.h`).

use crate::ChipId;

/// First byte of every image (`ESP_IMAGE_HEADER_MAGIC`).
pub const IMAGE_MAGIC: u8 = 0xE9;
/// Bytes of [`ImageHeader`].
pub const HEADER_BYTES: usize = 24;
/// Bytes of [`SegmentHeader`].
pub const SEGMENT_HEADER_BYTES: usize = 8;
/// Most segments an image may have, padding included (`ESP_IMAGE_MAX_SEGMENTS`).
pub const MAX_SEGMENTS: usize = 16;
/// A segment is smaller than this (`ESP_IMAGE_MAX_FLASH_ADDR_SIZE`, `esp_image_format.c`).
pub const MAX_SEGMENT_BYTES: u32 = 16 * 1024 * 1024;
/// Segment 0 of an app holds the app descriptor, so it is at least this long (`esp_image_format.c`).
pub const MIN_FIRST_SEGMENT_BYTES: u32 = 256;
/// The XOR checksum starts from this (`ESP_ROM_CHECKSUM_INITIAL`, `esp_image_format.c`).
pub const CHECKSUM_SEED: u8 = 0xEF;
/// The checksum is the last byte of a block aligned to this.
pub const CHECKSUM_ALIGN: u32 = 16;
/// Bytes of the SHA-256 appended to an image.
pub const APPENDED_HASH_BYTES: u32 = 32;
/// [`ImageHeader::wp_pin`] when the write-protect pin is not used (`ESP_IMAGE_…`, esptool `WP_PIN_DISABLED`).
pub const WP_PIN_DISABLED: u8 = 0xEE;

/// The image header, 24 bytes, at offset 0.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | magic 0xE9 |
/// | 1 | 1 | [`segment_count`](Self::segment_count) |
/// | 2 | 1 | [`flash_mode`](Self::flash_mode) |
/// | 3 | 1 | low nibble [`flash_frequency`](Self::flash_frequency), high nibble [`flash_size`](Self::flash_size) |
/// | 4 | 4 | [`entry`](Self::entry) |
/// | 8 | 1 | [`wp_pin`](Self::wp_pin) |
/// | 9 | 3 | [`pin_drive`](Self::pin_drive) |
/// | 12 | 2 | [`chip`](Self::chip) |
/// | 14 | 1 | [`min_revision_legacy`](Self::min_revision_legacy) |
/// | 15 | 2 | [`min_revision`](Self::min_revision) |
/// | 17 | 2 | [`max_revision`](Self::max_revision) |
/// | 19 | 4 | reserved |
/// | 23 | 1 | [`hash_flag`](Self::hash_flag) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Segments that follow, padding included: 1 to [`MAX_SEGMENTS`] in a valid image.
    pub segment_count: u8,
    /// 0 QIO, 1 QOUT, 2 DIO, 3 DOUT, 4 FAST_READ, 5 SLOW_READ.
    pub flash_mode: u8,
    /// The frequency nibble; its meaning depends on the chip.
    pub flash_frequency: u8,
    /// The size nibble: 0 is 1 MB, each step doubles, up to 7 (128 MB).
    pub flash_size: u8,
    /// Address of the first instruction.
    pub entry: u32,
    /// Write-protect pin, or [`WP_PIN_DISABLED`].
    pub wp_pin: u8,
    /// Drive settings of the flash pins, two nibbles a byte: clk and q, d and cs0, hd and wp.
    pub pin_drive: [u8; 3],
    /// The chip it was built for.
    pub chip: ChipId,
    /// Minimal chip revision in the form that old tools read; not used by ESP-IDF 5 and later.
    pub min_revision_legacy: u8,
    /// Minimal chip revision, major * 100 + minor.
    pub min_revision: u16,
    /// Maximal chip revision, major * 100 + minor; 0 and 65535 mean "not set".
    pub max_revision: u16,
    /// Reserved bytes, kept as read.
    pub reserved: [u8; 4],
    /// 1 if a SHA-256 follows the checksum, 0 if not; other values are not valid.
    pub hash_flag: u8,
}

impl ImageHeader {
    /// Reads the fields. `None` only if the magic byte is wrong: every other check belongs to the verifier.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let &[magic, segment_count, mode, speed_size, e0, e1, e2, e3, wp_pin, d0, d1, d2, c0, c1, legacy, ..] =
            bytes;
        let &[.., n0, n1, x0, x1, r0, r1, r2, r3, hash_flag] = bytes;
        (magic == IMAGE_MAGIC).then_some(Self {
            segment_count,
            flash_mode: mode,
            flash_frequency: speed_size & 0x0F,
            flash_size: speed_size >> 4,
            entry: u32::from_le_bytes([e0, e1, e2, e3]),
            wp_pin,
            pin_drive: [d0, d1, d2],
            chip: ChipId(u16::from_le_bytes([c0, c1])),
            min_revision_legacy: legacy,
            min_revision: u16::from_le_bytes([n0, n1]),
            max_revision: u16::from_le_bytes([x0, x1]),
            reserved: [r0, r1, r2, r3],
            hash_flag,
        })
    }

    /// The 24 bytes. Nibbles are cut to four bits.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let [e0, e1, e2, e3] = self.entry.to_le_bytes();
        let [d0, d1, d2] = self.pin_drive;
        let [c0, c1] = self.chip.0.to_le_bytes();
        let [n0, n1] = self.min_revision.to_le_bytes();
        let [x0, x1] = self.max_revision.to_le_bytes();
        let [r0, r1, r2, r3] = self.reserved;
        let speed_size = (self.flash_frequency & 0x0F) | self.flash_size << 4;
        let (legacy, wp) = (self.min_revision_legacy, self.wp_pin);
        [
            IMAGE_MAGIC,
            self.segment_count,
            self.flash_mode,
            speed_size,
            e0,
            e1,
            e2,
            e3,
            wp,
            d0,
            d1,
            d2,
            c0,
            c1,
            legacy,
            n0,
            n1,
            x0,
            x1,
            r0,
            r1,
            r2,
            r3,
            self.hash_flag,
        ]
    }

    /// Whether a SHA-256 follows the checksum.
    pub fn hash_appended(&self) -> bool {
        self.hash_flag == 1
    }

    /// The maximal chip revision, if it is set.
    pub fn max_revision_set(&self) -> Option<u16> {
        (self.max_revision != 0 && self.max_revision != u16::MAX).then_some(self.max_revision)
    }

    /// `QIO`, `DIO`, … as esptool names the mode; esptool knows only the first four.
    pub fn flash_mode_name(&self) -> Option<&'static str> {
        ["QIO", "QOUT", "DIO", "DOUT"].get(usize::from(self.flash_mode)).copied()
    }

    /// `4MB`, … as esptool names the size.
    pub fn flash_size_name(&self) -> Option<&'static str> {
        ["1MB", "2MB", "4MB", "8MB", "16MB", "32MB", "64MB", "128MB"]
            .get(usize::from(self.flash_size))
            .copied()
    }

    /// `80m`, … as esptool names the frequency for this chip.
    pub fn flash_frequency_name(&self) -> Option<&'static str> {
        let frequencies = self.chip.facts()?.flash_frequencies;
        frequencies.iter().find(|(value, _)| *value == self.flash_frequency).map(|(_, name)| *name)
    }
}

/// A segment's header, 8 bytes: where its data goes and how long it is; and where in the file it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Where the data is mapped or copied to. Below 0x1000_0000: padding, ignored by the bootloader.
    pub load_address: u32,
    /// Bytes of data.
    pub length: u32,
    /// Where the *data* begins in the file; the header lies [`SEGMENT_HEADER_BYTES`] before it.
    pub data_offset: u32,
}

impl SegmentHeader {
    /// Reads the 8 bytes of a header whose data begins at `data_offset`.
    pub fn parse(bytes: &[u8; SEGMENT_HEADER_BYTES], data_offset: u32) -> Self {
        let &[a0, a1, a2, a3, l0, l1, l2, l3] = bytes;
        Self {
            load_address: u32::from_le_bytes([a0, a1, a2, a3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            data_offset,
        }
    }

    /// The 8 bytes.
    pub fn to_bytes(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let [a0, a1, a2, a3] = self.load_address.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [a0, a1, a2, a3, l0, l1, l2, l3]
    }

    /// Where the segment's header begins in the file: what esptool prints as the segment's offset.
    pub fn header_offset(&self) -> u32 {
        self.data_offset.saturating_sub(SEGMENT_HEADER_BYTES as u32)
    }
}
