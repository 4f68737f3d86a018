//! `rootcast node`: a mesh of processes, with mosquitto as its broker, and Python's HTTP server or nginx as its host.

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;
#[path = "common/processes.rs"]
mod processes;

use common::{fails, rootcast, succeeds, text};
use mosquitto::{Mosquitto, free_port};
use processes::{Process, free_udp_address, node, python_host, wait_for, wait_until};
use rootcast_hosting::DevelopmentCa;
use rootcast_image::{ChipId, writer::AppImageBuilder};
use serde_json::Value;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// How often the host was asked for a file.
fn requests(folder: &Path, file: &str) -> usize {
    fs::read_to_string(folder.join("host.log")).unwrap().matches(&format!("GET /{file}")).count()
}

/// A folder with an old app and two new ones.
fn folder_with_apps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, version) in [("old.bin", "1.0.0"), ("new.bin", "1.1.0"), ("newer.bin", "1.2.0")] {
        let app = AppImageBuilder::new(ChipId::ESP32C3).version(version).size(300_000).build().unwrap();
        fs::write(folder.path().join(name), app).unwrap();
    }
    folder
}

#[test]
fn a_mesh_of_processes_updates_from_a_plain_host_and_keeps_its_flash() {
    let Some(broker) = Mosquitto::start("allow_anonymous true\nlog_type all", |_| {}) else { return };
    let folder = folder_with_apps();
    let folder = folder.path();
    let Some((_host, port)) = python_host(folder) else { return };
    succeeds(folder, &["keygen", "keys"]);
    let trust = fs::read_to_string(folder.join("keys/signing-key.digest")).unwrap();
    for app in ["old.bin", "new.bin", "newer.bin"] {
        succeeds(folder, &["sign", app, "--key", "keys/signing-key.pem", "-o", app]);
    }
    let names = ["root", "leaf1", "leaf2", "leaf3", "leaf4"];
    for name in names {
        succeeds(folder, &["flash", "--app", "old.bin", "-o", &format!("{name}.flash")]);
    }
    let (mesh, url) = (free_udp_address(), broker.url());
    let trust = ["--trust", trust.trim()];
    let mut processes =
        vec![node(folder, "root", &[&["--root", "--broker", &url, "--listen", &mesh], &trust[..]].concat())];
    for name in &names[1..] {
        processes.push(node(
            folder,
            name,
            &[&["--root-address", &mesh, "--type", "relay8"], &trust[..]].concat(),
        ));
    }
    names.iter().for_each(|name| wait_for(folder, name, &["\"joined\":true"]));

    // Through the mesh first, which is what happens unless the trigger says otherwise; then each node by itself.
    for (file, mode, times) in [("new.bin", &[][..], 1), ("newer.bin", &["--mode", "direct"][..], 5)] {
        let image = format!("http://127.0.0.1:{port}/{file}");
        // Without the check before it: what is counted is what the nodes fetch.
        let trigger =
            ["trigger", "--no-check", &image, "--broker", &url, "--watch", "--timeout", "120s", "--json"];
        let output = rootcast(folder, &[&trigger, mode].concat());
        let last: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
        assert!(output.status.success(), "{last}");
        assert_eq!(last["updated"], 5, "{last}");
        assert_eq!(requests(folder, file), times, "{file}: {last}");
    }

    // The processes end; what they were stays on their flash.
    drop(processes);
    for name in names {
        let facts = common::json(folder, &["inspect", &format!("{name}.flash")]);
        assert_eq!(facts["boot"][0]["slot"], "ota_0", "{name}");
        assert_eq!(facts["slots"][0]["image"]["app"]["version"], "1.2.0", "{name}");
        assert_eq!(facts["slots"][1]["image"]["app"]["version"], "1.1.0", "{name}");
    }
    let again = node(folder, "leaf1", &["--root-address", &mesh]);
    wait_for(folder, "leaf1", &["\"version\":\"1.2.0\""]);
    drop(again);
}

/// nginx with TLS, which knows Range; `None`, with a printed reason, where it is not installed.
fn nginx(folder: &Path, ca: &DevelopmentCa) -> Option<(Process, u16)> {
    let (at, port) = (folder.display(), free_port());
    let identity = ca.server_identity(&[]).unwrap();
    fs::write(folder.join("chain.pem"), identity.chain_pem()).unwrap();
    fs::write(folder.join("key.pem"), identity.key_pem()).unwrap();
    let configuration = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log; events {{}}
         http {{ access_log {at}/access.log; ssl_protocols TLSv1.3; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2;
         fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;
         server {{ listen 127.0.0.1:{port} ssl; root {at};
         ssl_certificate {at}/chain.pem; ssl_certificate_key {at}/key.pem; }} }}"
    );
    fs::write(folder.join("nginx.conf"), configuration).unwrap();
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let started = Command::new("nginx")
        .env("PATH", path)
        .args(["-c", "nginx.conf", "-e", "nginx.log", "-p"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        println!("skipped: nginx is not installed (apt install nginx)");
        return None;
    };
    let process = Process(child);
    let log = || fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until(listens, || format!("nginx does not listen: {}", log()));
    Some((process, port))
}

#[test]
fn a_mesh_of_processes_updates_from_nginx_over_tls_by_one_mosquitto_pub() {
    let Some(broker) = Mosquitto::start("allow_anonymous true\nlog_type all", |_| {}) else { return };
    let folder = folder_with_apps();
    let folder = folder.path();
    let ca = DevelopmentCa::generate().unwrap();
    let Some((_host, port)) = nginx(folder, &ca) else { return };
    fs::write(folder.join("ca.pem"), ca.certificate_pem()).unwrap();
    let (mesh, url) = (free_udp_address(), broker.url());
    let names = ["root", "leaf1", "leaf2", "leaf3", "leaf4"];
    let common = ["--ca", "ca.pem", "--allow-unsigned"];
    let mut processes = Vec::new();
    for name in names {
        succeeds(folder, &["flash", "--app", "old.bin", "-o", &format!("{name}.flash")]);
        let role: &[&str] = match name {
            "root" => &["--root", "--broker", &url, "--listen", &mesh],
            _ => &["--root-address", &mesh],
        };
        processes.push(node(folder, name, &[role, &common[..]].concat()));
    }
    names.iter().for_each(|name| wait_for(folder, name, &["\"joined\":true"]));

    let reports = File::create(folder.join("reports.log")).unwrap();
    let subscriber = Command::new("mosquitto_sub")
        .args(["-p", &broker.port.to_string(), "-t", "/switch/ota/#", "-q", "1"])
        .stdout(reports)
        .spawn()
        .expect("mosquitto_sub starts");
    let _subscriber = Process(subscriber);
    broker.wait_for_subscription("/switch/ota/#");
    let image = format!("https://localhost:{port}/new.bin");
    broker.publish("/switch/cmd/root", &format!(r#"{{"type":"ota_trigger","url":"{image}"}}"#));

    let confirmed = || -> std::collections::BTreeSet<u64> {
        let text = fs::read_to_string(folder.join("reports.log")).unwrap();
        let reports = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let done = reports.filter(|report| report["state"] == "confirmed" && report["version"] == "1.1.0");
        done.filter_map(|report| report["deviceId"].as_u64()).collect()
    };
    let heard = || fs::read_to_string(folder.join("reports.log")).unwrap();
    wait_until(|| confirmed().len() == names.len(), || format!("not all confirmed:\n{}", heard()));
    let asked = fs::read_to_string(folder.join("access.log")).unwrap();
    assert_eq!(
        asked.matches("GET /new.bin HTTP/1.1").count(),
        1,
        "the root asked, and the mesh shared: {asked}"
    );
}

#[test]
fn a_node_that_cannot_be_one_says_why() {
    let folder = folder_with_apps();
    let folder = folder.path();
    succeeds(folder, &["flash", "--app", "old.bin", "-o", "one.flash"]);
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--flash", "missing.flash"], 1, "missing.flash"),
        (&["--flash", "old.bin"], 1, "old.bin"),
        (&["--flash", "one.flash", "--root"], 2, "a root needs --broker"),
        (&["--flash", "one.flash", "--root-address", "192.0.2.1:47100"], 1, "loopback only"),
        (&["--flash", "one.flash", "--ca", "old.bin"], 1, "no certificate in PEM form"),
    ];
    for (arguments, status, expected) in cases {
        let stderr = fails(folder, status, &[&["node"], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    let _first = node(folder, "one", &["--root-address", &free_udp_address()]);
    wait_for(folder, "one", &["started"]);
    let stderr = fails(folder, 1, &["node", "--flash", "one.flash"]);
    assert!(stderr.contains("in use by another process"), "{stderr}");
}
