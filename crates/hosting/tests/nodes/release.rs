//! A signed release and its images, published together: nodes follow it, the check sees through it, and what does not belong together is
//! not published.

use std::fs;
use std::path::PathBuf;

use rootcast_hosting::check::{CheckOptions, StepId, check};
use rootcast_hosting::publish::{Destination, PublishError, PublishOptions, Published, publish_set};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::ChipId;
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, Purposes, TrustedKey, VendorId};
use rootcast_trust::sign::{ClassSpec, KeyKind, ReleaseSpec, SigningKey, VariantSpec, create_release};
use rootcast_wire::ErrorCode;
use tempfile::TempDir;

use crate::agreement::{case, compare, options};
use crate::images::image_for;
use crate::mesh::Mesh;

/// A release of two images with their page lists, as a build leaves it.
struct Built {
    folder: TempDir,
    key: SigningKey,
    c3: Vec<u8>,
}

const NAMES: [&str; 5] = ["release.suit", "c3.bin", "c3.bin.pages", "s3.bin", "s3.bin.pages"];

fn built(chips: [ChipId; 2]) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let mut variants = Vec::new();
    let mut first = Vec::new();
    for (name, chip) in ["c3.bin", "s3.bin"].into_iter().zip(chips) {
        let image = image_for(chip, "1.1.0", 64_000);
        let class = ClassSpec { chip, node_type: None, hardware_revision: None };
        let (variant, pages) = VariantSpec::of_image(class, name, &image).unwrap();
        variants.push(variant);
        fs::write(folder.path().join(name), &image).unwrap();
        fs::write(folder.path().join(format!("{name}.pages")), pages).unwrap();
        if first.is_empty() {
            first = image;
        }
    }
    let spec = ReleaseSpec {
        vendor: VendorId::of_domain(DEFAULT_VENDOR_DOMAIN),
        sequence_number: 1,
        version: "1.1.0".into(),
        description: None,
        signed_at: None,
        not_after: None,
        replaces_up_to: None,
        variants,
        key_changes: Vec::new(),
    };
    let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    fs::write(folder.path().join("release.suit"), release).unwrap();
    Built { folder, key, c3: first }
}

impl Built {
    fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.folder.path().join(name)).collect()
    }

    fn trusted(&self) -> TrustedKey {
        TrustedKey::new(self.key.release_key().unwrap(), Purposes::ALL)
    }

    async fn publish(&self, names: &[&str], to: &TempDir, url: &str) -> Result<Vec<Published>, PublishError> {
        let options = PublishOptions { public_base: Some(url.to_owned()), ..PublishOptions::default() };
        publish_set(&self.paths(names), &Destination::Folder(to.path().into()), &options, &|_, _| {}).await
    }
}

async fn host(ca: &DevelopmentCa) -> (TempDir, FirmwareHost) {
    let served = tempfile::tempdir().unwrap();
    let files = Files::with_folder(served.path()).unwrap();
    let options = HostOptions::https(ca.server_identity(&[]).unwrap()).on_free_port();
    (served, FirmwareHost::start(options, files).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_published_last_and_its_nodes_update_from_it() {
    let ca = DevelopmentCa::generate().unwrap();
    let (served, host) = host(&ca).await;
    let built = built([ChipId::ESP32C3, ChipId::ESP32S3]);
    let published = built.publish(&NAMES, &served, &host.url("")).await.unwrap();
    let names: Vec<&str> = published.iter().map(|published| published.name.as_str()).collect();
    assert_eq!(names, ["c3.bin", "c3.bin.pages", "s3.bin", "s3.bin.pages", "release-1.1.0.suit"]);

    let url = published.last().unwrap().url.clone().unwrap();
    let options =
        CheckOptions { release_keys: vec![built.key.release_key().unwrap()], chip: None, ..options(&ca) };
    let report = check(&url, &options).await;
    assert!(report.accepted, "{report:#?}");
    let facts = report.release.unwrap();
    assert_eq!((facts.variants, facts.signature_trusted), (2, Some(true)));
    let files =
        |step: StepId| report.steps.iter().filter(|found| found.step == step && found.file.is_some()).count();
    assert_eq!((files(StepId::Structure), files(StepId::Tls)), (2, 4), "two images, and their page lists");

    let key = built.trusted();
    let trust = move |settings: &mut rootcast_node::Settings| settings.release_keys.push(key).unwrap();
    let mut mesh = Mesh::start_with(3, &ca, Vec::new(), trust).await;
    mesh.update(&url, &built.c3).await;
    mesh.stop().await;
}

#[tokio::test]
async fn what_does_not_belong_to_a_release_is_not_published_with_it() {
    let ca = DevelopmentCa::generate().unwrap();
    let (served, host) = host(&ca).await;
    let built = built([ChipId::ESP32C3, ChipId::ESP32S3]);
    let refused = built.publish(&NAMES[..4], &served, &host.url("")).await.unwrap_err().to_string();
    assert!(refused.contains("s3.bin.pages") && refused.contains("not among the files"), "{refused}");
    let refused = built.publish(&["release.suit"], &served, &host.url("")).await.unwrap_err().to_string();
    assert!(refused.contains("refers to c3.bin") || refused.contains("refers to s3.bin"), "{refused}");

    let other = image_for(ChipId::ESP32C3, "1.1.1", 64_016);
    fs::write(built.folder.path().join("c3.bin"), other).unwrap();
    let refused = built.publish(&NAMES, &served, &host.url("")).await.unwrap_err().to_string();
    assert!(refused.contains("64016 bytes") && refused.contains("the release says 64000"), "{refused}");

    let signed =
        PublishOptions { presign: Some(std::time::Duration::from_secs(60)), ..PublishOptions::default() };
    let to = Destination::Folder(served.path().into());
    let refused = publish_set(&built.paths(&NAMES), &to, &signed, &|_, _| {}).await.unwrap_err();
    assert!(matches!(refused, PublishError::CannotPresign { .. }), "{refused}");
    assert_eq!(fs::read_dir(served.path()).unwrap().count(), 0, "nothing of any of it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_breaks_off_has_no_release() {
    let ca = DevelopmentCa::generate().unwrap();
    let (served, host) = host(&ca).await;
    let built = built([ChipId::ESP32C3, ChipId::ESP32S3]);
    // Another file has the name of the second image.
    fs::write(served.path().join("s3.bin"), b"something else").unwrap();
    let refused = built.publish(&NAMES, &served, &host.url("")).await.unwrap_err();
    let PublishError::Partly { done, failed, .. } = &refused else { panic!("{refused}") };
    assert_eq!((done.len(), failed.as_str()), (2, "s3.bin"));
    assert!(!served.path().join("release-1.1.0.suit").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_node_agree_on_every_fault_of_a_release() {
    use ErrorCode as E;
    let ca = DevelopmentCa::generate().unwrap();
    let (served, host) = host(&ca).await;
    let good = built([ChipId::ESP32C3, ChipId::ESP32S3]);
    let strangers = built([ChipId::ESP32C3, ChipId::ESP32S3]);
    let release = fs::read(good.folder.path().join("release.suit")).unwrap();
    let put = |folder: &str, name: &str, content: &[u8]| {
        fs::create_dir_all(served.path().join(folder)).unwrap();
        fs::write(served.path().join(folder).join(name), content).unwrap();
        host.url(&format!("/{folder}/{name}"))
    };
    let copy = |built: &Built, folder: &str, leave_out: &str| {
        for name in NAMES.iter().filter(|name| **name != leave_out) {
            put(folder, name, &fs::read(built.folder.path().join(name)).unwrap());
        }
        host.url(&format!("/{folder}/release.suit"))
    };
    let (gone, swapped, longer) =
        (copy(&good, "gone", "c3.bin"), copy(&good, "swapped", ""), copy(&good, "longer", ""));
    put("swapped", "c3.bin", &image_for(ChipId::ESP32C3, "1.1.1", 64_000));
    put("longer", "c3.bin", &image_for(ChipId::ESP32C3, "1.1.1", 64_016));
    let last = release.len() - 1;
    let cases = [
        case("cut", put("cut", "release.suit", &release[..last]), StepId::Release, E::ReleaseMalformed),
        case("by a stranger", copy(&strangers, "stranger", ""), StepId::Signature, E::ReleaseUntrustedKey),
        case("the image is gone", gone, StepId::Status, E::HttpNotFound),
        case("the image was swapped", swapped, StepId::Digest, E::ReleaseDigestMismatch),
        case("the image is longer", longer, StepId::Digest, E::ReleaseSizeMismatch),
    ];
    let options =
        CheckOptions { release_keys: vec![good.key.release_key().unwrap()], chip: None, ..options(&ca) };
    let key = good.trusted();
    let trust = move |settings: &mut rootcast_node::Settings| settings.release_keys.push(key).unwrap();
    let mut mesh = Mesh::start_with(1, &ca, Vec::new(), trust).await;
    compare(&cases, &options, &mut mesh).await;
    mesh.stop().await;
}
