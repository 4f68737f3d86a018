//! Certificate files that change while the host runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::events::{HostEvent, Journal};
use crate::ServerIdentity;
use crate::identity::CurrentIdentity;

/// Looks at the files every `period` and takes them over when they changed. Files that are not usable (half written, key and certificate not
/// yet a pair) are reported and looked at again; the identity in use stays.
pub(crate) async fn watch_files(
    certificate: PathBuf,
    key: PathBuf,
    period: Duration,
    identity: Arc<CurrentIdentity>,
    journal: Arc<Journal>,
) {
    let mut known = stamps(&certificate, &key);
    let mut refused = None;
    loop {
        tokio::time::sleep(period).await;
        let found = stamps(&certificate, &key);
        if found == known {
            continue;
        }
        let loaded = ServerIdentity::from_files(&certificate, &key).and_then(|new| identity.replace(&new));
        match loaded {
            Ok(()) => {
                known = found;
                refused = None;
                tracing::info!(certificate = %certificate.display(), "new certificate in use");
                journal.tell(HostEvent::IdentityReloaded);
            }
            Err(error) => {
                let error = error.to_string();
                if refused.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "changed certificate files are not usable; the old certificate stays in use"
                    );
                    journal.tell(HostEvent::IdentityRefused { error: error.clone() });
                    refused = Some(error);
                }
            }
        }
    }
}

type Stamp = Option<(u64, SystemTime)>;

fn stamps(certificate: &PathBuf, key: &PathBuf) -> [Stamp; 2] {
    [certificate, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    })
}
