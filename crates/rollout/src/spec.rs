//! What an operator asks for.

use crate::bandwidth::Rate;
use crate::fleet::Node;
use crate::window::Window;
use rootcast_wire::{NodeId, NodeType};
use serde::{Deserialize, Serialize};

use std::time::Duration;

/// The most waves of a rollout.
pub const MAX_WAVES: usize = 32;
/// The most entries of each list in a selection.
pub const MAX_SELECTION: usize = 10_000;
/// The longest time that a rollout may ask for anywhere, in seconds: a year.
pub const MAX_SECONDS: u32 = 366 * 24 * 3600;

/// A rollout as asked for. What is absent has a default that is safe for a house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Who is meant; nothing = every node.
    pub selection: Selection,
    /// The waves, in order. The last one should be `"rest"`.
    pub waves: Vec<Wave>,
    /// How long a node has to stay healthy with the new image before it counts, in seconds.
    pub soak_s: u32,
    /// How long a node may take from its trigger to the new image running and confirmed, in seconds.
    pub deadline_s: u32,
    /// How long a node may take to answer a trigger before it is triggered again, in seconds.
    pub answer_s: u32,
    /// How long the rollout lives: nodes that are away get their update when they return within this time, in seconds.
    pub life_s: u32,
    /// Not to begin before: seconds since 1970-01-01T00:00:00Z.
    pub start_at: Option<u64>,
    /// Times in which nodes may be triggered, in each mesh's time zone; none = always.
    pub windows: Vec<Window>,
    /// How many updates may be going on at once, and how many bytes a second they may ask for.
    pub limits: Limits,
    /// How the image travels: `direct` or `spread`; absent = the mesh decides.
    pub mode: Option<String>,
    /// Install even an image that failed its trial on a node before.
    pub force: bool,
    /// Let a node go back to an older version.
    pub allow_downgrade: bool,
    /// Update nodes that do not say what chip they have, where only one image can be meant.
    pub assume_chip: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            waves: vec![Wave::of(WaveSize::Count(1)), Wave::of(WaveSize::Rest)],
            soak_s: 60,
            deadline_s: 1800,
            answer_s: 60,
            life_s: 7 * 24 * 3600,
            start_at: None,
            windows: Vec::new(),
            limits: Limits::default(),
            mode: None,
            force: false,
            allow_downgrade: false,
            assume_chip: false,
        }
    }
}

/// Who is meant: a node is, if it is in every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Meshes by name.
    pub meshes: Vec<String>,
    /// Node types; `relay` means every relay.
    pub types: Vec<String>,
    /// ESP-IDF's numbers of chips.
    pub chips: Vec<u16>,
    /// Versions that run now.
    pub versions: Vec<String>,
    /// Tags: a node with one of them.
    pub tags: Vec<String>,
    /// Nodes by id.
    pub nodes: Vec<u64>,
}

impl Selection {
    /// Whether a node is meant.
    pub fn includes(&self, id: NodeId, node: &Node) -> bool {
        let any = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|entry| entry == value))
        };
        let own = NodeType::from_name(&node.node_type);
        let of_type = |name: &String| match (NodeType::from_name(name), &own) {
            (Some(target), Some(own)) => target.covers(own),
            _ => false,
        };
        any(&self.meshes, Some(&node.mesh))
            && (self.types.is_empty() || self.types.iter().any(of_type))
            && (self.chips.is_empty() || node.chip.is_some_and(|chip| self.chips.contains(&chip)))
            && any(&self.versions, node.version.as_deref())
            && (self.tags.is_empty() || self.tags.iter().any(|tag| node.tags.contains(tag)))
            && (self.nodes.is_empty() || self.nodes.contains(&id.0))
    }
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// How many nodes it has.
    pub size: WaveSize,
    /// More failures than this stop the rollout. Rolled back, failed and lost nodes are failures.
    #[serde(default)]
    pub max_failures: u32,
    /// Or more failures than this share of the wave, 0 to 100, whichever allows more.
    #[serde(default)]
    pub max_failures_percent: u8,
    /// The next wave begins only if this share of the wave's nodes succeeded, 0 to 100. Nodes that were away do not count.
    #[serde(default)]
    pub min_success_percent: u8,
}

impl Wave {
    /// A wave of this size that tolerates no failure.
    pub const fn of(size: WaveSize) -> Self {
        Self { size, max_failures: 0, max_failures_percent: 0, min_success_percent: 0 }
    }

    /// How many of `members` may fail without a stop.
    pub fn allowed_failures(&self, members: usize) -> usize {
        let share = members * usize::from(self.max_failures_percent.min(100)) / 100;
        usize::try_from(self.max_failures).unwrap_or(usize::MAX).max(share)
    }
}

/// How many nodes a wave has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaveSize {
    /// So many.
    Count(u32),
    /// This share of all nodes of the rollout, 1 to 100, rounded up.
    Percent(u8),
    /// All that are left.
    Rest,
}

/// How many updates may be going on at once, from the trigger to the end of the trial, and how fast they may follow one
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// In all meshes together, at least 1.
    pub total: u32,
    /// In one mesh, at least 1.
    pub per_mesh: u32,
    /// Below one child of the root, that child included; at least 1.
    pub per_subtree: u32,
    /// Downloads at once that a root grants; absent = the root decides.
    pub max_parallel: Option<u16>,
    /// Bytes a second that the nodes which begin may ask for in all meshes together, on average, each counted with its
    /// whole image; absent = no limit. See [`crate::bandwidth`].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub bytes_per_second: Option<u64>,
    /// The same in each mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub mesh_bytes_per_second: Option<u64>,
}

impl Limits {
    /// Whether bytes a second are limited.
    pub const fn has_bandwidth(&self) -> bool {
        self.bytes_per_second.is_some() || self.mesh_bytes_per_second.is_some()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: 500,
            per_mesh: 32,
            per_subtree: 32,
            max_parallel: None,
            bytes_per_second: None,
            mesh_bytes_per_second: None,
        }
    }
}

/// Why a rollout cannot be asked for like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No wave.
    #[error("\"waves\" is empty: a rollout has at least one wave")]
    NoWaves,
    /// Too many.
    #[error("\"waves\" has {0} entries, at most {MAX_WAVES} are allowed")]
    TooManyWaves(usize),
    /// A wave with nobody in it.
    #[error("wave {0} has a size of 0")]
    EmptyWave(usize),
    /// More than 100 percent.
    #[error("wave {0} has a percentage above 100")]
    Percent(usize),
    /// Something after the rest.
    #[error("wave {0} comes after \"rest\", which leaves nothing")]
    AfterRest(usize),
    /// A limit of 0.
    #[error("\"limits.{0}\" is 0: nothing could ever start")]
    ZeroLimit(&'static str),
    /// One image takes longer than a node or the rollout has.
    #[error(
        "\"limits.{field}\" is {rate}: one image of {bytes} bytes takes {takes_s} s at that rate, and \"{time}\" is \
         {most_s} s; raise one of them"
    )]
    TooSlow {
        /// The limit's field.
        field: &'static str,
        /// Its value.
        rate: Rate,
        /// The image's size.
        bytes: u64,
        /// How long it takes, in seconds.
        takes_s: u64,
        /// The field of the time that is too short.
        time: &'static str,
        /// Its value, in seconds.
        most_s: u32,
    },
    /// A time out of range.
    #[error("\"{field}\" is {found} seconds, it must be {least} to {MAX_SECONDS}")]
    Time {
        /// The field.
        field: &'static str,
        /// The least value.
        least: u32,
        /// The value.
        found: u32,
    },
    /// Neither `direct` nor `spread`.
    #[error("\"mode\" is neither \"direct\" nor \"spread\"")]
    Mode,
    /// A list that is too long.
    #[error("\"selection.{0}\" has more than {MAX_SELECTION} entries")]
    Selection(&'static str),
    /// A maintenance window that makes no sense.
    #[error("window {index}: {error}")]
    Window {
        /// Which, from 0.
        index: usize,
        /// Why.
        error: crate::window::WindowError,
    },
}

impl Spec {
    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.waves.is_empty() {
            return Err(SpecError::NoWaves);
        }
        if self.waves.len() > MAX_WAVES {
            return Err(SpecError::TooManyWaves(self.waves.len()));
        }
        let mut rest = false;
        for (index, wave) in self.waves.iter().enumerate() {
            if rest {
                return Err(SpecError::AfterRest(index));
            }
            match wave.size {
                WaveSize::Count(0) | WaveSize::Percent(0) => return Err(SpecError::EmptyWave(index)),
                WaveSize::Percent(101..) => return Err(SpecError::Percent(index)),
                WaveSize::Rest => rest = true,
                WaveSize::Count(_) | WaveSize::Percent(_) => {}
            }
            if wave.max_failures_percent > 100 || wave.min_success_percent > 100 {
                return Err(SpecError::Percent(index));
            }
        }
        let limits = &self.limits;
        for (name, limit) in
            [("total", limits.total), ("per_mesh", limits.per_mesh), ("per_subtree", limits.per_subtree)]
        {
            if limit == 0 {
                return Err(SpecError::ZeroLimit(name));
            }
        }
        for (name, is_zero) in [
            ("max_parallel", limits.max_parallel == Some(0)),
            ("bytes_per_second", limits.bytes_per_second == Some(0)),
            ("mesh_bytes_per_second", limits.mesh_bytes_per_second == Some(0)),
        ] {
            if is_zero {
                return Err(SpecError::ZeroLimit(name));
            }
        }
        for (field, least, found) in [
            ("soak_s", 0, self.soak_s),
            ("deadline_s", 1, self.deadline_s),
            ("answer_s", 1, self.answer_s),
            ("life_s", 1, self.life_s),
        ] {
            if found < least || found > MAX_SECONDS {
                return Err(SpecError::Time { field, least, found });
            }
        }
        if self.mode.as_deref().is_some_and(|mode| rootcast_wire::Mode::from_name(mode).is_none()) {
            return Err(SpecError::Mode);
        }
        let selection = &self.selection;
        let lists = [
            ("meshes", selection.meshes.len()),
            ("types", selection.types.len()),
            ("chips", selection.chips.len()),
            ("versions", selection.versions.len()),
            ("tags", selection.tags.len()),
            ("nodes", selection.nodes.len()),
        ];
        if let Some((name, _)) = lists.into_iter().find(|(_, length)| *length > MAX_SELECTION) {
            return Err(SpecError::Selection(name));
        }
        for (index, window) in self.windows.iter().enumerate() {
            window.check().map_err(|error| SpecError::Window { index, error })?;
        }
        Ok(())
    }

    pub(crate) fn soak(&self) -> Duration {
        Duration::from_secs(self.soak_s.into())
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s.into())
    }

    pub(crate) fn answer(&self) -> Duration {
        Duration::from_secs(self.answer_s.into())
    }

    pub(crate) fn life(&self) -> Duration {
        Duration::from_secs(self.life_s.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_is_a_rollout_with_one_canary() {
        let spec: Spec = serde_json::from_str("{}").unwrap();
        assert_eq!(spec, Spec::default());
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(spec.waves[0].size, WaveSize::Count(1));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let refuse = |json: &str| serde_json::from_str::<Spec>(json).unwrap().check().unwrap_err();
        assert_eq!(refuse(r#"{"waves":[]}"#), SpecError::NoWaves);
        assert_eq!(refuse(r#"{"waves":[{"size":{"count":0}}]}"#), SpecError::EmptyWave(0));
        assert_eq!(refuse(r#"{"waves":[{"size":{"percent":101}}]}"#), SpecError::Percent(0));
        assert_eq!(refuse(r#"{"waves":[{"size":"rest"},{"size":{"count":1}}]}"#), SpecError::AfterRest(1));
        assert_eq!(refuse(r#"{"limits":{"per_mesh":0}}"#), SpecError::ZeroLimit("per_mesh"));
        for name in ["bytes_per_second", "mesh_bytes_per_second"] {
            assert_eq!(refuse(&format!(r#"{{"limits":{{"{name}":0}}}}"#)), SpecError::ZeroLimit(name));
        }
        assert_eq!(refuse(r#"{"mode":"carrier pigeon"}"#), SpecError::Mode);
        assert!(matches!(refuse(r#"{"deadline_s":0}"#), SpecError::Time { field: "deadline_s", .. }));
        assert!(serde_json::from_str::<Spec>(r#"{"soak":5}"#).is_err(), "a misspelt field is not ignored");
    }
}
