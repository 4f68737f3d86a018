//! Why something asked for is not done.

use crate::engine::OrderError;
use crate::id::NoRandomness;
use crate::store::StoreError;

/// Why something asked for is not done.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// It makes no sense as things are.
    #[error("{0}")]
    Conflict(String),
    /// The thing has changed since; this is its revision now.
    #[error("it has changed since you looked: its revision is {0} now")]
    Changed(i64),
    /// It is well formed and asks for what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The database refuses, or is gone.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else is not there: the disk, or the control plane itself, which ends.
    #[error("{0}")]
    Unavailable(String),
}

impl From<OrderError> for ServiceError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::NotFound(what) => Self::NotFound(what),
            OrderError::Conflict(why) => Self::Conflict(why),
            OrderError::Invalid(why) => Self::Invalid(why),
            OrderError::Changed(revision) => Self::Changed(revision),
            OrderError::Store(error) => Self::Store(error),
            OrderError::Ended => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<NoRandomness> for ServiceError {
    fn from(error: NoRandomness) -> Self {
        Self::Unavailable(error.to_string())
    }
}
