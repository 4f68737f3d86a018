//! The tables.

use crate::emulated::Board;
use crate::measured::Measured;
use crate::peers::NAMES;
use rootcast_patch::Decoder;
use std::fmt::Write;
use std::fs;

/// A pair in one line, for whoever waits.
pub fn line(row: &Measured) -> String {
    let against = match (row.ratio(), row.smallest_peer()) {
        (Some(ratio), Some(peer)) => format!("{ratio:.3} of {} ({} bytes)", peer.name, peer.bytes),
        _ => "nothing to compare with".to_string(),
    };
    let mut spent: Vec<_> = row.spent.iter().filter(|(_, bytes)| *bytes >= 1.0).collect();
    spent.sort_by(|a, b| b.1.total_cmp(&a.1));
    let spent: Vec<_> = spent.iter().map(|(on, bytes)| format!("{on} {bytes:.0}")).collect();
    format!("{}: {} bytes, {against}; {}", row.pair.name, row.patch_bytes, spent.join(", "))
}

/// Writes the section of the benchmarks' page where one is wanted, else prints it.
pub fn write(rows: &[Measured], full: &[Measured], board: &Board) -> Result<(), String> {
    let text = section(rows, full, board);
    match std::env::var_os("ROOTCAST_BENCH_REPORT") {
        Some(path) => fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            println!("\n{text}");
            Ok(())
        }
    }
}

fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_string(), show)
}

fn section(rows: &[Measured], full: &[Measured], board: &Board) -> String {
    let mut text = String::from("## Patches between images\n\n");
    let ratios: Vec<f64> = rows.iter().filter_map(Measured::ratio).collect();
    if let Some(worst) = ratios.iter().copied().reduce(f64::max) {
        let within = ratios.iter().filter(|ratio| **ratio <= 0.6).count();
        let _ = writeln!(
            text,
            "{within} of {} pairs take at most 0.6 of the smallest peer's bytes; the worst takes {worst:.3}.\n",
            ratios.len()
        );
    }
    table(&mut text, rows);
    let stack = rows.iter().chain(full).filter_map(|row| row.run.as_ref()).map(|run| run.stack_bytes).max();
    let decoder = rows.iter().filter_map(|row| row.run.as_ref()).map(|run| run.decoder_bytes).max();
    let _ = writeln!(
        text,
        "\nThe decoder's memory is {} bytes (the size of its state; it allocates nothing), {} on riscv32imc; its deepest stack \
         there was {}, SHA-256 included. In flash it takes {} (riscv32imc, opt-level s). Instructions are those of QEMU's riscv32 \
         `virt` machine with one instruction a tick, from the first byte of the patch to the checked hash. bsdiff4, HDiffPatch \
         and zstd need the old image, the window or both in RAM; of the peers only detools with heatshrink has a decoder that \
         fits a node.",
        size_of::<Decoder>(),
        cell(decoder, |bytes| format!("{bytes} bytes")),
        cell(stack, |bytes| format!("{bytes} bytes")),
        cell(board.flash_bytes, |bytes| format!("{bytes} bytes")),
    );
    text.push_str("\n### Full images: the same decoder, no old image\n\n");
    table(&mut text, full);
    text
}

fn table(text: &mut String, rows: &[Measured]) {
    let peers: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| rows.iter().any(|row| row.peers.iter().any(|peer| peer.name == *name)))
        .collect();
    let mut heads = vec!["image", "bytes", "**rootcast**", "to the smallest peer"];
    heads.extend(&peers);
    heads.extend(["made in", "memory", "applied, ms a MB", "instructions a byte"]);
    let _ = writeln!(text, "| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let mut cells = vec![
            row.pair.name.clone(),
            row.new_bytes.to_string(),
            format!("**{}**", row.patch_bytes),
            cell(row.ratio(), |ratio| format!("{ratio:.3}")),
        ];
        for name in &peers {
            let peer = row.peers.iter().find(|peer| peer.name == *name);
            cells.push(cell(peer, |peer| format!("{} ({:.1} s)", peer.bytes, peer.ms as f64 / 1e3)));
        }
        cells.push(format!("{:.1} s", row.made_s));
        cells.push(cell(row.encoder_mib, |mib| format!("{mib:.0} MiB")));
        cells.push(format!("{:.0}", row.applied_ms_per_mb));
        cells.push(cell(row.run.as_ref(), |run| {
            format!("{:.0}", run.instructions as f64 / row.new_bytes.max(1) as f64)
        }));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}
