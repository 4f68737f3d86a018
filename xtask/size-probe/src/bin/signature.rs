//! The check of an image's signature: RSA-3072-PSS and ECDSA P-256.
#![no_std]
#![no_main]

use rootcast_trust::{KeyDigest, verify_image_signature};
use size_probe::{input, output};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let (mut digest, mut sector, mut key) = ([0; 32], [0; 4096], [0; 32]);
    loop {
        input(&mut digest);
        input(&mut sector);
        input(&mut key);
        output(u32::from(verify_image_signature(&digest, &sector, &[KeyDigest(key)]).is_ok()));
    }
}
