//! Assets of GitHub releases.
//!
//! A release that does not exist yet is made as a draft and published only when its asset is whole and compared, so nobody sees an empty
//! release. An asset that is to be replaced stays until the new one is whole: the new one goes up under another name and is renamed.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use ring::digest::{Context, SHA256};
use serde::Deserialize;

use super::artifact::Artifact;
use super::destination::Release;
use super::http::{client, send};
use super::lines::encode_path;
use super::{Outcome, PublishError, PublishOptions, Stored};
use crate::content::{digest_bytes, hex};

const API: &str = "https://api.github.com";
const API_VERSION: &str = "2022-11-28";
/// How much of an error answer is shown.
const MAX_DETAIL_CHARS: usize = 300;

#[derive(Debug, Clone, Deserialize)]
struct ReleaseInfo {
    id: u64,
    upload_url: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Debug, Clone, Deserialize)]
struct Asset {
    id: u64,
    name: String,
    state: String,
    size: u64,
    url: String,
    browser_download_url: String,
    /// `sha256:…`; older servers do not say it.
    digest: Option<String>,
}

pub(super) async fn store(
    artifact: &Artifact,
    release: &Release,
    options: &PublishOptions,
) -> Result<Stored, PublishError> {
    if options.presign.is_some() {
        return Err(PublishError::CannotPresign {
            place: "GitHub".to_owned(),
            advice: "assets of public repositories need no signature; those of private ones cannot be fetched by nodes",
        });
    }
    let github = GitHub::new(release, options)?;
    let (info, made_now) = match github.release().await? {
        Some(info) => (info, false),
        None => (github.create_draft().await?, true),
    };
    let stored = github.store_in(&info, artifact, options.replace).await;
    match stored {
        Ok((asset, outcome)) => {
            if info.draft {
                github.publish_draft(&info).await?;
            }
            // A draft's address has a made-up tag in it: the real one follows from the repository.
            let url = if info.draft { github.web_address(&asset.name) } else { asset.browser_download_url };
            Ok(Stored { url: Some(url), outcome, notes: Vec::new() })
        }
        Err(error) => {
            if made_now {
                let _ = github
                    .call(Method::DELETE, &format!("{}/releases/{}", github.repo, info.id))
                    .send()
                    .await;
            }
            Err(error)
        }
    }
}

struct GitHub {
    client: reqwest::Client,
    token: String,
    place: String,
    repo: String,
    web: String,
    tag: String,
}

impl GitHub {
    fn new(release: &Release, options: &PublishOptions) -> Result<Self, PublishError> {
        let place = format!("github://{}/{}", release.owner, release.repo);
        let environment = &options.environment;
        let token = environment.first(&["GITHUB_TOKEN", "GH_TOKEN"]).ok_or_else(|| PublishError::NoCredentials {
            place: place.clone(),
            advice: "set GITHUB_TOKEN to a token that may write this repository's contents (gh auth token prints yours)".to_owned(),
        })?;
        // GitHub's own runners and Enterprise servers say these.
        let api = environment.get("GITHUB_API_URL").unwrap_or(API).trim_end_matches('/');
        let web = environment.get("GITHUB_SERVER_URL").unwrap_or("https://github.com").trim_end_matches('/');
        Ok(Self {
            client: client(&place, &options.authorities)?,
            token: token.to_owned(),
            repo: format!("{api}/repos/{}/{}", release.owner, release.repo),
            web: format!("{web}/{}/{}", release.owner, release.repo),
            tag: release.tag.clone(),
            place,
        })
    }

    fn call(&self, method: Method, url: &str) -> RequestBuilder {
        self.client
            .request(method, url)
            .bearer_auth(&self.token)
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", API_VERSION)
    }

    fn web_address(&self, name: &str) -> String {
        format!("{}/releases/download/{}/{}", self.web, encode_path(&self.tag), encode_path(name))
    }

    /// The release of the tag, or a draft for it that an earlier try left.
    async fn release(&self) -> Result<Option<ReleaseInfo>, PublishError> {
        let by_tag = format!("{}/releases/tags/{}", self.repo, encode_path(&self.tag));
        let response = send(&self.place, self.call(Method::GET, &by_tag)).await?;
        if response.status() != StatusCode::NOT_FOUND {
            return self.read(response).await.map(Some);
        }
        // 404 also means: no such repository, or none that this token may see.
        let response = send(&self.place, self.call(Method::GET, &self.repo)).await?;
        match response.status().is_success() {
            true => Ok(None),
            false => Err(self.refusal(response).await),
        }
    }

    async fn create_draft(&self) -> Result<ReleaseInfo, PublishError> {
        let body = serde_json::json!({ "tag_name": self.tag, "name": self.tag, "draft": true });
        let request = self.call(Method::POST, &format!("{}/releases", self.repo)).json(&body);
        // Not repeated by itself: a second POST would make a second draft.
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        self.read(response).await
    }

    async fn publish_draft(&self, info: &ReleaseInfo) -> Result<(), PublishError> {
        let url = format!("{}/releases/{}", self.repo, info.id);
        let response =
            send(&self.place, self.call(Method::PATCH, &url).json(&serde_json::json!({ "draft": false })))
                .await?;
        self.read::<ReleaseInfo>(response).await.map(|_| ())
    }

    async fn store_in(
        &self,
        info: &ReleaseInfo,
        artifact: &Artifact,
        replace: bool,
    ) -> Result<(Asset, Outcome), PublishError> {
        let old = info.assets.iter().find(|asset| asset.name == artifact.name);
        if let Some(old) = old.filter(|old| old.state == "uploaded") {
            let found = self.sha256_of(old).await?;
            if found == artifact.sha256_hex() {
                return Ok((old.clone(), Outcome::AlreadyThere));
            }
            if !replace {
                return Err(PublishError::NameTaken {
                    name: artifact.name.clone(),
                    found,
                    ours: artifact.sha256_hex(),
                });
            }
            let interim = format!("new-{}", artifact.name);
            if let Some(left) = info.assets.iter().find(|asset| asset.name == interim) {
                self.delete(left).await?;
            }
            let new = self.upload(info, artifact, &interim).await?;
            self.delete(old).await?;
            let renamed = self.rename(&new, &artifact.name).await?;
            return Ok((renamed, Outcome::Replaced));
        }
        if let Some(broken) = old {
            // An upload that broke off leaves an asset that is not "uploaded" and blocks its name.
            self.delete(broken).await?;
        }
        Ok((self.upload(info, artifact, &artifact.name).await?, Outcome::Uploaded))
    }

    async fn upload(
        &self,
        info: &ReleaseInfo,
        artifact: &Artifact,
        name: &str,
    ) -> Result<Asset, PublishError> {
        // "https://uploads.github.com/…/assets{?name,label}" (RFC 6570)
        let base = info.upload_url.split('{').next().unwrap_or_default();
        let request = self
            .call(Method::POST, &format!("{base}?name={}", encode_path(name)))
            .header(CONTENT_TYPE, artifact.content_type())
            .body(artifact.bytes.clone());
        let response = send(&self.place, request).await?;
        let asset: Asset = self.read(response).await?;
        let found = if asset.size == artifact.bytes.len() as u64 {
            self.sha256_of(&asset).await?
        } else {
            "another size".to_owned()
        };
        if asset.state == "uploaded" && found == artifact.sha256_hex() {
            return Ok(asset);
        }
        let _ = self.delete(&asset).await;
        Err(PublishError::Checksum { name: name.to_owned(), found, expected: artifact.sha256_hex() })
    }

    /// By the server's word where it gives one, else by download.
    async fn sha256_of(&self, asset: &Asset) -> Result<String, PublishError> {
        if let Some(digest) = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            return Ok(digest.to_ascii_lowercase());
        }
        let request =
            self.client.get(&asset.url).bearer_auth(&self.token).header(ACCEPT, crate::content::OCTET_STREAM);
        let response = send(&self.place, request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let bytes: Bytes = response.bytes().await.map_err(|error| self.broken(&error))?;
        let mut hash = Context::new(&SHA256);
        hash.update(&bytes);
        Ok(hex(&digest_bytes(hash)))
    }

    async fn delete(&self, asset: &Asset) -> Result<(), PublishError> {
        let url = format!("{}/releases/assets/{}", self.repo, asset.id);
        let response = send(&self.place, self.call(Method::DELETE, &url)).await?;
        match response.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.refusal(response).await),
        }
    }

    async fn rename(&self, asset: &Asset, name: &str) -> Result<Asset, PublishError> {
        let url = format!("{}/releases/assets/{}", self.repo, asset.id);
        let response =
            send(&self.place, self.call(Method::PATCH, &url).json(&serde_json::json!({ "name": name })))
                .await?;
        self.read(response).await
    }

    async fn read<T: for<'a> Deserialize<'a>>(&self, response: Response) -> Result<T, PublishError> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        response.json().await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &reqwest::Error) -> PublishError {
        PublishError::Network { place: self.place.clone(), detail: super::http::chain(error) }
    }

    async fn refusal(&self, response: Response) -> PublishError {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let message = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|json| json.get("message")?.as_str().map(str::to_owned))
            .unwrap_or(text);
        let detail = format!("{status}: {}", message.chars().take(MAX_DETAIL_CHARS).collect::<String>());
        let place = self.place.clone();
        match status.as_u16() {
            401 => PublishError::WrongCredentials { place, detail },
            403 => PublishError::Forbidden { place, detail },
            404 => {
                PublishError::Missing { place, detail: format!("{detail} (or this token may not see it)") }
            }
            _ => PublishError::Refused { place, detail },
        }
    }
}
