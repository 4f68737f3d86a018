//! The end of a program that cannot go on: said in the log, noted for the next start, and a reset.

use esp_hal::ram;

const NOTE: u32 = 0x5041_4E43;

/// Lives in RTC memory, which a reset leaves alone; after a power failure it holds anything but the note.
#[ram(unstable(rtc_fast, persistent))]
static mut PANICKED: u32 = 0;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    esp_println::println!("\n{info}");
    end()
}

/// An exception of the processor. Where panics are built without texts (`build-chip.sh`), they come here too, and the
/// address says which it was: `llvm-addr2line -e rootcast-esp32c3 ADDRESS`.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn on_exception() -> ! {
    let (cause, at, value): (u32, u32, u32);
    // SAFETY: reads three registers that every trap sets.
    unsafe {
        core::arch::asm!("csrr {0}, mcause", "csrr {1}, mepc", "csrr {2}, mtval", out(reg) cause, out(reg) at, out(reg) value);
    }
    esp_println::println!("\nexception {cause:#x} at {at:#010x}, value {value:#010x}");
    end()
}

fn end() -> ! {
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
