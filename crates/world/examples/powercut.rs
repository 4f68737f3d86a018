//! Runs the power-cut campaign: `powercut [full|sample]`. Exit status 0 only if nothing happened that must not.

use rootcast_world::powercut::Campaign;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let campaign = match std::env::args().nth(1).as_deref() {
        None | Some("full") => Campaign::FULL,
        Some("sample") => Campaign::SAMPLE,
        Some(other) => {
            eprintln!("\"{other}\" is no campaign; choose full or sample");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let report = campaign.run();
    print!("{report}");
    let total = report.total();
    println!(
        "bricked: {}, running slot written: {}, nvs changed: {}; {} cut points in {:.0} s",
        total.bricked,
        total.running_slot_written,
        total.nvs_changed,
        total.points,
        began.elapsed().as_secs_f64()
    );
    if total.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
