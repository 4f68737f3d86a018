//! What is spread in a simulation, and where a node keeps it.

use crate::random::Random;
use rootcast_image::ChipId;
use rootcast_node::spread::{Description, DigestList, ObjectId, PageDigest, PageStore};
use rootcast_wire::cast::CastId;
use std::rc::Rc;

/// Bytes of a page.
pub const PAGE_BYTES: usize = rootcast_image::PAGE_BYTES as usize;

/// A file, as pages with their digests.
pub struct Image {
    /// Whole pages; the last one padded with 0xFF.
    bytes: Vec<u8>,
    /// What the root tells of it.
    pub description: Description,
    /// The digests of its pages.
    pub digests: DigestList,
}

impl Image {
    /// Random bytes of this size for this chip. `None` when it is too large to be spread.
    #[must_use]
    pub fn new(size: u32, chip: ChipId, cast: u32, seed: u64) -> Option<Rc<Self>> {
        let mut random = Random::new(seed).fork(0x33);
        let mut bytes: Vec<u8> =
            (0..size.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).collect();
        bytes.truncate(size as usize);
        Self::of(bytes, chip, cast)
    }

    /// These bytes as an image.
    #[must_use]
    pub fn of(mut bytes: Vec<u8>, chip: ChipId, cast: u32) -> Option<Rc<Self>> {
        let size = u32::try_from(bytes.len()).ok()?;
        let mut digests = DigestList::default();
        for (page, bytes) in bytes.chunks(PAGE_BYTES).enumerate() {
            digests.set(page as u16, PageDigest::of(bytes));
        }
        bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0xFF);
        let description = digests.describe(CastId(cast), size, chip)?;
        Some(Rc::new(Self { bytes, description, digests }))
    }

    /// Pages of the file.
    #[must_use]
    pub fn pages(&self) -> u16 {
        (self.bytes.len() / PAGE_BYTES) as u16
    }

    /// A page.
    #[must_use]
    pub fn page(&self, page: u16) -> Option<&[u8]> {
        self.bytes.chunks_exact(PAGE_BYTES).nth(page.into())
    }

    /// Bytes of an object's page, list pages first.
    fn read_object(&self, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let lists = self.description.list_pages();
        if page >= lists {
            return copy(self.page(page - lists), offset, into);
        }
        let mut list = vec![0xFF; PAGE_BYTES];
        let first = usize::from(page) * PAGE_BYTES / 16;
        let here = (first..usize::from(self.pages())).zip(list.chunks_exact_mut(16));
        for (page, room) in here {
            if let Some(digest) = self.digests.get(page as u16) {
                room.copy_from_slice(&digest.0);
            }
        }
        copy(Some(&list), offset, into)
    }
}

fn copy(page: Option<&[u8]>, offset: usize, into: &mut [u8]) -> bool {
    let bytes = page.and_then(|page| page.get(offset..offset + into.len()));
    bytes.map(|bytes| into.copy_from_slice(bytes)).is_some()
}

/// One node's slot. Pages are kept as references into the images that they came from, so that hundreds of nodes take
/// little memory; a page that is of no image known to the world is counted as wrong.
#[derive(Default)]
pub struct Slot {
    pages: Vec<Option<(Rc<Image>, u16)>>,
    known: Vec<Rc<Image>>,
    /// Objects that can be fetched for others, page by page: a root's second variant.
    pub remote: Option<Rc<Image>>,
    /// Bytes fetched for them.
    pub fetched: u64,
    fetched_last: Vec<u16>,
    /// Pages written that are of no known image.
    pub wrong: u32,
    /// Pages written.
    pub written: u32,
    /// The flash takes no page from this one on.
    pub full_from: Option<u16>,
    /// Nothing can be read at the moment: the server behind a source fails.
    pub unreadable: bool,
}

/// Pages that a root keeps of what it fetches for others.
const FETCH_CACHE_PAGES: usize = 4;

impl Slot {
    /// A slot in a world that knows these images.
    #[must_use]
    pub fn new(known: &[Rc<Image>]) -> Self {
        Self { known: known.to_vec(), ..Self::default() }
    }

    /// Puts an image's first pages into the slot.
    pub fn load(&mut self, image: &Rc<Image>, pages: u16) {
        for page in 0..pages.min(image.pages()) {
            self.put(page, Some((Rc::clone(image), page)));
        }
    }

    /// Spoils a page.
    pub fn erase(&mut self, page: u16) {
        self.put(page, None);
    }

    fn put(&mut self, page: u16, content: Option<(Rc<Image>, u16)>) {
        let place = usize::from(page);
        if self.pages.len() <= place {
            self.pages.resize(place + 1, None);
        }
        self.pages[place] = content;
    }

    /// Whether the slot holds this image, whole.
    #[must_use]
    pub fn holds(&self, image: &Rc<Image>) -> bool {
        (0..image.pages()).all(|page| {
            let held = self.pages.get(usize::from(page)).and_then(Option::as_ref);
            held.is_some_and(|(from, at)| from.page(*at) == image.page(page))
        })
    }
}

impl PageStore for Slot {
    fn read(&mut self, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let held = self.pages.get(usize::from(page)).and_then(Option::as_ref);
        !self.unreadable && held.is_some_and(|(image, page)| copy(image.page(*page), offset, into))
    }

    fn write(&mut self, page: u16, bytes: &[u8; PAGE_BYTES]) -> bool {
        if self.full_from.is_some_and(|full| page >= full) {
            return false;
        }
        self.written += 1;
        let of = self.known.iter().find(|image| image.page(page) == Some(bytes.as_slice())).cloned();
        if of.is_none() {
            self.wrong += 1;
        }
        self.put(page, of.map(|image| (image, page)));
        true
    }

    fn read_other(&mut self, object: ObjectId, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let Some(image) = self.remote.as_ref().filter(|image| image.description.id() == object) else {
            return false;
        };
        if self.unreadable {
            return false;
        }
        if !self.fetched_last.contains(&page) {
            if self.fetched_last.len() == FETCH_CACHE_PAGES {
                self.fetched_last.remove(0);
            }
            self.fetched_last.push(page);
            self.fetched += PAGE_BYTES as u64;
        }
        image.read_object(page, offset, into)
    }
}
