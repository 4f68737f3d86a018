//! A root and its leaves, with broker and firmware server.

use crate::air::{Air, Links};
use crate::bridge::{Bridge, Radio};
use crate::image::Programs;
use crate::machine::{Factory, Machine};
use crate::peers::{Broker, CertificateFor, FirmwareServer, HOST};
use crate::process::Process;
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
    /// Virtual nodes in the same mesh.
    pub processes: Vec<Process>,
    /// The broker.
    pub broker: Broker,
    /// The firmware server.
    pub server: FirmwareServer,
    /// The air.
    pub air: Air,
    /// The key that the nodes trust.
    pub key: SigningKey,
    programs: Programs,
    bridge: Option<Bridge>,
    /// What processes are made of, until power comes on.
    waiting: Vec<(u64, Vec<u8>)>,
    app: Vec<u8>,
    _folder: TempDir,
}

/// How the mesh is to be.
pub struct Plan {
    /// Boards, the root included.
    pub nodes: usize,
    /// Virtual nodes beside them: processes of `rootcast node`.
    pub processes: usize,
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
            processes: 0,
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
        let ids: Vec<u64> = (0..(plan.nodes + plan.processes) as u64).map(|index| ROOT + index).collect();
        let mut links = Links { loss_percent: plan.loss_percent, ..Links::default() };
        for (index, a) in ids.iter().enumerate() {
            ids.iter().skip(index + 1).for_each(|b| links.join(*a, *b, -55));
        }
        let air = Air::open(&ids, links, plan.seed)?;
        let app = sign_image(&programs.image(plan.version), &[SigningKey::from_pem(&key.to_pem()?)?])?;
        let (mut machines, mut waiting) = (Vec::new(), Vec::new());
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
            let nvs = with_mesh_key(
                provisioning.to_partition(NVS_BYTES, &Contents::default())?,
                &mesh_key(plan.seed),
            )?;
            if index >= plan.nodes {
                waiting.push((*id, nvs));
                continue;
            }
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
        let radios: Vec<_> = waiting.iter().map(|(id, _)| Radio { id: *id, ports: air.ports(*id) }).collect();
        let bridge =
            if radios.is_empty() { None } else { Some(Bridge::open(ROOT, &mesh_key(plan.seed), &radios)?) };
        let processes = Vec::new();
        Ok(Self {
            machines,
            processes,
            broker,
            server,
            air,
            key,
            programs,
            bridge,
            waiting,
            app,
            _folder: folder,
        })
    }

    /// Switches everything on.
    ///
    /// # Errors
    /// When QEMU or a process cannot be started.
    pub fn power_on(&mut self) -> io::Result<()> {
        self.machines.iter_mut().try_for_each(Machine::power_on)?;
        for (id, nvs) in self.waiting.drain(..) {
            let Some(bridge) = &self.bridge else { break };
            let factory =
                Factory { id, app: &self.app, nvs: &nvs, rollback: false, has_router: false, radio: (0, 0) };
            self.processes.push(Process::start(self._folder.path(), &factory, bridge.address)?);
        }
        Ok(())
    }

    /// Everybody's id, the root's first.
    fn ids(&self) -> Vec<u64> {
        let boards = self.machines.iter().map(|machine| machine.id);
        boards.chain(self.processes.iter().map(|process| process.id)).collect()
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
        self.broker
            .publish("/switch/cmd/root", &format!("{{\"type\":\"ota_trigger\",\"url\":\"{url}\"{more}}}"))
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

    /// Waits until the root publishes the status of every node: the mesh stands.
    pub fn wait_for_mesh(&mut self, seconds: u64) -> bool {
        let ids = self.ids();
        self.wait(seconds, |mesh| {
            let messages = mesh.broker.messages();
            ids.iter().all(|id| messages.iter().any(|(_, message)| message["deviceId"] == *id))
        })
    }

    /// Whether everybody's last report is `state`.
    pub fn all_ended_as(&self, state: &str) -> bool {
        let ended = |id: &u64| self.broker.reports(*id).last().is_some_and(|(last, _)| last == state);
        self.ids().iter().all(ended)
    }

    /// A board's last report: state and error, both empty when there is none.
    pub fn last_report(&self, index: usize) -> (String, String) {
        let machine = self.machines.get(index);
        machine.and_then(|machine| self.broker.reports(machine.id).pop()).unwrap_or_default()
    }

    /// What happened, for a test that failed: reports and logs.
    pub fn story(&self) -> String {
        let of = |machine: &Machine| {
            let reports = self.broker.reports(machine.id);
            format!("== {:012x}: {reports:?}\n{}\n", machine.id, machine.log())
        };
        let of_process = |process: &Process| {
            let reports = self.broker.reports(process.id);
            format!("== {:012x}, a process: {reports:?}\n{}\n", process.id, process.log())
        };
        self.machines.iter().map(of).chain(self.processes.iter().map(of_process)).collect::<String>()
            + &self.server.accesses()
    }
}

fn mesh_key(seed: u64) -> [u8; 32] {
    let mut key = [0x4B; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key
}

fn with_mesh_key(partition: Vec<u8>, key: &[u8; 32]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut nvs = Nvs::new(0, partition.len(), MemFlash::from_bytes(partition))
        .map_err(|error| format!("{error:?}"))?;
    nvs.set(&Key::from_str("rootcast"), &Key::from_str("mesh_key"), &key[..])
        .map_err(|error| format!("{error:?}"))?;
    Ok(nvs.into_inner().into_inner())
}
