//! The C interface for a chip: the static library of `crates/idf` is linked for rv32imc by `riscv64-unknown-elf-gcc`, as a
//! C project would link it, with a program that uses all of it (`crates/idf/tests/chip`).

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::elf;
use crate::shell::{command, run, succeeds};
use crate::sizes::{TARGET, compiler};

const GCC: &str = "riscv64-unknown-elf-gcc";
/// Where an ESP32-C3 has flash and RAM (ESP32-C3 Technical Reference Manual, table "Internal and External Memory").
const PLACES: [&str; 5] = [
    "__flash=0x42000000",
    "__flash_size=0x160000",
    "__ram=0x3fc80000",
    "__ram_size=0x60000",
    "__stack_size=0x4000",
];

/// Builds the library into `built`, links it and prints what it takes.
pub fn measure(built: &Path) -> Outcome {
    if !succeeds(command(GCC).arg("--version")) {
        if std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some() {
            return Err(format!("{GCC} is missing"));
        }
        println!(
            "C interface: not linked, there is no {GCC} (apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf)"
        );
        return Ok(());
    }
    let mut build = compiler("rustc")?;
    build.args([
        "--release",
        "--package",
        "rootcast-idf",
        "--no-default-features",
        "--features",
        "abort-on-panic",
    ]);
    build.args(["--crate-type", "staticlib", "--target", TARGET, "--target-dir"]).arg(built);
    for (setting, value) in [("OPT_LEVEL", "s"), ("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("PANIC", "abort")] {
        build.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run(&mut build)?;

    let program = built.join("c-program.elf");
    let mut link = command(GCC);
    link.args(["-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-march=rv32imc", "-mabi=ilp32"]);
    link.args(["--specs=picolibc.specs", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]);
    link.args(PLACES.map(|place| format!("-Wl,--defsym={place}")));
    link.args(["-Icrates/idf/include", "crates/idf/tests/chip/main.c"]);
    link.arg(built.join(TARGET).join("release/librootcast_idf.a")).arg("-o").arg(&program);
    run(&mut link)?;

    let bytes = fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let sizes = elf::sizes(&bytes).map_err(|error| format!("{}: {error}", program.display()))?;
    println!(
        "C interface, linked by {GCC} with a program of all its functions: flash {} bytes, static RAM {} bytes",
        sizes.flash(),
        sizes.static_ram()
    );
    Ok(())
}
