//! The whole way of a signed release: keys, provisioning, release, a plain host, `mosquitto_pub`, and node processes of two
//! chips and three node types that each end on their own variant.

mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;
#[path = "common/processes.rs"]
mod processes;

use common::{json, succeeds};
use mosquitto::Mosquitto;
use processes::{free_udp_address, node, python_host, wait_for};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::path::Path;

/// The nodes: name, type, chip.
const NODES: [(&str, &str, ChipId); 3] = [
    ("root", "switch", ChipId::ESP32C3),
    ("leaf1", "relay8", ChipId::ESP32),
    ("leaf2", "relay16", ChipId::ESP32),
];

fn image(folder: &Path, name: &str, chip: ChipId, version: &str) {
    let app = AppImageBuilder::new(chip).project(name).version(version).size(120_000).build().unwrap();
    fs::write(folder.join(format!("{name}-{version}.bin")), app).unwrap();
}

#[test]
fn one_url_updates_processes_of_two_chips_and_three_types_each_to_its_own_variant() {
    let Some(broker) = Mosquitto::start("allow_anonymous true\nlog_type all", |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeds(folder, &["keygen", "keys", "--release"]);
    let mesh = free_udp_address();
    let mut processes = Vec::new();
    for (name, kind, chip) in NODES {
        for version in ["1.1.0", "1.2.0"] {
            image(folder, kind, chip, version);
        }
        let nvs = format!("{name}.nvs");
        let key = ["--release-key", "keys/release-key.pub.pem", "--releases-only"];
        succeeds(folder, &[&["provision", "--type", kind, "-o", &nvs], &key[..]].concat());
        let (app, flash) = (format!("{kind}-1.1.0.bin"), format!("{name}.flash"));
        succeeds(folder, &["flash", "--app", &app, "--nvs", &nvs, "-o", &flash]);
        let url = broker.url();
        processes.push(match name {
            "root" => node(folder, name, &["--root", "--broker", &url, "--listen", &mesh]),
            _ => node(folder, name, &["--root-address", &mesh]),
        });
    }
    for (name, ..) in NODES {
        wait_for(folder, name, &["\"releases_only\":true"]);
        wait_for(folder, name, &["\"joined\":true"]);
    }

    let images = ["switch-1.2.0.bin:switch", "relay8-1.2.0.bin:relay8", "relay16-1.2.0.bin:relay16"];
    let create = ["release", "create", "--version", "1.2.0", "--key", "keys/release-key.pem", "-o", "public"];
    let made = json(
        folder,
        &[&create[..], &images, &["--not-after", "1d", "--patch-from", "relay8-1.1.0.bin:relay8"]].concat(),
    );
    let Some((_host, port)) = python_host(&folder.join("public")) else { return };

    // A bare image, signed by nobody, moves nobody.
    let bare = made["variants"][0]["file"].as_str().unwrap().trim_start_matches("public/").to_string();
    let trigger = |file: &str| {
        let message = format!(r#"{{"type":"ota_trigger","url":"http://127.0.0.1:{port}/{file}"}}"#);
        broker.publish("/switch/cmd/root", &message);
    };
    trigger(&bare);
    for (name, ..) in NODES {
        wait_for(folder, name, &["release_required"]);
    }
    // The release, by the same kind of trigger.
    trigger("release.suit");
    for (name, ..) in NODES {
        wait_for(folder, name, &["\"version\":\"1.2.0\"", "\"on_trial\":false"]);
    }
    drop(processes);
    for (name, kind, chip) in NODES {
        let facts = json(folder, &["inspect", &format!("{name}.flash")]);
        let app = &facts["slots"][1]["image"]["app"];
        assert_eq!(
            (&app["project_name"], &app["version"]),
            (&kind.into(), &"1.2.0".into()),
            "{name}: {facts}"
        );
        assert_eq!(facts["boot"][0]["slot"], "ota_1", "{name}");
        let wanted = fs::read(folder.join(format!("{kind}-1.2.0.bin"))).unwrap();
        assert_eq!(
            fs::read(folder.join(format!("{name}.flash"))).unwrap()[0x17_0000..][..wanted.len()],
            wanted,
            "{chip}"
        );
    }
}
