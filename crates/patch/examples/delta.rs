//! Makes a patch and says where its bytes go:
//! `cargo run --release --features create --example delta -- OLD NEW [PATCH]` (OLD `-`: none).

use std::time::Instant;

use rootcast_patch::{Options, create};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [old, new, rest @ ..] = args.as_slice() else {
        eprintln!("usage: delta OLD NEW [PATCH]");
        std::process::exit(2);
    };
    let old = if old == "-" { Vec::new() } else { std::fs::read(old).expect("the old image") };
    let new = std::fs::read(new).expect("the new image");
    let start = Instant::now();
    let made = create(&old, &new, &Options::default()).expect("a patch");
    println!(
        "{} bytes in {:.2?}; {} copies, {} new bytes, {} map entries",
        made.patch.len(),
        start.elapsed(),
        made.copies,
        made.new_bytes,
        made.map_entries
    );
    for (name, bytes) in &made.spent {
        println!("{bytes:10.1}  {name}");
    }
    if let Some(path) = rest.first() {
        std::fs::write(path, made.patch).expect("the patch file");
    }
}
