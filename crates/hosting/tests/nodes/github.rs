//! GitHub's release API and its downloads, as far as publishing and updating need them, by its documented contract: a release that is not
//! there, a draft, an asset that is uploaded to another host, and a download that redirects to yet another.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// A repository `acme/lamps` with no release yet.
pub struct GitHub {
    pub api: MockServer,
    /// Where downloads are redirected to.
    pub objects: MockServer,
}

impl GitHub {
    pub async fn start() -> Self {
        let (api, objects) = (MockServer::start().await, MockServer::start().await);
        let stored: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (uri, elsewhere) = (api.uri(), objects.uri());
        let release = move |draft: bool, assets: Vec<Value>| {
            json!({ "id": 7, "draft": draft, "tag_name": "v1.1.0", "assets": assets,
                    "upload_url": format!("{uri}/uploads/7/assets{{?name,label}}") })
        };
        let on = |verb: &str, at: &str, answer: ResponseTemplate| {
            Mock::given(method(verb)).and(path(at)).respond_with(answer)
        };
        let repo = "/repos/acme/lamps";
        on("GET", &format!("{repo}/releases/tags/v1.1.0"), ResponseTemplate::new(404)).mount(&api).await;
        on("GET", repo, ResponseTemplate::new(200).set_body_json(json!({}))).mount(&api).await;
        let draft = ResponseTemplate::new(201).set_body_json(release(true, Vec::new()));
        on("POST", &format!("{repo}/releases"), draft).mount(&api).await;
        let done = ResponseTemplate::new(200).set_body_json(release(false, Vec::new()));
        on("PATCH", &format!("{repo}/releases/7"), done).mount(&api).await;

        let (keep, uri) = (stored.clone(), api.uri());
        Mock::given(method("POST"))
            .and(path("/uploads/7/assets"))
            .respond_with(move |request: &Request| {
                let name = request.url.query_pairs().find(|(key, _)| key == "name").unwrap().1.into_owned();
                let sha256: String =
                    digest(&SHA256, &request.body).as_ref().iter().map(|b| format!("{b:02x}")).collect();
                let asset = json!({
                    "id": 1, "name": name, "state": "uploaded", "size": request.body.len(),
                    "url": format!("{uri}/repos/acme/lamps/releases/assets/1"),
                    "browser_download_url": format!("{uri}/acme/lamps/releases/download/v1.1.0/{name}"),
                    "digest": format!("sha256:{sha256}"),
                });
                *keep.lock().unwrap() = request.body.clone();
                ResponseTemplate::new(201).set_body_json(asset)
            })
            .mount(&api)
            .await;
        Mock::given(method("GET"))
            .and(path_regex("^/acme/lamps/releases/download/v1.1.0/.*"))
            .respond_with(move |_: &Request| {
                let to = format!("{elsewhere}/object?sp=r&sig={}", "s".repeat(600));
                ResponseTemplate::new(302).insert_header("location", to)
            })
            .mount(&api)
            .await;
        Mock::given(method("GET"))
            .and(path("/object"))
            .respond_with(move |request: &Request| {
                let bytes = stored.lock().unwrap().clone();
                serve(request, &bytes)
            })
            .mount(&objects)
            .await;
        Self { api, objects }
    }
}

/// The file, or the rest of it, as object stores answer.
fn serve(request: &Request, bytes: &[u8]) -> ResponseTemplate {
    let from = request.headers.get("range").and_then(|value| {
        value.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
    });
    let answer = |status| ResponseTemplate::new(status).insert_header("etag", "\"0x8D1\"");
    match from.and_then(|from| Some((from, bytes.get(from..)?))) {
        Some((from, rest)) => answer(206)
            .insert_header("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
            .set_body_bytes(rest),
        None => answer(200).set_body_bytes(bytes),
    }
}
