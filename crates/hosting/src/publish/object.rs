//! Object stores: put if absent (or replace), read back, compare, give the URL.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions,
    PutPayload,
};
use ring::digest::{Context, SHA256};

use super::artifact::Artifact;
use super::http::chain;
use super::lines::join_url;
use super::{
    Destination, OnProgress, Outcome, Progress, PublishError, PublishOptions, Stored, object_stores,
};
use crate::content::{digest_bytes, hex};

/// Larger files go up in parts of this size, each tried again by itself.
const PART_BYTES: usize = 5 << 20;
/// The longest a URL may be signed for: what AWS and Google allow.
const MAX_PRESIGN: Duration = Duration::from_secs(7 * 24 * 3600);

/// An opened bucket or container.
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) signer: Arc<dyn Signer>,
    /// What to call it in messages: `s3://bucket`.
    pub(super) place: String,
    /// Where its objects are on the web.
    pub(super) web: String,
    /// Why it could not sign a URL, if it cannot.
    pub(super) cannot_sign: Option<&'static str>,
}

pub(super) async fn store(
    artifact: &Artifact,
    destination: &Destination,
    options: &PublishOptions,
    progress: OnProgress<'_>,
) -> Result<Stored, PublishError> {
    if let Some(asked) = options.presign.filter(|asked| asked.is_zero() || *asked > MAX_PRESIGN) {
        return Err(PublishError::PresignTime { asked });
    }
    let (bucket, prefix) = object_stores::open(destination, options)?;
    if let (Some(_), Some(advice)) = (options.presign, bucket.cannot_sign) {
        return Err(PublishError::CannotPresign { place: bucket.place, advice });
    }
    let key = match prefix {
        "" => artifact.name.clone(),
        prefix => format!("{prefix}/{}", artifact.name),
    };
    let path = Path::from(key.as_str());
    let outcome = bucket.put(&path, artifact, options.replace, progress).await?;
    bucket.compare(&path, artifact, outcome).await?;

    let mut notes = Vec::new();
    let url = match (options.presign, &options.public_base) {
        (Some(time), _) => {
            notes.push(format!(
                "the URL is signed and valid for {} minutes only",
                time.as_secs().div_ceil(60)
            ));
            let signed = bucket.signer.signed_url(reqwest::Method::GET, &path, time).await;
            signed.map_err(|error| bucket.error(error))?.to_string()
        }
        (None, Some(base)) => join_url(base, &key),
        (None, None) => {
            notes.push(format!(
                "nodes can fetch this URL only if {} allows public reading; otherwise sign it (--presign)",
                bucket.place
            ));
            join_url(&bucket.web, &key)
        }
    };
    Ok(Stored { url: Some(url), outcome, notes })
}

impl Bucket {
    async fn put(
        &self,
        path: &Path,
        artifact: &Artifact,
        replace: bool,
        progress: OnProgress<'_>,
    ) -> Result<Outcome, PublishError> {
        // Stores without conditional writes exist: look first, so that only a race is left to them.
        if let Some(found) = self.sha256_of(path).await? {
            if found == artifact.sha256 {
                return Ok(Outcome::AlreadyThere);
            }
            if !replace {
                return Err(taken(artifact, &found));
            }
            self.upload(path, artifact, PutMode::Overwrite, progress)
                .await
                .map_err(|error| self.error(error))?;
            return Ok(Outcome::Replaced);
        }
        match self.upload(path, artifact, PutMode::Create, progress).await {
            Ok(()) => Ok(Outcome::Uploaded),
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                self.upload(path, artifact, PutMode::Overwrite, progress)
                    .await
                    .map_err(|error| self.error(error))?;
                Ok(Outcome::Uploaded)
            }
            // Someone else was faster, or an earlier try of ours arrived although its answer did not.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                match self.sha256_of(path).await? {
                    Some(found) if found != artifact.sha256 => Err(taken(artifact, &found)),
                    _ => Ok(Outcome::Uploaded),
                }
            }
            Err(error) => Err(self.error(error)),
        }
    }

    async fn upload(
        &self,
        path: &Path,
        artifact: &Artifact,
        mode: PutMode,
        progress: OnProgress<'_>,
    ) -> object_store::Result<()> {
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, artifact.content_type().to_owned()),
            // The name carries the version: caches may keep it for as long as they like.
            (Attribute::CacheControl, "public, max-age=31536000, immutable".to_owned()),
            (Attribute::Metadata("sha256".into()), artifact.sha256_hex()),
        ]);
        let total = artifact.bytes.len() as u64;
        if artifact.bytes.len() <= PART_BYTES {
            let payload = PutPayload::from_bytes(artifact.bytes.clone());
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            self.store.put_opts(path, payload, options).await?;
            progress(Progress { done: total, total });
            return Ok(());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = self.store.put_multipart_opts(path, options).await?;
        let mut rest = artifact.bytes.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(PART_BYTES));
            if let Err(error) = upload.put_part(PutPayload::from_bytes(part)).await {
                let _ = upload.abort().await;
                return Err(error);
            }
            progress(Progress { done: total - rest.len() as u64, total });
        }
        if let Err(error) = upload.complete().await {
            let _ = upload.abort().await;
            return Err(error);
        }
        Ok(())
    }

    /// SHA-256 of what is there, read in full: every store's own checksum is another.
    async fn sha256_of(&self, path: &Path) -> Result<Option<[u8; 32]>, PublishError> {
        let found = match self.store.get(path).await {
            Ok(found) => found.bytes().await,
            // A missing bucket answers like a missing object; the put tells them apart.
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = found.map_err(|error| self.error(error))?;
        let mut hash = Context::new(&SHA256);
        hash.update(&bytes);
        Ok(Some(digest_bytes(hash)))
    }

    async fn compare(&self, path: &Path, artifact: &Artifact, outcome: Outcome) -> Result<(), PublishError> {
        let found = self.sha256_of(path).await?;
        if found == Some(artifact.sha256) {
            return Ok(());
        }
        if outcome == Outcome::Uploaded {
            let _ = self.store.delete(path).await;
        }
        Err(PublishError::Checksum {
            name: artifact.name.clone(),
            found: found.map_or_else(|| "nothing".to_owned(), |found| hex(&found)),
            expected: artifact.sha256_hex(),
        })
    }

    /// Sorts a store's error by what can be done about it.
    fn error(&self, error: Error) -> PublishError {
        let place = self.place.clone();
        let detail = chain(&error);
        let says = |words: &[&str]| words.iter().any(|word| detail.contains(word));
        match &error {
            Error::NotFound { .. } => PublishError::Missing { place, detail },
            Error::Unauthenticated { .. } => PublishError::WrongCredentials { place, detail },
            Error::PermissionDenied { .. }
                if says(&[
                    "InvalidAccessKeyId",
                    "SignatureDoesNotMatch",
                    "AuthenticationFailed",
                    "ExpiredToken",
                ]) =>
            {
                PublishError::WrongCredentials { place, detail }
            }
            Error::PermissionDenied { .. } => PublishError::Forbidden { place, detail },
            Error::Generic { .. }
                if says(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) =>
            {
                PublishError::Missing { place, detail }
            }
            Error::Generic { .. }
                if says(&["169.254.169.254", "metadata.google.internal", "WebIdentity"]) =>
            {
                PublishError::NoCredentials { place, advice: detail }
            }
            Error::Generic { .. }
                if says(&["error sending request", "retries", "Connect", "connection", "timed out"]) =>
            {
                PublishError::Network { place, detail }
            }
            _ => PublishError::Refused { place, detail },
        }
    }
}

fn taken(artifact: &Artifact, found: &[u8; 32]) -> PublishError {
    PublishError::NameTaken { name: artifact.name.clone(), found: hex(found), ours: artifact.sha256_hex() }
}
