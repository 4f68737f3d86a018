//! Webhooks: what a receiver gets, checked by the library that receivers use, and what happens when it does not take it.

mod peers;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use peers::PATIENCE;
use rootcast_control::api::listen::ApiListener;
use rootcast_control::plane::{ControlPlane, Setup};
use rootcast_control::service::Service;
use rootcast_control::service::events::EventFilter;
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_control::service::webhooks::{Kind, MAX_WEBHOOKS, MadeWebhook, NewWebhook, WebhookChange};
use rootcast_hosting::DevelopmentCa;
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use rustls::ServerConfig;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A message as it arrived.
struct Arrival {
    headers: HeaderMap,
    body: Bytes,
}

impl Arrival {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a receiver got, and what it answers next; 204 when nothing is left to say.
#[derive(Clone, Default)]
struct Inbox {
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Inbox {
    fn answering(answers: &[u16]) -> Self {
        let inbox = Self::default();
        inbox.answers.lock().unwrap().extend(answers);
        inbox
    }

    fn router(&self) -> Router {
        Router::new().route("/hook", post(receive)).with_state(self.clone())
    }

    /// Waits for so many messages, and lets a moment pass in which one too many would come.
    async fn wait_for(&self, count: usize) -> Vec<Arrival> {
        let deadline = Instant::now() + PATIENCE;
        while self.arrivals.lock().unwrap().len() < count {
            let found = self.arrivals.lock().unwrap().len();
            assert!(Instant::now() < deadline, "{found} of {count} messages arrived");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let arrivals = std::mem::take(&mut *self.arrivals.lock().unwrap());
        assert_eq!(arrivals.len(), count, "one message too many");
        arrivals
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> Response {
    inbox.arrivals.lock().unwrap().push(Arrival { headers, body });
    let status = inbox.answers.lock().unwrap().pop_front().unwrap_or(204);
    // Where a redirect leads, the same receiver would count it.
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, "/hook")]).into_response()
}

/// A receiver, and its URL.
async fn receiver(inbox: &Inbox, tls: Option<ServerConfig>) -> (ApiListener, String) {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = ApiListener::start("127.0.0.1:0".parse().unwrap(), tls, inbox.router()).await.unwrap();
    let url = format!("{scheme}://127.0.0.1:{}/hook", listener.address().port());
    (listener, url)
}

async fn plane(folder: &Path) -> ControlPlane {
    ControlPlane::start(Setup::loopback(folder.join("data")).on_free_ports()).await.unwrap()
}

async fn make(service: &Service, url: &str, kinds: &[Kind]) -> MadeWebhook {
    let kinds = kinds.iter().copied().collect();
    let new = NewWebhook { url: url.to_owned(), kinds, ..NewWebhook::default() };
    service.create_webhook(new, "test").await.unwrap()
}

/// Makes a release, which is an event.
async fn happen(service: &Service, version: &str) {
    let app = AppImageBuilder::new(ChipId::ESP32C3).version(version).size(20_000).build().unwrap();
    let file = service.upload(app).await.unwrap();
    let images = vec![NewImage { sha256: file.sha256, node_type: None }];
    let release = NewRelease { images, ..NewRelease::default() };
    service.create_release(&release, "test").await.unwrap();
}

fn texts(arrivals: &[Arrival]) -> Vec<String> {
    arrivals.iter().map(|it| it.json()["data"]["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_wanted_kinds_arrive_once_in_order_and_signed_as_the_reference_library_checks() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let inbox = Inbox::default();
    let (_receiver, url) = receiver(&inbox, None).await;
    happen(plane.service(), "1.0.0").await;
    let made = make(plane.service(), &url, &[Kind::Release]).await;
    make(plane.service(), &url, &[Kind::Webhook]).await;
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        happen(plane.service(), version).await;
    }
    let arrivals = inbox.wait_for(3).await;
    let expected = ["1.1.0", "1.2.0", "1.3.0"].map(|it| format!("test made release {it} of 1 images"));
    assert_eq!(texts(&arrivals), expected, "what was before the webhook is not told");
    let library = standardwebhooks::Webhook::new(&made.secret).unwrap();
    let stranger = standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    for arrival in &arrivals {
        library.verify(&arrival.body, &arrival.headers).expect("the signature is good, and of now");
        assert!(stranger.verify(&arrival.body, &arrival.headers).is_err());
        let mut altered = arrival.body.to_vec();
        altered[20] ^= 1;
        assert!(library.verify(&altered, &arrival.headers).is_err());
        let json = arrival.json();
        assert_eq!(
            (json["type"].as_str(), json["data"]["kind"].as_str()),
            (Some("release"), Some("release"))
        );
        assert_eq!(json["timestamp"], json["data"]["at"]);
    }
    let shown = plane.service().webhook(&made.view.id).await.unwrap();
    assert_eq!((shown.delivered, shown.failures, shown.error), (3, 0, None));
    let listed = serde_json::to_string(&plane.service().webhooks().await.unwrap()).unwrap();
    assert!(!listed.contains(&made.secret[8..]), "the secret is shown once");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_comes_again_under_the_same_id_before_anything_later_and_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = plane(folder.path()).await;
    // A failure, and a redirect, which is not followed.
    let inbox = Inbox::answering(&[503, 302]);
    let (_receiver, url) = receiver(&inbox, None).await;
    let id = make(first.service(), &url, &[Kind::Release]).await.view.id;
    happen(first.service(), "1.1.0").await;
    happen(first.service(), "1.2.0").await;
    let before = inbox.wait_for(1).await;
    let shown = first.service().webhook(&id).await.unwrap();
    assert_eq!((shown.failures, shown.error.as_deref()), (1, Some("it answered 503")));
    assert!(shown.next_try_at.is_some() && shown.failing_since.is_some());
    first.stop().await;

    let second = plane(folder.path()).await;
    let refused = inbox.wait_for(1).await;
    let after = inbox.wait_for(2).await;
    let ids: Vec<&str> =
        before.iter().chain(&refused).chain(&after).map(|it| it.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert_eq!(before[0].body, after[0].body);
    assert_ne!(before[0].header("webhook-timestamp"), after[0].header("webhook-timestamp"));
    let shown = second.service().webhook(&id).await.unwrap();
    assert_eq!((shown.delivered, shown.failures, shown.error), (2, 0, None));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_nothing_more_until_it_is_switched_on_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let service = plane.service();
    let inbox = Inbox::answering(&[410]);
    let (_receiver, url) = receiver(&inbox, None).await;
    let id = make(service, &url, &[Kind::Release, Kind::Webhook]).await.view.id;
    happen(service, "1.1.0").await;
    inbox.wait_for(1).await;
    let off = service.webhook(&id).await.unwrap().off;
    assert_eq!(off.as_deref(), Some("it answered 410: it wants no more messages"));
    let events = service.events(&EventFilter { newest: true, ..EventFilter::default() }).await.unwrap();
    let said = events.items.iter().find(|it| it.kind == "webhook").map(|it| it.text.clone());
    assert_eq!(said, Some(format!("webhook {id} is off: it answered 410: it wants no more messages")));
    happen(service, "1.2.0").await;
    inbox.wait_for(0).await;

    let on = WebhookChange { on: Some(true), ..WebhookChange::default() };
    assert_eq!(service.change_webhook(&id, &on, "test").await.unwrap().off, None);
    let missed = texts(&inbox.wait_for(3).await);
    assert!(missed[0].contains("1.1.0") && missed[1].contains("is off") && missed[2].contains("1.2.0"));

    let off = WebhookChange { on: Some(false), ..WebhookChange::default() };
    service.change_webhook(&id, &off, "test").await.unwrap();
    happen(service, "1.3.0").await;
    let on = WebhookChange { skip_missed: true, ..on };
    service.change_webhook(&id, &on, "test").await.unwrap();
    happen(service, "1.4.0").await;
    assert!(texts(&inbox.wait_for(1).await)[0].contains("1.4.0"), "what was missed is left out if asked for");
    service.remove_webhook(&id).await.unwrap();
    happen(service, "1.5.0").await;
    inbox.wait_for(0).await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_a_certificate_of_a_strange_authority_gets_nothing_unless_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let service = plane.service();
    let authority = DevelopmentCa::keep_in(&folder.path().join("ca")).unwrap();
    let identity = authority.server_identity(&["127.0.0.1"]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
        .unwrap();
    let inbox = Inbox::default();
    let (_receiver, url) = receiver(&inbox, Some(tls)).await;

    let strange = make(service, &url, &[Kind::Release]).await.view.id;
    let outcome = service.test_webhook(&strange).await.unwrap();
    let error = outcome.error.unwrap();
    assert!(!outcome.delivered && error.contains("certificate"), "{error}");
    assert!(!error.contains("/hook"), "a URL may hold a secret: {error}");
    inbox.wait_for(0).await;

    let ca = std::fs::read_to_string(folder.path().join("ca/rootcast-ca.pem")).unwrap();
    let new = NewWebhook { url, ca: Some(ca), ..NewWebhook::default() };
    let made = service.create_webhook(new, "test").await.unwrap();
    let outcome = service.test_webhook(&made.view.id).await.unwrap();
    assert!(outcome.delivered, "{:?}", outcome.error);
    let arrivals = inbox.wait_for(1).await;
    assert_eq!(arrivals[0].json()["type"], "test");
    let library = standardwebhooks::Webhook::new(&made.secret).unwrap();
    library.verify(&arrivals[0].body, &arrivals[0].headers).unwrap();
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_webhook_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let service = plane.service();
    let attempt = |new: NewWebhook| async move { service.create_webhook(new, "test").await };
    let at = |url: &str| NewWebhook { url: url.to_owned(), ..NewWebhook::default() };
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    for (url, words) in [
        ("", "is no URL"),
        ("example.com/hook", "is no URL"),
        ("ftp://example.com/", "has to begin with https://"),
        ("file:///etc/passwd", "has to begin with https://"),
        ("http://example.com/", "plain http to another machine"),
        ("http://127.0.0.1.example.com/", "plain http to another machine"),
        ("https://user:password@example.com/", "holds a user or a password"),
        ("https://example.com/\r\nx: y", "control character"),
        (long.as_str(), "at most 2048"),
    ] {
        let refused = attempt(at(url)).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{url}: {refused}");
    }
    let nothing = NewWebhook { kinds: [].into_iter().collect(), ..at("https://example.com/") };
    assert!(attempt(nothing).await.unwrap_err().to_string().contains("\"kinds\" is empty"));
    let bad = NewWebhook { ca: Some("no PEM".into()), ..at("https://example.com/") };
    assert!(attempt(bad).await.unwrap_err().to_string().contains("no certificate"));
    let open = NewWebhook { plain_http: true, ..at("http://example.com/") };
    attempt(open).await.unwrap();
    for _ in 1..MAX_WEBHOOKS {
        attempt(at("http://[::1]:9/")).await.unwrap();
    }
    let refused = attempt(at("http://localhost:9/")).await.unwrap_err().to_string();
    assert!(refused.contains("no more are allowed"), "{refused}");
    plane.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn two_control_planes_on_one_postgresql_tell_each_event_once() {
    let Some(postgres) = peers::postgres::Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let setup = |name: &str| {
        let mut setup = Setup::loopback(folder.path().join(name)).on_free_ports();
        setup.database = Some(postgres.url());
        setup
    };
    let a = ControlPlane::start(setup("a")).await.unwrap();
    let b = ControlPlane::start(setup("b")).await.unwrap();
    let inbox = Inbox::default();
    let (_receiver, url) = receiver(&inbox, None).await;
    make(a.service(), &url, &[Kind::Release]).await;
    let versions: Vec<String> = (0..20).map(|it| format!("1.{it}.0")).collect();
    for (index, version) in versions.iter().enumerate() {
        happen(if index % 2 == 0 { a.service() } else { b.service() }, version).await;
    }
    let told = texts(&inbox.wait_for(20).await);
    assert!(told.iter().zip(&versions).all(|(text, version)| text.contains(version.as_str())), "{told:?}");
    a.stop().await;
    b.stop().await;
}
