//! `rootcast keygen` and `rootcast sign`, and espsecure on the other side of each.

mod common;

use common::{espressif, espressif_unchecked, fails, json, real_images, succeeds, text};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The schemes by the name they have on the command line and in a block.
const SCHEMES: [(&str, &str); 2] = [("rsa3072", "RSA-3072"), ("ecdsa256", "ECDSA P-256")];

/// A folder with an app image in `app.bin`.
fn folder_with_app() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let app = AppImageBuilder::new(ChipId::ESP32C3).size(50_000).build().unwrap();
    fs::write(folder.path().join("app.bin"), app).unwrap();
    folder
}

/// Signs with espsecure, one key after the other, into `signed.bin`; false where it is not installed.
fn espsecure_signs(folder: &Path, app: &str, keys: &[String]) -> bool {
    fs::copy(folder.join(app), folder.join("signed.bin")).unwrap();
    for (index, key) in keys.iter().enumerate() {
        let mut arguments = vec!["sign-data", "--version", "2", "--keyfile", key, "--output", "next.bin"];
        if index > 0 {
            arguments.push("--append-signatures");
        }
        arguments.push("signed.bin");
        if espressif("espsecure", folder, &arguments).is_none() {
            return false;
        }
        fs::rename(folder.join("next.bin"), folder.join("signed.bin")).unwrap();
    }
    true
}

#[test]
fn what_rootcast_signs_espsecure_verifies_by_every_key() {
    for (scheme, _) in SCHEMES {
        let folder = folder_with_app();
        let folder = folder.path();
        for count in [1, 3] {
            let dirs: Vec<String> = (0..count).map(|index| format!("{count}-{index}")).collect();
            let keys: Vec<String> = dirs.iter().map(|dir| format!("{dir}/signing-key.pem")).collect();
            for dir in &dirs {
                succeeds(folder, &["keygen", dir, "--scheme", scheme]);
            }
            let mut sign = vec!["sign", "app.bin", "-o", "signed.bin"];
            sign.extend(keys.iter().flat_map(|key| ["--key", key]));
            succeeds(folder, &sign);
            for dir in &dirs {
                let public = format!("{dir}/signing-key.pub.pem");
                for key in [&format!("{dir}/signing-key.pem"), &public] {
                    let verify = ["verify-signature", "--version", "2", "--keyfile", key, "signed.bin"];
                    if espressif("espsecure", folder, &verify).is_none() {
                        return;
                    }
                }
            }
            succeeds(folder, &["keygen", "stranger", "--scheme", scheme, "--force"]);
            let verify =
                ["verify-signature", "--version", "2", "--keyfile", "stranger/signing-key.pem", "signed.bin"];
            let verified = espressif_unchecked("espsecure", folder, &verify).unwrap();
            assert!(!verified.status.success(), "a stranger's key verified");
        }
    }
}

#[test]
fn what_espsecure_signs_rootcast_verifies_by_every_key() {
    for (scheme, name) in SCHEMES {
        let folder = folder_with_app();
        let folder = folder.path();
        for count in [1, 3] {
            let keys: Vec<String> = (0..count).map(|index| format!("{scheme}-{count}-{index}.pem")).collect();
            let mut digests = Vec::new();
            for key in &keys {
                let make = ["generate-signing-key", "--version", "2", "--scheme", scheme, key];
                let digest =
                    ["digest-sbv2-public-key", "--keyfile", key, "--output", &format!("{key}.digest")];
                if espressif("espsecure", folder, &make).is_none() {
                    return;
                }
                espressif("espsecure", folder, &digest);
                let digest = fs::read(folder.join(format!("{key}.digest"))).unwrap();
                digests.push(rootcast_wire::text::Hex(&digest).to_string());
            }
            assert!(espsecure_signs(folder, "app.bin", &keys));
            for digest in &digests {
                let printed = succeeds(folder, &["inspect", "signed.bin", "--trust", digest]);
                assert!(printed.contains(&format!("{name} by {digest} (valid, trusted)")), "{printed}");
            }
            let facts = json(folder, &["inspect", "signed.bin"]);
            assert_eq!(facts["signature"]["blocks"].as_array().map(Vec::len), Some(count));
        }
    }
}

#[test]
fn both_sides_add_signatures_to_what_the_other_signed() {
    for (scheme, _) in SCHEMES {
        let folder = folder_with_app();
        let folder = folder.path();
        for dir in ["one", "two"] {
            succeeds(folder, &["keygen", dir, "--scheme", scheme]);
        }
        let [one, two] = ["one/signing-key.pem", "two/signing-key.pem"];
        if !espsecure_signs(folder, "app.bin", &[one.to_string()]) {
            return;
        }
        succeeds(folder, &["sign", "signed.bin", "--append", "--key", two, "-o", "both.bin"]);
        for key in [one, two] {
            espressif(
                "espsecure",
                folder,
                &["verify-signature", "--version", "2", "--keyfile", key, "both.bin"],
            );
        }
        succeeds(folder, &["sign", "app.bin", "--key", one, "-o", "ours.bin"]);
        let append = [
            "sign-data",
            "--version",
            "2",
            "--keyfile",
            two,
            "--append-signatures",
            "--output",
            "both.bin",
            "ours.bin",
        ];
        espressif("espsecure", folder, &append);
        let facts = json(folder, &["inspect", "both.bin"]);
        let blocks = facts["signature"]["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 2);
        assert!(
            blocks.iter().all(|block| block["valid"] == true && block["matches_image"] == true),
            "{facts}"
        );
    }
}

#[test]
fn a_real_image_signed_here_is_padded_signed_and_still_the_same_image() {
    let Some(images) = real_images() else { return };
    let folder = tempfile::tempdir().unwrap();
    let original = images.join("wallbox_s3/v2.5.0.bin");
    let original = original.to_str().unwrap();
    succeeds(folder.path(), &["keygen", "keys"]);
    succeeds(folder.path(), &["sign", original, "--key", "keys/signing-key.pem", "-o", "signed.bin"]);
    let (before, after) =
        (json(folder.path(), &["inspect", original]), json(folder.path(), &["inspect", "signed.bin"]));
    assert_eq!(after["hash"], before["hash"]);
    assert_eq!(after["image_size"], before["image_size"]);
    assert_eq!(after["file_size"].as_u64().map(|size| size % 4096), Some(0));
    assert_eq!(after["signature"]["blocks"][0]["valid"], true);
}

#[test]
fn an_ecdsa_signature_is_reproducible() {
    let folder = folder_with_app();
    succeeds(folder.path(), &["keygen", "keys"]);
    for out in ["one.bin", "two.bin"] {
        succeeds(folder.path(), &["sign", "app.bin", "--key", "keys/signing-key.pem", "-o", out]);
    }
    assert!(
        fs::read(folder.path().join("one.bin")).unwrap() == fs::read(folder.path().join("two.bin")).unwrap()
    );
}

#[test]
fn a_key_is_private_and_never_replaced_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let printed = succeeds(folder.path(), &["keygen", "keys"]);
    let key = folder.path().join("keys/signing-key.pem");
    let digest = fs::read_to_string(folder.path().join("keys/signing-key.digest")).unwrap();
    assert!(printed.contains(digest.trim()));
    assert!(!printed.contains("PRIVATE"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = fs::read(&key).unwrap();
    let stderr = fails(folder.path(), 2, &["keygen", "keys"]);
    assert!(stderr.contains("signing-key.pem exists already") && stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read(&key).unwrap(), before);
    succeeds(folder.path(), &["keygen", "keys", "--force"]);
    assert_ne!(fs::read(&key).unwrap(), before);
}

#[test]
fn signing_says_what_is_wrong_with_the_key_or_the_image() {
    let folder = folder_with_app();
    let folder = folder.path();
    succeeds(folder, &["keygen", "keys"]);
    let key = "keys/signing-key.pem";
    fs::write(folder.join("page.bin"), "<html>").unwrap();
    let cases: [(&[&str], &str); 6] = [
        (
            &["sign", "app.bin", "--key", "keys/signing-key.pub.pem", "-o", "out.bin"],
            "no private key in PEM form",
        ),
        (&["sign", "page.bin", "--key", key, "-o", "out.bin"], "not an ESP image"),
        (&["sign", "app.bin", "--key", key, "--append", "-o", "out.bin"], "not signed yet"),
        (&["sign", "app.bin", "--key", key, "--key", key, "-o", "out.bin"], "has signed already"),
        (&["sign", "missing.bin", "--key", key, "-o", "out.bin"], "cannot read missing.bin"),
        (&["sign", "app.bin", "--key", "missing.pem", "-o", "out.bin"], "cannot read missing.pem"),
    ];
    for (arguments, expected) in cases {
        let stderr = fails(folder, 1, arguments);
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!folder.join("out.bin").exists(), "{arguments:?} left a file behind");
    }
}

#[test]
fn an_image_changed_after_signing_is_not_believed() {
    let folder = folder_with_app();
    let folder = folder.path();
    succeeds(folder, &["keygen", "keys"]);
    succeeds(folder, &["sign", "app.bin", "--key", "keys/signing-key.pem", "-o", "signed.bin"]);
    // A change behind the hash, in the padding that the signature covers.
    let mut signed = fs::read(folder.join("signed.bin")).unwrap();
    let padding = signed.len() - 4096 - 1;
    signed[padding] = 0;
    fs::write(folder.join("changed.bin"), signed).unwrap();
    let stderr = fails(folder, 1, &["inspect", "changed.bin"]);
    assert!(stderr.contains("is not the one that the key"), "{stderr}");
    let output = common::rootcast(folder, &["inspect", "changed.bin"]);
    assert!(text(&output.stdout).contains("INVALID: for other bytes than these"));
}

#[test]
fn an_unsigned_image_is_an_error_where_a_signature_is_demanded() {
    let folder = folder_with_app();
    let digest = "ab".repeat(32);
    let stderr = fails(folder.path(), 1, &["inspect", "app.bin", "--trust", &digest]);
    assert!(stderr.contains("the image is not signed") && stderr.contains("rootcast sign"), "{stderr}");
    let stderr = fails(folder.path(), 2, &["inspect", "app.bin", "--trust", "abc"]);
    assert!(stderr.contains("64 hexadecimal digits"), "{stderr}");
}
