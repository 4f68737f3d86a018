//! Releases that lie elsewhere, and uploads to the firmware host: what becomes a release, and what does not and why.

use reqwest::{Certificate, Client, StatusCode};
use rootcast_control::plane::{ControlPlane, Setup};
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_control::service::tokens::{NewToken, Role};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use std::path::Path;

const ELF: [u8; 32] = [0xe1; 32];

fn app() -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3)
        .project("lamp")
        .version("1.2.0")
        .elf_sha256(ELF)
        .size(20_000)
        .build()
        .unwrap()
}

async fn plane(folder: &Path) -> ControlPlane {
    ControlPlane::start(Setup::loopback(folder.join("data")).on_free_ports()).await.unwrap()
}

fn at(url: &str) -> NewRelease {
    NewRelease { url: Some(url.to_owned()), ..NewRelease::default() }
}

/// Puts something on the control plane's firmware host.
async fn put(plane: &ControlPlane, token: &str, path: &str, bytes: Vec<u8>) -> (StatusCode, String) {
    let host = plane.service().host();
    let ca = Certificate::from_pem(host.ca.unwrap().as_bytes()).unwrap();
    // Somebody may have installed one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().tls_certs_only([ca]).build().unwrap();
    let url = format!("{}{path}", host.upload_url);
    let answer = client.put(url).bearer_auth(token).body(bytes).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_upload_into_folders_of_the_firmware_host_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let service = plane.service();
    let make = |name: &str, role| service.create_token(NewToken { name: name.to_owned(), role });
    let operator = make("maker", Role::Operator).await.unwrap().token;
    let viewer = make("guest", Role::Viewer).await.unwrap().token;
    for (token, path, status, words) in [
        ("rc_0_0", "1.2.0/app.bin", StatusCode::UNAUTHORIZED, "need a token"),
        (viewer.as_str(), "1.2.0/app.bin", StatusCode::FORBIDDEN, "role operator"),
        (operator.as_str(), "app.bin", StatusCode::CONFLICT, "into a folder"),
        (operator.as_str(), "1.2.0/%2e%2e/%2e%2e/app.bin", StatusCode::CONFLICT, "into a folder"),
    ] {
        let (found, text) = put(&plane, token, path, app()).await;
        assert!(found == status && text.contains(words), "{path}: {found} {text}");
    }
    assert!(!folder.path().join("app.bin").exists() && !folder.path().join("data/app.bin").exists());
    assert_eq!(put(&plane, &operator, "1.2.0/app.bin", app()).await.0, StatusCode::CREATED);

    let audit = service.newest_audit(None, 10).await.unwrap().items;
    let lines: Vec<(&str, i64)> = audit.iter().map(|it| (it.path.as_str(), it.status)).collect();
    assert_eq!(lines, [("/1.2.0/app.bin", 201)], "what was allowed");
    assert!(audit.iter().all(|line| line.who.starts_with("maker (") && line.method == "PUT"), "{audit:?}");

    // It lies on the own host: its CA is known, and it is kept without the host's name.
    let url = format!("{}1.2.0/app.bin", plane.files_url());
    let made = service.create_release(&at(&url), "test").await.unwrap();
    assert_eq!((made.version.as_str(), made.project.as_str()), ("1.2.0", "lamp"));
    assert_eq!(made.images[0].url, url);
    let rows = service.store.images(&made.id).await.unwrap();
    assert_eq!((rows[0].file.as_str(), rows[0].size), ("1.2.0/app.bin", 20_000));
    assert_eq!(rows[0].elf, Some("e1".repeat(16)), "nodes of the original firmware are known by it");
    let uploaded = service.upload(app()).await.unwrap();
    assert_eq!((&rows[0].sha256, &rows[0].image_hash), (&uploaded.sha256, &uploaded.image_hash));
    service.remove_release(&made.id).await.unwrap();
    assert!(folder.path().join("data/files/1.2.0/app.bin").exists(), "what is not ours stays");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_would_not_take_from_elsewhere_is_no_release_and_it_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane(folder.path()).await;
    let service = plane.service();
    let files = Files::new();
    files.insert("/app.bin", app());
    files.insert("/cut.bin", app()[..9_000].to_vec());
    files.insert("/page.bin", b"<!doctype html><p>log in first".to_vec());
    let authority = DevelopmentCa::generate().unwrap();
    let identity = authority.server_identity(&["localhost"]).unwrap();
    let host = FirmwareHost::start(HostOptions::https(identity).on_free_port(), files).await.unwrap();
    let ca = Some(authority.certificate_pem());
    let both = NewRelease {
        images: vec![NewImage { sha256: "00".repeat(32), node_type: None }],
        ..at(&host.url("/app.bin"))
    };
    for (new, words) in [
        (at(&host.url("/app.bin")), "which issued \"localhost\", is missing"),
        (NewRelease { ca: Some("none".into()), ..at(&host.url("/app.bin")) }, "no certificate"),
        (NewRelease { ca: ca.clone(), ..at(&host.url("/none.bin")) }, "404"),
        (NewRelease { ca: ca.clone(), ..at(&host.url("/cut.bin")) }, "nodes would not take"),
        (NewRelease { ca: ca.clone(), ..at(&host.url("/page.bin")) }, "nodes would not take"),
        (at("ftp://localhost/app.bin"), "nodes would not take"),
        (at(""), "nodes would not take"),
        (both, "not both"),
        (NewRelease::default(), "1 to 64 images"),
    ] {
        let said = service.create_release(&new, "test").await.unwrap_err().to_string();
        assert!(said.contains(words), "{:?}: {said}", new.url);
    }
    let made = service.create_release(&NewRelease { ca, ..at(&host.url("/app.bin")) }, "test").await.unwrap();
    assert_eq!(made.images[0].url, host.url("/app.bin"), "it stays where it is");
    assert!(made.warnings.iter().all(|it| !it.contains("chip")), "{:?}", made.warnings);
    plane.stop().await;
}
