//! Valid things to break: images, and the real ones.
#![allow(dead_code, missing_docs)]

use rootcast_image::header::ImageHeader;
use rootcast_image::verify::{AppImage, ImageVerifier};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageError, Target};
use std::path::PathBuf;

/// A small valid image of 4,096 bytes for an ESP32-C3.
pub fn small_image() -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3)
        .project("lamp")
        .version("1.0.0")
        .size(4096)
        .build()
        .expect("it fits")
}

/// A device that runs [`small_image`].
pub const C3: Target = Target { chip: ChipId::ESP32C3, revision: 4, secure_version: 0, slot_size: 0x16_0000 };

pub fn verify(bytes: &[u8]) -> Result<AppImage, ImageError> {
    feed(ImageVerifier::new(), bytes)
}

pub fn verify_for(target: Target, bytes: &[u8]) -> Result<AppImage, ImageError> {
    feed(ImageVerifier::for_target(target), bytes)
}

fn feed(mut verifier: ImageVerifier, bytes: &[u8]) -> Result<AppImage, ImageError> {
    verifier.push(bytes)?;
    verifier.finish()
}

/// The image with its header changed, and checksum and hash made right again where `repair`.
pub fn with_header(bytes: &[u8], change: impl FnOnce(&mut ImageHeader)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut header = ImageHeader::parse(bytes.first_chunk().expect("24 bytes")).expect("a header");
    change(&mut header);
    bytes[..24].copy_from_slice(&header.to_bytes());
    rehash(&mut bytes);
    bytes
}

/// Makes the appended hash right again.
pub fn rehash(bytes: &mut [u8]) {
    use sha2::Digest as _;
    let content = bytes.len() - 32;
    let hash = sha2::Sha256::digest(&bytes[..content]);
    bytes[content..].copy_from_slice(&hash);
}

/// The real images beside the project; a printed reason and nothing where they are absent.
pub fn real_images() -> Vec<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images"));
    let mut files = Vec::new();
    for folder in root.read_dir().into_iter().flatten().flatten() {
        let entries = folder.path().read_dir().into_iter().flatten().flatten();
        files.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "bin")),
        );
    }
    files.sort();
    if files.is_empty() {
        println!("skipped: no real images at {}", root.display());
    }
    files
}
