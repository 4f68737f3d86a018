//! `cargo xtask firmware`: builds the ESP32-C3's program, makes its image with espflash, has esptool look at it, and
//! compares its sizes with those that are committed. `--merge` makes a whole flash of it, `--test` updates emulated
//! boards, `--chip esp32c6` makes the image for that chip.
//!
//! The figures stand in `firmware/esp32c3/sizes.txt`, a name and a number a line. An image that has grown by more than
//! [`MAX_GROWTH_PERCENT`] fails, with the sections that grew; `--accept` writes the new figures down.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::elf::{self, Section};
use crate::peers;
use crate::shell::{cargo, command, output_of, root, run, target_dir};

const TARGET: &str = "riscv32imc-unknown-none-elf";
/// The target for chips that have atomics.
const TARGET_WITH_ATOMICS: &str = "riscv32imac-unknown-none-elf";
const FIGURES: &str = "firmware/esp32c3/sizes.txt";

/// Growth of the image that has to be accepted by a person.
const MAX_GROWTH_PERCENT: u64 = 2;
/// Bytes of `ota_0` in the default partition table.
const SLOT_BYTES: u64 = 1408 * 1024;
/// Share of the slot that an image may take: what an application of one's own wants is to fit beside it.
const MAX_SLOT_PERCENT: u64 = 60;

pub fn task(arguments: &[String]) -> Outcome {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => check(false),
        ["--accept"] => check(true),
        ["--merge", nvs, flash] => {
            let (elf, app) = (build("rootcast-esp32c3")?, app_image());
            flash_image("esp32c3", &[&elf, &app, Path::new(nvs), Path::new(flash)])?;
            println!(
                "{flash}: bootloader, partition table, {nvs} and application. To a board:\n\
                 esptool --chip esp32c3 write-flash 0x0 {flash}"
            );
            Ok(())
        }
        ["--chip", "esp32c6"] => esp32c6(),
        ["--test"] => {
            // Virtual nodes are in the same mesh as the boards: the program that the tests have built, if they have.
            run(cargo().env("PATH", peers::path()).args(["test", "--workspace", "--no-run"]))?;
            build("rootcast-virt")?;
            // One emulated mesh at a time; what they measure is to be seen.
            run(host_cargo("test").args(["--", "--nocapture", "--test-threads=1"]))
        }
        _ => Err("expected nothing, --accept, --test, --chip esp32c6, or --merge NVS.bin FLASH.bin".into()),
    }
}

fn built() -> PathBuf {
    target_dir().join("firmware")
}

fn app_image() -> PathBuf {
    built().join("rootcast-esp32c3.bin")
}

/// Builds a package for the chip; the ELF file of its program of the same name.
fn build(package: &str) -> Result<PathBuf, String> {
    run(command(root().join("firmware/build-chip.sh")).arg(package).arg(built()))?;
    Ok(built().join(TARGET).join("release").join(package))
}

/// A cargo for the host's part of the firmware's workspace.
fn host_cargo(verb: &str) -> std::process::Command {
    let mut cargo = cargo();
    cargo.current_dir(root().join("firmware")).arg(verb);
    cargo.args(["-p", "rootcast-body", "-p", "rootcast-emulation", "-p", "rootcast-flash-image"]);
    cargo.env("ROOTCAST_BIN", target_dir().join("debug/rootcast"));
    cargo.env("PATH", peers::path()).env("ROOTCAST_FIRMWARE_DIR", built().join(TARGET).join("release"));
    cargo
}

/// The program for the ESP32-C6: built, and its image looked at. It has no budget, as nobody has run it.
fn esp32c6() -> Outcome {
    let mut build = command(root().join("firmware/build-chip.sh"));
    build.arg("rootcast-esp32c3").arg(built()).args(["--no-default-features", "--features", "esp32c6"]);
    run(build.env("TARGET", TARGET_WITH_ATOMICS))?;
    let elf = built().join(TARGET_WITH_ATOMICS).join("release/rootcast-esp32c3");
    let app = built().join("rootcast-esp32c6.bin");
    flash_image("esp32c6", &[&elf, &app])?;
    ask_esptool("esp32c6", &app)?;
    let bytes = fs::metadata(&app).map_err(|error| format!("{}: {error}", app.display()))?.len();
    println!(
        "{}: {bytes} bytes, {:.1} % of the slot",
        app.display(),
        bytes as f64 * 100.0 / SLOT_BYTES as f64
    );
    Ok(())
}

fn flash_image(chip: &str, paths: &[&Path]) -> Outcome {
    let mut make = cargo();
    make.current_dir(root().join("firmware"));
    make.args(["run", "--quiet", "--locked", "-p", "rootcast-flash-image", "--", chip]);
    for path in paths {
        make.arg(std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    run(&mut make)
}

fn check(accept: bool) -> Outcome {
    let elf = build("rootcast-esp32c3")?;
    flash_image("esp32c3", &[&elf, &app_image()])?;
    ask_esptool("esp32c3", &app_image())?;

    let bytes = fs::read(&elf).map_err(|error| format!("{}: {error}", elf.display()))?;
    let found = figures(&bytes).map_err(|error| format!("{}: {error}", elf.display()))?;
    let file = root().join(FIGURES);
    if accept {
        let lines: String = found.iter().map(|(name, bytes)| format!("{name} {bytes}\n")).collect();
        fs::write(&file, lines).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let committed = read_figures(&fs::read_to_string(&file).map_err(|error| format!("{FIGURES}: {error}"))?)?;
    print(&found, &committed);
    compare(&found, &committed)
}

/// esptool's judgement of the image: its checksum and its hash have to be valid.
fn ask_esptool(chip: &str, app: &Path) -> Outcome {
    let mut look = command("esptool");
    look.env("PATH", peers::path()).args(["--chip", chip, "image-info"]).arg(app);
    match output_of(&mut look) {
        Some(text) if text.matches("(valid)").count() >= 2 => {
            println!("esptool: checksum and hash are valid");
            Ok(())
        }
        Some(text) => Err(format!("esptool does not accept {}:\n{text}", app.display())),
        None if std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some() => {
            Err("esptool did not look at the image".into())
        }
        None => {
            println!("skipped: esptool is not installed (cargo xtask test --install)");
            Ok(())
        }
    }
}

/// The image, RAM by its use, and every section that takes flash or RAM.
fn figures(elf: &[u8]) -> Result<BTreeMap<String, u64>, String> {
    let sections = elf::sections(elf)?;
    let image = fs::metadata(app_image()).map_err(|error| error.to_string())?.len();
    let mut figures = BTreeMap::from([("image".to_string(), image)]);
    let is_ram = |section: &&Section| (0x3FC8_0000..0x3FCE_0000).contains(&section.address);
    let of = |wanted: &dyn Fn(&Section) -> bool| {
        sections
            .iter()
            .filter(is_ram)
            .filter(|section| wanted(section))
            .map(|section| u64::from(section.bytes))
            .sum::<u64>()
    };
    figures.insert("ram.static".into(), of(&|section| section.name != ".stack"));
    figures.insert("ram.stack".into(), of(&|section| section.name == ".stack"));
    // .rotext_dummy keeps addresses free, and takes nothing.
    let takes = |section: &&Section| section.bytes > 0 && section.name != ".rotext_dummy";
    for section in sections.iter().filter(takes) {
        *figures.entry(format!("section{}", section.name)).or_default() += u64::from(section.bytes);
    }
    Ok(figures)
}

fn read_figures(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let line = |line: &str| {
        let (name, bytes) = line.split_once(' ')?;
        Some((name.to_string(), bytes.trim().parse().ok()?))
    };
    text.lines().map(|it| line(it).ok_or(format!("{FIGURES}: no name and number: {it}"))).collect()
}

fn print(found: &BTreeMap<String, u64>, committed: &BTreeMap<String, u64>) {
    println!("\n{:<28}{:>12}{:>12}", "ESP32-C3, bytes", "now", "committed");
    for (name, bytes) in found {
        let before = committed.get(name).map_or("new".into(), u64::to_string);
        println!("{name:<28}{bytes:>12}{before:>12}");
    }
    let image = found.get("image").copied().unwrap_or(0);
    println!("{:.1} % of the slot of {SLOT_BYTES} bytes", image as f64 * 100.0 / SLOT_BYTES as f64);
}

fn compare(found: &BTreeMap<String, u64>, committed: &BTreeMap<String, u64>) -> Outcome {
    let of = |figures: &BTreeMap<String, u64>, name: &str| figures.get(name).copied().unwrap_or(0);
    if of(found, "image") * 100 > SLOT_BYTES * MAX_SLOT_PERCENT {
        return Err(format!(
            "the image takes more than {MAX_SLOT_PERCENT} % of a slot of {SLOT_BYTES} bytes"
        ));
    }
    for name in ["image", "ram.static"] {
        let (now, before) = (of(found, name), of(committed, name));
        if now * 100 > before * (100 + MAX_GROWTH_PERCENT) {
            let grown = found.iter().filter(|(name, _)| name.starts_with("section"));
            let grown = grown.filter(|(name, bytes)| **bytes > of(committed, name));
            let grown: Vec<String> = grown
                .map(|(name, bytes)| {
                    let (name, before) = (&name["section".len()..], of(committed, name));
                    format!("{name} by {}", bytes - before)
                })
                .collect();
            return Err(format!(
                "{name} has grown from {before} to {now} bytes, more than {MAX_GROWTH_PERCENT} %: {}. \
                 Make it smaller, or accept it: cargo xtask firmware --accept",
                grown.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, bytes)| (name.to_string(), *bytes)).collect()
    }

    #[test]
    fn growth_beyond_two_percent_fails_and_names_the_sections_that_grew() {
        let before =
            figures(&[("image", 1000), ("ram.static", 500), ("section.text", 700), ("section.rodata", 300)]);
        let mut now = before.clone();
        now.insert("image".into(), 1020);
        assert_eq!(compare(&now, &before), Ok(()), "two percent is not more than two percent");
        now.insert("image".into(), 1021);
        now.insert("section.text".into(), 721);
        let reason = compare(&now, &before).unwrap_err();
        assert!(reason.contains(".text by 21") && !reason.contains(".rodata"), "{reason}");
    }

    #[test]
    fn figures_are_read_as_written() {
        assert_eq!(
            read_figures("image 12\nsection.text 7\n"),
            Ok(figures(&[("image", 12), ("section.text", 7)]))
        );
        assert!(read_figures("image twelve\n").is_err());
    }

    #[test]
    fn an_image_that_leaves_less_than_forty_percent_of_the_slot_fails_however_little_it_grew() {
        let most = figures(&[("image", SLOT_BYTES * 60 / 100)]);
        assert_eq!(compare(&most, &most), Ok(()));
        let more = figures(&[("image", SLOT_BYTES * 60 / 100 + 1)]);
        assert!(compare(&more, &more).is_err());
    }
}
