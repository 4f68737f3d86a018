//! Verifies a chain of leaf, intermediate and root.
#![no_std]
#![no_main]

use rootcast_trust::algorithms;
use rootcast_trust::certificate::{CertificateDer, trust_anchor, verify_server_chain};

static ROOT: &[u8] = include_bytes!("../../data/chain-rsa-root.der");
static INTERMEDIATE: &[u8] = include_bytes!("../../data/chain-rsa-intermediate.der");
static LEAF: &[u8] = include_bytes!("../../data/chain-rsa-leaf.der");

fn work() -> bool {
    let root = CertificateDer::from_slice(ROOT);
    let Ok(anchor) = trust_anchor(&root) else { return false };
    verify_server_chain(LEAF, &[INTERMEDIATE], &[anchor], "firmware.example", 1_782_864_000, algorithms::ALL).is_ok()
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    rootcast_trust_measure::measure("chain rsa", work)
}
