//! The digests of an image's pages, so that each 4096-byte page can be believed before the whole is there.
//!
//! ```text
//!   release:     digest of list page 0 | digest of list page 1 | …      16 bytes each, signed
//!                        |
//!   page list:   digest of page 0 | … | digest of page 255              16 bytes each, 4096 bytes a list page
//!                        |
//!   image:       page 0 | page 1 | …                                    4096 bytes each, the last one shorter
//! ```
//!
//! The page list is a file beside the image (or any neighbour's copy of it: it is verified page by page like the
//! image). A tree of two levels with 256 branches: an image for a 1408 KiB slot has a list of 5,632 bytes and adds 32
//! bytes to the release. A binary Merkle tree would need no list, but nine digests with *every* page; a list within the
//! release would not fit in a node's buffer. `docs/release-format.md` has the figures.
//!
//! A digest is SHA-256 cut to 16 bytes: to foist a page on a node takes a second preimage, 2^128 trials less what many
//! targets give away (2^119 for 352 pages). Two pages of one digest (2^64) help nobody: only the signer chooses pages,
//! and the signer could sign either. And no image boots by its pages alone: its whole SHA-256 is read back from flash.

use sha2::{Digest, Sha256};

/// Bytes of a page: a flash sector.
pub const PAGE_BYTES: usize = rootcast_image::PAGE_BYTES as usize;
/// Bytes of the digest of a page.
pub const PAGE_DIGEST_BYTES: usize = 16;
/// Digests in a whole page of the list.
pub const DIGESTS_PER_LIST_PAGE: u32 = (PAGE_BYTES / PAGE_DIGEST_BYTES) as u32;

/// The digest of a page of the image or of the list.
pub type PageDigest = [u8; PAGE_DIGEST_BYTES];

/// SHA-256 of the bytes, cut to 16.
pub fn page_digest(bytes: &[u8]) -> PageDigest {
    let mut digest = [0; PAGE_DIGEST_BYTES];
    for (to, from) in digest.iter_mut().zip(Sha256::digest(bytes)) {
        *to = from;
    }
    digest
}

/// What a signed release says about the pages of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageDigests<'a> {
    image_bytes: u32,
    of_list: &'a [u8],
}

impl<'a> PageDigests<'a> {
    /// Takes the digests of the list pages for an image of this size. `None` if they are not as many as it takes.
    pub fn new(image_bytes: u32, of_list: &'a [u8]) -> Option<Self> {
        let digests = Self { image_bytes, of_list };
        (of_list.len() == digests.list_pages() as usize * PAGE_DIGEST_BYTES).then_some(digests)
    }

    /// How many pages the image has.
    pub fn pages(&self) -> u32 {
        self.image_bytes.div_ceil(PAGE_BYTES as u32)
    }

    /// How many pages the list has.
    pub fn list_pages(&self) -> u32 {
        self.pages().div_ceil(DIGESTS_PER_LIST_PAGE)
    }

    /// Bytes of the whole list.
    pub fn list_bytes(&self) -> u32 {
        self.pages() * PAGE_DIGEST_BYTES as u32
    }

    /// Bytes of a page of the image; 0 behind the last.
    pub fn page_bytes(&self, page: u32) -> usize {
        bytes_in_page(self.image_bytes, page)
    }

    /// Bytes of a page of the list; 0 behind the last.
    pub fn list_page_bytes(&self, list_page: u32) -> usize {
        bytes_in_page(self.list_bytes(), list_page)
    }

    /// The digests of the list's pages, one after the other, as they are signed.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.of_list
    }

    /// Takes a page of the list if it is the one that was signed.
    pub fn list_page<'b>(&self, list_page: u32, bytes: &'b [u8]) -> Option<ListPage<'b>> {
        let expected = self.of_list.get(list_page as usize * PAGE_DIGEST_BYTES..)?.first_chunk()?;
        let whole = bytes.len() == self.list_page_bytes(list_page);
        (whole && page_digest(bytes) == *expected).then_some(ListPage {
            first: list_page * DIGESTS_PER_LIST_PAGE,
            image_bytes: self.image_bytes,
            digests: bytes,
        })
    }
}

/// A verified page of the list: the digests of up to 256 pages of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPage<'a> {
    first: u32,
    image_bytes: u32,
    digests: &'a [u8],
}

impl ListPage<'_> {
    /// The pages of the image that this page of the list speaks of.
    pub fn range(&self) -> core::ops::Range<u32> {
        self.first..self.first + (self.digests.len() / PAGE_DIGEST_BYTES) as u32
    }

    /// Whether this is page `page` of the image, whole and unchanged.
    pub fn verifies(&self, page: u32, bytes: &[u8]) -> bool {
        let digest = page
            .checked_sub(self.first)
            .and_then(|index| self.digests.get(index as usize * PAGE_DIGEST_BYTES..))
            .and_then(|rest| rest.first_chunk::<PAGE_DIGEST_BYTES>());
        digest.is_some_and(|digest| {
            bytes.len() == bytes_in_page(self.image_bytes, page) && page_digest(bytes) == *digest
        })
    }
}

fn bytes_in_page(total: u32, page: u32) -> usize {
    let start = page.checked_mul(PAGE_BYTES as u32);
    start.map_or(0, |start| total.saturating_sub(start).min(PAGE_BYTES as u32)) as usize
}
