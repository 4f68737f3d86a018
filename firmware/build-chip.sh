#!/usr/bin/env bash
# Builds firmware for a RISC-V chip: rustup's target where it is installed, else Debian's compiler with its sources.
# Usage: firmware/build-chip.sh PACKAGE TARGET_DIR [cargo build options]
# TARGET=riscv32imac-unknown-none-elf builds for chips that have atomics (ESP32-C6) in place of the ESP32-C3.
set -euo pipefail
cd "$(dirname "$0")"
package=$1 target_dir=$2
shift 2
target=${TARGET:-riscv32imc-unknown-none-elf}
if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo build --release --target "$target" --target-dir "$target_dir" -p "$package" "$@"
fi
# A library that is built here can be built small: no texts for panics (the exception handler prints where it happened),
# type names instead of whole values in the log.
# A newer linker than Debian's usual one shortens calls (RISC-V relaxation), which saves several percent.
unset RUSTUP_TOOLCHAIN CARGO
linker=ld.lld
if command -v ld.lld-22 >/dev/null; then linker=ld.lld-22; fi
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER=$linker CARGO_TARGET_RISCV32IMAC_UNKNOWN_NONE_ELF_LINKER=$linker
export CARGO_PROFILE_RELEASE_PANIC=immediate-abort
small="-Zlocation-detail=none -Zfmt-debug=shallow"
export CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_RUSTFLAGS=$small CARGO_TARGET_RISCV32IMAC_UNKNOWN_NONE_ELF_RUSTFLAGS=$small
exec /usr/bin/cargo build --release -Zpanic-immediate-abort -Zbuild-std=core,alloc -Zbuild-std-features=optimize_for_size \
    --target "$target" --target-dir "$target_dir" -p "$package" "$@"
