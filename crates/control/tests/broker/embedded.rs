//! What the embedded broker promises beyond the common cases.

use std::sync::Arc;
use std::time::Duration;

use rootcast_control::broker::{
    Access, AccessPolicy, BrokerConfig, BrokerError, BrokerLimits, ClientInfo, EmbeddedBroker, Login,
    TlsListener, TopicFilter, Users,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Options, Version};
use crate::peer::Identity;

fn with_limits(limits: BrokerLimits) -> BrokerConfig {
    BrokerConfig { limits, ..BrokerConfig::loopback() }
}

fn tls_listener(identity: &Identity) -> TlsListener {
    TlsListener {
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate_chain_pem: identity.certificate_pem.clone().into_bytes(),
        private_key_pem: identity.key_pem.clone().into_bytes(),
    }
}

#[tokio::test]
async fn an_open_broker_refuses_to_listen_beyond_loopback() {
    let mut config = BrokerConfig::loopback();
    config.listen = "0.0.0.0:0".parse().unwrap();
    let refused = EmbeddedBroker::start(config).await;
    assert!(matches!(refused, Err(BrokerError::OpenBeyondLoopback { .. })), "{refused:?}");

    let mut config = BrokerConfig::loopback();
    let mut tls = tls_listener(&Identity::new());
    tls.listen = "[::]:0".parse().unwrap();
    config.tls = Some(tls);
    let refused = EmbeddedBroker::start(config).await;
    assert!(matches!(refused, Err(BrokerError::OpenBeyondLoopback { .. })), "{refused:?}");
}

#[tokio::test]
async fn with_users_it_listens_beyond_loopback_and_lets_no_stranger_in() {
    let mut config = BrokerConfig::loopback();
    config.listen = "0.0.0.0:0".parse().unwrap();
    config.access = AccessPolicy::Users(Users::new().unwrap());
    let broker = EmbeddedBroker::start(config).await.unwrap();
    let stranger = Client::try_connect(broker.address().port(), Version::V5, Options::default()).await;
    assert!(stranger.is_err());
    broker.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let second = BrokerConfig { listen: first.address(), ..BrokerConfig::loopback() };
    match EmbeddedBroker::start(second).await {
        Err(error @ BrokerError::PortTaken { address }) => {
            assert_eq!(address, first.address());
            assert!(error.to_string().contains(&first.address().to_string()), "{error}");
        }
        other => panic!("expected PortTaken, got {other:?}"),
    }
}

#[tokio::test]
async fn an_unusable_certificate_is_an_error_before_any_client_comes() {
    let good = Identity::new();
    let other = Identity::new();
    let cases = [
        (String::new(), good.key_pem.clone()),
        (good.certificate_pem.clone(), "no key".to_string()),
        (good.certificate_pem.clone(), other.key_pem.clone()),
    ];
    for (certificate, key) in cases {
        let mut tls = tls_listener(&good);
        tls.certificate_chain_pem = certificate.into_bytes();
        tls.private_key_pem = key.into_bytes();
        let config = BrokerConfig { tls: Some(tls), ..BrokerConfig::loopback() };
        let refused = EmbeddedBroker::start(config).await;
        assert!(matches!(refused, Err(BrokerError::Certificate { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn limits_too_small_for_mqtt_are_refused() {
    let config = with_limits(BrokerLimits { max_packet_bytes: 10, ..BrokerLimits::default() });
    let refused = EmbeddedBroker::start(config).await;
    assert!(matches!(refused, Err(BrokerError::Limit { name: "max_packet_bytes", least: 1024, found: 10 })));
}

#[tokio::test]
async fn retained_messages_survive_a_restart_with_a_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let config = || BrokerConfig { data: Some(data.path().to_path_buf()), ..BrokerConfig::loopback() };
    let broker = EmbeddedBroker::start(config()).await.unwrap();
    let mut node = Client::anonymous(broker.address().port(), Version::V311).await;
    node.publish("/relay/state/7", "A1", 1, true).await;
    node.goodbye().await;
    broker.stop().await;

    let broker = EmbeddedBroker::start(config()).await.unwrap();
    let mut late = Client::anonymous(broker.address().port(), Version::V5).await;
    late.subscribe_only("/relay/state/7").await;
    let message = late.message().await;
    assert_eq!((message.payload.as_str(), message.retained), ("A1", true));
    broker.stop().await;
}

#[tokio::test]
async fn two_brokers_do_not_share_a_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let config = || BrokerConfig { data: Some(data.path().to_path_buf()), ..BrokerConfig::loopback() };
    let first = EmbeddedBroker::start(config()).await.unwrap();
    let second = EmbeddedBroker::start(config()).await;
    assert!(matches!(second, Err(BrokerError::Data { .. })), "{second:?}");
    first.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_count_against_the_limit_and_cannot_exceed_it() {
    let config = with_limits(BrokerLimits { max_clients: 2, ..BrokerLimits::default() });
    let broker = EmbeddedBroker::start(config).await.unwrap();
    let silent = TcpStream::connect(broker.address()).await.unwrap();
    let talking = Client::anonymous(broker.address().port(), Version::V5).await;
    let mut refused = TcpStream::connect(broker.address()).await.unwrap();
    // Closed at once; a reset counts too.
    assert!(!matches!(refused.read(&mut [0]).await, Ok(1..)));
    drop(silent);
    // The permit comes back once the broker has seen the end of the silent connection.
    while Client::try_connect(broker.address().port(), Version::V311, Options::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(talking);
}

#[tokio::test]
async fn a_client_that_stalls_its_tls_handshake_holds_up_nobody() {
    let identity = Identity::new();
    let config = BrokerConfig { tls: Some(tls_listener(&identity)), ..BrokerConfig::loopback() };
    let broker = EmbeddedBroker::start(config).await.unwrap();
    let address = broker.tls_address().unwrap();
    let mut stalled = TcpStream::connect(address).await.unwrap();
    // The first bytes of a ClientHello, and no more.
    stalled.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let options = Options { tls: Some(identity.client.clone()), ..Options::default() };
    Client::connect(address.port(), Version::V311, options).await.goodbye().await;
    drop(stalled);
}

#[tokio::test]
async fn nobody_publishes_to_the_brokers_own_topics() {
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let port = broker.address().port();
    let mut reader = Client::anonymous(port, Version::V5).await;
    assert!(reader.subscribe("$SYS/#", 1).await);
    assert!(reader.subscribe("marker", 1).await);
    let mut forger = Client::anonymous(port, Version::V311).await;
    forger.publish("$SYS/broker/version", "forged", 1, true).await;
    forger.publish("marker", "x", 1, false).await;
    assert_eq!(reader.message().await.topic, "marker");
}

/// Lets clients called `reader` read and everybody write.
struct OnlyReadersRead;

impl Access for OnlyReadersRead {
    fn may_connect(&self, login: &Login<'_>) -> bool {
        login.from.ip().is_loopback() && login.client_id != "banned"
    }

    fn may_publish(&self, _: &ClientInfo<'_>, _: &str) -> bool {
        true
    }

    fn may_subscribe(&self, client: &ClientInfo<'_>, filter: &TopicFilter) -> bool {
        client.client_id == "reader" && filter.as_str() == "work/+"
    }
}

#[tokio::test]
async fn a_hook_decides_on_each_topic_shared_subscriptions_included() {
    let config =
        BrokerConfig { access: AccessPolicy::Hook(Arc::new(OnlyReadersRead)), ..BrokerConfig::loopback() };
    let broker = EmbeddedBroker::start(config).await.unwrap();
    let port = broker.address().port();
    let named = |id: &str| Options { id: Some(id.into()), ..Options::default() };
    assert!(Client::try_connect(port, Version::V5, named("banned")).await.is_err());
    let mut reader = Client::connect(port, Version::V5, named("reader")).await;
    let mut other = Client::connect(port, Version::V5, named("other")).await;
    assert!(reader.subscribe("work/+", 1).await);
    assert!(!reader.subscribe("#", 1).await);
    assert!(!other.subscribe("work/+", 1).await);
    assert!(!other.subscribe("$share/group/work/+", 1).await);
    other.publish("work/1", "x", 1, false).await;
    assert_eq!(reader.message().await.topic, "work/1");
}

#[tokio::test]
async fn stopping_ends_connections_and_frees_the_port() {
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let address = broker.address();
    let mut client = Client::anonymous(address.port(), Version::V5).await;
    assert_eq!(broker.connected_clients(), 1);
    broker.stop().await;
    client.closed().await;
    let again = EmbeddedBroker::start(BrokerConfig { listen: address, ..BrokerConfig::loopback() }).await;
    assert_eq!(again.unwrap().address(), address);
}

#[tokio::test]
async fn dropping_the_broker_ends_connections_too() {
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let mut client = Client::anonymous(broker.address().port(), Version::V311).await;
    drop(broker);
    client.closed().await;
}
