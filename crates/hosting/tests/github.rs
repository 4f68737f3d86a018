//! GitHub's release API, by its recorded contract: drafts, assets, uploads, and downloads that redirect to another host.

mod common;

use std::fs;

use common::images::image;
use ring::digest::{SHA256, digest};
use rootcast_hosting::check::{CheckOptions, StepId, check};
use rootcast_hosting::publish::{
    Destination, Environment, Outcome, PublishError, PublishOptions, Published, publish,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{body_bytes, body_partial_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const NAME: &str = "app-1.0.1-esp32c3.bin";
const REPO: &str = "/repos/acme/lamps";

struct Built {
    folder: TempDir,
    bytes: Vec<u8>,
}

fn built() -> Built {
    let folder = tempfile::tempdir().unwrap();
    let bytes = image("1.0.1", 100_000);
    fs::write(folder.path().join("app.bin"), &bytes).unwrap();
    Built { folder, bytes }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn release(server: &MockServer, draft: bool, assets: &[Value]) -> Value {
    json!({
        "id": 7, "draft": draft, "tag_name": "v1.0.1", "assets": assets,
        "upload_url": format!("{}/uploads/7/assets{{?name,label}}", server.uri()),
    })
}

fn asset(server: &MockServer, id: u64, name: &str, content: &[u8], says_digest: bool) -> Value {
    let sha256 = hex(digest(&SHA256, content).as_ref());
    json!({
        "id": id, "name": name, "state": "uploaded", "size": content.len(),
        "url": format!("{}{REPO}/releases/assets/{id}", server.uri()),
        "browser_download_url": format!("{}/acme/lamps/releases/download/v1.0.1/{name}", server.uri()),
        "digest": if says_digest { json!(format!("sha256:{sha256}")) } else { Value::Null },
    })
}

async fn on(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(at))
        .and(header("authorization", "Bearer secret-token"))
        .respond_with(answer)
        .mount(server)
        .await;
}

async fn put(server: &MockServer, built: &Built, replace: bool) -> Result<Published, PublishError> {
    let options = PublishOptions {
        replace,
        environment: Environment::of([
            ("GITHUB_TOKEN", "secret-token"),
            ("GITHUB_API_URL", &server.uri()),
            ("GITHUB_SERVER_URL", &server.uri()),
        ]),
        ..PublishOptions::default()
    };
    let to: Destination = "github://acme/lamps@v1.0.1".parse().unwrap();
    publish(&built.folder.path().join("app.bin"), &to, &options, &|_| {}).await
}

async fn requests(server: &MockServer) -> Vec<String> {
    let all = server.received_requests().await.unwrap();
    all.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
}

#[tokio::test]
async fn a_new_release_stays_a_draft_until_its_asset_is_whole() {
    let (server, built) = (MockServer::start().await, built());
    on(&server, "GET", "/repos/acme/lamps/releases/tags/v1.0.1", ResponseTemplate::new(404)).await;
    on(&server, "GET", REPO, ResponseTemplate::new(200).set_body_json(json!({}))).await;
    Mock::given(method("POST"))
        .and(path("/repos/acme/lamps/releases"))
        .and(body_partial_json(json!({ "tag_name": "v1.0.1", "draft": true })))
        .respond_with(ResponseTemplate::new(201).set_body_json(release(&server, true, &[])))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/uploads/7/assets"))
        .and(query_param("name", NAME))
        .and(body_bytes(built.bytes.clone()))
        .respond_with(ResponseTemplate::new(201).set_body_json(asset(&server, 1, NAME, &built.bytes, true)))
        .mount(&server)
        .await;
    Mock::given(method("PATCH"))
        .and(path("/repos/acme/lamps/releases/7"))
        .and(body_partial_json(json!({ "draft": false })))
        .respond_with(ResponseTemplate::new(200).set_body_json(release(&server, false, &[])))
        .mount(&server)
        .await;
    let published = put(&server, &built, false).await.unwrap();
    assert_eq!(published.outcome, Outcome::Uploaded);
    assert_eq!(
        published.url.unwrap(),
        format!("{}/acme/lamps/releases/download/v1.0.1/{NAME}", server.uri())
    );
    assert_eq!(requests(&server).await.last().unwrap(), "PATCH /repos/acme/lamps/releases/7");
}

#[tokio::test]
async fn a_failed_upload_removes_the_draft_again() {
    let (server, built) = (MockServer::start().await, built());
    on(&server, "GET", "/repos/acme/lamps/releases/tags/v1.0.1", ResponseTemplate::new(404)).await;
    on(&server, "GET", REPO, ResponseTemplate::new(200).set_body_json(json!({}))).await;
    let draft = ResponseTemplate::new(201).set_body_json(release(&server, true, &[]));
    on(&server, "POST", "/repos/acme/lamps/releases", draft).await;
    let damaged = asset(&server, 1, NAME, b"something else", true);
    on(&server, "POST", "/uploads/7/assets", ResponseTemplate::new(201).set_body_json(damaged)).await;
    on(&server, "DELETE", "/repos/acme/lamps/releases/assets/1", ResponseTemplate::new(204)).await;
    on(&server, "DELETE", "/repos/acme/lamps/releases/7", ResponseTemplate::new(204)).await;
    let failed = put(&server, &built, false).await.unwrap_err();
    assert!(matches!(failed, PublishError::Checksum { .. }), "{failed}");
    let seen = requests(&server).await;
    assert!(
        seen.ends_with(&[
            "DELETE /repos/acme/lamps/releases/assets/1".into(),
            "DELETE /repos/acme/lamps/releases/7".into()
        ]),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_asset_without_a_digest_is_compared_by_downloading_it_from_the_second_host() {
    let (server, second, built) = (MockServer::start().await, MockServer::start().await, built());
    let known = release(&server, false, &[asset(&server, 1, NAME, &built.bytes, false)]);
    on(
        &server,
        "GET",
        "/repos/acme/lamps/releases/tags/v1.0.1",
        ResponseTemplate::new(200).set_body_json(known),
    )
    .await;
    let elsewhere =
        ResponseTemplate::new(302).insert_header("location", format!("{}/blob?sig=abc", second.uri()));
    on(&server, "GET", "/repos/acme/lamps/releases/assets/1", elsewhere).await;
    let content = ResponseTemplate::new(200).set_body_bytes(built.bytes.clone());
    Mock::given(method("GET")).and(path("/blob")).respond_with(content).mount(&second).await;
    assert_eq!(put(&server, &built, false).await.unwrap().outcome, Outcome::AlreadyThere);
    let to_second = &second.received_requests().await.unwrap()[0];
    assert!(!to_second.headers.contains_key("authorization"), "the token stays with GitHub");
}

#[tokio::test]
async fn other_content_is_refused_and_replaced_only_when_asked_and_only_when_the_new_is_whole() {
    let (server, built) = (MockServer::start().await, built());
    let known = release(&server, false, &[asset(&server, 1, NAME, b"old", true)]);
    on(
        &server,
        "GET",
        "/repos/acme/lamps/releases/tags/v1.0.1",
        ResponseTemplate::new(200).set_body_json(known),
    )
    .await;
    let refused = put(&server, &built, false).await.unwrap_err();
    assert!(matches!(refused, PublishError::NameTaken { .. }), "{refused}");

    let interim = format!("new-{NAME}");
    let new = ResponseTemplate::new(201).set_body_json(asset(&server, 2, &interim, &built.bytes, true));
    on(&server, "POST", "/uploads/7/assets", new).await;
    on(&server, "DELETE", "/repos/acme/lamps/releases/assets/1", ResponseTemplate::new(204)).await;
    let renamed = ResponseTemplate::new(200).set_body_json(asset(&server, 2, NAME, &built.bytes, true));
    on(&server, "PATCH", "/repos/acme/lamps/releases/assets/2", renamed).await;
    let published = put(&server, &built, true).await.unwrap();
    assert_eq!(published.outcome, Outcome::Replaced);
    let seen = requests(&server).await;
    let order: Vec<_> = seen
        .iter()
        .filter(|line| !line.starts_with("GET"))
        .map(|line| line.split('/').next().unwrap().trim())
        .collect();
    assert_eq!(order, ["POST", "DELETE", "PATCH"]);
}

#[tokio::test]
async fn refusals_of_github_are_told_apart() {
    for (status, word) in
        [(401, "does not accept the credentials"), (403, "does not allow"), (404, "does not exist")]
    {
        let (server, built) = (MockServer::start().await, built());
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "message": "no" }));
        on(&server, "GET", "/repos/acme/lamps/releases/tags/v1.0.1", answer.clone()).await;
        on(&server, "GET", REPO, answer).await;
        let refused = put(&server, &built, false).await.unwrap_err().to_string();
        assert!(refused.contains(word) && !refused.contains("secret-token"), "{status}: {refused}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_for_a_moment_is_tried_again() {
    let (server, built) = (MockServer::start().await, built());
    let at = "/repos/acme/lamps/releases/tags/v1.0.1";
    Mock::given(path(at)).respond_with(ResponseTemplate::new(502)).up_to_n_times(2).mount(&server).await;
    let known = release(&server, false, &[asset(&server, 1, NAME, &built.bytes, true)]);
    on(&server, "GET", at, ResponseTemplate::new(200).set_body_json(known)).await;
    assert_eq!(put(&server, &built, false).await.unwrap().outcome, Outcome::AlreadyThere);
}

#[tokio::test]
async fn a_node_follows_a_release_to_the_second_host() {
    let (server, second, built) = (MockServer::start().await, MockServer::start().await, built());
    let elsewhere =
        ResponseTemplate::new(302).insert_header("location", format!("{}/blob?sig=abc", second.uri()));
    Mock::given(method("GET")).and(path("/acme/download")).respond_with(elsewhere).mount(&server).await;
    let content =
        ResponseTemplate::new(200).insert_header("etag", "\"1\"").set_body_bytes(built.bytes.clone());
    Mock::given(method("GET")).and(path("/blob")).respond_with(content).mount(&second).await;
    let report = check(&format!("{}/acme/download", server.uri()), &CheckOptions::default()).await;
    assert!(report.accepted, "{report:?}");
    assert_eq!(report.step(StepId::Redirect).unwrap().hop, 0);
    assert_eq!(report.steps.iter().filter(|step| step.step == StepId::Tcp).count(), 2);
}
