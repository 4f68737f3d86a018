//! Where a node starts from, and what happens to it.

use crate::factory::{CompactTable, Factory};
use crate::flash::{SECTOR_BYTES, Snapshot};
use crate::nvs::{Contents, Provisioning, Value};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, OtaEntry, OtaState, PartitionTable, SlotId};
use rootcast_wire::{NodeId, NodeType};
use std::fmt;
use std::sync::Arc;

/// The state of otadata at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Erased: the bootloader makes the first record, or starts the factory app.
    Empty,
    /// One record, of the running slot.
    OneEntry,
    /// Two records, of which the newer one is the running slot's.
    TwoEntries,
    /// The running slot's record, and one that was cut while it was written.
    TornEntry,
    /// The newer record names a slot whose image is damaged; the bootloader has fallen back to the other slot.
    FellBack,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Empty, Self::OneEntry, Self::TwoEntries, Self::TornEntry, Self::FellBack];
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "otadata empty",
            Self::OneEntry => "one entry",
            Self::TwoEntries => "two entries",
            Self::TornEntry => "torn entry",
            Self::FellBack => "fell back",
        })
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A good image is triggered and proves itself.
    Update,
    /// The new image never reaches its broker; its time runs out.
    NeverJoins,
    /// The new image crashes soon after each start.
    Crashes,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Update, Self::NeverJoins, Self::Crashes];

    /// Whether the new image is worth keeping.
    #[must_use]
    pub const fn ends_on_new(self) -> bool {
        matches!(self, Self::Update)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Update => "update and confirm",
            Self::NeverJoins => "never joins, rolled back",
            Self::Crashes => "crashes, rolled back",
        })
    }
}

/// Images of a scene.
#[derive(Clone, Debug)]
pub struct Images {
    /// What runs at the beginning.
    pub old: Arc<[u8]>,
    /// What the trigger leads to.
    pub new: Arc<[u8]>,
    /// A good image that any node must be able to take afterwards.
    pub next: Arc<[u8]>,
    /// What stands in the factory partition.
    pub factory: Arc<[u8]>,
}

impl Images {
    /// Small ones, of so many bytes each.
    ///
    /// # Panics
    /// When `bytes` is less than an image needs: a mistake in the test that asks for it.
    #[must_use]
    pub fn small(bytes: usize) -> Self {
        let image = |version: &str, seed| -> Arc<[u8]> {
            let builder =
                AppImageBuilder::new(ChipId::ESP32C3).project("powercut").version(version).seed(seed);
            builder.size(bytes).build().expect("the size is enough for an image").into()
        };
        Self { old: image("1", 1), new: image("2", 2), next: image("3", 3), factory: image("0", 4) }
    }
}

/// One place to start from, one story, one kind of bootloader.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Otadata at the beginning.
    pub start: Start,
    /// What happens.
    pub story: Story,
    /// Whether the bootloader rolls back by itself.
    pub rollback: bool,
    /// Whether there is a factory app.
    pub factory: bool,
    /// The images.
    pub images: Images,
    /// Bytes of a slot.
    pub slot_bytes: u32,
}

/// The key of an entry in NVS that belongs to the application.
const APPLICATIONS_KEY: (&str, &str) = ("app", "switches");

impl Scene {
    /// The chip at the beginning, with its table.
    ///
    /// # Panics
    /// When images and slots do not fit each other: a mistake in the test that made the scene.
    #[must_use]
    pub fn chip(&self) -> (Snapshot, PartitionTable) {
        let (table, flash_bytes) =
            CompactTable { slot_bytes: self.slot_bytes, slots: 2, factory: self.factory }.build();
        let nvs = table.nvs().expect("the table has nvs");
        let mut others = Contents::default();
        let key = (APPLICATIONS_KEY.0.to_owned(), APPLICATIONS_KEY.1.to_owned());
        others.0.insert(key, Value::Blob(vec![0x5A; 100]));
        let nvs = Provisioning {
            node_id: NodeId(0xA0B1_C2D3_E4F5),
            node_type: NodeType::Switch,
            is_root: true,
            allow_unsigned: true,
            ..Provisioning::default()
        }
        .to_partition(nvs.size, &others)
        .expect("the entries fit nvs");
        let factory = Factory {
            flash_bytes,
            table: &table,
            app: if self.factory { &self.images.factory } else { &self.images.old },
            nvs: Some(&nvs),
            bootloader: None,
        };
        let mut sectors = factory.build().expect("the images fit their slots");
        let at = |slot: u8| table.slot(SlotId::Ota(slot)).expect("there are two slots").offset;
        let otadata = table.otadata().expect("the table has otadata").offset;
        let mut put = |address: u32, bytes: &[u8]| sectors.load(address, bytes);
        if !(self.factory && self.start == Start::Empty) {
            put(at(0), &self.images.old);
        }
        let second = otadata + SECTOR_BYTES as u32;
        match self.start {
            Start::Empty => {}
            Start::OneEntry => put(otadata, &OtaEntry::new(1, OtaState::Valid).to_bytes()),
            Start::TwoEntries => {
                put(otadata, &OtaEntry::new(3, OtaState::Valid).to_bytes());
                put(second, &OtaEntry::new(2, OtaState::Valid).to_bytes());
                put(at(1), &self.images.factory);
            }
            Start::TornEntry => {
                put(otadata, &OtaEntry::new(1, OtaState::Valid).to_bytes());
                let mut torn = OtaEntry::new(2, OtaState::New).to_bytes();
                torn[29..].fill(0xFF);
                put(second, &torn);
            }
            Start::FellBack => {
                put(otadata, &OtaEntry::new(1, OtaState::Valid).to_bytes());
                put(second, &OtaEntry::new(2, OtaState::Valid).to_bytes());
                let mut damaged = self.images.factory.to_vec();
                let middle = damaged.len() / 2;
                damaged[middle] ^= 0xFF;
                put(at(1), &damaged);
            }
        }
        (Snapshot::new(sectors), table)
    }

    /// The hash of what runs at the beginning.
    #[must_use]
    pub fn first_hash(&self) -> ImageHash {
        let from_factory = self.factory && self.start == Start::Empty;
        hash_of(if from_factory { &self.images.factory } else { &self.images.old })
    }
}

/// The hash of an image.
///
/// # Panics
/// When it is none: the images of a scene are made by our own writer.
#[must_use]
pub fn hash_of(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).and_then(|()| verifier.finish()).expect("the images of a scene are images").hash
}
