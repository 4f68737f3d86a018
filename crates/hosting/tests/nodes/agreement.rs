//! The faults that servers and files have: each is provoked on a real nginx or a raw socket server, the check names it at its step, and a
//! virtual node then reports the very same code for the same URL.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rootcast_hosting::check::{CheckOptions, Outcome, StepId, TrustStore, check};
use rootcast_hosting::faults::CertificateFault;
use rootcast_hosting::{DevelopmentCa, ServerIdentity};
use rootcast_image::ChipId;
use rootcast_trust::sign::{KeyKind, SigningKey, sign_image};
use rootcast_wire::ErrorCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::images::{image, image_for};
use crate::mesh::{End, Mesh, STALL};
use crate::peers::{Peer, Site, free_port};

/// One fault: where, at which step of the check, with which code of check and node.
pub struct Case {
    name: &'static str,
    url: String,
    /// More fields of the trigger.
    trigger: Value,
    step: StepId,
    code: ErrorCode,
}

pub fn case(name: &'static str, url: impl Into<String>, step: StepId, code: ErrorCode) -> Case {
    Case { name, url: url.into(), trigger: json!({}), step, code }
}

/// Runs the check and a node on every case and lists where they differ from what is expected, or from each other.
pub async fn compare(cases: &[Case], options: &CheckOptions, mesh: &mut Mesh) {
    let mut wrong = Vec::new();
    for case in cases {
        let sha256 = case.trigger["sha256"].as_str().and_then(rootcast_image::ImageHash::from_hex);
        let options = CheckOptions {
            expected_sha256: sha256.map(|hash| hash.0),
            expected_size: case.trigger["size"].as_u64().map(|size| size as u32),
            ..options.clone()
        };
        let report = check(&case.url, &options).await;
        let failed = report.steps.iter().any(|step| {
            step.step == case.step && step.outcome == Outcome::Fail && step.code == Some(case.code.name())
        });
        if report.accepted || report.code != Some(case.code.name()) || !failed {
            wrong.push(format!("{}: the check says {:?}: {:#?}", case.name, report.code, report.steps));
        }
        let end = mesh.outcome(&case.url, case.trigger.clone()).await;
        if end != End::Not(case.code) {
            wrong.push(format!("{}: the node says {end:?}, the check {:?}", case.name, report.code));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

pub fn options(ca: &DevelopmentCa) -> CheckOptions {
    CheckOptions {
        trust: TrustStore::Only(vec![ca.certificate_der().clone()]),
        chip: Some(ChipId::ESP32C3),
        stall: STALL,
        ..CheckOptions::default()
    }
}

fn passable() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Each file gets a time of its own: nginx makes its tag from time and size, and another file must not have the same one.
fn put(folder: &Path, name: &str, content: &[u8]) {
    static FILES: AtomicU64 = AtomicU64::new(1);
    fs::write(folder.join(name), content).unwrap();
    let age = Duration::from_secs(60 * FILES.fetch_add(1, Ordering::Relaxed));
    let file = fs::File::options().append(true).open(folder.join(name)).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// The other byte at one place.
fn flipped(content: &[u8], at: usize) -> Vec<u8> {
    let mut bad = content.to_vec();
    bad[at] ^= 1;
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_node_agree_on_every_fault_of_tls_and_certificates() {
    use ErrorCode as E;
    let ca = DevelopmentCa::generate().unwrap();
    let served = passable();
    put(served.path(), "fw.bin", &image("1.1.0", 64_000));
    let good = ca.server_identity(&[]).unwrap();
    let faulty = |fault| ca.faulty_identity(fault, &["localhost", "127.0.0.1"]).unwrap();
    let tls =
        |identity: &ServerIdentity, more: &str| Site { identity: Some(identity.clone()), more: more.into() };
    let faults = [
        ("expired", CertificateFault::Expired, StepId::Validity, E::CertificateExpired),
        ("not yet valid", CertificateFault::NotYetValid, StepId::Validity, E::CertificateNotYetValid),
        ("for another name", CertificateFault::WrongHost, StepId::Domain, E::CertificateWrongHost),
        ("signed by itself", CertificateFault::SelfSigned, StepId::Trust, E::CertificateSelfSigned),
        ("by a stranger", CertificateFault::UnknownAuthority, StepId::Chain, E::CertificateUnknownCa),
        ("issued by a server", CertificateFault::LeafAsCa, StepId::Chain, E::CertificateIssuerNotCa),
        (
            "intermediate missing",
            CertificateFault::MissingIntermediate,
            StepId::Chain,
            E::CertificateUnknownCa,
        ),
    ];
    let mut sites: Vec<Site> = faults.iter().map(|(_, fault, ..)| tls(&faulty(*fault), "")).collect();
    let first_tls = sites.len();
    sites.extend([
        tls(&good, "ssl_protocols TLSv1.2;"),
        tls(&good, "ssl_ecdh_curve X25519;"),
        tls(&good, "ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;"),
        Site { identity: None, more: String::new() },
        tls(&good, ""),
    ]);
    let Some(nginx) = Peer::nginx_sites(served.path(), &sites) else { return };
    let url = |site: usize| format!("https://localhost:{}/fw.bin", nginx.ports[site]);
    let mut cases: Vec<Case> = faults
        .iter()
        .enumerate()
        .map(|(at, (name, _, step, code))| case(name, url(at), *step, *code))
        .collect();
    let plain_at = nginx.ports[first_tls + 4];
    let good_at = url(first_tls + 4);
    cases.extend([
        case("TLS 1.2 only", url(first_tls), StepId::Tls, E::TlsFailed),
        case("no P-256", url(first_tls + 1), StepId::Tls, E::TlsFailed),
        case("AES-256 only", url(first_tls + 2), StepId::Tls, E::TlsFailed),
        case("https to an http port", url(first_tls + 3), StepId::Tls, E::TlsFailed),
        case(
            "http to an https port",
            format!("http://localhost:{plain_at}/fw.bin"),
            StepId::Status,
            E::HttpClientError,
        ),
    ]);
    let mut mesh = Mesh::start(1, &ca, Vec::new()).await;
    compare(&cases, &options(&ca), &mut mesh).await;

    // The control: the same nginx, the same file, nothing wrong.
    let report = check(&good_at, &options(&ca)).await;
    assert!(report.accepted, "{report:?}");
    assert_eq!(mesh.outcome(&good_at, json!({})).await, End::Confirmed);
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_node_agree_on_every_fault_of_a_web_server() {
    use ErrorCode as E;
    let ca = DevelopmentCa::generate().unwrap();
    let served = passable();
    put(served.path(), "fw.bin", &image("1.1.0", 64_000));
    let identity = ca.server_identity(&[]).unwrap();
    let expired = ca.faulty_identity(CertificateFault::Expired, &["localhost"]).unwrap();
    let policies: String =
        (0..60).map(|n| format!("add_header X-Policy-{n} '{}';\n", "p".repeat(100))).collect();
    let long = "a".repeat(2100);
    let bad = [Site { identity: Some(expired), more: String::new() }];
    let Some(second) = Peer::nginx_sites(served.path(), &bad) else { return };
    let expired_at = second.ports[0];
    let more = format!(
        "location /private {{ deny all; }}\nlocation /login {{ return 401; }}\nlocation /teapot {{ return 418; }}\n\
         location /broken {{ return 500; }}\nlocation /busy {{ return 503; }}\nlocation /loop {{ return 302 /loop; }}\n\
         location /insecure {{ return 301 http://localhost/fw.bin; }}\nlocation /ftp {{ return 302 ftp://localhost/fw.bin; }}\n\
         location /long {{ return 302 https://localhost/{long}; }}\nlocation /gone {{ return 302 https://no-such-host.invalid/fw.bin; }}\n\
         location /sign-in {{ return 302 /page; }}\nlocation /page {{ default_type text/html; return 200 '<html>Sign in</html>'; }}\n\
         location /zipped {{ alias {root}/fw.bin; add_header Content-Encoding gzip; }}\n\
         location /talkative {{ alias {root}/fw.bin; {policies} }}\n\
         location /other {{ return 302 https://localhost:{expired_at}/fw.bin; }}\n",
        root = served.path().display()
    );
    let sites = [Site { identity: Some(identity), more }];
    let Some(nginx) = Peer::nginx_sites(served.path(), &sites) else { return };
    let url = |path: &str| format!("https://localhost:{}{path}", nginx.ports[0]);
    let cases = [
        case("no such file", url("/none.bin"), StepId::Status, E::HttpNotFound),
        case("not allowed", url("/private/fw.bin"), StepId::Status, E::HttpForbidden),
        case("a login", url("/login"), StepId::Status, E::HttpUnauthorized),
        case("another refusal", url("/teapot"), StepId::Status, E::HttpClientError),
        case("a broken server", url("/broken"), StepId::Status, E::HttpServerError),
        case("a busy server", url("/busy"), StepId::Status, E::HttpServerError),
        case("a redirect to itself", url("/loop"), StepId::Redirect, E::HttpRedirectLoop),
        case("a redirect to http", url("/insecure"), StepId::Redirect, E::HttpRedirectInsecure),
        case("a redirect to ftp", url("/ftp"), StepId::Redirect, E::HttpRedirectInvalid),
        case("a redirect that is too long", url("/long"), StepId::Redirect, E::UrlTooLong),
        case("a redirect to nowhere", url("/gone"), StepId::Dns, E::DnsFailed),
        case(
            "a redirect to a host with a bad certificate",
            url("/other"),
            StepId::Validity,
            E::CertificateExpired,
        ),
        case("a login page", url("/sign-in"), StepId::Structure, E::NotAnImage),
        case("compressed", url("/zipped"), StepId::Encoding, E::HttpContentEncoding),
        case("a head of 6 kB", url("/talkative"), StepId::Status, E::HttpHeadTooLarge),
    ];
    let mut mesh = Mesh::start(1, &ca, Vec::new()).await;
    compare(&cases, &options(&ca), &mut mesh).await;
    mesh.stop().await;
}

/// What a raw server does with every connection.
#[derive(Clone)]
enum Manners {
    /// Says this and closes.
    Says(Vec<u8>),
    /// Says this, then nothing more.
    Stalls(Vec<u8>),
}

async fn raw_server(manners: Manners) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let manners = manners.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let (Manners::Says(answer) | Manners::Stalls(answer)) = &manners;
                let _ = stream.write_all(answer).await;
                match manners {
                    Manners::Says(_) => drop(stream.shutdown().await),
                    Manners::Stalls(_) => drop(stream.read(&mut request).await),
                }
            });
        }
    });
    format!("http://{address}/fw.bin")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_node_agree_on_every_fault_of_a_connection() {
    use ErrorCode as E;
    let says = |text: &str| raw_server(Manners::Says(text.as_bytes().to_vec()));
    let begun = |length: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        answer.extend(&image("1.1.0", 64_000)[..2_000]);
        answer
    };
    let cases = [
        case(
            "a mail server",
            says("220 mail.example ESMTP\r\n\r\n").await,
            StepId::Status,
            E::HttpInvalidResponse,
        ),
        case(
            "two lengths",
            says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello").await,
            StepId::Status,
            E::HttpInvalidResponse,
        ),
        case(
            "a redirect without a place",
            says("HTTP/1.1 302 Found\r\n\r\n").await,
            StepId::Redirect,
            E::HttpRedirectInvalid,
        ),
        case("closes without a word", says("").await, StepId::Status, E::ConnectionLost),
        case(
            "cut after 2 kB",
            raw_server(Manners::Says(begun(64_000))).await,
            StepId::Transfer,
            E::ConnectionLost,
        ),
        case(
            "says nothing",
            raw_server(Manners::Stalls(Vec::new())).await,
            StepId::Status,
            E::DownloadStalled,
        ),
        case(
            "stops after 2 kB",
            raw_server(Manners::Stalls(begun(64_000))).await,
            StepId::Transfer,
            E::DownloadStalled,
        ),
        case("nobody listens", format!("http://{}/fw.bin", free_port()), StepId::Tcp, E::ConnectFailed),
        case("no such name", "https://no-such-host.invalid/fw.bin", StepId::Dns, E::DnsFailed),
        case("another scheme", "ftp://localhost/fw.bin", StepId::Url, E::UrlSchemeUnsupported),
        case("no host", "https:///fw.bin", StepId::Url, E::UrlInvalid),
        case("a port that is none", "https://localhost:99999/fw.bin", StepId::Url, E::UrlInvalid),
        case(
            "a URL that is too long",
            format!("https://localhost/{}", "a".repeat(2048)),
            StepId::Url,
            E::UrlTooLong,
        ),
    ];
    let ca = DevelopmentCa::generate().unwrap();
    let mut mesh = Mesh::start(1, &ca, Vec::new()).await;
    compare(&cases, &options(&ca), &mut mesh).await;
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_node_agree_on_every_fault_of_a_file() {
    use ErrorCode as E;
    let ca = DevelopmentCa::generate().unwrap();
    let served = passable();
    let good = image("1.1.0", 64_000);
    let html = b"<!DOCTYPE html><html>Build failed</html>".to_vec();
    let files: [(&'static str, Vec<u8>, StepId, ErrorCode); 9] = [
        ("page.bin", html, StepId::Structure, E::NotAnImage),
        ("empty.bin", Vec::new(), StepId::Structure, E::NotAnImage),
        ("merged.bin", vec![0xFF; 70_000], StepId::Structure, E::MergedFactoryImage),
        ("cut.bin", good[..40_000].to_vec(), StepId::Structure, E::Truncated),
        ("flipped.bin", flipped(&good, 30_000), StepId::Checksum, E::ChecksumMismatch),
        ("hash.bin", flipped(&good, good.len() - 5), StepId::Hash, E::HashMismatch),
        ("s3.bin", image_for(ChipId::ESP32S3, "1.1.0", 64_000), StepId::Chip, E::WrongChip),
        ("large.bin", image("1.1.0", 1_500_000), StepId::Size, E::ImageTooLarge),
        ("large-s3.bin", image_for(ChipId::ESP32S3, "1.1.0", 1_500_000), StepId::Chip, E::WrongChip),
    ];
    for (name, content, ..) in &files {
        put(served.path(), name, content);
    }
    put(served.path(), "fw.bin", &good);
    let identity = ca.server_identity(&[]).unwrap();
    let Some(nginx) =
        Peer::nginx_sites(served.path(), &[Site { identity: Some(identity), more: String::new() }])
    else {
        return;
    };
    let url = |name: &str| format!("https://localhost:{}/{name}", nginx.ports[0]);
    let mut cases: Vec<Case> =
        files.iter().map(|(name, _, step, code)| case(name, url(name), *step, *code)).collect();
    let other = "07".repeat(32);
    cases.extend([
        Case {
            trigger: json!({ "sha256": other }),
            ..case("another digest", url("fw.bin"), StepId::Digest, E::DigestMismatch)
        },
        Case {
            trigger: json!({ "size": 64_001 }),
            ..case("another size", url("fw.bin"), StepId::Digest, E::SizeMismatch)
        },
    ]);
    let mut mesh = Mesh::start(1, &ca, Vec::new()).await;
    compare(&cases, &options(&ca), &mut mesh).await;
    mesh.stop().await;

    // Nodes that trust a key.
    let [ours, strangers] = [0, 1].map(|_| SigningKey::generate(KeyKind::EcdsaP256).unwrap());
    let signed = |key: &SigningKey| sign_image(&good, std::slice::from_ref(key)).unwrap();
    let whole = signed(&ours);
    let sector = whole.len() - 4096;
    for (name, content) in [
        ("by-a-stranger.bin", signed(&strangers)),
        ("sector.bin", flipped(&whole, sector + 100)),
        ("changed.bin", flipped(&whole, sector - 1)),
        ("signed.bin", whole),
    ] {
        put(served.path(), name, &content);
    }
    let cases = [
        case("not signed", url("fw.bin"), StepId::Signature, E::SignatureMissing),
        case("signed by a stranger", url("by-a-stranger.bin"), StepId::Signature, E::SignatureUntrusted),
        case("changed after signing", url("changed.bin"), StepId::Signature, E::SignatureInvalid),
        case("a broken signature sector", url("sector.bin"), StepId::Signature, E::SignatureMalformed),
    ];
    let options = CheckOptions { trusted_keys: vec![ours.key_digest()], ..options(&ca) };
    let mut mesh = Mesh::start(1, &ca, vec![ours.key_digest()]).await;
    compare(&cases, &options, &mut mesh).await;
    assert!(check(&url("signed.bin"), &options).await.accepted);
    assert_eq!(mesh.outcome(&url("signed.bin"), json!({})).await, End::Confirmed);
    mesh.stop().await;
}
