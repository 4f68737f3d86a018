//! Makes and measures a patch: `cargo run --release --features create --example delta -- OLD NEW [PATCH]`.
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let old = if args[0] == "-" { Vec::new() } else { std::fs::read(&args[0]).expect("old image") };
    let new = std::fs::read(&args[1]).expect("new image");
    let start = Instant::now();
    let made = rootcast_patch::create(&old, &new, &Default::default()).expect("patch");
    let took = start.elapsed();
    println!(
        "{} bytes in {took:.2?}; {} copies, {} new bytes, {} map entries; decoder {} bytes",
        made.patch.len(),
        made.copies,
        made.new_bytes,
        made.map_entries,
        std::mem::size_of::<rootcast_patch::Decoder>()
    );
    for (name, bytes) in made.spent {
        println!("{bytes:10.1}  {name}");
    }
    if let Some(path) = args.get(2) {
        std::fs::write(path, made.patch).expect("patch file");
    }
}
