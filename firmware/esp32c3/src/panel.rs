//! The application: seven buttons, as on the original's switch board (GPIO 0, 1, 3, 4, 5, 6, 7, to ground), and on a
//! relay four outputs (GPIO 10, 2, 18, 19; active high). It goes on during an update.
//!
//! A press tells the root a letter, `a` to `g`; the root publishes it as the original does. A relay also switches its own
//! outputs by its own buttons, root or no root, and obeys `a1`, `a0` and `S` (say your states).

use esp_hal::gpio::{AnyPin, Input, InputConfig, Level, Output, OutputConfig, Pull};
use rootcast_body::board::{ApplicationFrame, Exchange};

/// A contact that bounces is heard once, in milliseconds.
const BOUNCE_MS: u64 = 30;

struct Button {
    pin: Input<'static>,
    is_down: bool,
    changed_ms: u64,
}

/// Buttons and outputs.
pub struct Panel {
    buttons: [Button; 7],
    outputs: Option<[Output<'static>; 4]>,
}

impl Panel {
    /// A panel at these pins; outputs only on a relay.
    pub fn new(is_relay: bool, buttons: [AnyPin<'static>; 7], outputs: [AnyPin<'static>; 4]) -> Self {
        let button = |pin| {
            let pin = Input::new(pin, InputConfig::default().with_pull(Pull::Up));
            Button { pin, is_down: false, changed_ms: 0 }
        };
        let output = |pin| Output::new(pin, Level::Low, OutputConfig::default());
        Self { buttons: buttons.map(button), outputs: is_relay.then(|| outputs.map(output)) }
    }

    /// One round.
    pub fn run(&mut self, exchange: &mut Exchange<'_>, now_ms: u64) {
        for index in 0..self.buttons.len() {
            let Some(button) = self.buttons.get_mut(index) else { continue };
            let is_down = button.pin.is_low();
            if is_down == button.is_down || now_ms.saturating_sub(button.changed_ms) < BOUNCE_MS {
                continue;
            }
            button.is_down = is_down;
            button.changed_ms = now_ms;
            if is_down {
                let letter = b'a' + index as u8;
                log::info!(
                    "button {}{}",
                    letter as char,
                    if exchange.is_updating { ", during an update" } else { "" }
                );
                say(exchange, &[b'B', letter]);
                let switched =
                    self.outputs.as_mut().and_then(|outputs| outputs.get_mut(index)).map(Output::toggle);
                if switched.is_some() {
                    self.tell(index, exchange);
                }
            }
        }
        while let Some(frame) = exchange.receive() {
            match frame.bytes.as_slice() {
                [b'C', b'S', ..] => (0..4).for_each(|index| self.tell(index, exchange)),
                [b'C', letter @ b'a'..=b'd', state @ (b'0' | b'1'), ..] => {
                    let index = usize::from(letter - b'a');
                    let level = if *state == b'1' { Level::High } else { Level::Low };
                    if let Some(output) = self.outputs.as_mut().and_then(|outputs| outputs.get_mut(index)) {
                        output.set_level(level);
                        self.tell(index, exchange);
                    }
                }
                _ => {}
            }
        }
    }

    /// Tells the root how an output stands: `A1`, as the original says it.
    fn tell(&self, index: usize, exchange: &mut Exchange<'_>) {
        if let Some(output) = self.outputs.as_ref().and_then(|outputs| outputs.get(index)) {
            let state = if output.is_set_high() { b'1' } else { b'0' };
            say(exchange, &[b'R', b'A' + index as u8, state]);
        }
    }
}

fn say(exchange: &mut Exchange<'_>, bytes: &[u8]) {
    if let Ok(bytes) = heapless::Vec::from_slice(bytes) {
        // A press that finds eight others waiting is lost, as on any congested mesh.
        let _ = exchange.send(ApplicationFrame { node: None, bytes });
    }
}
