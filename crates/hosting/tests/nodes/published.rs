//! What is published somewhere is what virtual nodes then run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rootcast_hosting::host::{UploadToken, Uploads};
use rootcast_hosting::publish::{Destination, Environment, PublishOptions, Published, publish};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use serde_json::json;
use tempfile::TempDir;

use crate::azure;
use crate::github::GitHub;
use crate::images::image;
use crate::mesh::Mesh;
use crate::peers::Peer;

const NODES: usize = 3;

/// A built image.
struct Built {
    _folder: TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
}

fn built(version: &str) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lamp.bin");
    let bytes = image(version, 64_000);
    fs::write(&file, &bytes).unwrap();
    Built { _folder: folder, file, bytes }
}

async fn put(built: &Built, to: &str, options: &PublishOptions) -> Published {
    let destination: Destination = to.parse().unwrap();
    publish(&built.file, &destination, options, &|_| {}).await.unwrap()
}

fn passable() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Apache calls the tag of a file weak in the second in which it was written.
fn age(folder: &Path, name: &str) {
    let file = fs::File::options().append(true).open(folder.join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_local_folder_by_nginx_apache_and_the_built_in_host_over_tls_and_by_python() {
    let ca = DevelopmentCa::generate().unwrap();
    let identity = ca.server_identity(&[]).unwrap();
    let served = passable();
    let folder = served.path();
    let files = Files::with_folder(folder).unwrap();
    let host = FirmwareHost::start(HostOptions::https(identity.clone()).on_free_port(), files).await.unwrap();
    let secure = |peer: &Peer| format!("https://localhost:{}", peer.address.port());
    let (nginx, apache, python) =
        (Peer::nginx(folder, &identity, ""), Peer::apache(folder, &identity, ""), Peer::python(folder));
    let bases = [
        nginx.as_ref().map(secure),
        apache.as_ref().map(secure),
        python.as_ref().map(Peer::url),
        Some(host.url("")),
    ];
    let mut mesh = Mesh::start(NODES, &ca, Vec::new()).await;
    for (at, base) in bases.into_iter().enumerate() {
        let Some(base) = base else { continue };
        let built = built(&format!("1.{}.0", at + 1));
        let options = PublishOptions { public_base: Some(base), ..PublishOptions::default() };
        let published = put(&built, folder.to_str().unwrap(), &options).await;
        age(folder, &published.name);
        mesh.update(&published.url.unwrap(), &built.bytes).await;
    }
    assert!(host.counters().requests >= NODES as u64);
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_s3_by_a_public_url_and_by_a_signed_one_of_over_500_bytes() {
    let Some(moto) = Peer::moto() else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bucket = reqwest::Client::new().put(format!("{}/firmware", moto.url()));
    bucket.send().await.unwrap().error_for_status().unwrap();
    // As the guide has it: one prefix may be read by everyone.
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::firmware/public/*" }] });
    let policy =
        reqwest::Client::new().put(format!("{}/firmware?policy", moto.url())).body(policy.to_string());
    policy.send().await.unwrap().error_for_status().unwrap();
    let (endpoint, token) = (moto.url(), "t".repeat(400));
    let environment = Environment::of([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_SESSION_TOKEN", &token),
        ("AWS_ENDPOINT_URL", &endpoint),
    ]);
    let mut mesh = Mesh::start(NODES, &DevelopmentCa::generate().unwrap(), Vec::new()).await;
    for (version, prefix, presign) in
        [("1.1.0", "public", None), ("1.2.0", "private", Some(Duration::from_secs(3600)))]
    {
        let built = built(version);
        let options =
            PublishOptions { presign, environment: environment.clone(), ..PublishOptions::default() };
        let url = put(&built, &format!("s3://firmware/{prefix}"), &options).await.url.unwrap();
        assert_eq!(url.len() > 500, presign.is_some(), "{url}");
        mesh.update(&url, &built.bytes).await;
    }
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_google_cloud_storage() {
    let Some(gcs) = Peer::gcs() else { return };
    let options = PublishOptions {
        environment: Environment::of([("STORAGE_EMULATOR_HOST", &gcs.url())]),
        ..PublishOptions::default()
    };
    let built = built("1.1.0");
    let url = put(&built, "gs://firmware/esp", &options).await.url.unwrap();
    let mut mesh = Mesh::start(NODES, &DevelopmentCa::generate().unwrap(), Vec::new()).await;
    mesh.update(&url, &built.bytes).await;
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_azure_by_a_signed_url() {
    let Some(azurite) = Peer::azurite() else { return };
    azure::make_container(&azurite.url(), "firmware").await;
    let connection = azure::connection(&azurite.url());
    let options = PublishOptions {
        environment: Environment::of([("AZURE_STORAGE_CONNECTION_STRING", &connection)]),
        presign: Some(Duration::from_secs(3600)),
        ..PublishOptions::default()
    };
    let built = built("1.1.0");
    let url = put(&built, "az://firmware/esp", &options).await.url.unwrap();
    let mut mesh = Mesh::start(NODES, &DevelopmentCa::generate().unwrap(), Vec::new()).await;
    mesh.update(&url, &built.bytes).await;
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_github_release_that_redirects_to_a_second_host() {
    let github = GitHub::start().await;
    let options = PublishOptions {
        environment: Environment::of([
            ("GITHUB_TOKEN", "secret-token"),
            ("GITHUB_API_URL", &github.api.uri()),
            ("GITHUB_SERVER_URL", &github.api.uri()),
        ]),
        ..PublishOptions::default()
    };
    let built = built("1.1.0");
    let url = put(&built, "github://acme/lamps@v1.1.0", &options).await.url.unwrap();
    let mut mesh = Mesh::start(NODES, &DevelopmentCa::generate().unwrap(), Vec::new()).await;
    mesh.update(&url, &built.bytes).await;
    let fetched = github.objects.received_requests().await.unwrap();
    assert!(fetched.len() >= NODES, "every node came to the second host: {}", fetched.len());
    assert!(fetched.iter().all(|request| !request.headers.contains_key("authorization")));
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_host_that_took_the_image_by_upload() {
    let ca = DevelopmentCa::generate().unwrap();
    let mut options = HostOptions::https(ca.server_identity(&[]).unwrap()).on_free_port();
    options.uploads = UploadToken::new("a-token-that-is-long").map(Uploads::Token);
    let host = FirmwareHost::start(options, Files::new()).await.unwrap();
    let options = PublishOptions {
        authorities: vec![ca.certificate_der().clone()],
        environment: Environment::of([("ROOTCAST_TOKEN", "a-token-that-is-long")]),
        ..PublishOptions::default()
    };
    let built = built("1.1.0");
    let url = put(&built, &host.url("/esp"), &options).await.url.unwrap();
    let mut mesh = Mesh::start(NODES, &ca, Vec::new()).await;
    mesh.update(&url, &built.bytes).await;
    mesh.stop().await;
}
