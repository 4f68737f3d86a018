//! Meshes as files: what is simulated, in TOML.
//!
//! ```toml
//! name = "House"
//! about = "Two storeys, switches and relays in every room"
//!
//! [mesh]
//! layout = "rooms"        # rooms, row, scatter, or nodes one by one in [[node]]
//! nodes = 30
//! width_m = 14.0
//! depth_m = 10.0
//! floors = 2
//!
//! [radio]
//! rate_mbit = 1           # 1, 6, 12 or 24
//! frames = "v1"           # ESP-NOW v1 or v2
//! exponent = 3.3          # of path loss
//! shadowing_db = 5.0
//! loss = 0.0              # frames lost whatever their signal
//! ```

use super::fleet::{self, FleetError};
use super::image::Image;
use super::links::{Links, Place, Surroundings};
use super::medium::Bursts;
use super::outcome::{Bound, Outcome};
use super::phy::Rate;
use super::rivals::{self, Circumstances, Way};
use super::spreading::{Fault, Mesh, Setup};
use crate::random::Random;
use rootcast_image::ChipId;
use serde::Deserialize;

/// Nodes of a scenario at most.
pub const MAX_NODES: usize = 1_000;

/// Why a scenario cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is no TOML, or has keys that mean nothing.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// The list of nodes is no mesh.
    #[error(transparent)]
    Nodes(#[from] FleetError),
    /// A value that cannot be.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        expected: &'static str,
    },
}

fn wrong(key: &'static str, found: impl ToString, expected: &'static str) -> ScenarioError {
    ScenarioError::Value { key, found: found.to_string(), expected }
}

/// A scenario as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, for tables.
    pub name: String,
    /// What it is like.
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    mesh: MeshTable,
    #[serde(default)]
    radio: RadioTable,
    #[serde(default)]
    image: ImageTable,
    #[serde(default)]
    traffic: TrafficTable,
    #[serde(default)]
    node: Vec<NodeTable>,
    #[serde(default)]
    event: Vec<EventTable>,
    /// The simulation ends after so many seconds of the mesh's time.
    #[serde(default = "hour")]
    limit_s: u64,
}

fn hour() -> u64 {
    3_600
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MeshTable {
    layout: Layout,
    nodes: usize,
    width_m: f64,
    depth_m: f64,
    floors: u8,
    /// Share of the nodes that are of a second chip with an image of its own.
    second_chip: f64,
}

impl Default for MeshTable {
    fn default() -> Self {
        Self { layout: Layout::Scatter, nodes: 30, width_m: 20.0, depth_m: 10.0, floors: 1, second_chip: 0.0 }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Layout {
    /// In a grid, each a little off its place.
    Rooms,
    /// One after another over the width.
    Row,
    /// Anywhere.
    Scatter,
    /// All hear each other equally well.
    Together,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RadioTable {
    rate_mbit: u32,
    frames: String,
    power_dbm: f64,
    exponent: f64,
    shadowing_db: f64,
    floor_db: f64,
    loss: f64,
    bursts: Option<BurstTable>,
    /// The rate at which nodes reach the router by themselves, if it is another.
    direct_rate_mbit: Option<u32>,
}

impl Default for RadioTable {
    fn default() -> Self {
        let it = Surroundings::default();
        Self {
            rate_mbit: 1,
            frames: "v1".into(),
            power_dbm: it.power_dbm,
            exponent: it.exponent,
            shadowing_db: it.shadowing_db,
            floor_db: it.floor_db,
            loss: 0.0,
            bursts: None,
            direct_rate_mbit: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BurstTable {
    good_ms: f64,
    bad_ms: f64,
    loss: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ImageTable {
    bytes: u32,
}

impl Default for ImageTable {
    fn default() -> Self {
        Self { bytes: 1_300_000 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TrafficTable {
    presses_per_minute: f64,
}

impl Default for TrafficTable {
    fn default() -> Self {
        Self { presses_per_minute: 60.0 }
    }
}

/// A node by its place, or by its parent in a mesh that is there already; the first is the root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    x_m: Option<f64>,
    y_m: Option<f64>,
    #[serde(default)]
    floor: u8,
    /// The node's parent, by its number in the file.
    parent: Option<usize>,
    /// How strong it hears its parent.
    rssi_dbm: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventTable {
    at_s: f64,
    node: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Restart,
    Leave,
    Return,
}

/// How an update may reach the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Rootcast's spreading.
    Spread,
    /// Another way.
    Other(Way),
}

impl Method {
    /// All, the ones to compare with first.
    pub const ALL: [Self; 4] =
        [Self::Other(Way::Direct), Self::Other(Way::UnicastTree), Self::Other(Way::Mupgrade), Self::Spread];

    /// Its word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Other(Way::Direct) => "direct",
            Self::Other(Way::UnicastTree) => "unicast-tree",
            Self::Other(Way::Mupgrade) => "mupgrade",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// A mesh that a scenario and a seed make.
pub struct Built {
    /// Where nodes are, for drawing; none for a mesh known by its tree.
    pub places: Option<Vec<Place>>,
    /// Who hears whom.
    pub links: Links,
    /// The channel's rate.
    pub rate: Rate,
    /// The least that any protocol needs.
    pub bound: Bound,
}

impl Scenario {
    /// Reads a scenario.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The mesh of a list of nodes ([`fleet`]).
    pub fn from_nodes(name: &str, list: &str) -> Result<Self, ScenarioError> {
        let tree = fleet::read(list)?;
        let mut about =
            "a mesh by its nodes' parents and signals; who else hears whom is guessed".to_string();
        if tree.guessed > 0 {
            about += &format!(
                "; {} nodes whose parent is not listed are put where their layer has them",
                tree.guessed
            );
        }
        let node = |branch: &fleet::Branch| NodeTable {
            x_m: None,
            y_m: None,
            floor: 0,
            parent: branch.parent,
            rssi_dbm: branch.rssi_dbm,
        };
        let scenario = Self {
            name: name.to_string(),
            about,
            mesh: MeshTable::default(),
            radio: RadioTable::default(),
            image: ImageTable::default(),
            traffic: TrafficTable::default(),
            node: tree.branches.iter().map(node).collect(),
            event: Vec::new(),
            limit_s: hour(),
        };
        scenario.check()?;
        Ok(scenario)
    }

    /// Changes the size of the image, in bytes.
    pub fn set_image_bytes(&mut self, bytes: u32) -> Result<(), ScenarioError> {
        self.image.bytes = bytes;
        self.check()
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let nodes = self.count();
        if !(2..=MAX_NODES).contains(&nodes) {
            return Err(wrong("mesh.nodes", nodes, "2 to 1000"));
        }
        let share = |key, value: f64| {
            if (0.0..1.0).contains(&value) { Ok(()) } else { Err(wrong(key, value, "0 to less than 1")) }
        };
        share("radio.loss", self.radio.loss)?;
        share("mesh.second_chip", self.mesh.second_chip)?;
        self.rate()?;
        if let Some(bursts) = self.radio.bursts {
            if !(0.0..=1.0).contains(&bursts.loss) {
                return Err(wrong("radio.bursts.loss", bursts.loss, "0 to 1"));
            }
            if !(bursts.good_ms > 0.0 && bursts.bad_ms > 0.0) {
                return Err(wrong("radio.bursts", "0 ms", "more than 0 ms good and bad"));
            }
        }
        if !matches!(self.radio.frames.as_str(), "v1" | "v2") {
            return Err(wrong("radio.frames", &self.radio.frames, "\"v1\" or \"v2\""));
        }
        if self.image.bytes == 0 || self.image.bytes > 384 * 4_096 {
            return Err(wrong("image.bytes", self.image.bytes, "1 to 1572864"));
        }
        if let Some(event) = self.event.iter().find(|event| event.node >= nodes || event.at_s < 0.0) {
            return Err(wrong(
                "event.node",
                event.node,
                "a node of this mesh, and a time that is not negative",
            ));
        }
        for (place, node) in self.node.iter().enumerate() {
            let by_place = node.x_m.is_some() && node.y_m.is_some() && node.parent.is_none();
            let by_parent = node.x_m.is_none() && node.y_m.is_none();
            let parent_fits = node.parent.map_or(place == 0, |parent| parent < place);
            if !(by_place || by_parent && parent_fits) {
                return Err(wrong(
                    "node",
                    place,
                    "x_m and y_m, or the number of a parent that stands before it (the first is the root)",
                ));
            }
        }
        if self.node.iter().any(|node| node.x_m.is_some()) && self.node.iter().any(|node| node.x_m.is_none())
        {
            return Err(wrong("node", "mixed", "all nodes by their places, or all by their parents"));
        }
        Ok(())
    }

    fn count(&self) -> usize {
        if self.node.is_empty() { self.mesh.nodes } else { self.node.len() }
    }

    fn rate(&self) -> Result<Rate, ScenarioError> {
        let mbit = self.radio.rate_mbit;
        Rate::from_mbit(mbit).ok_or_else(|| wrong("radio.rate_mbit", mbit, "1, 6, 12 or 24"))
    }

    fn direct_rate(&self, rate: Rate) -> Rate {
        self.radio.direct_rate_mbit.and_then(Rate::from_mbit).unwrap_or(rate)
    }

    /// Bytes of the image.
    #[must_use]
    pub const fn image_bytes(&self) -> u32 {
        self.image.bytes
    }

    /// Overrides the loss that hits every frame.
    pub fn set_loss(&mut self, loss: f64) {
        self.radio.loss = loss.clamp(0.0, 0.99);
    }

    fn places(&self, seed: u64) -> Vec<Place> {
        let mut random = Random::new(seed).fork(0x66);
        let mut unit = || random.below(1 << 20) as f64 / f64::from(1 << 20);
        let (width, depth) = (self.mesh.width_m, self.mesh.depth_m);
        let (count, floors) = (self.mesh.nodes, self.mesh.floors.max(1));
        let per_floor = count.div_ceil(usize::from(floors));
        let columns = ((per_floor as f64 * width / depth.max(0.1)).sqrt().ceil() as usize).max(1);
        let rows = per_floor.div_ceil(columns);
        let place = |node: usize| {
            let (floor, at) = (node / per_floor, node % per_floor);
            let (dx, dy) = (unit(), unit());
            let (x, y) = match self.mesh.layout {
                Layout::Scatter | Layout::Together => (dx * width, dy * depth),
                Layout::Row => (at as f64 * width / (per_floor.max(2) - 1) as f64, dy * depth),
                Layout::Rooms => {
                    let (column, row) = (at % columns, at / columns);
                    let near = |cell: usize, jitter: f64, cells: usize, length: f64| {
                        (cell as f64 + 0.2 + 0.6 * jitter) * length / cells as f64
                    };
                    (near(column, dx, columns, width), near(row, dy, rows, depth))
                }
            };
            Place { x, y, floor: floor as u8 }
        };
        (0..count).map(place).collect()
    }

    /// The mesh of this seed.
    pub fn build(&self, seed: u64) -> Result<Built, ScenarioError> {
        let rate = self.rate()?;
        let surroundings = Surroundings {
            power_dbm: self.radio.power_dbm,
            exponent: self.radio.exponent,
            shadowing_db: self.radio.shadowing_db,
            floor_db: self.radio.floor_db,
            ..Surroundings::default()
        };
        let by_tree = self.node.first().is_some_and(|node| node.x_m.is_none());
        let (places, links) = if by_tree {
            (None, self.tree_links())
        } else {
            let places: Vec<_> = if self.node.is_empty() {
                self.places(seed)
            } else {
                let place = |node: &NodeTable| Place {
                    x: node.x_m.unwrap_or(0.0),
                    y: node.y_m.unwrap_or(0.0),
                    floor: node.floor,
                };
                self.node.iter().map(place).collect()
            };
            let links = if self.node.is_empty() && self.mesh.layout == Layout::Together {
                Links::from_signals(vec![vec![-55.0; places.len()]; places.len()])
            } else {
                Links::new(&places, &surroundings, seed)
            };
            (Some(places), links)
        };
        let v2 = self.radio.frames == "v2";
        let bound = Bound::new(&links, rate, v2, self.image.bytes.into(), self.radio.loss);
        Ok(Built { places, links, rate, bound })
    }

    /// Links of a mesh of which only the tree is known: each node hears its parent as it says, its siblings and its
    /// parent's parent 10 dB worse than the weaker of the links between, and nobody else.
    #[expect(clippy::needless_range_loop, reason = "pairs of nodes by number")]
    fn tree_links(&self) -> Links {
        let count = self.node.len();
        let mut signals = vec![vec![f64::NEG_INFINITY; count]; count];
        let rssi = |node: usize| self.node[node].rssi_dbm.unwrap_or(-72.0);
        let parent = |node: usize| self.node[node].parent;
        for a in 0..count {
            for b in 0..count {
                let signal = if a == b {
                    continue;
                } else if parent(a) == Some(b) {
                    rssi(a)
                } else if parent(b) == Some(a) {
                    rssi(b)
                } else if parent(a).is_some() && parent(a) == parent(b) {
                    rssi(a).min(rssi(b)) - 10.0
                } else if parent(a).and_then(parent) == Some(b) {
                    rssi(a).min(parent(a).map_or(0.0, rssi)) - 10.0
                } else if parent(b).and_then(parent) == Some(a) {
                    rssi(b).min(parent(b).map_or(0.0, rssi)) - 10.0
                } else {
                    continue;
                };
                signals[a][b] = signal;
            }
        }
        Links::from_signals(signals)
    }

    fn bursts(&self) -> Option<Bursts> {
        self.radio.bursts.map(|it| Bursts { good_ms: it.good_ms, bad_ms: it.bad_ms, loss: it.loss })
    }

    /// Runs a method on the mesh of this seed.
    pub fn run(&self, method: Method, seed: u64) -> Result<Outcome, ScenarioError> {
        let built = self.build(seed)?;
        let way = match method {
            Method::Spread => return Ok(self.spread(built, seed)?.run()),
            Method::Other(way) => way,
        };
        let rate = if way == Way::Direct { self.direct_rate(built.rate) } else { built.rate };
        Ok(rivals::run(
            way,
            &Circumstances {
                links: built.links,
                rate,
                image_bytes: self.image.bytes.into(),
                loss: self.radio.loss,
                bursts: self.bursts(),
                presses_per_minute: self.traffic.presses_per_minute,
                limit_s: self.limit_s.max(4 * 3_600),
                seed,
            },
        ))
    }

    /// A mesh of the production protocol.
    pub fn spread(&self, built: Built, seed: u64) -> Result<Mesh, ScenarioError> {
        let image = |chip, cast| {
            Image::new(self.image.bytes, chip, cast, seed + u64::from(cast))
                .ok_or_else(|| wrong("image.bytes", self.image.bytes, "1 to 1572864"))
        };
        let mut setup = Setup::new(built.links, built.rate, image(ChipId::ESP32C3, 0x0001_0001)?, seed);
        if self.mesh.second_chip > 0.0 {
            setup.images.push(image(ChipId::ESP32S3, 0x0001_0001)?);
            let mut random = Random::new(seed).fork(0x77);
            for chip in setup.chips.iter_mut().skip(1) {
                if random.chance(self.mesh.second_chip) {
                    *chip = ChipId::ESP32S3;
                }
            }
            // One node of the other chip downloads its image, and is the source for its kind: the nearest to the root.
            let hops = setup.links.hops(setup.rate);
            let others = (1..setup.chips.len()).filter(|node| setup.chips[*node] == ChipId::ESP32S3);
            let nearest = others.min_by_key(|node| hops[*node].unwrap_or(u32::MAX));
            setup.sources.extend(nearest.map(|node| (node, 1)));
        }
        setup.v2 = self.radio.frames == "v2";
        setup.loss = self.radio.loss;
        setup.bursts = self.bursts();
        setup.presses_per_minute = self.traffic.presses_per_minute;
        setup.limit_s = self.limit_s;
        setup.faults = self
            .event
            .iter()
            .map(|event| {
                let fault = match event.what {
                    What::Restart => Fault::Restart(event.node),
                    What::Leave => Fault::Leave(event.node),
                    What::Return => Fault::Return(event.node),
                };
                ((event.at_s * 1_000.0) as u64, fault)
            })
            .collect();
        Ok(Mesh::new(setup))
    }
}
