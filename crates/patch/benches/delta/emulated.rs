//! The decoder on an emulated riscv32imc board (QEMU `virt`): instructions, stack, memory, size in flash.

use crate::places::{root, target};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const TRIPLE: &str = "riscv32imc-unknown-none-elf";
/// Where `patch_run` looks for what it is given; see its own documentation.
const GIVEN_AT: &str = "0x81000000";
const PATIENCE: &str = "600";

/// A program that applies a patch on the board.
pub struct Board {
    program: Option<PathBuf>,
    /// Bytes of flash that the decoder takes.
    pub flash_bytes: Option<u32>,
}

/// What a run took.
pub struct Run {
    pub instructions: u64,
    pub stack_bytes: u64,
    pub decoder_bytes: u64,
    pub made_bytes: u64,
}

impl Board {
    pub const fn none() -> Self {
        Self { program: None, flash_bytes: None }
    }

    /// Builds the program as `cargo xtask sizes` does.
    pub fn build() -> Result<Self, String> {
        let emulator = Command::new("qemu-system-riscv32").arg("--version").output();
        emulator
            .map_err(|_| "qemu-system-riscv32 is not installed (Debian: qemu-system-misc)".to_string())?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let sizes = Command::new(cargo).args(["xtask", "sizes"]).current_dir(root()).output();
        let sizes = sizes.map_err(|error| format!("cargo xtask sizes: {error}"))?;
        let text = String::from_utf8_lossy(&sizes.stdout);
        if !sizes.status.success() {
            let errors = String::from_utf8_lossy(&sizes.stderr).into_owned();
            return Err(format!("cargo xtask sizes: {}", errors.lines().last().unwrap_or_default()));
        }
        let line = text.lines().find_map(|line| line.strip_prefix("patch decoder"));
        // Columns: text, rodata, data, bss, flash, static RAM.
        let flash_bytes = line.and_then(|line| line.split_whitespace().nth(4)?.parse().ok());
        let program = target().join("sizes").join(TRIPLE).join("release/patch_run");
        Ok(Self { program: Some(program), flash_bytes })
    }

    /// Applies a patch there; `None` where there is no board.
    pub fn apply(&self, old: &[u8], patch: &[u8]) -> Result<Option<Run>, String> {
        let Some(program) = &self.program else { return Ok(None) };
        let given = target().join("delta-given.bin");
        let lengths = [(old.len() as u32).to_le_bytes(), (patch.len() as u32).to_le_bytes()].concat();
        fs::write(&given, [&lengths, old, patch].concat())
            .map_err(|error| format!("{}: {error}", given.display()))?;
        let loader = format!("loader,file={},addr={GIVEN_AT},force-raw=on", given.display());
        let output = Command::new("timeout")
            .args([
                PATIENCE,
                "qemu-system-riscv32",
                "-M",
                "virt",
                "-m",
                "128M",
                "-nographic",
                "-bios",
                "none",
            ])
            .args(["-icount", "shift=0", "-device", &loader, "-kernel"])
            .arg(program)
            .output()
            .map_err(|error| format!("qemu-system-riscv32: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|line| line.trim().parse().ok())
                .ok_or_else(|| format!("the emulated board did not say {name}: {}", text.trim()))
        };
        Ok(Some(Run {
            instructions: number("instructions")?,
            stack_bytes: number("stack_bytes")?,
            decoder_bytes: number("decoder_bytes")?,
            made_bytes: number("made_bytes")?,
        }))
    }
}
