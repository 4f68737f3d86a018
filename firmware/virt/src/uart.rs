//! The log: an NS16550 at 0x1000_0000.

use core::fmt::{self, Write};
use log::{LevelFilter, Log, Metadata, Record};

const UART: *mut u8 = 0x1000_0000 as *mut u8;

/// Writes to the serial line.
pub struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the transmit register of the machine's UART; QEMU takes every byte at once.
            unsafe { UART.write_volatile(byte) };
        }
        Ok(())
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // embedded-tls names each state it passes.
        !metadata.target().starts_with("embedded_tls") && !metadata.target().starts_with("virtio")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let ms = crate::clock::now_ms();
            let level = record.level().as_str().get(..1).unwrap_or("");
            let _ = writeln!(Uart, "{level} {:>5}.{:03} {}", ms / 1000, ms % 1000, record.args());
        }
    }

    fn flush(&self) {}
}

/// Sends the log to the serial line.
pub fn start_log() {
    // SAFETY: one hart, called once at the start, before anything logs.
    unsafe {
        let _ = log::set_logger_racy(&Logger);
        log::set_max_level_racy(LevelFilter::Info);
    }
}
