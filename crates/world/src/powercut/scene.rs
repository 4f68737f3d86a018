//! Where a node starts from, and what happens to it.

use crate::body::http::Server;
use crate::factory::{CompactTable, Factory};
use crate::flash::{SECTOR_BYTES, Snapshot};
use crate::nvs::{Contents, Provisioning, Value};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, OtaEntry, OtaState, PartitionTable, SlotId};
use rootcast_patch::{Options, create};
use rootcast_wire::{NodeId, NodeType};
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

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
    /// The same, by a patch on the running image.
    Patched,
    /// A good image is triggered; while the node has no power, another one takes its place behind the URL.
    FileChanges,
    /// What the server sends is damaged: it has to be refused when it is whole.
    Damaged,
    /// The new image never reaches its broker; its time runs out.
    NeverJoins,
    /// The new image crashes soon after each start.
    Crashes,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Update, Self::Patched, Self::FileChanges, Self::Damaged, Self::NeverJoins, Self::Crashes];

    /// Whether the new image is worth keeping.
    #[must_use]
    pub const fn ends_on_new(self) -> bool {
        matches!(self, Self::Update | Self::Patched | Self::FileChanges)
    }

    /// How much sparser the bytes of its programs are cut: these stories share most of their operations with
    /// [`Story::Update`].
    pub(super) const fn byte_step(self) -> usize {
        match self {
            Self::Update | Self::NeverJoins | Self::Crashes => 1,
            Self::Patched | Self::FileChanges | Self::Damaged => 5,
        }
    }

    /// Whether the new image fails its trial, which the node then remembers in NVS.
    #[must_use]
    pub const fn fails_its_trial(self) -> bool {
        matches!(self, Self::NeverJoins | Self::Crashes)
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Update => "update and confirm",
            Self::Patched => "update by patch",
            Self::FileChanges => "file changes behind URL",
            Self::Damaged => "damaged file, refused",
            Self::NeverJoins => "never joins, rolled back",
            Self::Crashes => "crashes, rolled back",
        })
    }
}

/// Images of a scene.
#[derive(Clone, Debug)]
pub struct Images {
    /// The chip that they are for.
    pub chip: ChipId,
    /// What runs at the beginning.
    pub old: Arc<[u8]>,
    /// What the trigger leads to.
    pub new: Arc<[u8]>,
    /// What takes its place behind the URL, where the story has it so.
    pub newer: Arc<[u8]>,
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
        let chip = ChipId::ESP32C3;
        let image = |version: &str, seed| -> Arc<[u8]> {
            let builder = AppImageBuilder::new(chip).project("powercut").version(version).seed(seed);
            builder.size(bytes).build().expect("the size is enough for an image").into()
        };
        Self {
            chip,
            old: image("1", 1),
            new: image("2", 2),
            newer: image("2b", 5),
            next: image("3", 3),
            factory: image("0", 4),
        }
    }

    /// Images that a real project built: what runs, what comes, and what comes after that.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn real(chip: ChipId, old: &Path, new: &Path, next: &Path) -> io::Result<Self> {
        let read = |path: &Path| -> io::Result<Arc<[u8]>> { Ok(std::fs::read(path)?.into()) };
        let next = read(next)?;
        let (newer, factory) = (Arc::clone(&next), Arc::clone(&next));
        Ok(Self { chip, old: read(old)?, new: read(new)?, newer, next, factory })
    }

    /// Bytes of the largest.
    #[must_use]
    pub fn largest(&self) -> usize {
        [&self.old, &self.new, &self.newer, &self.next, &self.factory]
            .map(|image| image.len())
            .into_iter()
            .max()
            .unwrap_or(0)
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
    /// What the images are, for the table.
    pub label: &'static str,
    /// Every so manieth operation is cut; 1 for all.
    pub operation_step: usize,
    /// The server before power goes, and after.
    servers: [Server; 2],
}

/// Where the trigger leads.
pub(super) const URL: &str = "https://firmware.example/new.bin";
/// Where a later trigger leads.
pub(super) const NEXT_URL: &str = "https://firmware.example/next.bin";

/// The key of an entry in NVS that belongs to the application.
const APPLICATIONS_KEY: (&str, &str) = ("app", "switches");

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bootloader = if self.rollback { "rollback" } else { "plain" };
        let factory = if self.factory { ", factory app" } else { "" };
        write!(f, "{} {}, {}, {bootloader}{factory}", self.story, self.label, self.start)
    }
}

impl Scene {
    /// A scene, with slots that have room for the images and the journal.
    ///
    /// # Panics
    /// When no patch can be made between the images: a mistake in the test that chose them.
    #[must_use]
    pub fn new(start: Start, story: Story, rollback: bool, factory: bool, images: &Images) -> Self {
        let slot_bytes = (images.largest().next_multiple_of(SECTOR_BYTES) + SECTOR_BYTES) as u32;
        let mut scene = Self {
            start,
            story,
            rollback,
            factory,
            images: images.clone(),
            slot_bytes,
            label: "",
            operation_step: 1,
            servers: [Server::new(), Server::new()],
        };
        let first = if scene.starts_from_factory() { &images.factory } else { &images.old };
        let served: Arc<[u8]> = match story {
            Story::Patched => {
                create(first, &images.new, &Options::default()).expect("images have patches").patch.into()
            }
            Story::Damaged => {
                let mut damaged = images.new.to_vec();
                let middle = damaged.len() / 2;
                damaged[middle] ^= 0x10;
                damaged.into()
            }
            _ => Arc::clone(&images.new),
        };
        let later = if story == Story::FileChanges { &images.newer } else { &served };
        for (server, file) in scene.servers.iter_mut().zip([&served, later]) {
            server.put("/new.bin", Arc::clone(file));
            server.put("/next.bin", Arc::clone(&images.next));
        }
        scene
    }

    /// The server, before power went or after.
    pub(super) fn server(&self, after_cut: bool) -> Server {
        self.servers[usize::from(after_cut)].clone()
    }

    /// Whether the factory app runs at the beginning.
    #[must_use]
    pub fn starts_from_factory(&self) -> bool {
        self.factory && self.start == Start::Empty
    }

    /// The image that a trigger leads to after the cut, if the story is to end on it.
    #[must_use]
    pub fn last_hash(&self) -> ImageHash {
        let changes = self.story == Story::FileChanges;
        hash_of(if changes { &self.images.newer } else { &self.images.new })
    }

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
        if !self.starts_from_factory() {
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
        hash_of(if self.starts_from_factory() { &self.images.factory } else { &self.images.old })
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
