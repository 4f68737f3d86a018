//! Webhooks: make, look, change, try, remove.

use super::page::{check_text, read_ca};
use super::{Service, ServiceError};
use crate::clock::{rfc3339, to_db};
use crate::id;
use crate::store::webhook::WebhookRow;
use crate::webhook::message::{Message, make_secret};
use crate::webhook::send::Sender;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;
use utoipa::ToSchema;

/// The most webhooks.
pub const MAX_WEBHOOKS: i64 = 20;
/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 2_048;
/// How often a change is tried again when the webhook is told something at the same moment.
const TRIES: usize = 20;

/// What kinds of events there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A rollout begins, ends, stops by itself, or somebody gives an order.
    Rollout,
    /// A wave begins, or waits.
    Wave,
    /// A step of one node's update.
    Update,
    /// A node is heard of for the first time.
    Node,
    /// A release is made.
    Release,
    /// The connection to the broker is lost, or is back.
    Broker,
    /// A webhook is switched off.
    Webhook,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Rollout, Self::Wave, Self::Update, Self::Node, Self::Release, Self::Broker, Self::Webhook];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Wave => "wave",
            Self::Update => "update",
            Self::Node => "node",
            Self::Release => "release",
            Self::Broker => "broker",
            Self::Webhook => "webhook",
        }
    }

    /// What it tells of.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Rollout => "a rollout begins, ends or stops by itself, or somebody gives an order",
            Self::Wave => "a wave begins, or waits",
            Self::Update => "a step of one node's update",
            Self::Node => "a node is heard of for the first time",
            Self::Release => "a release is made",
            Self::Broker => "the connection to the broker is lost, or is back",
            Self::Webhook => "a webhook is switched off",
        }
    }

    /// The kind with this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Kinds(BTreeSet<Kind>);

impl Default for Kinds {
    /// The decisions: rollouts and their waves.
    fn default() -> Self {
        Self(BTreeSet::from([Kind::Rollout, Kind::Wave]))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        Self(kinds.into_iter().collect())
    }
}

impl Kinds {
    /// As the store has them.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether this kind is among them.
    pub fn has(&self, name: &str) -> bool {
        Kind::from_name(name).is_some_and(|kind| self.0.contains(&kind))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Kind> + '_ {
        self.0.iter().copied()
    }
}

/// A webhook to make.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where messages are sent: https, or http on the same machine.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Which events; rollouts and waves unless given.
    #[serde(default)]
    pub kinds: Kinds,
    /// Certificates (PEM) of authorities that it may have beside the usual ones.
    #[serde(default)]
    pub ca: Option<String>,
    /// Allows plain http to other machines: everybody on the way can read and hold back what is said, and not alter it.
    #[serde(default)]
    pub plain_http: bool,
}

/// What to change of a webhook; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Which events.
    pub kinds: Option<Kinds>,
    /// On or off. One that is switched on is told what it missed.
    pub on: Option<bool>,
    /// It is not told what it missed.
    #[serde(default)]
    pub skip_missed: bool,
}

/// A webhook, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    pub id: String,
    /// Where messages are sent.
    pub url: String,
    /// Which events.
    pub kinds: Kinds,
    /// Whether it has certificates of its own.
    pub own_ca: bool,
    /// When it was made.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// Why it is off; absent while it is on.
    pub off: Option<String>,
    /// Messages that it took.
    pub delivered: i64,
    /// Failures since the last message that it took.
    pub failures: i64,
    /// Since when it fails.
    pub failing_since: Option<String>,
    /// When it was last tried.
    pub tried_at: Option<String>,
    /// What went wrong then.
    pub error: Option<String>,
    /// When it is tried again, if it fails.
    pub next_try_at: Option<String>,
}

/// A webhook that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeWebhook {
    /// What the receiver checks signatures with. It is shown once, here.
    pub secret: String,
    /// What is known of it later.
    #[serde(flatten)]
    pub view: WebhookView,
}

/// What came of a test message.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestOutcome {
    /// Whether it was taken.
    pub delivered: bool,
    /// If not, why.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

fn view(row: WebhookRow) -> WebhookView {
    let is_failing = row.off.is_none() && row.failures > 0;
    WebhookView {
        kinds: Kinds::read(&row.kinds),
        own_ca: row.ca.is_some(),
        created_at: rfc3339(row.created_at),
        created_by: row.created_by,
        off: row.off,
        delivered: row.delivered,
        failures: row.failures,
        failing_since: row.failing_since.map(rfc3339),
        tried_at: row.tried_at.map(rfc3339),
        error: row.error,
        next_try_at: is_failing.then(|| rfc3339(row.next_at)),
        id: row.id,
        url: row.url,
    }
}

impl Service {
    /// Every webhook.
    pub async fn webhooks(&self) -> Result<Vec<WebhookView>, ServiceError> {
        Ok(self.store.webhooks().await?.into_iter().map(view).collect())
    }

    /// One of them.
    pub async fn webhook(&self, id: &str) -> Result<WebhookView, ServiceError> {
        self.webhook_row(id).await.map(view)
    }

    async fn webhook_row(&self, id: &str) -> Result<WebhookRow, ServiceError> {
        self.store.webhook(id).await?.ok_or_else(|| ServiceError::NotFound("such webhook".to_owned()))
    }

    /// Makes one, which is told what happens from now on.
    pub async fn create_webhook(&self, new: NewWebhook, by: &str) -> Result<MadeWebhook, ServiceError> {
        check_url(&new.url, new.plain_http)?;
        check_kinds(&new.kinds)?;
        let ca = new.ca.filter(|ca| !ca.trim().is_empty());
        ca.as_deref().map(read_ca).transpose()?;
        let now = self.clock.now();
        let row = WebhookRow {
            id: id::fresh('w', now)?,
            url: new.url,
            kinds: new.kinds.write(),
            secret: make_secret()?,
            ca,
            created_at: to_db(now),
            created_by: by.to_owned(),
            off: None,
            told: self.store.last_event().await?,
            next_at: to_db(now),
            delivered: 0,
            failures: 0,
            failing_since: None,
            tried_at: None,
            error: None,
        };
        if !self.store.add_webhook(&row, MAX_WEBHOOKS).await? {
            let text =
                format!("there are {MAX_WEBHOOKS} webhooks, and no more are allowed: remove one first");
            return Err(ServiceError::Conflict(text));
        }
        Ok(MadeWebhook { secret: row.secret.clone(), view: view(row) })
    }

    /// Changes one, or switches it on or off.
    pub async fn change_webhook(
        &self,
        id: &str,
        change: &WebhookChange,
        by: &str,
    ) -> Result<WebhookView, ServiceError> {
        change.kinds.as_ref().map_or(Ok(()), check_kinds)?;
        for _ in 0..TRIES {
            let mut row = self.webhook_row(id).await?;
            let held = row.next_at;
            let now = to_db(self.clock.now());
            if let Some(kinds) = &change.kinds {
                row.kinds = kinds.write();
            }
            match change.on {
                Some(true) => (row.off, row.failures, row.failing_since) = (None, 0, None),
                Some(false) => row.off = Some(format!("switched off by {by}")),
                None => {}
            }
            if change.skip_missed {
                row.told = self.store.last_event().await?;
            }
            // Whoever tells it something at this moment finds another value there, and stops.
            row.next_at = if now == held { now + 1 } else { now };
            if self.store.put_webhook(&row, held).await? {
                return Ok(view(row));
            }
        }
        Err(ServiceError::Conflict("it is told something again and again: try once more".to_owned()))
    }

    /// Sends a test message, once, whether it is on or off.
    pub async fn test_webhook(&self, id: &str) -> Result<TestOutcome, ServiceError> {
        let row = self.webhook_row(id).await?;
        let now = self.clock.now();
        let message = Message::test(id::fresh('t', now)?, rfc3339(to_db(now)));
        let began = Instant::now();
        let sent = match Sender::new(&row) {
            Ok(sender) => sender.send(&row, &message, now.0 / 1_000).await,
            Err(error) => Err(error),
        };
        let error = sent.err().map(|error| error.to_string());
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(TestOutcome { delivered: error.is_none(), error, took_ms })
    }

    /// Removes one: it is told nothing more.
    pub async fn remove_webhook(&self, id: &str) -> Result<(), ServiceError> {
        match self.store.remove_webhook(id).await? {
            true => Ok(()),
            false => Err(ServiceError::NotFound("such webhook".to_owned())),
        }
    }
}

fn check_kinds(kinds: &Kinds) -> Result<(), ServiceError> {
    match kinds.0.is_empty() {
        true => Err(ServiceError::Invalid("\"kinds\" is empty: it would never be told anything".to_owned())),
        false => Ok(()),
    }
}

fn check_url(text: &str, plain_http: bool) -> Result<(), ServiceError> {
    let refuse = |why: &str| Err(ServiceError::Invalid(format!("\"url\" {why}")));
    check_text("url", text, MAX_URL_BYTES)?;
    let Ok(url) = Url::parse(text) else {
        return refuse("is no URL; an example is https://example.com/hook");
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here || plain_http => {}
        "http" => {
            return refuse(
                "is plain http to another machine, where everybody on the way can read along: use https, or allow it \
                 with \"plain_http\"",
            );
        }
        _ => return refuse("has to begin with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "holds a user or a password, which would be shown: receivers check the signature instead",
        );
    }
    Ok(())
}
