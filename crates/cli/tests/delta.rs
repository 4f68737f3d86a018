//! `rootcast delta`: what it makes applies, to the right image only, and what is wrong is said.

mod common;

use common::{fails, json, succeeds};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with two versions of an image, and another project's.
fn folder_with_images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, chip, version) in [
        ("old.bin", ChipId::ESP32C3, "1.0.0"),
        ("new.bin", ChipId::ESP32C3, "1.1.0"),
        ("other.bin", ChipId::ESP32, "9"),
    ] {
        let image = AppImageBuilder::new(chip).version(version).size(60_000).build().unwrap();
        fs::write(folder.path().join(name), image).unwrap();
    }
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_patch_makes_the_new_image_from_the_old_one() {
    let folder = folder_with_images();
    let folder = folder.path();
    let made = json(folder, &["delta", "old.bin", "new.bin", "-o", "new.patch"]);
    let size = read(folder, "new.patch").len();
    assert_eq!(made["file_size"], size);
    assert!(size < 1_000, "{size} bytes for another version number");
    let spent: f64 = made["spent"].as_array().unwrap().iter().map(|it| it["bytes"].as_f64().unwrap()).sum();
    assert!(spent <= size as f64, "{made}");

    let applied = json(folder, &["delta", "old.bin", "new.patch", "--apply", "-o", "again.bin"]);
    assert_eq!(read(folder, "again.bin"), read(folder, "new.bin"));
    assert_eq!(applied["image_hash"], json(folder, &["inspect", "new.bin"])["hash"]["computed"]);
}

#[test]
fn an_image_is_compressed_and_unpacked_without_another_one() {
    let folder = folder_with_images();
    let folder = folder.path();
    succeeds(folder, &["delta", "new.bin", "--compress", "-o", "packed"]);
    succeeds(folder, &["delta", "packed", "--apply", "-o", "again.bin"]);
    assert_eq!(read(folder, "again.bin"), read(folder, "new.bin"));
    assert!(succeeds(folder, &["inspect", "packed"]).contains("new bytes"));
}

#[test]
fn a_patch_for_another_image_is_refused_by_name_and_writes_nothing() {
    let folder = folder_with_images();
    let folder = folder.path();
    succeeds(folder, &["delta", "old.bin", "new.bin", "-o", "new.patch"]);
    let hash = json(folder, &["inspect", "old.bin"])["hash"]["computed"].as_str().unwrap()[..16].to_string();
    let error = fails(folder, 1, &["delta", "other.bin", "new.patch", "--apply", "-o", "again.bin"]);
    assert!(error.contains(&format!("the patch is for the image {hash}…")), "{error}");
    assert!(error.contains("Give the image that the patch was made from"), "{error}");
    let error = fails(folder, 2, &["delta", "new.patch", "--apply", "-o", "again.bin"]);
    assert!(error.contains(&format!("needs the image {hash}…")), "{error}");
    assert!(!folder.join("again.bin").exists());
}

#[test]
fn a_damaged_patch_is_found_and_writes_nothing() {
    let folder = folder_with_images();
    let folder = folder.path();
    succeeds(folder, &["delta", "old.bin", "new.bin", "-o", "new.patch"]);
    let whole = read(folder, "new.patch");
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 0x40;
    let cases: [(&[u8], &str); 4] = [
        (&whole[..whole.len() - 5], "the patch ends early"),
        (&flipped, "the patch"),
        (&[&whole[..], b"more"].concat(), "something follows behind the patch's end"),
        (&read(folder, "new.bin"), "not a Rootcast patch"),
    ];
    for (bytes, why) in cases {
        fs::write(folder.join("bad.patch"), bytes).unwrap();
        let error = fails(folder, 1, &["delta", "old.bin", "bad.patch", "--apply", "-o", "again.bin"]);
        assert!(error.contains(why), "{error}");
        assert!(!folder.join("again.bin").exists());
        if bytes.starts_with(b"RP") {
            let error = fails(folder, 1, &["inspect", "bad.patch", "--base", "old.bin"]);
            assert!(error.contains(why), "{error}");
        }
    }
}

#[test]
fn inspect_says_what_a_patch_is_for_and_where_its_bytes_go() {
    let folder = folder_with_images();
    let folder = folder.path();
    succeeds(folder, &["delta", "old.bin", "new.bin", "-o", "new.patch"]);
    let facts = json(folder, &["inspect", "new.patch"]);
    let hash = |file| json(folder, &["inspect", file])["hash"]["computed"].as_str().unwrap().to_string();
    assert_eq!(facts["kind"], "patch");
    assert!(hash("old.bin").starts_with(facts["base"].as_str().unwrap()), "{facts}");
    let file_hash = json(folder, &["inspect", "new.bin"])["file_sha256"].as_str().unwrap().to_string();
    assert!(file_hash.starts_with(facts["result"].as_str().unwrap()), "{facts}");
    assert_eq!(facts["new_size"], read(folder, "new.bin").len());
    assert!(facts["spent"].is_null(), "nobody can know without the old image: {facts}");

    let facts = json(folder, &["inspect", "new.patch", "--base", "old.bin"]);
    assert!(facts["copies"].as_u64().unwrap() >= 1, "{facts}");
    assert!(facts["spent"].as_array().unwrap().len() > 5, "{facts}");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let folder = folder_with_images();
    fs::write(folder.path().join("empty"), b"").unwrap();
    for (arguments, why) in [
        (&["delta", "new.bin", "-o", "x"][..], "from two files"),
        (&["delta", "old.bin", "new.bin", "--compress", "-o", "x"], "takes one file"),
        (&["delta", "empty", "new.bin", "-o", "x"], "give --compress instead"),
        (&["delta", "old.bin", "new.bin"], "--output"),
    ] {
        let error = fails(folder.path(), 2, arguments);
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
}
