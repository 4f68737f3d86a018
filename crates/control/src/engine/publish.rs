//! The connection to the broker: what comes in goes to the engine, what the engine says goes out, in order.

use crate::mqtt::{Endpoint, Event, Link, Trust, filters};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Pauses between attempts to reach a broker that is not there at the start: doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Something to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
}

/// Keeps a connection: subscribes, hands on what is heard, and publishes. Ends when the engine does.
pub fn connect(
    endpoint: Endpoint,
    trust: Trust,
    heard: Sender<Event>,
    mut to_publish: Receiver<Message>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut pause, longest) = PAUSES;
        let mut link = loop {
            match Link::open(&endpoint, &trust, &filters()).await {
                Ok(link) => break link,
                Err(error) => {
                    tracing::warn!(broker = %endpoint, %error, "no connection to the broker; trying again")
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = heard.closed() => return,
            }
            pause = (pause * 2).min(longest);
        };
        let publisher = link.publisher();
        let sender = tokio::spawn(async move {
            while let Some(Message { topic, payload }) = to_publish.recv().await {
                // The planner sees that nobody answers, and says it again.
                if let Err(error) = publisher.publish(&topic, payload.as_bytes()).await {
                    tracing::warn!(topic, %error, "a message was not published");
                }
            }
        });
        let mut dropped = 0;
        if heard.send(Event::Back).await.is_ok() {
            loop {
                let event = tokio::select! {
                    event = link.next() => event,
                    () = heard.closed() => break,
                };
                if link.dropped() > dropped {
                    dropped = link.dropped();
                    tracing::warn!(
                        dropped,
                        "messages came faster than they could be taken in, or were too long"
                    );
                }
                if heard.send(event).await.is_err() {
                    break;
                }
            }
        }
        sender.abort();
        link.close().await;
    })
}
