//! Webhooks: events of the control plane, sent to a URL as they happen, signed, in their order, and again until they are taken.
//!
//! The form is [Standard Webhooks](https://www.standardwebhooks.com) 1.0: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, so that receivers check messages with a library of theirs. Events are in the store already, so what
//! is to be sent is no queue but a number: the last event that a webhook was told of. Nothing is lost by a `kill -9`; what
//! was sent and not noted is sent again under the same id.
//!
//! | module | what it does |
//! |---|---|
//! | [`message`] | what is sent, and its signature |
//! | [`send`] | one attempt |
//! | [`run`](Webhooks) | who is told what, and when again |

pub mod message;
mod run;
pub mod send;

pub use run::{GIVE_UP_AFTER, Webhooks};
