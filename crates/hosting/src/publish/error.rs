//! [`PublishError`]: why something was not published. Nothing is half-published after any of them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rootcast_image::ImageError;

/// One variant a cause; the text says what to do where that is not obvious.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The destination is none of the forms that exist.
    #[error(
        "{given:?} is not a destination: {reason}; use a folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
         github://owner/repo@tag or https://host/path"
    )]
    Destination {
        /// The destination as given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file to publish cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any chip's flash.
    #[error("{path} has {found} bytes; an image has at most {limit}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The file changed while it was read or uploaded.
    #[error("{path} changed while it was being published: let the build finish, then publish again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A `.bin` that is not an app image that nodes could install.
    #[error("{path} is not an image that nodes can install: {error}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ImageError,
    },
    /// A release that cannot be read.
    #[error("{path} is not a release that nodes can read: {detail}")]
    NotARelease {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A release and the files given with it do not belong together. Nothing was uploaded.
    #[error("{release} refers to {uri}: {reason}")]
    ReleaseFile {
        /// The release.
        release: PathBuf,
        /// What it refers to.
        uri: String,
        /// What is wrong with that.
        reason: String,
    },
    /// Two of the files would have the same name.
    #[error("two of the files would be called {name}: give one a name or version of its own")]
    SameName {
        /// The name.
        name: String,
    },
    /// Some files of a set are there, and one failed. What was to lead to them was not published.
    #[error("{failed} was not published ({} before it {}): {error}", done.join(", "), if done.len() == 1 { "is there" } else { "are there" })]
    Partly {
        /// Names that are there.
        done: Vec<String>,
        /// The name that failed.
        failed: String,
        /// Why.
        error: Box<PublishError>,
    },
    /// Nothing says which version this is.
    #[error("{path} does not say its version: give one with --version")]
    NoVersion {
        /// The file.
        path: PathBuf,
    },
    /// A name or version that cannot be part of a file name.
    #[error("{text:?} cannot be used in a file name: letters, digits, '.', '_' and '-' can")]
    BadName {
        /// The text as given.
        text: String,
    },
    /// There is other content under this name.
    #[error(
        "{name} is already there with other content (sha256 {found}, this one {ours}): \
         give the new build a new version, or replace it with --replace"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// What is there, as far as known.
        found: String,
        /// What was to be published.
        ours: String,
    },
    /// No credentials for this destination.
    #[error("no credentials for {place}: {advice}")]
    NoCredentials {
        /// The store.
        place: String,
        /// Where to put them.
        advice: String,
    },
    /// The destination does not accept the credentials.
    #[error("{place} does not accept the credentials: {detail}")]
    WrongCredentials {
        /// The store.
        place: String,
        /// What it said.
        detail: String,
    },
    /// The credentials are fine, but do not allow this.
    #[error("{place} does not allow this: {detail}")]
    Forbidden {
        /// The store.
        place: String,
        /// What it said.
        detail: String,
    },
    /// The bucket, container, repository or path does not exist.
    #[error("{place} does not exist: {detail}")]
    Missing {
        /// The bucket, container or repository.
        place: String,
        /// What the store said.
        detail: String,
    },
    /// The destination could not be reached, or the connection broke more often than it was tried again.
    #[error("{place} cannot be reached: {detail}")]
    Network {
        /// The store.
        place: String,
        /// What happened last.
        detail: String,
    },
    /// The destination refused for a reason of its own.
    #[error("{place} refused: {detail}")]
    Refused {
        /// The store.
        place: String,
        /// What it said.
        detail: String,
    },
    /// What was read back is not what was sent. It was removed again where possible.
    #[error("{name} was read back with sha256 {found}, expected {expected}: it is not published")]
    Checksum {
        /// The name.
        name: String,
        /// What was read back.
        found: String,
        /// What was sent.
        expected: String,
    },
    /// The folder cannot be written: full, read-only, not ours.
    #[error("cannot write into {path}: {source}")]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This destination cannot sign URLs.
    #[error("{place} cannot sign URLs: {advice}")]
    CannotPresign {
        /// The store.
        place: String,
        /// What would be needed.
        advice: &'static str,
    },
    /// The time for a signed URL is out of bounds.
    #[error("a URL can be signed for 1 second to 7 days, not for {} seconds", asked.as_secs())]
    PresignTime {
        /// The time asked for.
        asked: Duration,
    },
}
