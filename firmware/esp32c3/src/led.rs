//! The NeoPixel (WS2812) on GPIO 8, in the original's colours.

use esp_hal::Blocking;
use esp_hal::gpio::Level;
use esp_hal::peripherals::{GPIO8, RMT};
use esp_hal::rmt::{Channel, PulseCode, Rmt, Tx, TxChannelConfig, TxChannelCreator};
use esp_hal::time::Rate;
use rootcast_node::Colour;

/// Ticks of the RMT at 80 MHz: 0.4 and 0.85 µs (WS2812B data sheet, T0H, T0L, T1H, T1L).
const SHORT: u16 = 32;
const LONG: u16 = 68;
/// How bright: a light in a bedroom.
const LEVEL: u8 = 24;

/// The light.
pub struct Led(Option<Channel<'static, Blocking, Tx>>);

impl Led {
    /// A light that is dark.
    pub fn new(rmt: RMT<'static>, pin: GPIO8<'static>) -> Self {
        let channel = Rmt::new(rmt, Rate::from_mhz(80)).ok().and_then(|rmt| {
            let config = TxChannelConfig::default().with_clk_divider(1);
            Some(rmt.channel0.configure_tx(&config).ok()?.with_pin(pin))
        });
        Self(channel)
    }

    /// Shows a state.
    pub fn show(&mut self, colour: Colour) {
        let [red, green, blue] = match colour {
            Colour::Red => [LEVEL, 0, 0],
            Colour::Yellow => [LEVEL, LEVEL / 2, 0],
            Colour::Green => [0, LEVEL, 0],
            Colour::Blue => [0, 0, LEVEL],
        };
        let Some(channel) = self.0.take() else { return };
        let bits = u32::from(green) << 16 | u32::from(red) << 8 | u32::from(blue);
        let mut pulses = [PulseCode::end_marker(); 25];
        for (index, pulse) in pulses.iter_mut().take(24).enumerate() {
            let one = bits >> (23 - index) & 1 == 1;
            let (high, low) = if one { (LONG, SHORT) } else { (SHORT, LONG) };
            *pulse = PulseCode::new(Level::High, high, Level::Low, low);
        }
        self.0 = match channel.transmit(&pulses) {
            Ok(transaction) => match transaction.wait() {
                Ok(channel) | Err((_, channel)) => Some(channel),
            },
            Err((_, channel)) => Some(channel),
        };
    }
}
