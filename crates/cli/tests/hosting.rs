//! `rootcast publish`, `check`, `host`, and the check before a `trigger`: what a user types and sees.

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use common::{fails, json, rootcast, succeeds, text};
use mosquitto::{Mosquitto, free_port};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to say what it should.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder_with(version: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    put_app(folder.path(), "lamp.bin", version, 60_000);
    folder
}

fn put_app(folder: &Path, name: &str, version: &str, size: usize) {
    let app =
        AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version(version).size(size).build().unwrap();
    fs::write(folder.join(name), app).unwrap();
}

/// A running `rootcast` whose output goes to `NAME.log`; it ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, name: &str, arguments: &[&str]) -> Process {
    let log = File::create(folder.join(format!("{name}.log"))).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_rootcast"))
        .args(arguments)
        .arg("--json")
        .current_dir(folder)
        .env("ROOTCAST_DATA", folder.join("data"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .expect("rootcast starts");
    Process(child)
}

/// Waits until the output has what is wanted, and returns that line as JSON.
fn wait_for(folder: &Path, name: &str, wanted: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
        if let Some(line) = log.lines().find(|line| line.contains(wanted)) {
            return serde_json::from_str(line).unwrap();
        }
        assert!(Instant::now() < deadline, "{name} never said {wanted}:\n{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_image_is_published_checked_triggered_and_run_with_nothing_but_rootcast() {
    let Some(broker) = Mosquitto::start("allow_anonymous true\nlog_type all", |_| {}) else { return };
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    put_app(folder, "old.bin", "1.0.0", 60_000);
    let host = start(folder, "host", &["host", "served", "--listen", "127.0.0.1:0"]);
    let started = wait_for(folder, "host", "\"started\"");
    let (base, ca) = (started["url"].as_str().unwrap(), started["ca"].as_str().unwrap().to_string());

    let published =
        json(folder, &["publish", "lamp.bin", "--to", "served", "--url", base, "--broker", &broker.url()]);
    assert_eq!(published["event"], "published");
    let url = published["url"].as_str().unwrap();
    assert!(url.ends_with("/lamp-1.1.0-esp32c3.bin"), "{url}");

    let printed = succeeds(folder, &["check", url, "--ca", &ca, "--chip", "c3", "--nodes", "40"]);
    assert!(printed.contains("Nodes will accept this image."), "{printed}");
    assert!(printed.contains("40 nodes take about"), "{printed}");

    succeeds(folder, &["flash", "--app", "old.bin", "-o", "root.flash"]);
    let mesh = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = [
        "node",
        "--flash",
        "root.flash",
        "--root",
        "--broker",
        &broker.url(),
        "--ca",
        &ca,
        "--allow-unsigned",
    ];
    let _root = start(folder, "root", &[&arguments[..], &["--listen", &mesh]].concat());
    wait_for(folder, "root", "\"joined\":true");

    // The line that publish printed, with the CA that the check before it needs.
    let line = published["trigger_line"].as_str().unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let output = rootcast(folder, &[&words[..], &["--ca", &ca, "--watch", "--timeout", "100s"]].concat());
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("checked: nodes will accept lamp 1.1.0 for esp32c3"), "{stdout}");
    assert!(stdout.contains("confirmed"), "{stdout}");

    let request = wait_for(folder, "host", "\"GET\"");
    assert_eq!((&request["event"], &request["path"]), (&"request".into(), &"/lamp-1.1.0-esp32c3.bin".into()));
    stop(folder, host);
}

/// Asks the host to stop, as a service manager does, and it says how it was.
#[cfg(unix)]
fn stop(folder: &Path, mut host: Process) {
    let status = Command::new("kill").args(["-TERM", &host.0.id().to_string()]).status().unwrap();
    assert!(status.success());
    let stopped = wait_for(folder, "host", "\"stopped\"");
    assert_eq!(stopped["finished"], true, "{stopped}");
    assert!(stopped["requests"].as_u64().unwrap() >= 2, "{stopped}");
    assert!(host.0.wait().unwrap().success());
}

#[test]
fn what_nodes_would_not_accept_is_not_triggered_unless_told_to() {
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    let _host = start(folder, "host", &["host", ".", "--plain-http", "--listen", "127.0.0.1:0"]);
    let base = wait_for(folder, "host", "\"started\"")["url"].as_str().unwrap().to_string();
    // Nobody listens there: had anything been sent, the error would be another.
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let missing = format!("{base}missing.bin");
    let stderr = fails(folder, 1, &["trigger", &missing, "--broker", &broker]);
    assert!(stderr.contains("not triggered: nodes would not accept this: http_not_found"), "{stderr}");
    assert!(stderr.contains("--no-check"), "{stderr}");
    let image = format!("{base}lamp.bin");
    for (arguments, code) in [
        (&["--chip", "s3"][..], "wrong_chip"),
        (&["--slot-size", "32K"], "image_too_large"),
        (&["--size", "60001"], "size_mismatch"),
    ] {
        let stderr = fails(folder, 1, &[&["trigger", &image, "--broker", &broker], arguments].concat());
        assert!(stderr.contains(code), "{arguments:?}: {stderr}");
    }
    let stderr = fails(folder, 1, &["trigger", &missing, "--broker", &broker, "--no-check"]);
    assert!(stderr.contains("no connection"), "{stderr}");
}

#[test]
fn the_check_says_what_is_wrong_and_what_to_do() {
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    let _host = start(folder, "host", &["host", ".", "--listen", "127.0.0.1:0"]);
    let started = wait_for(folder, "host", "\"started\"");
    let image = format!("{}lamp.bin", started["url"].as_str().unwrap());
    let output = rootcast(folder, &["check", &image]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("FAIL") && stdout.contains("certificate_unknown_ca: "), "{stdout}");
    assert!(stdout.contains("Nodes will not accept this: certificate_unknown_ca."), "{stdout}");

    let output = rootcast(folder, &["check", &image, "--ca", started["ca"].as_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((&report["event"], &report["accepted"]), (&"check".into(), &true.into()), "{report}");
    assert_eq!(report["image"]["version"], "1.1.0");
    assert!(
        report["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["step"] == "tls" && step["outcome"] == "ok")
    );
}

#[test]
fn what_cannot_be_published_says_why_and_leaves_nothing() {
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    fs::write(folder.join("page.bin"), "<!DOCTYPE html>").unwrap();
    fs::write(folder.join("release.suit"), [0xD8, 0x6B, 0xFF]).unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["lamp.bin", "--to", "ftp://x"], 2, "its scheme is unknown"),
        (&["lamp.bin", "--to", "github://owner/repo"], 2, "the tag is missing"),
        (&["missing.bin", "--to", "out"], 1, "missing.bin"),
        (&["page.bin", "--to", "out"], 1, "not an image that nodes can install"),
        (&["lamp.bin", "page.bin", "--to", "out"], 1, "not an image that nodes can install"),
        (
            &["lamp.bin", "lamp.bin", "--to", "out"],
            1,
            "two of the files would be called lamp-1.1.0-esp32c3.bin",
        ),
        (&["lamp.bin", "release.suit", "--to", "out"], 1, "not a release that nodes can read"),
        (&["lamp.bin", "--to", "out", "--presign", "9000h"], 1, "cannot sign URLs"),
        (&["lamp.bin", "--to", "lamp.bin/below"], 1, "cannot write into"),
    ];
    for (arguments, status, expected) in cases {
        let stderr = fails(folder, status, &[&["publish"], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    let left = fs::read_dir(folder.join("out")).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "nothing of it was published");
    for (to, variable) in [
        ("s3://bucket/esp", "AWS_ACCESS_KEY_ID"),
        ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("github://owner/repo@v1", "GITHUB_TOKEN"),
        ("https://host.example", "ROOTCAST_TOKEN"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_rootcast"))
            .args(["publish", "lamp.bin", "--to", to])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{to}: {stderr}");
        assert!(stderr.contains("no credentials") && stderr.contains(variable), "{to}: {stderr}");
    }
}

#[test]
fn a_name_is_not_used_again_for_other_content_unless_asked() {
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    let publish = ["publish", "lamp.bin", "--to", "out", "--url", "https://fw.example.com"];
    let printed = succeeds(folder, &publish);
    let url = "https://fw.example.com/lamp-1.1.0-esp32c3.bin";
    assert!(printed.contains(&format!("rootcast trigger {url} --broker mqtt://localhost")), "{printed}");
    let line = format!(
        "mosquitto_pub -h localhost -t /switch/cmd/root -q 1 -m '{{\"type\":\"ota_trigger\",\"url\":\"{url}\"}}'"
    );
    assert!(printed.contains(&line) && printed.contains("NOT SIGNED"), "{printed}");
    assert!(succeeds(folder, &publish).contains("there already, the same"));
    put_app(folder, "lamp.bin", "1.1.0", 61_000);
    let stderr = fails(folder, 1, &publish);
    assert!(stderr.contains("already there with other content") && stderr.contains("--replace"), "{stderr}");
    assert!(succeeds(folder, &[&publish[..], &["--replace"]].concat()).contains("replaced"));
}

#[test]
fn a_host_that_cannot_start_says_why() {
    let folder = folder_with("1.1.0");
    let folder = folder.path();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--listen", &taken, "--plain-http"], 1, "choose another port"),
        (&["--cert", "lamp.bin"], 2, "--key"),
        (&["--cert", "lamp.bin", "--key", "lamp.bin"], 1, "is not usable"),
        (&["--uploads", "--plain-http"], 2, "ROOTCAST_TOKEN"),
    ];
    for (arguments, status, expected) in cases {
        let stderr = fails(folder, status, &[&["host", "."], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}
