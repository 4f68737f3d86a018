//! Time by the CLINT, which is the watchdog's clock as well, and the day by the goldfish RTC.

/// Ticks of `mtime` in a millisecond: the machine counts at 10 MHz.
const TICKS_PER_MS: u64 = 10_000;
const MTIME: *const u32 = 0x0200_BFF8 as *const u32;
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;
const RTC: *const u32 = 0x0010_1000 as *const u32;
/// A loop that has not come round for so long hangs. Time goes on while the host does something else, and the check of a
/// signature takes a while: an emulator on a busy machine needs more than a chip.
const WATCHDOG_MS: u64 = 20_000;
const TIMER_INTERRUPT: usize = 1 << 7;
const INTERRUPTS_ON: usize = 1 << 3;

fn ticks() -> u64 {
    loop {
        // SAFETY: reading a counter has no effect.
        let (high, low, again) =
            unsafe { (MTIME.add(1).read_volatile(), MTIME.read_volatile(), MTIME.add(1).read_volatile()) };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

fn set_alarm(ticks: u64) {
    // SAFETY: the compare register of this hart; set high first, so that no half-set value is in the past.
    unsafe {
        MTIMECMP.add(1).write_volatile(u32::MAX);
        MTIMECMP.write_volatile(ticks as u32);
        MTIMECMP.add(1).write_volatile((ticks >> 32) as u32);
    }
}

/// Milliseconds since the emulator started.
pub fn now_ms() -> u64 {
    ticks() / TICKS_PER_MS
}

/// Seconds since 1970, by the machine's clock.
pub fn unix_s() -> u64 {
    // SAFETY: reading the low word latches the high one (goldfish RTC).
    let (low, high) = unsafe { (RTC.read_volatile(), RTC.add(1).read_volatile()) };
    (u64::from(high) << 32 | u64::from(low)) / 1_000_000_000
}

/// Starts or feeds the watchdog. When it bites, the machine resets ([`crate::start`]).
pub fn feed_watchdog() {
    set_alarm(ticks() + WATCHDOG_MS * TICKS_PER_MS);
    // SAFETY: enables the timer's interrupt, whose handler resets and never returns.
    unsafe {
        core::arch::asm!("csrs mie, {0}", in(reg) TIMER_INTERRUPT);
        core::arch::asm!("csrs mstatus, {0}", in(reg) INTERRUPTS_ON);
    }
}

/// Sleeps until the moment. The watchdog watches again afterwards.
pub fn sleep_until(moment_ms: u64) {
    // SAFETY: with interrupts off, `wfi` wakes up by a pending timer without entering the handler.
    unsafe {
        core::arch::asm!("csrc mstatus, {0}", in(reg) INTERRUPTS_ON);
        set_alarm(moment_ms * TICKS_PER_MS);
        core::arch::asm!("wfi");
    }
    feed_watchdog();
}
