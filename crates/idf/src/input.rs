//! What the caller tells. Each of these only notes; [`crate::run::rootcast_run`] does what follows from it.

use crate::context::{Answer, Context, slice, text, with};
use core::ffi::c_char;
use rootcast_node::{Input, Instant, MeshState};
use rootcast_wire::{ErrorCode, NodeId};

/// A node's place in the mesh.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CMesh {
    /// Id of the parent; the root's is its own.
    pub parent: u64,
    /// Whether the radio is up.
    pub started: bool,
    /// Whether the node has its place in the mesh; the root: whether it has the network.
    pub joined: bool,
    /// Distance from the router: 1 for the root (esp_mesh_get_layer).
    pub layer: u8,
    /// Signal of the link to the parent, dBm; 0: not known.
    pub signal_dbm: i8,
}

/// # Safety
/// As [`with`].
unsafe fn tell(context: *mut Context, now_ms: u64, input: Input<'_>) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { with(context, |state| state.node.handle(Instant(now_ms), input, &mut state.platform)) }
}

/// A mesh frame has arrived, over however many hops. Frames that are not Rootcast's do no harm.
///
/// Errors: ROOTCAST_ARGUMENT, ROOTCAST_BUSY; so for every function that takes a rootcast_t.
///
/// # Safety
/// `context` came from `rootcast_start`; `bytes` is readable for `length` bytes. So for all functions here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_frame(
    context: *mut Context,
    now_ms: u64,
    bytes: *const u8,
    length: usize,
) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::Frame(slice(bytes, length))) }
}

/// A mesh frame has arrived straight from a neighbour, heard with this signal. Only where can_spread is set.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_neighbour_frame(
    context: *mut Context,
    now_ms: u64,
    bytes: *const u8,
    length: usize,
    signal_dbm: i8,
) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::NeighbourFrame { bytes: slice(bytes, length), signal_dbm }) }
}

/// The node's place in the mesh, whenever it changes.
///
/// # Safety
/// See [`rootcast_frame`]; `mesh` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_mesh(context: *mut Context, now_ms: u64, mesh: *const CMesh) -> Answer {
    // SAFETY: as required of the caller.
    let Some(mesh) = (unsafe { mesh.as_ref() }) else { return Answer::RootcastArgument };
    let state = MeshState {
        started: mesh.started,
        joined: mesh.joined,
        layer: mesh.layer,
        parent: NodeId(mesh.parent),
        signal_dbm: mesh.signal_dbm,
    };
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::Mesh(state)) }
}

/// The broker has accepted the connection, or it is gone. The root only.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_mqtt(context: *mut Context, now_ms: u64, connected: bool) -> Answer {
    let input = if connected { Input::MqttConnected } else { Input::MqttDisconnected };
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, input) }
}

/// A message on a subscribed topic, whole. The root only.
///
/// # Safety
/// See [`rootcast_frame`]; `topic` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_mqtt_message(
    context: *mut Context,
    now_ms: u64,
    topic: *const c_char,
    payload: *const u8,
    length: usize,
) -> Answer {
    // SAFETY: as required of the caller.
    let Some(topic) = (unsafe { text(topic) }) else { return Answer::RootcastArgument };
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::MqttMessage { topic, payload: slice(payload, length) }) }
}

/// The connection that was asked for stands; with TLS, the server has proved who it is.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_stream_connected(context: *mut Context, now_ms: u64) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::StreamConnected) }
}

/// Bytes have come over the connection.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_stream_data(
    context: *mut Context,
    now_ms: u64,
    bytes: *const u8,
    length: usize,
) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::StreamData(slice(bytes, length))) }
}

/// The server has closed the connection.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_stream_closed(context: *mut Context, now_ms: u64) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::StreamClosed) }
}

/// The connection could not be made or kept. code is one of the numbers of crates/wire/src/error_code.rs: 20 name not
/// resolved, 21 no connection, 22 connection lost, 40 TLS failed, 41 certificate expired, 42 not yet valid, 43 for another
/// host, 44 self-signed, 45 no trusted CA, 47 damaged, 49 no trusted time. Any other counts as 22.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_stream_failed(context: *mut Context, now_ms: u64, code: u16) -> Answer {
    let code = ErrorCode::from_number(code).unwrap_or(ErrorCode::ConnectionLost);
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::StreamFailed(code)) }
}

/// The application's own judgement of itself. During a trial, false sends the image back.
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_health(context: *mut Context, now_ms: u64, healthy: bool) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::ApplicationHealth(healthy)) }
}

/// The time of day in seconds since 1970, from a source that the application trusts (SNTP at the root).
///
/// # Safety
/// See [`rootcast_frame`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_wall_clock(context: *mut Context, now_ms: u64, unix_s: u64) -> Answer {
    // SAFETY: as required of the caller.
    unsafe { tell(context, now_ms, Input::WallClock { unix_s }) }
}
