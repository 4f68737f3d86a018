//! `cargo xtask sizes`: what the node core takes on an ESP32-C3, without the chip's drivers and the radio.
//!
//! The programs of `xtask/size-probe` are built and linked for `riscv32imc-unknown-none-elf`, optimised for size,
//! and their sections added up. Then a release is verified on an emulated board, for its stack. The compiler is rustup's where it has the target, else Debian's, which brings the
//! standard library's sources along.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::c_library;
use crate::elf;
use crate::shell::{cargo, command, output_of, run, succeeds, target_dir};

pub const TARGET: &str = "riscv32imc-unknown-none-elf";

/// The probes, and what each one holds.
const PROBES: [(&str, &str); 4] = [
    ("verify", "image verifier"),
    ("patch", "patch decoder"),
    ("signature", "signatures, RSA-3072 and P-256"),
    ("node", "node core, all of the above included"),
];

pub fn task(arguments: &[String]) -> Outcome {
    if let Some(unknown) = arguments.first() {
        return Err(format!("expected no argument, found {unknown}"));
    }
    let built = target_dir().join("sizes");
    let mut build = compiler("build")?;
    build.args(["--manifest-path", "xtask/size-probe/Cargo.toml", "--release", "--bins", "--target", TARGET]);
    run(build.arg("--target-dir").arg(&built))?;

    println!("\n{TARGET}, bytes, opt-level \"s\", fat LTO");
    println!(
        "{:<40}{:>9}{:>9}{:>9}{:>9}{:>12}{:>12}",
        "", "text", "rodata", "data", "bss", "flash", "static RAM"
    );
    for (probe, what) in PROBES {
        let file = built.join(TARGET).join("release").join(probe);
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let sizes = elf::sizes(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        let elf::Sizes { text, rodata, data, bss } = sizes;
        let (flash, ram) = (sizes.flash(), sizes.static_ram());
        println!("{what:<40}{text:>9}{rodata:>9}{data:>9}{bss:>9}{flash:>12}{ram:>12}");
    }
    println!(
        "The node's static RAM is all of its state and a receive buffer of 1536 bytes; no heap is used."
    );
    c_library::measure(&built)?;
    verification()
}

/// Flash, stack and instructions of verifying a release, from a run on QEMU's riscv32 board with a painted stack.
fn verification() -> Outcome {
    if !succeeds(command("qemu-system-riscv32").arg("--version")) {
        println!(
            "release verification: not measured, there is no qemu-system-riscv32 (apt-get install qemu-system-misc)"
        );
        return Ok(());
    }
    println!("\nverify a release of two variants, decide, remember; on QEMU's riscv32 board:");
    let mut script = command("sh");
    script.arg("crates/trust/measure/run.sh").env("PROGRAMS", "empty release");
    script.env("CARGO_TARGET_DIR", target_dir());
    run(&mut script)?;
    println!("The program is linked without an allocator: this path allocates nothing.");
    Ok(())
}

/// A `cargo build`, or another `verb`, that can make programs for the chip.
pub fn compiler(verb: &str) -> Result<Command, String> {
    let installed = output_of(command("rustup").args(["target", "list", "--installed"])).unwrap_or_default();
    if installed.lines().any(|line| line == TARGET) {
        let mut build = cargo();
        build.arg(verb);
        return Ok(build);
    }
    if debian_has_the_sources() {
        let mut build = command("/usr/bin/cargo");
        // Cargo, called by cargo, would hand its own compiler on.
        for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"]
        {
            build.env_remove(variable);
        }
        build.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
        // Debian's compiler comes without the linker that rustup's brings along.
        build.env("CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER", "ld.lld");
        build.args([verb, "-Zbuild-std=core,alloc"]);
        return Ok(build);
    }
    Err(format!(
        "no compiler for {TARGET}: rustup target add {TARGET}, \
         or on Debian: apt-get install rustc-web rust-web-src cargo-web lld"
    ))
}

fn debian_has_the_sources() -> bool {
    let sysroot = output_of(command("/usr/bin/rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    sources.is_dir() && succeeds(command("/usr/bin/cargo").arg("--version"))
}
