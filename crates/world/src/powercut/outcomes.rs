//! What came of cuts, counted, and the table of it.

use super::rig::Trouble;
use super::scene::Scene;
use std::collections::BTreeMap;
use std::fmt;

/// What came of cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Cut points tried.
    pub points: u64,
    /// Woke up on the new image and stayed there.
    pub new_image: u64,
    /// Woke up on the old image, took the update up again by itself, and came to rest on the new one.
    pub resumed: u64,
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
    /// The boot record chose a slot without a whole image: only the bootloader's search saved the node.
    pub unverified_chosen: u64,
    /// No record was left that chooses a slot, where there had been one: chance decided what booted.
    pub record_lost: u64,
}

impl Outcomes {
    /// How much happened that must not.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.wrong_image
            + self.unproved
            + self.bricked
            + self.restless
            + self.stuck
            + self.running_slot_written
            + self.rules_broken
            + self.nvs_changed
            + self.unverified_chosen
            + self.record_lost
    }

    /// Whether nothing happened that must not.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.faults() == 0
    }

    pub(super) fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Bricked => self.bricked += 1,
            Trouble::Restless => self.restless += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.new_image += other.new_image;
        self.resumed += other.resumed;
        self.old_image += other.old_image;
        self.wrong_image += other.wrong_image;
        self.unproved += other.unproved;
        self.bricked += other.bricked;
        self.restless += other.restless;
        self.stuck += other.stuck;
        self.running_slot_written += other.running_slot_written;
        self.rules_broken += other.rules_broken;
        self.nvs_changed += other.nvs_changed;
        self.unverified_chosen += other.unverified_chosen;
        self.record_lost += other.record_lost;
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What the images are; empty for made ones.
    pub label: &'static str,
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
    findings: Vec<String>,
}

/// Cuts after which something happened that must not, of which a report keeps the description.
const MOST_FINDINGS: usize = 20;

impl Report {
    pub(super) fn add(&mut self, scene: &Scene, outcomes: &Outcomes) {
        let row = Row {
            label: scene.label,
            story: scene.story.to_string(),
            start: scene.start.to_string(),
            rollback: scene.rollback,
        };
        self.rows.entry(row).or_default().add(outcomes);
    }

    pub(super) fn add_findings(&mut self, findings: Vec<String>) {
        let room = MOST_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
    }

    /// The first cuts after which something happened that must not: scene, operation, point.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// All rows in one.
    #[must_use]
    pub fn total(&self) -> Outcomes {
        let mut total = Outcomes::default();
        self.rows.values().for_each(|outcomes| total.add(outcomes));
        total
    }

    /// What each row counted.
    pub fn rows(&self) -> impl Iterator<Item = (&Row, &Outcomes)> {
        self.rows.iter()
    }
}

impl fmt::Display for Report {
    /// `wrong` counts open trials too, `bricked` restarts without end, `record` both ways in which the boot record
    /// can be wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<41} {:<14} {:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8} {:>6} {:>8} {:>6} {:>4} {:>7}",
            "story",
            "start",
            "bootloader",
            "cuts",
            "new",
            "resumed",
            "old",
            "wrong",
            "bricked",
            "stuck",
            "running",
            "rules",
            "nvs",
            "record"
        )?;
        let mut line = |story: &str, start: &str, bootloader: &str, o: &Outcomes| {
            writeln!(
                f,
                "{story:<41} {start:<14} {bootloader:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8} {:>6} {:>8} {:>6} {:>4} {:>7}",
                o.points,
                o.new_image,
                o.resumed,
                o.old_image,
                o.wrong_image + o.unproved,
                o.bricked + o.restless,
                o.stuck,
                o.running_slot_written,
                o.rules_broken,
                o.nvs_changed,
                o.unverified_chosen + o.record_lost
            )
        };
        for (row, outcomes) in &self.rows {
            let story = if row.label.is_empty() {
                row.story.clone()
            } else {
                format!("{} ({})", row.story, row.label)
            };
            line(&story, &row.start, if row.rollback { "rollback" } else { "plain" }, outcomes)?;
        }
        line("all", "", "", &self.total())?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "not as it should be: {finding}"))
    }
}
