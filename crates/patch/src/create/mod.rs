//! Makes patches: align the two images, fit the address map, then walk the new image with a range encoder.

use std::fmt;
use std::panic::resume_unwind;
use std::vec;
use std::vec::Vec;

use crate::coder::{Account, Coder, RangeEncoder};
use crate::digest::Sha256;
use crate::header::{ID_BYTES, PatchHeader};
use crate::space::{MAX_IMAGE_BYTES, Space};
use crate::walk::{Command, Guide, SPAN, STEP_OUTPUT, Setup, Source, Walker};
use crate::{OldImage, OldImageError, PatchError};
use progress::Progress;

mod addresses;
mod align;
mod explain;
mod normal;
mod progress;

pub use explain::{Explanation, explain};

/// Choices for [`create`]. The default is right for firmware images.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Use what is known of ESP images and instruction sets. Off: any two files.
    pub understand_code: bool,
    /// Let the decoder read back what it made: smaller where much is new, needs
    /// [`OldImage::read_back`] on the node.
    pub read_back: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { understand_code: true, read_back: true }
    }
}

/// Why no patch could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateError {
    /// A file is larger than ESP-IDF allows an image to be (16 MiB).
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// The patch did not make the new image when it was tried: a defect of this crate.
    DoesNotApply(PatchError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { length } => {
                write!(f, "a file of {length} bytes, images have at most {MAX_IMAGE_BYTES}")
            }
            Self::DoesNotApply(error) => write!(f, "the finished patch does not apply: {error}"),
        }
    }
}

impl std::error::Error for CreateError {}

/// A patch and where its bytes went.
#[derive(Clone, Debug)]
pub struct Created {
    /// The patch.
    pub patch: Vec<u8>,
    /// What the bytes of the body are spent on: name, bytes (fractions of a bit are counted).
    pub spent: Vec<(&'static str, f64)>,
    /// Copy commands.
    pub copies: usize,
    /// Bytes of the new file that no copy covers.
    pub new_bytes: usize,
    /// Entries of the address map.
    pub map_entries: usize,
    /// Whether the new file was taken for an app image, with segments and code.
    pub understood: bool,
    /// Ways tried whose patch did not make the new file: each is a defect of this crate, not of this patch.
    pub defects: usize,
}

/// The hash that names an image: ESP-IDF's validation hash of an app image, SHA-256 of any other file.
pub fn image_hash(image: &[u8]) -> [u8; 32] {
    if let Some(space) = space_of(image) {
        let end = space.image_len() as usize;
        if space.hashed
            && let Some(Ok(hash)) = image.get(end - 32..end).map(TryInto::try_into)
        {
            return hash;
        }
        return sha256(image.get(..end).unwrap_or(image));
    }
    sha256(image)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha = Sha256::new();
    bytes.iter().for_each(|&b| sha.push(b));
    sha.finish()
}

/// The segment table of a complete ESP image.
fn space_of(image: &[u8]) -> Option<Space> {
    let mut reader = image;
    let space = Space::parse(|position, buffer| {
        reader.read(position, buffer).map_err(|_| PatchError::OldImage { position })
    });
    space.ok().flatten().filter(|s| s.image_len() as usize <= image.len())
}

/// Makes a patch from `old` (empty: none, the patch is a compressed image) to `new`.
///
/// # Errors
/// [`CreateError`]; the finished patch has been applied once and gave `new`.
pub fn create(old: &[u8], new: &[u8], options: &Options) -> Result<Created, CreateError> {
    create_with_progress(old, new, options, &|_| ())
}

/// As [`create`]; `tell` hears how far it is, 0 to 1, from any of the threads at work.
///
/// # Errors
/// As [`create`].
pub fn create_with_progress(
    old: &[u8],
    new: &[u8],
    options: &Options,
    tell: &(dyn Fn(f32) + Sync),
) -> Result<Created, CreateError> {
    for file in [old, new] {
        if file.len() > MAX_IMAGE_BYTES as usize {
            return Err(CreateError::TooLarge { length: file.len() });
        }
    }
    let mut made = best_alignment(old, new, options, tell);
    let is_large = |made: &Result<Created, CreateError>, part: usize| {
        made.as_ref().map_or(true, |made| made.patch.len() > new.len() / part)
    };
    // Where little of the old image is left, what is known of code may mislead, and so may the old image.
    if options.understand_code && (made.is_err() || !old.is_empty() && is_large(&made, MISLED)) {
        let plain = Options { understand_code: false, ..*options };
        made = smaller(made, best_alignment(old, new, &plain, tell));
    }
    if !old.is_empty() && is_large(&made, UNRELATED) {
        made = smaller(made, best_alignment(&[], new, options, tell));
    }
    made
}

/// Patches larger than the new image by so many parts of it: other ways are tried.
const MISLED: usize = 8;
const UNRELATED: usize = 4;

fn smaller(
    one: Result<Created, CreateError>,
    other: Result<Created, CreateError>,
) -> Result<Created, CreateError> {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            let defects = one.defects + other.defects;
            let smaller = if other.patch.len() < one.patch.len() { other } else { one };
            Ok(Created { defects, ..smaller })
        }
        (Err(_), Ok(made)) | (Ok(made), Err(_)) => Ok(Created { defects: made.defects + 1, ..made }),
        (Err(_), Err(error)) => Err(error),
    }
}

/// The smallest patch of several alignments.
fn best_alignment(
    old: &[u8],
    new: &[u8],
    options: &Options,
    tell: &(dyn Fn(f32) + Sync),
) -> Result<Created, CreateError> {
    let understood = |image| space_of(image).filter(|space| options.understand_code && space.is_regular());
    let (old_space, new_space) = (understood(old), understood(new));
    let setup = Setup {
        computes_tail: new_space.as_ref().is_some_and(|s| has_regular_tail(new, s)),
        fresh_elf_hash: new_space.is_some() && new.len() >= 208 && old.get(176..208) != new.get(176..208),
        old: old_space,
        new: new_space,
    };

    let old_normal = normal::Normal::of(old, setup.old.as_ref());
    let mut new_normal = normal::Normal::of(new, setup.new.as_ref());
    if setup.fresh_elf_hash && old.len() >= 208 {
        // Sent in any case: no reason to break a copy.
        new_normal.bytes[176..208].copy_from_slice(&old_normal.bytes[176..208]);
    }
    let tunings = align::tunings(old);
    let passes = tunings.len() as u64 * (align::PASSES + WALKS);
    let progress = Progress::new(passes * new.len() as u64, tell);
    let attempt = |tuning| {
        let places = align::Places::new(old, new, &old_normal, &new_normal, options.read_back, tuning);
        let mut commands = align::commands(&places, &progress);
        if setup.computes_tail
            && let Some(space) = setup.new.as_ref()
        {
            through_the_tail(&mut commands, space.data_end(), space.image_len());
        }
        encode(old, new, &commands, &setup, &progress)
    };
    // The first of the smallest, whichever thread is done first: the same patch every time.
    let made = std::thread::scope(|scope| {
        let attempts: Vec<_> = tunings.iter().map(|&tuning| scope.spawn(move || attempt(tuning))).collect();
        attempts
            .into_iter()
            .map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut failed = CreateError::DoesNotApply(PatchError::Corrupt("nothing was tried"));
    let mut defects = 0;
    let mut usable = Vec::new();
    for made in made {
        match made {
            Ok(made) => usable.push(made),
            Err(error) => {
                failed = error;
                defects += 1;
            }
        }
    }
    usable.sort_by_key(|made| made.patch.len());
    for made in usable {
        match apply(&made.patch, old) {
            Ok(result) if result == new => return Ok(Created { defects, ..made }),
            Ok(_) => failed = CreateError::DoesNotApply(PatchError::Corrupt("the result differs")),
            Err(error) => failed = CreateError::DoesNotApply(error),
        }
        defects += 1;
    }
    Err(failed)
}

/// Walks over the new image for one alignment.
const WALKS: u64 = 3;

fn spans(new: &[u8]) -> usize {
    new.len() / SPAN as usize + 1
}

/// Writes the patch that these commands make.
fn encode(
    old: &[u8],
    new: &[u8],
    commands: &[Command],
    setup: &Setup,
    progress: &Progress<'_>,
) -> Result<Created, CreateError> {
    let walk = |guide: &Guide<'_>| {
        let listened = walk(old, guide, Listener::new(spans(new)));
        progress.add(new.len() as u64);
        listened
    };
    let reads_back = commands.iter().any(|k| matches!(k.source, Source::Made(_)));
    let all_dirty = vec![true; spans(new)];

    // First walk: which references went where.
    let guide = Guide { new, commands, dirty: &all_dirty, setup: Some(setup), map: &[] };
    let (listener, _) = walk(&guide)?;
    let map = addresses::fit(&listener.references, commands, setup.old.as_ref(), setup.new.as_ref());

    // Second walk: which spans are as predicted.
    let guide = Guide { new, commands, dirty: &all_dirty, setup: Some(setup), map: &map };
    let (listener, _) = walk(&guide)?;

    // Third walk: the bits.
    let guide = Guide { new, commands, dirty: &listener.dirty, setup: Some(setup), map: &map };
    let (encoder, walker) = self::walk(old, &guide, RangeEncoder::new())?;
    progress.add(new.len() as u64);
    let spent = Account::NAMES
        .iter()
        .zip(encoder.spent)
        .map(|(&name, cost)| (name, cost as f64 / 65_536.0 / 8.0))
        .collect();
    let body = encoder.finish();

    let mut base = [0; ID_BYTES];
    if !old.is_empty() {
        base.copy_from_slice(&image_hash(old)[..ID_BYTES]);
    }
    let mut result = [0; ID_BYTES];
    result.copy_from_slice(&walker.sha.finish()[..ID_BYTES]);
    let header = PatchHeader {
        base,
        result,
        new_len: new.len() as u32,
        body_len: body.len() as u32,
        header_len: 0,
        reads_back,
    };
    let mut patch = Vec::with_capacity(body.len() + 32);
    header.write(&mut patch);
    patch.extend(body);
    Ok(Created {
        patch,
        spent,
        copies: commands.iter().filter(|k| k.source != Source::New).count(),
        new_bytes: commands.iter().filter(|k| k.source == Source::New).map(|k| k.len as usize).sum(),
        map_entries: map.len(),
        understood: setup.new.is_some(),
        defects: 0,
    })
}

/// Applies a whole patch in memory.
///
/// # Errors
/// As [`crate::Decoder::decode`].
pub fn apply(patch: &[u8], old: &[u8]) -> Result<Vec<u8>, PatchError> {
    let header = PatchHeader::parse(patch)?;
    let mut decoder = crate::Decoder::new(image_hash(old), MAX_IMAGE_BYTES);
    let mut made = vec![0; header.new_len as usize];
    let (mut from, mut to) = (0, 0);
    loop {
        let (done, rest) = made.split_at_mut(to);
        let mut images = InMemory { old, made: done };
        let input = patch.get(from..).unwrap_or(&[]);
        // Page by page, as a node does it.
        let room = rest.len().min(4096);
        let progress = decoder.decode(input, &mut images, rest.get_mut(..room).unwrap_or_default(), 0)?;
        from += progress.consumed;
        to += progress.produced;
        if progress.done {
            return Ok(made);
        }
        if progress.consumed == 0 && progress.produced == 0 {
            return Err(PatchError::Truncated);
        }
    }
}

/// Old image and what there is of the new one.
struct InMemory<'a> {
    old: &'a [u8],
    made: &'a [u8],
}

impl OldImage for InMemory<'_> {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        self.old.read(offset, buf)
    }

    fn read_back(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        let mut made = self.made;
        made.read(offset, buf)
    }
}

fn walk<C: Coder>(old: &[u8], guide: &Guide<'_>, mut coder: C) -> Result<(C, Walker), CreateError> {
    let mut walker = std::boxed::Box::new(Walker::IDLE);
    walker.start(guide.new.len() as u32);
    let mut out = [0; STEP_OUTPUT];
    walker.reads_back = guide.commands.iter().any(|k| matches!(k.source, Source::Made(_)));
    let mut source = InMemory { old, made: guide.new };
    while !walker.is_done() {
        walker.step(&mut coder, &mut source, guide, &mut out).map_err(CreateError::DoesNotApply)?;
    }
    Ok((coder, *walker))
}

/// What a decoder computes needs no command of its own: the one before it goes on.
fn through_the_tail(commands: &mut Vec<Command>, data_end: u32, image_len: u32) {
    let Some(last) = commands.iter().rposition(|k| k.new < data_end) else { return };
    let end = commands[last].new + commands[last].len;
    if end >= data_end && end < image_len {
        commands[last].len = image_len - commands[last].new;
        commands.retain_mut(|k| {
            if k.new >= end && k.new < image_len {
                let cut = (image_len - k.new).min(k.len);
                (k.new, k.len) = (k.new + cut, k.len - cut);
                k.source = k.source.plus(cut);
            }
            k.len > 0
        });
    }
}

/// Whether zeros, checksum and hash at the image's end are what a decoder computes.
fn has_regular_tail(image: &[u8], space: &Space) -> bool {
    let mut checksum = 0xEF;
    for i in 0..usize::from(space.count) {
        let s = space.segments[i];
        image[s.position as usize..(s.position + s.length) as usize].iter().for_each(|b| checksum ^= b);
    }
    let at = space.checksum_position() as usize;
    image[space.data_end() as usize..at].iter().all(|&b| b == 0)
        && image[at] == checksum
        && (!space.hashed || image[at + 1..at + 33] == sha256(&image[..=at]))
}

/// A coder that writes nothing and remembers what the walk says.
struct Listener {
    dirty: Vec<bool>,
    references: Vec<(u32, u32)>,
}

impl Listener {
    fn new(spans: usize) -> Self {
        Self { dirty: vec![false; spans], references: Vec::new() }
    }
}

impl Coder for Listener {
    const ENCODING: bool = true;

    fn code(&mut self, _p1: u32, bit: u32) -> u32 {
        bit
    }

    fn note_miss(&mut self, span: u32) {
        if let Some(dirty) = self.dirty.get_mut(span as usize) {
            *dirty = true;
        }
    }

    fn note_reference(&mut self, old: u32, new: u32) {
        self.references.push((old, new));
    }
}

/// A command for each stretch of the new file: copies as given, new bytes between them.
fn complete(copies: impl IntoIterator<Item = Command>, new_len: u32) -> Vec<Command> {
    let mut all = Vec::new();
    let mut at = 0;
    for copy in copies {
        if copy.new > at {
            all.push(Command { new: at, len: copy.new - at, source: Source::New });
        }
        at = copy.new + copy.len;
        all.push(copy);
    }
    if at < new_len {
        all.push(Command { new: at, len: new_len - at, source: Source::New });
    }
    all
}
