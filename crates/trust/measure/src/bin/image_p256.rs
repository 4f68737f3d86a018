//! Verifies the signature sector of an image.
#![no_std]
#![no_main]

use rootcast_trust::{KeyDigest, verify_image_signature};

static SECTOR: &[u8] = include_bytes!("../../data/p256.sector");
static DIGEST: &[u8; 32] = include_bytes!("../../data/p256.digest");
static KEY: &[u8; 32] = include_bytes!("../../data/p256.key");

fn work() -> bool {
    verify_image_signature(DIGEST, SECTOR, &[KeyDigest(*KEY)]).is_ok()
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    rootcast_trust_measure::measure("image signature p256", work)
}
