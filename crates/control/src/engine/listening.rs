//! Since when everything that nodes say is heard. Silence before that is not theirs: a control plane that was cut off, that
//! dropped messages or that stood still has to listen for a while before it may say that somebody is silent.

use rootcast_rollout::Moment;
use std::time::Duration;

/// A process in which nothing went on for so long did not hear what was said meanwhile: it was stopped, or starved of the
/// processor, and brokers and sockets keep only so much for it. Two thirds of what makes a node silent are left after it.
const STANDSTILL: Duration = Duration::from_secs(20);

/// How well the process hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listening {
    /// Since when; `None` while there is no connection to the broker.
    since: Option<Moment>,
    /// Messages dropped, as counted when last looked at.
    dropped: u64,
    looked_at: Moment,
}

/// Why not everything was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deafness {
    /// So many messages were dropped.
    Dropped(u64),
    /// Nothing went on for so long.
    StoodStill(Duration),
}

impl Listening {
    pub fn new(now: Moment) -> Self {
        Self { since: None, dropped: 0, looked_at: now }
    }

    pub fn since(&self) -> Option<Moment> {
        self.since
    }

    /// There is a connection to the broker.
    pub fn begin(&mut self, at: Moment) {
        self.since = Some(at);
    }

    /// There is none any more.
    pub fn end(&mut self) {
        self.since = None;
    }

    /// To be called again and again, when everything that has come is heard; `dropped` only grows.
    pub fn look(&mut self, dropped: u64, now: Moment) -> Option<Deafness> {
        let stood_still = now.since(self.looked_at);
        let missed = dropped.saturating_sub(self.dropped);
        (self.dropped, self.looked_at) = (dropped, now);
        let deafness = if missed > 0 {
            Some(Deafness::Dropped(missed))
        } else {
            (stood_still > STANDSTILL).then_some(Deafness::StoodStill(stood_still))
        };
        if deafness.is_some() && self.since.is_some() {
            self.since = Some(now);
        }
        deafness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dropped_messages_or_stood_still_listens_from_now_on_only() {
        let at = |seconds: u64| Moment(1_000_000 + seconds * 1000);
        let mut listening = Listening::new(at(0));
        assert_eq!(listening.look(0, at(1)), None);
        listening.begin(at(1));
        assert_eq!((listening.look(0, at(2)), listening.since()), (None, Some(at(1))));
        assert_eq!(listening.look(3, at(4)), Some(Deafness::Dropped(3)));
        assert_eq!(listening.since(), Some(at(4)));
        assert_eq!(listening.look(3, at(5)), None, "once");
        let long = STANDSTILL + Duration::from_secs(5);
        assert_eq!(listening.look(3, at(30)), Some(Deafness::StoodStill(long)));
        assert_eq!(listening.since(), Some(at(30)));
    }

    #[test]
    fn without_a_connection_nothing_is_heard_whatever_else_happens() {
        let mut listening = Listening::new(Moment(0));
        listening.begin(Moment(1));
        listening.end();
        assert_eq!(listening.look(1, Moment(100_000)), Some(Deafness::Dropped(1)));
        assert_eq!(listening.since(), None);
    }
}
