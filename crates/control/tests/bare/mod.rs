//! A control plane without a network: what would come from a broker is said to it, and what it publishes goes nowhere.
#![allow(dead_code, reason = "each test uses some of it")]

use rootcast_control::clock::Clock;
use rootcast_control::engine::{Engine, EngineParts, Wires};
use rootcast_control::metrics::Metrics;
use rootcast_control::mqtt::{Event, Received};
use rootcast_control::service::Service;
use rootcast_control::service::tokens::{Role, make_token};
use rootcast_control::store::{Place, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

const FILES_URL: &str = "https://localhost:8443/";

pub struct Bare {
    pub service: Service,
    pub wires: Wires,
    /// A token for each role.
    pub tokens: BTreeMap<&'static str, String>,
    pub folder: tempfile::TempDir,
}

impl Bare {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let mut tokens = BTreeMap::new();
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let (token, row) = make_token(role.name(), role, Clock::start().now()).unwrap();
            store.add_token(&row).await.unwrap();
            tokens.insert(role.name(), token);
        }
        Self::on(store, tokens, folder).await
    }

    /// Another process on the same folder, after this one has ended.
    pub async fn restart(self) -> Self {
        self.service.engine.stop().await;
        let store = open(&self.folder).await;
        Self::on(store, self.tokens, self.folder).await
    }

    async fn on(store: Store, tokens: BTreeMap<&'static str, String>, folder: tempfile::TempDir) -> Self {
        let (clock, metrics) = (Clock::start(), Arc::new(Metrics::default()));
        let files_url = FILES_URL.to_owned();
        let parts = EngineParts { store: store.clone(), clock, metrics: metrics.clone(), files_url };
        let (engine, wires, _) = Engine::start(parts).await.unwrap();
        let service = Service {
            store,
            engine,
            clock,
            metrics,
            files: Arc::new(folder.path().to_owned()),
            files_url: FILES_URL.into(),
            upload_url: FILES_URL.into(),
            ca: None,
        };
        Self { service, wires, tokens, folder }
    }

    /// Something that the broker's connection tells.
    pub async fn tell(&self, event: Event) {
        self.wires.heard.events.send(Received::now(event)).await.unwrap();
    }

    /// A message of a node.
    pub async fn hear(&self, topic: &str, payload: &str) {
        let (topic, payload) = (topic.to_owned(), payload.as_bytes().to_vec());
        self.tell(Event::Message { topic, payload, retained: false }).await;
    }

    /// Lets it hear of a mesh of a root and two leaves: nodes 1, 2 and 3.
    pub async fn hear_of_mesh(&self, prefix: &str) {
        self.tell(Event::Back).await;
        let running = "11".repeat(32);
        for (id, root, layer) in [(1, 1, 1), (2, 0, 2), (3, 0, 2)] {
            let status = format!(
                r#"{{"deviceId":{id},"type":"switch","isRoot":{root},"parentId":1,"meshLayer":{layer},"uptime":100,"chip":5,"version":"1.0.0","running":"{running}","rootcast":1}}"#
            );
            self.hear(&format!("{prefix}/switch/state/root"), &status).await;
        }
    }
}

async fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&Place::File(folder.path().join("test.db"))).await.unwrap()
}
