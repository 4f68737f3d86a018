//! All scenes, all cuts, and the table of what came of them.

use super::rig::{Rig, Trouble};
use super::scene::{Images, Scene, Start, Story, hash_of};
use crate::bootloader::ImageCache;
use crate::flash::{CutPoint, Mixture, Operation, OperationKind, Recorded, Snapshot};
use crate::nvs::Contents;
use crate::random::Random;
use rootcast_node::ResetReason;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Bytes of each image.
    pub image_bytes: usize,
    /// Every so manieth byte of a program operation is a cut point; 1 for every byte.
    pub byte_step: usize,
    /// Subsets of the cut byte's bits that are tried at each of them.
    pub bit_subsets: u32,
    /// Seeded cuts of each erase, and as many scattered ones of each program.
    pub seeded: u32,
    /// Every so manieth cut is followed by cuts in the recovery from it; 0 for none.
    pub second_step: usize,
    /// Threads.
    pub threads: usize,
    /// Decides everything that is drawn.
    pub seed: u64,
}

impl Campaign {
    /// Everything: over a million cut points.
    pub const FULL: Self = Self {
        image_bytes: 8_192 + 512,
        byte_step: 1,
        bit_subsets: 2,
        seeded: 96,
        second_step: 401,
        threads: 2,
        seed: 1,
    };

    /// A seeded sample, for every change.
    pub const SAMPLE: Self =
        Self { byte_step: 211, bit_subsets: 1, seeded: 6, second_step: 61, ..Self::FULL };

    /// The scenes: every start, every story, both kinds of bootloader, with and without a factory app.
    #[must_use]
    pub fn scenes(&self) -> Vec<Scene> {
        let images = Images::small(self.image_bytes);
        let slot_bytes = (self.image_bytes.next_multiple_of(4096) + 4096) as u32;
        let mut scenes = Vec::new();
        for story in Story::ALL {
            for start in Start::ALL {
                for (rollback, factory) in [(false, false), (true, false), (false, true), (true, true)] {
                    scenes.push(Scene {
                        start,
                        story,
                        rollback,
                        factory,
                        images: images.clone(),
                        slot_bytes,
                    });
                }
            }
        }
        scenes
    }

    /// Plays and cuts all scenes.
    #[must_use]
    pub fn run(&self) -> Report {
        self.run_scenes(&self.scenes())
    }

    /// Plays and cuts these scenes.
    #[must_use]
    pub fn run_scenes(&self, scenes: &[Scene]) -> Report {
        let (next, report) = (AtomicUsize::new(0), Mutex::new(Report::default()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    let mut images = ImageCache::new();
                    while let Some(scene) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcomes = self.cut_scene(scene, &mut images);
                        // A poisoned lock means that another thread has failed; its panic is what counts.
                        if let Ok(mut report) = report.lock() {
                            report.add(scene, outcomes);
                        }
                    }
                });
            }
        });
        report.into_inner().unwrap_or_default()
    }

    fn cut_scene(&self, scene: &Scene, images: &mut ImageCache) -> Outcomes {
        let (chip, table) = scene.chip();
        let nvs = table.nvs().map(crate::flash::range_of).unwrap_or_default();
        let examiner = Examiner { scene, chip: chip.clone(), nvs };
        let mut outcomes = Outcomes::default();
        let mut rig = Rig::new(scene, chip, self.seed, images);
        rig.record();
        let played = rig.start(ResetReason::PowerOn).and_then(|()| rig.settle()).and_then(|()| {
            rig.trigger();
            rig.settle()
        });
        let recorded = rig.take_recorded();
        outcomes.judge_uncut(&examiner, played, &mut rig);
        let mut random = Random::new(self.seed);
        let mut count = 0usize;
        for step in &recorded {
            for point in self.points(&step.operation, &mut random) {
                count += 1;
                let unstable = count.is_multiple_of(3).then(|| random.next_u64());
                let Some(content) = cut(step, &point, unstable) else { continue };
                let second = self.second_step > 0 && count.is_multiple_of(self.second_step);
                let recovery = examiner.examine(content, random.next_u64(), second, images, &mut outcomes);
                for step in &recovery {
                    let point = CutPoint::Seeded(random.next_u64());
                    let Some(content) = cut(step, &point, Some(random.next_u64())) else { continue };
                    examiner.examine(content, random.next_u64(), false, images, &mut outcomes);
                }
            }
        }
        outcomes
    }

    /// The cut points of one operation.
    fn points(&self, operation: &Operation, random: &mut Random) -> Vec<CutPoint> {
        let mut points = vec![CutPoint::Before, CutPoint::After];
        match &operation.kind {
            OperationKind::Erase => {
                for words in 0..16 {
                    // Every combination of sequence, state and CRC of a record that an erase can leave behind.
                    let bit = |n: u32, word: u32| (words >> n & 1) << word;
                    let mixture = bit(0, 0) | bit(1, 6) | bit(2, 7) | if words & 8 != 0 { !0xC1 } else { 0 };
                    points.push(CutPoint::Erasing(Mixture::Words(mixture)));
                }
            }
            OperationKind::Program(bytes) => {
                for byte in (0..bytes.len()).step_by(self.byte_step.max(1)) {
                    for subset in 0..self.bit_subsets {
                        let bits = if subset == 0 { 0 } else { random.next_u32() as u8 };
                        points.push(CutPoint::Programming { bytes: byte as u32, bits });
                    }
                }
            }
        }
        points.extend((0..self.seeded).map(|_| CutPoint::Seeded(random.next_u64())));
        points
    }
}

fn cut(step: &Recorded, point: &CutPoint, unstable: Option<u64>) -> Option<Snapshot> {
    let mut content = step.before.clone()?;
    content.cut(&step.operation, point, unstable);
    Some(content)
}

/// Looks at what a node makes of a content that a cut left.
struct Examiner<'a> {
    scene: &'a Scene,
    chip: Snapshot,
    nvs: Range<u32>,
}

impl Examiner<'_> {
    /// Starts the node, lets it come to rest and sees what it is; then it has to take an update. Hands out the
    /// operations of the recovery when asked to.
    fn examine(
        &self,
        content: Snapshot,
        seed: u64,
        record: bool,
        images: &mut ImageCache,
        outcomes: &mut Outcomes,
    ) -> Vec<Recorded> {
        outcomes.points += 1;
        let (first, new) = (self.scene.first_hash(), hash_of(&self.scene.images.new));
        let mut rig = Rig::new(self.scene, content, seed, images);
        if record {
            rig.record();
        }
        let result = rig.start(ResetReason::PowerOn).and_then(|()| rig.settle());
        let recovery = rig.take_recorded();
        rig.flash().record(crate::flash::Recording::Count);
        if let Err(trouble) = result {
            outcomes.trouble(trouble);
            return recovery;
        }
        let at_rest = rig.running();
        if at_rest == Some(new) && self.scene.story.ends_on_new() {
            outcomes.new_image += 1;
        } else if at_rest == Some(first) {
            outcomes.old_image += 1;
        } else {
            outcomes.wrong_image += 1;
        }
        if rig.is_on_trial() {
            outcomes.unproved += 1;
        }
        outcomes.look(self, &mut rig);
        // Whatever it came to rest on: it is not lost to further updates.
        let wanted = if self.scene.story.ends_on_new() && at_rest != Some(new) {
            rig.trigger();
            new
        } else {
            rig.trigger_next();
            hash_of(&self.scene.images.next)
        };
        match rig.settle() {
            Ok(()) if rig.running() == Some(wanted) => {}
            Ok(()) => outcomes.stuck += 1,
            Err(trouble) => outcomes.trouble(trouble),
        }
        outcomes.look(self, &mut rig);
        recovery
    }

    /// Whether NVS is as it was: to the byte where nothing had to be remembered, else outside our namespace.
    fn nvs_is_kept(&self, rig: &mut Rig<'_>) -> bool {
        let now = rig.flash().sectors();
        if now.equal_in(self.chip.sectors(), &self.nvs) {
            return true;
        }
        let contents = |sectors| Contents::read(sectors, &self.nvs).map(|contents| contents.of_others());
        !self.scene.story.ends_on_new()
            && matches!((contents(now), contents(self.chip.sectors())), (Ok(now), Ok(before)) if now == before)
    }
}

/// What came of cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Cut points tried.
    pub points: u64,
    /// Came to rest on the new image: the update had ended, or was taken up again by itself.
    pub new_image: u64,
    /// Came to rest on the old image.
    pub old_image: u64,
    /// Came to rest on anything else: an image that had failed its trial, or a third one.
    pub wrong_image: u64,
    /// Came to rest with the trial still open.
    pub unproved: u64,
    /// Nothing boots.
    pub bricked: u64,
    /// Restarts without end.
    pub restless: u64,
    /// Could not be updated any more.
    pub stuck: u64,
    /// Wrote to the running slot.
    pub running_slot_written: u64,
    /// Broke another rule of the chip or of its partitions.
    pub rules_broken: u64,
    /// Changed what belongs to the application in NVS.
    pub nvs_changed: u64,
}

impl Outcomes {
    /// Whether anything happened that must not.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.wrong_image + self.unproved + self.bricked + self.restless + self.stuck == 0
            && self.running_slot_written + self.rules_broken + self.nvs_changed == 0
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Bricked => self.bricked += 1,
            Trouble::Restless => self.restless += 1,
        }
    }

    fn look(&mut self, examiner: &Examiner<'_>, rig: &mut Rig<'_>) {
        let violations = rig.flash().violations();
        let running = violations.iter().any(|violation| violation.rule == crate::flash::Rule::RunningSlot);
        let other = violations.iter().any(|violation| violation.rule != crate::flash::Rule::RunningSlot);
        self.running_slot_written += u64::from(running);
        self.rules_broken += u64::from(other);
        if !examiner.nvs_is_kept(rig) {
            self.nvs_changed += 1;
        }
    }

    /// The story without any cut has to end as it should, too.
    fn judge_uncut(&mut self, examiner: &Examiner<'_>, played: Result<(), Trouble>, rig: &mut Rig<'_>) {
        if let Err(trouble) = played {
            self.trouble(trouble);
            return;
        }
        let wanted = if examiner.scene.story.ends_on_new() {
            hash_of(&examiner.scene.images.new)
        } else {
            examiner.scene.first_hash()
        };
        self.wrong_image += u64::from(rig.running() != Some(wanted));
        self.unproved += u64::from(rig.is_on_trial());
        self.look(examiner, rig);
    }

    fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.new_image += other.new_image;
        self.old_image += other.old_image;
        self.wrong_image += other.wrong_image;
        self.unproved += other.unproved;
        self.bricked += other.bricked;
        self.restless += other.restless;
        self.stuck += other.stuck;
        self.running_slot_written += other.running_slot_written;
        self.rules_broken += other.rules_broken;
        self.nvs_changed += other.nvs_changed;
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The story.
    pub story: String,
    /// Where it started.
    pub start: String,
    /// The kind of bootloader.
    pub rollback: bool,
}

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: BTreeMap<Row, Outcomes>,
}

impl Report {
    fn add(&mut self, scene: &Scene, outcomes: Outcomes) {
        let row =
            Row { story: scene.story.to_string(), start: scene.start.to_string(), rollback: scene.rollback };
        self.rows.entry(row).or_default().add(&outcomes);
    }

    /// All rows in one.
    #[must_use]
    pub fn total(&self) -> Outcomes {
        let mut total = Outcomes::default();
        self.rows.values().for_each(|outcomes| total.add(outcomes));
        total
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<25} {:<14} {:<10} {:>9} {:>8} {:>8} {:>6} {:>8} {:>5} {:>7} {:>6} {:>4}",
            "story",
            "start",
            "bootloader",
            "cuts",
            "new",
            "old",
            "wrong",
            "bricked",
            "stuck",
            "running",
            "rules",
            "nvs"
        )?;
        let mut line = |story: &str, start: &str, bootloader: &str, o: &Outcomes| {
            writeln!(
                f,
                "{story:<25} {start:<14} {bootloader:<10} {:>9} {:>8} {:>8} {:>6} {:>8} {:>5} {:>7} {:>6} {:>4}",
                o.points,
                o.new_image,
                o.old_image,
                o.wrong_image + o.unproved,
                o.bricked + o.restless,
                o.stuck,
                o.running_slot_written,
                o.rules_broken,
                o.nvs_changed
            )
        };
        for (row, outcomes) in &self.rows {
            line(&row.story, &row.start, if row.rollback { "rollback" } else { "plain" }, outcomes)?;
        }
        line("all", "", "", &self.total())
    }
}
