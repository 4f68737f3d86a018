//! The radio: a Wi-Fi station to the router, and ESP-NOW between the nodes, both at once on one channel.
//!
//! A node with a network stays on its access point's channel. One without looks for the mesh: it listens on each channel
//! for a while until it hears anything, and stays there as long as it does.

use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use esp_hal::peripherals::WIFI;
use esp_radio::esp_now::{BROADCAST_ADDRESS, EspNow, EspNowWifiInterface, PeerInfo};
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ControllerConfig, Interface, WifiController, WifiError,
};
use rootcast_body::settings::Provisioned;
use rootcast_wire::NodeId;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Pauses between tries to reach the access point, in milliseconds: first and longest.
const JOIN_PAUSE_MS: (u64, u64) = (5_000, 60_000);
/// How long a channel without a sound is listened to, in milliseconds.
const LISTEN_MS: u64 = 1_300;
/// How long the radio stays on a channel that has fallen silent, in milliseconds.
const STAY_MS: u64 = 10_000;
/// Peers that ESP-NOW keeps at most, the broadcast address among them (`ESP_NOW_MAX_TOTAL_PEER_NUM`).
const MAX_PEERS: usize = 20;

/// The radio.
pub struct Radio {
    controller: WifiController<'static>,
    now: EspNow,
    station: Station,
    has_network: bool,
    join_at_ms: u64,
    join_pause_ms: u64,
    peers: Vec<[u8; 6]>,
    channel: u8,
    heard_ms: u64,
    hop_at_ms: u64,
}

impl Radio {
    /// Switches it on.
    pub fn start(wifi: WIFI<'static>, provisioned: &Provisioned) -> Result<Self, WifiError> {
        let has_network = !provisioned.wifi_ssid.is_empty();
        let mut station = StationConfig::default().with_ssid(provisioned.wifi_ssid.as_str().try_into()?);
        station = station.with_authentication(if provisioned.wifi_password.is_empty() {
            AuthenticationMethodConfig::Open
        } else {
            AuthenticationMethodConfig::WpaWpa2Personal(provisioned.wifi_password.as_str().try_into()?)
        });
        // Small queues: the heap is shared with TLS.
        let config = ControllerConfig::default()
            .with_static_rx_buf_num(6)
            .with_dynamic_rx_buf_num(12)
            .with_dynamic_tx_buf_num(12)
            .with_rx_queue_size(8)
            .with_initial_config(Config::Station(station));
        let controller = WifiController::new(wifi, config)?;
        let now = controller.esp_now();
        let channel = provisioned.channel.unwrap_or(1);
        if !has_network {
            let _ = now.set_channel(channel);
        }
        log::info!(
            "radio: ESP-NOW version {}, {}",
            now.version().unwrap_or(0),
            if has_network { "station" } else { "no network" }
        );
        let station = Station(Interface::station());
        Ok(Self {
            controller,
            now,
            station,
            has_network,
            join_at_ms: 0,
            join_pause_ms: JOIN_PAUSE_MS.0,
            peers: Vec::new(),
            channel,
            heard_ms: 0,
            hop_at_ms: 0,
        })
    }

    /// The way to the router; none on a node that was given no network.
    pub fn station(&mut self) -> Option<&mut Station> {
        self.has_network.then_some(&mut self.station)
    }

    /// Joins the access point, again and again if need be; `true` while joined.
    pub fn look_after_station(&mut self, now_ms: u64) -> bool {
        if !self.has_network {
            return false;
        }
        if self.controller.is_connected() {
            self.join_pause_ms = JOIN_PAUSE_MS.0;
            self.join_at_ms = now_ms + self.join_pause_ms;
            return true;
        }
        if now_ms >= self.join_at_ms {
            log::info!("wifi: joining, again in {} ms unless it succeeds", self.join_pause_ms);
            self.join_at_ms = now_ms + self.join_pause_ms;
            self.join_pause_ms = (self.join_pause_ms * 2).min(JOIN_PAUSE_MS.1);
            // The first poll tells the driver to join; whether it has, `is_connected` says. Nobody waits for the rest.
            let joining = pin!(self.controller.connect_async());
            let _ = joining.poll(&mut Context::from_waker(Waker::noop()));
        }
        false
    }

    /// Sends a frame by ESP-NOW.
    pub fn send(&mut self, to: Option<NodeId>, frame: &[u8]) {
        let to = to.map_or(BROADCAST_ADDRESS, mac);
        if to != BROADCAST_ADDRESS && !self.now.peer_exists(&to) {
            if self.peers.len() + 1 >= MAX_PEERS {
                let oldest = self.peers.remove(0);
                let _ = self.now.remove_peer(&oldest);
            }
            let interface = EspNowWifiInterface::Station;
            let peer = PeerInfo { interface, peer_address: to, lmk: None, channel: None, encrypt: false };
            if self.now.add_peer(peer).is_ok() {
                self.peers.push(to);
            }
        }
        // The answer says that the frame left, and of a unicast that somebody acknowledged it: no proof of delivery, and
        // the node core repeats what matters.
        if let Err(error) = self.now.send(&to, frame) {
            log::debug!("radio: {error:?}");
        }
    }

    /// The next frame that ESP-NOW has heard.
    pub fn receive(&mut self, into: &mut [u8], now_ms: u64) -> Option<(NodeId, i8, usize)> {
        let Some(heard) = self.now.receive() else {
            self.look_for_mesh(now_ms);
            return None;
        };
        let bytes = heard.data();
        // Silent for a frame that is too long to be ours.
        into.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.heard_ms = now_ms;
        let from = heard.info.src_address.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
        let signal_dbm = heard.info.rx_control.rssi.clamp(-127, 0) as i8;
        Some((NodeId(from), signal_dbm, bytes.len()))
    }

    fn look_for_mesh(&mut self, now_ms: u64) {
        let quiet = now_ms.saturating_sub(self.heard_ms) >= STAY_MS;
        if self.has_network || now_ms < self.hop_at_ms || !(quiet || self.heard_ms == 0) {
            return;
        }
        self.hop_at_ms = now_ms + LISTEN_MS;
        self.channel = self.channel % 13 + 1;
        let _ = self.now.set_channel(self.channel);
    }
}

fn mac(id: NodeId) -> [u8; 6] {
    let bytes = id.0.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// The station's packets, for smoltcp.
pub struct Station(Interface);

impl Device for Station {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room)> {
        let (received, room) = self.0.receive()?;
        Some((Received(received), Room(room)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room> {
        self.0.transmit().map(Room)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1492;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}

/// A packet that has arrived.
pub struct Received(esp_radio::wifi::WifiRxToken);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        self.0.consume_token(|bytes| take(bytes))
    }
}

/// Room for a packet to send.
pub struct Room(esp_radio::wifi::WifiTxToken);

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.consume_token(length, fill)
    }
}
