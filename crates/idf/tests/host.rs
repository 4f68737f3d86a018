//! The component and its example as they are, compiled for this host against a stand-in for ESP-IDF (`host/`), under
//! AddressSanitizer: four processes are a root and three leaves, mosquitto is the broker, nginx the firmware host.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, PartitionTable};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const NODES: u16 = 4;
/// The machine that runs the tests may be busy with others.
const PATIENCE: Duration = Duration::from_secs(400);
/// Where ota_0 begins in the default partition table.
const OTA_0: usize = 0x10000;
const FLASH_BYTES: usize = 4 << 20;

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> Running {
    Running(command.spawn().expect("the program starts"))
}

/// Whether all is there that the test needs; prints what is not. Fails where somebody insists on it.
fn peers_are_there() -> bool {
    let missing =
        ["gcc", "mosquitto", "mosquitto_pub", "mosquitto_sub", "nginx"].into_iter().find(|program| {
            Command::new(program)
                .env("PATH", path())
                .arg("-h")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_err()
        });
    let header = ["/usr/include/mosquitto.h", "/usr/include/openssl/ssl.h"]
        .into_iter()
        .find(|it| !Path::new(it).exists());
    let Some(missing) = missing.or(header) else { return true };
    assert!(std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_none(), "{missing} is missing");
    println!("skipped: {missing} is missing");
    false
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin"
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", path()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn free_tcp_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The first of as many free UDP ports in a row as there are nodes.
fn free_udp_ports() -> u16 {
    loop {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let end = first.saturating_add(NODES);
        if end < u16::MAX && (first..end).all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return first;
        }
    }
}

fn wait_for_port(port: u16) {
    let start = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "nobody listens on port {port}");
        sleep(Duration::from_millis(50));
    }
}

/// The static library that cargo has built for this test: the newest beside it.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = std::fs::read_dir(test.parent().unwrap()).unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        let ours = name.starts_with("librootcast_idf-") && name.ends_with(".a");
        ours.then_some((path.metadata().ok()?.modified().ok()?, path))
    });
    built.max().expect("cargo has built the static library").1
}

fn compile(folder: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let host = sources.join("tests/host");
    let out = folder.join("node");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]);
    for include in
        [host.clone(), host.join("shim"), sources.join("include"), sources.join("component/include")]
    {
        gcc.arg("-I").arg(include);
    }
    gcc.arg("-o").arg(&out);
    gcc.args([host.join("chip.c"), host.join("network.c")]);
    gcc.args([sources.join("component/rootcast_esp.c"), sources.join("example/main/main.c"), library()]);
    gcc.args(["-lmosquitto", "-lssl", "-lcrypto", "-lpthread", "-ldl", "-lm"]);
    let made = gcc.output().expect("gcc runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    out
}

/// A CA, and a certificate of it for this machine, in files; returns the CA's file.
fn authority(folder: &Path, name: &str) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&params, &key);
    let server_key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let server = CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), server.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), server_key.serialize_pem()).unwrap();
    let file = folder.join(format!("{name}-ca.pem"));
    std::fs::write(&file, ca.pem()).unwrap();
    file
}

fn nginx(folder: &Path, ports: [(u16, &str); 2]) -> Running {
    let servers: String = ports
        .iter()
        .map(|(port, name)| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl; root {0}/www; ssl_certificate {0}/{name}.pem; ssl_certificate_key {0}/{name}.key; }}\n",
                folder.display()
            )
        })
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    let text = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/nginx.log;\nevents {{}}\nhttp {{ access_log off;\n{temporary}{servers}}}\n",
        folder.display()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    run(program("nginx").arg("-c").arg(&file).arg("-p").arg(folder))
}

fn image(version: &str, seed: u64) -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3).version(version).size(150_000).seed(seed).build().unwrap()
}

/// The reports so far: of each node, state and code one after the other.
fn reports(file: &Path) -> BTreeMap<u64, Vec<(String, String)>> {
    let mut reports: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let report: serde_json::Value = serde_json::from_str(line).expect("a report is JSON");
        let text = |key: &str| report[key].as_str().unwrap_or_default().to_string();
        let node = report["deviceId"].as_u64().expect("a report says whose it is");
        reports.entry(node).or_default().push((text("state"), text("error")));
    }
    reports
}

fn wait_until(reached: impl Fn() -> bool, what: &str, folder: &Path) {
    let start = Instant::now();
    while !reached() {
        if start.elapsed() > PATIENCE {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().extension().is_some_and(|it| it == "log") {
                    println!(
                        "{}:\n{}",
                        entry.path().display(),
                        std::fs::read_to_string(entry.path()).unwrap()
                    );
                }
            }
            panic!("in vain waited for {what}: {:?}", reports(&folder.join("reports.txt")));
        }
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_mesh_of_c_programs_refuses_a_stranger_and_takes_an_update_to_its_confirmation() {
    if !peers_are_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = compile(folder);
    let (old, new) = (image("1.0.0", 1), image("1.1.0", 2));
    std::fs::create_dir(folder.join("www")).unwrap();
    std::fs::write(folder.join("www/fw.bin"), &new).unwrap();
    let ca = authority(folder, "trusted");
    authority(folder, "stranger");
    let (broker, trusted, stranger) = (free_tcp_port(), free_tcp_port(), free_tcp_port());
    std::fs::write(
        folder.join("mosquitto.conf"),
        format!("listener {broker} 127.0.0.1\nallow_anonymous true\n"),
    )
    .unwrap();
    let _broker = run(program("mosquitto").arg("-c").arg(folder.join("mosquitto.conf")));
    let _host = nginx(folder, [(trusted, "trusted"), (stranger, "stranger")]);
    [broker, trusted, stranger].into_iter().for_each(wait_for_port);
    let heard = folder.join("reports.txt");
    let _listener = run(program("mosquitto_sub")
        .args(["-p", &broker.to_string(), "-q", "1", "-t", "/switch/ota/#"])
        .stdout(File::create(&heard).unwrap()));
    let states = folder.join("states.txt");
    let _watcher = run(program("mosquitto_sub")
        .args(["-p", &broker.to_string(), "-t", "/switch/state/root"])
        .stdout(File::create(&states).unwrap()));

    let mut flash = vec![0xFF; FLASH_BYTES];
    let table = PartitionTable::default_4mb().to_bytes().unwrap();
    flash[0x8000..0x8000 + table.len()].copy_from_slice(&table);
    flash[0x9000..0x9010].copy_from_slice(b"what nvs keeps..");
    flash[OTA_0..OTA_0 + old.len()].copy_from_slice(&old);
    let mesh_port = free_udp_ports();
    // The root, a node under it, and two under that one.
    let tree = [(0, 1), (0, 2), (1, 3), (1, 3)];
    let _nodes: Vec<Running> = tree
        .iter()
        .enumerate()
        .map(|(index, (parent, layer))| {
            let file = folder.join(format!("{index}.flash"));
            std::fs::write(&file, &flash).unwrap();
            let log = File::create(folder.join(format!("{index}.log"))).unwrap();
            let mut command = Command::new(&node);
            command.env("FLASH", &file).env("CA_FILE", &ca).env("MESH_PORT", mesh_port.to_string());
            command.env("INDEX", index.to_string()).env("NODES", NODES.to_string());
            command.env("PARENT", parent.to_string()).env("LAYER", layer.to_string());
            command.env("NODE_TYPE", if index == 3 { "relay8" } else { "switch" });
            command.env("BROKER_URI", format!("mqtt://127.0.0.1:{broker}"));
            if index == 0 {
                command.env("IS_ROOT", "1");
            }
            run(command.stdout(log.try_clone().unwrap()).stderr(log))
        })
        .collect();
    let all_known = || {
        let text = std::fs::read_to_string(&states).unwrap();
        (0..NODES)
            .all(|index| text.contains(&format!("\"deviceId\":{}", (2_u64 << 40) + 2 * u64::from(index) + 2)))
    };
    wait_until(all_known, "every node's status", folder);

    let trigger = |port: u16| {
        let message = format!("{{\"type\":\"ota_trigger\",\"url\":\"https://localhost:{port}/fw.bin\"}}");
        let mut publish = program("mosquitto_pub");
        publish.args(["-p", &broker.to_string(), "-q", "1", "-t", "/switch/cmd/root", "-m", &message]);
        assert!(publish.status().unwrap().success());
    };
    let all_ended_with = |state: &str, code: &str| {
        let reports = reports(&heard);
        reports.len() == usize::from(NODES)
            && reports.values().all(|steps| steps.iter().any(|(s, c)| s == state && c == code))
    };
    trigger(stranger);
    wait_until(|| all_ended_with("failed", "certificate_unknown_ca"), "the stranger to be refused", folder);
    trigger(trusted);
    wait_until(|| all_ended_with("confirmed", ""), "every node to be confirmed", folder);

    for index in 0..NODES {
        let after = std::fs::read(folder.join(format!("{index}.flash"))).unwrap();
        assert_eq!(after[0x170000..0x170000 + new.len()], new[..], "node {index} has the new image in ota_1");
        assert_eq!(after[..0xE000], flash[..0xE000], "node {index}: bootloader, table and nvs are untouched");
        assert_eq!(after[OTA_0..OTA_0 + old.len()], old[..], "node {index}: the old image is still there");
        let log = std::fs::read_to_string(folder.join(format!("{index}.log"))).unwrap();
        let boots: Vec<&str> = log.lines().filter(|line| line.starts_with("boot: ")).collect();
        assert!(boots.len() == 2 && boots[1].contains("0x170000"), "node {index} restarted once: {boots:?}");
        assert!(
            log.contains("light: blue") && log.trim_end().ends_with("light: green"),
            "node {index}: {log}"
        );
        assert!(!log.contains("ERROR: AddressSanitizer") && !log.contains("runtime error"), "{log}");
    }
}
