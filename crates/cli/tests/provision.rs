//! `rootcast provision`: what goes into nvs, what comes out again, and Espressif's own tool on the other side.

mod common;

use common::{espressif, fails, json, succeeds, text};
use rootcast_world::flash::Sectors;
use rootcast_world::nvs::{Contents, Value};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SECRETS: [&str; 3] = ["correct horse", "battery staple", "0b51c7e2946fa83d"];

/// A folder with keys, a CA and files with passwords.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeeds(at, &["keygen", "keys"]);
    succeeds(at, &["keygen", "keys", "--release"]);
    fs::write(at.join("wifi.txt"), format!("{}\n", SECRETS[0])).unwrap();
    fs::write(at.join("broker.txt"), SECRETS[1]).unwrap();
    fs::write(at.join("mesh.key"), SECRETS[2].repeat(4)).unwrap();
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_string()]).unwrap();
    fs::write(at.join("ca.pem"), ca.cert.pem()).unwrap();
    folder
}

/// Everything that can be told.
fn everything(digest: &str) -> Vec<&str> {
    vec![
        "provision",
        "--wifi-ssid",
        "house",
        "--wifi-password-file",
        "wifi.txt",
        "--broker",
        "mqtts://ann@broker.example",
        "--broker-password-file",
        "broker.txt",
        "--prefix",
        "house",
        "--ca",
        "ca.pem",
        "--mesh-key",
        "mesh.key",
        "--root",
        "--type",
        "relay8",
        "--revision",
        "r2",
        "--trust",
        digest,
        "--release-key",
        "keys/release-key.pub.pem=releases",
        "--releases-only",
        "--require-time",
        "--vendor",
        "example.com",
        "--channel",
        "6",
        "--sntp",
        "time.example",
        "--direct",
        "-o",
        "nvs.bin",
    ]
}

fn digest(folder: &Path) -> String {
    fs::read_to_string(folder.join("keys/signing-key.digest")).unwrap().trim().to_string()
}

fn contents(file: &Path) -> Contents {
    let sectors = Sectors::from_bytes(&fs::read(file).unwrap());
    Contents::read(&sectors, &(0..sectors.size())).unwrap()
}

#[test]
fn what_a_node_is_told_is_read_back_without_its_secrets() {
    let folder = folder();
    let folder = folder.path();
    let digest = digest(folder);
    let said = succeeds(folder, &everything(&digest));
    for line in [
        "esptool --chip esp32c3 write-flash 0x9000 nvs.bin",
        "espflash write-bin --chip esp32c3 0x9000 nvs.bin",
        "rootcast flash --table default --app APP.bin --bootloader BOOTLOADER.bin --nvs nvs.bin -o factory.bin",
        "esptool --chip esp32c3 write-flash 0x0 factory.bin",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert!(!said.contains("note:"), "{said}");
    let shown = succeeds(folder, &["inspect", "nvs.bin"]);
    let id = fs::read_to_string(folder.join("keys/release-key.id")).unwrap();
    for fact in [
        "relay8, root, revision r2",
        "house, password set",
        "mqtts://broker.example:8883, user ann, password set",
        "house/switch/…",
        "key set, channel 6",
        &digest,
        &format!("{}, may sign releases", id.trim()),
        "signed releases only, time limits need a known time",
    ] {
        assert!(shown.contains(fact), "{fact}:\n{shown}");
    }
    let facts = json(folder, &["inspect", "nvs.bin"]);
    assert_eq!(facts["node"]["release_keys"][0]["key_id"], id.trim());
    assert_eq!(facts["node"]["releases_only"], true);
    let made = json(folder, &everything(&digest));
    for secret in SECRETS {
        for text in [&said, &shown, &facts.to_string(), &made.to_string()] {
            assert!(!text.contains(secret), "{secret}:\n{text}");
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.join("nvs.bin")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the file is the owner's alone");
    }
}

#[test]
fn espressifs_tool_makes_the_same_partition_of_the_same_entries() {
    let folder = folder();
    let folder = folder.path();
    succeeds(folder, &everything(&digest(folder)));
    let ours = contents(&folder.join("nvs.bin"));
    let mut csv = "key,type,encoding,value\nrootcast,namespace,,\n".to_string();
    for ((_, key), value) in &ours.0 {
        match value {
            Value::U8(number) => writeln!(csv, "{key},data,u8,{number}").unwrap(),
            Value::Text(text) => writeln!(csv, "{key},data,string,{text}").unwrap(),
            Value::Blob(bytes) => {
                fs::write(folder.join(format!("{key}.blob")), bytes).unwrap();
                writeln!(csv, "{key},file,binary,{key}.blob").unwrap();
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    fs::write(folder.join("nvs.csv"), csv).unwrap();
    if espressif("esp_idf_nvs_partition_gen", folder, &["generate", "nvs.csv", "theirs.bin", "0x5000"])
        .is_none()
    {
        return;
    }
    // Their writing, our reading: entry by entry the same, and the same node to whoever inspects it.
    assert_eq!(contents(&folder.join("theirs.bin")), ours);
    let node = |file: &str| json(folder, &["inspect", file])["node"].clone();
    assert_eq!(node("theirs.bin"), node("nvs.bin"));
    // Our writing against theirs: entries of ESP-IDF's format by an independent reader, one for one.
    let [theirs, ours] = ["theirs.bin", "nvs.bin"].map(|file| entries(&fs::read(folder.join(file)).unwrap()));
    assert_eq!(theirs, ours);
}

/// The entries of an NVS partition as they stand there, sorted: 32 bytes each, with the data that follows (the layout is
/// ESP-IDF's `nvs_page.cpp`: 32 bytes of header, 32 of entry states, 126 entries). The chunk of a blob says which page
/// it stands on only by where it is, so where pages break does not matter here as long as blobs are whole.
fn entries(partition: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for page in partition.chunks(4096).filter(|page| page[..4] != [0xFF; 4]) {
        let mut index = 0;
        while index < 126 {
            let state = page[32 + index / 4] >> (index % 4 * 2) & 3;
            let entry = &page[64 + index * 32..][..32];
            // 2: written; 3: empty; 0: erased.
            if state != 2 {
                index += 1;
                continue;
            }
            let span = usize::from(entry[2]).max(1);
            let data = &page[64 + (index + 1) * 32..][..(span - 1) * 32];
            // The namespace's number is given in the order of their coming: there is one here, so it is the same.
            found.push((entry.to_vec(), data.to_vec()));
            index += span;
        }
    }
    found.sort();
    found
}

#[test]
fn secrets_come_from_the_environment_and_never_from_nowhere() {
    let folder = folder();
    let folder = folder.path();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rootcast"))
            .arg("provision")
            .args(arguments)
            .args(["-o", "nvs.bin"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .env_remove("ROOTCAST_BROKER")
            .env_remove("ROOTCAST_WIFI_PASSWORD")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let broker = ("ROOTCAST_BROKER", "mqtt://ann:battery%20staple@10.0.0.2");
    let (status, stderr) = run(&["--wifi-ssid", "house"], &[("ROOTCAST_WIFI_PASSWORD", SECRETS[0]), broker]);
    assert_eq!(status, Some(0), "{stderr}");
    let told = contents(&folder.join("nvs.bin"));
    let text = |key| told.get("rootcast", key).cloned();
    assert_eq!(text("wifi_pass"), Some(Value::Text(SECRETS[0].into())));
    assert_eq!(text("mqtt_pass"), Some(Value::Text(SECRETS[1].into())));
    assert_eq!(text("broker"), Some(Value::Text("mqtt://10.0.0.2:1883".into())));

    let short = [("ROOTCAST_WIFI_PASSWORD", "short")];
    for (arguments, environment, expected) in [
        (&["--wifi-ssid", "house"][..], &[][..], "set ROOTCAST_WIFI_PASSWORD, or give --wifi-password-file"),
        (&["--broker", "mqtt://ann@10.0.0.2"], &[], "give --broker-password-file"),
        (&["--wifi-ssid", "house"], &short, "8 to 63 characters"),
        (
            &["--broker", "mqtt://10.0.0.2", "--broker-password-file", "broker.txt"],
            &[],
            "a password needs a user",
        ),
        (&["--releases-only"], &[], "--release-key"),
        (&["--channel", "14"], &[], "1..=13"),
        (&["--chip", "esp9"], &[], "no chip that is known"),
    ] {
        let (status, stderr) = run(arguments, environment);
        assert_eq!(status, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("short"), "{stderr}");
    }
    for (arguments, expected) in [
        (&["--mesh-key", "wifi.txt"][..], "no mesh key"),
        (&["--ca", "wifi.txt"], "no certificate in PEM form"),
        (&["--release-key", "wifi.txt"], "no key in PEM form"),
        (&["--prefix", "a/#"], "topic prefix"),
    ] {
        let (status, stderr) = run(arguments, &[]);
        assert_eq!(status, Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_mesh_key_is_made_once_and_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let said = succeeds(folder, &["keygen", "keys", "--mesh"]);
    let key = fs::read_to_string(folder.join("keys/mesh.key")).unwrap();
    assert_eq!(key.trim().len(), 64);
    assert!(!said.contains(key.trim()), "{said}");
    fails(folder, 2, &["keygen", "keys", "--mesh"]);
    let notes = succeeds(folder, &["provision", "--mesh-key", "keys/mesh.key", "-o", "nvs.bin"]);
    assert!(notes.contains("the node will install nothing"), "{notes}");
}
