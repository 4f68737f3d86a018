//! `cargo xtask bench spread [SEEDS [SEEDS_OF_LARGE]] [SCENARIO …]`: every scenario (or those named) of `scenarios/`, spread against its bound
//! and against the other ways, averaged over 20 seeds; and plain repair against coded. Markdown, on the standard output
//! or, for `cargo xtask bench spread`, into the file that `ROOTCAST_BENCH_REPORT` names. With scenarios named, the rows of
//! all others are taken over as they stand in `docs/BENCHMARKS.md`.
//!
//! Spread runs on every seed; the other ways, whose runs differ little from seed to seed, on the first four, and on the
//! first alone where more than 100 nodes make a run long. Such large scenarios may be given fewer seeds.

use rootcast_node::spread::PACKETS;
use rootcast_world::radio::outcome::Outcome;
use rootcast_world::radio::rivals::Way;
use rootcast_world::radio::scenario::{Method, Scenario};
use rootcast_world::random::Random;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread, time};

/// In the order of the table.
const SCENARIOS: [&str; 8] = [
    "dense-room",
    "house",
    "school",
    "hotel-corridor",
    "eight-hops",
    "long-chain",
    "lossy-garden",
    "two-chips",
];
const OTHERS_SEEDS: u64 = 4;

/// Means over seeds.
#[derive(Default)]
struct Means {
    runs: f64,
    airtime_s: f64,
    airtime_ratio: f64,
    worst_ratio: f64,
    time_ratio: f64,
    until: [f64; 3],
    router: f64,
    missing: usize,
    never_reached: usize,
    press_p95_ms: f64,
    hops: f64,
    senders: f64,
    oracle: f64,
    /// Nodes that sent packets; advertisements, requests, packets, and repairs among them.
    sending: f64,
    kinds: [f64; 4],
}

impl Means {
    fn add(&mut self, scenario: &Scenario, seed: u64, outcome: &Outcome) {
        let Ok(built) = scenario.build(seed) else { return };
        let bound = built.bound;
        let unreached = built.links.hops(built.rate).iter().filter(|hops| hops.is_none()).count();
        self.runs += 1.0;
        self.airtime_s += outcome.airtime_s;
        let ratio = outcome.airtime_s / bound.airtime_s;
        self.airtime_ratio += ratio;
        self.worst_ratio = self.worst_ratio.max(ratio);
        // Nodes that no way reaches are not waited for.
        let reached = 1.0 - unreached as f64 / (outcome.finished_s.len() - 1) as f64;
        for (mean, share) in self.until.iter_mut().zip([0.5, 0.95, 1.0]) {
            *mean += outcome.time_until(share * reached - 1e-9).unwrap_or(f64::NAN);
        }
        self.time_ratio += outcome.time_until(reached - 1e-9).unwrap_or(f64::NAN) / bound.time_s;
        self.router += outcome.router_bytes as f64 / f64::from(scenario.image_bytes());
        self.missing += outcome.missing().saturating_sub(unreached);
        self.never_reached += unreached;
        self.press_p95_ms += outcome.press_p95_ms().unwrap_or(0.0);
        self.hops += f64::from(bound.hops);
        self.senders += f64::from(bound.senders);
        self.sending += outcome.senders as f64;
        for (mean, count) in self.kinds.iter_mut().zip(outcome.kinds) {
            *mean += count as f64;
        }
        self.oracle += ratio * f64::from(bound.senders) / bound.oracle_sends;
    }

    fn mean(&self, sum: f64) -> f64 {
        sum / self.runs.max(1.0)
    }
}

fn measure(scenario: &Scenario, method: Method, seeds: u64) -> Means {
    let next = AtomicUsize::new(1);
    let means = Mutex::new(Means::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if seed > seeds {
                        return;
                    }
                    match scenario.run(method, seed) {
                        Ok(outcome) => {
                            if let Ok(mut means) = means.lock() {
                                means.add(scenario, seed, &outcome);
                            }
                        }
                        Err(error) => eprintln!("{}: {error}", scenario.name),
                    }
                }
            });
        }
    });
    means.into_inner().unwrap_or_default()
}

fn seconds(value: f64) -> String {
    if value.is_nan() { "never".into() } else { format!("{value:.0} s") }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A scenario's rows in both tables of the page as it stands, by the heading above each table.
fn row_of<'a>(page: &'a str, heading: &str, scenario: &str) -> Option<&'a str> {
    let (_, section) = page.split_once("<!-- spread:begin -->")?;
    let (_, table) = section.split_once(heading)?;
    let rows =
        table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let begin = format!("| {scenario} |");
    rows.into_iter().find(|row| row.starts_with(&begin))
}

const SPREAD_HEADING: &str = "### Spread against the least that any protocol needs";
const OTHERS_HEADING: &str = "### The other ways against spread";

fn main() {
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let named: Vec<String> = env::args().skip(1).filter(|it| SCENARIOS.contains(&it.as_str())).collect();
    let all_seeds = numbers.first().copied().unwrap_or(20);
    let large_seeds = numbers.get(1).copied().unwrap_or(all_seeds);
    let begun = time::Instant::now();
    let mut spread_table = String::new();
    let mut others_table = String::new();
    let page = fs::read_to_string(root().join("docs/BENCHMARKS.md")).unwrap_or_default();
    for name in SCENARIOS {
        let path = root().join("scenarios").join(format!("{name}.toml"));
        let scenario = fs::read_to_string(&path).map_err(|error| error.to_string());
        let scenario = scenario.and_then(|text| Scenario::read(&text).map_err(|error| error.to_string()));
        let scenario = match scenario {
            Ok(scenario) => scenario,
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                std::process::exit(1);
            }
        };
        if !(named.is_empty() || named.iter().any(|it| it == name)) {
            let tables = [(&mut spread_table, SPREAD_HEADING), (&mut others_table, OTHERS_HEADING)];
            for (table, heading) in tables {
                if let Some(row) = row_of(&page, heading, &scenario.name) {
                    let _ = writeln!(table, "{row}");
                }
            }
            continue;
        }
        let large = scenario.build(1).is_ok_and(|built| built.links.len() > 100);
        let (seeds, others_seeds) = if large { (large_seeds, 1) } else { (all_seeds, OTHERS_SEEDS) };
        let spread = measure(&scenario, Method::Spread, seeds);
        let _ = writeln!(
            spread_table,
            "| {} | {seeds} | {:.1} | {:.1} | {:.0} s | **{:.2}** ({:.2}) | {:.2} | {} | {} | {} | {:.2} | {:.3} | {:.0} ms | {} |",
            scenario.name,
            spread.mean(spread.hops),
            spread.mean(spread.senders),
            spread.mean(spread.airtime_s),
            spread.mean(spread.airtime_ratio),
            spread.worst_ratio,
            spread.mean(spread.oracle),
            seconds(spread.mean(spread.until[0])),
            seconds(spread.mean(spread.until[1])),
            seconds(spread.mean(spread.until[2])),
            spread.mean(spread.time_ratio),
            spread.mean(spread.router),
            spread.mean(spread.press_p95_ms),
            spread.missing,
        );
        eprintln!(
            "{} spread: {:.2} × the bound, {:.2} × the oracle; a run: {:.0} nodes send, {:.0} advertisements, {:.0} requests, {:.0} packets, {:.0} of them repairs; button {:.0} ms, all have it after {}; {} s",
            scenario.name,
            spread.mean(spread.airtime_ratio),
            spread.mean(spread.oracle),
            spread.mean(spread.sending),
            spread.mean(spread.kinds[0]),
            spread.mean(spread.kinds[1]),
            spread.mean(spread.kinds[2]),
            spread.mean(spread.kinds[3]),
            spread.mean(spread.press_p95_ms),
            seconds(spread.mean(spread.until[2])),
            begun.elapsed().as_secs()
        );
        let mut row = format!("| {} |", scenario.name);
        for way in [Way::Direct, Way::UnicastTree, Way::Mupgrade] {
            let it = measure(&scenario, Method::Other(way), others_seeds.min(seeds));
            let never = if it.missing + it.never_reached > 0 {
                format!(", {:.0} nodes never", (it.missing + it.never_reached) as f64 / it.runs.max(1.0))
            } else {
                String::new()
            };
            let _ = write!(
                row,
                " {:.1} × / {} / {:.1} / {:.0} ms{never} |",
                it.mean(it.airtime_s) / spread.mean(spread.airtime_s),
                seconds(it.mean(it.until[1])),
                it.mean(it.router),
                it.mean(it.press_p95_ms),
            );
            eprintln!("{} {way:?}: {} s", scenario.name, begun.elapsed().as_secs());
        }
        others_table.push_str(&row);
        others_table.push('\n');
    }
    let kept = if named.is_empty() {
        ""
    } else {
        " The call below measured the scenarios that it names; the other rows are from earlier calls."
    };
    let report = format!(
        "## Spreading through the mesh\n\n\
         The other ways ran on {OTHERS_SEEDS} seeds, and on one in scenarios of more than 100 nodes. An image of 1.3 MB, ESP-NOW v1 at 1 Mbit/s, one press of a \
         button a second meanwhile. The scenarios are the files of `scenarios/`; the radio is a simulation (`rootcast-world`, module \
         `radio`), the protocol is the production code.{kept}\n\n\
         The goals: in one collision domain of 50 nodes with 10 % loss (dense room) at most 1.35 × the bound and at least 15 × less \
         airtime than direct download; over eight hops with 200 nodes at most 2 × the bound; at most 1.05 images through the router; a \
         button press within 100 ms at the 95th percentile. Which are missed, and why: [What was measured](spread.md#what-was-measured).\n\n\
         {SPREAD_HEADING}\n\n\
         | scenario | seeds | hops | senders at least | airtime | airtime / bound (worst seed) | airtime / oracle | 50 % have it | 95 % | all | time / bound | router bytes / image | button p95 | nodes without it, all seeds |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n{spread_table}\n\
         Bound: R is the payload of a full ESP-NOW frame divided by its airtime with preamble and all headers of MAC and ESP-NOW \
         (250 bytes in 2.536 ms at 1 Mbit/s: 789 kbit/s); spread's own headers, seals, repairs, requests and advertisements count against \
         spread. Airtime bound: senders · S / (R · (1 − loss)), where senders are the hops or the nodes without a common neighbour, \
         whichever are more; links that lose less than half of their frames count as links, and what they lose is not in the \
         bound. The oracle knows every link, lets one node send after another with an ideal code, and needs neither requests nor repairs. Time bound: S/R once, twice over two hops, three times over more, with the wait for the channel. With two chips \
         the bound is that of one image, and the router has to bring two: one node of the second chip downloads its image and is the source for its kind, as nodes do.\n\n\
         {OTHERS_HEADING}\n\n\
         Airtime as a multiple of spread's / time until 95 % have it / images through the router / button p95.\n\n\
         | scenario | direct download | unicast tree | mupgrade |\n|---|---|---|---|\n{others_table}\n\
         All at the same rate, so that protocols are compared and not radios (how they are modelled: \
         `crates/world/src/radio/rivals.rs`). The root's own download, which every way needs, is in nobody's airtime. Direct \
         download: nodes that do not hear the router never update.\n\n{}",
        repairs()
    );
    match env::var_os("ROOTCAST_BENCH_REPORT") {
        None => println!("{report}"),
        Some(path) => {
            if let Err(error) = fs::write(&path, report) {
                eprintln!("{}: {error}", Path::new(&path).display());
                std::process::exit(1);
            }
        }
    }
    eprintln!("{} s", begun.elapsed().as_secs());
}

/// Blocks sent for each figure of the comparison of repairs.
const BLOCKS: u64 = 400;

/// Plain repair (whoever misses packets names them, and they are sent again) against coded repair (whoever misses most
/// says how many), one block to many listeners, with rounds until all have it.
fn repairs() -> String {
    let mut table = String::new();
    for listeners in [1, 5, 20, 50, 100] {
        let _ = write!(table, "| {listeners} |");
        for loss in [0.02, 0.1, 0.3] {
            let mut random = Random::new(1);
            let [plain, coded] = [false, true].map(|code| {
                let all = (0..BLOCKS).map(|_| block(listeners, loss, code, &mut random));
                let (packets, requests) = all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                let blocks = BLOCKS as f64;
                (packets as f64 / blocks / PACKETS as f64, requests as f64 / blocks)
            });
            let _ = write!(table, " {:.2} × + {:.1} / {:.2} × + {:.1} |", plain.0, plain.1, coded.0, coded.1);
        }
        table.push('\n');
    }
    format!(
        "### Plain or coded repair\n\n\
         Packets sent for a block of {PACKETS} (as a multiple), and requests for repairs, until the last of all listeners has it: plain \
         / coded; mean of {BLOCKS} blocks, one sender, no collisions, every request heard by all.\n\n\
         | listeners | 2 % of frames lost | 10 % | 30 % |\n|---|---|---|---|\n{table}"
    )
}

/// Sends one block: packets sent, requests made.
fn block(listeners: usize, loss: f64, coded: bool, random: &mut Random) -> (u64, u64) {
    let (mut packets, mut requests) = (0, 0);
    let mut missing: Vec<u64> = vec![(1 << PACKETS) - 1; listeners];
    let mut burst = PACKETS as u32;
    loop {
        if coded {
            // Any packet that comes is as good as any that is missing.
            for _ in 0..burst {
                for missing in missing.iter_mut().filter(|missing| **missing != 0) {
                    if !random.chance(loss) {
                        *missing &= *missing - 1;
                    }
                }
            }
            packets += u64::from(burst);
            burst = missing.iter().map(|missing| missing.count_ones()).max().unwrap_or(0);
            requests += u64::from(burst > 0);
        } else {
            let wanted = missing.iter().fold(0, |all, missing| all | missing);
            for packet in (0..PACKETS).filter(|packet| wanted & 1 << packet != 0) {
                packets += 1;
                for missing in &mut missing {
                    if !random.chance(loss) {
                        *missing &= !(1 << packet);
                    }
                }
            }
            burst = missing.iter().map(|missing| missing.count_ones()).max().unwrap_or(0);
            // Who misses most speaks first; who misses nothing else keeps quiet.
            let mut order: Vec<u64> = missing.clone();
            order.sort_by_key(|missing| std::cmp::Reverse(missing.count_ones()));
            let mut said = 0;
            for missing in order {
                requests += u64::from(missing & !said != 0);
                said |= missing;
            }
        }
        if burst == 0 {
            return (packets, requests);
        }
    }
}
