//! Valid images; tests break one thing in them.
#![allow(dead_code)]

use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;

pub fn image(version: &str, size: usize) -> Vec<u8> {
    image_for(ChipId::ESP32C3, version, size)
}

pub fn image_for(chip: ChipId, version: &str, size: usize) -> Vec<u8> {
    AppImageBuilder::new(chip).project("lamp").version(version).size(size).build().unwrap()
}
