//! What a body lends to the core: flash, settings, randomness.

use embedded_storage::nor_flash::NorFlash;

/// The hardware that the core works on, lent for the length of one call.
///
/// Flash addresses count from the chip's first byte. Reads and writes are made in multiples of four
/// bytes at multiples of four, erases in sectors of 4,096 bytes; programming clears bits only, and
/// the core programs the same word again to clear more of its bits, as NVS does. Flash encryption
/// forbids that: see `docs/` of the project for what then is not available.
pub trait Platform {
    /// The flash chip.
    type Flash: NorFlash;

    /// The flash chip that holds partition table, otadata and slots.
    fn flash(&mut self) -> &mut Self::Flash;

    /// A random number; jitter and ids are drawn from it, no secret is.
    fn random(&mut self) -> u32;

    /// Reads a blob of the NVS namespace `rootcast`; `None` when it is absent, unreadable or longer than `into`.
    fn load(&mut self, key: SettingKey, into: &mut [u8]) -> Option<usize>;

    /// Stores a blob in the NVS namespace `rootcast`.
    ///
    /// # Errors
    /// [`SettingLost`] when it could not be stored.
    fn store(&mut self, key: SettingKey, value: &[u8]) -> Result<(), SettingLost>;
}

/// A setting could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingLost;

/// The blobs that the core itself keeps in the NVS namespace `rootcast`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKey {
    /// Images that failed their trial on this node.
    BadImages,
    /// Trusted keys and the newest release accepted (`rootcast_trust::release::TrustRecord`).
    Trust,
    /// The cast that a root has taken on and that has no journal yet, at most 2,821 bytes.
    Cast,
}

impl SettingKey {
    /// The key's name in NVS, at most 15 characters (ESP-IDF nvs.h, `NVS_KEY_NAME_MAX_SIZE` less the NUL).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadImages => "bad_images",
            Self::Trust => "trust_record",
            Self::Cast => "cast",
        }
    }
}

/// Why the chip started, as far as it matters for judging an image on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResetReason {
    /// Power came (back), or fell too low: says nothing about the image.
    #[default]
    PowerOn,
    /// The software asked for it.
    Software,
    /// A panic or an exception.
    Panic,
    /// A watchdog bit.
    Watchdog,
}
