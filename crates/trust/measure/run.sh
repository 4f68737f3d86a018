#!/bin/sh
# Builds the programs for riscv32imc, runs them on QEMU's `virt` board and prints what each one took.
# Needs qemu-system-riscv32, ld.lld and a compiler for riscv32imc-unknown-none-elf: rustup's target, or Debian's rustc-web,
# rust-web-src and cargo-web. Arguments go to cargo, for example --features p384. PROGRAMS names those to run, `empty` first.
set -eu
cd "$(dirname "$0")"
target=riscv32imc-unknown-none-elf
programs=${PROGRAMS:-empty release image_p256 image_rsa chain_p256 chain_rsa}
for program in $programs; do
    set -- "$@" --bin "$program"
done
built=${CARGO_TARGET_DIR:-../../../target}/measure
if rustup target list --installed 2>/dev/null | grep -q "^$target$"; then
    cargo build --quiet --release --target-dir "$built" "$@"
else
    # `core` alone: there is no allocator to link.
    env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTFLAGS RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        /usr/bin/cargo build --quiet --release -Zbuild-std=core --target-dir "$built" "$@"
fi
board=0
for program in $programs; do
    file=$built/$target/release/$program
    # text, rodata and data of the ELF file: what would lie in flash.
    flash=$(size "$file" | awk 'NR == 2 { print $1 + $2 }')
    [ "$program" = empty ] && board=$flash
    said=$(qemu-system-riscv32 -machine virt -icount shift=0 -display none -monitor none -serial stdio -bios "$file")
    echo "$said, flash $((flash - board)) bytes"
done
