//! Compares patches with those of the peers and prints a markdown table:
//! `cargo run --release --features create --example delta_bench -- OLD NEW [OLD NEW …]`.
//! The peers run in `examples/peers.py`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rootcast_patch::{Decoder, Options, apply, create};

/// The columns of the table after ours, in the order that `peers.py` prints them.
const PEERS: [&str; 7] = [
    "bsdiff4",
    "detools-heatshrink",
    "detools-lzma",
    "hdiffpatch-lzma2",
    "hdiffpatch-zstd",
    "zstd-patch-from",
    "xz-full",
];

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    println!("Decoder RAM: {} bytes (its size; it allocates nothing).\n", size_of::<Decoder>());
    println!(
        "| pair | rootcast | of the smallest peer | {} | made in | applied, per MB |",
        PEERS.join(" | ")
    );
    println!("|---|---|---|{}", "---|".repeat(PEERS.len() + 2));
    for pair in files.chunks_exact(2) {
        let old = std::fs::read(&pair[0]).expect("the old image");
        let new = std::fs::read(&pair[1]).expect("the new image");
        let start = Instant::now();
        let patch = create(&old, &new, &Options::default()).expect("a patch").patch;
        let making = start.elapsed();
        let start = Instant::now();
        assert!(apply(&patch, &old).expect("it applies") == new);
        let applying = start.elapsed().as_secs_f64() / (new.len() as f64 / 1e6);
        let peers = peers(&pair[0], &pair[1]);
        let best = peers.iter().flatten().min().copied();
        let ratio = best.map_or("-".into(), |b| format!("{:.3}", patch.len() as f64 / b as f64));
        let cells: Vec<String> = peers.iter().map(|p| p.map_or("-".into(), |n| n.to_string())).collect();
        println!(
            "| {} → {} | **{}** | {ratio} | {} | {:.1} s | {:.0} ms |",
            name(&pair[0]),
            name(&pair[1]),
            patch.len(),
            cells.join(" | "),
            making.as_secs_f64(),
            applying * 1e3
        );
    }
}

fn name(path: &str) -> String {
    Path::new(path).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What each peer makes of the pair; `None` where it is not installed.
fn peers(old: &str, new: &str) -> Vec<Option<usize>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/peers.py");
    let output = Command::new("python3").args([script, old, new]).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let size = |peer| text.lines().find_map(|l| l.strip_prefix(peer)?.strip_prefix(' ')?.trim().parse().ok());
    PEERS.into_iter().map(size).collect()
}
