//! A virtual mesh around a control plane that runs already: its root talks to that broker, its nodes trust that firmware
//! host. Two app images for it are written to a folder, to be rolled out: one that works and one that crashes.

use super::images::{CRASHING_VERSION, Images, PROJECT, verify};
use super::stage::{machines, provisioning, show};
use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::watch::Fleet;
use rootcast_image::{ChipId, PartitionTable};
use rootcast_world::body::behaviour::{Behaviour, Behaviours};
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, NodeView, Swarm, Trust};
use rootcast_world::factory::Topology;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// How long the image that crashes runs before it does, in milliseconds.
const CRASH_AFTER_MS: u32 = 500;

/// The mesh.
pub struct Attached {
    swarm: Swarm,
    views: Vec<watch::Receiver<NodeView>>,
    /// The image that works.
    pub good: PathBuf,
    /// The image that crashes.
    pub bad: PathBuf,
}

/// What the mesh is to be like.
pub struct Place<'a> {
    /// The control plane's broker.
    pub broker: &'a BrokerAddress,
    /// The CA of its firmware host, and of its broker.
    pub ca: &'a Path,
    /// Where the images go.
    pub folder: &'a Path,
}

impl Attached {
    /// Writes the images; the mesh begins to form.
    pub fn start(place: &Place<'_>, chip: ChipId, nodes: usize, loss: f64, seed: u64) -> Result<Self, Error> {
        let ca_pem = String::from_utf8_lossy(&files::read(place.ca)?).into_owned();
        let authorities = files::read_certificates(place.ca)?;
        let trust = || {
            Trust::authorities(&authorities).map_err(|_| Error::Flawed {
                path: place.ca.to_path_buf(),
                flaw: "holds no usable certificate",
            })
        };
        let (images, bad_image) = Images::to_roll_out(chip)?;
        files::make_folder(place.folder)?;
        let good = place.folder.join(&images.entry);
        let bad = place.folder.join(format!("{PROJECT}-{CRASHING_VERSION}-crashes.bin"));
        let entry = images.files.iter().find(|(name, _)| *name == images.entry);
        let good_image = entry.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        for (path, bytes) in [(&good, good_image), (&bad, &bad_image)] {
            files::write(path, bytes, Existing::Replace, Readers::Default)?;
        }
        let hash = verify(&bad_image).map_err(|error| Error::Image { path: bad.clone(), error })?.hash;
        let behaviours: Behaviours = [(hash, Behaviour::Crashes { after_ms: CRASH_AFTER_MS })].into();

        let table = PartitionTable::default_4mb();
        let topology = Topology::three_layers(nodes, seed);
        let provisioning = provisioning(&images, &place.broker.to_string(), ca_pem);
        let machines = machines(&images, &table, &topology, &provisioning, seed)?;
        let options = NodeOptions {
            broker: Some(place.broker.clone()),
            broker_trust: trust()?,
            trust: trust()?,
            behaviours,
            seed,
            ..NodeOptions::default()
        };
        let link = Link { loss, ..Link::default() };
        let swarm = Swarm::start(&topology, machines, link, RadioPace::default(), options);
        let views = swarm.watch();
        Ok(Self { swarm, views, good, bad })
    }

    /// Whether every node is in the mesh.
    pub fn has_formed(&self) -> bool {
        self.views.iter().all(|view| view.borrow().joined)
    }

    /// Tells a fleet what is to be seen of every node.
    pub fn show(&self, fleet: &mut Fleet) {
        show(&self.views, fleet);
    }

    /// Ends the mesh.
    pub async fn stop(self) {
        self.swarm.stop().await;
    }
}
