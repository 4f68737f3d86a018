//! Pairs of our own firmware for the ESP32-C3: what changes between two builds of a real program.
//!
//! A copy of the sources is built four times: as it is, with one line changed, with an older release of a library,
//! and with another setting of the compiler. The images are kept: remove `target/delta-firmware` to build again.

use crate::peers::{Peers, esptool, succeed};
use crate::places::{Pair, root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "rootcast-esp32c3";
/// The line that is changed: how long a button has to rest.
const LINE: (&str, &str, &str) =
    ("firmware/esp32c3/src/panel.rs", "BOUNCE_MS: u64 = 30", "BOUNCE_MS: u64 = 50");
/// The library whose older release is taken: the chip's drivers.
const LIBRARY: (&str, &str) = ("esp-hal", "1.2.1");
const SETTING: [&str; 2] = ["--config", "profile.release.opt-level=\"s\""];

/// The pairs, built where they are missing.
pub fn pairs() -> Result<Vec<Pair>, String> {
    let folder = target().join("delta-firmware");
    let images = folder.join("images");
    let image = |name: &str| images.join(name).with_extension("bin");
    if ["base", "line", "dependency", "option"].iter().any(|name| !image(name).is_file()) {
        build(&folder, &images)?;
    }
    let base = image("base");
    let pair =
        |name: &str, old: PathBuf, new: PathBuf| Pair { name: format!("own firmware: {name}"), old, new };
    Ok(vec![
        pair("one line changed", base.clone(), image("line")),
        pair(&format!("{} {} → newer", LIBRARY.0, LIBRARY.1), image("dependency"), base.clone()),
        pair("`opt-level` z → s", base, image("option")),
    ])
}

fn build(folder: &Path, images: &Path) -> Result<(), String> {
    println!("building our own firmware four times in {}: some minutes", folder.display());
    // esptool comes with the peers.
    Peers::install()?;
    let source = folder.join("source");
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(images).map_err(|error| failed(images, error))?;
    copy_sources(&source)?;
    let build = Build { source: &source, built: &folder.join("build"), images };

    build.image("base", &[])?;
    let line = source.join(LINE.0);
    let text = fs::read_to_string(&line).map_err(|error| failed(&line, error))?;
    if !text.contains(LINE.1) {
        return Err(format!("{} has no line with {}", LINE.0, LINE.1));
    }
    fs::write(&line, text.replace(LINE.1, LINE.2)).map_err(|error| failed(&line, error))?;
    build.image("line", &[])?;
    fs::write(&line, text).map_err(|error| failed(&line, error))?;

    let lock = source.join("firmware/Cargo.lock");
    let locked = fs::read(&lock).map_err(|error| failed(&lock, error))?;
    let older = ["update", "--package", LIBRARY.0, "--precise", LIBRARY.1];
    succeed(Command::new("cargo").args(older).current_dir(source.join("firmware")))?;
    build.image("dependency", &[])?;
    fs::write(&lock, locked).map_err(|error| failed(&lock, error))?;

    build.image("option", &SETTING)
}

struct Build<'a> {
    source: &'a Path,
    built: &'a Path,
    images: &'a Path,
}

impl Build<'_> {
    fn image(&self, name: &str, options: &[&str]) -> Result<(), String> {
        let script = self.source.join("firmware/build-chip.sh");
        succeed(Command::new(script).arg(PACKAGE).arg(self.built).args(options))?;
        let elf = self.built.join("riscv32imc-unknown-none-elf/release").join(PACKAGE);
        let flash = ["--flash-mode", "dio", "--flash-freq", "80m", "--flash-size", "4MB"];
        let mut convert = Command::new(esptool());
        convert.args(["--chip", "esp32c3", "elf2image"]).args(flash).arg("-o");
        succeed(convert.arg(self.images.join(name).with_extension("bin")).arg(elf))
    }
}

/// Copies what the repository holds, so that a change touches no file that somebody works on.
fn copy_sources(to: &Path) -> Result<(), String> {
    let list = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let list = list.map_err(|error| format!("cannot run git: {error}"))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for file in list.split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (root().join(file), to.join(file));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        // What was removed and not yet committed is no part of the sources.
        if from.is_file() {
            fs::copy(&from, &to).map_err(|error| format!("{file}: {error}"))?;
        }
    }
    Ok(())
}
