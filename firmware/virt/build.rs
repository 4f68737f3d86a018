//! Each program has its own place in memory.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bin=virt-boot=-T{folder}/boot.ld");
    println!("cargo::rustc-link-arg-bin=virt-app=-T{folder}/app.ld");
    println!("cargo::rerun-if-changed=boot.ld");
    println!("cargo::rerun-if-changed=app.ld");
}
