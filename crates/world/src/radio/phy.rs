//! Frames on the air: how long they take, and how well they arrive.

/// Bytes of ESP-NOW around its payload: MAC header 24, category 1, organisation 3, random 4, check sequence 4
/// (ESP-IDF programming guide, ESP-NOW, "Frame Format").
const FRAME_OVERHEAD_BYTES: usize = 36;
/// Bytes of the vendor-specific element that holds up to 250 bytes of payload; ESP-NOW v2 sends up to six.
const ELEMENT_OVERHEAD_BYTES: usize = 7;
const ELEMENT_BYTES: usize = 250;

/// Largest payload of ESP-NOW v1 (`ESP_NOW_MAX_DATA_LEN`).
pub const ESP_NOW_V1_BYTES: usize = 250;
/// Largest payload of ESP-NOW v2 (`ESP_NOW_MAX_DATA_LEN_V2`).
pub const ESP_NOW_V2_BYTES: usize = 1470;

/// Bytes of an acknowledgement (IEEE 802.11-2020 §9.3.1.4).
const ACK_BYTES: usize = 14;

/// A rate of the radio. ESP-NOW uses 1 Mbit/s unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Rate {
    /// 1 Mbit/s, DSSS with the long preamble.
    #[default]
    Mbit1,
    /// 6 Mbit/s, OFDM.
    Mbit6,
    /// 12 Mbit/s, OFDM.
    Mbit12,
    /// 24 Mbit/s, OFDM.
    Mbit24,
}

impl Rate {
    /// The rate of so many Mbit/s.
    #[must_use]
    pub const fn from_mbit(mbit: u32) -> Option<Self> {
        Some(match mbit {
            1 => Self::Mbit1,
            6 => Self::Mbit6,
            12 => Self::Mbit12,
            24 => Self::Mbit24,
            _ => return None,
        })
    }

    /// In Mbit/s.
    #[must_use]
    pub const fn mbit(self) -> u32 {
        match self {
            Self::Mbit1 => 1,
            Self::Mbit6 => 6,
            Self::Mbit12 => 12,
            Self::Mbit24 => 24,
        }
    }

    /// Airtime of so many bytes of MAC frame, in microseconds, with preamble and signal extension (IEEE 802.11-2020
    /// §15.2 for DSSS, §17.4.3 and §18.3.2.4 for OFDM at 2.4 GHz).
    const fn bytes_us(self, bytes: usize) -> u64 {
        match self {
            Self::Mbit1 => 192 + 8 * bytes as u64,
            _ => {
                let bits_per_symbol = 4 * self.mbit() as u64;
                let symbols = (16 + 6 + 8 * bytes as u64).div_ceil(bits_per_symbol);
                20 + 4 * symbols + 6
            }
        }
    }

    /// Airtime of an ESP-NOW frame with this payload, in microseconds.
    #[must_use]
    pub const fn esp_now_us(self, payload: usize) -> u64 {
        let elements = if payload == 0 { 1 } else { payload.div_ceil(ELEMENT_BYTES) };
        self.bytes_us(FRAME_OVERHEAD_BYTES + elements * ELEMENT_OVERHEAD_BYTES + payload)
    }

    /// Airtime of an ordinary Wi-Fi data frame (QoS, CCMP, LLC/SNAP: 26 + 16 + 8 + 4 bytes) with this payload.
    #[must_use]
    pub const fn wifi_us(self, payload: usize) -> u64 {
        self.bytes_us(54 + payload)
    }

    /// The pause before an acknowledgement, and the acknowledgement.
    #[must_use]
    pub const fn ack_us(self) -> u64 {
        10 + match self {
            Self::Mbit1 => Self::Mbit1.bytes_us(ACK_BYTES),
            _ => Self::Mbit6.bytes_us(ACK_BYTES),
        }
    }

    /// A slot of the backoff, in microseconds.
    #[must_use]
    pub const fn slot_us(self) -> u64 {
        match self {
            Self::Mbit1 => 20,
            _ => 9,
        }
    }

    /// Idle time before the backoff begins (DIFS), in microseconds.
    #[must_use]
    pub const fn difs_us(self) -> u64 {
        10 + 2 * self.slot_us()
    }

    /// Slots of the first backoff are drawn from 0 to this.
    #[must_use]
    pub const fn contention_window(self) -> u64 {
        match self {
            Self::Mbit1 => 31,
            _ => 15,
        }
    }

    /// The mean time that a lone sender's frame waits for the channel, in microseconds.
    #[must_use]
    pub const fn access_us(self) -> u64 {
        self.difs_us() + self.slot_us() * self.contention_window() / 2
    }

    /// Signal at which a frame of 250 bytes is lost one time in ten, in dBm (ESP32-C3 datasheet, receiver sensitivity).
    const fn sensitivity_dbm(self) -> f64 {
        match self {
            Self::Mbit1 => -98.0,
            Self::Mbit6 => -93.0,
            Self::Mbit12 => -91.0,
            Self::Mbit24 => -86.0,
        }
    }

    /// How much stronger than interference a signal has to be for the same.
    const fn capture_db(self) -> f64 {
        match self {
            Self::Mbit1 => 4.0,
            Self::Mbit6 => 5.0,
            Self::Mbit12 => 8.0,
            Self::Mbit24 => 14.0,
        }
    }

    /// The signal below which a receiver does not notice a frame at all, in dBm.
    #[must_use]
    pub fn notice_dbm(self) -> f64 {
        self.sensitivity_dbm() - 4.0
    }

    /// The signal above which a carrier keeps others from sending, in dBm: chips notice a preamble about as far as they can
    /// receive its slowest part.
    #[must_use]
    pub const fn carrier_dbm(self) -> f64 {
        match self {
            Self::Mbit1 => -96.0,
            _ => -92.0,
        }
    }

    /// The probability that a frame of `payload` bytes is lost at this signal, with this interference (in milliwatts)
    /// at its worst.
    ///
    /// A logistic curve in decibels: steepness 1 per dB stands for the fall of the modulation's own curve, blurred by
    /// fading from frame to frame. Longer frames fail more often, as many independent parts would.
    #[must_use]
    pub fn loss(self, signal_dbm: f64, interference_mw: f64, payload: usize) -> f64 {
        let noise_mw = milliwatts(self.sensitivity_dbm() - self.capture_db());
        let ratio_db = signal_dbm - decibels(noise_mw + interference_mw);
        let margin = ratio_db - self.capture_db();
        let lost = 1.0 / (1.0 + 9.0 * margin.exp());
        let parts = (payload + FRAME_OVERHEAD_BYTES) as f64 / (250 + FRAME_OVERHEAD_BYTES) as f64;
        1.0 - (1.0 - lost).powf(parts)
    }
}

/// dBm to milliwatts.
#[must_use]
pub fn milliwatts(dbm: f64) -> f64 {
    10f64.powf(dbm / 10.0)
}

/// Milliwatts to dBm.
#[must_use]
pub fn decibels(mw: f64) -> f64 {
    10.0 * mw.log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_takes_as_long_as_the_standard_says() {
        // 192 µs preamble and header, then (36 + 7 + 250) bytes at 8 µs each.
        assert_eq!(Rate::Mbit1.esp_now_us(250), 192 + 293 * 8);
        // 20 µs preamble, ceil((16 + 6 + 293 * 8) / 96) symbols of 4 µs, 6 µs extension.
        assert_eq!(Rate::Mbit24.esp_now_us(250), 20 + 25 * 4 + 6);
        assert_eq!(Rate::Mbit1.esp_now_us(1470), 192 + (36 + 42 + 1470) * 8, "six elements");
        assert_eq!(Rate::Mbit1.access_us(), 50 + 310);
    }

    #[test]
    fn loss_is_one_in_ten_at_the_sensitivity_and_falls_steeply() {
        for rate in [Rate::Mbit1, Rate::Mbit6, Rate::Mbit12, Rate::Mbit24] {
            let at = |margin: f64| rate.loss(rate.sensitivity_dbm() + margin, 0.0, 250);
            assert!((at(0.0) - 0.1).abs() < 0.01, "{rate:?}");
            assert!(at(5.0) < 0.001 && at(-5.0) > 0.9, "{rate:?}");
            let equal = rate.loss(-60.0, milliwatts(-60.0), 250);
            assert!(equal > 0.8, "two equal frames spoil each other: {equal}");
            let captured = rate.loss(-60.0, milliwatts(-85.0), 250);
            assert!(captured < 0.01, "a far stronger one comes through: {captured}");
        }
    }
}
