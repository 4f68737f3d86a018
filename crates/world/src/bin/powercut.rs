//! Runs the power-cut campaign: `powercut [full|sample] [--only STORY] [FOLDER]`, with the folder that holds real images,
//! and with only those scenes whose description contains STORY. Exit status 0 only if nothing happened that must not.

use rootcast_world::powercut::Campaign;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let only = match arguments.get(1).is_some_and(|word| word == "--only") {
        true => arguments.drain(1..arguments.len().min(3)).nth(1),
        false => None,
    };
    let campaign = match arguments.first().map(String::as_str) {
        None | Some("full") => Campaign::FULL,
        Some("sample") => Campaign::SAMPLE,
        Some(other) => {
            eprintln!("\"{other}\" is no campaign; choose full or sample");
            return ExitCode::from(2);
        }
    };
    let mut scenes = Vec::new();
    match arguments.get(1).map(|folder| campaign.real_scenes(Path::new(folder))) {
        // They take longest, so they begin.
        Some(Ok(real)) => scenes = real,
        Some(Err(error)) => println!("without real images: {error}"),
        None => println!("without real images: no folder was named"),
    }
    scenes.extend(campaign.scenes());
    if let Some(only) = &only {
        scenes.retain(|scene| scene.to_string().contains(only));
    }
    let began = Instant::now();
    let report = campaign.run_scenes(&scenes);
    print!("{report}");
    let total = report.total();
    println!(
        "bricked: {}, running slot written: {}, nvs changed: {}; {} cut points in {} scenes in {:.0} s",
        total.bricked,
        total.running_slot_written,
        total.nvs_changed,
        total.points,
        scenes.len(),
        began.elapsed().as_secs_f64()
    );
    if total.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
