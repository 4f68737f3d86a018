//! What is spread: a file as pages, and the digests by which each page is believed.

use super::code::PAGES_PER_BLOCK;
use crate::PAGE_BYTES;
use heapless::Vec;
use rootcast_image::ChipId;
use rootcast_wire::cast::CastId;
use sha2::{Digest, Sha256};

/// Pages of the largest file that can be spread: a slot of 1.5 MiB.
pub const MAX_PAGES: usize = 384;

/// Digests on one list page.
const DIGESTS_PER_LIST: usize = PAGE_BYTES / 16;

/// List pages at most.
pub const MAX_LIST_PAGES: usize = MAX_PAGES.div_ceil(DIGESTS_PER_LIST);

/// The first 128 bits of a page's SHA-256: enough against a second page with the same digest, and half the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageDigest(pub [u8; 16]);

impl PageDigest {
    /// The digest of a page: of its bytes only, not of what the last one of file or list is padded with
    /// ([`Description::digest_of`]). Signed releases have the same digests.
    #[must_use]
    pub fn of(page: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(page).into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        Self(digest)
    }
}

/// Names an object in requests: the first 32 bits of its description's SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

/// What a node must know of an object before its first page: everything else is checked against this.
///
/// The pages of an object are numbered with the list pages first: page 0 to n-1 hold the digests of the file's pages,
/// 16 bytes each, padded with 0xFF; page n is the file's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The cast that asked for it.
    pub cast_id: CastId,
    /// Bytes of the file.
    pub size: u32,
    /// The chip that it is for.
    pub chip: ChipId,
    /// Digest of each list page.
    pub lists: Vec<PageDigest, MAX_LIST_PAGES>,
}

impl Description {
    /// Pages of the file.
    #[must_use]
    pub const fn file_pages(&self) -> u16 {
        self.size.div_ceil(PAGE_BYTES as u32) as u16
    }

    /// List pages and file pages.
    #[must_use]
    pub fn pages(&self) -> u16 {
        self.list_pages() + self.file_pages()
    }

    /// The digest of a page of the object, given as it stands on flash or in a list page: whole.
    #[must_use]
    pub fn digest_of(&self, page: u16, whole: &[u8]) -> PageDigest {
        PageDigest::of(whole.get(..self.bytes_of(page)).unwrap_or(whole))
    }

    /// Bytes of a page of the object; what is behind them is padding, 0xFF.
    #[must_use]
    pub fn bytes_of(&self, page: u16) -> usize {
        let (lists, files) = (usize::from(self.list_pages()), usize::from(self.file_pages()));
        let page = usize::from(page);
        let end = if page < lists {
            (files * 16).saturating_sub(page * PAGE_BYTES)
        } else {
            (self.size as usize).saturating_sub((page - lists) * PAGE_BYTES)
        };
        end.min(PAGE_BYTES)
    }

    /// Blocks of pages that are coded together.
    #[must_use]
    pub fn blocks(&self) -> u16 {
        self.pages().div_ceil(PAGES_PER_BLOCK as u16)
    }

    /// Pages of this block: two, of the last one what is left.
    #[must_use]
    pub fn pages_of(&self, block: u16) -> usize {
        usize::from(self.pages()).saturating_sub(usize::from(block) * PAGES_PER_BLOCK).min(PAGES_PER_BLOCK)
    }

    /// List pages.
    #[must_use]
    pub fn list_pages(&self) -> u16 {
        self.lists.len() as u16
    }

    /// Whether size and lists agree and are within bounds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let pages = self.size.div_ceil(PAGE_BYTES as u32) as usize;
        self.size > 0 && pages <= MAX_PAGES && self.lists.len() == pages.div_ceil(DIGESTS_PER_LIST)
    }

    /// The object's id.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        let mut hash = Sha256::new();
        hash.update(self.cast_id.0.to_le_bytes());
        hash.update(self.size.to_le_bytes());
        hash.update(self.chip.0.to_le_bytes());
        for digest in &self.lists {
            hash.update(digest.0);
        }
        let hash: [u8; 32] = hash.finalize().into();
        ObjectId(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
    }
}

/// The digests of a file's pages: 6 KB.
#[derive(Clone)]
pub struct DigestList {
    digests: [[u8; 16]; MAX_PAGES],
}

impl Default for DigestList {
    #[inline(always)]
    fn default() -> Self {
        Self { digests: [[0xFF; 16]; MAX_PAGES] }
    }
}

impl DigestList {
    /// Sets the digest of the file's page `page`.
    pub fn set(&mut self, page: u16, digest: PageDigest) {
        if let Some(room) = self.digests.get_mut(usize::from(page)) {
            *room = digest.0;
        }
    }

    /// The digest of the file's page `page`.
    #[must_use]
    pub fn get(&self, page: u16) -> Option<PageDigest> {
        self.digests.get(usize::from(page)).copied().map(PageDigest)
    }

    /// Bytes of list page `list` from `offset` on, for an object with `pages` file pages.
    pub(super) fn read(&self, list: u16, offset: usize, pages: u16, into: &mut [u8]) {
        let from = usize::from(list) * PAGE_BYTES + offset;
        let known = self.digests.as_flattened().get(..usize::from(pages) * 16).unwrap_or_default();
        let here = known.get(from..).unwrap_or_default();
        let (copied, padding) = into.split_at_mut(here.len().min(into.len()));
        copied.copy_from_slice(&here[..copied.len()]);
        padding.fill(0xFF);
    }

    /// Takes over a verified list page.
    pub(super) fn take_list(&mut self, list: u16, page: &[u8]) {
        let first = usize::from(list) * DIGESTS_PER_LIST;
        for (room, digest) in self.digests.iter_mut().skip(first).zip(page.chunks_exact(16)) {
            room.copy_from_slice(digest);
        }
    }

    /// Describes an object whose digests are all set.
    #[must_use]
    pub fn describe(&self, cast_id: CastId, size: u32, chip: ChipId) -> Option<Description> {
        let pages = u16::try_from(size.div_ceil(PAGE_BYTES as u32)).ok()?;
        let mut lists = Vec::new();
        let mut page = [0; PAGE_BYTES];
        for list in 0..usize::from(pages).div_ceil(DIGESTS_PER_LIST) {
            self.read(list as u16, 0, pages, &mut page);
            let end = (usize::from(pages) * 16 - list * PAGE_BYTES).min(PAGE_BYTES);
            lists.push(PageDigest::of(page.get(..end)?)).ok()?;
        }
        let description = Description { cast_id, size, chip, lists };
        description.is_sound().then_some(description)
    }
}
