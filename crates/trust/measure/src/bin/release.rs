//! Verifies a release of two variants and decides about it.
#![no_std]
#![no_main]

use rootcast_image::{ChipId, ImageHash};
use rootcast_trust::release::{
    Action, ClassId, Node, Release, ReleasePolicy, TrustRecord, VendorId, accepted, decide,
};

static RELEASE: &[u8] = include_bytes!("../../data/release.suit");
static RECORD: &[u8] = include_bytes!("../../data/trust-record.cbor");

fn work() -> bool {
    let Ok(record) = TrustRecord::decode(RECORD) else { return false };
    let Ok(release) = Release::verify(RELEASE, &record) else { return false };
    let vendor = VendorId::of_domain("example.com");
    let node = Node {
        vendor,
        classes: &ClassId::of_node(vendor, ChipId::ESP32C3, "switch", None),
        chip_revision: 4,
        slot_size: 1408 * 1024,
        running: ImageHash([0; 32]),
        running_version: "2.4.0",
        clock: Some(1_782_870_000),
        release_url: "https://example.com/release.suit",
    };
    let installs = matches!(
        decide(&release, &node, ReleasePolicy::default(), &record),
        Ok(Action::Install { variant, .. }) if variant.uri == "switch.bin"
    );
    installs && accepted(&release, &record).sequence_number == 7
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    rootcast_trust_measure::measure("release", work)
}
