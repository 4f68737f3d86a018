//! espsecure (Espressif's own tool) and Rootcast accept each other's keys and signatures.

mod support;

use std::fs;
use std::path::Path;

use rootcast_trust::sign::{KeyKind, SigningKey, append_signature, sign_image};
use rootcast_trust::{KeyDigest, verify_image_signature};
use support::*;

fn generated_by_espsecure(directory: &Path, name: &str, scheme: &str) -> SigningKey {
    espsecure(directory, &["generate-signing-key", "--version", "2", "--scheme", scheme, name]);
    SigningKey::from_pem(&fs::read_to_string(directory.join(name)).unwrap()).expect("a key by espsecure")
}

/// The digest as espsecure computes it, from the file it writes.
fn digest_by_espsecure(directory: &Path, key: &str) -> KeyDigest {
    espsecure(directory, &["digest-sbv2-public-key", "--keyfile", key, "--output", "digest.bin"]);
    let bytes = fs::read(directory.join("digest.bin")).unwrap();
    fs::remove_file(directory.join("digest.bin")).unwrap();
    KeyDigest(bytes.try_into().unwrap())
}

fn verify(file: &[u8], trusted: &[KeyDigest]) -> Result<KeyDigest, rootcast_trust::SignatureError> {
    let (digest, sector) = signed_parts(file);
    verify_image_signature(&digest, sector, trusted)
}

#[test]
fn an_image_signed_by_espsecure_verifies_here() {
    if !python_has("espsecure") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for scheme in ["rsa3072", "ecdsa256"] {
        let names = [1, 2, 3].map(|n| format!("{scheme}-{n}.pem"));
        let keys = names.each_ref().map(|name| generated_by_espsecure(here, name, scheme));
        fs::write(here.join("app.bin"), app_image(1)).unwrap();
        for count in [1, 3] {
            let mut arguments = vec!["sign-data", "app.bin", "--version", "2", "--output", "signed.bin"];
            names[..count].iter().for_each(|name| arguments.extend(["--keyfile", name]));
            espsecure(here, &arguments);
            let signed = fs::read(here.join("signed.bin")).unwrap();
            for (key, name) in keys.iter().zip(&names).take(count) {
                assert_eq!(key.key_digest(), digest_by_espsecure(here, name), "{name}");
                assert_eq!(verify(&signed, &[key.key_digest()]), Ok(key.key_digest()), "{name}");
            }
        }
    }
}

#[test]
fn an_image_signed_here_verifies_with_espsecure() {
    if !python_has("espsecure") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let p256 = [p256_key(), p256_key(), p256_key()];
    for keys in [rsa_keys(), &p256] {
        for count in [1, 3] {
            let signed = sign_image(&app_image(2), &keys[..count]).unwrap();
            fs::write(here.join("signed.bin"), &signed).unwrap();
            let info = espsecure(here, &["signature-info-v2", "signed.bin"]);
            for key in &keys[..count] {
                fs::write(here.join("key.pem"), key.to_pem().unwrap()).unwrap();
                let said = espsecure(
                    here,
                    &["verify-signature", "--version", "2", "--keyfile", "key.pem", "signed.bin"],
                );
                assert!(said.contains("verification successful"), "{said}");
                assert_eq!(digest_by_espsecure(here, "key.pem"), key.key_digest());
                let digest = key.key_digest().to_string();
                let shown = info.replace([' ', '\n'], "").to_lowercase();
                assert!(shown.contains(&digest), "{digest} not in\n{info}");
            }
        }
        // The tool itself tells a stranger's key from a signer's: the check above can fail.
        fs::write(here.join("key.pem"), p256_key().to_pem().unwrap()).unwrap();
        let (accepted, said) = try_espsecure(
            here,
            &["verify-signature", "--version", "2", "--keyfile", "key.pem", "signed.bin"],
        );
        assert!(!accepted, "{said}");
    }
}

#[test]
fn blocks_appended_by_either_side_verify_on_both() {
    if !python_has("espsecure") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let theirs = generated_by_espsecure(here, "theirs.pem", "ecdsa256");
    let [ours, third] = [p256_key(), p256_key()];
    fs::write(here.join("ours.pem"), ours.to_pem().unwrap()).unwrap();
    fs::write(here.join("app.bin"), sign_image(&app_image(3), std::slice::from_ref(&ours)).unwrap()).unwrap();
    espsecure(
        here,
        &["sign-data", "app.bin", "--version", "2", "--append-signatures", "--keyfile", "theirs.pem"],
    );
    let signed =
        append_signature(&fs::read(here.join("app.bin")).unwrap(), std::slice::from_ref(&third)).unwrap();
    fs::write(here.join("app.bin"), &signed).unwrap();
    fs::write(here.join("third.pem"), third.to_pem().unwrap()).unwrap();
    for (key, file) in [(&ours, "ours.pem"), (&theirs, "theirs.pem"), (&third, "third.pem")] {
        assert_eq!(verify(&signed, &[key.key_digest()]), Ok(key.key_digest()));
        espsecure(here, &["verify-signature", "--version", "2", "--keyfile", file, "app.bin"]);
    }
}

#[test]
fn keys_on_other_curves_are_refused_by_name() {
    if !python_has("espsecure") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    espsecure(
        directory.path(),
        &["generate-signing-key", "--version", "2", "--scheme", "ecdsa384", "key.pem"],
    );
    let error =
        SigningKey::from_pem(&fs::read_to_string(directory.path().join("key.pem")).unwrap()).unwrap_err();
    assert!(error.to_string().contains("not P-256"), "{error}");
}

#[test]
fn keys_in_every_pem_form_of_openssl_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let openssl = |arguments: &[&str]| {
        std::process::Command::new("openssl").args(arguments).current_dir(here).output().is_ok_and(|it| {
            assert!(it.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&it.stderr));
            true
        })
    };
    if !openssl(&["genrsa", "-traditional", "-out", "rsa-pkcs1.pem", "3072"]) {
        eprintln!("skipped: no openssl");
        return;
    }
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "rsa-pkcs1.pem", "-out", "rsa-pkcs8.pem"]);
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", "ec-sec1.pem"]);
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "ec-sec1.pem", "-out", "ec-pkcs8.pem"]);
    let read = |name: &str| SigningKey::from_pem(&fs::read_to_string(here.join(name)).unwrap());
    assert!(fs::read_to_string(here.join("rsa-pkcs1.pem")).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    assert!(fs::read_to_string(here.join("ec-sec1.pem")).unwrap().contains("BEGIN EC PRIVATE KEY"));
    for (old, new, kind) in [
        ("rsa-pkcs1.pem", "rsa-pkcs8.pem", KeyKind::Rsa3072),
        ("ec-sec1.pem", "ec-pkcs8.pem", KeyKind::EcdsaP256),
    ] {
        let (one, other) = (read(old).unwrap(), read(new).unwrap());
        assert_eq!((one.kind(), one.key_digest()), (kind, other.key_digest()));
        let again = SigningKey::from_pem(&one.to_pem().unwrap()).unwrap();
        assert_eq!(again.key_digest(), one.key_digest());
    }
    openssl(&["pkcs8", "-topk8", "-in", "ec-sec1.pem", "-passout", "pass:x", "-out", "locked.pem"]);
    openssl(&["ec", "-aes128", "-in", "ec-sec1.pem", "-passout", "pass:x", "-out", "locked-sec1.pem"]);
    openssl(&["genrsa", "-out", "small.pem", "2048"]);
    openssl(&["pkey", "-in", "ec-sec1.pem", "-pubout", "-out", "public.pem"]);
    for (name, said) in [
        ("locked.pem", "password"),
        ("locked-sec1.pem", "password"),
        ("small.pem", "RSA-2048"),
        ("public.pem", "no private key"),
    ] {
        let error = read(name).unwrap_err().to_string();
        assert!(error.contains(said), "{name}: {error}");
    }
}
