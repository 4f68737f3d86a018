//! What a board has to be able to do for the body.

use embedded_storage::nor_flash::NorFlash;
use rootcast_node::Colour;
use rootcast_wire::NodeId;
use smoltcp::phy::Device;

/// A board. Nothing here waits, but [`Board::idle`].
pub trait Board {
    /// The flash chip.
    type Flash: NorFlash;
    /// The network device.
    type Uplink: Device;

    /// Milliseconds since power-on or reset.
    fn now_ms(&self) -> u64;

    /// The flash chip.
    fn flash(&mut self) -> &mut Self::Flash;

    /// Fills with random bytes fit for keys.
    fn fill_random(&mut self, bytes: &mut [u8]);

    /// The device behind which the router is; `None` on a node that has none.
    fn uplink(&mut self) -> Option<&mut Self::Uplink>;

    /// Whether the uplink's cable is in, or the Wi-Fi associated.
    fn uplink_is_up(&mut self) -> bool;

    /// Sends a link frame to a neighbour, or to whoever hears it. Nobody promises that it arrives.
    fn radio_send(&mut self, to: Option<NodeId>, frame: &[u8]);

    /// The next link frame that the radio has heard: from whom, with what signal in dBm, and how long it is. What does
    /// not fit is dropped.
    fn radio_receive(&mut self, into: &mut [u8]) -> Option<(NodeId, i8, usize)>;

    /// Seconds since 1970 from a clock of the board's own that can be trusted.
    fn wall_clock(&mut self) -> Option<u64> {
        None
    }

    /// Shows the node's state.
    fn show(&mut self, colour: Colour);

    /// The loop is alive.
    fn feed_watchdog(&mut self);

    /// Free bytes of heap.
    fn free_heap(&self) -> usize;

    /// Sleeps until the moment, or until something has happened; or not at all.
    fn idle(&mut self, until_ms: u64);

    /// Restarts the chip.
    fn restart(&mut self) -> !;

    /// The board's application: called in every round of the loop.
    fn run_application(&mut self, exchange: &mut Exchange<'_>) {
        let _ = exchange;
    }
}

/// What passes between the application and the mesh: button presses up, relay commands down.
pub struct Exchange<'a> {
    pub(crate) outgoing: &'a mut heapless::Deque<ApplicationFrame, 8>,
    pub(crate) incoming: &'a mut heapless::Deque<ApplicationFrame, 8>,
    /// How far an update is, for whoever wants to show it.
    pub is_updating: bool,
}

/// A message of the application: who sent it or is to get it, and up to 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationFrame {
    /// The other node; the root where it is `None`.
    pub node: Option<NodeId>,
    /// What it says.
    pub bytes: heapless::Vec<u8, 16>,
}

impl Exchange<'_> {
    /// Sends a message; `false` when too many wait.
    pub fn send(&mut self, frame: ApplicationFrame) -> bool {
        self.outgoing.push_back(frame).is_ok()
    }

    /// The next message that has arrived.
    pub fn receive(&mut self) -> Option<ApplicationFrame> {
        self.incoming.pop_front()
    }
}
