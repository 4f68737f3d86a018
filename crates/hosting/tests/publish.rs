//! Publishing to real servers: what arrives, what is refused, and that nothing is ever half there.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::azure;
use common::images::{image, image_for};
use common::peers::Peer;
use rootcast_hosting::check::{CheckOptions, TrustStore, check};
use rootcast_hosting::host::{UploadToken, Uploads};
use rootcast_hosting::publish::{
    Destination, Environment, Outcome, Progress, PublishError, PublishOptions, Published, publish,
};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::ChipId;
use tempfile::TempDir;

/// A built image in a folder, as a build tool leaves it.
struct Built {
    folder: TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
}

fn built(version: &str, size: usize) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.bin");
    let bytes = image(version, size);
    fs::write(&file, &bytes).unwrap();
    Built { folder, file, bytes }
}

async fn put(file: &Path, to: &str, options: &PublishOptions) -> Result<Published, PublishError> {
    publish(file, &to.parse::<Destination>()?, options, &|_: Progress| {}).await
}

fn with(environment: Environment) -> PublishOptions {
    PublishOptions { environment, ..PublishOptions::default() }
}

/// The four things every destination must do: take, know again, refuse other content, replace when asked.
async fn takes_knows_refuses_and_replaces(to: &str, options: &PublishOptions) -> Published {
    let first = built("1.0.1", 300_000);
    let published = put(&first.file, to, options).await.unwrap();
    assert_eq!((published.outcome, published.name.as_str()), (Outcome::Uploaded, "app-1.0.1-esp32c3.bin"));
    assert_eq!(put(&first.file, to, options).await.unwrap().outcome, Outcome::AlreadyThere);

    let other = built("1.0.1", 300_016);
    let refused = put(&other.file, to, options).await.unwrap_err();
    assert!(matches!(refused, PublishError::NameTaken { .. }), "{refused}");
    let replace = PublishOptions { replace: true, ..options.clone() };
    assert_eq!(put(&other.file, to, &replace).await.unwrap().outcome, Outcome::Replaced);
    assert_eq!(put(&first.file, to, &replace).await.unwrap().outcome, Outcome::Replaced);

    let next = built("1.0.2", 310_000);
    assert_eq!(put(&next.file, to, options).await.unwrap().outcome, Outcome::Uploaded);
    published
}

/// A node would take what was published.
async fn nodes_accept(url: &str, ca: Option<&DevelopmentCa>) {
    let trust = ca.map_or(TrustStore::Mozilla, |ca| TrustStore::Only(vec![ca.certificate_der().clone()]));
    let options = CheckOptions { trust, chip: Some(ChipId::ESP32C3), ..CheckOptions::default() };
    let report = check(url, &options).await;
    assert!(report.accepted, "{}", serde_json::to_string_pretty(&report).unwrap());
}

#[tokio::test]
async fn a_folder_is_served_to_nodes_by_nginx_apache_python_and_the_built_in_host() {
    use std::os::unix::fs::PermissionsExt as _;
    let ca = DevelopmentCa::generate().unwrap();
    let identity = ca.server_identity(&[]).unwrap();
    let served = tempfile::tempdir().unwrap();
    fs::set_permissions(served.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let app = built("1.0.1", 300_000);
    let host = FirmwareHost::start(
        HostOptions::https(identity.clone()).on_free_port(),
        Files::with_folder(served.path()).unwrap(),
    )
    .await
    .unwrap();
    let peers = [
        Peer::nginx(served.path(), &identity, "")
            .map(|peer| (format!("https://localhost:{}", peer.address.port()), peer)),
        Peer::apache(served.path(), &identity, "")
            .map(|peer| (format!("https://localhost:{}", peer.address.port()), peer)),
        Peer::python(served.path()).map(|peer| (peer.url(), peer)),
    ];
    let bases = peers.iter().flatten().map(|(base, _)| base.clone()).chain([host.url("")]);
    for base in bases {
        let options = PublishOptions { public_base: Some(base), ..PublishOptions::default() };
        let published = put(&app.file, served.path().to_str().unwrap(), &options).await.unwrap();
        nodes_accept(&published.url.unwrap(), Some(&ca)).await;
    }
}

async fn download(url: &str) -> Vec<u8> {
    let response = reqwest_get(url).await;
    assert!(response.status().is_success(), "{url}: {}", response.status());
    response.bytes().await.unwrap().to_vec()
}

async fn reqwest_get(url: &str) -> reqwest::Response {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await.unwrap()
}

#[tokio::test]
async fn a_folder_gets_whole_files_under_names_that_say_what_they_are() {
    let served = tempfile::tempdir().unwrap();
    let options =
        PublishOptions { public_base: Some("https://fw.example/esp".into()), ..PublishOptions::default() };
    let to = served.path().to_str().unwrap();
    let published = takes_knows_refuses_and_replaces(to, &options).await;
    assert_eq!(published.url.as_deref(), Some("https://fw.example/esp/app-1.0.1-esp32c3.bin"));
    assert_eq!(
        published.mosquitto_line.as_deref(),
        Some(
            r#"mosquitto_pub -h localhost -t /switch/cmd/root -q 1 -m '{"type":"ota_trigger","url":"https://fw.example/esp/app-1.0.1-esp32c3.bin"}'"#
        )
    );
    let mut names: Vec<_> =
        fs::read_dir(served.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["app-1.0.1-esp32c3.bin", "app-1.0.2-esp32c3.bin"], "nothing else is left behind");
}

#[tokio::test]
async fn a_folder_that_a_web_server_cannot_enter_is_noticed() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let app = built("1.0.0", 20_000);
    let published =
        put(&app.file, outer.path().join("www").to_str().unwrap(), &PublishOptions::default()).await.unwrap();
    assert!(published.notes.iter().any(|note| note.contains("chmod o+x")), "{:?}", published.notes);
    assert!(published.url.is_none() && published.mosquitto_line.is_none());
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_behind() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        println!("skipped: there is no /dev/full here");
        return;
    }
    // A folder whose part file cannot be written: its name is a link to the device that is always full.
    let served = tempfile::tempdir().unwrap();
    let app = built("1.0.0", 20_000);
    let part = served.path().join(format!(".app-1.0.0-esp32c3.bin.{}.part", std::process::id()));
    std::os::unix::fs::symlink(full, &part).unwrap();
    let refused =
        put(&app.file, served.path().to_str().unwrap(), &PublishOptions::default()).await.unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert_eq!(fs::read_dir(served.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_nodes_could_not_install_is_not_published() {
    let served = tempfile::tempdir().unwrap();
    let app = built("1.0.0", 20_000);
    for (name, bytes) in [
        ("page.bin", b"<!DOCTYPE html>".to_vec()),
        ("merged.bin", vec![0xFF; 70_000]),
        ("cut.bin", app.bytes[..10_000].to_vec()),
        (
            "flipped.bin",
            app.bytes
                .iter()
                .enumerate()
                .map(|(at, byte)| if at == 9000 { byte ^ 1 } else { *byte })
                .collect(),
        ),
    ] {
        let file = app.folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let refused =
            put(&file, served.path().to_str().unwrap(), &PublishOptions::default()).await.unwrap_err();
        assert!(matches!(refused, PublishError::NotAnImage { .. }), "{name}: {refused}");
    }
    assert_eq!(fs::read_dir(served.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_name_says_the_chip_of_the_image() {
    let served = tempfile::tempdir().unwrap();
    let file = served.path().join("switch.bin");
    fs::write(&file, image_for(ChipId::ESP32S3, "2.0", 20_000)).unwrap();
    let options = PublishOptions { version: Some("2.0-rc1".into()), ..PublishOptions::default() };
    let published = put(&file, served.path().join("out").to_str().unwrap(), &options).await.unwrap();
    assert_eq!(published.name, "switch-2.0-rc1-esp32s3.bin");
}

fn s3(endpoint: &str) -> Environment {
    Environment::of([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
    ])
}

#[tokio::test]
async fn s3_takes_images_and_signs_urls_of_over_500_bytes() {
    let Some(moto) = Peer::moto() else { return };
    let client = http_client();
    client.put(format!("{}/firmware", moto.url())).send().await.unwrap().error_for_status().unwrap();
    let options = with(s3(&moto.url()));
    let published = takes_knows_refuses_and_replaces("s3://firmware/esp/mesh", &options).await;
    assert_eq!(published.url.unwrap(), format!("{}/firmware/esp/mesh/app-1.0.1-esp32c3.bin", moto.url()));

    let mut environment = [("AWS_SESSION_TOKEN", "t".repeat(400))].to_vec();
    environment.extend([
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL", moto.url()),
    ]);
    let pairs: [(&str, &str); 4] = std::array::from_fn(|at| (environment[at].0, environment[at].1.as_str()));
    let signed = PublishOptions { presign: Some(Duration::from_secs(3600)), ..with(Environment::of(pairs)) };
    let app = built("1.0.3", 300_000);
    let url = put(&app.file, "s3://firmware/esp", &signed).await.unwrap().url.unwrap();
    assert!(url.len() > 500 && url.contains("X-Amz-Signature="), "{} bytes: {url}", url.len());
    assert!(download(&url).await == app.bytes);
    nodes_accept(&url, None).await;

    let large = built("9.0.0", 6 << 20);
    let published = put(&large.file, "s3://firmware", &options).await.unwrap();
    assert!(download(&published.url.unwrap()).await == large.bytes, "in parts");

    let missing = put(&app.file, "s3://no-such-bucket", &options).await.unwrap_err();
    assert!(matches!(missing, PublishError::Missing { .. }), "{missing:?}");
}

#[tokio::test]
async fn without_credentials_nothing_is_tried_and_the_text_says_where_they_go() {
    let app = built("1.0.0", 20_000);
    let bare = with(Environment::of([("HOME", app.folder.path().to_str().unwrap())]));
    for (to, word) in [
        ("s3://b", "AWS_ACCESS_KEY_ID"),
        ("gs://b", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://c", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("github://o/r@v1", "GITHUB_TOKEN"),
        ("https://h.example", "ROOTCAST_TOKEN"),
    ] {
        let refused = put(&app.file, to, &bare).await.unwrap_err();
        assert!(matches!(refused, PublishError::NoCredentials { .. }), "{to}: {refused:?}");
        assert!(refused.to_string().contains(word), "{to}: {refused}");
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_named() {
    let app = built("1.0.0", 20_000);
    let nobody = common::peers::free_port();
    let upload = with(Environment::of([("ROOTCAST_TOKEN", "x")]));
    let refused = put(&app.file, &format!("http://{nobody}"), &upload).await.unwrap_err();
    assert!(matches!(refused, PublishError::Network { .. }), "{refused:?}");
}

#[tokio::test]
async fn google_cloud_storage_takes_images() {
    let Some(gcs) = Peer::gcs() else { return };
    let options = with(Environment::of([("STORAGE_EMULATOR_HOST", &gcs.url())]));
    let published = takes_knows_refuses_and_replaces("gs://firmware/esp", &options).await;
    let app = built("1.0.1", 300_000);
    let url = published.url.unwrap();
    assert!(download(&url).await == app.bytes);
    nodes_accept(&url, None).await;
    let cannot = PublishOptions { presign: Some(Duration::from_secs(60)), ..options };
    assert!(matches!(
        put(&app.file, "gs://firmware", &cannot).await,
        Err(PublishError::CannotPresign { .. })
    ));
}

#[tokio::test]
async fn azure_takes_images_and_signs_urls() {
    let Some(azurite) = Peer::azurite() else { return };
    azure::make_container(&azurite.url(), "firmware").await;
    let connection = azure::connection(&azurite.url());
    let options = with(Environment::of([("AZURE_STORAGE_CONNECTION_STRING", &connection)]));
    takes_knows_refuses_and_replaces("az://firmware/esp", &options).await;

    let app = built("1.0.3", 300_000);
    let signed = PublishOptions { presign: Some(Duration::from_secs(3600)), ..options.clone() };
    let url = put(&app.file, "az://firmware", &signed).await.unwrap().url.unwrap();
    assert!(download(&url).await == app.bytes);
    nodes_accept(&url, None).await;

    let missing = put(&app.file, "az://nosuch", &options).await.unwrap_err();
    assert!(matches!(missing, PublishError::Missing { .. }), "{missing:?}");
    let wrong = connection.replace("Eby8", "Abcd");
    let wrong = with(Environment::of([("AZURE_STORAGE_CONNECTION_STRING", &wrong)]));
    let refused = put(&app.file, "az://firmware", &wrong).await.unwrap_err();
    assert!(
        matches!(refused, PublishError::WrongCredentials { .. } | PublishError::Forbidden { .. }),
        "{refused:?}"
    );
}

fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

#[tokio::test]
async fn the_built_in_host_takes_uploads_from_those_who_have_the_token() {
    for in_folder in [false, true] {
        let ca = DevelopmentCa::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = if in_folder { Files::with_folder(folder.path()).unwrap() } else { Files::new() };
        let mut options = HostOptions::https(ca.server_identity(&[]).unwrap()).on_free_port();
        options.uploads = UploadToken::new("a-token-that-is-long").map(Uploads::Token);
        let host = FirmwareHost::start(options, files).await.unwrap();
        let to = host.url("/esp/mesh");
        let own = |token: &str| PublishOptions {
            authorities: vec![ca.certificate_der().clone()],
            ..with(Environment::of([("ROOTCAST_TOKEN", token)]))
        };
        let published = takes_knows_refuses_and_replaces(&to, &own("a-token-that-is-long")).await;
        assert_eq!(published.url.unwrap(), host.url("/esp/mesh/app-1.0.1-esp32c3.bin"));
        let mut send = common::http1(host.address(), &ca).await;
        let answer = common::ask(&mut send, "GET", "/esp/mesh/app-1.0.1-esp32c3.bin", &[]).await;
        assert!(answer.body == built("1.0.1", 300_000).bytes);

        let app = built("2.0.0", 20_000);
        let refused = put(&app.file, &to, &own("a-token-that-is-wrong")).await.unwrap_err();
        assert!(matches!(refused, PublishError::WrongCredentials { .. }), "{refused:?}");
        let outside =
            common::ask(&mut send, "PUT", "/../x", &[("authorization", "Bearer a-token-that-is-long")]).await;
        assert_eq!(outside.status, 400);
    }
}

#[test]
fn a_short_token_is_none() {
    assert!(UploadToken::new("short").is_none());
}

/// A way to a server on which every connection is cut after so many bytes of the client's.
async fn cutting_way(to: std::net::SocketAddr, after: usize) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                let (mut passed, mut up, mut down) = (0, vec![0; 8192], vec![0; 8192]);
                while passed < after {
                    tokio::select! {
                        count = client.read(&mut up) => match count {
                            Ok(count @ 1..) => {
                                passed += count;
                                let _ = server.write_all(&up[..count]).await;
                            }
                            _ => return,
                        },
                        count = server.read(&mut down) => match count {
                            Ok(count @ 1..) => drop(client.write_all(&down[..count]).await),
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_network_that_cuts_every_upload_leaves_nothing_and_is_named() {
    let mut options = HostOptions::http().on_free_port();
    options.uploads = UploadToken::new("a-token-that-is-long").map(Uploads::Token);
    let host = FirmwareHost::start(options, Files::new()).await.unwrap();
    let app = built("1.0.0", 300_000);
    let token = with(Environment::of([("ROOTCAST_TOKEN", "a-token-that-is-long")]));
    let way = cutting_way(host.address(), 100_000).await;
    let refused = put(&app.file, &format!("http://{way}"), &token).await.unwrap_err();
    assert!(matches!(refused, PublishError::Network { .. }), "{refused:?}");
    let mut send = common::plain(host.address()).await;
    assert_eq!(common::ask(&mut send, "GET", "/app-1.0.0-esp32c3.bin", &[]).await.status, 404);
    let direct = host.url("").trim_end_matches('/').to_owned();
    assert_eq!(put(&app.file, &direct, &token).await.unwrap().outcome, Outcome::Uploaded);

    let Some(moto) = Peer::moto() else { return };
    http_client().put(format!("{}/firmware", moto.url())).send().await.unwrap();
    let way = cutting_way(moto.address, 100_000).await;
    let refused = put(&app.file, "s3://firmware", &with(s3(&format!("http://{way}")))).await.unwrap_err();
    assert!(matches!(refused, PublishError::Network { .. }), "{refused:?}");
    let left =
        http_client().get(format!("{}/firmware/app-1.0.0-esp32c3.bin", moto.url())).send().await.unwrap();
    assert_eq!(left.status(), 404);
}

#[tokio::test]
async fn a_store_that_refuses_says_whether_it_is_the_key_or_the_right() {
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let app = built("1.0.0", 20_000);
    for (code, wrong_key) in
        [("AccessDenied", false), ("InvalidAccessKeyId", true), ("SignatureDoesNotMatch", true)]
    {
        let store = MockServer::start().await;
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
        Mock::given(any()).respond_with(ResponseTemplate::new(403).set_body_string(text)).mount(&store).await;
        let refused = put(&app.file, "s3://firmware", &with(s3(&store.uri()))).await.unwrap_err();
        match wrong_key {
            true => assert!(matches!(refused, PublishError::WrongCredentials { .. }), "{code}: {refused:?}"),
            false => assert!(matches!(refused, PublishError::Forbidden { .. }), "{code}: {refused:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_a_build_is_still_writing_is_never_published_in_part() {
    let app = built("1.0.0", 300_000);
    let served = tempfile::tempdir().unwrap();
    let going = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (file, bytes, goes_on) = (app.file.clone(), app.bytes.clone(), going.clone());
    // A linker that writes the file again and again, in pieces.
    let build = std::thread::spawn(move || {
        while goes_on.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = fs::write(&file, &bytes[..150_000]);
            let _ = fs::write(&file, &bytes);
        }
    });
    let mut refused = 0;
    for turn in 0..40 {
        let to = served.path().join(turn.to_string());
        match put(&app.file, to.to_str().unwrap(), &PublishOptions::default()).await {
            Ok(published) => assert!(fs::read(to.join(published.name)).unwrap() == app.bytes),
            Err(
                PublishError::Changed { .. } | PublishError::NotAnImage { .. } | PublishError::Read { .. },
            ) => {
                refused += 1;
                assert!(!to.exists(), "nothing of it is there");
            }
            Err(other) => panic!("{other}"),
        }
    }
    going.store(false, std::sync::atomic::Ordering::Relaxed);
    build.join().unwrap();
    println!("{refused} of 40 were refused");
}
