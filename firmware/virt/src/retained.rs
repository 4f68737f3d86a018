//! A few words of RAM that no program is loaded to: they survive a reset, as a chip's RTC memory does, and are zero
//! after the emulator was killed.

use rootcast_node::ResetReason;

const WORDS: *mut u32 = 0x800F_0000 as *mut u32;
/// "RCvt": the reason below it was noted by us.
const MAGIC: u32 = 0x7476_4352;

/// Notes why the machine is about to reset.
pub fn set_reset_reason(reason: ResetReason) {
    let number = match reason {
        ResetReason::PowerOn => 0,
        ResetReason::Software => 1,
        ResetReason::Panic => 2,
        ResetReason::Watchdog => 3,
    };
    // SAFETY: RAM between the two programs that neither uses.
    unsafe {
        WORDS.write_volatile(MAGIC);
        WORDS.add(1).write_volatile(number);
    }
}

/// Why the machine started; forgotten once read.
pub fn take_reset_reason() -> ResetReason {
    // SAFETY: as above.
    let (magic, number) = unsafe { (WORDS.read_volatile(), WORDS.add(1).read_volatile()) };
    // SAFETY: as above.
    unsafe { WORDS.write_volatile(0) };
    match number {
        1 if magic == MAGIC => ResetReason::Software,
        2 if magic == MAGIC => ResetReason::Panic,
        3 if magic == MAGIC => ResetReason::Watchdog,
        _ => ResetReason::PowerOn,
    }
}
