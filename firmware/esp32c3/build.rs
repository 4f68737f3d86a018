//! esp-hal's linker script.

fn main() {
    println!("cargo::rustc-link-arg=-Tlinkall.x");
    println!("cargo::rerun-if-changed=build.rs");
}
