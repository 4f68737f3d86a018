//! Why the store cannot be used.

use std::path::PathBuf;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be made.
    #[error("the data folder {} cannot be made: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database's URL is none that is understood.
    #[error("a database is sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME; this URL has the scheme {0:?}")]
    Scheme(String),
    /// The database was written by a newer Rootcast, or its schema was changed by hand.
    #[error("the database's schema does not fit this version of Rootcast: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// The database refuses, or is gone.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Another process, or an operator through one, changed a rollout in the meantime: nothing was written.
    #[error("rollout {0} was changed in the meantime")]
    Changed(String),
    /// Another process has just begun a rollout to one of these nodes: nothing was written.
    #[error("node {node}: rollout {rollout} has it already")]
    Taken {
        /// The node's id.
        node: i64,
        /// The rollout that has it.
        rollout: String,
    },
    /// This process was silent for too long: its meshes belong to others now, and nothing was written.
    #[error("this process was silent for too long: its meshes belong to others now")]
    Fenced,
    /// A row holds what no Rootcast wrote.
    #[error("the database holds a {what} that cannot be read: {value:?}")]
    Content {
        /// What.
        what: &'static str,
        /// The value.
        value: String,
    },
}
