//! Who is told what, and when again.

use super::message::Message;
use super::send::{SendError, Sender, TIMEOUT};
use crate::clock::{from_db, to_db};
use crate::id::random;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::service::webhooks::Kinds;
use crate::store::StoreError;
use crate::store::event::EventRow;
use crate::store::webhook::WebhookRow;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(1);
/// For how long whoever tells a webhook has it for itself: longer than an attempt and its writing down can take.
const HELD: Duration = Duration::from_secs(4 * TIMEOUT.as_secs());
/// Pauses between attempts: doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));
/// A webhook that has taken nothing for so long is switched off.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Events read from the store at a time.
const AT_ONCE: i64 = 200;

/// The telling, running. Dropping it ends it; what was being sent is sent again later.
pub struct Webhooks {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Webhooks {
    /// Begins to tell webhooks what happens.
    pub fn start(service: Service) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(service, stopped)) }
    }

    /// Lets attempts that are going on finish, and ends.
    pub async fn stop(self) {
        // If it has ended already, all the better.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn run(service: Service, mut stopped: watch::Receiver<bool>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut telling = JoinSet::new();
    loop {
        tokio::select! {
            _ = looks.tick() => match service.store.webhooks_due(to_db(service.clock.now())).await {
                Ok(due) => for row in due {
                    telling.spawn(Telling { service: service.clone(), stopped: stopped.clone(), row }.run());
                },
                Err(error) => tracing::warn!(%error, "webhooks cannot be read; trying again"),
            },
            Some(_) = telling.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    let _ = timeout(TIMEOUT, telling.join_all()).await;
}

/// One webhook being told. Whoever has written its `next_at` last has it; one that finds another value there stops.
struct Telling {
    service: Service,
    stopped: watch::Receiver<bool>,
    row: WebhookRow,
}

impl Telling {
    async fn run(mut self) {
        if let Err(error) = self.tell().await {
            tracing::warn!(%error, webhook = self.row.id, "how far it was told cannot be written down; it is told again later");
        }
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        if self.service.store.events(None, self.row.told, 1).await?.is_empty() || !self.put(HELD).await? {
            return Ok(());
        }
        let sender = match Sender::new(&self.row) {
            Ok(sender) => sender,
            Err(error) => return self.failed(error).await,
        };
        let kinds = Kinds::read(&self.row.kinds);
        loop {
            let events = self.service.store.events(None, self.row.told, AT_ONCE).await?;
            if events.is_empty() || *self.stopped.borrow() {
                self.put(Duration::ZERO).await?;
                return Ok(());
            }
            for event in events {
                let seq = event.seq;
                if kinds.has(&event.kind) {
                    let message = Message::of(event, &self.row.id);
                    let now = self.service.clock.now();
                    if let Err(error) = sender.send(&self.row, &message, now.0 / 1_000).await {
                        return self.failed(error).await;
                    }
                    Metrics::count(&self.service.metrics.webhooks_delivered);
                    let row = &mut self.row;
                    (row.told, row.delivered) = (seq, row.delivered.saturating_add(1));
                    (row.failures, row.failing_since, row.error) = (0, None, None);
                    row.tried_at = Some(to_db(now));
                    if !self.put(HELD).await? {
                        return Ok(());
                    }
                    if *self.stopped.borrow() {
                        break;
                    }
                }
                self.row.told = seq;
            }
            if !self.put(HELD).await? {
                return Ok(());
            }
        }
    }

    /// Writes down how far it was told, and that nobody tells it more for a while; whether it was still ours.
    async fn put(&mut self, pause: Duration) -> Result<bool, StoreError> {
        let held = self.row.next_at;
        let wanted = to_db(self.service.clock.now().after(pause));
        self.row.next_at = if wanted == held { wanted + 1 } else { wanted };
        self.service.store.put_webhook(&self.row, held).await
    }

    async fn failed(&mut self, error: SendError) -> Result<(), StoreError> {
        Metrics::count(&self.service.metrics.webhooks_failed);
        let now = self.service.clock.now();
        let row = &mut self.row;
        row.failures = row.failures.saturating_add(1);
        row.tried_at = Some(to_db(now));
        row.error = Some(error.to_string());
        let since = *row.failing_since.get_or_insert(to_db(now));
        let has_failed_for_long = now >= from_db(since).after(GIVE_UP_AFTER);
        if has_failed_for_long || error == SendError::Gone {
            row.off = Some(match error {
                SendError::Gone => error.to_string(),
                _ => format!("it took no message for three days; the last time, {error}"),
            });
        }
        tracing::info!(webhook = row.id, failures = row.failures, %error, "a message was not taken");
        let asked = match error {
            SendError::Status { retry_after, .. } => retry_after,
            _ => None,
        };
        // Without randomness every webhook is tried at the same pace, which does no harm either.
        let [jitter] = random().unwrap_or([128]);
        let pause = pause(row.failures, asked, jitter);
        if self.put(pause).await?
            && let Some(why) = self.row.off.clone()
        {
            let text = format!("webhook {} is off: {why}", self.row.id);
            let mut event =
                EventRow { at: to_db(now), kind: "webhook".to_owned(), text, ..EventRow::default() };
            event.seq = self.service.store.add_event(&event).await?;
            self.service.engine.tell(event);
        }
        Ok(())
    }
}

/// How long to wait after so many failures: 5 s, doubling up to an hour, a fifth more or less, and no less than was asked for.
fn pause(failures: i64, asked: Option<Duration>, jitter: u8) -> Duration {
    let (first, longest) = PAUSES;
    let doublings = u32::try_from(failures.clamp(1, 20) - 1).unwrap_or(0);
    let base = first.saturating_mul(1 << doublings).min(longest);
    let varied = base.mul_f64(0.8 + 0.4 * f64::from(jitter) / 255.0);
    varied.max(asked.unwrap_or_default().min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration as D;

    #[test]
    fn pauses_double_up_to_an_hour_and_obey_the_receiver_within_it() {
        let middle = |failures, asked| pause(failures, asked, 127).as_secs_f64().round();
        assert_eq!([1, 2, 3, 4].map(|failures| middle(failures, None)), [5.0, 10.0, 20.0, 40.0]);
        assert_eq!([11, 30, i64::MAX].map(|failures| (middle(failures, None) / 10.0).round()), [360.0; 3]);
        assert_eq!(middle(1, Some(D::from_secs(90))), 90.0);
        assert_eq!(middle(1, Some(D::from_secs(1 << 40))), 3_600.0, "nobody silences us for ever");
        assert!(pause(1, None, 0) >= D::from_secs(4) && pause(1, None, 255) <= D::from_secs(6));
    }
}
