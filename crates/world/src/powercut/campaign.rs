//! All scenes and all cuts.

use super::examine::{Case, Examiner};
use super::outcomes::{Outcomes, Report};
use super::rig::Rig;
use super::scene::{Images, Scene, Start, Story};
use crate::bootloader::ImageCache;
use crate::flash::{CutPoint, Mixture, Operation, OperationKind, Recorded, Snapshot};
use crate::random::Random;
use rootcast_image::ChipId;
use rootcast_node::ResetReason;
use std::io;
use std::path::Path;
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
    /// Whether it ends with the first thing that must not happen.
    pub stops: bool,
}

/// Operations at the beginning and at the end of a story that are cut whatever is left out between them: there the
/// journal begins, and the boot record changes.
const EDGE: usize = 40;
/// Cuts of each operation on a real image.
const REAL_POINTS: usize = 2;
/// What is played with real images, of those that lie beside the project.
const REAL_IMAGES: [&str; 3] = ["wallbox_s3/v2.5.0.bin", "wallbox_s3/v2.5.1.bin", "wallbox_s3/v2.4.3.bin"];

impl Campaign {
    /// Everything: over a million cut points.
    pub const FULL: Self = Self {
        image_bytes: 8_192 + 512,
        byte_step: 1,
        bit_subsets: 1,
        seeded: 64,
        second_step: 401,
        threads: 2,
        seed: 1,
        stops: false,
    };

    /// A seeded sample, for every change.
    pub const SAMPLE: Self = Self { byte_step: 307, seeded: 4, second_step: 61, ..Self::FULL };

    /// The scenes: every start, every story, both kinds of bootloader, with and without a factory app.
    #[must_use]
    pub fn scenes(&self) -> Vec<Scene> {
        let images = Images::small(self.image_bytes);
        let mut scenes = Vec::new();
        for story in Story::ALL {
            for start in Start::ALL {
                for (rollback, factory) in [(false, false), (true, false), (false, true), (true, true)] {
                    scenes.push(Scene::new(start, story, rollback, factory, &images));
                }
            }
        }
        scenes
    }

    /// Scenes with images that a real project built: old, new, and the one after that, in a folder.
    ///
    /// # Errors
    /// When the images are not there.
    pub fn real_scenes(&self, folder: &Path) -> io::Result<Vec<Scene>> {
        let [old, new, next] = REAL_IMAGES.map(|name| folder.join(name));
        let images = Images::real(ChipId::ESP32S3, &old, &new, &next)?;
        let mut scenes = Vec::new();
        for (story, rollback, operation_step) in [
            (Story::Update, false, 3),
            (Story::Update, true, 3),
            (Story::Crashes, false, 7),
            (Story::Patched, true, 41),
        ] {
            let mut scene = Scene::new(Start::OneEntry, story, rollback, false, &images);
            (scene.label, scene.operation_step) = ("real image", operation_step);
            scenes.push(scene);
        }
        Ok(scenes)
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
                        let (outcomes, findings) = self.cut_scene(scene, &mut images);
                        // A poisoned lock means that another thread has failed; its panic is what counts.
                        if let Ok(mut report) = report.lock() {
                            report.add(scene, &outcomes);
                            report.add_findings(findings);
                        }
                        if self.stops && !outcomes.is_clean() {
                            next.store(scenes.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        report.into_inner().unwrap_or_default()
    }

    fn cut_scene(&self, scene: &Scene, images: &mut ImageCache) -> (Outcomes, Vec<String>) {
        let mut findings = Vec::new();
        let (chip, table) = scene.chip();
        let mut examiner = Examiner::new(scene, chip.clone(), table);
        let mut rig = Rig::new(scene, chip, false, self.seed, images);
        rig.record();
        let played = rig.start(ResetReason::PowerOn).and_then(|()| rig.settle()).and_then(|()| {
            rig.trigger();
            rig.settle()
        });
        let recorded = rig.take_recorded();
        examiner.judge_uncut(played, &mut rig);
        let mut random = Random::new(self.seed);
        let mut count = 0usize;
        let cut_at = |operation: usize| {
            let edge = operation < EDGE || operation + EDGE >= recorded.len();
            edge || operation.is_multiple_of(scene.operation_step)
        };
        for (_, step) in recorded.iter().enumerate().filter(|(operation, _)| cut_at(*operation)) {
            let had_record = step.before.as_ref().is_some_and(|before| examiner.chooses(before));
            for point in self.points(scene, &step.operation, &mut random) {
                count += 1;
                let unstable = count.is_multiple_of(3).then(|| random.next_u64());
                let Some(content) = cut(step, &point, unstable) else { continue };
                let second = self.second_step > 0 && count.is_multiple_of(self.second_step);
                let case = Case { content, had_record, seed: random.next_u64() };
                let clean = examiner.outcomes.faults();
                let recovery = examiner.examine(case, second, images);
                if examiner.outcomes.faults() > clean {
                    findings.push(format!("{scene}: {}, {point:?}, unstable {unstable:?}", step.operation));
                }
                for later in &recovery {
                    let had_record = later.before.as_ref().is_some_and(|before| examiner.chooses(before));
                    let again = CutPoint::Seeded(random.next_u64());
                    let Some(content) = cut(later, &again, Some(random.next_u64())) else { continue };
                    let case = Case { content, had_record, seed: random.next_u64() };
                    let clean = examiner.outcomes.faults();
                    examiner.examine(case, false, images);
                    if examiner.outcomes.faults() > clean {
                        let (first, second) = (&step.operation, &later.operation);
                        findings.push(format!("{scene}: {first}, {point:?}, then {second}, {again:?}"));
                    }
                }
                if self.stops && !examiner.outcomes.is_clean() {
                    return (examiner.outcomes, findings);
                }
            }
        }
        (examiner.outcomes, findings)
    }

    /// The cut points of one operation.
    fn points(&self, scene: &Scene, operation: &Operation, random: &mut Random) -> Vec<CutPoint> {
        // Of a real image every operation has as many bytes as all of a small one.
        if scene.operation_step > 1 {
            return (0..REAL_POINTS).map(|_| CutPoint::Seeded(random.next_u64())).collect();
        }
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
                let step = self.byte_step.max(1) * scene.story.byte_step();
                for byte in (0..bytes.len()).step_by(step) {
                    for subset in 0..self.bit_subsets {
                        // None of the cut byte's bits, or any.
                        let bits = if subset == 0 && byte % 2 == 0 { 0 } else { random.next_u32() as u8 };
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
