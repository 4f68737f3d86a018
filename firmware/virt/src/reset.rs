//! Restarting.

use crate::retained;
use rootcast_node::ResetReason;

const TEST_DEVICE: *mut u32 = 0x0010_0000 as *mut u32;
const RESET: u32 = 0x7777;
const POWER_OFF: u32 = 0x5555;

/// Restarts the machine; the next start knows why.
pub fn restart(reason: ResetReason) -> ! {
    retained::set_reset_reason(reason);
    // SAFETY: the machine's test device; QEMU resets.
    unsafe { TEST_DEVICE.write_volatile(RESET) };
    loop {
        core::hint::spin_loop();
    }
}

/// Ends the emulation.
pub fn power_off() -> ! {
    // SAFETY: as above.
    unsafe { TEST_DEVICE.write_volatile(POWER_OFF) };
    loop {
        core::hint::spin_loop();
    }
}
