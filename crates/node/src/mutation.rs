//! Deliberate mistakes, for proving that the tests would notice them.
//!
//! They exist only with the feature `mutations`, which no other crate of the workspace turns on, and which neither a
//! release build nor a chip's compiles with: see `mutants/`. Without the feature [`is_on`] is `false` at compile time
//! and nothing of this is left.

#[cfg(all(feature = "mutations", any(not(debug_assertions), target_os = "none")))]
compile_error!("the feature `mutations` plants bugs: it is for tests on a host, built without --release");

/// A mistake that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// The boot record is switched when the last byte has arrived, before the image is read back and verified.
    SwitchBeforeVerification = 1,
    /// The switch goes into the sector of the record in force, not into the other one.
    SwitchInPlace,
    /// The confirmation erases the old image's record first, and then rewrites the new image's in place.
    ConfirmInPlace,
    /// The image on trial is confirmed at its first start, before it has proved anything.
    ConfirmUnproved,
    /// Starts of an image on trial are not counted.
    TrialNotCounted,
    /// A page is noted in the journal before it is written, and a slot with all pages noted is not read back.
    JournalTrusted,
    /// Erases the first sector of the running slot when a download begins.
    RunningSlotErased,
    /// A download is resumed whatever the server's file is by now, and its failure is not blamed on that.
    ChangedFileSpliced,
}

#[cfg(feature = "mutations")]
impl Mutation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SwitchBeforeVerification,
        Self::SwitchInPlace,
        Self::ConfirmInPlace,
        Self::ConfirmUnproved,
        Self::TrialNotCounted,
        Self::JournalTrusted,
        Self::RunningSlotErased,
        Self::ChangedFileSpliced,
    ];
}

#[cfg(feature = "mutations")]
static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Makes this mistake from now on, in the whole process; `None` makes none.
#[cfg(feature = "mutations")]
pub fn set(mutation: Option<Mutation>) {
    ACTIVE.store(mutation.map_or(0, |mutation| mutation as u8), core::sync::atomic::Ordering::SeqCst);
}

/// Whether this mistake is to be made.
#[cfg(feature = "mutations")]
pub(crate) fn is_on(mutation: Mutation) -> bool {
    ACTIVE.load(core::sync::atomic::Ordering::Relaxed) == mutation as u8
}

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_on(_mutation: Mutation) -> bool {
    false
}
