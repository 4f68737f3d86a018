//! Valid things for the tests to break: a small app image, keys, and the tools of the ESP world.
#![allow(dead_code)]

pub mod cbor;
pub mod release;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rootcast_image::{AppImage, ImageVerifier};
use rootcast_trust::sign::{KeyKind, SigningKey};
use sha2::{Digest, Sha256};

/// A complete ESP32-C3 app image with an appended hash; `seed` makes it another one.
pub fn app_image(seed: u8) -> Vec<u8> {
    let mut data = vec![0u8; 256 + 6000];
    data[..4].copy_from_slice(&0xABCD_5432u32.to_le_bytes());
    data[16..21].copy_from_slice(b"1.2.3");
    data[48..52].copy_from_slice(b"test");
    for (index, byte) in data[256..].iter_mut().enumerate() {
        *byte = (index as u8).wrapping_mul(31).wrapping_add(seed);
    }
    let mut image = vec![0xE9, 1, 2, 0x2F];
    image.extend(0x4038_0000u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(5u16.to_le_bytes());
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    image.truncate(24);
    image.resize(24, 0);
    image[23] = 1;
    image.extend(0x3C00_0020u32.to_le_bytes());
    image.extend((data.len() as u32).to_le_bytes());
    let checksum = data.iter().fold(0xEF, |sum, byte| sum ^ byte);
    image.extend(data);
    while image.len() % 16 != 15 {
        image.push(0);
    }
    image.push(checksum);
    let hash = Sha256::digest(&image);
    image.extend(hash);
    image
}

/// What the verifier says about a complete image.
pub fn parsed(file: &[u8]) -> AppImage {
    let mut verifier = ImageVerifier::new();
    verifier.push(file).expect("valid image");
    verifier.finish().expect("complete image")
}

/// The digest that a signature signs, and the sector behind it.
pub fn signed_parts(file: &[u8]) -> ([u8; 32], &[u8]) {
    let image = parsed(file);
    (image.signed_digest.expect("padded"), &file[image.signed_len as usize..])
}

/// RSA keys take seconds to make: one test program shares these three.
pub fn rsa_keys() -> &'static [SigningKey; 3] {
    static KEYS: OnceLock<[SigningKey; 3]> = OnceLock::new();
    KEYS.get_or_init(|| std::array::from_fn(|_| SigningKey::generate(KeyKind::Rsa3072).expect("RSA key")))
}

/// A fresh P-256 key.
pub fn p256_key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).expect("P-256 key")
}

/// Whether a Python module can be imported; says why a test is skipped.
pub fn python_has(module: &str) -> bool {
    let found = Command::new("python3")
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|it| it.status.success());
    if !found {
        eprintln!("skipped: python3 cannot import {module} (pip install {module})");
    }
    found
}

/// Runs espsecure and returns its output; panics when it fails.
pub fn espsecure(directory: &Path, arguments: &[&str]) -> String {
    let (success, text) = try_espsecure(directory, arguments);
    assert!(success, "espsecure {arguments:?}:\n{text}");
    text
}

/// Runs espsecure; whether it succeeded, and what it said.
pub fn try_espsecure(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("python3")
        .args(["-m", "espsecure"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("python3 runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}
