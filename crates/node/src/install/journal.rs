//! The update's memory across restarts: one flash sector, the last one of the slot being written.
//!
//! It is erased once per update; everything after that only clears bits, so that no moment exists
//! in which a power cut could lose what was noted before. An image that needs the slot's last
//! sector has no journal: it is downloaded in one go or again from its first byte.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0x000 | 4 | magic `RCJ1` |
//! | 0x004 | 4 | cast id |
//! | 0x008 | 4 | file size, 0xFFFFFFFF when unknown |
//! | 0x00C | 2 | bytes of the command |
//! | 0x00E | 1 | bytes of the entity tag |
//! | 0x00F | 1 | 0x00 when the command leads to a release, 0xFF when to the image itself |
//! | 0x010 | 96 | entity tag |
//! | 0x070 | 4 | CRC-32/ISO-HDLC of 0x000..0x070 and the command: programmed last |
//! | 0x080 | 2816 | the command as it is cast |
//! | 0xB80 | 512 | pages on flash: one bit each, cleared when the page was written and read back |
//! | 0xD80 | 128 | starts of this update: one word each |
//! | 0xE00 | 48 | installed: image hash 32, image length 4, file length 4, CRC-32 4, 0xFF 4 |
//! | 0xE40 | 64 | switches to this slot: one word each |
//! | 0xE80 | 4 | closed: nothing of this update is to be taken up again |

use super::region::{FlashFault, Region};
use crate::PAGE_BYTES;
use crate::fetch::{EntityTag, MAX_ETAG_BYTES};
use crc::{CRC_32_ISO_HDLC, Crc};
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::ImageHash;
use rootcast_wire::cast::MAX_CAST_BYTES;

const MAGIC: [u8; 4] = *b"RCJ1";
const HEAD_BYTES: usize = 0x70;
const CRC_AT: u32 = 0x70;
const COMMAND_AT: u32 = 0x80;
const PAGES_AT: u32 = 0xB80;
const PAGES_BYTES: u32 = 512;
const STARTS_AT: u32 = 0xD80;
const STARTS: u32 = 32;
const INSTALLED_AT: u32 = 0xE00;
const SWITCHES_AT: u32 = 0xE40;
const SWITCHES: u32 = 16;
const CLOSED_AT: u32 = 0xE80;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

const _: () = assert!(MAX_CAST_BYTES as u32 <= PAGES_AT - COMMAND_AT);
const _: () = assert!(0x10 + MAX_ETAG_BYTES == HEAD_BYTES);

/// The journal sector of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    slot: Region,
}

/// What a journal says about its update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Id of the cast that asked for the update.
    pub cast_id: u32,
    /// Size of the file in bytes, where it was known.
    pub size: Option<u32>,
    /// The entity tag that the pages on flash were served with.
    pub etag: Option<EntityTag>,
    /// The command leads to a release, not to the image itself.
    pub of_release: bool,
    /// Bytes of the command.
    pub command_bytes: usize,
}

/// An image that was read back from the slot and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstalledImage {
    /// ESP-IDF's validation hash.
    pub hash: ImageHash,
    /// Bytes of the image, appended hash included.
    pub image_len: u32,
    /// Bytes of the file, signature sector included.
    pub file_len: u32,
}

impl Journal {
    /// The journal that belongs to a slot.
    #[must_use]
    pub const fn of(slot: Region) -> Self {
        Self { slot }
    }

    /// How many pages of an image leave the journal its sector.
    #[must_use]
    pub const fn pages_beside(&self) -> u32 {
        let pages = self.slot.pages();
        let most = PAGES_BYTES * 8;
        if pages == 0 {
            0
        } else if pages - 1 < most {
            pages - 1
        } else {
            most
        }
    }

    const fn at(&self, offset: u32) -> u32 {
        self.slot.size - PAGE_BYTES as u32 + offset
    }

    /// Erases the sector: whatever it said about the slot's pages no longer holds.
    pub(crate) fn erase<F: NorFlash>(&self, flash: &mut F) -> Result<(), FlashFault> {
        self.slot.erase_page(flash, self.slot.pages().saturating_sub(1))
    }

    /// Writes the head into the erased sector; the CRC comes last, so that a cut leaves no journal rather than a wrong one.
    pub(crate) fn begin<F: NorFlash>(
        &self,
        flash: &mut F,
        cast_id: u32,
        size: Option<u32>,
        etag: Option<&EntityTag>,
        of_release: bool,
        command: &[u8],
    ) -> Result<(), FlashFault> {
        let mut head = [0xFF; HEAD_BYTES];
        head[0..4].copy_from_slice(&MAGIC);
        head[4..8].copy_from_slice(&cast_id.to_le_bytes());
        head[8..12].copy_from_slice(&size.unwrap_or(u32::MAX).to_le_bytes());
        head[12..14].copy_from_slice(&(command.len() as u16).to_le_bytes());
        let etag = etag.map_or("", |etag| etag.as_str());
        head[14] = etag.len() as u8;
        head[15] = if of_release { 0 } else { 0xFF };
        if let Some(room) = head.get_mut(16..16 + etag.len()) {
            room.copy_from_slice(etag.as_bytes());
        }
        let mut digest = CRC.digest();
        digest.update(&head);
        digest.update(command);
        self.slot.write_checked(flash, self.at(0), &head)?;
        let whole_words = command.len() & !3;
        let (words, rest) = command.split_at(whole_words);
        self.slot.write_checked(flash, self.at(COMMAND_AT), words)?;
        if !rest.is_empty() {
            let mut last = [0xFF; 4];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.slot.write_checked(flash, self.at(COMMAND_AT) + whole_words as u32, &last)?;
        }
        self.slot.write_checked(flash, self.at(CRC_AT), &digest.finalize().to_le_bytes())
    }

    /// Reads the head and leaves the command in `command`; `None` when there is no valid journal.
    pub(crate) fn read<F: NorFlash>(
        &self,
        flash: &mut F,
        command: &mut [u8],
    ) -> Result<Option<JournalHead>, FlashFault> {
        let mut head = [0; HEAD_BYTES];
        self.slot.read(flash, self.at(0), &mut head)?;
        if head[0..4] != MAGIC {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let command_bytes = usize::from(u16::from_le_bytes([head[12], head[13]]));
        let padded = command_bytes.next_multiple_of(4);
        if command_bytes > MAX_CAST_BYTES {
            return Ok(None);
        }
        let Some(room) = command.get_mut(..padded) else { return Ok(None) };
        self.slot.read(flash, self.at(COMMAND_AT), room)?;
        let mut stored = [0; 4];
        self.slot.read(flash, self.at(CRC_AT), &mut stored)?;
        let mut digest = CRC.digest();
        digest.update(&head);
        digest.update(room.get(..command_bytes).unwrap_or(&[]));
        if digest.finalize() != u32::from_le_bytes(stored) {
            return Ok(None);
        }
        let etag = head.get(16..16 + usize::from(head[14])).and_then(|tag| core::str::from_utf8(tag).ok());
        Ok(Some(JournalHead {
            cast_id: word(4),
            size: Some(word(8)).filter(|size| *size != u32::MAX),
            etag: etag.filter(|tag| !tag.is_empty()).and_then(|tag| EntityTag::try_from(tag).ok()),
            of_release: head[15] == 0,
            command_bytes,
        }))
    }

    /// Notes that a page stands on flash and was read back.
    pub(crate) fn mark_page<F: NorFlash>(&self, flash: &mut F, page: u32) -> Result<(), FlashFault> {
        let at = self.at(PAGES_AT + page / 32 * 4);
        let mut word = [0; 4];
        self.slot.read(flash, at, &mut word)?;
        let marked = u32::from_le_bytes(word) & !(1 << (page % 32));
        self.slot.write_checked(flash, at, &marked.to_le_bytes())
    }

    /// How many pages from the first on are noted without a gap.
    pub(crate) fn pages_from_start<F: NorFlash>(&self, flash: &mut F) -> Result<u32, FlashFault> {
        let mut count = 0;
        for index in 0..PAGES_BYTES / 4 {
            let mut word = [0; 4];
            self.slot.read(flash, self.at(PAGES_AT + index * 4), &mut word)?;
            let here = u32::from_le_bytes(word).trailing_zeros();
            count += here;
            if here < 32 {
                break;
            }
        }
        Ok(count.min(self.pages_beside()))
    }

    /// Counts a start of this update; `false` when there were too many already.
    pub(crate) fn count_start<F: NorFlash>(&self, flash: &mut F) -> Result<bool, FlashFault> {
        self.clear_next_word(flash, STARTS_AT, STARTS).map(|count| count.is_some())
    }

    /// Counts a switch to this slot and says the how-manieth it is, `None` when there were too many.
    pub(crate) fn count_switch<F: NorFlash>(&self, flash: &mut F) -> Result<Option<u32>, FlashFault> {
        self.clear_next_word(flash, SWITCHES_AT, SWITCHES)
    }

    /// How often the boot record was switched to this slot.
    pub(crate) fn switches<F: NorFlash>(&self, flash: &mut F) -> Result<u32, FlashFault> {
        self.count_words(flash, SWITCHES_AT, SWITCHES)
    }

    fn count_words<F: NorFlash>(&self, flash: &mut F, at: u32, most: u32) -> Result<u32, FlashFault> {
        for index in 0..most {
            let mut word = [0; 4];
            self.slot.read(flash, self.at(at + index * 4), &mut word)?;
            if word == [0xFF; 4] {
                return Ok(index);
            }
        }
        Ok(most)
    }

    fn clear_next_word<F: NorFlash>(
        &self,
        flash: &mut F,
        at: u32,
        most: u32,
    ) -> Result<Option<u32>, FlashFault> {
        let count = self.count_words(flash, at, most)?;
        if count >= most {
            return Ok(None);
        }
        self.slot.write(flash, self.at(at + count * 4), &[0; 4])?;
        Ok(Some(count + 1))
    }

    /// Notes that the whole image was read back and verified.
    pub(crate) fn note_installed<F: NorFlash>(
        &self,
        flash: &mut F,
        image: &InstalledImage,
    ) -> Result<(), FlashFault> {
        if self.installed(flash)? == Some(*image) {
            return Ok(());
        }
        let mut record = [0xFF; 48];
        record[..32].copy_from_slice(&image.hash.0);
        record[32..36].copy_from_slice(&image.image_len.to_le_bytes());
        record[36..40].copy_from_slice(&image.file_len.to_le_bytes());
        let crc = CRC.checksum(&record[..40]);
        record[40..44].copy_from_slice(&crc.to_le_bytes());
        self.slot.write_checked(flash, self.at(INSTALLED_AT), &record)
    }

    /// The image that was verified in this slot, if it came that far.
    pub(crate) fn installed<F: NorFlash>(&self, flash: &mut F) -> Result<Option<InstalledImage>, FlashFault> {
        let mut record = [0; 48];
        self.slot.read(flash, self.at(INSTALLED_AT), &mut record)?;
        let word =
            |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        if CRC.checksum(&record[..40]) != word(40) {
            return Ok(None);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(&record[..32]);
        Ok(Some(InstalledImage { hash: ImageHash(hash), image_len: word(32), file_len: word(36) }))
    }

    /// Ends this update: nothing of it is taken up again.
    pub(crate) fn close<F: NorFlash>(&self, flash: &mut F) -> Result<(), FlashFault> {
        self.slot.write(flash, self.at(CLOSED_AT), &[0; 4])
    }

    /// Whether the update has ended.
    pub(crate) fn is_closed<F: NorFlash>(&self, flash: &mut F) -> Result<bool, FlashFault> {
        let mut word = [0; 4];
        self.slot.read(flash, self.at(CLOSED_AT), &mut word)?;
        Ok(word != [0xFF; 4])
    }
}
