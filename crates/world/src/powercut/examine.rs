//! What a node makes of a content that a cut left.

use super::outcomes::Outcomes;
use super::rig::{Rig, Trouble};
use super::scene::{Scene, Start, hash_of};
use crate::bootloader::ImageCache;
use crate::flash::{Recorded, Recording, Rule, SECTOR_BYTES, Sectors, Snapshot, VirtualFlash, range_of};
use crate::nvs::Contents;
use rootcast_image::boot::{BootRules, decide};
use rootcast_image::otadata::OTA_ENTRY_BYTES;
use rootcast_image::{ImageHash, OtaData, Partition, PartitionTable, Target};
use rootcast_node::{ResetReason, SettingKey};
use std::collections::HashSet;
use std::ops::Range;

/// How many states of NVS are remembered that need not be read again.
const MAX_NVS_KEPT: usize = 16;

/// Judges the contents that cuts of one scene left.
pub(super) struct Examiner<'a> {
    scene: &'a Scene,
    chip: Snapshot,
    table: PartitionTable,
    nvs: Range<u32>,
    otadata: Range<u32>,
    first: ImageHash,
    new: ImageHash,
    last: ImageHash,
    next: ImageHash,
    /// Contents of nodes at rest that are known to take the next update.
    able: HashSet<u64>,
    /// Chips whose NVS was found to say what it has to; the first is the chip as it was.
    nvs_kept: Vec<Sectors>,
    pub(super) outcomes: Outcomes,
}

/// A content to be judged.
pub(super) struct Case {
    pub(super) content: Snapshot,
    /// Whether a record chose a slot before the operation that was cut.
    pub(super) had_record: bool,
    /// Decides what is left to chance.
    pub(super) seed: u64,
}

impl<'a> Examiner<'a> {
    pub(super) fn new(scene: &'a Scene, chip: Snapshot, table: PartitionTable) -> Self {
        let range = |partition: Option<&Partition>| partition.map(range_of).unwrap_or_default();
        Self {
            scene,
            nvs: range(table.nvs()),
            otadata: range(table.otadata()),
            first: scene.first_hash(),
            new: hash_of(&scene.images.new),
            last: scene.last_hash(),
            next: hash_of(&scene.images.next),
            able: HashSet::new(),
            nvs_kept: vec![chip.sectors().clone()],
            outcomes: Outcomes::default(),
            chip,
            table,
        }
    }

    /// Starts the node, lets it come to rest and sees what it is; then it has to take an update. Hands out the
    /// operations of the recovery when asked to.
    pub(super) fn examine(&mut self, case: Case, record: bool, images: &mut ImageCache) -> Vec<Recorded> {
        self.outcomes.points += 1;
        self.look_at_record(&case.content, case.had_record, images);
        let mut rig = Rig::new(self.scene, case.content, true, case.seed, images);
        if record {
            rig.record();
        }
        let started = rig.start(ResetReason::PowerOn);
        let woke_up_as = rig.running();
        let result = started.and_then(|()| rig.settle());
        let recovery = rig.take_recorded();
        rig.flash().record(Recording::Count);
        if let Err(trouble) = result {
            self.outcomes.trouble(trouble);
            return recovery;
        }
        let at_rest = rig.running();
        let keeps_new = self.scene.story.ends_on_new();
        let is_new = keeps_new && (at_rest == Some(self.new) || at_rest == Some(self.last));
        if is_new && woke_up_as == at_rest {
            self.outcomes.new_image += 1;
        } else if is_new {
            self.outcomes.resumed += 1;
        } else if at_rest == Some(self.first) {
            self.outcomes.old_image += 1;
        } else {
            self.outcomes.wrong_image += 1;
        }
        self.outcomes.unproved += u64::from(rig.is_on_trial());
        self.look(&mut rig);
        // A node whose flash is, bit for bit, one that has been seen to take the next update takes it, too.
        let flash = rig.flash();
        let all = 0..flash.sectors().size();
        let state = flash.is_steady_in(&all).then(|| digest(flash.sectors()));
        if state.is_some_and(|state| self.able.contains(&state)) {
            return recovery;
        }
        let wanted = if keeps_new && at_rest == Some(self.first) {
            rig.trigger();
            self.last
        } else {
            rig.trigger_next();
            self.next
        };
        match rig.settle() {
            Ok(()) if rig.running() == Some(wanted) => {
                self.able.extend(state);
            }
            Ok(()) => self.outcomes.stuck += 1,
            Err(trouble) => self.outcomes.trouble(trouble),
        }
        self.look(&mut rig);
        recovery
    }

    /// The story without any cut has to end as it should, too.
    pub(super) fn judge_uncut(&mut self, played: Result<(), Trouble>, rig: &mut Rig<'_>) {
        if let Err(trouble) = played {
            self.outcomes.trouble(trouble);
            return;
        }
        let wanted = if self.scene.story.ends_on_new() { self.new } else { self.first };
        self.outcomes.wrong_image += u64::from(rig.running() != Some(wanted));
        self.outcomes.unproved += u64::from(rig.is_on_trial());
        self.look(rig);
    }

    /// Which of the two records is in force, as the bits stand; `None` when neither is.
    pub(super) fn chooses(&self, content: &Snapshot) -> bool {
        self.records(content).active().is_some()
    }

    fn records(&self, content: &Snapshot) -> OtaData {
        let mut records = [[0; OTA_ENTRY_BYTES]; 2];
        for (record, at) in records.iter_mut().zip(self.otadata.clone().step_by(SECTOR_BYTES)) {
            content.sectors().read(at, record);
        }
        OtaData::parse(&records[0], &records[1])
    }

    /// Promise 2: what the boot record chooses is a whole image. And a record, once there, is never gone altogether.
    fn look_at_record(&mut self, content: &Snapshot, had_record: bool, images: &mut ImageCache) {
        // Uncertain bits may read as anything; and whoever starts on the factory app has no record to lose.
        if content.is_unstable_in(&self.otadata) || self.scene.starts_from_factory() {
            return;
        }
        let records = self.records(content);
        self.outcomes.record_lost += u64::from(had_record && records.active().is_none());
        // After a fallback the record chooses a damaged image from the beginning.
        if self.scene.start == Start::FellBack || records.active().is_none() {
            return;
        }
        let mut flash = VirtualFlash::new(content.clone());
        let table = &self.table;
        let mut is_valid = |slot| {
            table.slot(slot).is_some_and(|partition| {
                let (chip, slot_size) = (self.scene.images.chip, partition.size);
                let target = Target { chip, revision: 0, secure_version: 0, slot_size };
                images.verify(&mut flash, partition, target).is_some()
            })
        };
        let decision = decide(table, &records, &mut is_valid, BootRules::rollback(self.scene.rollback));
        self.outcomes.unverified_chosen += u64::from(decision.fell_back);
    }

    /// Rules that were broken so far, and NVS.
    fn look(&mut self, rig: &mut Rig<'_>) {
        let violations = rig.flash().violations();
        let running = violations.iter().any(|violation| violation.rule == Rule::RunningSlot);
        let other = violations.iter().any(|violation| violation.rule != Rule::RunningSlot);
        self.outcomes.running_slot_written += u64::from(running);
        self.outcomes.rules_broken += u64::from(other);
        self.outcomes.nvs_changed += u64::from(!self.nvs_is_kept(rig));
    }

    /// Whether NVS says what it said, but for what the core itself has to remember.
    fn nvs_is_kept(&mut self, rig: &mut Rig<'_>) -> bool {
        let now = rig.flash().sectors();
        if self.nvs_kept.iter().any(|known| now.equal_in(known, &self.nvs)) {
            return true;
        }
        let own = [SettingKey::Cast.name(), SettingKey::BadImages.name()];
        let own = if self.scene.story.fails_its_trial() { &own[..] } else { &own[..1] };
        let rest = |sectors| Contents::read(sectors, &self.nvs).map(|contents| contents.without(own));
        let kept = matches!((rest(now), rest(self.chip.sectors())), (Ok(now), Ok(before)) if now == before);
        if kept && self.nvs_kept.len() < MAX_NVS_KEPT {
            self.nvs_kept.push(now.clone());
        }
        kept
    }
}

/// 64 bits of all that stands on a chip (FNV-1a over words, and where they stand).
fn digest(sectors: &Sectors) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    let mut digest: u64 = 0xCBF2_9CE4_8422_2325;
    for (index, sector) in sectors.slice(&(0..sectors.size())).iter().enumerate() {
        let Some(sector) = sector else { continue };
        // Two lanes, so that a multiplication need not wait for the one before it.
        let mut lanes = [digest ^ index as u64, !digest];
        for words in sector.as_chunks::<16>().0 {
            let (halves, _) = words.as_chunks::<8>();
            for (lane, half) in lanes.iter_mut().zip(halves) {
                *lane = (*lane ^ u64::from_le_bytes(*half)).wrapping_mul(PRIME);
            }
        }
        digest = (lanes[0] ^ lanes[1].rotate_left(32)).wrapping_mul(PRIME);
    }
    digest
}
