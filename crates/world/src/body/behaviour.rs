//! What images do when they run, besides running the node core.

use rootcast_image::ImageHash;
use std::collections::HashMap;

/// What one image does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// It works.
    #[default]
    Healthy,
    /// It panics before the core's first instruction. No updater can help with that where the bootloader does not.
    CrashesBeforeCore,
    /// It panics so many milliseconds after its start.
    Crashes {
        /// Milliseconds.
        after_ms: u32,
    },
    /// It hangs so many milliseconds after its start; the watchdog ends that.
    Hangs {
        /// Milliseconds.
        after_ms: u32,
    },
    /// It never gets into the mesh.
    NeverJoins,
    /// It says of itself that it is not healthy, so many milliseconds after its start.
    Unhealthy {
        /// Milliseconds.
        after_ms: u32,
    },
}

/// Behaviours by image; every image that is not named is healthy.
pub type Behaviours = HashMap<ImageHash, Behaviour>;
