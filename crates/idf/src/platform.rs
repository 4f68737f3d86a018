//! The caller's functions: flash, NVS and chance for the core to work on, and what it wants done.

use core::ffi::{CStr, c_char, c_int, c_void};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rootcast_node::{Colour, Destination, Output, Platform, SettingKey, SettingLost};

/// Whom a frame is for. Bringing it there, over as many hops as it takes, is the caller's work.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "C has one name space for all constants")]
pub enum To {
    /// The root.
    RootcastToRoot = 1,
    /// Every node of the mesh: on ESP-WIFI-MESH one esp_mesh_send for each address of the root's routing table.
    RootcastToEverybody = 2,
    /// Whoever hears it, passed on by nobody. Only where can_spread is set.
    RootcastToNeighbours = 3,
    /// The node whose id is given.
    RootcastToNode = 4,
}

/// What the light says.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "C has one name space for all constants")]
pub enum Light {
    /// No mesh.
    RootcastRed = 1,
    /// The mesh is started but not joined.
    RootcastYellow = 2,
    /// In the mesh.
    RootcastGreen = 3,
    /// An update is going on.
    RootcastBlue = 4,
}

/// What the caller lends to the core and does for it. Every function gets `argument` first; none may be NULL.
///
/// Those that return int return 0 (ESP_OK) for success. Flash addresses count from the chip's first byte.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CPlatform {
    /// Handed to every function.
    pub argument: *mut c_void,
    /// Size of the flash chip in bytes.
    pub flash_bytes: u32,
    /// Reads flash: address and length are multiples of 4.
    pub flash_read: Option<
        unsafe extern "C" fn(argument: *mut c_void, address: u32, into: *mut u8, length: usize) -> c_int,
    >,
    /// Programs flash: address and length are multiples of 4, bits are only cleared. A word may be programmed again.
    pub flash_write: Option<
        unsafe extern "C" fn(argument: *mut c_void, address: u32, bytes: *const u8, length: usize) -> c_int,
    >,
    /// Erases flash to ones: address and length are multiples of 4096.
    pub flash_erase:
        Option<unsafe extern "C" fn(argument: *mut c_void, address: u32, length: usize) -> c_int>,
    /// A random number (esp_random); jitter is drawn from it, no secret is.
    pub random: Option<unsafe extern "C" fn(argument: *mut c_void) -> u32>,
    /// Reads a blob of the NVS namespace "rootcast"; its length, or a negative number if it is absent or longer than room.
    pub setting_load: Option<
        unsafe extern "C" fn(argument: *mut c_void, key: *const c_char, into: *mut u8, room: usize) -> i32,
    >,
    /// Stores a blob in the NVS namespace "rootcast", and commits it.
    pub setting_store: Option<
        unsafe extern "C" fn(
            argument: *mut c_void,
            key: *const c_char,
            bytes: *const u8,
            length: usize,
        ) -> c_int,
    >,
    /// Shows a colour.
    pub show: Option<unsafe extern "C" fn(argument: *mut c_void, colour: Light)>,
    /// Sends a mesh frame of at most 250 bytes; node counts only with ROOTCAST_TO_NODE. A lost frame does no harm.
    pub send_frame: Option<
        unsafe extern "C" fn(argument: *mut c_void, to: To, node: u64, bytes: *const u8, length: usize),
    >,
    /// Subscribes to a topic, QoS 1. The root only.
    pub subscribe: Option<unsafe extern "C" fn(argument: *mut c_void, topic: *const c_char)>,
    /// Publishes JSON. The root only. Reports come this way: topic "/switch/ota/<deviceId>".
    pub publish: Option<
        unsafe extern "C" fn(
            argument: *mut c_void,
            topic: *const c_char,
            payload: *const u8,
            length: usize,
            qos: c_int,
            retain: bool,
        ),
    >,
    /// Opens a connection to host and port; with tls, verifies chain, host name and validity. One that is open is closed
    /// first. The outcome is told by rootcast_stream_connected or rootcast_stream_failed, later.
    pub stream_open:
        Option<unsafe extern "C" fn(argument: *mut c_void, host: *const c_char, port: u16, tls: bool)>,
    /// Sends bytes over the connection.
    pub stream_send: Option<unsafe extern "C" fn(argument: *mut c_void, bytes: *const u8, length: usize)>,
    /// Closes the connection; nothing is to be told of it any more.
    pub stream_close: Option<unsafe extern "C" fn(argument: *mut c_void)>,
    /// Restarts the chip (esp_restart). May return: the caller then restarts as soon as it can.
    pub restart: Option<unsafe extern "C" fn(argument: *mut c_void)>,
}

/// Longest topic or host name that goes to C, with its NUL (RFC 1035 §2.3.4: a host name has at most 253 characters).
const TEXT_BYTES: usize = 256;

/// A text for C, with its NUL. What does not fit is cut; no topic or host name that the core accepts is that long.
struct Text([u8; TEXT_BYTES]);

impl Text {
    fn new(text: &str) -> Self {
        let mut bytes = [0; TEXT_BYTES];
        for (to, from) in bytes.iter_mut().take(TEXT_BYTES - 1).zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }

    const fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

impl CPlatform {
    /// Whether every function is there.
    pub(crate) const fn is_complete(&self) -> bool {
        self.flash_read.is_some()
            && self.flash_write.is_some()
            && self.flash_erase.is_some()
            && self.random.is_some()
            && self.setting_load.is_some()
            && self.setting_store.is_some()
            && self.show.is_some()
            && self.send_frame.is_some()
            && self.subscribe.is_some()
            && self.publish.is_some()
            && self.stream_open.is_some()
            && self.stream_send.is_some()
            && self.stream_close.is_some()
            && self.restart.is_some()
    }

    /// Does what the core wants done.
    pub(crate) fn perform(&self, output: Output<'_>) {
        let argument = self.argument;
        // SAFETY of the calls in this file: `rootcast_start` demands functions that may be called with `argument`; every
        // pointer is to as many bytes as the length beside it says, or to a text that ends with NUL.
        match output {
            Output::Led(colour) => {
                let light = match colour {
                    Colour::Red => Light::RootcastRed,
                    Colour::Yellow => Light::RootcastYellow,
                    Colour::Green => Light::RootcastGreen,
                    Colour::Blue => Light::RootcastBlue,
                };
                if let Some(show) = self.show {
                    // SAFETY: above.
                    unsafe { show(argument, light) };
                }
            }
            Output::SendFrame { to, bytes } => {
                let (to, node) = match to {
                    Destination::Root => (To::RootcastToRoot, 0),
                    Destination::Everybody => (To::RootcastToEverybody, 0),
                    Destination::Neighbours => (To::RootcastToNeighbours, 0),
                    Destination::Node(node) => (To::RootcastToNode, node.0),
                };
                if let Some(send) = self.send_frame {
                    // SAFETY: above.
                    unsafe { send(argument, to, node, bytes.as_ptr(), bytes.len()) };
                }
            }
            Output::Subscribe { topic } => {
                let topic = Text::new(topic);
                if let Some(subscribe) = self.subscribe {
                    // SAFETY: above.
                    unsafe { subscribe(argument, topic.as_ptr()) };
                }
            }
            Output::Publish { topic, payload, qos, retain } => {
                let (topic, bytes, length) = (Text::new(topic), payload.as_ptr(), payload.len());
                if let Some(publish) = self.publish {
                    // SAFETY: above.
                    unsafe { publish(argument, topic.as_ptr(), bytes, length, c_int::from(qos), retain) };
                }
            }
            Output::Connect { host, port, tls } => {
                let host = Text::new(host);
                if let Some(open) = self.stream_open {
                    // SAFETY: above.
                    unsafe { open(argument, host.as_ptr(), port, tls) };
                }
            }
            Output::Send(bytes) => {
                if let Some(send) = self.stream_send {
                    // SAFETY: above.
                    unsafe { send(argument, bytes.as_ptr(), bytes.len()) };
                }
            }
            Output::Close => {
                if let Some(close) = self.stream_close {
                    // SAFETY: above.
                    unsafe { close(argument) };
                }
            }
            Output::Restart => {
                if let Some(restart) = self.restart {
                    // SAFETY: above.
                    unsafe { restart(argument) };
                }
            }
        }
    }
}

impl ErrorType for CPlatform {
    type Error = NorFlashErrorKind;
}

fn done(code: Option<c_int>) -> Result<(), NorFlashErrorKind> {
    if code == Some(0) { Ok(()) } else { Err(NorFlashErrorKind::Other) }
}

impl ReadNorFlash for CPlatform {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let argument = self.argument;
        // SAFETY: see `perform`.
        done(self.flash_read.map(|read| unsafe { read(argument, offset, bytes.as_mut_ptr(), bytes.len()) }))
    }

    fn capacity(&self) -> usize {
        self.flash_bytes as usize
    }
}

impl NorFlash for CPlatform {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let length = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        let argument = self.argument;
        // SAFETY: see `perform`.
        done(self.flash_erase.map(|erase| unsafe { erase(argument, from, length) }))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let argument = self.argument;
        // SAFETY: see `perform`.
        done(self.flash_write.map(|write| unsafe { write(argument, offset, bytes.as_ptr(), bytes.len()) }))
    }
}

/// The key's name in NVS, as C wants it.
const fn key_name(key: SettingKey) -> &'static CStr {
    match key {
        SettingKey::BadImages => c"bad_images",
        SettingKey::Trust => c"trust_record",
        SettingKey::Cast => c"cast",
    }
}

impl Platform for CPlatform {
    type Flash = Self;

    fn flash(&mut self) -> &mut Self {
        self
    }

    fn random(&mut self) -> u32 {
        let argument = self.argument;
        // SAFETY: see `perform`.
        self.random.map_or(0, |random| unsafe { random(argument) })
    }

    fn load(&mut self, key: SettingKey, into: &mut [u8]) -> Option<usize> {
        let (argument, key) = (self.argument, key_name(key).as_ptr());
        // SAFETY: see `perform`.
        let length = unsafe { self.setting_load?(argument, key, into.as_mut_ptr(), into.len()) };
        usize::try_from(length).ok().filter(|length| *length <= into.len())
    }

    fn store(&mut self, key: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
        let (argument, key) = (self.argument, key_name(key).as_ptr());
        // SAFETY: see `perform`.
        let code =
            self.setting_store.map(|store| unsafe { store(argument, key, value.as_ptr(), value.len()) });
        if code == Some(0) { Ok(()) } else { Err(SettingLost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_names_that_every_body_gives_them() {
        for key in [SettingKey::BadImages, SettingKey::Trust, SettingKey::Cast] {
            assert_eq!(key_name(key).to_str(), Ok(key.name()));
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_and_ends_with_nul() {
        let text = Text::new(&"a".repeat(300));
        let read = CStr::from_bytes_until_nul(&text.0).map(CStr::count_bytes);
        assert_eq!(read, Ok(TEXT_BYTES - 1));
    }
}
