//! `rootcast simulate`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use crate::size;
use clap::Args;
use rootcast_world::radio::drawing::{Drawn, svg};
use rootcast_world::radio::fleet::is_list;
use rootcast_world::radio::outcome::Outcome;
use rootcast_world::radio::scenario::{Built, Method, Scenario};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Simulate an update of a mesh: how long, how much airtime, against other ways
///
/// The mesh is a file (see scenarios/): nodes by place, or by parent and signal as the fleet's tree has them. The radio is
/// a simulation, the protocol is the one that nodes run. The same seed gives the same figures.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast simulate scenarios/house.toml
  rootcast simulate scenarios/school.toml --compare direct,unicast-tree,mupgrade,spread --svg school.svg
  rootcast simulate scenarios/dense-room.toml --seed 7 --json
  rootcast simulate nodes.json --image-bytes 900K                    how long would my mesh take

Exit status 1 if spreading leaves a node without the image that is within reach.")]
pub struct Simulate {
    /// The scenario, a TOML file; or the nodes of a mesh that is there, a JSON list of what their status says (deviceId,
    /// parentId, rssi); - for standard input
    scenario: PathBuf,

    /// The ways to run: direct, unicast-tree, mupgrade, spread
    #[arg(long, value_name = "WAYS", value_delimiter = ',', default_value = "spread", value_parser = method)]
    compare: Vec<Method>,

    /// Size of the image, instead of what the scenario says (1.3 MB if it says nothing): 900K, 1200000
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    image_bytes: Option<u32>,

    /// What decides everything that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Draw the nodes on their plan, and the progress of every way
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn method(text: &str) -> Result<Method, String> {
    Method::from_name(text).ok_or_else(|| {
        let known: Vec<_> = Method::ALL.iter().map(|method| method.name()).collect();
        format!("the ways are {}", known.join(", "))
    })
}

impl Simulate {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let text = files::read(&self.scenario)?;
        let name = files::name(&self.scenario);
        let refused = |error: &dyn fmt::Display| Error::Usage(format!("{}: {error}", name.display()));
        let text = String::from_utf8(text).map_err(|error| refused(&error))?;
        let is_list = name.extension().is_some_and(|it| it == "json") || is_list(&text);
        let title = || name.file_stem().map_or("The mesh".into(), |stem| stem.to_string_lossy());
        let scenario = if is_list { Scenario::from_nodes(&title(), &text) } else { Scenario::read(&text) };
        let mut scenario = scenario.map_err(|error| refused(&error))?;
        if let Some(bytes) = self.image_bytes {
            scenario.set_image_bytes(bytes).map_err(|error| Error::Usage(error.to_string()))?;
        }
        let built = scenario.build(self.seed).map_err(|error| refused(&error))?;
        let mut outcomes = Vec::new();
        for method in &self.compare {
            let outcome = scenario.run(*method, self.seed).map_err(|error| refused(&error))?;
            outcomes.push((*method, outcome));
        }
        let facts = Simulated::new(&scenario, &built, self.seed, &outcomes);
        output.show(&facts)?;
        if let Some(path) = &self.svg {
            let runs: Vec<_> =
                outcomes.iter().map(|(method, outcome)| Drawn { name: method.name(), outcome }).collect();
            let picture = svg(&scenario.name, built.places.as_deref(), &built.links, built.rate, &runs);
            files::write(path, picture.as_bytes(), Existing::Replace, Readers::Default)?;
        }
        let spread = facts.ways.iter().find(|way| way.way == Method::Spread.name());
        match spread {
            Some(way) if way.never > facts.out_of_reach => {
                Err(Error::NotUpdated { nodes: way.never - facts.out_of_reach })
            }
            _ => Ok(()),
        }
    }
}

/// What is printed.
#[derive(Serialize)]
struct Simulated {
    scenario: String,
    about: String,
    seed: u64,
    nodes: usize,
    hops: u32,
    /// Nodes that no frame reaches.
    out_of_reach: usize,
    image_bytes: u32,
    bound_airtime_s: f64,
    bound_time_s: f64,
    ways: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    way: &'static str,
    airtime_s: f64,
    airtime_to_bound: f64,
    until_50_s: Option<f64>,
    until_95_s: Option<f64>,
    until_100_s: Option<f64>,
    router_images: f64,
    press_p95_ms: Option<f64>,
    /// Nodes that never had the image.
    never: usize,
}

impl Simulated {
    fn new(scenario: &Scenario, built: &Built, seed: u64, outcomes: &[(Method, Outcome)]) -> Self {
        let out_of_reach = built.links.hops(built.rate).iter().filter(|hops| hops.is_none()).count();
        let row = |(method, outcome): &(Method, Outcome)| Row {
            way: method.name(),
            airtime_s: outcome.airtime_s,
            airtime_to_bound: outcome.airtime_s / built.bound.airtime_s,
            until_50_s: outcome.time_until(0.5),
            until_95_s: outcome.time_until(0.95),
            until_100_s: outcome.time_until(1.0),
            router_images: outcome.router_bytes as f64 / f64::from(scenario.image_bytes()),
            press_p95_ms: outcome.press_p95_ms(),
            never: outcome.missing(),
        };
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed,
            nodes: built.links.len(),
            hops: built.bound.hops,
            out_of_reach,
            image_bytes: scenario.image_bytes(),
            bound_airtime_s: built.bound.airtime_s,
            bound_time_s: built.bound.time_s,
            ways: outcomes.iter().map(row).collect(),
        }
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("never".into(), |value| format!("{value:.0} s"))
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.scenario, self.about)?;
        writeln!(
            f,
            "{} nodes, {} hops, {} bytes; seed {}. No way takes less than {:.1} s of airtime and {:.0} s of time.",
            self.nodes, self.hops, self.image_bytes, self.seed, self.bound_airtime_s, self.bound_time_s
        )?;
        if self.out_of_reach > 0 {
            writeln!(f, "{} nodes hear nobody well enough to be reached.", self.out_of_reach)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<13} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} {:>10} {:>6}",
            "way", "airtime", "/ bound", "50 %", "95 %", "all", "router", "press p95", "never"
        )?;
        for way in &self.ways {
            let press = way.press_p95_ms.map_or("-".into(), |ms| format!("{ms:.0} ms"));
            writeln!(
                f,
                "{:<13} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} {:>10} {:>6}",
                way.way,
                format!("{:.1} s", way.airtime_s),
                format!("{:.2} ×", way.airtime_to_bound),
                seconds(way.until_50_s),
                seconds(way.until_95_s),
                seconds(way.until_100_s),
                format!("{:.2} ×", way.router_images),
                press,
                way.never
            )?;
        }
        Ok(())
    }
}
