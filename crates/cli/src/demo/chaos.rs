//! Everything goes wrong at once, at moments that the seed decides: power, radio, broker, host, downloads.

use super::Stage;
use rootcast_hosting::faults::{Fault, FaultSource, RequestView};
use rootcast_node::{Backoff, Settings};
use rootcast_world::body::sockets::Command;
use rootcast_world::flash::{CutPoint, PowerCut};
use rootcast_world::random::Random;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep_until};

/// Share of frames lost where nobody asked for another.
pub const LOSS: f64 = 0.1;
/// Blows fall between these moments after the trigger, in milliseconds.
const BLOWS: (u64, u64) = (700, 12_000);
/// Cuts inside flash operations are armed earlier: later there are no more of them.
const FLASH_BLOWS: (u64, u64) = (300, 5_000);
/// How long power is away after a blow, in milliseconds.
const POWER_OFF: (u64, u64) = (300, 2_500);
/// How long a server stays away in a restart, in milliseconds.
const SERVER_AWAY: (u64, u64) = (300, 1_200);
/// Within how many flash operations from now power goes inside one.
const OPERATIONS_AHEAD: u64 = 60;
/// Share of requests to the host that go wrong, as long as there are not more faults than this share of nodes.
const FAULTY: f64 = 0.4;
/// Downloads that have less than this to go are left alone: there would be nothing to see.
const LEAST_LEFT: u64 = 20_000;

/// What happens to the mesh from outside.
#[derive(Clone, Debug)]
enum Blow {
    /// Power goes at once.
    Power(usize, Duration),
    /// Power goes inside a flash operation to come.
    Flash(usize, PowerCut),
    /// The broker restarts and stays away for so long.
    Broker(Duration),
    /// So does the firmware host.
    Host(Duration),
}

/// All blows of a demo, and when each falls.
#[derive(Clone, Debug)]
pub struct Plan(Vec<(Duration, Blow)>);

/// What was survived.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Survived {
    /// Times that a node lost its power.
    pub power_cuts: u64,
    /// How many of these were inside a flash operation.
    pub cuts_in_flash: u64,
    /// Frames sent over links of the mesh.
    pub frames: u64,
    /// Frames lost on them.
    pub frames_lost: u64,
    /// Downloads whose server fell silent.
    pub stalled_downloads: u64,
    /// Downloads whose connection was cut.
    pub cut_downloads: u64,
    /// Restarts of the broker.
    pub broker_restarts: u64,
    /// Restarts of the firmware host.
    pub host_restarts: u64,
}

impl Plan {
    /// A plan for so many nodes: about half of them lose their power, a third inside a flash operation, the root
    /// among the first; no node more often than a trial can bear.
    pub fn new(nodes: usize, seed: u64) -> Self {
        let mut random = Random::new(seed).fork(0x000C_4A05);
        let mut blows = Vec::new();
        let mut add = |random: &mut Random, blow: Blow| {
            let (first, last) = if matches!(blow, Blow::Flash(..)) { FLASH_BLOWS } else { BLOWS };
            blows.push((Duration::from_millis(random.between(first, last)), blow));
        };
        for node in 0..nodes {
            if node == 0 || random.chance(0.5) {
                let off = Duration::from_millis(random.between(POWER_OFF.0, POWER_OFF.1));
                add(&mut random, Blow::Power(node, off));
            }
            if node == 1 || random.chance(0.35) {
                let (operation, seed) = (random.below(OPERATIONS_AHEAD), random.next_u64());
                let unstable = random.chance(0.5).then(|| random.next_u64());
                let cut = PowerCut { operation, point: CutPoint::Seeded(seed), unstable };
                add(&mut random, Blow::Flash(node, cut));
            }
        }
        let away = |random: &mut Random| Duration::from_millis(random.between(SERVER_AWAY.0, SERVER_AWAY.1));
        let broker = Blow::Broker(away(&mut random));
        add(&mut random, broker);
        let host = Blow::Host(away(&mut random));
        add(&mut random, host);
        blows.sort_by_key(|(at, _)| *at);
        Self(blows)
    }

    /// Strikes, and says so through `notes`.
    pub async fn strike(&self, stage: &Stage, notes: &UnboundedSender<String>) {
        let begin = Instant::now();
        for (at, blow) in &self.0 {
            sleep_until(begin + *at).await;
            // Nobody listens any more only when the demo is over.
            let say = |text: String| drop(notes.send(format!("  chaos    {text}")));
            match blow {
                Blow::Power(node, off) => {
                    say(format!("{} loses its power for {:.1} s", stage.name(*node), off.as_secs_f64()));
                    stage.command(*node, Command::CutPower(*off)).await;
                }
                Blow::Flash(node, cut) => {
                    let name = stage.name(*node);
                    say(format!(
                        "{name} will lose its power inside flash operation {} from now",
                        cut.operation + 1
                    ));
                    stage.command(*node, Command::CutInFlash(cut.clone())).await;
                }
                Blow::Broker(away) => {
                    say(format!("the broker restarts, away for {:.1} s", away.as_secs_f64()));
                    if let Err(error) = stage.restart_broker(*away).await {
                        say(format!("the broker does not come back: {error}"));
                    }
                }
                Blow::Host(away) => {
                    say(format!("the firmware host restarts, away for {:.1} s", away.as_secs_f64()));
                    if let Err(error) = stage.restart_host(*away).await {
                        say(format!("the firmware host does not come back: {error}"));
                    }
                }
            }
        }
    }
}

/// Makes a node that can be watched: the patience of a house is for people who do not sit beside it.
pub fn hurry(settings: &mut Settings) {
    settings.retry = Backoff { first_ms: 500, longest_ms: 4_000, attempts: 12 };
    settings.stall_ms = 2_000;
    settings.hello_ms = 3_000;
    settings.grant_patience_ms = 20_000;
}

/// Faults of the host, counted.
#[derive(Debug)]
pub struct BadServer {
    random: Random,
    /// Requests so far: they are numbered through, over restarts.
    requests: AtomicU64,
    most: u64,
    stalled: AtomicU64,
    cut: AtomicU64,
}

impl BadServer {
    /// A host that lets about every node down once.
    pub fn new(nodes: usize, seed: u64) -> Arc<Self> {
        let zero = AtomicU64::default;
        let random = Random::new(seed).fork(0xBAD);
        Arc::new(Self { random, requests: zero(), most: nodes as u64, stalled: zero(), cut: zero() })
    }

    /// The faults, for a host that serves files of these lengths.
    pub fn source(self: &Arc<Self>, length_of: impl Fn(&str) -> u64 + Send + Sync + 'static) -> FaultSource {
        let this = Arc::clone(self);
        FaultSource::from_fn(move |request| this.fault(request, length_of(request.target)))
    }

    fn fault(&self, request: &RequestView<'_>, length: u64) -> Fault {
        let mut random = self.random.fork(self.requests.fetch_add(1, Ordering::Relaxed));
        let first =
            request.range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
        let left = length.saturating_sub(first.unwrap_or(0));
        let (stalled, cut) = self.tally();
        // A mesh that shares its pages asks once: that download meets one fault of each kind.
        let is_lacking = stalled == 0 || cut == 0;
        if left < LEAST_LEFT || stalled + cut >= self.most || !(is_lacking || random.chance(FAULTY)) {
            return Fault::default();
        }
        // The other kind finds enough left.
        let after = Some(random.between(1, if is_lacking { left / 2 } else { left - 1 }));
        let is_stall = if is_lacking { cut > 0 } else { random.chance(0.4) };
        if is_stall {
            self.stalled.fetch_add(1, Ordering::Relaxed);
            Fault { stall_after: after, ..Fault::default() }
        } else {
            self.cut.fetch_add(1, Ordering::Relaxed);
            Fault { cut_after: after, ..Fault::default() }
        }
    }

    /// Downloads stalled, and cut.
    pub fn tally(&self) -> (u64, u64) {
        (self.stalled.load(Ordering::Relaxed), self.cut.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times =
            |count: u64, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        write!(
            f,
            "Survived: {} ({} inside a flash operation), {} of {} frames lost, {} and {}, {} and {}.",
            times(self.power_cuts, "power cut", "power cuts"),
            self.cuts_in_flash,
            self.frames_lost,
            self.frames,
            times(self.stalled_downloads, "stalled download", "stalled downloads"),
            times(self.cut_downloads, "cut download", "cut downloads"),
            times(self.broker_restarts, "restart of the broker", "restarts of the broker"),
            times(self.host_restarts, "restart of the firmware host", "restarts of the firmware host"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_plan_follows_from_its_seed_and_hits_root_flash_broker_and_host() {
        for seed in 0..50 {
            let plan = Plan::new(12, seed);
            assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::new(12, seed)));
            let has = |what: fn(&Blow) -> bool| plan.0.iter().any(|(_, blow)| what(blow));
            assert!(has(|blow| matches!(blow, Blow::Power(0, _))));
            assert!(has(|blow| matches!(blow, Blow::Flash(..))));
            assert!(has(|blow| matches!(blow, Blow::Broker(_))));
            assert!(has(|blow| matches!(blow, Blow::Host(_))));
            let mut cuts = BTreeMap::<usize, u32>::new();
            for (_, blow) in &plan.0 {
                if let Blow::Power(node, _) | Blow::Flash(node, _) = blow {
                    *cuts.entry(*node).or_default() += 1;
                }
            }
            assert!(cuts.values().all(|count| *count <= 2), "a trial bears three starts: {cuts:?}");
        }
    }

    #[test]
    fn a_bad_server_stops_being_bad() {
        let server = BadServer::new(12, 1);
        let request = RequestView { number: 1, method: "GET", target: "/fw.bin", range: None };
        for _ in 0..200 {
            let _ = server.fault(&request, 1_000_000);
        }
        let (stalled, cut) = server.tally();
        assert_eq!(stalled + cut, 12);
        assert!(stalled > 0 && cut > 0);
        let server = BadServer::new(12, 1);
        let first = server.fault(&request, 1_000_000);
        let after = first.cut_after.expect("the first download is cut");
        let rest = format!("bytes={after}-");
        let resumed = server.fault(&RequestView { range: Some(&rest), ..request }, 1_000_000);
        assert!(resumed.stall_after.is_some(), "and what goes on stalls");
        let range = RequestView { range: Some("bytes=999000-"), ..request };
        let fresh = BadServer::new(12, 1);
        for _ in 0..100 {
            assert_eq!(fresh.fault(&range, 1_000_000).cut_after, None, "too little is left");
        }
    }
}
