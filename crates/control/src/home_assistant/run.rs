//! Says what changed, and hears the install button.

use super::entity::{self, EntityTopics, INSTALL_FILTER, Offer, PAYLOAD_INSTALL, State};
use crate::engine::planner_release;
use crate::mqtt::{BrokerError, Endpoint, Event, Link, Trust};
use crate::service::nodes::NodeView;
use crate::service::releases::Before;
use crate::service::rollouts::RolloutRequest;
use crate::service::{Service, ServiceError};
use rootcast_rollout::{Node, Phase, Release, Selection, Spec, Wave, WaveSize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_secs(2);
/// Pauses between attempts to reach the broker: doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Releases that are looked at, newest first.
const RELEASES: u32 = 100;
/// In whose name the install button begins rollouts.
const BY: &str = "Home Assistant";

/// How it is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Home Assistant's broker: most often the meshes' own.
    pub broker: Endpoint,
    /// Whose certificates it may have.
    pub trust: Trust,
    /// Where Home Assistant looks for entities.
    pub prefix: String,
    /// How long a node has to stay healthy before an update counts, in seconds.
    pub soak_s: u32,
}

/// The bridge, running. Dropping it ends it without a word.
pub struct HomeAssistant {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HomeAssistant {
    /// Begins to say what there is; a broker that is not there is tried again.
    pub fn start(service: Service, options: Options) -> Self {
        let (stop, stopped) = watch::channel(false);
        let bridge = Bridge { service, options, said: BTreeMap::new(), rollouts: BTreeMap::new() };
        Self { stop, task: tokio::spawn(bridge.run(stopped)) }
    }

    /// Says that every entity is unavailable, and ends.
    pub async fn stop(self) {
        // If it has ended already, all the better.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

struct Bridge {
    service: Service,
    options: Options,
    /// What was last said, by topic.
    said: BTreeMap<String, String>,
    /// Rollouts that install buttons began, by node, until they have ended.
    rollouts: BTreeMap<u64, String>,
}

impl Bridge {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let (mut pause, longest) = PAUSES;
        let mut link = loop {
            let filters = [INSTALL_FILTER.to_owned()];
            match Link::open(&self.options.broker, &self.options.trust, &filters).await {
                Ok(link) => break link,
                Err(error) => {
                    tracing::warn!(%error, "no connection to Home Assistant's broker; trying again")
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                _ = stopped.changed() => return,
            }
        };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    if let Err(error) = self.say(&link).await {
                        tracing::warn!(error, "Home Assistant was not told; trying again");
                    }
                }
                event = link.next() => match event {
                    // A button that the broker kept was pressed some other time.
                    Event::Message { topic, payload, retained: false } => self.press(&topic, &payload).await,
                    Event::Message { .. } | Event::Oversized { .. } | Event::Lost => {}
                    // Another broker, perhaps, or one that forgot: everything again.
                    Event::Back => self.said.clear(),
                },
                _ = stopped.changed() => break,
            }
        }
        let topics: Vec<String> =
            self.said.keys().filter(|topic| topic.ends_with("/availability")).cloned().collect();
        for topic in topics {
            // The broker may have gone first.
            if link.publisher().publish_retained(&topic, b"offline").await.is_err() {
                break;
            }
        }
        link.close().await;
    }

    /// Whether this process speaks: where there are several, the one that decides about rollouts does.
    async fn leads(&self) -> bool {
        self.service.standing().await.is_ok_and(|standing| standing.leads)
    }

    /// Says what is not as it was last said.
    async fn say(&mut self, link: &Link) -> Result<(), String> {
        if !self.leads().await {
            // Another one speaks; should this one have to, it says everything anew.
            self.said.clear();
            return Ok(());
        }
        let words = |error: ServiceError| error.to_string();
        let nodes = self.service.all_nodes().await.map_err(words)?;
        let releases = self.releases().await.map_err(words)?;
        self.forget_ended().await.map_err(words)?;
        let mut roots = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.root) {
            roots.entry(node.mesh.clone()).or_insert(node.id);
        }
        let mut wanted = BTreeMap::new();
        for node in &nodes {
            let topics = EntityTopics::of(node.id, &self.options.prefix);
            let discovery = entity::discovery(node, roots.get(&node.mesh).copied(), &self.options.prefix);
            let availability = if node.online { "online" } else { "offline" };
            wanted.insert(
                topics.discovery,
                serde_json::to_string(&discovery).map_err(|error| error.to_string())?,
            );
            wanted.insert(topics.availability, availability.to_owned());
            if let Some(state) = self.state(node, &releases) {
                wanted
                    .insert(topics.state, serde_json::to_string(&state).map_err(|error| error.to_string())?);
            }
        }
        // An empty message takes back what was said of a node that is no more.
        for topic in self.said.keys() {
            if !wanted.contains_key(topic) {
                wanted.insert(topic.clone(), String::new());
            }
        }
        for (topic, payload) in wanted {
            if self.said.get(&topic) == Some(&payload) {
                continue;
            }
            let publisher = link.publisher();
            publisher
                .publish_retained(&topic, payload.as_bytes())
                .await
                .map_err(|error: BrokerError| error.to_string())?;
            match payload.is_empty() {
                true => self.said.remove(&topic),
                false => self.said.insert(topic, payload),
            };
        }
        Ok(())
    }

    fn state(&self, node: &NodeView, releases: &[(Offer, Release)]) -> Option<State> {
        let offer = offer(node, releases);
        let step = node.state.as_deref().and_then(rootcast_wire::UpdateState::from_name);
        let is_updating = step.is_some_and(|step| !step.is_final()) || self.rollouts.contains_key(&node.id);
        let progress = is_updating.then(|| node.progress.and_then(|it| u8::try_from(it).ok()).unwrap_or(0));
        entity::state(node, offer, progress)
    }

    /// Releases, newest first, as offers and as the planner sees them.
    async fn releases(&self) -> Result<Vec<(Offer, Release)>, ServiceError> {
        let page = self.service.releases(&Before { before: None, limit: Some(RELEASES) }).await?;
        let mut releases = Vec::new();
        for view in page.items {
            let images = self.service.store.images(&view.id).await?;
            let release = planner_release(&view.version, &images);
            releases.push((Offer { release: view.id, version: view.version, notes: view.notes }, release));
        }
        Ok(releases)
    }

    async fn forget_ended(&mut self) -> Result<(), ServiceError> {
        for (node, rollout) in self.rollouts.clone() {
            let is_over = match self.service.rollout(&rollout).await {
                Ok(view) => Phase::from_name(&view.phase).is_none_or(Phase::is_over),
                Err(ServiceError::NotFound(_)) => true,
                Err(error) => return Err(error),
            };
            if is_over {
                self.rollouts.remove(&node);
            }
        }
        Ok(())
    }

    /// Somebody pressed an install button.
    async fn press(&mut self, topic: &str, payload: &[u8]) {
        let Some(node) = EntityTopics::node_of_install(topic) else { return };
        if payload != PAYLOAD_INSTALL.as_bytes() {
            tracing::warn!(topic, "not what an install button sends");
            return;
        }
        // Every process hears the button; one of them acts.
        if !self.leads().await {
            return;
        }
        match self.install(node).await {
            Ok(Some(rollout)) => tracing::info!(node, rollout, "installing, as asked for by Home Assistant"),
            Ok(None) => tracing::info!(node, "nothing to install, or it is going on"),
            Err(error) => tracing::warn!(node, %error, "cannot install"),
        }
    }

    async fn install(&mut self, node: u64) -> Result<Option<String>, ServiceError> {
        self.forget_ended().await?;
        if self.rollouts.contains_key(&node) {
            return Ok(None);
        }
        let view = self.service.node(rootcast_wire::NodeId(node)).await?;
        let releases = self.releases().await?;
        let Some(offer) = offer(&view, &releases) else { return Ok(None) };
        let spec = Spec {
            selection: Selection { nodes: vec![node], ..Selection::default() },
            waves: vec![Wave::of(WaveSize::Rest)],
            soak_s: self.options.soak_s,
            ..Spec::default()
        };
        let name = format!("{} from Home Assistant", offer.version);
        let request = RolloutRequest { release: offer.release.clone(), name, spec };
        let rollout = self.service.create_rollout(request, BY).await?;
        self.rollouts.insert(node, rollout.id.clone());
        Ok(Some(rollout.id))
    }
}

/// The newest release that has an image for a node.
fn offer<'a>(node: &NodeView, releases: &'a [(Offer, Release)]) -> Option<&'a Offer> {
    let node = Node {
        mesh: node.mesh.clone(),
        node_type: node.node_type.clone(),
        chip: node.chip.and_then(|chip| u16::try_from(chip).ok()),
        version: None,
        running: None,
        is_root: node.root,
        parent: None,
        layer: None,
        last_seen: rootcast_rollout::Moment(0),
        online: node.online,
        tags: node.tags.clone(),
        slot_bytes: None,
        busy_with: None,
    };
    releases.iter().find(|(_, release)| release.variant_for(&node, false).is_ok()).map(|(offer, _)| offer)
}
