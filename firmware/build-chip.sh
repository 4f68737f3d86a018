#!/usr/bin/env bash
# Builds firmware for a RISC-V chip: rustup's target where it is installed, else Debian's compiler with its sources.
# Usage: firmware/build-chip.sh PACKAGE TARGET_DIR [cargo build options]
set -euo pipefail
cd "$(dirname "$0")"
package=$1 target_dir=$2
shift 2
target=riscv32imc-unknown-none-elf
if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo build --release --target "$target" --target-dir "$target_dir" -p "$package" "$@"
fi
unset RUSTUP_TOOLCHAIN CARGO RUSTC_WRAPPER
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER=ld.lld
exec /usr/bin/cargo build --release -Zbuild-std=core,alloc --target "$target" --target-dir "$target_dir" -p "$package" "$@"
