//! What every broker that Rootcast works with must do.
//!
//! "Nothing came" is proved by a marker: a message sent afterwards that arrives first.

use std::collections::BTreeSet;

use tokio::io::AsyncWriteExt;

use crate::client::{Client, Message, Options, VERSIONS, Version};
use crate::peer::{MAX_PACKET_BYTES, OPERATOR, ROOT_NODE, Setup, Start};
use crate::raw;

fn message(topic: &str, payload: &str, qos: u8, retained: bool) -> Message {
    Message { topic: topic.into(), payload: payload.into(), qos, retained }
}

pub async fn every_quality_of_service_crosses_between_versions(start: Start) {
    let broker = start(Setup::default()).await;
    for from in VERSIONS {
        for to in VERSIONS {
            let mut subscriber = Client::anonymous(broker.port, to).await;
            let mut publisher = Client::anonymous(broker.port, from).await;
            assert!(subscriber.subscribe("/switch/cmd/root", 2).await);
            for qos in 0..=2 {
                let payload = format!("{from:?} to {to:?} at {qos}");
                publisher.publish("/switch/cmd/root", payload.as_str(), qos, false).await;
                assert_eq!(subscriber.message().await, message("/switch/cmd/root", &payload, qos, false));
            }
        }
    }
}

pub async fn a_retained_message_greets_later_subscribers_and_an_empty_one_clears_it(start: Start) {
    let broker = start(Setup::default()).await;
    let mut publisher = Client::anonymous(broker.port, Version::V311).await;
    publisher.publish("/relay/state/7", "A0", 1, true).await;
    publisher.publish("/relay/state/7", "A1", 1, true).await;
    for version in VERSIONS {
        let mut late = Client::anonymous(broker.port, version).await;
        late.subscribe_only("/relay/state/+").await;
        assert_eq!(late.message().await, message("/relay/state/7", "A1", 1, true));
    }
    publisher.publish("/relay/state/7", "", 1, true).await;
    for version in VERSIONS {
        let mut later = Client::anonymous(broker.port, version).await;
        assert!(later.subscribe("/relay/state/+", 1).await);
        publisher.publish("/relay/state/7", "marker", 1, false).await;
        assert_eq!(later.message().await, message("/relay/state/7", "marker", 1, false));
    }
}

pub async fn the_last_will_is_published_when_the_connection_breaks(start: Start) {
    let broker = start(Setup::default()).await;
    for version in VERSIONS {
        let mut watcher = Client::anonymous(broker.port, version).await;
        assert!(watcher.subscribe("/switch/state/root", 1).await);
        let will = Some(("/switch/state/root", "disconnected", true));
        let node = Client::connect(broker.port, version, Options { will, ..Options::default() }).await;
        node.vanish();
        assert_eq!(watcher.message().await, message("/switch/state/root", "disconnected", 1, false));
        watcher.publish("/switch/state/root", "", 1, true).await;
    }
}

pub async fn a_clean_goodbye_publishes_no_last_will(start: Start) {
    let broker = start(Setup::default()).await;
    for version in VERSIONS {
        let mut watcher = Client::anonymous(broker.port, version).await;
        assert!(watcher.subscribe("/switch/state/root", 1).await);
        let will = Some(("/switch/state/root", "disconnected", false));
        let node = Client::connect(broker.port, version, Options { will, ..Options::default() }).await;
        node.goodbye().await;
        let mut other = Client::anonymous(broker.port, version).await;
        other.publish("/switch/state/root", "marker", 1, false).await;
        assert_eq!(watcher.message().await.payload, "marker");
    }
}

pub async fn wildcards_select_topics_as_the_standard_says(start: Start) {
    let broker = start(Setup::default()).await;
    let topics = ["/switch/ota/1", "/switch/ota/2/x", "/switch/ota", "switch/ota/1", "/relay/ota/1"];
    let cases: [(&str, &[usize]); 5] = [
        ("/switch/ota/+", &[0]),
        ("/switch/ota/#", &[0, 1, 2]),
        ("/+/ota/1", &[0, 4]),
        ("+/ota/1", &[3]),
        ("#", &[0, 1, 2, 3, 4]),
    ];
    let mut publisher = Client::anonymous(broker.port, Version::V5).await;
    for (filter, expected) in cases {
        for version in VERSIONS {
            let mut subscriber = Client::anonymous(broker.port, version).await;
            assert!(subscriber.subscribe(filter, 1).await, "{filter}");
            assert!(subscriber.subscribe("marker", 1).await);
            for topic in topics.into_iter().chain(["marker"]) {
                publisher.publish(topic, "x", 1, false).await;
            }
            let mut got = BTreeSet::new();
            let mut markers = 0;
            // "#" selects the marker too; brokers may send it once or once for each filter.
            while markers == 0 {
                match subscriber.message().await.topic {
                    topic if topic == "marker" => markers += 1,
                    topic => assert!(got.insert(topic), "delivered twice for {filter}"),
                }
            }
            let expected = expected.iter().map(|i| topics[*i].to_string()).collect::<BTreeSet<_>>();
            assert_eq!(got, expected, "{filter} with {version:?}");
        }
    }
}

pub async fn a_session_keeps_its_messages_while_the_client_is_away(start: Start) {
    let broker = start(Setup::default()).await;
    for version in VERSIONS {
        let options =
            Options { id: Some(format!("keeps-{version:?}")), keep_session: true, ..Options::default() };
        let mut node = Client::connect(broker.port, version, options.clone()).await;
        assert!(node.subscribe("/switch/cmd/root", 1).await);
        node.goodbye().await;
        let mut operator = Client::anonymous(broker.port, Version::V5).await;
        for n in 0..20 {
            operator.publish("/switch/cmd/root", n.to_string(), 1, false).await;
        }
        let mut node = Client::connect(broker.port, version, options).await;
        for n in 0..20 {
            assert_eq!(node.message().await.payload, n.to_string());
        }
    }
}

pub async fn a_shared_subscription_delivers_each_message_once(start: Start) {
    const MESSAGES: usize = 50;
    let broker = start(Setup::default()).await;
    let mut workers = Vec::new();
    for _ in 0..3 {
        let mut worker = Client::anonymous(broker.port, Version::V5).await;
        assert!(worker.subscribe("$share/control/work", 1).await);
        assert!(worker.subscribe("end", 1).await);
        workers.push(worker);
    }
    let mut publisher = Client::anonymous(broker.port, Version::V311).await;
    for n in 0..MESSAGES {
        publisher.publish("work", n.to_string(), 1, false).await;
    }
    publisher.publish("end", "", 1, false).await;
    let mut got = Vec::new();
    for mut worker in workers {
        loop {
            match worker.message().await {
                Message { topic, .. } if topic == "end" => break,
                Message { payload, .. } => got.push(payload.parse::<usize>().unwrap()),
            }
        }
    }
    got.sort_unstable();
    assert_eq!(got, (0..MESSAGES).collect::<Vec<_>>());
}

pub async fn a_second_connection_with_the_same_id_replaces_the_first(start: Start) {
    let broker = start(Setup::default()).await;
    for version in VERSIONS {
        let options = Options { id: Some(format!("twin-{version:?}")), ..Options::default() };
        let mut first = Client::connect(broker.port, version, options.clone()).await;
        let mut second = Client::connect(broker.port, version, options).await;
        first.closed().await;
        assert!(second.subscribe("/switch/cmd/root", 1).await);
    }
}

pub async fn one_message_reaches_five_hundred_subscribers(start: Start) {
    const SUBSCRIBERS: usize = 500;
    raise_open_file_limit();
    let broker = start(Setup::default()).await;
    let mut subscribers = Vec::new();
    for n in 0..SUBSCRIBERS {
        let mut subscriber = Client::anonymous(broker.port, VERSIONS[n % 2]).await;
        assert!(subscriber.subscribe("/switch/cmd/root", 1).await);
        subscribers.push(subscriber);
    }
    let mut operator = Client::anonymous(broker.port, Version::V311).await;
    for n in 0..4_u8 {
        operator.publish("/switch/cmd/root", n.to_string(), n % 2, false).await;
        for subscriber in &mut subscribers {
            let expected = message("/switch/cmd/root", &n.to_string(), n % 2, false);
            assert_eq!(subscriber.message().await, expected);
        }
    }
}

pub async fn a_message_near_the_packet_limit_passes_and_an_oversized_one_ends_only_its_sender(start: Start) {
    let broker = start(Setup::default()).await;
    let mut subscriber = Client::anonymous(broker.port, Version::V5).await;
    assert!(subscriber.subscribe("big", 0).await);

    let mut decent = raw::connect(broker.port).await;
    let largest = raw::publish_packet("big", MAX_PACKET_BYTES - 4);
    decent.write_all(&largest).await.unwrap();
    assert_eq!(subscriber.message().await.payload.len(), largest.len() - 4 - 2 - "big".len());

    let mut hostile = raw::connect(broker.port).await;
    // The broker may hang up before it has read everything.
    let _ = hostile.write_all(&raw::publish_packet("big", MAX_PACKET_BYTES + 5)).await;
    raw::closed(hostile).await;

    let mut publisher = Client::anonymous(broker.port, Version::V311).await;
    publisher.publish("big", "marker", 1, false).await;
    assert_eq!(subscriber.message().await.payload, "marker");
}

pub async fn garbage_ends_only_the_connection_that_sent_it(start: Start) {
    let broker = start(Setup::default()).await;
    let mut bystander = Client::anonymous(broker.port, Version::V311).await;
    assert!(bystander.subscribe("still/here", 1).await);
    let garbage: [&[u8]; 6] = [
        // The start of a TLS handshake: read as MQTT, a second CONNECT (§3.1).
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC],
        // A length of five bytes (§2.2.3 allows four).
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        // PUBLISH with both QoS bits set (§3.3.1.2).
        &[0x36, 5, 0, 1, b'a', 0, 1],
        // SUBSCRIBE with the wrong reserved bits (§3.8.1).
        &[0x80, 6, 0, 1, 0, 1, b'a', 0],
        // A topic name that is no UTF-8 (§1.5.3).
        &[0x30, 4, 0, 2, 0xC0, 0xAF],
        // A packet type that does not exist in 3.1.1.
        &[0xF0, 0],
    ];
    for bytes in garbage {
        let mut hostile = raw::connect(broker.port).await;
        hostile.write_all(bytes).await.unwrap();
        raw::closed(hostile).await;
    }
    let mut publisher = Client::anonymous(broker.port, Version::V5).await;
    publisher.publish("still/here", "yes", 1, false).await;
    assert_eq!(bystander.message().await.payload, "yes");
}

pub async fn a_wrong_password_or_none_is_refused(start: Start) {
    let broker = start(Setup { users: true, ..Setup::default() }).await;
    for version in VERSIONS {
        for login in [None, Some((OPERATOR.0, "a guess")), Some(("nobody", OPERATOR.1))] {
            let options = Options { login, ..Options::default() };
            let refused = Client::try_connect(broker.port, version, options).await;
            assert!(refused.is_err(), "{login:?} was let in");
        }
        let options = Options { login: Some(OPERATOR), ..Options::default() };
        Client::connect(broker.port, version, options).await.goodbye().await;
    }
}

pub async fn rules_decide_who_writes_and_reads_which_topic(start: Start) {
    let broker = start(Setup { users: true, ..Setup::default() }).await;
    for version in VERSIONS {
        let login = |login| Options { login: Some(login), ..Options::default() };
        let mut operator = Client::connect(broker.port, version, login(OPERATOR)).await;
        let mut node = Client::connect(broker.port, version, login(ROOT_NODE)).await;
        assert!(node.subscribe("/switch/cmd/root", 1).await);
        assert!(operator.subscribe("/switch/ota/#", 1).await);
        // Whether a forbidden subscription is answered with a refusal or with silence is the broker's choice.
        node.subscribe("/switch/ota/#", 1).await;
        operator.subscribe("/switch/cmd/#", 1).await;

        node.publish("/switch/cmd/root", "forged trigger", 1, false).await;
        operator.publish("/switch/cmd/root", "trigger", 1, false).await;
        assert_eq!(node.message().await.payload, "trigger");

        operator.publish("/switch/ota/1", "forged report", 1, false).await;
        node.publish("/switch/ota/1", "report", 1, false).await;
        assert_eq!(operator.message().await.payload, "report");

        operator.publish("/switch/cmd/root", "marker", 1, false).await;
        assert_eq!(node.message().await.payload, "marker", "the node read a report");
    }
}

pub async fn a_last_will_needs_the_right_to_write_its_topic(start: Start) {
    let broker = start(Setup { users: true, ..Setup::default() }).await;
    for version in VERSIONS {
        let mut node =
            Client::connect(broker.port, version, Options { login: Some(ROOT_NODE), ..Options::default() })
                .await;
        assert!(node.subscribe("/switch/cmd/root", 1).await);
        let will = Some(("/switch/cmd/root", "forged trigger", false));
        let forger = Options { login: Some(ROOT_NODE), will, ..Options::default() };
        // Refusing the connection is as good as dropping the will.
        if let Ok(forger) = Client::try_connect(broker.port, version, forger).await {
            forger.vanish();
        }
        let will = Some(("/switch/cmd/root", "allowed will", false));
        let operator = Options { login: Some(OPERATOR), will, ..Options::default() };
        Client::connect(broker.port, version, operator).await.vanish();
        assert_eq!(node.message().await.payload, "allowed will");
    }
}

pub async fn tls_clients_and_plain_clients_share_one_broker(start: Start) {
    let broker = start(Setup { tls: true, ..Setup::default() }).await;
    let tls = broker.tls.as_ref().unwrap();
    for version in VERSIONS {
        let options = Options { tls: Some(tls.client.clone()), ..Options::default() };
        let mut secure = Client::connect(tls.port, version, options).await;
        let mut plain = Client::anonymous(broker.port, version).await;
        assert!(secure.subscribe("/switch/cmd/root", 1).await);
        assert!(plain.subscribe("/switch/ota/+", 1).await);
        plain.publish("/switch/cmd/root", "trigger", 1, false).await;
        assert_eq!(secure.message().await.payload, "trigger");
        secure.publish("/switch/ota/1", "report", 1, false).await;
        assert_eq!(plain.message().await.payload, "report");
    }
}

/// Both ends of 500 connections may be in this process; many systems start with 1,024 open files.
fn raise_open_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
