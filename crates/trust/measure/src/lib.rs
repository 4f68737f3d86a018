//! The board: start, serial line, exit, and how deep the stack went.
#![no_std]

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::ptr;

global_asm!(
    ".section .text.start",
    ".globl _start",
    "_start:",
    "la sp, _stack_top",
    "la t0, _bss_start",
    "la t1, _bss_end",
    "1: bgeu t0, t1, 2f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 1b",
    "2: call main",
    "3: j 3b",
);

const UART: *mut u8 = 0x1000_0000 as *mut u8;
const TEST_DEVICE: *mut u32 = 0x10_0000 as *mut u32;
const PAINT: u32 = 0xA5A5_5A5A;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            unsafe { ptr::write_volatile(UART, byte) };
        }
        Ok(())
    }
}

fn exit(code: u32) -> ! {
    unsafe { ptr::write_volatile(TEST_DEVICE, if code == 0 { 0x5555 } else { code << 16 | 0x3333 }) };
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    let _ = Serial.write_str("panic\n");
    exit(2)
}

unsafe extern "C" {
    static mut _stack_bottom: u32;
    static _stack_top: u32;
}

fn instructions() -> u64 {
    let (high, low, again): (u32, u32, u32);
    unsafe { asm!("rdinstreth {0}", "rdinstret {1}", "rdinstreth {2}", out(reg) high, out(reg) low, out(reg) again) };
    if high == again { u64::from(high) << 32 | u64::from(low) } else { instructions() }
}

/// Runs `work` on a painted stack and prints what it took. `work` says whether it came out as it should.
pub fn measure(name: &str, work: fn() -> bool) -> ! {
    let here: u32;
    unsafe { asm!("mv {0}, sp", out(reg) here) };
    let bottom = &raw mut _stack_bottom;
    // Leave room for this function's own calls.
    let words = (here as usize - bottom as usize) / 4 - 64;
    for word in 0..words {
        unsafe { ptr::write_volatile(bottom.add(word), PAINT) };
    }
    let before = instructions();
    let right = work();
    let took = instructions() - before;
    let untouched = (0..words).take_while(|&word| unsafe { ptr::read_volatile(bottom.add(word)) } == PAINT).count();
    let stack = here as usize - bottom as usize - untouched * 4;
    let _ = writeln!(Serial, "{name}: {} stack {stack} bytes, {took} instructions", if right { "right," } else { "WRONG," });
    exit(u32::from(!right))
}
