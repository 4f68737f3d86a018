//! The end of a program that cannot go on: said in the log, noted for the next start, and a reset.

use core::sync::atomic::{AtomicU32, Ordering};
use esp_hal::ram;

const NOTE: u32 = 0x5041_4E43;

/// Lives in RTC memory, which a reset leaves alone.
#[ram(unstable(rtc_fast, persistent))]
static PANICKED: AtomicU32 = AtomicU32::new(0);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    esp_println::println!("\n{info}");
    PANICKED.store(NOTE, Ordering::Relaxed);
    esp_hal::system::software_reset()
}

/// Whether the last start ended in a panic; forgotten once asked.
pub fn take_note() -> bool {
    let noted = PANICKED.load(Ordering::Relaxed) == NOTE;
    PANICKED.store(0, Ordering::Relaxed);
    noted
}
