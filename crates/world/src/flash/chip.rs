//! The chip as a driver sees it.

use super::cut::PowerCut;
use super::fault::{Fault, Faults};
use super::file::FlashFile;
use super::guard::{Access, Guard, Rule, Violation};
use super::record::{Operation, OperationKind, Recorded, Recording};
use super::sectors::{SECTOR_BYTES, SIZE, Sectors, Snapshot};
use crate::random::Random;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::ops::Range;
use std::sync::Arc;

/// Reads and writes are in words of four bytes, as esp-storage's driver has them.
const WORD: u32 = 4;

/// Broken rules that are kept; later ones are only counted.
const MAX_VIOLATIONS: usize = 32;

/// Why the chip did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// An address or length is not a multiple of the unit.
    #[error("address or length is not aligned to the chip's units")]
    NotAligned,
    /// Beyond the end.
    #[error("address beyond the chip's end")]
    OutOfBounds,
    /// There is no power (any more).
    #[error("no power")]
    NoPower,
    /// An injected fault.
    #[error("the flash is worn or damaged there")]
    Damaged,
    /// The file behind the chip cannot be written.
    #[error("the file behind the flash cannot be written: {0}")]
    File(std::io::ErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NoPower | Self::Damaged | Self::File(_) => NorFlashErrorKind::Other,
        }
    }
}

/// What a chip has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes read.
    pub bytes_read: u64,
    /// Program operations.
    pub programs: u64,
    /// Bytes programmed.
    pub bytes_programmed: u64,
    /// Sectors erased.
    pub erases: u64,
}

/// A NOR flash chip.
///
/// A clone is a copy of the content and of the settings at that moment; it has no file behind it.
#[derive(Debug)]
pub struct VirtualFlash {
    content: Snapshot,
    powered: bool,
    cut: Option<PowerCut>,
    guard: Guard,
    violations: Vec<Violation>,
    violation_count: u64,
    faults: Faults,
    recording: Recording,
    recorded: Vec<Recorded>,
    tally: Tally,
    noise: Random,
    file: Option<FlashFile>,
}

impl Clone for VirtualFlash {
    fn clone(&self) -> Self {
        Self {
            content: self.content.clone(),
            cut: self.cut.clone(),
            guard: self.guard.clone(),
            violations: self.violations.clone(),
            faults: self.faults.clone(),
            recorded: self.recorded.clone(),
            noise: self.noise.clone(),
            file: None,
            ..*self
        }
    }
}

impl VirtualFlash {
    /// An erased chip of at least `bytes` bytes.
    #[must_use]
    pub fn erased(bytes: u32) -> Self {
        Self::new(Snapshot::new(Sectors::erased(bytes)))
    }

    /// A chip with this content.
    #[must_use]
    pub fn with(sectors: Sectors) -> Self {
        Self::new(Snapshot::new(sectors))
    }

    /// A chip as another one was left.
    #[must_use]
    pub const fn new(content: Snapshot) -> Self {
        Self {
            content,
            powered: true,
            cut: None,
            guard: Guard::open(),
            violations: Vec::new(),
            violation_count: 0,
            faults: Faults::new(),
            recording: Recording::Count,
            recorded: Vec::new(),
            tally: Tally { bytes_read: 0, programs: 0, bytes_programmed: 0, erases: 0 },
            noise: Random::new(0),
            file: None,
        }
    }

    /// A chip whose operations are written through to a file, from what [`FlashFile::open`] gave.
    #[must_use]
    pub fn on_file(file: FlashFile, sectors: Sectors) -> Self {
        Self { file: Some(file), ..Self::with(sectors) }
    }

    /// The bits on the chip.
    #[must_use]
    pub const fn sectors(&self) -> &Sectors {
        &self.content.sectors
    }

    /// What the chip holds now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.content.clone()
    }

    /// Whether reading the range gives the same bytes each time: no uncertain bits, no faults.
    #[must_use]
    pub fn is_steady_in(&self, range: &Range<u32>) -> bool {
        self.faults.is_empty() && !self.content.is_unstable_in(range)
    }

    // ----- power -----------------------------------------------------------------------------------

    /// Arms a power cut; it replaces one that has not come yet.
    pub fn cut_power_at(&mut self, cut: PowerCut) {
        self.cut = Some(cut);
    }

    /// Takes the power away, between operations.
    pub fn power_off(&mut self) {
        self.powered = false;
        self.cut = None;
    }

    /// Gives the power back.
    pub fn power_on(&mut self) {
        self.powered = true;
        self.cut = None;
    }

    /// Whether there is power.
    #[must_use]
    pub const fn is_powered(&self) -> bool {
        self.powered
    }

    /// Decides how uncertain bits read from now on.
    pub fn seed_noise(&mut self, seed: u64) {
        self.noise = Random::new(seed);
    }

    // ----- watching --------------------------------------------------------------------------------

    /// Sets the borders.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = guard;
    }

    /// The first rules that were broken.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many rules were broken.
    #[must_use]
    pub const fn violation_count(&self) -> u64 {
        self.violation_count
    }

    /// Adds something that is wrong with the chip.
    pub fn add_fault(&mut self, fault: Fault) {
        self.faults.add(fault);
        self.faults.stick(&mut self.content.sectors, 0, u32::MAX);
    }

    /// Makes the chip sound again.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Chooses how much is recorded from now on.
    pub fn record(&mut self, recording: Recording) {
        self.recording = recording;
        self.recorded.clear();
    }

    /// What was recorded.
    #[must_use]
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// Hands out what was recorded and begins anew.
    pub fn take_recorded(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded)
    }

    /// What the chip has done so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn violate(&mut self, rule: Rule, access: Access, address: u32, length: usize) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.violations.push(Violation { rule, access, address, length });
        }
    }

    // ----- the work --------------------------------------------------------------------------------

    fn check(&mut self, access: Access, unit: u32, address: u32, length: usize) -> Result<u32, FlashError> {
        if !self.powered {
            return Err(FlashError::NoPower);
        }
        let short = u32::try_from(length).ok();
        let Some(short) =
            short.filter(|length| length.checked_add(address).is_some_and(|end| end <= self.size()))
        else {
            self.violate(Rule::Range, access, address, length);
            return Err(FlashError::OutOfBounds);
        };
        if !address.is_multiple_of(unit) || !short.is_multiple_of(unit) {
            self.violate(Rule::Alignment, access, address, length);
            return Err(FlashError::NotAligned);
        }
        if access != Access::Read
            && let Some(rule) = self.guard.broken_by(address, short)
        {
            self.violate(rule, access, address, length);
        }
        Ok(short)
    }

    fn size(&self) -> u32 {
        self.content.sectors.size()
    }

    /// Does one operation, or as much of it as power lasts for.
    fn operate(&mut self, operation: Operation) -> Result<(), FlashError> {
        if self.recording != Recording::Count {
            let before = (self.recording == Recording::Snapshots).then(|| self.content.clone());
            self.recorded.push(Recorded { operation: operation.clone(), before });
        }
        let cut = match &mut self.cut {
            Some(PowerCut { operation: 0, .. }) => self.cut.take(),
            Some(later) => {
                later.operation -= 1;
                None
            }
            None => None,
        };
        if let Some(cut) = &cut {
            self.content.cut(&operation, &cut.point, cut.unstable);
            self.powered = false;
        } else {
            self.content.complete(&operation);
        }
        let (address, length) = (operation.address, operation.length() as u32);
        if !self.faults.is_empty() {
            self.faults.stick(&mut self.content.sectors, address, length);
        }
        if let Some(file) = &self.file {
            let bytes = self.content.sectors.bytes(address..address + length);
            file.write(address, &bytes).map_err(|error| FlashError::File(error.kind()))?;
        }
        if cut.is_some() { Err(FlashError::NoPower) } else { Ok(()) }
    }

    /// Whether programming asks for a 1 where a certain 0 stands.
    fn sets_bits(&self, address: u32, bytes: &[u8]) -> bool {
        let mut old = [0; 256];
        let mut at = address;
        for piece in bytes.chunks(old.len()) {
            let old = &mut old[..piece.len()];
            self.content.sectors.read(at, old);
            let doubtful = self.content.is_unstable_in(&(at..at + piece.len() as u32));
            if !doubtful && old.iter().zip(piece).any(|(old, new)| new & !old != 0) {
                return true;
            }
            at += piece.len() as u32;
        }
        false
    }
}

impl ErrorType for VirtualFlash {
    type Error = FlashError;
}

impl ReadNorFlash for VirtualFlash {
    const READ_SIZE: usize = WORD as usize;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let length = self.check(Access::Read, WORD, offset, bytes.len())?;
        self.tally.bytes_read += u64::from(length);
        if !self.faults.is_empty() && self.faults.fails_read(offset, length) {
            return Err(FlashError::Damaged);
        }
        self.content.read(offset, bytes, &mut self.noise);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.size() as usize
    }
}

impl NorFlash for VirtualFlash {
    const WRITE_SIZE: usize = WORD as usize;
    const ERASE_SIZE: usize = SECTOR_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        if to < from {
            self.violate(Rule::Range, Access::Erase, from, 0);
            return Err(FlashError::OutOfBounds);
        }
        self.check(Access::Erase, SIZE, from, (to - from) as usize)?;
        for address in (from..to).step_by(SECTOR_BYTES) {
            if self.faults.fails_erase(address) {
                return Err(FlashError::Damaged);
            }
            self.tally.erases += 1;
            self.operate(Operation { address, kind: OperationKind::Erase })?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let length = self.check(Access::Program, WORD, offset, bytes.len())?;
        if length == 0 {
            return Ok(());
        }
        if self.faults.fails_program(offset, length) {
            return Err(FlashError::Damaged);
        }
        if self.sets_bits(offset, bytes) {
            self.violate(Rule::SetsBits, Access::Program, offset, bytes.len());
        }
        self.tally.programs += 1;
        self.tally.bytes_programmed += u64::from(length);
        self.operate(Operation { address: offset, kind: OperationKind::Program(Arc::from(bytes)) })
    }
}

impl esp_nvs::platform::Crc for VirtualFlash {
    fn crc32(init: u32, data: &[u8]) -> u32 {
        crate::nvs::crc32(init, data)
    }
}
