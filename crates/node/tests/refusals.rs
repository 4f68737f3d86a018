//! What a node that trusts a key, counts secure versions or remembers bad images turns down, each with its own code.

mod support;

use rootcast_image::{ChipId, writer::AppImageBuilder};
use rootcast_node::Settings;
use rootcast_trust::sign::{KeyKind, SigningKey, sign_image};
use support::{Lone, Server, image, settings};

const TRIGGER: &str = r#"{"type":"ota_trigger","url":"https://firmware.example/fw.bin"}"#;

fn triggered(settings: Settings, file: Vec<u8>) -> Lone {
    let mut lone = Lone::with_settings(&image("1.0.0", 40_000), settings);
    lone.server = Server::with(file);
    lone.join();
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    lone
}

#[test]
fn a_node_that_trusts_a_key_takes_what_it_signed_and_names_what_is_wrong_with_the_rest() {
    let (key, stranger) =
        (SigningKey::generate(KeyKind::EcdsaP256), SigningKey::generate(KeyKind::EcdsaP256));
    let (key, stranger) = (key.unwrap(), stranger.unwrap());
    let mut trusting = settings();
    trusting.trusted_keys.push(key.key_digest()).unwrap();
    let app = image("1.0.1", 50_000);
    let signed = sign_image(&app, &[key]).unwrap();

    let lone = triggered(trusting.clone(), signed.clone());
    assert_eq!(lone.version(), "1.0.1");

    let block = app.len().next_multiple_of(4096);
    let mut forged = signed.clone();
    // The signature's first byte, with the checksum of its block right again.
    forged[block + 101] ^= 1;
    let checksum = rootcast_image::crc::crc32(&forged[block..block + 1196]).to_le_bytes();
    forged[block + 1196..block + 1200].copy_from_slice(&checksum);
    let foreign = sign_image(&app, &[stranger]).unwrap();
    for (file, code) in
        [(app, "signature_missing"), (foreign, "signature_untrusted"), (forged, "signature_invalid")]
    {
        // An operator's wish to allow unsigned images ends where a key is trusted.
        let lone = triggered(trusting.clone(), file);
        let (state, error) = lone.reports().pop().unwrap();
        assert_eq!((error.as_str(), lone.version().as_str(), lone.starts), (code, "1.0.0", 1), "{state}");
    }
}

#[test]
fn without_a_key_an_unsigned_image_needs_leave() {
    let mut strict = settings();
    strict.allow_unsigned = false;
    let lone = triggered(strict, image("1.0.1", 50_000));
    assert_eq!(lone.reports().last().unwrap().1, "signature_missing");
    assert_eq!(lone.version(), "1.0.0");
}

#[test]
fn an_image_older_than_the_fuses_say_is_refused_before_anything_is_erased() {
    let build = |secure_version| {
        let builder = AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version("1.0.1").size(50_000);
        builder.secure_version(secure_version).build().unwrap()
    };
    let mut fused = settings();
    fused.secure_version = 3;
    let lone = triggered(fused.clone(), build(2));
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "secure_version_too_low".to_owned()));
    assert!(lone.board.flash.bytes[0x17_0000..].iter().all(|byte| *byte == 0xFF), "the slot was touched");
    assert_eq!(triggered(fused, build(3)).version(), "1.0.1");
}

#[test]
fn a_bad_image_is_refused_by_its_hash_until_an_operator_forces_it() {
    let bad = image("1.0.1", 50_000);
    let mut lone = Lone::running(&image("1.0.0", 40_000));
    lone.deaf = Some("1.0.1");
    lone.server = Server::with(bad);
    lone.join();
    lone.trigger(TRIGGER);
    lone.settle(400_000);
    assert_eq!(lone.version(), "1.0.0");
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "known_bad_image".to_owned()));
    // Whatever was wrong with it has been mended: its broker answers now.
    lone.deaf = None;
    lone.trigger(&TRIGGER.replace("fw.bin\"", "fw.bin\",\"force\":true"));
    lone.settle(400_000);
    assert_eq!(lone.version(), "1.0.1");
    assert_eq!(lone.reports().last().unwrap().0, "confirmed");
}
