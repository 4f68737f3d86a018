//! The one struct of the interface, in memory that the caller gives, and what it is started with.

use crate::platform::CPlatform;
use core::ffi::{CStr, c_char, c_void};
use core::mem::{MaybeUninit, align_of, size_of};
use rootcast_image::ChipId;
use rootcast_node::{BootInfo, Instant, Node, ResetReason, Settings};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{Purposes, ReleaseKey, TrustedKey, VendorId};
use rootcast_wire::{NodeId, NodeType, Topics};

/// Bytes of memory that a node needs: what rootcast_start wants at least, aligned to 8.
pub const ROOTCAST_BYTES: usize = 76 * 1024;

const _: () = assert!(size_of::<Context>() <= ROOTCAST_BYTES, "ROOTCAST_BYTES has to be raised");
const _: () = assert!(align_of::<Context>() <= 8);

/// A node. What is in it is nobody's business but the library's.
pub struct Context {
    pub(crate) state: State,
    /// A function of this node is at work; a callback that calls another would have two of them change one node.
    pub(crate) busy: bool,
}

/// What a call works on.
pub(crate) struct State {
    pub(crate) node: Node,
    pub(crate) platform: CPlatform,
}

/// What a function answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "C has one name space for all constants")]
pub enum Answer {
    /// Done.
    RootcastOk = 0,
    /// A pointer is NULL that must not be, or a function of rootcast_platform_t is missing.
    RootcastArgument = 1,
    /// The memory is smaller than ROOTCAST_BYTES or not aligned to 8.
    RootcastMemory = 2,
    /// A setting is not valid: the id has more than 48 bits, a text is not UTF-8 or too long, or there are too many keys.
    RootcastSetting = 3,
    /// Flash cannot be read, or its partition table has no two OTA slots. The application goes on without the updater.
    RootcastFlash = 4,
    /// Called from within a callback of the same node.
    RootcastBusy = 5,
}

/// Why the chip started (esp_reset_reason).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "C has one name space for all constants")]
pub enum Reset {
    /// Power came (back), or fell too low, or somebody pressed reset: says nothing about the image.
    RootcastResetPower = 0,
    /// esp_restart.
    RootcastResetSoftware = 1,
    /// A panic or an exception.
    RootcastResetPanic = 2,
    /// A watchdog bit.
    RootcastResetWatchdog = 3,
}

/// A key that may sign releases (docs/release-format.md).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ReleaseKeyForC {
    /// A P-256 point as SEC 1 §2.3.3 writes it uncompressed: 04, x, y.
    pub point: [u8; 65],
    /// What the key may sign: 1 releases, 2 changes of keys, 3 both.
    pub purposes: u8,
}

/// Who the node is and whom it trusts. Zero it first: what is 0 or NULL then has its default.
#[repr(C)]
pub struct CSettings {
    /// The station MAC as a number of 48 bits, first byte highest.
    pub id: u64,
    /// "switch", "relay8", "relay16" or another name of your own; NULL: switch.
    pub node_type: *const c_char,
    /// What stands before the original's topics, for example "house/1"; NULL: nothing.
    pub topic_prefix: *const c_char,
    /// Whose firmware the node takes from releases: a domain name; NULL: Rootcast's default.
    pub vendor_domain: *const c_char,
    /// SHA-256 digests of the public keys that may sign images, 32 bytes each, one after the other.
    pub image_key_digests: *const u8,
    /// How many; at most 4.
    pub image_key_count: usize,
    /// Keys that may sign releases.
    pub release_keys: *const ReleaseKeyForC,
    /// How many; at most 4.
    pub release_key_count: usize,
    /// A flash address that the running code executes from: esp_ota_get_running_partition()->address.
    pub code_address: u32,
    /// What the chip's anti-rollback fuses say (esp_efuse_read_secure_version).
    pub secure_version: u32,
    /// How long a new image may take to prove itself, in milliseconds; 0: five minutes.
    pub trial_deadline_ms: u32,
    /// ESP-IDF's number for the chip: CONFIG_IDF_FIRMWARE_CHIP_ID.
    pub chip: u16,
    /// The chip's revision, major * 100 + minor (efuse_hal_chip_revision).
    pub chip_revision: u16,
    /// Why the chip started.
    pub reset: Reset,
    /// Whether this node talks to the broker for the mesh.
    pub is_root: bool,
    /// Whether an image without signature is accepted while no key is trusted.
    pub allow_unsigned: bool,
    /// Whether only signed releases are accepted, no bare images.
    pub require_release: bool,
    /// Whether send_frame can reach neighbours by one transmission. Not on ESP-WIFI-MESH.
    pub can_spread: bool,
    /// Whether a new image is confirmed only after rootcast_health said so.
    pub needs_application_health: bool,
}

/// A NUL-terminated text of C, `""` for NULL; `None` if it is not UTF-8.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that lives for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return Some("");
    }
    // SAFETY: as required of the caller.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// Bytes of C, none for NULL.
///
/// # Safety
/// `bytes` is NULL or readable for `length` bytes for `'a`.
pub(crate) unsafe fn slice<'a, T>(first: *const T, length: usize) -> &'a [T] {
    if first.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: as required of the caller.
    unsafe { core::slice::from_raw_parts(first, length) }
}

/// Starts the updater: as early as possible after a reset, since it counts the starts of an image on trial and goes back
/// from one that had its chance. A watchdog should run by then.
///
/// memory is used until the chip restarts. platform is copied, settings are read once. out gets the node.
///
/// Errors: ROOTCAST_ARGUMENT, ROOTCAST_MEMORY, ROOTCAST_SETTING, ROOTCAST_FLASH.
///
/// # Safety
/// `memory` is writable for `bytes` bytes and used for nothing else; `platform`, `settings` and what they point to are as
/// their documentation says; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_start(
    memory: *mut c_void,
    bytes: usize,
    platform: *const CPlatform,
    settings: *const CSettings,
    now_ms: u64,
    out: *mut *mut Context,
) -> Answer {
    // SAFETY: as required of the caller.
    let (Some(platform), Some(given)) = (unsafe { platform.as_ref() }, unsafe { settings.as_ref() }) else {
        return Answer::RootcastArgument;
    };
    if !platform.is_complete() || memory.is_null() || out.is_null() {
        return Answer::RootcastArgument;
    }
    let memory = memory.cast::<Context>();
    if bytes < size_of::<Context>() || !memory.is_aligned() {
        return Answer::RootcastMemory;
    }
    // SAFETY: as required of the caller.
    let Some(settings) = (unsafe { settings_of(given) }) else { return Answer::RootcastSetting };
    let reset = match given.reset {
        Reset::RootcastResetPower => ResetReason::PowerOn,
        Reset::RootcastResetSoftware => ResetReason::Software,
        Reset::RootcastResetPanic => ResetReason::Panic,
        Reset::RootcastResetWatchdog => ResetReason::Watchdog,
    };
    let info = BootInfo { code_address: given.code_address, reset };
    let mut platform = *platform;
    // SAFETY: large enough and aligned, as checked; writable, as required of the caller. The node is made where it stays:
    // a task's stack has no room for it.
    unsafe {
        let place = &mut *(&raw mut (*memory).state.node).cast::<MaybeUninit<Node>>();
        if Node::boot_in(place, settings, info, Instant(now_ms), &mut platform).is_err() {
            return Answer::RootcastFlash;
        }
        (&raw mut (*memory).state.platform).write(platform);
        (&raw mut (*memory).busy).write(false);
        out.write(memory);
    }
    Answer::RootcastOk
}

/// `None` if a setting is not valid.
///
/// # Safety
/// The pointers in `given` are as its documentation says.
unsafe fn settings_of(given: &CSettings) -> Option<Settings> {
    // SAFETY: as required of the caller.
    let (node_type, prefix, vendor) =
        unsafe { (text(given.node_type)?, text(given.topic_prefix)?, text(given.vendor_domain)?) };
    let node_type = if node_type.is_empty() { NodeType::default() } else { NodeType::from_name(node_type)? };
    let mut settings = Settings::new(NodeId(given.id), node_type, ChipId(given.chip));
    settings.topics = Topics::new(prefix).ok()?;
    if !vendor.is_empty() {
        settings.vendor = VendorId::of_domain(vendor);
    }
    settings.chip_revision = given.chip_revision;
    settings.secure_version = given.secure_version;
    settings.is_root = given.is_root;
    settings.allow_unsigned = given.allow_unsigned;
    settings.release_policy.require_release = given.require_release;
    settings.can_spread = given.can_spread;
    settings.needs_application_health = given.needs_application_health;
    if given.trial_deadline_ms > 0 {
        settings.trial_deadline_ms = given.trial_deadline_ms;
    }
    let digest_bytes = given.image_key_count.checked_mul(32)?;
    // SAFETY: as required of the caller.
    let digests = unsafe { slice(given.image_key_digests, digest_bytes) };
    for digest in digests.as_chunks::<32>().0 {
        settings.trusted_keys.push(KeyDigest(*digest)).ok()?;
    }
    // SAFETY: as required of the caller.
    for key in unsafe { slice(given.release_keys, given.release_key_count) } {
        let purposes = Purposes::from_bits(key.purposes.into())?;
        let key = TrustedKey::new(ReleaseKey::from_sec1(&key.point)?, purposes);
        settings.release_keys.push(key).ok()?;
    }
    (settings.id <= NodeId::MAX).then_some(settings)
}

/// Works on a node, unless one of its callbacks does already.
///
/// # Safety
/// `context` is NULL or came from `rootcast_start`; nobody else uses it meanwhile but callbacks of this call.
pub(crate) unsafe fn with(context: *mut Context, work: impl FnOnce(&mut State)) -> Answer {
    if context.is_null() {
        return Answer::RootcastArgument;
    }
    // SAFETY: as required of the caller. `busy` and `state` are borrowed apart, so that a callback's look at `busy` does
    // not touch what this call has borrowed.
    unsafe {
        let busy = &raw mut (*context).busy;
        if busy.read() {
            return Answer::RootcastBusy;
        }
        busy.write(true);
        work(&mut (*context).state);
        busy.write(false);
    }
    Answer::RootcastOk
}
