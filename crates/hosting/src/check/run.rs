//! [`check`]: all steps in order.

use std::time::{SystemTime, UNIX_EPOCH};

use rootcast_node::fetch::{Url, url_error_code};
use rootcast_wire::ErrorCode;
use rootcast_wire::trigger::{UrlError, check_url};

use super::options::CheckOptions;
use super::report::{CheckReport, Notes, StepId, warning};
use super::{download, estimate, image, release};
use crate::release_files::is_release;

/// Query parameters that mean: this URL is signed and will end.
const SIGNATURE_PARAMETERS: [&str; 4] = ["X-Amz-Signature=", "X-Goog-Signature=", "sig=", "Signature="];

/// Looks at a URL as a node would, step by step. Never fails: what is wrong stands in the report.
pub async fn check(url: &str, options: &CheckOptions) -> CheckReport {
    let mut report = CheckReport::new(url);
    let mut notes = Notes { report: &mut report, hop: 0, file: None };
    let Some(parsed) = note_url(url, &mut notes) else { return report };
    let Some(downloaded) = download::download(parsed.clone(), options, &mut notes).await else {
        return report;
    };
    if downloaded.whole {
        download::try_resume(&downloaded, options, &mut notes).await;
    }
    let size = if is_release(&downloaded.content) {
        release::judge(&parsed, &downloaded, options, &mut notes).await
    } else {
        image::judge(&downloaded, options, &mut notes);
        Some(downloaded.content.len() as u64)
    };
    if let (Some(transfer), Some(size)) = (report.transfer.filter(|_| report.accepted), size) {
        let rate = transfer.bytes * 1000 / transfer.millis.max(1);
        report.estimate = Some(estimate::estimate(size, options.nodes, rate));
    }
    report
}

/// The time certificates are checked for.
pub(super) fn unix_now(options: &CheckOptions) -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    options.now.unwrap_or_else(now)
}

fn note_url(url: &str, notes: &mut Notes<'_>) -> Option<Url> {
    // As the trigger's parser sees it, then as the HTTP client does.
    if let Err(error) = check_url(url) {
        let code = match error {
            UrlError::TooLong(_) => ErrorCode::UrlTooLong,
            UrlError::Scheme => ErrorCode::UrlSchemeUnsupported,
            UrlError::Invalid(_) => ErrorCode::UrlInvalid,
        };
        notes.fail(StepId::Url, code, format!("{error}"));
        return None;
    }
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => {
            notes.fail(StepId::Url, url_error_code(error), "host, port or a character is wrong");
            return None;
        }
    };
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let length = url.len();
    if !parsed.is_https() {
        notes.warn(
            StepId::Url,
            warning::PLAIN_HTTP,
            format!("{length} bytes, http: nothing proves that the image comes from this server"),
            "use https, or see that images are signed and nodes trust the key",
        );
    } else if SIGNATURE_PARAMETERS.iter().any(|parameter| query.contains(parameter)) {
        notes.warn(
            StepId::Url,
            warning::SIGNED_URL,
            format!("{length} bytes, https, signed"),
            "see that the signature lasts longer than the rollout: nodes that come later get 403",
        );
    } else {
        notes.ok(StepId::Url, format!("{length} bytes, https"));
    }
    Some(parsed)
}
