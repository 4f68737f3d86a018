//! The streaming image verifier.
#![no_std]
#![no_main]

use rootcast_image::ImageVerifier;
use size_probe::{input, input_byte, output};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        let mut verifier = ImageVerifier::new();
        let mut piece = [0; 256];
        while input_byte() != 0 {
            input(&mut piece);
            if verifier.push(&piece).is_err() {
                output(1);
            }
        }
        match verifier.finish() {
            Ok(image) => output(image.image_len),
            Err(_) => output(0),
        }
    }
}
