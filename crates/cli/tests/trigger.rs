//! `rootcast trigger` with mosquitto as the broker.

#[path = "common/ca.rs"]
mod ca;
mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use ca::{Ca, broker_for_certificates};
use common::{fails, rootcast, succeeds, text};
use mosquitto::{Mosquitto, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rootcast_wire::{ErrorCode, NodeId, NodeType, Report, Topics, UpdateState};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const OPEN: &str = "allow_anonymous true\nlog_type all";
const COMMAND: &str = "/switch/cmd/root";

fn open_broker() -> Option<Mosquitto> {
    Mosquitto::start(OPEN, |_| {})
}

#[test]
fn the_plain_trigger_is_the_message_of_the_original() {
    let Some(broker) = open_broker() else { return };
    let heard = broker.first_message(COMMAND, &[]);
    let printed = succeeds(
        Path::new("."),
        &["trigger", "--no-check", "https://server/fw.bin", "--broker", &broker.url()],
    );
    assert_eq!(heard.message(), r#"{"type":"ota_trigger","url":"https://server/fw.bin"}"#);
    assert_eq!(printed, format!("triggered https://server/fw.bin on /switch/cmd/root at {}\n", broker.url()));
}

#[test]
fn every_option_reaches_the_message() {
    let Some(broker) = open_broker() else { return };
    let heard = broker.first_message(&format!("home{COMMAND}"), &[]);
    let sha256 = "ab".repeat(32);
    let (url, broker_url) = ("http://10.0.0.2/fw.bin?a=1&b=%20", broker.url());
    let arguments = [
        ["trigger", url, "--broker", &broker_url],
        ["--prefix", "home", "--targets", "relay8,root,a0:b1:c2:d3:e4:f5"],
        ["--mode", "direct", "--sha256", &sha256],
        ["--size", "1310000", "--version", "1.2.0"],
        ["--max-parallel", "3", "--rollout", "winter"],
    ]
    .concat();
    let printed = common::json(
        Path::new("."),
        &[&arguments[..], &["--not-before", "2026-12-01T06:00:00Z", "--force", "--no-check"]].concat(),
    );
    let message: Value = serde_json::from_str(&heard.message()).unwrap();
    let expected = json!({
        "type": "ota_trigger", "url": url, "targets": ["relay8", "root", 0xa0b1_c2d3_e4f5u64], "mode": "direct",
        "sha256": sha256, "size": 1_310_000, "version": "1.2.0", "max_parallel": 3,
        "not_before": "2026-12-01T06:00:00Z", "rollout": "winter", "force": true,
    });
    assert_eq!(message, expected);
    assert_eq!(printed["event"], "triggered");
    assert_eq!(printed["topic"], "home/switch/cmd/root");
}

#[test]
fn a_pre_signed_url_of_1500_bytes_arrives_whole() {
    let Some(broker) = open_broker() else { return };
    let heard = broker.first_message(COMMAND, &[]);
    let url = format!("https://bucket.s3.example/fw.bin?X-Amz-Signature={}", "a".repeat(1450));
    succeeds(Path::new("."), &["trigger", "--no-check", &url, "--broker", &broker.url()]);
    let message: Value = serde_json::from_str(&heard.message()).unwrap();
    assert_eq!(message["url"], url);
}

#[test]
fn a_trigger_that_no_root_would_take_is_not_sent() {
    // Nobody listens there: had it been sent, the error would be another.
    let broker = format!("mqtt://127.0.0.1:{}", free_port());
    let long = format!("https://server/{}", "a".repeat(2048));
    let cases: [(&[&str], &str); 7] = [
        (&["ftp://server/fw.bin"], "neither http nor https"),
        (&["server/fw.bin"], "has no scheme"),
        (&[&long], "at most 2048"),
        (&["https://server/a b"], "percent-encoded"),
        (&["https://server/fw.bin", "--sha256", "abc"], "64 hexadecimal digits"),
        (&["https://server/fw.bin", "--max-parallel", "0"], "max_parallel"),
        (&["https://server/fw.bin", "--not-before", "tomorrow"], "RFC 3339"),
    ];
    for (arguments, expected) in cases {
        let stderr = fails(Path::new("."), 2, &[&["trigger", "--broker", &broker], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_broker_that_cannot_be_used_says_why_and_never_shows_the_password() {
    let nobody = format!("mqtt://ann:secret@127.0.0.1:{}", free_port());
    let trigger = ["trigger", "--no-check", "https://server/fw.bin", "--broker"];
    let stderr = fails(Path::new("."), 1, &[&trigger[..], &[&nobody]].concat());
    assert!(stderr.contains("ann@127.0.0.1") && stderr.contains("no connection"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
    for (mistyped, expected) in [
        ("ftp://ann:secret@broker", "begins with mqtt:// or mqtts://"),
        ("mqtt://ann:secret", "port is a number"),
        ("mqtt://ann:secret@broker:x", "port is a number"),
        ("mqtt://ann:%secret@broker", "percent-encoded"),
        ("mqtt://ann:secret@", "names a host"),
    ] {
        let stderr = fails(Path::new("."), 2, &[&trigger[..], &[mistyped]].concat());
        assert!(stderr.contains(expected) && stderr.contains("--broker"), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }

    let with_users = "allow_anonymous false\npassword_file users\nlog_type all";
    let Some(broker) = Mosquitto::start(with_users, |folder| make_user(folder, "ann", "s3:cret")) else {
        return;
    };
    let port = broker.port;
    for login in ["", "ann:wrong@"] {
        let url = format!("mqtt://{login}127.0.0.1:{port}");
        let stderr = fails(Path::new("."), 1, &[&trigger[..], &[&url]].concat());
        assert!(stderr.contains("the broker refuses the login") && !stderr.contains("wrong"), "{stderr}");
    }
    let heard = broker.first_message(COMMAND, &["-u", "ann", "-P", "s3:cret"]);
    succeeds(Path::new("."), &[&trigger[..], &[&format!("mqtt://ann:s3%3Acret@127.0.0.1:{port}")]].concat());
    assert!(heard.message().contains("fw.bin"));
}

fn make_user(folder: &Path, user: &str, password: &str) {
    let file = folder.join("users");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&file)
        .args([user, password])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd");
}

#[test]
fn over_tls_the_brokers_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(&ca, issuer.pem()).unwrap();
    let tls = format!("{OPEN}\ncertfile cert.pem\nkeyfile key.pem");
    let started = Mosquitto::start(&tls, |folder| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    });
    let Some(broker) = started else { return };
    let (named, numbered) =
        (format!("mqtts://localhost:{}", broker.port), format!("mqtts://127.0.0.1:{}", broker.port));
    let (ca, trigger) =
        (ca.to_str().unwrap(), ["trigger", "--no-check", "https://server/fw.bin", "--broker"]);
    succeeds(Path::new("."), &[&trigger[..], &[&named, "--broker-ca", ca]].concat());
    for arguments in [&[named.as_str()][..], &[&numbered, "--broker-ca", ca]] {
        let stderr = fails(Path::new("."), 1, &[&trigger[..], arguments].concat());
        assert!(stderr.contains("TLS failed: invalid peer certificate"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_broker_that_wants_a_client_certificate_gets_it_and_says_why_another_will_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(broker) = broker_for_certificates(folder) else { return };
    let url = format!("mqtts://localhost:{}", broker.port);
    let trigger =
        ["trigger", "--no-check", "https://server/fw.bin", "--broker", &url, "--broker-ca", "ca.pem"];
    let ours = ["--broker-cert", "client.pem", "--broker-key", "client.key"];
    let port = broker.port.to_string();
    let heard = std::process::Command::new("mosquitto_sub")
        .args(["-h", "localhost", "-p", &port, "-t", COMMAND, "-C", "1", "-q", "1", "-W", "60"])
        .args(["--cafile", "ca.pem", "--cert", "client.pem", "--key", "client.key"])
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    broker.wait_for_subscription(COMMAND);
    succeeds(folder, &[&trigger[..], &ours].concat());
    let heard = text(&heard.wait_with_output().unwrap().stdout);
    assert_eq!(heard.trim(), r#"{"type":"ota_trigger","url":"https://server/fw.bin"}"#);

    let stderr = fails(folder, 1, &trigger);
    assert!(stderr.contains("asks for a client certificate") && stderr.contains("--broker-cert"), "{stderr}");
    let foreign = ["--broker-cert", "foreign.pem", "--broker-key", "foreign.key"];
    let stderr = fails(folder, 1, &[&trigger[..], &foreign].concat());
    assert!(stderr.contains("refuses the client certificate"), "{stderr}");
    assert!(stderr.contains("does not know who issued it") && stderr.contains("--broker-key"), "{stderr}");
    // It is us who do not believe this broker, whatever it asks for.
    let stderr = fails(folder, 1, &trigger[..5]);
    assert!(stderr.contains("TLS failed: invalid peer certificate"), "{stderr}");
}

#[test]
fn certificate_and_key_for_a_broker_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ca = Ca::new("the house");
    let ((certificate, key), (_, other)) = (ca.issue("a"), ca.issue("b"));
    fs::write(folder.join("a.pem"), certificate).unwrap();
    fs::write(folder.join("a.key"), key).unwrap();
    fs::write(folder.join("b.key"), other).unwrap();
    fs::write(folder.join("text"), "no PEM").unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--broker-cert", "a.pem"], "--broker-key"),
        (&["--broker-key", "a.key"], "--broker-cert"),
        (&["--broker-cert", "none.pem", "--broker-key", "a.key"], "none.pem cannot be read"),
        (&["--broker-cert", "a.pem", "--broker-key", "none.key"], "none.key cannot be read"),
        (&["--broker-cert", "text", "--broker-key", "a.key"], "text holds no certificate in PEM form"),
        (&["--broker-cert", "a.pem", "--broker-key", "text"], "text holds no private key in PEM form"),
        (&["--broker-cert", "a.key", "--broker-key", "a.pem"], "a.key holds no certificate"),
        (
            &["--broker-cert", "a.pem", "--broker-key", "b.key"],
            "b.key holds a private key that does not belong",
        ),
    ];
    // Nobody listens there: it does not come to a connection.
    let broker = format!("mqtts://localhost:{}", free_port());
    for (arguments, expected) in cases {
        let commands: [&[&str]; 2] =
            [&["trigger", "--no-check", "https://server/fw.bin"], &["serve", "--data", "data"]];
        for command in commands {
            let stderr = fails(folder, 2, &[command, &["--broker", &broker], arguments].concat());
            assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
            assert!(!stderr.contains("BEGIN"), "{stderr}");
        }
    }
    let right = ["--broker-cert", "a.pem", "--broker-key", "a.key"];
    let plain =
        [&["trigger", "--no-check", "https://server/fw.bin", "--broker", "mqtt://localhost"][..], &right];
    assert!(fails(folder, 2, &plain.concat()).contains("write mqtts://"));
    assert!(
        fails(folder, 2, &[&["serve", "--data", "data"][..], &right].concat())
            .contains("needs broker beside it")
    );
}

/// A report of a node of a mesh that exists in this test only.
fn report(number: u64, state: UpdateState, fill: impl FnOnce(&mut Report)) -> (String, String) {
    let mut report = Report::new(NodeId(0xa0b1_c200_0000 + number), NodeType::Switch, state);
    report.layer = u8::try_from(number).unwrap();
    report.parent = NodeId(0xa0b1_c200_0001);
    report.running = [1; 32];
    report.target = Some([2; 32]);
    fill(&mut report);
    let mut message = String::new();
    report.write_json(&mut message).unwrap();
    (Topics::default().report(report.device).to_string(), message)
}

/// Triggers and watches while a mesh of two nodes answers; the root's status tells that there are two.
fn watch(broker: &Mosquitto, arguments: &[&str], last: (String, String)) -> std::process::Output {
    let heard = broker.first_message(COMMAND, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            heard.message();
            let steps = [
                report(1, UpdateState::Accepted, |_| {}),
                report(2, UpdateState::Accepted, |_| {}),
                report(1, UpdateState::Downloading, |report| report.bytes = 1000),
                report(1, UpdateState::Confirmed, |report| {
                    report.running = [2; 32];
                    report.version = heapless::String::try_from("1.1.0").unwrap();
                }),
                last,
            ];
            for (topic, message) in steps {
                broker.publish(&topic, &message);
            }
            let status = json!({"deviceId": 0xa0b1_c200_0001u64, "rootcast": 1, "isRoot": 1, "peerCount": 1});
            broker.publish("/switch/state/root", &status.to_string());
        });
        let url = broker.url();
        rootcast(
            Path::new("."),
            &[&["trigger", "--no-check", "https://server/fw.bin", "--broker", &url, "--watch"], arguments]
                .concat(),
        )
    })
}

fn confirmed(number: u64) -> (String, String) {
    report(number, UpdateState::Confirmed, |report| {
        report.running = [2; 32];
        report.version = heapless::String::try_from("1.1.0").unwrap();
    })
}

#[test]
fn watching_succeeds_when_every_node_is_confirmed() {
    let Some(broker) = open_broker() else { return };
    let output = watch(&broker, &[], confirmed(2));
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(printed.contains("a0:b1:c2:00:00:01  switch   layer 1  downloading"), "{printed}");
    assert!(printed.contains("All 2 nodes run 1.1.0, confirmed in"), "{printed}");
    assert!(!printed.contains('\x1b'), "no terminal, no escape sequences: {printed:?}");
}

#[test]
fn watching_fails_when_a_node_refuses_and_says_what_to_do() {
    let Some(broker) = open_broker() else { return };
    let refused = report(2, UpdateState::Refused, |report| {
        report.error = Some(ErrorCode::WrongChip);
        report.detail = heapless::String::try_from("built for ESP32, this is ESP32-C3").unwrap();
    });
    let output = watch(&broker, &[], refused);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("refused: wrong_chip: built for ESP32, this is ESP32-C3"), "{printed}");
    assert!(printed.contains("1 of 2 nodes run the new image"), "{printed}");
    assert!(printed.contains("Trigger the image for this chip"), "{printed}");
    assert!(text(&output.stderr).contains("1 node was not updated"));
}

#[test]
fn watching_with_json_prints_an_object_a_line_and_the_summary_last() {
    let Some(broker) = open_broker() else { return };
    let output = watch(&broker, &["--json"], confirmed(2));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "triggered");
    assert!(
        lines
            .iter()
            .any(|line| line["event"] == "report" && line["state"] == "downloading" && line["bytes"] == 1000)
    );
    let last = lines.last().unwrap();
    assert_eq!((last["event"].as_str(), last["updated"].as_u64()), (Some("summary"), Some(2)));
    assert!(output.status.success());
}

#[test]
fn watching_gives_up_when_nobody_answers() {
    let Some(broker) = open_broker() else { return };
    let arguments = [
        "trigger",
        "--no-check",
        "https://server/fw.bin",
        "--broker",
        &broker.url(),
        "--watch",
        "--timeout",
        "1s",
    ];
    let stderr = fails(Path::new("."), 1, &arguments);
    assert!(
        stderr.contains("no node answered within 1 seconds") && stderr.contains("root is connected"),
        "{stderr}"
    );
}

/// A broker that speaks MQTT 3.1.1 only, for one publication: it turns every other version away as the standard says
/// (MQTT 3.1.1 §3.1.2.2) and returns the payload that it was sent.
fn old_broker() -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut packet = [0; 1024];
            let Ok(10..) = stream.read(&mut packet) else { continue };
            // CONNECT: type, length, "MQTT" with its length, then the version.
            let accepted = packet[8] == 4;
            stream.write_all(&[0x20, 2, 0, if accepted { 0 } else { 1 }]).unwrap();
            if accepted {
                let length = stream.read(&mut packet).unwrap();
                assert_eq!(packet[0], 0x32, "PUBLISH, QoS 1");
                let topic = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                stream.write_all(&[0x40, 2, packet[4 + topic], packet[5 + topic]]).unwrap();
                return packet[6 + topic..length].to_vec();
            }
        }
        unreachable!("the listener never ends")
    });
    (port, broker)
}

#[test]
fn a_broker_that_speaks_mqtt_3_1_1_only_is_served_too() {
    let (port, broker) = old_broker();
    let url = format!("mqtt://127.0.0.1:{port}");
    succeeds(Path::new("."), &["trigger", "--no-check", "https://server/fw.bin", "--broker", &url]);
    assert_eq!(text(&broker.join().unwrap()), r#"{"type":"ota_trigger","url":"https://server/fw.bin"}"#);
}
