//! Another Rootcast's host: `PUT` with a token, compared by the host's own digest.

use base64::Engine as _;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH};

use super::artifact::Artifact;
use super::http::{client, send};
use super::lines::join_url;
use super::{Outcome, PublishError, PublishOptions, Stored};
use crate::content::hex;

pub(super) async fn store(
    artifact: &Artifact,
    base: &str,
    options: &PublishOptions,
) -> Result<Stored, PublishError> {
    let place = base.to_owned();
    if options.presign.is_some() {
        return Err(PublishError::CannotPresign { place, advice: "it serves without a signature" });
    }
    let token = options.environment.get("ROOTCAST_TOKEN").ok_or_else(|| PublishError::NoCredentials {
        place: place.clone(),
        advice: "set ROOTCAST_TOKEN to the host's upload token".to_owned(),
    })?;
    let client = client(&place, &options.authorities)?;
    let url = join_url(base, &artifact.name);

    let head = send(&place, client.head(&url)).await?;
    let existing = match head.status() {
        status if status.is_success() => Some(digest(&head).unwrap_or_default()),
        StatusCode::NOT_FOUND => None,
        status => return Err(refusal(&place, status, String::new())),
    };
    let web =
        options.public_base.as_deref().map_or_else(|| url.clone(), |base| join_url(base, &artifact.name));
    let stored = |outcome| Ok(Stored { url: Some(web.clone()), outcome, notes: Vec::new() });
    match &existing {
        Some(found) if *found == artifact.sha256_hex() => return stored(Outcome::AlreadyThere),
        Some(found) if !options.replace => return Err(taken(artifact, found.clone())),
        _ => {}
    }
    let ours = base64::engine::general_purpose::STANDARD.encode(artifact.sha256);
    let mut put = client
        .put(&url)
        .bearer_auth(token)
        .header(CONTENT_TYPE, artifact.content_type())
        .header("Repr-Digest", format!("sha-256=:{ours}:"))
        .body(artifact.bytes.clone());
    if existing.is_none() {
        put = put.header(IF_NONE_MATCH, "*");
    }
    let response = send(&place, put).await?;
    let status = response.status();
    if status == StatusCode::PRECONDITION_FAILED {
        let head = send(&place, client.head(&url)).await?;
        return match digest(&head).unwrap_or_default() {
            // Our own earlier try arrived although its answer did not.
            found if found == artifact.sha256_hex() => stored(Outcome::Uploaded),
            found => Err(taken(artifact, found)),
        };
    }
    if !status.is_success() {
        return Err(refusal(&place, status, response.text().await.unwrap_or_default()));
    }
    let found = digest(&send(&place, client.head(&url)).await?).unwrap_or_default();
    if found != artifact.sha256_hex() {
        return Err(PublishError::Checksum {
            name: artifact.name.clone(),
            found,
            expected: artifact.sha256_hex(),
        });
    }
    stored(if existing.is_some() { Outcome::Replaced } else { Outcome::Uploaded })
}

/// The SHA-256 that the host says, in hex.
fn digest(response: &reqwest::Response) -> Option<String> {
    let text = response.headers().get("repr-digest")?.to_str().ok()?;
    let encoded = text.strip_prefix("sha-256=:")?.strip_suffix(':')?;
    Some(hex(&base64::engine::general_purpose::STANDARD.decode(encoded).ok()?))
}

fn taken(artifact: &Artifact, found: String) -> PublishError {
    PublishError::NameTaken { name: artifact.name.clone(), found, ours: artifact.sha256_hex() }
}

fn refusal(place: &str, status: StatusCode, text: String) -> PublishError {
    let place = place.to_owned();
    let detail = format!("{status} {}", text.trim().chars().take(200).collect::<String>());
    match status.as_u16() {
        401 => PublishError::WrongCredentials { place, detail },
        403 => PublishError::Forbidden { place, detail },
        404 | 405 => PublishError::Missing { place, detail: format!("{detail}: it takes no uploads here") },
        _ => PublishError::Refused { place, detail },
    }
}
