//! The connection to the broker: what comes in goes to the engine, what the engine says goes out, in order.

use super::work::Wires;
use crate::mqtt::{Connection, Endpoint, Event, Received, Trust, filters};
use std::time::Duration;
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
pub fn connect(endpoint: Endpoint, trust: Trust, wires: Wires) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Wires { heard, mut to_publish } = wires;
        let (mut pause, longest) = PAUSES;
        let connection = loop {
            match Connection::open(&endpoint, &trust, &filters(), heard.clone()).await {
                Ok(connection) => break connection,
                Err(error) => {
                    tracing::warn!(broker = %endpoint, %error, "no connection to the broker; trying again")
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = heard.events.closed() => return,
            }
            pause = (pause * 2).min(longest);
        };
        let publisher = connection.publisher();
        let sender = tokio::spawn(async move {
            while let Some(Message { topic, payload }) = to_publish.recv().await {
                // The planner sees that nobody answers, and says it again.
                if let Err(error) = publisher.publish(&topic, payload.as_bytes()).await {
                    tracing::warn!(topic, %error, "a message was not published");
                }
            }
        });
        if heard.events.send(Received::now(Event::Back)).await.is_ok() {
            heard.events.closed().await;
        }
        sender.abort();
        connection.close().await;
    })
}
