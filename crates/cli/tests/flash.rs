//! `rootcast flash`: factory flash images that the bootloader, esptool and `rootcast inspect` read.

mod common;

use common::{espressif, fails, json, succeeds};
use rootcast_image::{ChipId, PartitionTable, writer::AppImageBuilder};
use std::fs;
use tempfile::TempDir;

/// A folder with an app image of that chip in `app.bin`.
fn folder_with_app(chip: ChipId) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.bin"), AppImageBuilder::new(chip).size(250_000).build().unwrap())
        .unwrap();
    folder
}

#[test]
fn a_flash_holds_table_nvs_and_app_at_their_places_and_nothing_else() {
    let folder = folder_with_app(ChipId::ESP32C3);
    let folder = folder.path();
    fs::write(folder.join("nvs.bin"), vec![0xA5; 0x5000]).unwrap();
    succeeds(folder, &["flash", "--app", "app.bin", "--nvs", "nvs.bin", "-o", "flash.bin"]);
    let (flash, app) =
        (fs::read(folder.join("flash.bin")).unwrap(), fs::read(folder.join("app.bin")).unwrap());
    let table = PartitionTable::default_4mb().to_bytes().unwrap();
    let mut expected = vec![0xFF; 4 << 20];
    expected[0x8000..][..table.len()].copy_from_slice(&table);
    expected[0x9000..][..0x5000].fill(0xA5);
    expected[0x1_0000..][..app.len()].copy_from_slice(&app);
    assert!(flash == expected);
}

#[test]
fn the_slot_cut_out_of_a_flash_passes_esptool() {
    let folder = folder_with_app(ChipId::ESP32C3);
    let folder = folder.path();
    succeeds(folder, &["flash", "--app", "app.bin", "-o", "flash.bin"]);
    let flash = fs::read(folder.join("flash.bin")).unwrap();
    fs::write(folder.join("slot.bin"), &flash[0x1_0000..0x17_0000]).unwrap();
    let Some(printed) = espressif("esptool", folder, &["image-info", "slot.bin"]) else { return };
    assert_eq!(printed.matches("(valid)").count(), 2, "{printed}");
}

#[test]
fn tables_are_taken_from_csv_and_binary_and_decide_where_things_go() {
    let folder = folder_with_app(ChipId::ESP32S3);
    let folder = folder.path();
    let csv = "nvs,data,nvs,0x9000,0x4000\notadata,data,ota,0xd000,0x2000\n\
               factory,app,factory,0x10000,1M\nota_0,app,ota_0,,1M\nota_1,app,ota_1,,1M\n";
    fs::write(folder.join("table.csv"), csv).unwrap();
    let table = PartitionTable::from_csv(csv).unwrap();
    fs::write(folder.join("table.bin"), table.to_bytes().unwrap()).unwrap();
    for table in ["table.csv", "table.bin"] {
        succeeds(
            folder,
            &["flash", "--table", table, "--app", "app.bin", "--size", "8MB", "-o", "flash.bin"],
        );
        let facts = json(folder, &["inspect", "flash.bin"]);
        assert_eq!(facts["size"], 8 << 20, "{table}");
        assert_eq!(facts["boot"][0]["slot"], "factory", "{table}");
        assert_eq!(facts["slots"].as_array().map(Vec::len), Some(3), "{table}");
    }
}

#[test]
fn a_bootloader_goes_where_its_chip_expects_it() {
    for (chip, offset) in [(ChipId::ESP32, 0x1000), (ChipId::ESP32C3, 0), (ChipId::ESP32C5, 0x2000)] {
        let folder = folder_with_app(chip);
        let folder = folder.path();
        // A bootloader is an image without an app descriptor.
        let bootloader = bootloader(chip);
        fs::write(folder.join("bootloader.bin"), &bootloader).unwrap();
        let arguments = ["flash", "--app", "app.bin", "--bootloader", "bootloader.bin", "-o", "flash.bin"];
        succeeds(folder, &arguments);
        let flash = fs::read(folder.join("flash.bin")).unwrap();
        assert!(flash[offset..].starts_with(&bootloader), "{chip}");
        assert_eq!(json(folder, &["inspect", "flash.bin"])["bootloader"]["offset"], offset, "{chip}");
        let stderr =
            fails(folder, 1, &["flash", "--app", "app.bin", "--bootloader", "app.bin", "-o", "flash.bin"]);
        assert!(stderr.contains("an app image, not a bootloader"), "{stderr}");
    }
}

/// A small bootloader: one segment of RAM, checksum, no hash.
fn bootloader(chip: ChipId) -> Vec<u8> {
    let mut image = AppImageBuilder::new(chip).hash_appended(false).build().unwrap();
    image.truncate(24);
    image[1] = 1;
    let data: Vec<u8> = (0..64).collect();
    image.extend_from_slice(&0x4037_0000u32.to_le_bytes());
    image.extend_from_slice(&(data.len() as u32).to_le_bytes());
    image.extend_from_slice(&data);
    image.resize((image.len() + 1).next_multiple_of(16) - 1, 0);
    image.push(data.iter().fold(0xEF, |sum, byte| sum ^ byte));
    image
}

#[test]
fn what_does_not_fit_is_refused_with_the_room_there_is() {
    let folder = folder_with_app(ChipId::ESP32C3);
    let folder = folder.path();
    let large = AppImageBuilder::new(ChipId::ESP32C3).size(1_500_000).build().unwrap();
    fs::write(folder.join("large.bin"), large).unwrap();
    fs::write(folder.join("nvs.bin"), vec![0xFF; 0x6000]).unwrap();
    fs::write(folder.join("esp32.bin"), bootloader(ChipId::ESP32)).unwrap();
    fs::write(folder.join("page.bin"), "<html>").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--app", "large.bin"], 1, "the app has 1500000 bytes, its place has 1441792"),
        (&["--app", "app.bin", "--nvs", "nvs.bin"], 1, "nvs has 24576 bytes, its place has 20480"),
        (&["--app", "app.bin", "--bootloader", "esp32.bin"], 1, "built for ESP32, this is ESP32-C3"),
        (&["--app", "page.bin"], 1, "not an ESP image"),
        (&["--app", "app.bin", "--size", "2MB"], 1, "exceeds the flash of 0x200000"),
        (&["--app", "app.bin", "--size", "1000"], 2, "a multiple of 4096 bytes"),
    ];
    for (arguments, status, expected) in cases {
        let stderr = fails(folder, status, &[&["flash", "-o", "out.bin"], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!folder.join("out.bin").exists(), "{arguments:?} left a file behind");
    }
}
