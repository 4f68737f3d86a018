//! How many bytes a second a rollout may ask of an uplink: a thin one into a hotel, or a server whose traffic costs.
//!
//! A limit spaces *starts*. A node that is triggered fetches a whole image at the speed of its line, so the next start is
//! held back until what was triggered so far is paid for at the limit's rate: a token bucket that holds one image, or what
//! the rate brings in a second where that is more (the planner is asked twice a second). In any time T the images of the
//! nodes that begin have together at most `rate · T + bucket` bytes.
//!
//! What counts:
//!
//! - **Every node with its whole image, in `spread` as in `direct`**: leaves go before the root, and a trigger that leaves
//!   out the root is carried out by each node itself. Patches and pages from neighbours make it less, never more.
//! - **Every attempt**: a retry counts again, and begins as if the bucket had just been emptied.
//! - A reminder does not: a node that hears both triggers goes on where it was.
//!
//! Nothing is kept besides the updates: [`Update::triggered_at`](crate::Update::triggered_at) and the images' sizes say how
//! full the bucket is, after a restart, too, and in every process that shares the meshes.

use crate::rollout::Rollout;
use crate::spec::{Limits, Spec, SpecError};
use crate::{Assignment, Fleet, Moment, Release};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// By how much the clocks of processes that share the work may differ. A start that seems farther in the future is from
/// before this clock jumped back: it counts no more, or the rollout would stand still until then.
const CLOCKS: Duration = Duration::from_secs(60);

/// A rate for people: `50 kB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000 => return write!(f, "{} bytes/s", self.0),
            1_000..1_000_000 => (1_000, "kB/s"),
            _ => (1_000_000, "MB/s"),
        };
        match (self.0 / unit, self.0 % unit * 10 / unit) {
            (whole, 0) => write!(f, "{whole} {name}"),
            (whole, tenths) => write!(f, "{whole}.{tenths} {name}"),
        }
    }
}

/// Reads a rate as people write it: `50kB/s`, `2 MB/s`, `4Mbit/s`, or bytes a second. Kilo is 1,000; `kb` is not
/// understood, as nobody knows which of the two it means.
pub fn parse_rate(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 10] = [
        ("kbit", 125),
        ("Mbit", 125_000),
        ("Gbit", 125_000_000),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("B", 1),
    ];
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text);
    let found = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = found.unwrap_or((text, 1));
    let (whole, tenths) = match number.trim_end().split_once('.') {
        Some((whole, tenths)) if tenths.len() == 1 => (whole, tenths),
        Some(_) => return None,
        None => (number.trim_end(), "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(tenths) {
        return None;
    }
    let tenths = whole.parse::<u64>().ok()?.checked_mul(10)?.checked_add(tenths.parse().ok()?)?;
    Some(tenths.checked_mul(unit)? / 10)
}

/// Refuses limits at which one image (of `bytes`) would take longer than a node has, or than the rollout lives: most often
/// a slip of the unit.
pub fn check(spec: &Spec, bytes: u64) -> Result<(), SpecError> {
    let rates = [
        ("bytes_per_second", spec.limits.bytes_per_second),
        ("mesh_bytes_per_second", spec.limits.mesh_bytes_per_second),
    ];
    for (field, rate) in rates.into_iter().filter_map(|(field, rate)| Some((field, rate?))) {
        let takes_s = bytes.div_ceil(rate.max(1));
        let times = [("deadline_s", spec.deadline_s), ("life_s", spec.life_s)];
        if let Some((time, most_s)) = times.into_iter().find(|(_, most)| takes_s > u64::from(*most)) {
            return Err(SpecError::TooSlow { field, rate: Rate(rate), bytes, takes_s, time, most_s });
        }
    }
    Ok(())
}

/// How long the limits stretch a rollout at least, from its first start to its last; `None` without a limit.
pub fn least_time(
    limits: &Limits,
    release: &Release,
    assignment: &Assignment,
    fleet: &Fleet,
) -> Option<Duration> {
    if !limits.has_bandwidth() {
        return None;
    }
    let mut sums: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    let mut largest = 0;
    for it in &assignment.assigned {
        let bytes = release.variants.get(it.variant).map_or(0, |variant| variant.size);
        let mesh = fleet.nodes.get(&it.node).map_or("", |node| &node.mesh);
        largest = largest.max(bytes);
        for key in [None, Some(mesh)] {
            let sum = sums.entry(key).or_insert(0);
            *sum = bytes.saturating_add(*sum);
        }
    }
    let least = |(mesh, bytes): (Option<&str>, u64)| {
        let rate = if mesh.is_some() { limits.mesh_bytes_per_second } else { limits.bytes_per_second }?;
        let mut bucket = Bucket::full(rate, largest, Moment(0));
        bucket.debt = thousandths(bytes);
        Some(bucket.ready_at(0).since(Moment(0)))
    };
    Some(sums.into_iter().filter_map(least).max().unwrap_or_default())
}

/// A token bucket, kept as what is missing in it: in thousandths of a byte, of which the rate brings so many a millisecond.
#[derive(Clone, Debug)]
struct Bucket {
    rate: u64,
    size: u128,
    debt: u128,
    at: Moment,
}

fn thousandths(bytes: u64) -> u128 {
    u128::from(bytes) * 1_000
}

impl Bucket {
    /// A full one, which takes an image of `largest` bytes at once.
    fn full(rate: u64, largest: u64, at: Moment) -> Self {
        Self { rate: rate.max(1), size: thousandths(largest.max(rate)), debt: 0, at }
    }

    fn pass(&mut self, to: Moment) {
        let brought = to.since(self.at).as_millis().saturating_mul(self.rate.into());
        self.debt = self.debt.saturating_sub(brought);
        self.at = self.at.max(to);
    }

    /// Takes bytes out. It is never more than empty: what was triggered was in it, and a clock that jumped must not make
    /// debts that nobody had.
    fn take(&mut self, bytes: u64) {
        self.debt = self.debt.saturating_add(thousandths(bytes)).min(self.size);
    }

    /// When it has so many bytes: now, or later.
    fn ready_at(&self, bytes: u64) -> Moment {
        let missing = self.debt.saturating_add(thousandths(bytes)).saturating_sub(self.size);
        let wait_ms = missing.div_ceil(self.rate.into());
        self.at.after(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(u64::MAX)))
    }
}

/// What may still be started now. Whoever comes first and has to wait lets nobody pass: small images must not starve
/// large ones.
pub(crate) struct Budget {
    now: Moment,
    total: Option<Bucket>,
    /// A bucket for a mesh that nothing was taken out of.
    fresh: Option<Bucket>,
    meshes: BTreeMap<String, Bucket>,
    closed: Option<String>,
    closed_meshes: BTreeMap<String, String>,
}

impl Budget {
    /// What the updates leave.
    pub fn of(rollout: &Rollout, fleet: &Fleet, now: Moment) -> Self {
        let limits = &rollout.spec.limits;
        let mut budget = Self {
            now,
            total: None,
            fresh: None,
            meshes: BTreeMap::new(),
            closed: None,
            closed_meshes: BTreeMap::new(),
        };
        if !limits.has_bandwidth() {
            return budget;
        }
        let largest = rollout.updates.values().map(|update| rollout.bytes(update)).max().unwrap_or(0);
        let is_retry = rollout.updates.values().any(|update| update.attempt > 1);
        let bucket = |rate: u64| {
            let mut bucket = Bucket::full(rate, largest, if is_retry { rollout.began_at } else { Moment(0) });
            // When earlier attempts began is not known any more; that they left no more debt than this is.
            if is_retry {
                bucket.at = bucket.at.min(now);
                bucket.debt = bucket.size;
            }
            bucket
        };
        (budget.total, budget.fresh) =
            (limits.bytes_per_second.map(bucket), limits.mesh_bytes_per_second.map(bucket));
        let mut starts: Vec<(Moment, u64, &str)> = Vec::new();
        for (id, update) in &rollout.updates {
            let Some(at) = update.triggered_at.filter(|at| !is_retry || *at >= rollout.began_at) else {
                continue;
            };
            let mesh = fleet.nodes.get(id).map_or("", |node| &node.mesh);
            if at.since(now) <= CLOCKS {
                starts.push((at.min(now), rollout.bytes(update), mesh));
            }
        }
        starts.sort_unstable();
        for (at, bytes, mesh) in starts {
            budget.take(mesh, bytes, at);
        }
        budget
    }

    fn take(&mut self, mesh: &str, bytes: u64, at: Moment) {
        if let Some(total) = &mut self.total {
            total.pass(at);
            total.take(bytes);
        }
        if let Some(bucket) = Self::of_mesh(&self.fresh, &mut self.meshes, mesh) {
            bucket.pass(at);
            bucket.take(bytes);
        }
    }

    fn of_mesh<'a>(
        fresh: &Option<Bucket>,
        meshes: &'a mut BTreeMap<String, Bucket>,
        mesh: &str,
    ) -> Option<&'a mut Bucket> {
        let fresh = fresh.as_ref()?;
        Some(meshes.entry(mesh.to_owned()).or_insert_with(|| fresh.clone()))
    }

    /// Takes an image for a node of this mesh out, or says until when it has to wait.
    pub fn start(&mut self, mesh: &str, bytes: u64) -> Result<(), String> {
        if let Some(reason) = self.closed_meshes.get(mesh).or(self.closed.as_ref()) {
            return Err(reason.clone());
        }
        let now = self.now;
        if let Some(bucket) = Self::of_mesh(&self.fresh, &mut self.meshes, mesh) {
            bucket.pass(now);
            let ready = bucket.ready_at(bytes);
            if ready > now {
                let name = if mesh.is_empty() { "\"\"" } else { mesh };
                let (rate, time) = (Rate(bucket.rate), second(ready));
                let reason =
                    format!("the limit of {rate} for mesh {name} allows the next start there at {time}");
                self.closed_meshes.insert(mesh.to_owned(), reason.clone());
                return Err(reason);
            }
        }
        if let Some(bucket) = &mut self.total {
            bucket.pass(now);
            let ready = bucket.ready_at(bytes);
            if ready > now {
                let (rate, time) = (Rate(bucket.rate), second(ready));
                let reason = format!("the rollout's limit of {rate} allows the next start at {time}");
                self.closed = Some(reason.clone());
                return Err(reason);
            }
        }
        self.take(mesh, bytes, now);
        Ok(())
    }
}

/// The first full second from a moment on, in UTC: it stays the same while it is waited for.
fn second(moment: Moment) -> String {
    let seconds = i64::try_from(moment.0.div_ceil(1_000)).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "the end of time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it_and_said_so() {
        for (text, rate) in [
            ("800", Some(800)),
            ("50k", Some(50_000)),
            ("50kB/s", Some(50_000)),
            (" 1.5 MB/s ", Some(1_500_000)),
            ("4Mbit/s", Some(500_000)),
            ("2.5kbit", Some(312)),
            ("0", Some(0)),
            ("50kb", None),
            ("", None),
            ("kB", None),
            ("-1", None),
            ("1.25M", None),
            ("1e3", None),
            ("18446744073709551615G", None),
        ] {
            assert_eq!(parse_rate(text), rate, "{text:?}");
        }
        for (rate, text) in
            [(999, "999 bytes/s"), (50_000, "50 kB/s"), (1_550, "1.5 kB/s"), (2_000_000, "2 MB/s")]
        {
            assert_eq!(Rate(rate).to_string(), text);
        }
    }

    #[test]
    fn a_bucket_holds_one_image_or_a_second_and_fills_at_its_rate() {
        let mut bucket = Bucket::full(1_000, 10_000, Moment(0));
        assert_eq!(bucket.ready_at(10_000), Moment(0), "one image at once");
        bucket.take(10_000);
        assert_eq!(bucket.ready_at(10_000), Moment(10_000));
        assert_eq!(bucket.ready_at(4_000), Moment(4_000), "a smaller one sooner");
        bucket.pass(Moment(4_000));
        bucket.take(4_000);
        assert_eq!(bucket.ready_at(4_000), Moment(8_000));
        bucket.pass(Moment(1_000));
        assert_eq!(bucket.ready_at(4_000), Moment(8_000), "a clock that jumps back brings nothing");
        let mut fast = Bucket::full(100_000, 10_000, Moment(0));
        for _ in 0..10 {
            assert_eq!(fast.ready_at(10_000), Moment(0), "ten in the first second");
            fast.take(10_000);
        }
        assert_eq!(fast.ready_at(10_000), Moment(100));
        let mut absurd = Bucket::full(u64::MAX, u64::MAX, Moment(0));
        absurd.take(u64::MAX);
        absurd.pass(Moment(u64::MAX));
        assert_eq!(absurd.ready_at(u64::MAX), Moment(u64::MAX));
        let mut slow = Bucket::full(1, u64::MAX, Moment(5));
        slow.take(u64::MAX);
        assert_eq!(slow.ready_at(u64::MAX), Moment(u64::MAX));
    }

    #[test]
    fn a_limit_at_which_one_image_takes_too_long_is_refused_with_the_times() {
        let spec = |rate| Spec {
            limits: Limits { bytes_per_second: Some(rate), ..Limits::default() },
            ..Spec::default()
        };
        assert_eq!(check(&spec(556), 1_000_000), Ok(()));
        let error = check(&spec(50), 1_000_000).unwrap_err().to_string();
        assert_eq!(
            error,
            "\"limits.bytes_per_second\" is 50 bytes/s: one image of 1000000 bytes takes 20000 s at that rate, and \
             \"deadline_s\" is 1800 s; raise one of them"
        );
        let patient = Spec { deadline_s: 30_000, life_s: 10_000, ..spec(50) };
        assert!(check(&patient, 1_000_000).unwrap_err().to_string().contains("\"life_s\" is 10000 s"));
        let mesh = Limits { mesh_bytes_per_second: Some(1), ..Limits::default() };
        let mesh = Spec { limits: mesh, ..Spec::default() };
        assert!(check(&mesh, 2_000).unwrap_err().to_string().starts_with("\"limits.mesh_bytes_per_second\""));
    }
}
