//! `rootcast release`, `rootcast key`, `rootcast keygen --release`, and `rootcast inspect` on a release.

mod common;

use common::{fails, json, succeeds};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const CREATE: [&str; 7] = ["release", "create", "--version", "1.2.0", "--key", "keys/release-key.pem", "-o"];
const VERIFY: [&str; 5] =
    ["release", "verify", "public/release.suit", "--release-key", "keys/release-key.pub.pem"];

/// A folder with a release key in `keys`, and images of two chips and their predecessors.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let image = |name: &str, chip, version: &str| {
        let app = AppImageBuilder::new(chip).version(version).size(60_000).build().unwrap();
        fs::write(folder.path().join(name), app).unwrap();
    };
    image("switch.bin", ChipId::ESP32C3, "1.2.0");
    image("relay.bin", ChipId::ESP32, "1.2.0");
    image("old-switch.bin", ChipId::ESP32C3, "1.1.0");
    succeeds(folder.path(), &["keygen", "keys", "--release"]);
    folder
}

fn create(folder: &Path, more: &[&str]) -> serde_json::Value {
    json(folder, &[&CREATE[..], &["public"], more].concat())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_release_of_two_chips_is_made_shown_and_verified() {
    let folder = folder();
    let folder = folder.path();
    let images = ["switch.bin:switch", "relay.bin:relay8,relay16:r2", "--not-after", "30d"];
    let made =
        create(folder, &[&images[..], &["--description", "quieter relays", "--needs", "1.0"]].concat());
    let classes: Vec<&str> =
        made["variants"].as_array().unwrap().iter().map(|it| it["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["esp32c3:switch", "esp32:relay8:r2", "esp32:relay16:r2"]);
    let id = fs::read_to_string(folder.join("keys/release-key.id")).unwrap();
    assert_eq!(made["signed_by"][0], id.trim());
    assert_eq!(succeeds(folder, &["key", "id", "keys/release-key.pub.pem"]).trim(), id.trim());
    assert_eq!(succeeds(folder, &["key", "id", "keys/release-key.pem"]).trim(), id.trim());

    // Two images with their page lists, and the release.
    let names = files(&folder.join("public"));
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(
        names.iter().any(|name| name.starts_with("switch-1.2.0-esp32c3-") && name.ends_with(".bin")),
        "{names:?}"
    );

    let shown = json(folder, &["inspect", "public/release.suit"]);
    assert_eq!(shown["kind"], "release");
    assert_eq!((&shown["version"], &shown["description"]), (&"1.2.0".into(), &"quieter relays".into()));
    assert_eq!(shown["sequence_number"], made["sequence_number"]);
    assert_eq!(shown["variants"].as_array().unwrap().len(), 3);
    let text = succeeds(folder, &["inspect", "public/release.suit"]);
    for expected in [
        "signed release",
        "esp32c3:switch",
        "esp32:relay16:r2",
        "needs       a running version >=1.0",
        "not verified",
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }

    let text = succeeds(folder, &VERIFY);
    assert_eq!(text.matches("  ok ").count(), 2 + 6, "{text}");
    assert!(text.contains(id.trim()), "{text}");
}

#[test]
fn the_same_input_gives_the_same_release_and_the_next_one_has_a_higher_number() {
    let folder = folder();
    let folder = folder.path();
    let make = |out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_rootcast"))
            .args(CREATE)
            .args([out, "switch.bin"])
            .env("SOURCE_DATE_EPOCH", "1790000000")
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::read(folder.join(out).join("release.suit")).unwrap()
    };
    assert_eq!(make("one"), make("two"));
    let first = json(folder, &["inspect", "one/release.suit"])["sequence_number"].as_u64().unwrap();
    assert_eq!(first, 1_790_000_000);
    make("one");
    assert_eq!(json(folder, &["inspect", "one/release.suit"])["sequence_number"], first + 1);
}

#[test]
fn patches_are_made_for_those_they_fit() {
    let folder = folder();
    let folder = folder.path();
    let made =
        create(folder, &["switch.bin:switch", "relay.bin:relay8", "--patch-from", "old-switch.bin:switch"]);
    let variants = made["variants"].as_array().unwrap();
    assert_eq!(variants[0]["patches"].as_array().unwrap().len(), 1, "{made}");
    assert_eq!(variants[1]["patches"].as_array().unwrap().len(), 0, "{made}");
    let patch = &variants[0]["patches"][0];
    let file = fs::read(folder.join(patch["file"].as_str().unwrap())).unwrap();
    assert_eq!(patch["size"], file.len());
    let old = fs::read(folder.join("old-switch.bin")).unwrap();
    let new = rootcast_patch::apply(&file, &old).unwrap();
    assert!(new == fs::read(folder.join("switch.bin")).unwrap());
    assert!(succeeds(folder, &VERIFY).contains("patch from"));
}

#[test]
fn images_are_packed_for_nodes_without_a_patch() {
    let folder = folder();
    let folder = folder.path();
    let made = create(folder, &["switch.bin:switch", "--packed"]);
    let packed = &made["variants"][0]["patches"][0];
    let file = fs::read(folder.join(packed["file"].as_str().unwrap())).unwrap();
    let image = fs::read(folder.join("switch.bin")).unwrap();
    assert!(file.len() < image.len() && packed["size"] == file.len(), "{made}");
    assert!(rootcast_patch::apply(&file, &[]).unwrap() == image);
    succeeds(folder, &VERIFY);
}

#[test]
fn what_nodes_would_not_take_is_not_called_right() {
    let folder = folder();
    let folder = folder.path();
    let made = create(folder, &["switch.bin:switch", "--not-after", "30d"]);
    let image = folder.join(made["variants"][0]["file"].as_str().unwrap());
    let whole = fs::read(&image).unwrap();
    let verify_fails = |more: &[&str]| fails(folder, 1, &[&VERIFY[..], more].concat());
    let said = |more: &[&str]| json(folder, &[&VERIFY[..], more].concat()).to_string();

    // The image behind the URI is another one, shorter, gone.
    fs::copy(folder.join("old-switch.bin"), &image).unwrap();
    verify_fails(&[]);
    assert!(said(&[]).contains("another one lies at that URI"));
    fs::write(&image, &whole[..whole.len() - 1]).unwrap();
    assert!(said(&[]).contains("the release says"), "{}", said(&[]));
    fs::remove_file(&image).unwrap();
    assert!(said(&[]).contains("cannot read"));
    succeeds(folder, &[&VERIFY[..], &["--no-files"]].concat());
    fs::write(&image, &whole).unwrap();
    let list = folder.join(format!("{}.pages", image.display()));
    let mut pages = fs::read(&list).unwrap();
    pages[3] ^= 1;
    fs::write(&list, &pages).unwrap();
    assert!(said(&[]).contains("is not this image's"));

    // Its time is over.
    let late = verify_fails(&["--no-files", "--at", "2100-01-01"]);
    assert!(late.contains("1 thing is wrong"), "{late}");
    // By a stranger, by a key for other purposes, changed, cut, no release.
    succeeds(folder, &["keygen", "other", "--release"]);
    let by =
        |key: &str| fails(folder, 1, &["release", "verify", "public/release.suit", "--release-key", key]);
    assert!(by("other/release-key.pub.pem").contains("no key that is trusted"));
    assert!(by("keys/release-key.pub.pem=keys").contains("may not sign this"));
    let release = fs::read(folder.join("public/release.suit")).unwrap();
    let with = |bytes: &[u8]| {
        fs::write(folder.join("public/release.suit"), bytes).unwrap();
        verify_fails(&["--no-files"])
    };
    let mut flipped = release.clone();
    flipped[release.len() / 2] ^= 1;
    assert!(with(&flipped).contains("not the one that was signed"));
    assert!(with(&release[..release.len() - 1]).contains("malformed"));
    assert!(with(&whole).contains("at most 8192 are read"));
    assert!(with(&whole[..500]).contains("not a release"));
    fs::write(folder.join("cut.suit"), &release[..100]).unwrap();
    assert!(fails(folder, 1, &["inspect", "cut.suit"]).contains("malformed"));
}

#[test]
fn what_makes_no_release_says_why_and_writes_none() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &["keygen", "rsa", "--scheme", "rsa3072"]);
    fs::write(folder.join("text.bin"), b"no image").unwrap();
    let long = "x".repeat(17);
    let cases: [(&[&str], i32, &str); 8] = [
        (&["switch.bin", "switch.bin"], 1, "two images are for esp32c3"),
        (&["text.bin"], 1, "text.bin"),
        (&["missing.bin:switch"], 1, "cannot read missing.bin"),
        (&[&format!("switch.bin:{long}")], 2, "is no node type"),
        (&["switch.bin", "--key", "rsa/signing-key.pem"], 1, "ECDSA P-256"),
        (&["switch.bin", "--not-after", "2001-01-01"], 2, "in the past"),
        (&["switch.bin", "--needs", "newest"], 2, "no version that nodes can compare"),
        (&["switch.bin", "--base-url", "ftp://files.example"], 1, "URI"),
    ];
    for (arguments, status, expected) in cases {
        let stderr = fails(folder, status, &[&CREATE[..], &["public"], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!folder.join("public/release.suit").exists(), "{arguments:?}");
    }
    fails(folder, 2, &[&CREATE[..], &["public", "switch.bin", "--not-after", "soon"]].concat());
    fails(folder, 2, &[&CREATE[..], &["public", "switch.bin", "--replaces", "7"]].concat());
}

#[test]
fn a_rotation_introduces_the_new_key_and_retires_the_old_one() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &["keygen", "new", "--release"]);
    let rotate = ["key", "rotate", "--key", "keys/release-key.pem", "-o", "rotation/release.suit"];
    let made =
        json(folder, &[&rotate[..], &["--new", "new/release-key.pub.pem", "--sequence", "9"]].concat());
    let [old, new] =
        ["keys", "new"].map(|it| fs::read_to_string(folder.join(it).join("release-key.id")).unwrap());
    assert_eq!(made["key_changes"][0], format!("trust {} for releases and keys", new.trim()));
    assert_eq!(made["key_changes"][1], format!("retire {} after sequence number 9", old.trim()));
    assert_eq!(made["notes"].as_array().unwrap().len(), 0, "{made}");
    let verified = succeeds(
        folder,
        &["release", "verify", "rotation/release.suit", "--release-key", "keys/release-key.pem"],
    );
    assert!(verified.contains("key changes: can be made"), "{verified}");
    assert!(
        succeeds(folder, &["inspect", "rotation/release.suit"]).contains(&format!("trust {}", new.trim()))
    );

    // Nobody is locked out unnoticed, and nothing is no change.
    let revoked = json(folder, &[&rotate[..], &["--revoke-key", old.trim()]].concat());
    assert!(revoked["notes"][0].as_str().unwrap().contains("would refuse it"), "{revoked}");
    assert!(fails(folder, 2, &rotate).contains("nothing changes"));
    let stderr = fails(folder, 1, &[&rotate[..], &["--revoke-key", "abcd"]].concat());
    assert!(stderr.contains("cannot read abcd"), "{stderr}");
}
