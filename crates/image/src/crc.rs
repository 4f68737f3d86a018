//! ESP-IDF's two CRC-32 conventions, which are easy to mistake for each other.
//!
//! The ROM's `esp_rom_crc32_le(seed, …)` inverts its register before and after. So a *seed* of 0 is the ordinary
//! CRC-32, and a *seed* of `0xFFFFFFFF` is the same polynomial with an initial register of 0:
//!
//! | function here | ROM call | Python | used for |
//! |---|---|---|---|
//! | [`crc32`] | `esp_rom_crc32_le(0, …)` | `zlib.crc32(b)` | signature blocks |
//! | [`crc32_seed_ones`] | `esp_rom_crc32_le(UINT32_MAX, …)` | `zlib.crc32(b, 0xFFFFFFFF)` | otadata, NVS |

/// The reflected polynomial 0x04C11DB7 (CRC-32/ISO-HDLC).
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// CRC-32/ISO-HDLC, as `esp_rom_crc32_le(0, …)`: signature blocks (`rom/secure_boot.h`).
pub const fn crc32(bytes: &[u8]) -> u32 {
    continue_from(u32::MAX, bytes)
}

/// The variant with an initial register of 0, as `esp_rom_crc32_le(UINT32_MAX, …)`: otadata
/// (`bootloader_common_loader.c`) and NVS (`nvs_page.cpp`).
pub const fn crc32_seed_ones(bytes: &[u8]) -> u32 {
    continue_from(0, bytes)
}

/// Bit by bit: the inputs are 4 to 1,200 bytes, a table would cost the device a kilobyte of flash.
const fn continue_from(mut register: u32, bytes: &[u8]) -> u32 {
    let mut at = 0;
    while at < bytes.len() {
        register ^= bytes[at] as u32;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ (POLYNOMIAL & (register & 1).wrapping_neg());
            bit += 1;
        }
        at += 1;
    }
    !register
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conventions_give_their_published_check_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32_seed_ones(b"123456789"), 0xD202_D277);
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32_seed_ones(b""), 0xFFFF_FFFF);
    }
}
