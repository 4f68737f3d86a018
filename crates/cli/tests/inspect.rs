//! `rootcast inspect`: agrees with esptool, knows files by their content, and says what is wrong with the others.

mod common;

use common::{espressif, fails, json, real_image_files, rootcast, succeeds, text};
use rootcast_image::{ChipId, OtaEntry, OtaState, PartitionTable, writer::AppImageBuilder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What `esptool image-info` prints, as pairs of name and value, segments apart.
/// Labelled lines, and the rows of the segment table.
type ImageInfo = (BTreeMap<String, String>, Vec<Vec<String>>);

fn image_info(folder: &Path, file: &str) -> Option<ImageInfo> {
    let printed = espressif("esptool", folder, &["image-info", file])?;
    let mut pairs = BTreeMap::new();
    let mut segments = Vec::new();
    for line in printed.lines() {
        if let Some((name, value)) = line.split_once(": ") {
            pairs.insert(name.to_string(), value.to_string());
        } else if line.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
            // Segment, length, load address, file offset, memory types.
            segments.push(line.split_whitespace().map(str::to_string).collect());
        }
    }
    Some((pairs, segments))
}

/// The same pairs from `rootcast inspect --json`.
fn as_esptool_says(facts: &Value) -> (BTreeMap<String, String>, Vec<Vec<String>>) {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let hex = |value: &Value| format!("{:#x}", value.as_u64().unwrap_or_default());
    let validity = |valid: bool| if valid { "valid" } else { "invalid" };
    let (app, pins, checksum, hash) =
        (&facts["app"], &facts["pin_drive"], &facts["checksum"], &facts["hash"]);
    let pin = |name: &str| format!("{name}_drv: {}", hex(&pins[name]));
    let pins: Vec<String> = ["clk", "q", "d", "cs0", "hd", "wp"].into_iter().map(pin).collect();
    let wp_pin = match facts["wp_pin"].as_u64() {
        Some(0xEE) => "0xee (disabled)".to_string(),
        _ => hex(&facts["wp_pin"]),
    };
    let checksum_says = match checksum["valid"].as_bool() {
        Some(true) => format!("{} (valid)", format_byte(&checksum["stored"])),
        _ => format!(
            "{} (invalid - calculated {})",
            format_byte(&checksum["stored"]),
            format_byte(&checksum["computed"])
        ),
    };
    let mut pairs = BTreeMap::from(
        [
            ("Image size", format!("{} bytes", facts["file_size"])),
            ("Detected image type", word(&facts["chip"])),
            ("Image version", "1".to_string()),
            ("Entry point", format!("{:#8x}", facts["entry"].as_u64().unwrap_or_default())),
            ("Segments", facts["segments"].as_array().map_or(0, Vec::len).to_string()),
            ("Flash size", word(&facts["flash_size"])),
            ("Flash freq", word(&facts["flash_frequency"])),
            ("Flash mode", word(&facts["flash_mode"])),
            ("WP pin", wp_pin),
            ("Flash pins drive settings", pins.join(", ")),
            ("Chip ID", format!("{} ({})", facts["chip_id"], word(&facts["chip"]))),
            (
                "Minimal chip revision",
                format!(
                    "v{}, (legacy min_rev = {})",
                    word(&facts["min_revision"]),
                    facts["min_revision_legacy"]
                ),
            ),
            ("Maximal chip revision", format!("v{}", word(&facts["max_revision"]))),
            ("Checksum", checksum_says),
            ("Project name", word(&app["project_name"])),
            ("App version", word(&app["version"])),
            ("Compile time", word(&app["compile_time"])),
            ("ELF file SHA256", word(&app["elf_sha256"])),
            ("ESP-IDF", word(&app["idf_version"])),
            ("Minimal eFuse block revision", word(&app["min_efuse_block_revision"])),
            ("Maximal eFuse block revision", word(&app["max_efuse_block_revision"])),
            ("Secure version", app["secure_version"].to_string()),
        ]
        .map(|(name, value)| (name.to_string(), value)),
    );
    if hash["appended"] == true {
        let valid = hash["valid"].as_bool().unwrap_or_default();
        pairs.insert("Validation hash".into(), format!("{} ({})", word(&hash["computed"]), validity(valid)));
    }
    let segments = facts["segments"].as_array().into_iter().flatten().map(|segment| {
        let number = |name: &str| segment[name].as_u64().unwrap_or_default();
        let memory: Vec<String> = segment["memory"].as_array().into_iter().flatten().map(word).collect();
        let memory = memory.join(", ");
        let mut words = vec![
            segment["index"].to_string(),
            format!("{:#07x}", number("length")),
            format!("{:#010x}", number("load_address")),
            format!("{:#010x}", number("file_offset")),
        ];
        words.extend(memory.split_whitespace().map(str::to_string));
        words
    });
    (pairs, segments.collect())
}

fn format_byte(value: &Value) -> String {
    format!("{:#04x}", value.as_u64().unwrap_or_default())
}

/// Compares every field that esptool prints. `MMU page size` is left to the caller: esptool prints it only if it is set.
fn agrees_with_esptool(folder: &Path, file: &str) {
    let Some((mut theirs, their_segments)) = image_info(folder, file) else { return };
    if let Some(page) = theirs.remove("MMU page size") {
        let ours = json(folder, &["inspect", file])["app"]["mmu_page_size"].as_u64().unwrap_or_default();
        assert!(
            page.starts_with(&format!("{} KB", ours / 1024)) || page == ours.to_string(),
            "{file}: {page} {ours}"
        );
    }
    let (ours, segments) = as_esptool_says(&json(folder, &["inspect", file]));
    assert_eq!(ours, theirs, "{file}");
    assert_eq!(segments, their_segments, "{file}");
}

#[test]
fn inspect_says_what_esptool_says_of_every_real_image() {
    for path in real_image_files() {
        let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_string_lossy());
        agrees_with_esptool(folder, &name);
    }
}

#[test]
fn inspect_says_what_esptool_says_of_images_made_here_for_every_chip() {
    let folder = tempfile::tempdir().unwrap();
    for chip in
        [ChipId::ESP32, ChipId::ESP32S2, ChipId::ESP32C3, ChipId::ESP32S3, ChipId::ESP32C6, ChipId::ESP32H2]
    {
        let image =
            AppImageBuilder::new(chip).size(300_000).revisions(3, 199).secure_version(2).build().unwrap();
        fs::write(folder.path().join("made.bin"), image).unwrap();
        agrees_with_esptool(folder.path(), "made.bin");
    }
}

#[test]
fn inspect_says_what_esptool_says_of_damaged_images_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let image = AppImageBuilder::new(ChipId::ESP32C3).build().unwrap();
    let end = image.len();
    for (name, at) in [("data.bin", 1000), ("checksum.bin", end - 33), ("hash.bin", end - 1)] {
        let mut damaged = image.clone();
        damaged[at] ^= 0x55;
        fs::write(folder.path().join(name), damaged).unwrap();
        agrees_with_esptool(folder.path(), name);
        let stderr = fails(folder.path(), 1, &["inspect", name]);
        assert!(stderr.contains("the file is damaged"), "{name}: {stderr}");
    }
}

#[test]
fn an_image_without_an_appended_hash_is_shown_with_the_hash_that_it_is_called_by() {
    let folder = tempfile::tempdir().unwrap();
    let image = AppImageBuilder::new(ChipId::ESP32C3).hash_appended(false).build().unwrap();
    fs::write(folder.path().join("app.bin"), image).unwrap();
    agrees_with_esptool(folder.path(), "app.bin");
    let facts = json(folder.path(), &["inspect", "app.bin"]);
    assert_eq!(facts["hash"]["appended"], false);
    assert_eq!(facts["hash"]["computed"].as_str().map(str::len), Some(64));
}

/// Without what depends on the bytes that fill an image made here: digests and checksums.
fn without_digests(printed: &str) -> String {
    let is_digest = |word: &str| {
        let hex = word.strip_prefix("0x").filter(|digits| digits.len() == 2).unwrap_or(word);
        (hex.len() == 64 || hex.len() < word.len()) && hex.bytes().all(|c| c.is_ascii_hexdigit())
    };
    let redact = |word: &str| {
        let end = word.find([')', ',']).unwrap_or(word.len());
        let (bare, rest) = word.split_at(end);
        if is_digest(bare) {
            format!("[{}]{rest}", if bare.len() == 64 { "digest" } else { "byte" })
        } else {
            word.to_string()
        }
    };
    printed
        .split(' ')
        .map(|word| match word.split_once('\n') {
            Some((word, rest)) => format!("{}\n{rest}", redact(word)),
            None => redact(word),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn what_a_person_sees_of_an_app_image() {
    let folder = tempfile::tempdir().unwrap();
    let image =
        AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version("1.2.0").size(300_000).build().unwrap();
    fs::write(folder.path().join("app.bin"), image).unwrap();
    insta::assert_snapshot!("app_image", without_digests(&succeeds(folder.path(), &["inspect", "app.bin"])));
}

#[test]
fn what_a_person_sees_of_a_damaged_app_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = AppImageBuilder::new(ChipId::ESP32S3).project("lamp").version("1.2.0").build().unwrap();
    image[1000] ^= 1;
    fs::write(folder.path().join("app.bin"), image).unwrap();
    let output = rootcast(folder.path(), &["inspect", "app.bin"]);
    let printed = format!("{}----\n{}", text(&output.stdout), text(&output.stderr));
    insta::assert_snapshot!("damaged_image", without_digests(&printed));
}

#[test]
fn what_a_person_sees_of_a_flash_image_after_an_update() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let app =
        |version| AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version(version).build().unwrap();
    fs::write(path("old.bin"), app("1.0.0")).unwrap();
    succeeds(folder.path(), &["flash", "--table", "original", "--app", "old.bin", "-o", "flash.bin"]);
    let mut flash = fs::read(path("flash.bin")).unwrap();
    let table = PartitionTable::original_4mb();
    let (otadata, slot) =
        (table.otadata().unwrap().offset as usize, table.find("ota_1").unwrap().offset as usize);
    let new = app("1.1.0");
    flash[slot..slot + new.len()].copy_from_slice(&new);
    for (sector, entry) in [(0, OtaEntry::new(1, OtaState::Valid)), (1, OtaEntry::new(2, OtaState::New))] {
        flash[otadata + sector * 4096..][..32].copy_from_slice(&entry.to_bytes());
    }
    fs::write(path("flash.bin"), flash).unwrap();
    insta::assert_snapshot!(
        "flash_image",
        without_digests(&succeeds(folder.path(), &["inspect", "flash.bin"]))
    );

    let facts = json(folder.path(), &["inspect", "flash.bin"]);
    assert_eq!(facts["kind"], "flash_image");
    assert_eq!(facts["boot"][0]["slot"], "ota_1");
    assert_eq!(facts["boot"][1]["writes"][0]["state"], "PENDING_VERIFY");
    assert_eq!(facts["slots"][1]["image"]["app"]["version"], "1.1.0");
}

#[test]
fn a_flash_that_boots_nothing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let table = PartitionTable::default_4mb().to_bytes().unwrap();
    let mut flash = vec![0xFF; 4 << 20];
    flash[0x8000..][..table.len()].copy_from_slice(&table);
    fs::write(folder.path().join("flash.bin"), flash).unwrap();
    let stderr = fails(folder.path(), 1, &["inspect", "flash.bin"]);
    assert!(stderr.contains("nothing in it boots"), "{stderr}");
}

#[test]
fn partition_tables_are_shown_alike_from_csv_and_binary() {
    let folder = tempfile::tempdir().unwrap();
    let table = PartitionTable::original_4mb();
    fs::write(folder.path().join("table.csv"), table.to_csv()).unwrap();
    fs::write(folder.path().join("table.bin"), table.to_bytes().unwrap()).unwrap();
    let (csv, binary) =
        (json(folder.path(), &["inspect", "table.csv"]), json(folder.path(), &["inspect", "table.bin"]));
    assert_eq!(csv["kind"], "partition_table");
    assert_eq!(csv["partitions"], binary["partitions"]);
    assert_eq!(csv["partitions"][2]["subtype"], "phy");
    let printed = succeeds(folder.path(), &["inspect", "table.csv"]);
    insta::assert_snapshot!("partition_table", without_sizes(&printed));
}

/// Without the lines on the file, which differ between CSV and binary.
fn without_sizes(printed: &str) -> String {
    printed.lines().filter(|line| !line.contains("file ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_table_that_nodes_cannot_be_updated_with_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "nvs,data,nvs,0x9000,0x6000\nfactory,app,factory,0x10000,1M\n";
    fs::write(folder.path().join("one.csv"), csv).unwrap();
    let output = rootcast(folder.path(), &["inspect", "one.csv"]);
    assert!(text(&output.stdout).contains("0 OTA slots, an update needs two"), "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn otadata_is_shown_with_its_states() {
    let folder = tempfile::tempdir().unwrap();
    let mut otadata = vec![0xFF; 8192];
    otadata[..32].copy_from_slice(&OtaEntry::new(3, OtaState::Aborted).to_bytes());
    otadata[4096..][..32].copy_from_slice(&OtaEntry::new(2, OtaState::Valid).to_bytes());
    fs::write(folder.path().join("otadata.bin"), otadata).unwrap();
    let printed = succeeds(folder.path(), &["inspect", "otadata.bin"]);
    insta::assert_snapshot!("otadata", without_sizes(&printed));
}

#[test]
fn the_keys_of_an_nvs_partition_are_shown_and_its_values_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "key,type,encoding,value\nrootcast,namespace,,\nwifi_pass,data,string,secret-word\nchannel,data,u8,7\n";
    fs::write(folder.path().join("nvs.csv"), csv).unwrap();
    let generated = ["generate", "nvs.csv", "nvs.bin", "0x5000"];
    if espressif("esp_idf_nvs_partition_gen", folder.path(), &generated).is_none() {
        return;
    }
    let printed = succeeds(folder.path(), &["inspect", "nvs.bin"]);
    assert!(printed.contains("wifi_pass (string)"), "{printed}");
    assert!(!printed.contains("secret-word"), "{printed}");
    let facts = json(folder.path(), &["inspect", "nvs.bin"]);
    assert_eq!(facts["kind"], "nvs");
    assert_eq!(facts["namespaces"]["rootcast"].as_object().map(|keys| keys.len()), Some(2));
    assert!(!facts.to_string().contains("secret-word"));
}

#[test]
fn files_that_are_mistaken_for_firmware_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let merged = [vec![0xFF; 0x1000], vec![0xE9; 100]].concat();
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("page.bin", b"<!DOCTYPE html><html>Sign in", "a web page", "check the URL"),
        (
            "denied.bin",
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "an XML document",
            "expired",
        ),
        ("message.bin", b"{\"message\":\"Not Found\"}", "a JSON document", "instead of the file"),
        ("app.elf", b"\x7fELF\x01\x01", "an ELF file", "elf2image"),
        ("app.bin.gz", b"\x1f\x8b\x08\0", "gzip", "gunzip"),
        ("empty.bin", b"", "empty", "download it again"),
        ("zeros.bin", &[0; 4096], "nothing but zeros", "again"),
        ("merged.bin", &merged, "begins with 0xff", "whole flash image"),
        ("noise.bin", b"hello", "nothing that Rootcast knows", "build/app.bin"),
    ];
    for (name, content, what, advice) in cases {
        fs::write(folder.path().join(name), content).unwrap();
        let stderr = fails(folder.path(), 1, &["inspect", name]);
        assert!(
            stderr.contains(name) && stderr.contains(what) && stderr.contains(advice),
            "{name}: {stderr}"
        );
    }
}

#[test]
fn truncated_images_say_how_much_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let image = AppImageBuilder::new(ChipId::ESP32C3).build().unwrap();
    for length in [10, 100, image.len() / 2, image.len() - 40, image.len() - 1] {
        fs::write(folder.path().join("cut.bin"), &image[..length]).unwrap();
        let stderr = fails(folder.path(), 1, &["inspect", "cut.bin"]);
        assert!(stderr.contains(&format!("truncated: {length} bytes")), "{length}: {stderr}");
    }
}

#[test]
fn with_json_an_error_is_an_object_too() {
    let folder = tempfile::tempdir().unwrap();
    let said = json(folder.path(), &["inspect", "missing.bin"]);
    assert_eq!(said["event"], "error");
    assert!(said["error"].as_str().unwrap().contains("missing.bin"));
    assert_eq!(said["advice"], "Check the path.");
}
