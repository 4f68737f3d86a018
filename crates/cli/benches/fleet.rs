//! `cargo xtask bench fleet`: a rollout over 10,000 virtual nodes in 100 meshes, while the control plane is killed at 20
//! seeded moments and broker and database restart. Each store with each broker, one after the other.
//!
//! Arguments, all optional: `--meshes N`, `--nodes N` (of a mesh), `--kills N`, `--seed N`, `--only STORE,BROKER`;
//! `--undisturbed` runs each without any fault first.

#[path = "../tests/fleet/mesh.rs"]
mod mesh;
#[path = "../../control/tests/peers/mod.rs"]
mod peers;
#[path = "../tests/fleet/plane.rs"]
mod plane;
#[path = "../tests/fleet/run.rs"]
mod run;

use run::{Course, Outcome};
use std::fmt::Write as _;
use std::time::Duration;

/// The file that the benchmark's section is written to (`xtask/src/bench.rs`).
const REPORT_VARIABLE: &str = "ROOTCAST_BENCH_REPORT";

fn main() {
    // Cargo itself adds this one.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, usual: u64| value(name).map_or(usual, |text| text.parse().expect("a number"));
    let usual = Course {
        meshes: number("--meshes", 100),
        nodes: number("--nodes", 100),
        kills: number("--kills", 20),
        broker_restarts: 0,
        database_restarts: 0,
        postgres: false,
        mosquitto: false,
        seed: number("--seed", 1),
        step_ms: (200, 1_000),
        status: Duration::from_secs(15),
        limit: Duration::from_secs(1_800),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut rows = String::new();
    for (postgres, mosquitto) in [(false, false), (false, true), (true, false), (true, true)] {
        let (store, broker) = names(postgres, mosquitto);
        if value("--only").is_some_and(|only| only != format!("{store},{broker}").to_lowercase()) {
            continue;
        }
        let undisturbed = arguments.iter().any(|argument| argument == "--undisturbed").then_some(0);
        for kills in undisturbed.into_iter().chain([usual.kills]) {
            let restarts = |there: bool| if there && kills > 0 { 3 } else { 0 };
            let course = Course {
                kills,
                broker_restarts: restarts(mosquitto),
                database_restarts: restarts(postgres),
                postgres,
                mosquitto,
                ..usual.clone()
            };
            println!("{store}, {broker}: {course:?}");
            match runtime.block_on(run::run(&course)) {
                Some(outcome) => {
                    println!("{outcome:?}");
                    row(&mut rows, &course, &outcome);
                }
                None => println!("left out: a peer is not installed"),
            }
        }
    }
    if let Some(path) = std::env::var_os(REPORT_VARIABLE) {
        std::fs::write(path, page(&usual, &rows)).expect("the report is written");
    }
}

fn names(postgres: bool, mosquitto: bool) -> (&'static str, &'static str) {
    (if postgres { "PostgreSQL" } else { "SQLite" }, if mosquitto { "mosquitto" } else { "embedded" })
}

fn row(rows: &mut String, course: &Course, outcome: &Outcome) {
    let (store, broker) = names(course.postgres, course.mosquitto);
    let seconds = outcome.rollout.as_secs_f64();
    let _ = writeln!(
        rows,
        "| {store} | {broker} | {} | {} | {} | {seconds:.0} s | {:.0} | {:.0} | {:.0} MiB | {} | {} |",
        outcome.kills,
        course.broker_restarts,
        course.database_restarts,
        outcome.reports as f64 / seconds,
        outcome.messages as f64 / seconds,
        outcome.memory as f64 / f64::from(1 << 20),
        outcome.reminders,
        outcome.named_twice,
    );
}

fn page(course: &Course, rows: &str) -> String {
    let Course { meshes, nodes, seed, step_ms: (from, to), .. } = course;
    format!(
        "## A rollout over {} nodes

{meshes} meshes of {nodes} nodes, three layers each, ten percent first, then the rest, leaves before parents. The nodes are light: they say on \
MQTT what real ones say (eight reports an update, {from} to {to} ms apart, and a status every 15 s each), and download nothing. Nodes, \
control plane, broker and database share the machine. The control plane is killed (SIGKILL) at seeded moments (seed {seed}) and is started again \
half a second later; the embedded broker dies with it. Broker and database restarts take two seconds each. Every run ended with every node on the new image, \
installed once, and its turn in the log of triggers once; a reminder goes to a node whose answer nobody heard, which a \
node that is busy or done takes as such.

| store | broker | kills | broker restarts | database restarts | wall time | reports/s | messages/s | control plane's memory | reminders | nodes reminded |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}
Memory is the most of the control plane's proportional set size, with the embedded broker where that is the broker.",
        meshes * nodes
    )
}
