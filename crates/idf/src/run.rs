//! Doing what is due, and how far the update is.

use crate::context::{Answer, Context, with};
use core::ffi::c_char;
use rootcast_node::Instant;
use rootcast_wire::ErrorCode;

/// Timeouts handled in one call: a core that wants more at once gets its turn at the next call.
const MOST_TIMEOUTS: u32 = 16;

/// How far the update is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CProgress {
    /// Bytes of the file on flash.
    pub bytes: u32,
    /// Bytes of the file; 0 while they are not known.
    pub size: u32,
    /// The code last reported (crates/wire/src/error_code.rs); 0: none.
    pub error: u16,
    /// The step last reported: 0 none, 1 accepted, 2 waiting, 3 downloading, 4 verifying, 5 installed, 6 restarting,
    /// 7 trial, 8 confirmed, 9 rolled back, 10 failed, 11 refused.
    pub state: u8,
    /// Share of the file on flash, 0 to 100.
    pub percent: u8,
    /// How manieth download this is.
    pub attempt: u8,
}

/// Does what is due: handles the time that has passed and calls the callbacks until nothing more is to be done. To be
/// called after every function that tells the node something, and at the time that it answers.
///
/// deadline_ms gets the time at which it wants to be called again, UINT64_MAX for not by itself; it may be NULL.
///
/// # Safety
/// `context` came from `rootcast_start`; `deadline_ms` is writable or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_run(context: *mut Context, now_ms: u64, deadline_ms: *mut u64) -> Answer {
    let now = Instant(now_ms);
    let mut next = u64::MAX;
    // SAFETY: as required of the caller.
    let answer = unsafe {
        with(context, |state| {
            let mut timeouts = 0;
            loop {
                let lent = state.platform;
                while let Some(output) = state.node.poll(now, &mut state.platform) {
                    lent.perform(output);
                }
                match state.node.deadline(now) {
                    Some(due) if due <= now && timeouts < MOST_TIMEOUTS => {
                        timeouts += 1;
                        state.node.handle_timeout(now, &mut state.platform);
                    }
                    due => {
                        next = due.map_or(u64::MAX, |due| due.0);
                        break;
                    }
                }
            }
        })
    };
    // SAFETY: as required of the caller.
    if let Some(deadline_ms) = unsafe { deadline_ms.as_mut() } {
        *deadline_ms = next;
    }
    answer
}

/// How far the update is. Errors: ROOTCAST_ARGUMENT, ROOTCAST_BUSY; progress is all zero then.
///
/// # Safety
/// `context` came from `rootcast_start`; `progress` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_progress(context: *mut Context, progress: *mut CProgress) -> Answer {
    // SAFETY: as required of the caller.
    let Some(out) = (unsafe { progress.as_mut() }) else { return Answer::RootcastArgument };
    *out = CProgress::default();
    // SAFETY: as required of the caller.
    unsafe {
        with(context, |state| {
            let progress = state.node.progress();
            *out = CProgress {
                bytes: progress.bytes,
                size: progress.size.unwrap_or(0),
                error: progress.error.map_or(0, |code| code.number()),
                state: progress.state.map_or(0, |step| step.number()),
                percent: progress.percent,
                attempt: progress.attempt,
            };
        })
    }
}

/// Writes the name of an error code, as in reports, and its NUL into room bytes; cuts what does not fit. Returns the
/// length of the whole name, 0 for a number that is no code. May be called at any time, from any task.
///
/// # Safety
/// `into` is writable for `room` bytes, or `room` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rootcast_error_name(code: u16, into: *mut c_char, room: usize) -> usize {
    let name = ErrorCode::from_number(code).map_or("", ErrorCode::name);
    if into.is_null() || room == 0 {
        return name.len();
    }
    let length = name.len().min(room - 1);
    // SAFETY: `length` and the NUL fit into `room`; the name has at least `length` bytes.
    unsafe {
        into.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), length);
        into.cast::<u8>().add(length).write(0);
    }
    name.len()
}

/// Bytes that a node really takes, at most ROOTCAST_BYTES.
#[unsafe(no_mangle)]
pub extern "C" fn rootcast_bytes() -> usize {
    size_of::<Context>()
}
