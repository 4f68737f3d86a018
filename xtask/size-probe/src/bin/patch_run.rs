//! Applies a patch on QEMU's riscv32 `virt` machine and says what it took: `cargo xtask bench delta` runs it.
//!
//! QEMU, told to count (`-icount shift=0`), retires one instruction a tick, so that `minstret` is exact. The old
//! image and the patch stand in memory where the loader put them:
//!
//! | address | what |
//! |---|---|
//! | 0x8000_0000 | this program, its variables, its stack |
//! | 0x8100_0000 | length of the old image, length of the patch (words), the old image, the patch |
//! | 0x8400_0000 | the slot that the new image is written to |
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::slice;

use rootcast_patch::{Decoder, OldImage, OldImageError, PatchError, PatchHeader};
// Its panic handler: a loop, which the caller's patience ends.
use size_probe as _;

const GIVEN: *const u8 = 0x8100_0000 as *const u8;
const SLOT: *mut u8 = 0x8400_0000 as *mut u8;
const SLOT_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 4096;
/// What arrives at a time: a TLS record's part.
const PIECE_BYTES: usize = 1024;
/// The machine's serial line and its switch (QEMU `hw/riscv/virt.c`; value 0x5555 is a clean end).
const UART: *mut u8 = 0x1000_0000 as *mut u8;
const SWITCH: *mut u32 = 0x0010_0000 as *mut u32;
/// What the stack is painted with, so that the deepest use shows.
const PAINT: u32 = 0x5AFE_57AC;

global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    "la sp, stack_end",
    "la t0, stack_start",
    "li t1, 0x5AFE57AC",
    "1: sw t1, 0(t0)",
    "addi t0, t0, 4",
    "bltu t0, sp, 1b",
    "call run",
    "2: j 2b",
);

unsafe extern "C" {
    static stack_start: u32;
    static stack_end: u32;
}

static mut DECODER: Decoder = Decoder::IDLE;
static mut PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

struct Images {
    old: &'static [u8],
    written: usize,
}

impl OldImage for Images {
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), OldImageError> {
        self.old.read(offset, bytes)
    }

    fn read_back(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), OldImageError> {
        // SAFETY: the slot is ours, and what was written to it is not written again.
        let mut made = unsafe { slice::from_raw_parts(SLOT, self.written) };
        made.read(offset, bytes)
    }
}

#[unsafe(no_mangle)]
extern "C" fn run() -> ! {
    // SAFETY: the caller's loader has put lengths and bytes there.
    let (old, patch) = unsafe {
        let lengths = GIVEN.cast::<u32>();
        let (old, patch) = (lengths.read() as usize, lengths.add(1).read() as usize);
        (slice::from_raw_parts(GIVEN.add(8), old), slice::from_raw_parts(GIVEN.add(8 + old), patch))
    };
    let before = instructions();
    let result = apply(old, patch);
    let spent = instructions() - before;
    say("instructions ", spent);
    say("stack_bytes ", stack_used());
    say("decoder_bytes ", size_of::<Decoder>() as u64);
    match result {
        Ok(length) => say("made_bytes ", length as u64),
        Err(_) => print("failed 1\n"),
    }
    // SAFETY: the machine's switch.
    unsafe { SWITCH.write_volatile(0x5555) };
    loop {}
}

/// As a node does it: pieces of the patch in, pages of the image out.
fn apply(old: &'static [u8], mut patch: &[u8]) -> Result<usize, PatchError> {
    let header = PatchHeader::parse(patch)?;
    let mut base = [0; 32];
    base[..8].copy_from_slice(&header.base);
    // SAFETY: one thread, called once.
    let (decoder, page) = unsafe { (&mut *(&raw mut DECODER), &mut *(&raw mut PAGE)) };
    decoder.start(base, SLOT_BYTES as u32);
    let mut images = Images { old, written: 0 };
    let mut filled = 0;
    loop {
        let piece = patch.get(..PIECE_BYTES).unwrap_or(patch);
        let progress = decoder.decode(piece, &mut images, page, filled)?;
        patch = patch.get(progress.consumed..).unwrap_or_default();
        filled += progress.produced;
        if filled == PAGE_BYTES || progress.done {
            // SAFETY: the decoder makes no more than the slot holds.
            unsafe { SLOT.add(images.written).copy_from_nonoverlapping(page.as_ptr(), filled) };
            images.written += filled;
            filled = 0;
        }
        if progress.done {
            return Ok(images.written);
        }
        if progress.consumed == 0 && progress.produced == 0 {
            return Err(PatchError::Truncated);
        }
    }
}

fn instructions() -> u64 {
    let (mut high, mut low, mut again): (u32, u32, u32);
    loop {
        // SAFETY: counters are read, nothing else.
        unsafe {
            asm!("csrr {0}, minstreth", "csrr {1}, minstret", "csrr {2}, minstreth", out(reg) high, out(reg) low, out(reg) again);
        }
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Bytes of the stack that were written to.
fn stack_used() -> u64 {
    // SAFETY: the stack's own memory, below its use by now.
    unsafe {
        let (start, end) = (&raw const stack_start, &raw const stack_end);
        let words = end.offset_from(start) as usize;
        let untouched = (0..words).take_while(|at| start.add(*at).read_volatile() == PAINT).count();
        ((words - untouched) * 4) as u64
    }
}

fn say(name: &str, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    print(name);
    digits[at..].iter().for_each(|digit| put(*digit));
    put(b'\n');
}

fn print(text: &str) {
    text.bytes().for_each(put);
}

fn put(byte: u8) {
    // SAFETY: the serial line's transmit register; QEMU takes every byte at once.
    unsafe { UART.write_volatile(byte) };
}
