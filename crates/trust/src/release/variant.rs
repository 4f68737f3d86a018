//! One image of a release: whom it is for, where it is, and how it is recognised.

use core::fmt;

use rootcast_image::ImageHash;

use super::cbor::{CborFault, Reader};
use super::command::{State, checked_size, checked_uri};
use super::pages::{DIGESTS_PER_LIST_PAGE, PAGE_BYTES, PAGE_DIGEST_BYTES, PageDigests};
use super::uuid::{ClassId, VendorId};
use super::version::VersionMatch;
use super::{MAX_PATCHES, Part, ReleaseError, label};

/// An image of a release. Borrows the release's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    /// Who makes it.
    pub vendor: VendorId,
    /// What it runs on.
    pub class: ClassId,
    /// What the class id was made of, for people: `esp32c3:switch`. Nothing is decided by it.
    pub class_name: Option<&'a str>,
    /// SHA-256 over the whole file, as `sha256sum` prints it.
    pub sha256: &'a [u8; 32],
    /// Bytes of the whole file.
    pub size: u32,
    /// Where the file is: a URL, or a reference relative to the release's own.
    pub uri: &'a str,
    /// What the installed image is called by; missing in releases that another tool made.
    pub image_hash: Option<ImageHash>,
    /// How its pages are recognised, if they are.
    pub pages: Option<PageDigests<'a>>,
    /// Where the page list is; `None`: at the image's URI with `.pages` behind its path.
    pub page_list_uri: Option<&'a str>,
    /// The chip revisions it runs on (major · 100 + minor), first and last; `None`: all.
    pub chip_revisions: Option<(u16, u16)>,
    /// Not to be used from this time on, in seconds since 1970.
    pub not_after: Option<u64>,
    /// What the running version has to be.
    pub version_needed: Option<VersionMatch>,
    patches: Reader<'a>,
    patch_count: u64,
}

/// A patch that makes the variant's image from an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch<'a> {
    /// The image that has to run for the patch to apply.
    pub from: ImageHash,
    /// Where the patch is.
    pub uri: &'a str,
    /// SHA-256 over the patch file.
    pub sha256: &'a [u8; 32],
    /// Bytes of the patch file.
    pub size: u32,
}

/// Why a file that was fetched is not the one that the release means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMismatch {
    /// It is longer or shorter. Bytes.
    Size {
        /// What the release says.
        expected: u32,
        /// What was fetched.
        found: u32,
    },
    /// It is as long, and another.
    Digest,
}

impl FileMismatch {
    /// The stable name under which operators meet this error, the same as in node reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "release_size_mismatch",
            Self::Digest => "release_digest_mismatch",
        }
    }
}

impl fmt::Display for FileMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { expected, found } => {
                write!(
                    f,
                    "the file has {found} bytes, the release says {expected}: another file lies at that URI"
                )
            }
            Self::Digest => {
                f.write_str("the file is not the one in the release: another one lies at that URI")
            }
        }
    }
}

impl core::error::Error for FileMismatch {}

impl<'a> Variant<'a> {
    /// Takes what following the manifest's sequences came to.
    pub(crate) fn from_state(state: &State<'a>) -> Result<Self, ReleaseError> {
        let missing = |label| ReleaseError::MissingParameter { label };
        for (met, label) in [
            (state.vendor_checked, label::VENDOR),
            (state.class_checked, label::CLASS),
            (state.fetched, label::FETCH),
            (state.matched, label::IMAGE_MATCH),
        ] {
            if !met {
                return Err(ReleaseError::MissingCondition { label });
            }
        }
        let mut variant = Self {
            vendor: state.vendor.ok_or(missing(label::VENDOR))?,
            class: state.class.ok_or(missing(label::CLASS))?,
            class_name: None,
            sha256: state.digest.ok_or(missing(label::IMAGE_DIGEST))?,
            size: state.size.ok_or(missing(label::IMAGE_SIZE))?,
            uri: state.uri.ok_or(missing(label::URI))?,
            image_hash: None,
            pages: None,
            page_list_uri: None,
            chip_revisions: None,
            not_after: state.not_after,
            version_needed: state.version_needed,
            patches: Reader::new(&[], Part::FetchArguments),
            patch_count: 0,
        };
        if let Some(arguments) = state.fetch_arguments {
            variant.read_fetch_arguments(arguments)?;
        }
        Ok(variant)
    }

    /// Whether a file that was fetched, of these bytes and with this SHA-256, is the one that the release means.
    pub fn check_file(&self, size: u32, sha256: &[u8; 32]) -> Result<(), FileMismatch> {
        if size != self.size {
            Err(FileMismatch::Size { expected: self.size, found: size })
        } else if sha256 != self.sha256 {
            Err(FileMismatch::Digest)
        } else {
            Ok(())
        }
    }

    /// The patches in order.
    pub fn patches(&self) -> impl Iterator<Item = Patch<'a>> + use<'a> {
        let mut reader = self.patches;
        // Each was read once already, when the release was.
        (0..self.patch_count).map_while(move |_| read_patch(&mut reader).ok())
    }

    /// The patch for a node that runs this image.
    pub fn patch_from(&self, running: &ImageHash) -> Option<Patch<'a>> {
        self.patches().find(|patch| patch.from == *running)
    }

    /// The image in compressed form: a patch from nothing, for any node that fetches for itself.
    pub fn packed(&self) -> Option<Patch<'a>> {
        self.patch_from(&ImageHash([0; 32]))
    }

    fn read_fetch_arguments(&mut self, bytes: &'a [u8]) -> Result<(), ReleaseError> {
        let mut reader = Reader::new(bytes, Part::FetchArguments);
        let mut keys = reader.map()?;
        while let Some(argument) = keys.next(&mut reader)? {
            match argument {
                label::ARG_IMAGE_HASH => {
                    self.image_hash = Some(ImageHash(*reader.array_of()?));
                }
                label::ARG_PAGE_DIGESTS => {
                    let digests = reader.bytes()?;
                    let pages =
                        PageDigests::new(self.size, digests).ok_or(ReleaseError::PageDigestCount {
                            expected: self.size.div_ceil(PAGE_BYTES as u32).div_ceil(DIGESTS_PER_LIST_PAGE),
                            found_bytes: digests.len(),
                        })?;
                    self.pages = Some(pages);
                }
                label::ARG_PAGE_LIST_URI => {
                    self.page_list_uri = Some(checked_uri(reader.text()?)?);
                }
                label::ARG_CHIP_REVISIONS => {
                    reader.array_exactly(2)?;
                    let first = revision(&mut reader)?;
                    let last = revision(&mut reader)?;
                    if first > last {
                        return Err(reader.fault(CborFault::WrongValue));
                    }
                    self.chip_revisions = Some((first, last));
                }
                label::ARG_PATCHES => {
                    let found = reader.array()?;
                    if found > MAX_PATCHES as u64 {
                        return Err(ReleaseError::TooManyPatches { found });
                    }
                    (self.patches, self.patch_count) = (reader, found);
                    for _ in 0..found {
                        read_patch(&mut reader)?;
                    }
                }
                label::HINT_CLASS_NAME => self.class_name = Some(reader.text()?),
                hint if hint >= label::FIRST_HINT => drop(reader.item()?),
                label => return Err(ReleaseError::UnsupportedParameter { label }),
            }
        }
        reader.end()
    }
}

fn revision(reader: &mut Reader<'_>) -> Result<u16, ReleaseError> {
    u16::try_from(reader.uint()?).map_err(|_| reader.fault(CborFault::WrongValue))
}

/// `[from, uri, sha256, size]`
fn read_patch<'a>(reader: &mut Reader<'a>) -> Result<Patch<'a>, ReleaseError> {
    reader.array_exactly(4)?;
    Ok(Patch {
        from: ImageHash(*reader.array_of()?),
        uri: checked_uri(reader.text()?)?,
        sha256: reader.array_of()?,
        size: checked_size(reader.uint()?)?,
    })
}

// The digests of a list page are as many as fit in one: the shape of `pages` and of this file agree.
const _: () = assert!(DIGESTS_PER_LIST_PAGE as usize * PAGE_DIGEST_BYTES == PAGE_BYTES);
