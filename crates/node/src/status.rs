//! What a node says about itself now and then.

use crate::node::Node;
use crate::time::Instant;
use core::fmt::Write;
use heapless::String;
use rootcast_image::SlotId;
use rootcast_wire::NodeStatus;
use rootcast_wire::status::{Dialect, Firmware};
use rootcast_wire::trigger::Version;

impl<const PEERS: usize> Node<PEERS> {
    /// The node's status, in Rootcast's dialect.
    pub(crate) fn own_status(&self, now: Instant) -> NodeStatus {
        let settings = self.settings();
        let mesh = self.mesh();
        let mut status = NodeStatus::new(settings.id, Dialect::Rootcast);
        status.is_root = settings.is_root;
        status.node_type = Some(settings.node_type.clone());
        status.parent = Some(if settings.is_root { settings.id } else { mesh.parent });
        status.layer = Some(mesh.layer);
        status.peer_count = settings.is_root.then(|| self.peer_count());
        status.uptime = u32::try_from(now.since(self.booted()) / 1000).ok();
        status.rssi = Some(mesh.signal_dbm);
        status.chip = Some(settings.chip.0);
        status.state = self.update_state();
        status.unsigned_allowed = Some(self.accepts_unsigned());
        status.releases_only = Some(settings.release_policy.require_release);
        let mut slot = String::new();
        let _ = match self.layout().running {
            SlotId::Factory => slot.write_str("factory"),
            SlotId::Test => slot.write_str("test"),
            SlotId::Ota(index) => write!(slot, "ota_{index}"),
        };
        status.slot = Some(slot);
        status.slot_bytes = self.layout().staging.map(|(_, slot)| slot.size);
        if let Some(running) = self.progress().running {
            status.running = Some(running.hash.0);
            status.version = Version::try_from(running.version.as_str()).ok();
            let mut prefix = [0; 16];
            prefix.copy_from_slice(&running.elf_sha256[..16]);
            status.firmware = Some(Firmware::ElfHash(prefix));
        }
        status
    }
}
