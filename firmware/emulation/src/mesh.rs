//! A root and its leaves, with broker and firmware server.

use crate::air::{Air, Links};
use crate::image::Programs;
use crate::machine::{Factory, Machine};
use crate::peers::{Broker, CertificateFor, FirmwareServer, HOST};
use esp_nvs::mem_flash::MemFlash;
use esp_nvs::{Key, Nvs};
use rootcast_trust::sign::{KeyKind, SigningKey, sign_image};
use rootcast_wire::{NodeId, NodeType};
use rootcast_world::nvs::{Contents, Provisioning};
use std::error::Error;
use std::io;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Bytes of the NVS partition.
const NVS_BYTES: u32 = 20 * 1024;
/// The root's id; leaves follow.
pub const ROOT: u64 = 0x240A_C400_0001;

/// A mesh of emulated boards.
pub struct Mesh {
    /// Root first.
    pub machines: Vec<Machine>,
    /// The broker.
    pub broker: Broker,
    /// The firmware server.
    pub server: FirmwareServer,
    /// The air.
    pub air: Air,
    /// The key that the nodes trust.
    pub key: SigningKey,
    programs: Programs,
    _folder: TempDir,
}

/// How the mesh is to be.
pub struct Plan {
    /// Boards, the root included.
    pub nodes: usize,
    /// The first version.
    pub version: &'static str,
    /// Whether bootloaders have rollback on.
    pub rollback: bool,
    /// Whether leaves have the router in range, too.
    pub leaves_have_router: bool,
    /// Whose certificate the server has.
    pub certificate: CertificateFor,
    /// Frames lost of a hundred.
    pub loss_percent: u8,
    /// Seed of losses.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 3,
            version: "1.0.0",
            rollback: false,
            leaves_have_router: false,
            certificate: CertificateFor::Host,
            loss_percent: 0,
            seed: 1,
        }
    }
}

impl Mesh {
    /// Builds the boards and starts the servers; no board is switched on yet.
    ///
    /// # Errors
    /// When a server does not start or a file cannot be written.
    pub fn build(plan: &Plan) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("rootcast-emulation").tempdir()?;
        let programs = Programs::find()?;
        let broker = Broker::start(folder.path())?;
        let server = FirmwareServer::start(folder.path(), plan.certificate)?;
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let ids: Vec<u64> = (0..plan.nodes as u64).map(|index| ROOT + index).collect();
        let mut links = Links { loss_percent: plan.loss_percent, ..Links::default() };
        for (index, a) in ids.iter().enumerate() {
            ids.iter().skip(index + 1).for_each(|b| links.join(*a, *b, -55));
        }
        let air = Air::open(&ids, links, plan.seed)?;
        let app = sign_image(&programs.image(plan.version), &[SigningKey::from_pem(&key.to_pem()?)?])?;
        let mut machines = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let provisioning = Provisioning {
                node_id: NodeId(*id),
                node_type: if index % 2 == 0 { NodeType::Switch } else { NodeType::Relay8 },
                is_root: index == 0,
                trusted_keys: vec![key.key_digest()],
                broker: format!("mqtt://{HOST}:{}", broker.port),
                ca_pem: server.ca_pem.clone().into_bytes(),
                ..Provisioning::default()
            };
            let nvs = with_mesh_key(provisioning.to_partition(NVS_BYTES, &Contents::default())?, plan.seed)?;
            let factory = Factory {
                id: *id,
                app: &app,
                nvs: &nvs,
                rollback: plan.rollback,
                has_router: index == 0 || plan.leaves_have_router,
                radio: air.ports(*id),
            };
            machines.push(Machine::make(folder.path(), &programs.boot, &factory)?);
        }
        Ok(Self { machines, broker, server, air, key, programs, _folder: folder })
    }

    /// Switches everything on.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn power_on(&mut self) -> io::Result<()> {
        self.machines.iter_mut().try_for_each(Machine::power_on)
    }

    /// A signed image of this version.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn signed_image(&self, version: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        Ok(sign_image(&self.programs.image(version), &[SigningKey::from_pem(&self.key.to_pem()?)?])?)
    }

    /// An image of this version without signature.
    pub fn unsigned_image(&self, version: &str) -> Vec<u8> {
        self.programs.image(version)
    }

    /// Sends the trigger as an operator does.
    ///
    /// # Errors
    /// When `mosquitto_pub` fails.
    pub fn trigger(&self, url: &str, more: &str) -> io::Result<()> {
        self.broker.publish("/switch/cmd/root", &format!("{{\"type\":\"ota_trigger\",\"url\":\"{url}\"{more}}}"))
    }

    /// Waits until it is so; `false` when it does not come.
    pub fn wait(&mut self, seconds: u64, mut so: impl FnMut(&mut Self) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            if so(self) {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        so(self)
    }

    /// Waits until the root publishes the status of every board: the mesh stands.
    pub fn wait_for_mesh(&mut self, seconds: u64) -> bool {
        let ids: Vec<u64> = self.machines.iter().map(|machine| machine.id).collect();
        self.wait(seconds, |mesh| {
            let messages = mesh.broker.messages();
            ids.iter().all(|id| messages.iter().any(|(_, message)| message["deviceId"] == *id))
        })
    }

    /// Whether every board's last report is `state`.
    pub fn all_ended_as(&self, state: &str) -> bool {
        let ended = |machine: &Machine| self.broker.reports(machine.id).last().is_some_and(|(last, _)| last == state);
        self.machines.iter().all(ended)
    }

    /// What happened, for a test that failed: reports and logs.
    pub fn story(&self) -> String {
        let of = |machine: &Machine| {
            let reports = self.broker.reports(machine.id);
            format!("== {:012x}: {reports:?}\n{}\n", machine.id, machine.log())
        };
        self.machines.iter().map(of).collect::<String>() + &self.server.accesses()
    }
}

fn with_mesh_key(partition: Vec<u8>, seed: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut nvs = Nvs::new(0, partition.len(), MemFlash::from_bytes(partition)).map_err(|error| format!("{error:?}"))?;
    let mut key = [0x4B; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    nvs.set(&Key::from_str("rootcast"), &Key::from_str("mesh_key"), &key[..]).map_err(|error| format!("{error:?}"))?;
    Ok(nvs.into_inner().into_inner())
}
