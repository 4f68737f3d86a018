//! The patch decoder, as a node has it: its state in static memory, pages to flash.
#![no_std]
#![no_main]

use rootcast_patch::{Decoder, OldImage, OldImageError};
use size_probe::{input, input_byte, input_word, output, output_bytes};

struct Flash;

impl OldImage for Flash {
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), OldImageError> {
        output(offset);
        input(bytes);
        if input_byte() == 0 { Ok(()) } else { Err(OldImageError) }
    }

    fn read_back(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), OldImageError> {
        self.read(offset, bytes)
    }
}

/// Where the decoder lives: static, so that the linker counts it.
static mut DECODER: Decoder = Decoder::IDLE;

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    // SAFETY: one thread, one reference.
    let decoder = unsafe { &mut *(&raw mut DECODER) };
    decoder.start([input_byte(); 32], input_word());
    let (mut piece, mut made) = ([0; 64], [0; 64]);
    loop {
        input(&mut piece);
        match decoder.decode(&piece, &mut Flash, &mut made, 0) {
            Ok(progress) => {
                output(progress.consumed as u32);
                output_bytes(made.get(..progress.produced).unwrap_or_default());
            }
            Err(_) => output(input_word()),
        }
        output(decoder.finish().is_ok().into());
    }
}
