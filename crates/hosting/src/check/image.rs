//! The content: is it an image that these nodes can run, hold and trust?

use ring::digest::{SHA256, digest};
use rootcast_image::{AppImage, ChipId, ImageError, ImageVerifier, PAGE_BYTES, Target, check_header};
use rootcast_trust::verify_image_signature;
use rootcast_wire::ErrorCode;

use super::codes::{image_code, signature_code};
use super::download::Downloaded;
use super::options::CheckOptions;
use super::report::{Notes, StepId, warning};
use crate::content::hex;
use crate::publish::ImageFacts;

/// Bytes a node looks at before it writes anything.
const FIRST_PAGE: usize = PAGE_BYTES as usize;

/// Notes everything about the content, in the order in which a node meets it.
pub(super) fn judge(downloaded: &Downloaded, options: &CheckOptions, notes: &mut Notes<'_>) {
    let content = downloaded.content.as_slice();
    let size = downloaded.info.size.map_or(content.len() as u64, u64::from);
    let over = size.checked_sub(u64::from(options.slot_size)).filter(|over| *over > 0);
    if let Some(wanted) = options.expected_size.filter(|wanted| u64::from(*wanted) != size && over.is_none())
    {
        notes.fail(
            StepId::Digest,
            ErrorCode::SizeMismatch,
            format!("{size} bytes, the trigger says {wanted}"),
        );
    }
    let begins_right = note_beginning(content, options, notes);
    // After the first page: what an image is for says more than how large it is.
    match over {
        Some(over) => {
            let found = format!("{size} bytes, {over} more than the slot of {}", options.slot_size);
            notes.fail(StepId::Size, ErrorCode::ImageTooLarge, found);
        }
        None => {
            let free = u64::from(options.slot_size) - size;
            notes.ok(StepId::Size, format!("{size} bytes, {free} below the slot of {}", options.slot_size));
        }
    }
    if !downloaded.whole {
        return;
    }
    let sha256 = digest(&SHA256, content);
    // The report speaks of the URL's own file; those that a release leads to have their steps.
    if notes.file.is_none() {
        notes.report.sha256 = Some(hex(sha256.as_ref()));
    }
    if content.is_empty() {
        notes.fail(StepId::Structure, ErrorCode::NotAnImage, "the file is empty");
    } else if begins_right {
        note_whole(content, options, notes);
    }
    match options.expected_sha256 {
        Some(wanted) if wanted != sha256.as_ref() => notes.fail(
            StepId::Digest,
            ErrorCode::DigestMismatch,
            format!("sha256 {}, the trigger says {}", hex(sha256.as_ref()), hex(&wanted)),
        ),
        Some(_) => notes.ok(StepId::Digest, "sha256 as in the trigger"),
        None => {}
    }
}

/// The first page: an image at all, for this chip, this revision, this secure version.
fn note_beginning(content: &[u8], options: &CheckOptions, notes: &mut Notes<'_>) -> bool {
    let first = content.get(..FIRST_PAGE.min(content.len())).unwrap_or_default();
    let mut verifier = ImageVerifier::new();
    if let Err(error) = verifier.push(first) {
        note_broken(&error, content, notes);
        return false;
    }
    let Some(header) = verifier.header() else { return !content.is_empty() };
    let target = Target {
        chip: options.chip.unwrap_or(header.chip),
        revision: options.revision.unwrap_or(header.min_revision),
        secure_version: options.secure_version,
        slot_size: options.slot_size,
    };
    match check_header(header, verifier.descriptor(), &target) {
        Err(error) => notes.fail(StepId::Chip, image_code(&error), error.to_string()),
        Ok(()) => match options.chip {
            Some(chip) => notes.ok(StepId::Chip, chip_name(chip)),
            None => notes.warn(
                StepId::Chip,
                warning::CHIP_UNCHECKED,
                format!("for {}; the nodes' chip was not given", chip_name(header.chip)),
                "give the nodes' chip (--chip) to have it compared",
            ),
        },
    }
    true
}

fn note_whole(content: &[u8], options: &CheckOptions, notes: &mut Notes<'_>) {
    let mut verifier = ImageVerifier::new();
    let image = match verifier.push(content).and_then(|()| verifier.finish()) {
        Ok(image) => image,
        Err(error) => return note_broken(&error, content, notes),
    };
    let segments = image.segments.len();
    notes.ok(
        StepId::Structure,
        format!("{} {}, {segments} segments", image.descriptor.project_name, image.descriptor.version),
    );
    notes.ok(StepId::Checksum, "right");
    match image.hash_appended {
        true => notes.ok(StepId::Hash, format!("{}", image.hash)),
        false => notes.fail(StepId::Hash, ErrorCode::ImageMalformed, "the image carries no SHA-256"),
    }
    note_signature(&image, content, options, notes);
    if notes.file.is_none() {
        notes.report.image = Some(ImageFacts::of(&image));
    }
}

fn note_broken(error: &ImageError, content: &[u8], notes: &mut Notes<'_>) {
    let code = image_code(error);
    let step = match error {
        ImageError::Checksum { .. } => StepId::Checksum,
        ImageError::Hash { .. } => StepId::Hash,
        _ => StepId::Structure,
    };
    let beginning = content.get(..content.len().min(512)).unwrap_or_default().to_ascii_lowercase();
    let page = [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| beginning.windows(tag.len()).any(|part| part == *tag));
    match page {
        true => notes.fail_with(
            step,
            code,
            "an HTML page instead of an image",
            "open the URL in a private browser window: a login or an error page comes; use the file's own address",
        ),
        false => notes.fail(step, code, error.to_string()),
    }
}

fn note_signature(image: &AppImage, content: &[u8], options: &CheckOptions, notes: &mut Notes<'_>) {
    let start = usize::try_from(image.signed_len).unwrap_or(usize::MAX);
    let sector = content.get(start..).unwrap_or_default();
    let sector = sector.get(..FIRST_PAGE.min(sector.len())).unwrap_or_default();
    if options.trusted_keys.is_empty() {
        let found = if sector.is_empty() { "not signed" } else { "signed; the nodes' keys were not given" };
        let advice =
            "give the digest of the key that the nodes trust (--trust) to have the signature checked";
        return notes.warn(StepId::Signature, warning::SIGNATURE_UNCHECKED, found, advice);
    }
    let Some(signed_digest) = image.signed_digest.filter(|_| !sector.is_empty()) else {
        return notes.fail(StepId::Signature, ErrorCode::SignatureMissing, "not signed");
    };
    match verify_image_signature(&signed_digest, sector, &options.trusted_keys) {
        Ok(key) => notes.ok(StepId::Signature, format!("by the trusted key {key}")),
        Err(error) => notes.fail(StepId::Signature, signature_code(&error), error.to_string()),
    }
}

fn chip_name(chip: ChipId) -> String {
    chip.to_string()
}
