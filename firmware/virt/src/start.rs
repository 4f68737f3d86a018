//! The first instructions, and the last ones of a crash.

use crate::reset;
use crate::uart::Uart;
use core::fmt::Write;
use rootcast_node::ResetReason;

// Stack pointer, cleared memory, a trap handler, then `main` with what the loader passed in a0.
core::arch::global_asm!(
    ".section .text.start, \"ax\"",
    ".global _start",
    "_start:",
    "  la sp, __stack_top",
    "  la t0, __bss_start",
    "  la t1, __bss_end",
    "1: bgeu t0, t1, 2f",
    "  sw zero, 0(t0)",
    "  addi t0, t0, 4",
    "  j 1b",
    "2: la t0, __stack_bottom",
    "  li t1, 0x5AA55AA5",
    "  addi t2, sp, -64",
    "3: bgeu t0, t2, 4f",
    "  sw t1, 0(t0)",
    "  addi t0, t0, 4",
    "  j 3b",
    "4: la t0, _trap",
    "  csrw mtvec, t0",
    "  call rust_main",
    "5: j 5b",
    ".align 4",
    "_trap:",
    // Nothing returns from a trap. The upper half of the stack serves, whatever state it is in.
    "  la sp, __stack_top",
    "  csrr a0, mcause",
    "  csrr a1, mepc",
    "  csrr a2, mtval",
    "  call rust_trap",
);

const TIMER: usize = 0x8000_0007;

#[unsafe(no_mangle)]
extern "C" fn rust_trap(cause: usize, at: usize, value: usize) -> ! {
    if cause == TIMER {
        let _ = writeln!(Uart, "\nwatchdog: the loop hangs at {at:#010x}");
        reset::restart(ResetReason::Watchdog);
    }
    let _ = writeln!(Uart, "\nexception {cause:#x} at {at:#010x}, value {value:#010x}");
    reset::restart(ResetReason::Panic);
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Uart, "\n{info}");
    reset::restart(ResetReason::Panic);
}

unsafe extern "C" {
    static __stack_bottom: u32;
    static __stack_top: u32;
    static __heap_start: u8;
    static __heap_end: u8;
}

/// The most stack that was ever used, and how much there is, in bytes.
pub fn stack_use() -> (usize, usize) {
    let (bottom, top) = (&raw const __stack_bottom, &raw const __stack_top);
    let mut at = bottom;
    // SAFETY: the words between the two symbols are the stack, painted by the first instructions.
    unsafe {
        while at < top && at.read_volatile() == 0x5AA5_5AA5 {
            at = at.add(1);
        }
    }
    (top as usize - at as usize, top as usize - bottom as usize)
}

/// Where the heap is, and its bytes.
pub fn heap_range() -> (usize, usize) {
    let (start, end) = (&raw const __heap_start as usize, &raw const __heap_end as usize);
    (start, end - start)
}

struct OneHart;
critical_section::set_impl!(OneHart);

// SAFETY: one hart; the only interrupt never returns.
unsafe impl critical_section::Impl for OneHart {
    unsafe fn acquire() -> bool {
        false
    }

    unsafe fn release(_: bool) {}
}
