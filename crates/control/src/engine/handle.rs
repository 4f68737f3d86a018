//! What others may ask of the engine.

use crate::store::StoreError;
use crate::store::event::EventRow;
use crate::store::node::MeshRow;
use crate::store::release::ReleaseRow;
use rootcast_rollout::{Assignment, Fleet, Spec};
use rootcast_wire::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Why an order is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// It makes no sense as things are.
    #[error("{0}")]
    Conflict(String),
    /// What is asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The revision is another one by now.
    #[error("it has changed since you looked: its revision is {0} now")]
    Changed(i64),
    /// It cannot be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine has ended.
    #[error("the control plane is shutting down")]
    Ended,
}

/// A rollout to begin.
#[derive(Clone, Debug)]
pub struct NewRollout {
    /// What the operator calls it.
    pub name: String,
    /// Its release.
    pub release: String,
    /// What is asked for; checked already.
    pub spec: Spec,
    /// Who asks.
    pub by: String,
}

/// A rollout tried on paper.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Who would get what, and who not.
    pub assignment: Assignment,
    /// The fleet that it is for.
    pub fleet: Fleet,
    /// Its release.
    pub release: ReleaseRow,
    /// How long limits on bytes a second stretch it at least, from its first start to its last.
    pub least_time: Option<Duration>,
}

/// What an operator does with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Trigger nobody more.
    Pause,
    /// Go on.
    Resume,
    /// End it: nobody more is triggered, who has not switched drops it.
    Abort,
    /// Try again with those that did not make it; with `force`, even an image that failed its trial there.
    Retry {
        /// See there.
        force: bool,
    },
}

/// How the engine stands with the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is a connection to the broker.
    pub is_connected: bool,
    /// Whether the last round could be written down, as far as there was something to write.
    pub can_write: bool,
    /// Nodes known.
    pub nodes: usize,
    /// Of them, present.
    pub online: usize,
    /// Rollouts in which something may still happen.
    pub open_rollouts: usize,
    /// Updates that are going on.
    pub in_flight: usize,
    /// Processes on this database, itself among them.
    pub processes: usize,
    /// Whether this one decides about rollouts as wholes; always where it is alone.
    pub leads: bool,
    /// Meshes that this one decides about, where there are several; else all.
    pub meshes: usize,
}

pub(super) type Reply<T> = oneshot::Sender<T>;

pub(super) enum Request {
    Fleet(Reply<Fleet>),
    Standing(Reply<Standing>),
    DryRun(String, Box<Spec>, Reply<Result<Tried, OrderError>>),
    Create(Box<NewRollout>, Reply<Result<String, OrderError>>),
    Order {
        rollout: String,
        order: Order,
        revision: Option<i64>,
        by: String,
        reply: Reply<Result<(), OrderError>>,
    },
    Mark {
        node: NodeId,
        name: Option<Option<String>>,
        tags: Option<BTreeSet<String>>,
        reply: Reply<Result<(), OrderError>>,
    },
    Forget(NodeId, Reply<Result<(), OrderError>>),
    Mesh(MeshRow, Reply<Result<(), OrderError>>),
    Stop(Reply<()>),
}

/// A way to ask the engine. Clones ask the same one.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) requests: mpsc::Sender<Request>,
    /// Weak: listeners are to notice that the engine has ended.
    pub(super) events: broadcast::WeakSender<EventRow>,
    /// Events are read from the store, where those of other processes are too.
    pub(super) is_shared: bool,
}

impl EngineHandle {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, OrderError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| OrderError::Ended)?;
        answer.await.map_err(|_| OrderError::Ended)
    }

    /// The fleet as known now.
    pub async fn fleet(&self) -> Result<Fleet, OrderError> {
        self.ask(Request::Fleet).await
    }

    /// How things stand.
    pub async fn standing(&self) -> Result<Standing, OrderError> {
        self.ask(Request::Standing).await
    }

    /// Who would get what of a release.
    pub async fn dry_run(&self, release: String, spec: Spec) -> Result<Tried, OrderError> {
        self.ask(|reply| Request::DryRun(release, Box::new(spec), reply)).await?
    }

    /// Begins a rollout and returns its id.
    pub async fn create(&self, new: NewRollout) -> Result<String, OrderError> {
        self.ask(|reply| Request::Create(Box::new(new), reply)).await?
    }

    /// Does something with a rollout; if a revision is given, only if it is still that one.
    pub async fn order(
        &self,
        rollout: &str,
        order: Order,
        revision: Option<i64>,
        by: &str,
    ) -> Result<(), OrderError> {
        let (rollout, by) = (rollout.to_owned(), by.to_owned());
        self.ask(|reply| Request::Order { rollout, order, revision, by, reply }).await?
    }

    /// Gives a node a name (`Some(None)` takes it away) and tags.
    pub async fn mark(
        &self,
        node: NodeId,
        name: Option<Option<String>>,
        tags: Option<BTreeSet<String>>,
    ) -> Result<(), OrderError> {
        self.ask(|reply| Request::Mark { node, name, tags, reply }).await?
    }

    /// Forgets a node.
    pub async fn forget(&self, node: NodeId) -> Result<(), OrderError> {
        self.ask(|reply| Request::Forget(node, reply)).await?
    }

    /// Gives a mesh a title and a zone.
    pub async fn put_mesh(&self, mesh: MeshRow) -> Result<(), OrderError> {
        self.ask(|reply| Request::Mesh(mesh, reply)).await?
    }

    /// Writes down what is not written yet, and ends.
    pub async fn stop(&self) {
        // If it has ended already, all the better.
        let _ = self.ask(Request::Stop).await;
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<EventRow> {
        match self.events.upgrade() {
            Some(events) => events.subscribe(),
            // A channel whose sender is gone: nothing more will happen.
            None => broadcast::channel(1).1,
        }
    }

    /// Tells listeners of an event that is written already.
    pub fn tell(&self, event: EventRow) {
        if self.is_shared {
            return;
        }
        // Nobody listening is no error.
        if let Some(events) = self.events.upgrade() {
            let _ = events.send(event);
        }
    }
}
