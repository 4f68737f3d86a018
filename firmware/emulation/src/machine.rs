//! One emulated board: its flash file, and QEMU while it runs.

use rootcast_image::otadata::OTA_ENTRY_BYTES;
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{AppImage, ImageVerifier, OtaData, PartitionTable, SlotId};
use rootcast_world::flash::Sectors;
use rootcast_world::nvs::Contents;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Bytes of QEMU's bank of flash; the chip is its first 4 MiB.
const BANK_BYTES: u64 = 32 << 20;
/// The boot stub's options, at the flash's first bytes.
const ROLLBACK_ON: &[u8] = b"RCBL\x01";
const ROLLBACK_OFF: &[u8] = b"RCBL\x00";

/// A board.
pub struct Machine {
    /// Its node id: the station MAC.
    pub id: u64,
    folder: PathBuf,
    boot: PathBuf,
    /// UDP ports of the radio: this machine's, and the air's.
    radio: (u16, u16),
    has_router: bool,
    process: Option<Child>,
    starts: u32,
}

/// How a board comes from the factory.
pub struct Factory<'a> {
    /// Its node id.
    pub id: u64,
    /// The image in `ota_0`.
    pub app: &'a [u8],
    /// The NVS partition.
    pub nvs: &'a [u8],
    /// Whether the bootloader has rollback on.
    pub rollback: bool,
    /// Whether the router is in range.
    pub has_router: bool,
    /// UDP ports of the radio: this machine's, and the air's.
    pub radio: (u16, u16),
}

impl Factory<'_> {
    /// The whole flash, as it leaves the factory.
    ///
    /// # Errors
    /// When the partition table cannot be written, which it can.
    pub fn flash(&self) -> io::Result<Vec<u8>> {
        let table = PartitionTable::default_4mb();
        let mut chip = vec![0xFF; 4 << 20];
        let mut put = |at: u32, bytes: &[u8]| chip[at as usize..][..bytes.len()].copy_from_slice(bytes);
        put(0, if self.rollback { ROLLBACK_ON } else { ROLLBACK_OFF });
        put(TABLE_OFFSET, &table.to_bytes().map_err(io::Error::other)?);
        put(table.nvs().map_or(0, |nvs| nvs.offset), self.nvs);
        put(table.slot(SlotId::Ota(0)).map_or(0, |slot| slot.offset), self.app);
        Ok(chip)
    }
}

impl Machine {
    /// Makes the flash file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn make(folder: &Path, boot: &Path, factory: &Factory<'_>) -> io::Result<Self> {
        let folder = folder.join(format!("{:012x}", factory.id));
        fs::create_dir_all(&folder)?;
        let chip = factory.flash()?;
        let mut file = File::create(folder.join("flash.bin"))?;
        file.write_all(&chip)?;
        // The rest of the bank is a hole: nothing looks there.
        file.set_len(BANK_BYTES)?;
        Ok(Self {
            id: factory.id,
            folder,
            boot: boot.to_owned(),
            radio: factory.radio,
            has_router: factory.has_router,
            process: None,
            starts: 0,
        })
    }

    fn flash_file(&self) -> PathBuf {
        self.folder.join("flash.bin")
    }

    /// Switches the power on.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn power_on(&mut self) -> io::Result<()> {
        self.starts += 1;
        let mac =
            |id: u64| id.to_be_bytes()[2..].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
        let mut qemu = Command::new("qemu-system-riscv32");
        qemu.args(["-M", "virt", "-m", "32M", "-display", "none", "-monitor", "none"])
            .args(["-global", "virtio-mmio.force-legacy=false", "-device", "virtio-rng-device"])
            .arg("-bios")
            .arg(&self.boot)
            .arg("-drive")
            .arg(format!("if=pflash,unit=1,format=raw,file={}", self.flash_file().display()))
            .arg("-serial")
            .arg(format!("file:{}", self.log_file(self.starts).display()));
        let (own, air) = self.radio;
        qemu.arg("-netdev")
            .arg(format!("dgram,id=air,local.type=inet,local.host=127.0.0.1,local.port={own},remote.type=inet,remote.host=127.0.0.1,remote.port={air}"))
            .arg("-device")
            .arg(format!("virtio-net-device,netdev=air,mac={}", mac(self.id)));
        if self.has_router {
            qemu.args([
                "-netdev",
                "user,id=router",
                "-device",
                "virtio-net-device,netdev=router,mac=52:54:00:12:34:56",
            ]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::null());
        qemu.stderr(File::create(self.folder.join("qemu.err"))?);
        self.process = Some(qemu.spawn()?);
        Ok(())
    }

    /// Pulls the plug: the emulator is killed, in the middle of whatever it does.
    pub fn power_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Whether it runs.
    pub fn is_on(&self) -> bool {
        self.process.is_some()
    }

    fn log_file(&self, start: u32) -> PathBuf {
        self.folder.join(format!("uart-{start}.log"))
    }

    /// Everything that the serial line said, over all starts.
    pub fn log(&self) -> String {
        let read = |start| fs::read(self.log_file(start)).unwrap_or_default();
        (1..=self.starts)
            .map(|start| String::from_utf8_lossy(&read(start)).into_owned())
            .collect::<Vec<_>>()
            .join("\n--- power ---\n")
    }

    /// What the serial line has said since power came last; resets are in it.
    pub fn last_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file(self.starts)).unwrap_or_default()).into_owned()
    }

    /// The most stack that the program said it ever used, in bytes.
    pub fn deepest_stack(&self) -> Option<usize> {
        let log = self.log();
        log.lines().filter_map(|line| line.split_once("stack: ")?.1.split(' ').next()?.parse().ok()).max()
    }

    /// Reads from the flash.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn flash(&self, at: u32, bytes: usize) -> io::Result<Vec<u8>> {
        let mut file = OpenOptions::new().read(true).open(self.flash_file())?;
        file.seek(SeekFrom::Start(at.into()))?;
        let mut read = vec![0; bytes];
        file.read_exact(&mut read)?;
        Ok(read)
    }

    /// The verified image in a slot.
    pub fn slot(&self, slot: SlotId) -> Option<AppImage> {
        let table = PartitionTable::default_4mb();
        let place = table.slot(slot)?;
        let bytes = self.flash(place.offset, place.size as usize).ok()?;
        let mut verifier = ImageVerifier::new();
        verifier.push(&bytes).ok()?;
        verifier.finish().ok()
    }

    /// What otadata says.
    ///
    /// # Errors
    /// When the flash cannot be read.
    pub fn otadata(&self) -> io::Result<OtaData> {
        let table = PartitionTable::default_4mb();
        let at = table.otadata().map_or(0, |place| place.offset);
        let record = |at| -> io::Result<[u8; OTA_ENTRY_BYTES]> {
            self.flash(at, OTA_ENTRY_BYTES)?.try_into().map_err(|_| io::Error::other("short read"))
        };
        Ok(OtaData::parse(&record(at)?, &record(at + 4096)?))
    }

    /// What stands in NVS, but for the note on the cast at hand.
    ///
    /// # Errors
    /// When the flash cannot be read, or holds no NVS.
    pub fn settings(&self) -> io::Result<Contents> {
        let table = PartitionTable::default_4mb();
        let nvs = table.nvs().ok_or_else(|| io::Error::other("no nvs"))?;
        let sectors = Sectors::from_bytes(&self.flash(nvs.offset, nvs.size as usize)?);
        let contents = Contents::read(&sectors, &(0..nvs.size));
        let contents = contents.map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(contents.without(&["cast"]))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}
