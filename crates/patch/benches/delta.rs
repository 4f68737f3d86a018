//! Patches beside those of the peers: `cargo xtask bench delta [--real | OLD NEW …]`.
//!
//! Without files it takes every consecutive pair of real images, and pairs that it builds from this project's own
//! firmware (minutes, once; `--real` leaves them out). Where a tool is missing its column says so. Memory and instructions of the decoder are
//! those of a run on an emulated riscv32imc board.

#[path = "delta/emulated.rs"]
mod emulated;
#[path = "delta/firmware.rs"]
mod firmware;
#[path = "delta/measured.rs"]
mod measured;
#[path = "delta/peers.rs"]
mod peers;
#[path = "delta/places.rs"]
mod places;
#[path = "delta/report.rs"]
mod report;

use emulated::Board;
use measured::Measured;
use peers::Peers;
use places::{Pair, files_of, real_pairs};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("bench delta: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let pairs = match arguments {
        [] => {
            let mut pairs = real_pairs();
            pairs.extend(firmware::pairs().unwrap_or_else(|reason| {
                println!("left out: pairs of our own firmware: {reason}");
                Vec::new()
            }));
            pairs
        }
        [word] if word == "--real" => real_pairs(),
        files => files_of(files)?,
    };
    if pairs.is_empty() {
        return Err("there are no images; give some: cargo xtask bench delta OLD NEW".into());
    }
    let peers = Peers::install().unwrap_or_else(|reason| {
        println!("left out: the peers: {reason}");
        Peers::none()
    });
    let board = Board::build().unwrap_or_else(|reason| {
        println!("left out: the emulated board: {reason}");
        Board::none()
    });
    let mut rows = Vec::new();
    for pair in pairs {
        let measured = Measured::of(pair, &peers, &board)?;
        println!("{}", report::line(&measured));
        rows.push(measured);
    }
    // Full images: the last of each pair that no later pair begins with.
    let mut full = Vec::new();
    for row in &rows {
        let path = &row.pair.new;
        if rows.iter().all(|other| &other.pair.old != path) {
            let packed = Measured::of(Pair::full(path), &peers, &board)?;
            println!("{}", report::line(&packed));
            full.push(packed);
        }
    }
    report::write(&rows, &full, &board)
}
