//! Our access rules in the form `mqtt5` asks for them, and our limits in its configuration.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::broker::auth::{AllowAllAuthProvider, AuthProvider, AuthResult};
use mqtt5::broker::config::{BrokerConfig as Mqtt5Config, StorageConfig};
use mqtt5::broker::resource_monitor::ResourceLimits;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::{Access, AccessPolicy, BrokerLimits, ClientInfo, Login, TopicFilter};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Topic aliases one client may hold: a name of up to 64 KiB each.
const MAX_TOPIC_ALIASES: u16 = 16;

/// The policy as an `mqtt5` authentication provider.
pub(super) fn provider(policy: AccessPolicy) -> Arc<dyn AuthProvider> {
    let access: Option<Arc<dyn Access>> = match policy {
        AccessPolicy::Open => None,
        AccessPolicy::Users(users) => Some(Arc::new(users)),
        AccessPolicy::Hook(hook) => Some(hook),
    };
    Arc::new(Provider { access })
}

struct Provider {
    /// `None`: everybody may do everything, but for the broker's own topics.
    access: Option<Arc<dyn Access>>,
}

impl AuthProvider for Provider {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let Some(access) = &self.access else {
            return AllowAllAuthProvider.authenticate(connect, from);
        };
        let user = connect.username.as_deref();
        let login =
            Login { client_id: &connect.client_id, user, password: connect.password.as_deref(), from };
        let verdict = match (access.may_connect(&login), user) {
            (true, Some(user)) => AuthResult::success_with_user(user),
            (true, None) => AuthResult::success(),
            (false, _) => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
        };
        Box::pin(ready(Ok(verdict)))
    }

    fn authorize_publish<'a>(
        &'a self,
        client_id: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let client = ClientInfo { client_id, user };
        // Topics that begin with "$" are the broker's own (MQTT 5 §4.7.2).
        let allowed = !topic.starts_with('$')
            && self.access.as_ref().is_none_or(|access| access.may_publish(&client, topic));
        Box::pin(ready(allowed))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client_id: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let client = ClientInfo { client_id, user };
        let allowed = match &self.access {
            None => true,
            // A shared subscription reads what its filter reads: the rules speak of that one.
            Some(access) => TopicFilter::new(mqtt5::strip_shared_subscription_prefix(filter))
                .is_ok_and(|filter| access.may_subscribe(&client, &filter)),
        };
        Box::pin(ready(allowed))
    }
}

/// Our limits in `mqtt5`'s configuration. Its listeners, files and `$SYS` topics stay unused.
pub(super) fn configuration(limits: &BrokerLimits) -> Mqtt5Config {
    let queues = queue_limits(limits);
    let mut config = Mqtt5Config::new()
        .with_bind_addresses(Vec::new())
        .with_max_clients(limits.max_clients)
        .with_max_packet_size(limits.max_packet_bytes)
        .with_session_expiry(limits.max_session_age)
        .with_max_subscriptions_per_client(limits.max_subscriptions_per_client)
        .with_max_retained_messages(limits.max_retained_messages);
    config.topic_alias_maximum = MAX_TOPIC_ALIASES;
    config.server_receive_maximum = Some(limits.max_inflight_per_client);
    config.max_outbound_inflight = limits.max_inflight_per_client;
    config.client_channel_capacity = limits.max_queued_messages_per_client;
    config.sys_topics_enabled = false;
    config.storage_config = StorageConfig {
        max_queued_messages_per_client: queues.max_messages,
        max_queued_bytes_per_client: queues.max_bytes,
        ..StorageConfig::default()
    };
    config
}

pub(super) fn queue_limits(limits: &BrokerLimits) -> QueueLimits {
    QueueLimits {
        max_messages: limits.max_queued_messages_per_client,
        max_bytes: limits.max_queued_bytes_per_client,
    }
}

/// What is left to `mqtt5`'s own monitor; connections are counted by our permits.
pub(super) fn resource_limits(limits: &BrokerLimits) -> ResourceLimits {
    ResourceLimits {
        max_connections: limits.max_clients,
        max_connections_per_ip: limits.max_clients,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        ..ResourceLimits::default()
    }
}
