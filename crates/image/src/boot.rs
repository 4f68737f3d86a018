//! Which slot boots, and what the bootloader writes: ESP-IDF's second-stage bootloader as a pure function.
//!
//! The rules are `bootloader_utility_get_selected_boot_partition` and `bootloader_utility_load_boot_image`
//! (`bootloader_utility.c`), step by step:
//!
//! ```text
//!  no otadata partition ─────────────────────────────────────────▶ factory
//!  otadata under two sectors ────────────────────────────────────▶ nothing boots
//!  rollback on: each PENDING_VERIFY record becomes ABORTED             (a trial without confirmation has ended)
//!  both records invalid, or no OTA slots ──▶ factory, else ota_0       (anti-rollback: other conditions, see decide)
//!  a record in force ──▶ its slot; rollback on and NEW: becomes PENDING_VERIFY
//!  none in force ──▶ factory, else every slot in turn
//!  then: that slot, else downwards to factory, else upwards, else test, else nothing. This fallback looks at
//!  images only, never at otadata, and does not correct otadata.
//!  both records were initial and a slot boots: record 0 becomes VALID for it
//! ```

use crate::otadata::{OtaData, OtaEntry, OtaState, OtaWrite};
use crate::partition::{MAX_OTA_SLOTS, OTADATA_BYTES};
use crate::{PartitionTable, SlotId};
use heapless::Vec;

/// How a bootloader was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BootRules {
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`. Off in most bootloaders in the field.
    pub rollback: bool,
    /// `CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`: the secure version in the fuses. `None` where it is off.
    pub secure_version: Option<u32>,
}

impl BootRules {
    /// A bootloader with rollback on or off, and without anti-rollback.
    pub const fn rollback(on: bool) -> Self {
        Self { rollback: on, secure_version: None }
    }
}

/// What the bootloader finds in the slots. A closure from slot to validity is enough without anti-rollback.
pub trait Slots {
    /// Whether a complete image verifies there. Asked only for slots the table has, in the bootloader's order.
    fn is_valid(&mut self, slot: SlotId) -> bool;

    /// The secure version in the slot's app descriptor; `None` if there is none to read.
    fn secure_version(&mut self, slot: SlotId) -> Option<u32> {
        let _ = slot;
        Some(0)
    }
}

impl<F: FnMut(SlotId) -> bool> Slots for F {
    fn is_valid(&mut self, slot: SlotId) -> bool {
        self(slot)
    }
}

/// What the bootloader does at one start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootDecision {
    /// The slot that runs; `None` if nothing boots and the device resets for ever.
    pub slot: Option<SlotId>,
    /// The slot that otadata asks for; `None` if otadata cannot be read, or "every slot in turn".
    pub selected: Option<SlotId>,
    /// Writes to otadata, in order: up to two ABORTED and one PENDING_VERIFY before the image is loaded, or up to two
    /// ABORTED and one initial record.
    pub writes: Vec<OtaWrite, 3>,
    /// The slot that runs is not the selected one: otadata now names a slot other than the running one.
    pub fell_back: bool,
    /// Secure version that the bootloader burns into the fuses (anti-rollback only).
    pub burn_secure_version: Option<u32>,
}

/// Decides one start of the bootloader. `otadata` is not looked at where the table has no otadata partition.
pub fn decide(
    table: &PartitionTable,
    otadata: &OtaData,
    slots: &mut (impl Slots + ?Sized),
    rules: BootRules,
) -> BootDecision {
    let mut decision = BootDecision {
        slot: None,
        selected: None,
        writes: Vec::new(),
        fell_back: false,
        burn_secure_version: None,
    };
    let Some(partition) = table.otadata() else {
        return boot_from(Start::Factory, false, decision, table, slots, rules);
    };
    if partition.size < OTADATA_BYTES {
        return decision;
    }
    let mut records = *otadata;
    if rules.rollback {
        for (index, entry) in records.entries.iter_mut().enumerate() {
            if entry.state == OtaState::PendingVerify {
                entry.state = OtaState::Aborted;
                // There is room: at most two here and one later.
                let _ = decision.writes.push(OtaWrite { index, entry: *entry });
            }
        }
    }
    let count = table.ota_count();
    let initial = records.entries.iter().all(OtaEntry::is_initial);
    let start = match rules.secure_version {
        None if count == 0 || records.entries.iter().all(OtaEntry::is_invalid) => {
            let start = if table.factory().is_some() { Start::Factory } else { Start::Ota(0) };
            let initial = initial && start != Start::Factory;
            return boot_from(start, initial, decision, table, slots, rules);
        }
        Some(_) if initial => return boot_from(Start::Factory, true, decision, table, slots, rules),
        None => records.active(),
        Some(burned) => active_not_older_than(burned, &records, count, slots),
    };
    let Some((index, entry)) = start.and_then(|index| Some((index, *records.entries.get(index)?))) else {
        return boot_from(Start::Factory, false, decision, table, slots, rules);
    };
    let Some(number) = entry.slot(count) else {
        return boot_from(Start::Factory, false, decision, table, slots, rules);
    };
    if rules.rollback && entry.state == OtaState::New {
        let entry = OtaEntry { state: OtaState::PendingVerify, ..entry };
        let _ = decision.writes.push(OtaWrite { index, entry });
    }
    if rules.secure_version.is_some() && entry.state == OtaState::Valid {
        decision.burn_secure_version = slots.secure_version(SlotId::Ota(number));
    }
    boot_from(Start::Ota(number), false, decision, table, slots, rules)
}

/// Where the search for a bootable image begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Index -1 in ESP-IDF: the factory app, or every slot in turn where there is none.
    Factory,
    Ota(u8),
}

/// `get_active_otadata_with_check_anti_rollback`: like [`OtaData::active`], among the records whose slot's image is
/// not older than the fuses say.
fn active_not_older_than(
    burned: u32,
    records: &OtaData,
    count: u8,
    slots: &mut (impl Slots + ?Sized),
) -> Option<usize> {
    let mut allowed = *records;
    for entry in &mut allowed.entries {
        let slot = entry.slot(count).map(SlotId::Ota);
        let version = slot.filter(|_| entry.is_valid()).and_then(|slot| slots.secure_version(slot));
        if version.is_none_or(|version| version < burned) {
            *entry = OtaEntry::ERASED;
        }
    }
    allowed.active()
}

/// `bootloader_utility_load_boot_image`: the start, then downwards to factory, then upwards, then test.
fn boot_from(
    start: Start,
    initial: bool,
    mut decision: BootDecision,
    table: &PartitionTable,
    slots: &mut (impl Slots + ?Sized),
    rules: BootRules,
) -> BootDecision {
    let count = table.ota_count().min(MAX_OTA_SLOTS);
    let (below, above) = match start {
        Start::Factory => (0, 0),
        Start::Ota(number) => (number.saturating_add(1), number.saturating_add(1)),
    };
    decision.selected = match start {
        Start::Ota(number) => Some(SlotId::Ota(number)),
        Start::Factory => table.factory().map(|_| SlotId::Factory),
    };
    // Slots with numbers at or beyond the count are out of reach: the bootloader indexes by number below the count.
    let order = (0..below.min(count)).rev().map(SlotId::Ota).chain([SlotId::Factory]);
    let order = order.chain((above..count).map(SlotId::Ota)).chain([SlotId::Test]);
    for slot in order {
        if table.slot(slot).is_none_or(|partition| partition.size == 0) {
            continue;
        }
        let old =
            rules.secure_version.is_some_and(|burned| slots.secure_version(slot).is_none_or(|v| v < burned));
        if old || !slots.is_valid(slot) {
            continue;
        }
        decision.slot = Some(slot);
        decision.fell_back = decision.selected.is_some_and(|selected| selected != slot);
        if let (true, SlotId::Ota(number)) = (initial, slot) {
            let entry = OtaEntry::new(u32::from(number) + 1, OtaState::Valid);
            let _ = decision.writes.push(OtaWrite { index: 0, entry });
            if rules.secure_version.is_some() {
                decision.burn_secure_version = slots.secure_version(slot);
            }
        }
        break;
    }
    decision
}
