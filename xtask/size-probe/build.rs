//! The program that is run has its own place in memory.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bin=patch_run=-T{folder}/patch_run.ld");
    println!("cargo::rerun-if-changed=patch_run.ld");
}
