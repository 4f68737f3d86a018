//! The end of a program that cannot go on: said in the log, noted for the next start, and a reset.

use esp_hal::ram;

const NOTE: u32 = 0x5041_4E43;

/// Lives in RTC memory, which a reset leaves alone; after a power failure it holds anything but the note.
#[ram(unstable(rtc_fast, persistent))]
static mut PANICKED: u32 = 0;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    esp_println::println!("\n{info}");
    // SAFETY: nothing else runs any more.
    unsafe { (&raw mut PANICKED).write_volatile(NOTE) };
    esp_hal::system::software_reset()
}

/// Whether the last start ended in a panic; forgotten once asked. To be called once, before anything else runs.
pub fn take_note() -> bool {
    // SAFETY: one core, called before there is a second task.
    unsafe {
        let noted = (&raw const PANICKED).read_volatile() == NOTE;
        (&raw mut PANICKED).write_volatile(0);
        noted
    }
}
