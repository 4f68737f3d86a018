//! Who may connect, and which topics a client may read and write.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use ring::hmac;
use ring::rand::SystemRandom;

use super::TopicFilter;

/// Who may use the broker.
#[derive(Clone)]
pub enum AccessPolicy {
    /// Every program on this machine, for every topic. Refused beyond loopback.
    Open,
    /// Named users with passwords and rules.
    Users(Users),
    /// A decision made elsewhere, for instance by the fleet registry.
    Hook(Arc<dyn Access>),
}

impl fmt::Debug for AccessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Users(users) => users.fmt(f),
            Self::Hook(_) => f.write_str("Hook"),
        }
    }
}

/// Decides on each connection, publication and subscription. Called on the broker's tasks: no waiting.
pub trait Access: Send + Sync + 'static {
    /// May this client connect?
    fn may_connect(&self, login: &Login<'_>) -> bool;
    /// May it publish to this topic? Asked for its last will too.
    fn may_publish(&self, client: &ClientInfo<'_>, topic: &str) -> bool;
    /// May it receive everything this filter matches?
    fn may_subscribe(&self, client: &ClientInfo<'_>, filter: &TopicFilter) -> bool;
}

/// What a client shows when it connects.
pub struct Login<'a> {
    /// The MQTT client identifier it chose.
    pub client_id: &'a str,
    /// The user name, if it gave one.
    pub user: Option<&'a str>,
    /// The password, if it gave one.
    pub password: Option<&'a [u8]>,
    /// Where it connects from.
    pub from: SocketAddr,
}

/// A client that was let in.
#[derive(Debug, Clone, Copy)]
pub struct ClientInfo<'a> {
    /// The MQTT client identifier it chose: a name, not a proof of identity.
    pub client_id: &'a str,
    /// The user name that its password proved.
    pub user: Option<&'a str>,
}

/// What a rule lets a user do with the topics it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAccess {
    /// Subscribe.
    Read,
    /// Publish.
    Write,
    /// Both.
    ReadWrite,
}

/// One line of a user's rights.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What may be done.
    pub access: RuleAccess,
    /// With which topics.
    pub topics: TopicFilter,
}

impl Rule {
    /// Lets a user subscribe to `topics`.
    pub fn read(topics: TopicFilter) -> Self {
        Self { access: RuleAccess::Read, topics }
    }

    /// Lets a user publish to `topics`.
    pub fn write(topics: TopicFilter) -> Self {
        Self { access: RuleAccess::Write, topics }
    }

    /// Lets a user subscribe and publish to `topics`.
    pub fn read_write(topics: TopicFilter) -> Self {
        Self { access: RuleAccess::ReadWrite, topics }
    }

    fn reads(&self) -> bool {
        matches!(self.access, RuleAccess::Read | RuleAccess::ReadWrite)
    }

    fn writes(&self) -> bool {
        matches!(self.access, RuleAccess::Write | RuleAccess::ReadWrite)
    }
}

/// Users with passwords; what no rule allows is forbidden.
///
/// Passwords are held as HMAC-SHA-256 tags under a key made at the start, so that the comparison takes
/// the same time however much of a guess is right, and no password lies in memory.
#[derive(Clone)]
pub struct Users {
    key: hmac::Key,
    users: BTreeMap<String, User>,
}

#[derive(Clone)]
struct User {
    password: hmac::Tag,
    rules: Vec<Rule>,
}

impl Users {
    /// Nobody yet: a broker with an empty table lets no one in.
    pub fn new() -> Result<Self, ring::error::Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self { key, users: BTreeMap::new() })
    }

    /// Adds a user, or replaces the one of that name.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: &str, rules: Vec<Rule>) -> Self {
        let password = hmac::sign(&self.key, password.as_bytes());
        self.users.insert(name.into(), User { password, rules });
        self
    }

    fn rules(&self, client: &ClientInfo<'_>) -> &[Rule] {
        client.user.and_then(|name| self.users.get(name)).map_or(&[], |user| &user.rules)
    }
}

impl Access for Users {
    fn may_connect(&self, login: &Login<'_>) -> bool {
        let (Some(name), Some(password)) = (login.user, login.password) else { return false };
        let Some(user) = self.users.get(name) else { return false };
        hmac::verify(&self.key, password, user.password.as_ref()).is_ok()
    }

    fn may_publish(&self, client: &ClientInfo<'_>, topic: &str) -> bool {
        self.rules(client).iter().any(|rule| rule.writes() && rule.topics.matches(topic))
    }

    fn may_subscribe(&self, client: &ClientInfo<'_>, filter: &TopicFilter) -> bool {
        self.rules(client).iter().any(|rule| rule.reads() && rule.topics.covers(filter))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Users").field(&self.users.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(filter: &str) -> TopicFilter {
        TopicFilter::new(filter).unwrap()
    }

    fn users() -> Users {
        let root = vec![Rule::read(topics("/switch/cmd/+")), Rule::write(topics("/switch/state/#"))];
        Users::new().unwrap().with_user("root-7", "correct horse", root)
    }

    fn login<'a>(user: Option<&'a str>, password: Option<&'a str>) -> Login<'a> {
        let from = "127.0.0.1:4000".parse().unwrap();
        Login { client_id: "c", user, password: password.map(str::as_bytes), from }
    }

    #[test]
    fn only_the_right_name_with_the_right_password_connects() {
        let users = users();
        assert!(users.may_connect(&login(Some("root-7"), Some("correct horse"))));
        assert!(!users.may_connect(&login(Some("root-7"), Some("correct horsE"))));
        assert!(!users.may_connect(&login(Some("root-7"), Some(""))));
        assert!(!users.may_connect(&login(Some("root-7"), None)));
        assert!(!users.may_connect(&login(Some("root-8"), Some("correct horse"))));
        assert!(!users.may_connect(&login(None, None)));
    }

    #[test]
    fn what_no_rule_allows_is_forbidden() {
        let users = users();
        let root = ClientInfo { client_id: "c", user: Some("root-7") };
        assert!(users.may_publish(&root, "/switch/state/root"));
        assert!(!users.may_publish(&root, "/switch/cmd/root"));
        assert!(users.may_subscribe(&root, &topics("/switch/cmd/root")));
        assert!(!users.may_subscribe(&root, &topics("/switch/#")));
        assert!(!users.may_subscribe(&root, &topics("#")));
        let nobody = ClientInfo { client_id: "c", user: None };
        assert!(!users.may_publish(&nobody, "/switch/state/root"));
    }

    #[test]
    fn debug_output_names_users_and_nothing_secret() {
        let text = format!("{:?}", AccessPolicy::Users(users()));
        assert!(text.contains("root-7"), "{text}");
        assert!(!text.contains("horse"), "{text}");
        assert!(!text.contains("Tag"), "{text}");
    }
}
