//! A control plane as a process, and a mesh of virtual nodes around it.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::common::{rootcast_with, text};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_node::Backoff;
use rootcast_trust::release::{Purposes, ReleaseKey, TrustedKey};
use rootcast_world::body::behaviour::Behaviours;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, Swarm, Trust};
use rootcast_world::factory::{Fleet, Topology};
use rootcast_world::nvs::Provisioning;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How long anything may take that should not take long.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A mesh that forms at once.
const PACE: RadioPace = RadioPace { start: (5, 20), join: (10, 50), notice: (50, 100) };

/// An app image of this version.
pub fn image(version: &str) -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3)
        .version(version)
        .size(64_000)
        .seed(version.len() as u64)
        .build()
        .unwrap()
}

/// The hash by which nodes report it.
pub fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

/// `rootcast serve` as a process that ends with the test.
pub struct Plane {
    child: Child,
    /// What it goes on to say; nobody reading would be an error.
    _output: BufReader<ChildStdout>,
    /// What it said when it had started.
    pub started: Value,
}

impl Plane {
    /// Starts one whose data is in `folder`/data, with these further arguments.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    /// The same with these environment variables.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("serve.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rootcast"))
            .args(["serve", "--json", "--data", "data"])
            .args(arguments)
            .current_dir(folder)
            .env_remove("ROOTCAST_BROKER")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("rootcast serve starts");
        let (mut line, mut said) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        said.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("rootcast serve: {line} {}", std::fs::read_to_string(folder.join("serve.log")).unwrap())
        });
        assert_eq!(started["event"], "started", "{started}");
        Self { child, _output: said, started }
    }

    /// Where its API is.
    pub fn api(&self) -> String {
        self.started["api"].as_str().unwrap().to_owned()
    }

    /// The port of a URL that it said.
    pub fn port(&self, what: &str) -> u16 {
        let url = self.started[what].as_str().unwrap().trim_end_matches('/');
        url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Ends it as power does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager does.
    pub fn stop(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything embedded, on free ports.
pub const FREE_PORTS: [&str; 6] =
    ["--mqtt", "127.0.0.1:0", "--firmware", "127.0.0.1:0", "--listen", "127.0.0.1:0"];

/// A control plane, and a mesh around it.
pub struct House {
    /// The control plane.
    pub plane: Plane,
    /// The mesh.
    pub swarm: Swarm,
    /// Its administrator's token.
    pub token: String,
    folder: tempfile::TempDir,
}

impl House {
    /// A mesh of so many nodes that run 1.0.0 and are known to the control plane.
    pub async fn new(nodes: usize, behaviours: Behaviours) -> Self {
        Self::with_trial(nodes, behaviours, 200).await
    }

    /// The same with a trial of at least so many milliseconds: somebody is to see it.
    pub async fn with_trial(nodes: usize, behaviours: Behaviours, trial_ms: u32) -> Self {
        let provisioning = Provisioning { allow_unsigned: true, ..Provisioning::default() };
        let folder = tempfile::tempdir().unwrap();
        Self::build(folder, nodes, behaviours, trial_ms, provisioning, &[]).await
    }

    /// The same of nodes that follow releases signed with this key.
    pub async fn that_trusts(nodes: usize, key: ReleaseKey) -> Self {
        let release_keys = vec![TrustedKey::new(key, Purposes::ALL)];
        let provisioning = Provisioning { allow_unsigned: true, release_keys, ..Provisioning::default() };
        let folder = tempfile::tempdir().unwrap();
        Self::build(folder, nodes, Behaviours::new(), 200, provisioning, &[]).await
    }

    /// The same in this folder, with these further arguments for `rootcast serve`.
    pub async fn on(folder: tempfile::TempDir, nodes: usize, arguments: &[&str]) -> Self {
        let provisioning = Provisioning { allow_unsigned: true, ..Provisioning::default() };
        Self::build(folder, nodes, Behaviours::new(), 200, provisioning, arguments).await
    }

    async fn build(
        folder: tempfile::TempDir,
        nodes: usize,
        behaviours: Behaviours,
        trial_ms: u32,
        provisioning: Provisioning,
        arguments: &[&str],
    ) -> Self {
        // Somebody may have installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plane = Plane::start(folder.path(), &[&FREE_PORTS, arguments].concat());
        let token = plane.started["token"].as_str().expect("the first token").to_owned();
        let pem = std::fs::read(folder.path().join("data/rootcast-ca.pem")).unwrap();
        let ca = CertificateDer::from_pem_slice(&pem).unwrap();
        let topology = Topology::three_layers(nodes, 1);
        let options = NodeOptions {
            broker: Some(BrokerAddress {
                host: "127.0.0.1".to_owned(),
                port: plane.port("broker"),
                tls: false,
                login: None,
            }),
            trust: Trust::authorities(&[ca]).unwrap(),
            reset: (5, 20),
            watchdog_ms: 300,
            behaviours,
            ..NodeOptions::default()
        };
        let table = PartitionTable::default_4mb();
        let old = image("1.0.0");
        let mut fleet = Fleet::new(ChipId::ESP32C3, &table, &old);
        fleet.provisioning = provisioning;
        let mut machines = fleet.machines(&topology).unwrap();
        for machine in &mut machines {
            let settings = machine.settings_mut();
            settings.trial_minimum_ms = trial_ms;
            settings.hello_ms = 500;
            settings.stall_ms = 1_000;
            settings.retry = Backoff { first_ms: 50, longest_ms: 200, attempts: 4 };
        }
        let link = Link { delay_ms: (1, 3), ..Link::default() };
        let swarm = Swarm::start(&topology, machines, link, PACE, options);
        let house = Self { plane, swarm, token, folder };
        house.until("every node is online", |house| {
            let lines = house.json(&["nodes", "--online"]);
            lines.last().unwrap()["online"] == nodes
        });
        house
    }

    /// Where files of this test are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an app image, and returns its name.
    pub fn app(&self, version: &str) -> String {
        let name = format!("app-{version}.bin");
        std::fs::write(self.folder().join(&name), image(version)).unwrap();
        name
    }

    /// Runs a client.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let (server, token) = (self.plane.api(), self.token.as_str());
        rootcast_with(self.folder(), arguments, &[("ROOTCAST_SERVER", &server), ("ROOTCAST_TOKEN", token)])
    }

    /// Runs a client that must succeed, and returns what it prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        lines(&output)
    }

    /// Uploads an image and makes a release of it; returns the release's id.
    pub fn release(&self, version: &str) -> String {
        let app = self.app(version);
        self.json(&["releases", "add", &app])[0]["id"].as_str().unwrap().to_owned()
    }

    /// The images that the nodes run.
    pub fn running(&self) -> Vec<Option<ImageHash>> {
        self.swarm.views().iter().map(|view| view.running).collect()
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let log = std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "never: {what}\n{log}\n{:?}", self.swarm.views());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Kills the control plane as power does, and starts it again on the same ports.
    pub fn kill_and_start(&mut self) {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let ports = ["broker", "files", "api"].map(|what| address(self.plane.port(what)));
        self.plane.kill();
        let [mqtt, firmware, api] = &ports;
        self.plane =
            Plane::start(self.folder.path(), &["--mqtt", mqtt, "--firmware", firmware, "--listen", api]);
        assert_eq!(self.plane.started["token"], Value::Null, "a second first token");
    }

    /// Every trigger that was written down, oldest first.
    pub async fn triggers(&self) -> Vec<Triggered> {
        let url = format!("{}/api/v1/triggers?limit=1000", self.plane.api());
        let answer = reqwest::Client::new().get(url).bearer_auth(&self.token).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        let trigger = |it: &Value| Triggered {
            kind: it["kind"].as_str().unwrap().to_owned(),
            at: OffsetDateTime::parse(it["at"].as_str().unwrap(), &Rfc3339).unwrap(),
            nodes: it["nodes"].as_array().unwrap().iter().map(|node| node.as_u64().unwrap()).collect(),
        };
        page["items"].as_array().unwrap().iter().map(trigger).collect()
    }
}

/// A trigger or an abort that was written down.
#[derive(Debug)]
pub struct Triggered {
    /// `trigger` or `abort`.
    pub kind: String,
    /// When.
    pub at: OffsetDateTime,
    /// Its nodes.
    pub nodes: Vec<u64>,
}

/// The objects that a client printed.
pub fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
