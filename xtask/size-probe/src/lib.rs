//! What the probes share: an outside world that the compiler knows nothing about, and an end for panics.
//!
//! Every input is read from a peripheral's address and every result is written to one, so that nothing can be
//! computed at build time or left out. The programs are linked without a chip's start-up code: what is measured
//! is the core alone.
#![no_std]

use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};

/// An address where a peripheral could be.
const PORT: usize = 0x6000_0000;

/// A byte from outside.
pub fn input_byte() -> u8 {
    // SAFETY: never run; a volatile access is what the compiler must not see through.
    unsafe { read_volatile(PORT as *const u8) }
}

/// A word from outside.
pub fn input_word() -> u32 {
    // SAFETY: as above.
    unsafe { read_volatile(PORT as *const u32) }
}

/// Fills a buffer from outside.
pub fn input(buffer: &mut [u8]) {
    buffer.fill_with(input_byte);
}

/// Hands a word outside.
pub fn output(word: u32) {
    // SAFETY: as above.
    unsafe { write_volatile(PORT as *mut u32, word) }
}

/// Hands bytes outside.
pub fn output_bytes(bytes: &[u8]) {
    bytes.iter().for_each(|byte| output(u32::from(*byte)));
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        output(u32::MAX);
    }
}
