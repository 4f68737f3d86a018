//! How long things take in a world.

use crate::body::radio::{RadioPace, Span};

/// The pace of a world. The defaults are those of ESP32-C3 boards in a house.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldOptions {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Seconds since 1970 at the world's beginning.
    pub unix_s: u64,
    /// From the reset to the first instruction of the application.
    pub reset: Span,
    /// How fast the mesh forms.
    pub radio: RadioPace,
    /// From joining (for the root) until the broker has answered, or until its silence is noticed.
    pub mqtt: Span,
    /// How long a node is without power after a cut in one of its flash operations.
    pub power_off: Span,
    /// From the moment that software hangs until the watchdog bites.
    pub watchdog_ms: u32,
    /// From the application's start until it says how it is, where the core wants to know.
    pub application: Span,
    /// Until a connection stands, and until a server answers.
    pub server: Span,
    /// Bytes that a server sends a node in a millisecond.
    pub server_bytes_per_ms: u32,
    /// Bytes that arrive at once: a TCP segment.
    pub segment_bytes: u32,
    /// How long the flash is busy; `None` for not at all.
    pub flash: Option<FlashTiming>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            unix_s: 1_795_000_000,
            reset: (300, 700),
            radio: RadioPace::default(),
            mqtt: (50, 400),
            power_off: (100, 20_000),
            watchdog_ms: 8_000,
            application: (500, 1_500),
            server: (5, 60),
            server_bytes_per_ms: 200,
            segment_bytes: 1_436,
            flash: Some(FlashTiming::default()),
        }
    }
}

/// How long flash operations take (typical values of Winbond's W25Q32JV data sheet, table 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashTiming {
    /// Erasing a sector, in microseconds.
    pub erase_us: u32,
    /// Programming 256 bytes, in microseconds.
    pub program_page_us: u32,
    /// Reading 4,096 bytes, in microseconds.
    pub read_sector_us: u32,
}

impl Default for FlashTiming {
    fn default() -> Self {
        Self { erase_us: 45_000, program_page_us: 400, read_sector_us: 210 }
    }
}
