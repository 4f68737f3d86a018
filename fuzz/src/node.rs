//! A whole node: whatever stands on its flash when it starts, and whatever it is told afterwards.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rootcast_image::partition::{TABLE_OFFSET, kind, subtype};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, OtaEntry, OtaState, Partition, PartitionTable};
use rootcast_node::{
    BootInfo, Input, Instant, MeshState, Node, Output, Platform, ResetReason, SettingKey, SettingLost,
    Settings,
};
use rootcast_wire::{ErrorCode, NodeId, NodeType};
use std::sync::LazyLock;

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "node_flash", run: node_flash, seeds: flashes, repair: None },
    Target { name: "node_talk", run: node_talk, seeds: talks, repair: None },
];

const SECTOR: usize = 4096;
const OTADATA: usize = 0x9000;
const SLOTS: [usize; 2] = [0xB000, 0xE000];
const SLOT: usize = 3 * SECTOR;
const END: usize = SLOTS[1] + SLOT;

/// Small flash that obeys NOR's rules, and fails the run when the running slot is written.
struct Flash {
    bytes: Vec<u8>,
    running: std::ops::Range<usize>,
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        assert!(offset.is_multiple_of(4) && into.len().is_multiple_of(4), "words are read");
        let from = self.bytes.get(offset as usize..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(from.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl Flash {
    fn room(&mut self, from: usize, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let apart = from + length <= self.running.start || from >= self.running.end;
        assert!(apart, "the running slot is written at {from:#x}");
        self.bytes.get_mut(from..from + length).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        assert!(from.is_multiple_of(4096) && to.is_multiple_of(4096) && from <= to, "sectors are erased");
        self.room(from as usize, (to - from) as usize)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4), "words are programmed");
        let room = self.room(offset as usize, bytes.len())?;
        room.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
        Ok(())
    }
}

struct Board {
    flash: Flash,
    random: u32,
}

impl Platform for Board {
    type Flash = Flash;

    fn flash(&mut self) -> &mut Flash {
        &mut self.flash
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }

    fn load(&mut self, _key: SettingKey, _into: &mut [u8]) -> Option<usize> {
        None
    }

    fn store(&mut self, _key: SettingKey, _value: &[u8]) -> Result<(), SettingLost> {
        Ok(())
    }
}

fn image(version: &str) -> Vec<u8> {
    let builder = AppImageBuilder::new(ChipId::ESP32C3).version(version).project("fuzz");
    builder.size(600).build().expect("the size is enough")
}

/// The chip as a factory leaves it, with an image in each slot.
static CHIP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut table = PartitionTable { has_md5: true, ..PartitionTable::default() };
    for (label, kind, subtype, at, size) in [
        ("otadata", kind::DATA, subtype::OTADATA, OTADATA, 2 * SECTOR),
        ("ota_0", kind::APP, subtype::OTA_0, SLOTS[0], SLOT),
        ("ota_1", kind::APP, subtype::OTA_0 + 1, SLOTS[1], SLOT),
    ] {
        table.partitions.push(Partition::new(label, kind, subtype, at as u32, size as u32)).expect("room");
    }
    let mut chip = vec![0xFF; END];
    let bytes = table.to_bytes().expect("a small table");
    chip[TABLE_OFFSET as usize..][..bytes.len()].copy_from_slice(&bytes);
    for (at, version) in SLOTS.iter().zip(["1", "2"]) {
        let image = image(version);
        chip[*at..][..image.len()].copy_from_slice(&image);
    }
    chip
});

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let mut settings = Settings::new(NodeId(0xA0B1_C2D3_E4F5), NodeType::Switch, ChipId::ESP32C3);
    settings.allow_unsigned = true;
    settings
});

/// Places on the flash where something stands that is read after a reset: a record, its trial's starts, why it was
/// rejected; the journals' heads, commands, pages, results.
const PLACES: [(usize, usize); 10] = [
    (OTADATA, 32),
    (OTADATA + 0x40, 32),
    (OTADATA + SECTOR, 32),
    (OTADATA + SECTOR + 0x40, 0x60),
    (SLOTS[0] + SLOT - SECTOR, 0x80),
    (SLOTS[0] + SLOT - SECTOR + 0xE00, 0x100),
    (SLOTS[1] + SLOT - SECTOR, 0x80),
    (SLOTS[1] + SLOT - SECTOR + 0x80, 0x100),
    (SLOTS[1] + SLOT - SECTOR + 0xE00, 0x100),
    (SLOTS[1], 0x100),
];

fn start(mut flash: Vec<u8>, slot: usize, reset: ResetReason, settings: Settings) -> (Board, Option<Node>) {
    let at = SLOTS[slot];
    flash.truncate(END);
    let mut board = Board { flash: Flash { bytes: flash, running: at..at + SLOT }, random: 1 };
    let boot = BootInfo { code_address: at as u32 + 0x20, reset };
    let node = Node::boot(settings, boot, Instant(0), &mut board).ok();
    (board, node)
}

/// Does what the node wants, a bounded number of times.
fn drain(node: &mut Node, board: &mut Board, now: Instant) -> bool {
    for _ in 0..32 {
        match node.poll(now, board) {
            Some(Output::Restart) => return true,
            Some(Output::SendFrame { bytes, .. }) => assert!(!bytes.is_empty()),
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// A node starts with anything in its boot record and its journals: it comes up, and never writes to the slot that it
/// runs from. Each change is a place (one byte), an offset and a value there.
pub fn node_flash(input: &[u8]) {
    let Some((&choice, changes)) = input.split_first() else { return };
    let mut flash = CHIP.clone();
    for change in changes.chunks_exact(3) {
        let (at, length) = PLACES[usize::from(change[0]) % PLACES.len()];
        flash[at + usize::from(change[1]) % length] = change[2];
    }
    // What a checksum guards is reached only with a right one.
    if choice & 1 != 0 {
        for at in [OTADATA, OTADATA + SECTOR] {
            let crc = rootcast_image::crc::crc32_seed_ones(&flash[at..at + 4]);
            flash[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for at in SLOTS.map(|slot| slot + SLOT - SECTOR) {
        if choice & 2 != 0 {
            let command = usize::from(u16::from_le_bytes([flash[at + 12], flash[at + 13]])).min(0xB00);
            let guarded = [&flash[at..at + 0x70], &flash[at + 0x80..at + 0x80 + command]].concat();
            let crc = rootcast_image::crc::crc32(&guarded);
            flash[at + 0x70..at + 0x74].copy_from_slice(&crc.to_le_bytes());
        }
        if choice & 4 != 0 {
            let crc = rootcast_image::crc::crc32(&flash[at + 0xE00..at + 0xE28]);
            flash[at + 0xE28..at + 0xE2C].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let reset = [ResetReason::PowerOn, ResetReason::Software, ResetReason::Panic, ResetReason::Watchdog];
    let reset = reset[usize::from(choice >> 3 & 3)];
    let (mut board, node) = start(flash, usize::from(choice >> 5 & 1), reset, SETTINGS.clone());
    let Some(mut node) = node else { return };
    for moment in [1, 10_000, 400_000] {
        if drain(&mut node, &mut board, Instant(moment)) {
            break;
        }
        node.handle_timeout(Instant(moment), &mut board);
    }
}

/// A running node, root or leaf, is told anything: frames, commands, answers of a server. Each event: kind, length
/// (two bytes), bytes.
pub fn node_talk(input: &[u8]) {
    let Some((&role, mut input)) = input.split_first() else { return };
    let mut settings = SETTINGS.clone();
    settings.is_root = role & 1 != 0;
    let (mut board, node) = start(CHIP.clone(), 0, ResetReason::PowerOn, settings);
    let Some(mut node) = node else { return };
    let mut now = Instant(1);
    let mesh = MeshState { started: true, joined: true, layer: 1, parent: NodeId(7), signal_dbm: -50 };
    node.handle(now, Input::Mesh(mesh), &mut board);
    node.handle(now, Input::MqttConnected, &mut board);
    for _ in 0..24 {
        let Some(([kind, low, high], rest)) = input.split_first_chunk::<3>() else { break };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, rest) = rest.split_at(length.min(rest.len()));
        input = rest;
        let event = match kind & 7 {
            0 => Input::Frame(bytes),
            1 => Input::NeighbourFrame { bytes, signal_dbm: -60 },
            2 => Input::MqttMessage { topic: "/switch/cmd/root", payload: bytes },
            3 => Input::StreamConnected,
            4 => Input::StreamData(bytes),
            5 => Input::StreamClosed,
            6 => Input::StreamFailed(ErrorCode::TlsFailed),
            _ => {
                let next = node.deadline(now).unwrap_or(now.after(length as u64));
                now = if next > now { next.min(now.after(3_600_000)) } else { now.after(1) };
                node.handle_timeout(now, &mut board);
                if drain(&mut node, &mut board, now) {
                    return;
                }
                continue;
            }
        };
        node.handle(now, event, &mut board);
        if drain(&mut node, &mut board, now) {
            return;
        }
    }
}

fn flashes() -> Vec<Vec<u8>> {
    let changes = |choice: u8, pieces: &[(u8, u8, &[u8])]| {
        let mut bytes = vec![choice];
        for (place, from, content) in pieces {
            for (offset, byte) in content.iter().enumerate() {
                bytes.extend([*place, *from + offset as u8, *byte]);
            }
        }
        bytes
    };
    let valid = OtaEntry::new(1, OtaState::Valid).to_bytes();
    let entry = |state| OtaEntry::new(2, state).to_bytes();
    let verifier = |file: &[u8]| {
        let mut verifier = rootcast_image::ImageVerifier::new();
        verifier.push(file).expect("an image");
        verifier.finish().expect("an image")
    };
    let new = verifier(&image("2"));
    let installed = [&new.hash.0[..], &new.image_len.to_le_bytes(), &new.file_len.to_le_bytes()].concat();
    let head =
        [&b"RCJ1"[..], &9_u32.to_le_bytes(), &600_u32.to_le_bytes(), &[0x40, 0, 4, 0xFF], b"\"v1\""].concat();
    vec![
        changes(0, &[]),
        changes(1, &[(0, 0, &valid)]),
        changes(0x21, &[(0, 0, &valid), (2, 0, &entry(OtaState::New))]),
        changes(0x39, &[(0, 0, &valid), (2, 0, &entry(OtaState::PendingVerify)), (3, 0, &[0; 4])]),
        changes(
            7,
            &[
                (0, 0, &valid),
                (2, 0, &entry(OtaState::Aborted)),
                (6, 0, &head),
                (8, 0, &installed),
                (8, 0x40, &[0; 4]),
            ],
        ),
        changes(6, &[(0, 0, &valid), (6, 0, &head), (7, 0, &[1; 64])]),
    ]
}

fn talks() -> Vec<Vec<u8>> {
    let event = |kind: u8, bytes: &[u8]| [&[kind][..], &(bytes.len() as u16).to_le_bytes(), bytes].concat();
    let trigger = event(2, br#"{"type":"ota_trigger","url":"http://s/f"}"#);
    let tick = event(7, &[]);
    let file = image("2");
    let head = format!("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: {}\r\n\r\n", file.len());
    let answer = event(4, &[head.as_bytes(), &file].concat());
    let mut talks = vec![
        [&[1][..], &trigger, &tick, &event(3, &[]), &answer, &tick, &tick, &tick, &tick, &tick].concat(),
        [&[1][..], &trigger, &event(3, &[]), &event(4, b"HTTP/1.1 404 Not Found\r\n\r\n"), &event(5, &[])]
            .concat(),
        [&[1][..], &event(2, br#"{"type":"ota_abort"}"#), &tick].concat(),
    ];
    for target in
        crate::wire::TARGETS.iter().filter(|target| ["frame", "dialect_frames"].contains(&target.name))
    {
        for seed in (target.seeds)() {
            for role in [0, 1] {
                talks.push([&[role][..], &event(1, &seed), &tick, &event(0, &seed), &tick].concat());
            }
        }
    }
    talks
}
