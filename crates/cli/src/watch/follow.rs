//! From the trigger to the end: messages in, picture, lines or JSON out.

use super::fleet::Fleet;
use super::view::{REDRAW, View};
use crate::error::Error;
use crate::mqtt::{Event, Link};
use crate::output::Output;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long nobody may answer before the operator is told.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every node has come to its end.
    Done,
    /// The time allowed is over.
    Timeout,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// Follows an update until every node has come to its end, for at most `limit`. `look` is called again and again, to
/// add what is known of the nodes from elsewhere; what it returns is shown as notes.
pub async fn follow(
    link: &mut Link,
    fleet: &mut Fleet,
    mut view: View,
    output: &mut Output,
    limit: Duration,
    mut look: impl FnMut(&mut Fleet) -> Vec<String>,
) -> Result<(End, Duration), Error> {
    let start = Instant::now();
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tokio::select! {
            event = link.next() => match event {
                Event::Message { topic, payload, .. } => {
                    let now = start.elapsed();
                    let change = fleet.hear(&topic, &payload, now);
                    view.changed(output, fleet, change, now)?;
                }
                Event::Oversized { .. } => {}
                Event::Lost => view.note(output, "The connection to the broker is gone; trying again.")?,
                Event::Back => view.note(output, "The connection to the broker is back.")?,
            },
            _ = redraw.tick() => {
                let now = start.elapsed();
                for note in look(fleet) {
                    view.note(output, &note)?;
                }
                view.redraw(fleet, now)?;
                if fleet.is_done(now) {
                    return Ok((End::Done, now));
                }
                if !told && now > ANSWER_PATIENCE && !fleet.has_answered() {
                    told = true;
                    view.note(output, silence(fleet))?;
                }
            }
            () = sleep_until(start + limit) => return Ok((End::Timeout, start.elapsed())),
            _ = tokio::signal::ctrl_c() => return Ok((End::Interrupted, start.elapsed())),
        }
    }
}

/// Why nobody answers, as far as it is known.
fn silence(fleet: &Fleet) -> &'static str {
    match fleet.root_connected() {
        Some(false) => "The mesh's root is not connected to this broker: the update begins when it is back.",
        Some(true) => "The root is connected, but no node has reported yet.",
        None => "Nothing heard of a root: check that the mesh uses this broker and this topic prefix.",
    }
}
