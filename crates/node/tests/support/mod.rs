//! The smallest body there is: one node on a flash in memory, a file server that answers byte streams, a broker
//! that only listens. Time jumps from deadline to deadline.
#![allow(dead_code, reason = "each test file uses a part of it")]

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rootcast_image::boot::{BootRules, decide};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageVerifier, OtaData, PartitionTable, SlotId};
use rootcast_node::{
    BootInfo, Input, Instant, MeshState, Node, Output, Platform, ResetReason, SettingKey, SettingLost,
    Settings,
};
use rootcast_wire::{NodeId, NodeType};
use std::collections::HashMap;

pub const TABLE_AT: u32 = 0x8000;

/// Flash that obeys the rules of NOR and refuses everything else.
pub struct Flash {
    pub bytes: Vec<u8>,
    /// Where nothing may be written.
    pub forbidden: std::ops::Range<u32>,
    /// The record that the bootloader boots by next reads as torn afterwards: cells that a power cut left in doubt.
    pub doubtful_record: bool,
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4), "unaligned read at {offset:#x}");
        let offset = offset as usize;
        bytes.copy_from_slice(
            self.bytes.get(offset..offset + bytes.len()).ok_or(NorFlashErrorKind::OutOfBounds)?,
        );
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        assert!(from.is_multiple_of(4096) && to.is_multiple_of(4096));
        assert!(
            to <= self.forbidden.start || from >= self.forbidden.end,
            "erase of the running slot at {from:#x}"
        );
        self.bytes[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        assert!(offset.is_multiple_of(4) && bytes.len().is_multiple_of(4), "unaligned write at {offset:#x}");
        let end = offset + bytes.len() as u32;
        assert!(
            end <= self.forbidden.start || offset >= self.forbidden.end,
            "write to the running slot at {offset:#x}"
        );
        for (old, new) in self.bytes[offset as usize..end as usize].iter_mut().zip(bytes) {
            assert_eq!(*old & new, *new, "a bit would have to rise near {offset:#x}");
            *old = *new;
        }
        Ok(())
    }
}

pub struct Board {
    pub flash: Flash,
    pub nvs: HashMap<&'static str, Vec<u8>>,
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

    fn load(&mut self, key: SettingKey, into: &mut [u8]) -> Option<usize> {
        let value = self.nvs.get(key.name())?;
        into.get_mut(..value.len())?.copy_from_slice(value);
        Some(value.len())
    }

    fn store(&mut self, key: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
        self.nvs.insert(key.name(), value.to_vec());
        Ok(())
    }
}

/// How the file server answers.
#[derive(Clone, Default)]
pub struct Server {
    pub file: Vec<u8>,
    /// What is served at `/release.suit`.
    pub release: Option<Vec<u8>>,
    /// What is served at `/patch`, and its 404 where there is none.
    pub patch: Option<Vec<u8>>,
    /// The connection dies after so many bytes of the patch.
    pub patch_cut: Option<usize>,
    pub etag: Option<&'static str>,
    pub ranges: bool,
    pub chunked: bool,
    /// The connection dies after so many bytes of the body, this often.
    pub cut: Option<(usize, u32)>,
    pub head: Option<&'static str>,
    pub requests: Vec<String>,
    pub served: usize,
}

impl Server {
    pub fn with(file: Vec<u8>) -> Self {
        Self { file, etag: Some("\"v1\""), ranges: true, ..Self::default() }
    }

    /// The whole answer to a request, and whether the connection dies after it.
    fn answer(&mut self, request: &str) -> (Vec<u8>, bool) {
        self.requests.push(request.to_owned());
        if let Some(head) = self.head {
            return (head.as_bytes().to_vec(), true);
        }
        if request.starts_with("GET /patch ") && self.patch.is_none() {
            return (b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(), true);
        }
        let patch = self.patch.as_ref().filter(|_| request.starts_with("GET /patch "));
        if let Some(release) =
            self.release.as_ref().filter(|_| request.starts_with("GET /release.suit ")).or(patch)
        {
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nETag: \"r\"\r\nContent-Length: {}\r\n\r\n", release.len())
                    .into_bytes();
            if let Some(cut) = self.patch_cut.filter(|_| patch.is_some()) {
                answer.extend_from_slice(&release[..cut]);
                return (answer, true);
            }
            answer.extend_from_slice(release);
            return (answer, false);
        }
        let line = |name: &str| request.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let range = line("Range: bytes=").and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        let matches = line("If-Range: ").as_deref() == self.etag;
        let from = range.filter(|_| self.ranges && matches).unwrap_or(0);
        if from > 0 && from >= self.file.len() {
            return (b"HTTP/1.1 416 Range Not Satisfiable\r\n\r\n".to_vec(), true);
        }
        let etag = self.etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
        let body = &self.file[from..];
        let mut answer = if from > 0 {
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
                self.file.len() - 1,
                self.file.len()
            )
        } else {
            "HTTP/1.1 200 OK\r\n".to_owned()
        };
        answer += &etag;
        answer += &if self.chunked {
            "Transfer-Encoding: chunked\r\n\r\n".to_owned()
        } else {
            format!("Content-Length: {}\r\n\r\n", body.len())
        };
        let mut answer = answer.into_bytes();
        let cut = match &mut self.cut {
            Some((bytes, times)) if *times > 0 => {
                *times -= 1;
                (*bytes).min(body.len())
            }
            _ => body.len(),
        };
        self.served += cut;
        if self.chunked {
            for piece in body[..cut].chunks(1000) {
                answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                answer.extend_from_slice(piece);
                answer.extend_from_slice(b"\r\n");
            }
            if cut == body.len() {
                answer.extend_from_slice(b"0\r\n\r\n");
            }
        } else {
            answer.extend_from_slice(&body[..cut]);
        }
        (answer, cut < body.len())
    }
}

/// One root on its own, with its world.
pub struct Lone {
    pub board: Board,
    pub node: Node,
    pub now: Instant,
    pub server: Server,
    pub rollback: bool,
    pub settings: Settings,
    pub published: Vec<serde_json::Value>,
    pub starts: u32,
    /// An image with this version never gets its broker.
    pub deaf: Option<&'static str>,
    slice: usize,
    /// Asks for the deadline every so many milliseconds and keeps none, as a body may.
    pub forgetful: Option<u64>,
}

pub fn table() -> PartitionTable {
    PartitionTable::default_4mb()
}

pub fn image(version: &str, size: usize) -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version(version).size(size).build().unwrap()
}

pub fn settings() -> Settings {
    let mut settings = Settings::new(NodeId(0xA0B1_C2D3_E4F5), NodeType::Switch, ChipId::ESP32C3);
    settings.is_root = true;
    settings.allow_unsigned = true;
    settings
}

impl Lone {
    pub fn running(app: &[u8]) -> Self {
        Self::with_settings(app, settings())
    }

    pub fn with_settings(app: &[u8], settings: Settings) -> Self {
        let table = table();
        let mut bytes = vec![0xFF; 4 << 20];
        bytes[TABLE_AT as usize..][..0xC00].copy_from_slice(&table.to_bytes().unwrap());
        bytes[0x10000..][..app.len()].copy_from_slice(app);
        let mut board = Board {
            flash: Flash { bytes, forbidden: 0..0, doubtful_record: false },
            nvs: HashMap::new(),
            random: 1,
        };
        let mut starts = 0;
        let node = start(&mut board, &settings, false, ResetReason::PowerOn, Instant(0), &mut starts);
        Self {
            board,
            node,
            now: Instant(0),
            server: Server::default(),
            rollback: false,
            settings,
            published: Vec::new(),
            starts,
            deaf: None,
            slice: 1460,
            forgetful: None,
        }
    }

    pub fn restart(&mut self, reset: ResetReason) {
        self.node = start(&mut self.board, &self.settings, self.rollback, reset, self.now, &mut self.starts);
        self.join();
    }

    pub fn join(&mut self) {
        let mesh =
            MeshState { started: true, joined: true, layer: 1, parent: self.settings.id, signal_dbm: -50 };
        self.node.handle(self.now, Input::Mesh(mesh), &mut self.board);
        if self.deaf.is_none_or(|version| self.version() != version) {
            self.node.handle(self.now, Input::MqttConnected, &mut self.board);
        }
    }

    pub fn version(&self) -> String {
        self.node.progress().running.map(|facts| facts.version.to_string()).unwrap_or_default()
    }

    pub fn trigger(&mut self, json: &str) {
        let input = Input::MqttMessage { topic: "/switch/cmd/root", payload: json.as_bytes() };
        self.node.handle(self.now, input, &mut self.board);
    }

    /// Lets the world go on for so many milliseconds, or until the node has restarted.
    pub fn run(&mut self, milliseconds: u64) -> bool {
        let end = self.now.after(milliseconds);
        loop {
            while let Some(output) = self.node.poll(self.now, &mut self.board) {
                match output {
                    Output::Restart => {
                        self.now = self.now.after(300);
                        self.restart(ResetReason::Software);
                        return true;
                    }
                    Output::Publish { payload, .. } => {
                        self.published.push(serde_json::from_slice(payload).unwrap())
                    }
                    Output::Connect { .. } => {
                        self.node.handle(self.now, Input::StreamConnected, &mut self.board)
                    }
                    Output::Send(bytes) => {
                        let request = String::from_utf8(bytes.to_vec()).unwrap();
                        let (answer, dies) = self.server.answer(&request);
                        for piece in answer.chunks(self.slice) {
                            self.node.handle(self.now, Input::StreamData(piece), &mut self.board);
                        }
                        if dies {
                            self.node.handle(self.now, Input::StreamClosed, &mut self.board);
                        }
                    }
                    Output::Led(_) | Output::SendFrame { .. } | Output::Subscribe { .. } | Output::Close => {}
                }
            }
            let deadline = self.node.deadline(self.now);
            if let Some(step) = self.forgetful
                && self.now < end
                && deadline.is_none_or(|deadline| deadline > self.now)
            {
                self.now = self.now.after(step);
                continue;
            }
            match deadline {
                Some(deadline) if deadline <= end => {
                    self.now = self.now.after(deadline.since(self.now).max(1))
                }
                _ => {
                    self.now = end;
                    return false;
                }
            }
            self.node.handle_timeout(self.now, &mut self.board);
        }
    }

    /// Runs through restarts until nothing more happens for the time given.
    pub fn settle(&mut self, milliseconds: u64) {
        for _ in 0..50 {
            if !self.run(milliseconds) {
                return;
            }
        }
        panic!("the node restarts without end");
    }

    pub fn reports(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
        self.published
            .iter()
            .filter(|message| message["type"] == "ota_status")
            .map(|message| (text(&message["state"]), text(&message["error"])))
            .collect()
    }

    pub fn states(&self) -> Vec<String> {
        let mut states: Vec<String> = self.reports().into_iter().map(|(state, _)| state).collect();
        states.dedup();
        states
    }

    pub fn otadata(&self) -> OtaData {
        otadata(&self.board)
    }
}

fn otadata(board: &Board) -> OtaData {
    let at = table().otadata().unwrap().offset as usize;
    let entry = |at: usize| <&[u8; 32]>::try_from(&board.flash.bytes[at..at + 32]).unwrap();
    OtaData::parse(entry(at), entry(at + 4096))
}

/// The second-stage bootloader, then the core's first instructions.
fn start(
    board: &mut Board,
    settings: &Settings,
    rollback: bool,
    reset: ResetReason,
    now: Instant,
    starts: &mut u32,
) -> Node {
    *starts += 1;
    let table = table();
    let flash = &mut board.flash;
    let sound = |bytes: &[u8], slot: SlotId| {
        let partition = table.slot(slot).unwrap();
        let mut verifier = ImageVerifier::new();
        let _ = verifier.push(&bytes[partition.offset as usize..][..partition.size as usize]);
        verifier.finish().is_ok()
    };
    let at = table.otadata().unwrap().offset as usize;
    let otadata = {
        let entry = |at: usize| <&[u8; 32]>::try_from(&flash.bytes[at..at + 32]).unwrap();
        OtaData::parse(entry(at), entry(at + 4096))
    };
    let decision =
        decide(&table, &otadata, &mut |slot| sound(&flash.bytes, slot), BootRules::rollback(rollback));
    for write in &decision.writes {
        let at = at + write.index * 4096;
        flash.bytes[at..at + 4096].fill(0xFF);
        flash.bytes[at..at + 32].copy_from_slice(&write.entry.to_bytes());
    }
    if std::mem::take(&mut flash.doubtful_record) {
        let record = at + otadata.active().expect("a record is in force") * 4096;
        flash.bytes[record + 28..record + 32].fill(0);
    }
    let slot = table.slot(decision.slot.expect("nothing boots: bricked")).unwrap();
    flash.forbidden = slot.offset..slot.offset + slot.size;
    let boot = BootInfo { code_address: slot.offset + 0x20, reset };
    Node::boot(settings.clone(), boot, now, board).unwrap()
}
