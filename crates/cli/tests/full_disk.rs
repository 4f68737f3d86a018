//! `rootcast serve` whose data folder has no room any more, until it has again.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/house.rs"]
mod house;

use common::text;
use house::{FREE_PORTS, hash, image};
use rootcast_control::mqtt::{Endpoint, Event, Link, Publisher, Trust};
use rootcast_wire::text::Hex;
use rootcast_wire::trigger::Target;
use rootcast_wire::{Command as Order, NodeId, NodeType, Report, UpdateState, parse_command};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take that should not take long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What takes the room away.
enum Limit {
    /// The data folder is a small file system of its own; this file fills it.
    FileSystem { filler: PathBuf },
    /// Where no file system may be mounted: no file of the process may grow.
    FileSize,
}

/// A control plane whose disk can be filled.
struct Plane {
    child: Child,
    _output: BufReader<std::process::ChildStdout>,
    started: Value,
    data: PathBuf,
    log: PathBuf,
    limit: Limit,
    client: reqwest::Client,
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Plane {
    fn start(folder: &Path) -> Self {
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        let mount = "mount -t tmpfs -o size=16m rootcast \"$0\"";
        let may_mount = Command::new("unshare").args(["-rm", "sh", "-c", mount]).arg(&data).output();
        let may_mount = may_mount.is_ok_and(|output| output.status.success());
        let mut command = match may_mount {
            true => {
                let mut command = Command::new("unshare");
                command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$@\"")]);
                command
            }
            false => {
                println!("no file system may be mounted here: a limit on the size of files takes its place");
                let mut command = Command::new("sh");
                // Signal 25 is SIGXFSZ: without this a write beyond the limit would end the process.
                command.args(["-c", "trap '' 25 && exec \"$@\""]);
                command
            }
        };
        let log = folder.join("serve.log");
        let mut child = command
            .arg(&data)
            .arg(env!("CARGO_BIN_EXE_rootcast"))
            .args(["serve", "--json", "--data"])
            .arg(&data)
            .args(FREE_PORTS)
            .env_remove("ROOTCAST_BROKER")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Through a pipe: the limit on files is not one on the log.
        let (mut said, mut written) = (child.stderr.take().unwrap(), File::create(&log).unwrap());
        std::thread::spawn(move || std::io::copy(&mut said, &mut written));
        let (mut line, mut output) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        output.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("rootcast serve: {line} {}", fs::read_to_string(&log).unwrap()));
        // The folder as the process sees it.
        let data = PathBuf::from(format!("/proc/{}/root{}", child.id(), data.display()));
        let limit = match may_mount {
            true => Limit::FileSystem { filler: data.join("filler") },
            false => Limit::FileSize,
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, _output: output, started, data, log, limit, client }
    }

    /// Takes the room that is left; what others give up after that has to be taken again.
    fn fill(&self) {
        match &self.limit {
            Limit::FileSystem { filler } => {
                let mut file = File::options().create(true).append(true).open(filler).unwrap();
                let error = loop {
                    if let Err(error) = file.write_all(&[0; 4096]) {
                        break error;
                    }
                };
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            }
            Limit::FileSize => self.limit_files("0"),
        }
    }

    fn make_room(&self) {
        match &self.limit {
            Limit::FileSystem { filler } => fs::remove_file(filler).unwrap(),
            Limit::FileSize => self.limit_files("unlimited"),
        }
    }

    fn limit_files(&self, bytes: &str) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={bytes}:")])
            .status()
            .unwrap();
        assert!(status.success(), "prlimit");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Vec<u8>) -> (u16, String) {
        let url = format!("{}{path}", self.started["api"].as_str().unwrap());
        let kind = if path == "/api/v1/files" { "application/octet-stream" } else { "application/json" };
        let request = self.client.request(method, url).header("content-type", kind).body(body);
        let answer = request.bearer_auth(self.started["token"].as_str().unwrap()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask(reqwest::Method::GET, path, Vec::new()).await
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Value {
        let (status, text) = self.ask(reqwest::Method::POST, path, body).await;
        assert_eq!(status, 201, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn files(&self) -> usize {
        fs::read_dir(self.data.join("files")).unwrap().count()
    }
}

/// Nodes, and the hashes of what they run.
type Running = [(u64, [u8; 32]); 2];

/// Two nodes, a root and a leaf, that say what they run again and again, and note whom triggers name.
struct Mesh {
    running: Arc<Mutex<Running>>,
    triggered: Arc<Mutex<Vec<u64>>>,
    publisher: Publisher,
}

impl Mesh {
    async fn start(plane: &Plane) -> Self {
        let port =
            plane.started["broker"].as_str().unwrap().trim_end_matches('/').rsplit_once(':').unwrap().1;
        let port = port.parse().unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false, login: None, identity: None };
        let mut link =
            Link::open(&endpoint, &Trust::PublicAuthorities, &["/switch/cmd/root".to_owned()]).await.unwrap();
        let mesh = Self {
            running: Arc::new(Mutex::new([(7, [0x11; 32]), (8, [0x11; 32])])),
            triggered: Arc::default(),
            publisher: link.publisher(),
        };
        let (running, triggered, publisher) =
            (mesh.running.clone(), mesh.triggered.clone(), mesh.publisher.clone());
        tokio::spawn(async move {
            let mut statuses = tokio::time::interval(Duration::from_millis(300));
            loop {
                tokio::select! {
                    _ = statuses.tick() => {
                        let nodes = *running.lock().unwrap();
                        for (id, hash) in nodes {
                            let (root, layer) = if id == 7 { (1, 1) } else { (0, 2) };
                            let status = json!({
                                "deviceId": id, "type": "switch", "isRoot": root, "parentId": 7, "meshLayer": layer,
                                "uptime": 100, "chip": 5, "running": Hex(&hash).to_string(), "rootcast": 1,
                            });
                            // A broker whose disk is full may refuse.
                            let _ = publisher.publish("/switch/state/root", status.to_string().as_bytes()).await;
                        }
                    }
                    event = link.next() => if let Event::Message { payload, .. } = event
                        && let Ok(Order::Trigger(trigger)) = parse_command(&payload)
                    {
                        let named = trigger.targets.entries().iter().filter_map(|target| match target {
                            Target::Node(NodeId(id)) => Some(*id),
                            _ => None,
                        });
                        triggered.lock().unwrap().extend(named);
                    }
                }
            }
        });
        mesh
    }

    fn triggered(&self) -> Vec<u64> {
        self.triggered.lock().unwrap().clone()
    }

    /// A node ends its update well.
    async fn confirm(&self, node: u64, new: [u8; 32], rollout: &str) {
        for (id, running) in self.running.lock().unwrap().iter_mut() {
            if *id == node {
                *running = new;
            }
        }
        let mut report = Report::new(NodeId(node), NodeType::Switch, UpdateState::Confirmed);
        (report.running, report.rollout) = (new, format!("{rollout}.1").as_str().try_into().unwrap());
        let mut json = String::new();
        report.write_json(&mut json).unwrap();
        let _ = self.publisher.publish(&format!("/switch/ota/{node}"), json.as_bytes()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_nothing_is_triggered_or_half_kept_and_with_room_again_everything_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path());
    let mesh = Mesh::start(&plane).await;
    plane.until("both nodes are known", async |plane| plane.metric("rootcast_nodes_online").await == 2).await;
    let app = image("1.1.0");
    let file = plane.post("/api/v1/files", app.clone()).await;
    let release = json!({"images": [{"sha256": file["sha256"]}]}).to_string();
    let release = plane.post("/api/v1/releases", release.into()).await;
    let spec = json!({"soak_s": 0, "answer_s": 3600, "waves": [{"size": {"count": 1}}, {"size": "rest"}]});
    let rollout = json!({"release": release["id"], "name": "both", "spec": spec}).to_string();
    let rollout = plane.post("/api/v1/rollouts", rollout.into()).await;
    plane.until("the canary is triggered", async |_| mesh.triggered().len() == 1).await;
    let canary = mesh.triggered()[0];
    assert_eq!(plane.get("/health/ready").await, (200, "database ok\nbroker ok\n".to_owned()));

    plane.fill();
    mesh.confirm(canary, hash(&app).0, rollout["id"].as_str().unwrap()).await;
    plane
        .until("rounds fail", async |plane| {
            plane.fill();
            // Again: the broker may have refused it.
            mesh.confirm(canary, hash(&app).0, rollout["id"].as_str().unwrap()).await;
            plane.metric("rootcast_rounds_failed_total").await >= 5
        })
        .await;
    assert_eq!(mesh.triggered(), [canary], "nothing that was not written down");
    assert_eq!(plane.get("/health/ready").await, (503, "database cannot be written\nbroker ok\n".to_owned()));
    assert_eq!(plane.get("/health/live").await.0, 200);
    assert_eq!(plane.metric("rootcast_store_writable").await, 0);
    let files = plane.files();
    plane.fill();
    let (status, problem) = plane.ask(reqwest::Method::POST, "/api/v1/files", image("1.2.0-next")).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem.contains("the file cannot be kept"), "{problem}");
    assert_eq!(plane.files(), files, "nothing of it is left");
    let log = plane.log();
    assert!(log.contains("could not be written down: nothing is triggered until one can"), "{log}");

    plane.make_room();
    plane.until("the other one is triggered", async |_| mesh.triggered().len() > 1).await;
    plane.until("it is ready", async |plane| plane.get("/health/ready").await.0 == 200).await;
    let other = 15 - canary;
    assert_eq!(mesh.triggered(), [canary, other], "each once");
    let (_, triggers) = plane.get("/api/v1/triggers").await;
    let triggers: Value = serde_json::from_str(&triggers).unwrap();
    assert_eq!(triggers["items"].as_array().unwrap().len(), 2, "{triggers}");
    plane.post("/api/v1/files", image("1.2.0-next")).await;
    mesh.confirm(other, hash(&app).0, rollout["id"].as_str().unwrap()).await;
    let path = format!("/api/v1/rollouts/{}", rollout["id"].as_str().unwrap());
    plane.until("it has succeeded", async |plane| plane.get(&path).await.1.contains("\"succeeded\"")).await;
    assert!(plane.log().contains("can be written down again"), "{}", text(plane.log().as_bytes()));
}
