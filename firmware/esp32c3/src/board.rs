//! The chip as the body wants it.

use crate::flash::Flash;
use crate::led::Led;
use crate::panel::Panel;
use crate::radio::{Radio, Station};
use crate::watchdog::Watchdog;
use esp_hal::rng::Rng;
use esp_hal::time::Instant;
use rootcast_body::board::{Board, Exchange};
use rootcast_node::Colour;
use rootcast_wire::NodeId;

/// The chip and what is soldered to it.
pub struct Chip {
    watchdog: Watchdog,
    flash: Flash,
    led: Led,
    panel: Option<Panel>,
    radio: Option<Radio>,
}

impl Chip {
    /// The chip without radio and panel, which come when the trial has been looked after.
    pub fn new(watchdog: Watchdog, flash: Flash, led: Led) -> Self {
        Self { watchdog, flash, led, panel: None, radio: None }
    }

    pub fn use_radio(&mut self, radio: Radio) {
        self.radio = Some(radio);
    }

    pub fn use_panel(&mut self, panel: Panel) {
        self.panel = Some(panel);
    }

    pub fn feed(&mut self) {
        self.watchdog.feed();
    }
}

impl Board for Chip {
    type Flash = Flash;
    type Uplink = Station;

    fn now_ms(&self) -> u64 {
        Instant::now().duration_since_epoch().as_millis()
    }

    fn flash(&mut self) -> &mut Flash {
        &mut self.flash
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        // True randomness while the radio is on; before that only the core's jitter and ids are drawn.
        Rng::new().read(bytes);
    }

    fn uplink(&mut self) -> Option<&mut Station> {
        self.radio.as_mut()?.station()
    }

    fn uplink_is_up(&mut self) -> bool {
        let now_ms = self.now_ms();
        self.radio.as_mut().is_some_and(|radio| radio.look_after_station(now_ms))
    }

    fn radio_send(&mut self, to: Option<NodeId>, frame: &[u8]) {
        if let Some(radio) = &mut self.radio {
            radio.send(to, frame);
        }
    }

    fn radio_receive(&mut self, into: &mut [u8]) -> Option<(NodeId, i8, usize)> {
        let now_ms = self.now_ms();
        self.radio.as_mut()?.receive(into, now_ms)
    }

    fn show(&mut self, colour: Colour) {
        self.led.show(colour);
    }

    fn feed_watchdog(&mut self) {
        self.watchdog.feed();
    }

    fn free_heap(&self) -> usize {
        esp_alloc::HEAP.free()
    }

    fn idle(&mut self, _: u64) {
        // A packet wakes nobody here: a short nap, in which the radio's tasks run.
        esp_rtos::CurrentThreadHandle::get().delay(esp_hal::time::Duration::from_millis(1));
    }

    fn restart(&mut self) -> ! {
        esp_hal::system::software_reset()
    }

    fn run_application(&mut self, exchange: &mut Exchange<'_>) {
        let now_ms = self.now_ms();
        if let Some(panel) = &mut self.panel {
            panel.run(exchange, now_ms);
        }
    }
}
