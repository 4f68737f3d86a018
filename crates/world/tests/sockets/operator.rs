//! An operator with an MQTT client that is not ours.

use rootcast_wire::{NodeId, Report, UpdateState};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Long, because a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Operator {
    client: AsyncClient,
    messages: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
    /// All reports so far, by node, in order.
    pub reports: BTreeMap<NodeId, Vec<Report>>,
    /// Everything else: topic and payload.
    pub others: Vec<(String, String)>,
}

impl Operator {
    pub async fn connect(broker: SocketAddr) -> Self {
        let mut options = MqttOptions::new("operator", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(4 << 20, 4 << 20);
        let (client, mut events) = AsyncClient::new(options, 100);
        let (sender, messages) = mpsc::unbounded_channel();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let subscriber = client.clone();
        tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        subscriber.try_subscribe("/switch/#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        if let Some(ready) = ready.take() {
                            let _ = ready.send(());
                        }
                    }
                    Ok(Event::Incoming(Incoming::Publish(message))) => {
                        if sender.send((message.topic, message.payload.to_vec())).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
        });
        timeout(PATIENCE, is_ready).await.expect("the broker answers").unwrap();
        Self { client, messages, reports: BTreeMap::new(), others: Vec::new() }
    }

    pub async fn publish(&self, payload: impl Into<Vec<u8>>) {
        self.client.publish("/switch/cmd/root", QoS::AtLeastOnce, false, payload.into()).await.unwrap();
    }

    pub async fn trigger(&self, url: &str) {
        self.publish(format!(r#"{{"type":"ota_trigger","url":"{url}"}}"#)).await;
    }

    /// Hears messages until `done`; panics with what was heard when that takes too long.
    pub async fn hear_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let Ok(message) = timeout(PATIENCE, self.messages.recv()).await else {
                panic!("waited in vain; heard {:#?} and {:#?}", self.summary(), self.others.last());
            };
            let (topic, payload) = message.expect("the client runs");
            match Report::parse_json(&payload) {
                Ok(report) if topic.starts_with("/switch/ota/") => {
                    self.reports.entry(report.device).or_default().push(report);
                }
                _ => self.others.push((topic, String::from_utf8_lossy(&payload).into_owned())),
            }
        }
    }

    pub fn has_reported(&self, node: NodeId, state: UpdateState) -> bool {
        self.reports.get(&node).is_some_and(|reports| reports.iter().any(|report| report.state == state))
    }

    fn summary(&self) -> Vec<String> {
        let line = |report: &Report| format!("{:?} {:?} {}", report.state, report.error, report.detail);
        let of = |(id, reports): (&NodeId, &Vec<Report>)| {
            format!("{id}: {}", reports.iter().map(line).collect::<Vec<_>>().join(", "))
        };
        self.reports.iter().map(of).collect()
    }
}
