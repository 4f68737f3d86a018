//! The check finds each fault, names it with the code a node would report, and finds nothing where nothing is wrong.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::images::{image, image_for};
use common::peers::{Peer, free_port};
use rootcast_hosting::check::{CheckOptions, CheckReport, Outcome, StepId, TrustStore, check, warning};
use rootcast_hosting::faults::{CertificateFault, Fault, FaultSource};
use rootcast_hosting::host::HostOptions;
use rootcast_hosting::identity::TlsVersions;
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost};
use rootcast_image::ChipId;
use rootcast_trust::sign::{KeyKind, SigningKey, sign_image};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Set {
    ca: DevelopmentCa,
    host: FirmwareHost,
    options: CheckOptions,
}

impl Set {
    async fn check(&self) -> CheckReport {
        check(&self.host.url("/fw.bin"), &self.options).await
    }
}

fn options(ca: &DevelopmentCa) -> CheckOptions {
    CheckOptions {
        trust: TrustStore::Only(vec![ca.certificate_der().clone()]),
        chip: Some(ChipId::ESP32C3),
        stall: Duration::from_secs(5),
        ..CheckOptions::default()
    }
}

async fn serve(content: impl Into<Bytes>, change: impl FnOnce(HostOptions) -> HostOptions) -> Set {
    let ca = DevelopmentCa::generate().unwrap();
    let files = Files::new();
    files.insert("/fw.bin", content);
    let host_options = change(HostOptions::https(ca.server_identity(&[]).unwrap()).on_free_port());
    let host = FirmwareHost::start(host_options, files).await.unwrap();
    Set { options: options(&ca), ca, host }
}

async fn with_fault(fault: Fault) -> CheckReport {
    serve(image("1.0.1", 300_000), |o| o.with_faults(FaultSource::always(fault))).await.check().await
}

/// A failure: this code first, and it stands at this step.
#[track_caller]
fn fails(report: &CheckReport, step: StepId, code: &str) {
    let text = serde_json::to_string_pretty(report).unwrap();
    assert!(!report.accepted, "accepted: {text}");
    assert_eq!(report.code, Some(code), "{text}");
    let at = report.steps.iter().find(|at| at.step == step && at.outcome == Outcome::Fail).expect(&text);
    assert_eq!(at.code, Some(code), "{text}");
    assert!(at.advice.as_ref().is_some_and(|advice| advice.len() > 10), "{text}");
}

#[track_caller]
fn warns(report: &CheckReport, code: &str) {
    let text = serde_json::to_string_pretty(report).unwrap();
    assert!(report.accepted, "{text}");
    assert!(report.warnings().any(|found| found == code), "no {code}: {text}");
}

#[tokio::test]
async fn a_good_host_passes_every_step_and_gets_an_estimate() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let signed = sign_image(&image("1.0.1", 300_000), std::slice::from_ref(&key)).unwrap();
    let mut set = serve(signed, |o| o).await;
    set.options.trusted_keys = vec![key.key_digest()];
    let report = set.check().await;
    let text = serde_json::to_string_pretty(&report).unwrap();
    assert!(report.accepted && report.code.is_none(), "{text}");
    let warned: Vec<_> = report.warnings().filter(|code| *code != warning::SLOW).collect();
    assert_eq!(warned, [warning::LOOPBACK_ADDRESS], "{text}");
    for step in [
        StepId::Url,
        StepId::Tcp,
        StepId::Tls,
        StepId::Chain,
        StepId::Domain,
        StepId::Validity,
        StepId::Trust,
        StepId::Status,
        StepId::Length,
        StepId::Etag,
        StepId::Range,
        StepId::ContentType,
        StepId::Encoding,
        StepId::Size,
        StepId::Chip,
        StepId::Structure,
        StepId::Checksum,
        StepId::Hash,
        StepId::Signature,
    ] {
        assert_eq!(report.step(step).map(|step| step.outcome), Some(Outcome::Ok), "{step:?}: {text}");
    }
    assert!(report.estimate.unwrap().direct_seconds > 60);
    assert_eq!(report.image.unwrap().version, "1.0.1");
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_named() {
    let options = CheckOptions::default();
    for (url, code) in [
        ("ftp://host/fw.bin".to_owned(), "url_scheme_unsupported"),
        ("https://ho st/fw.bin".to_owned(), "url_invalid"),
        ("https:///fw.bin".to_owned(), "url_invalid"),
        ("https://host:99999/fw.bin".to_owned(), "url_invalid"),
        (format!("https://host/{}", "a".repeat(2048)), "url_too_long"),
    ] {
        fails(&check(&url, &options).await, StepId::Url, code);
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_and_a_port_without_a_server_are_named() {
    let options = CheckOptions::default();
    fails(&check("https://no-such-host.invalid/fw.bin", &options).await, StepId::Dns, "dns_failed");
    fails(&check(&format!("https://{}/fw.bin", free_port()), &options).await, StepId::Tcp, "connect_failed");
}

#[tokio::test]
async fn each_certificate_fault_is_named_at_its_step() {
    for (fault, step, code) in [
        (CertificateFault::Expired, StepId::Validity, "certificate_expired"),
        (CertificateFault::NotYetValid, StepId::Validity, "certificate_not_yet_valid"),
        (CertificateFault::WrongHost, StepId::Domain, "certificate_wrong_host"),
        (CertificateFault::SelfSigned, StepId::Trust, "certificate_self_signed"),
        (CertificateFault::UnknownAuthority, StepId::Chain, "certificate_unknown_ca"),
        (CertificateFault::LeafAsCa, StepId::Chain, "certificate_issuer_not_ca"),
        (CertificateFault::MissingIntermediate, StepId::Chain, "certificate_unknown_ca"),
    ] {
        let set = serve(image("1.0.1", 300_000), |o| o).await;
        set.host.set_identity(&set.ca.faulty_identity(fault, &["localhost"]).unwrap()).unwrap();
        let report = set.check().await;
        fails(&report, step, code);
        assert!(report.image.is_some(), "the check goes on: {fault:?}");
        if fault == CertificateFault::MissingIntermediate {
            let found = &report.step(StepId::Chain).unwrap().found;
            assert!(found.contains("\"Rootcast development intermediate\""), "{found}");
        }
    }
    let set = serve(image("1.0.1", 300_000), |o| o).await;
    let whole = set.ca.faulty_identity(CertificateFault::WithIntermediate, &["localhost"]).unwrap();
    set.host.set_identity(&whole).unwrap();
    assert!(set.check().await.accepted);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_a_warning() {
    let set = serve(image("1.0.1", 300_000), |o| o).await;
    let now = time::OffsetDateTime::now_utc();
    let soon =
        set.ca.issue(&["localhost"], now - time::Duration::DAY, now + time::Duration::DAY * 3).unwrap();
    set.host.set_identity(&soon).unwrap();
    warns(&set.check().await, warning::CERTIFICATE_ENDS_SOON);
}

#[tokio::test]
async fn a_private_authority_is_unknown_to_nodes_that_trust_the_public_ones() {
    let mut set = serve(image("1.0.1", 300_000), |o| o).await;
    set.options.trust = TrustStore::Mozilla;
    fails(&set.check().await, StepId::Chain, "certificate_unknown_ca");
}

#[tokio::test]
async fn servers_that_do_not_speak_the_nodes_tls_are_told_apart() {
    let old =
        serve(image("1.0.1", 300_000), |o| HostOptions { tls: TlsVersions::Only12, ..o }).await.check().await;
    fails(&old, StepId::Tls, "tls_failed");
    assert!(old.step(StepId::Tls).unwrap().found.contains("TLS 1.2 only"));
    assert!(old.image.is_some(), "the check goes on over TLS 1.2");

    let plain = FirmwareHost::start(HostOptions::http().on_free_port(), Files::new()).await.unwrap();
    let swapped = check(&format!("https://{}/fw.bin", plain.address()), &CheckOptions::default()).await;
    fails(&swapped, StepId::Tls, "tls_failed");
    assert!(swapped.step(StepId::Tls).unwrap().advice.as_ref().unwrap().contains("http://"));
}

#[tokio::test]
async fn plain_http_is_a_warning_and_https_spoken_as_http_a_failure() {
    let files = Files::new();
    files.insert("/fw.bin", image("1.0.1", 300_000));
    let host = FirmwareHost::start(HostOptions::http().on_free_port(), files).await.unwrap();
    warns(&check(&host.url("/fw.bin"), &CheckOptions::default()).await, warning::PLAIN_HTTP);

    let set = serve(image("1.0.1", 300_000), |o| o).await;
    let report = check(&format!("http://{}/fw.bin", set.host.address()), &set.options).await;
    assert!(
        !report.accepted && matches!(report.code, Some("http_invalid_response" | "connection_lost")),
        "{report:?}"
    );
}

#[tokio::test]
async fn statuses_are_named() {
    for (status, code) in [
        (401, "http_unauthorized"),
        (403, "http_forbidden"),
        (404, "http_not_found"),
        (418, "http_client_error"),
        (500, "http_server_error"),
        (503, "http_server_error"),
    ] {
        fails(&with_fault(Fault { status: Some(status), ..Fault::default() }).await, StepId::Status, code);
    }
}

#[tokio::test]
async fn redirects_are_followed_with_the_other_hosts_certificate_and_named_when_wrong() {
    let other = serve(image("1.0.1", 300_000), |o| o).await;
    let to = |url: String| Fault { redirect: Some(url), ..Fault::default() };
    let first = |fault: Fault| serve(image("9.9.9", 300_000), |o| o.with_faults(FaultSource::always(fault)));

    let set = first(to(other.host.url("/fw.bin"))).await;
    let both = vec![set.ca.certificate_der().clone(), other.ca.certificate_der().clone()];
    let options = CheckOptions { trust: TrustStore::Only(both), ..set.options.clone() };
    let report = check(&set.host.url("/fw.bin"), &options).await;
    assert!(report.accepted, "{report:?}");
    assert_eq!(report.steps.iter().filter(|step| step.step == StepId::Trust).count(), 2);
    assert!(report.steps.iter().any(|step| step.hop == 1 && step.step == StepId::Tls));

    let report = set.check().await;
    assert_eq!(report.code, Some("certificate_unknown_ca"), "the second host's CA is unknown");
    assert!(report.steps.iter().any(|step| step.hop == 1 && step.outcome == Outcome::Fail));

    fails(&first(to("/again".into())).await.check().await, StepId::Redirect, "http_redirect_loop");
    fails(
        &first(to("http://example.com/x".into())).await.check().await,
        StepId::Redirect,
        "http_redirect_insecure",
    );
    fails(
        &first(to("ftp://example.com/x".into())).await.check().await,
        StepId::Redirect,
        "http_redirect_invalid",
    );
}

#[tokio::test]
async fn transfers_that_end_wrongly_are_named() {
    let cut = with_fault(Fault { cut_after: Some(100_000), ..Fault::default() }).await;
    fails(&cut, StepId::Transfer, "connection_lost");
    let long = with_fault(Fault { content_length: Some(400_000), ..Fault::default() }).await;
    fails(&long, StepId::Transfer, "http_length_mismatch");
    let short = with_fault(Fault { content_length: Some(200_000), ..Fault::default() }).await;
    fails(&short, StepId::Structure, "truncated");
    let gzip = with_fault(Fault { gzip: true, ..Fault::default() }).await;
    fails(&gzip, StepId::Encoding, "http_content_encoding");

    let stalls = FaultSource::always(Fault { stall_after: Some(5000), ..Fault::default() });
    let mut set = serve(image("1.0.1", 300_000), |o| o.with_faults(stalls)).await;
    set.options.stall = Duration::from_millis(300);
    fails(&set.check().await, StepId::Transfer, "download_stalled");
}

#[tokio::test]
async fn what_makes_downloads_fragile_is_a_warning() {
    use rootcast_hosting::faults::EtagFault;
    let chunked = with_fault(Fault { no_content_length: true, ..Fault::default() }).await;
    warns(&chunked, warning::NO_CONTENT_LENGTH);
    warns(&with_fault(Fault { no_range: true, ..Fault::default() }).await, warning::NO_RANGE);
    warns(&with_fault(Fault { etag: EtagFault::Missing, ..Fault::default() }).await, warning::NO_STRONG_ETAG);
    warns(&with_fault(Fault { etag: EtagFault::Weak, ..Fault::default() }).await, warning::NO_STRONG_ETAG);
    let page = Fault { content_type: Some("text/plain".into()), ..Fault::default() };
    warns(&with_fault(page).await, warning::CONTENT_TYPE);

    // Two versions behind one tag, as a balancer over two half-updated servers gives them.
    let other = common::content(300_000);
    let hidden = FaultSource::from_fn(move |request| match request.range {
        None => Fault::default(),
        Some(_) => Fault { content: Some(other.clone().into()), etag: EtagFault::Stale, ..Fault::default() },
    });
    let set = serve(image("1.0.1", 300_000), |o| o.with_faults(hidden)).await;
    warns(&set.check().await, warning::RANGE_WRONG);
}

#[tokio::test]
async fn files_that_are_no_image_for_these_nodes_are_named() {
    let good = image("1.0.1", 300_000);
    let flip = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let cases: [(Vec<u8>, StepId, &str); 8] = [
        (b"<!DOCTYPE html><html>Sign in</html>".to_vec(), StepId::Structure, "not_an_image"),
        (b"MZ not firmware".to_vec(), StepId::Structure, "not_an_image"),
        (vec![0xFF; 70_000], StepId::Structure, "merged_factory_image"),
        (Vec::new(), StepId::Structure, "not_an_image"),
        (good[..200_000].to_vec(), StepId::Structure, "truncated"),
        (flip(150_000), StepId::Checksum, "checksum_mismatch"),
        (flip(good.len() - 5), StepId::Hash, "hash_mismatch"),
        (image_for(ChipId::ESP32S3, "1.0.1", 300_000), StepId::Chip, "wrong_chip"),
    ];
    for (content, step, code) in cases {
        fails(&serve(content, |o| o).await.check().await, step, code);
    }
    let large = serve(image("1.0.1", 1_500_000), |o| o).await.check().await;
    fails(&large, StepId::Size, "image_too_large");
    assert!(large.step(StepId::Size).unwrap().found.contains("58208 more"), "{large:?}");
}

#[tokio::test]
async fn signatures_are_checked_against_the_keys_the_nodes_trust() {
    let (ours, strangers) = (
        SigningKey::generate(KeyKind::EcdsaP256).unwrap(),
        SigningKey::generate(KeyKind::EcdsaP256).unwrap(),
    );
    let plain = image("1.0.1", 300_000);
    let signed = |key: &SigningKey| sign_image(&plain, std::slice::from_ref(key)).unwrap();
    let mut broken = signed(&ours);
    let last_signed = broken.len() - 4096;
    broken[last_signed + 100] ^= 1;
    let mut changed = signed(&ours);
    changed[last_signed - 1] ^= 1;
    for (content, code) in [
        (plain.clone(), "signature_missing"),
        (signed(&strangers), "signature_untrusted"),
        (broken, "signature_malformed"),
        (changed, "signature_invalid"),
    ] {
        let mut set = serve(content, |o| o).await;
        set.options.trusted_keys = vec![ours.key_digest()];
        fails(&set.check().await, StepId::Signature, code);
    }
    warns(&serve(signed(&ours), |o| o).await.check().await, warning::SIGNATURE_UNCHECKED);
}

#[tokio::test]
async fn what_the_trigger_will_say_is_compared() {
    let mut set = serve(image("1.0.1", 300_000), |o| o).await;
    set.options.expected_size = Some(300_001);
    fails(&set.check().await, StepId::Digest, "size_mismatch");
    set.options.expected_size = None;
    set.options.expected_sha256 = Some([7; 32]);
    fails(&set.check().await, StepId::Digest, "digest_mismatch");
}

/// A server that says exactly this to everyone, over plain HTTP.
async fn raw_server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    format!("http://{address}/fw.bin")
}

#[tokio::test]
async fn servers_that_do_not_speak_http_as_they_should_are_named() {
    let options = CheckOptions::default();
    let mut large_head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n".to_vec();
    for n in 0..60 {
        large_head.extend(format!("X-Policy-{n}: {}\r\n", "p".repeat(100)).bytes());
    }
    large_head.extend(b"\r\nhello");
    for (answer, code) in [
        (b"220 mail.example ESMTP\r\n\r\n".to_vec(), "http_invalid_response"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_vec(),
            "http_invalid_response",
        ),
        (b"HTTP/1.1 302 Found\r\n\r\n".to_vec(), "http_redirect_invalid"),
        (large_head, "http_head_too_large"),
        (Vec::new(), "connection_lost"),
    ] {
        let report = check(&raw_server(answer.clone()).await, &options).await;
        assert_eq!(report.code, Some(code), "{:?}: {report:?}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn nginx_and_apache_pass_and_their_usual_mistakes_are_named() {
    let ca = DevelopmentCa::generate().unwrap();
    let served = tempfile::tempdir().unwrap();
    make_passable(served.path());
    std::fs::write(served.path().join("fw.bin"), image("1.0.1", 300_000)).unwrap();
    // apache calls the tag of a file weak in the second in which it was written.
    let file = std::fs::File::options().append(true).open(served.path().join("fw.bin")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    let identity = ca.server_identity(&[]).unwrap();
    let options = options(&ca);
    let ask = |peer: &Peer, path: &str| format!("https://localhost:{}{path}", peer.address.port());

    let more = "location /login { return 302 /page; } location /page { default_type text/html; return 200 '<html>Sign in</html>'; }\n\
                location /private { deny all; } location /old { return 301 http://localhost/fw.bin; }";
    if let Some(nginx) = Peer::nginx(served.path(), &identity, more) {
        let good = check(&ask(&nginx, "/fw.bin"), &options).await;
        assert!(good.accepted, "{good:?}");
        assert_eq!(good.step(StepId::Range).unwrap().outcome, Outcome::Ok, "{good:?}");
        fails(&check(&ask(&nginx, "/none.bin"), &options).await, StepId::Status, "http_not_found");
        fails(&check(&ask(&nginx, "/private/fw.bin"), &options).await, StepId::Status, "http_forbidden");
        fails(&check(&ask(&nginx, "/old"), &options).await, StepId::Redirect, "http_redirect_insecure");
        let login = check(&ask(&nginx, "/login"), &options).await;
        fails(&login, StepId::Structure, "not_an_image");
        assert!(login.step(StepId::Structure).unwrap().found.contains("HTML"));
    }
    if let Some(apache) = Peer::apache(served.path(), &identity, "Header always set X-Test yes") {
        let good = check(&ask(&apache, "/fw.bin"), &options).await;
        assert!(good.accepted, "{good:?}");
        assert_eq!(good.step(StepId::Range).unwrap().outcome, Outcome::Ok, "{good:?}");
        fails(&check(&ask(&apache, "/none.bin"), &options).await, StepId::Status, "http_not_found");
    }
}

#[tokio::test]
async fn pythons_server_passes_with_warnings() {
    let served = tempfile::tempdir().unwrap();
    std::fs::write(served.path().join("fw.bin"), image("1.0.1", 300_000)).unwrap();
    let Some(python) = Peer::python(served.path()) else { return };
    let report = check(&format!("{}/fw.bin", python.url()), &CheckOptions::default()).await;
    for code in [warning::PLAIN_HTTP, warning::NO_STRONG_ETAG, warning::NO_RANGE] {
        warns(&report, code);
    }
}

fn make_passable(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn real_images_pass_for_their_chip_and_no_other() {
    let Some(wallbox) = common::peers::real_image("wallbox_s3/v2.5.1.bin") else { return };
    let mut set = serve(wallbox, |o| o).await;
    fails(&set.check().await, StepId::Chip, "wrong_chip");
    set.options.chip = Some(ChipId::ESP32S3);
    assert!(set.check().await.accepted);
    let Some(cheapspool) = common::peers::real_image("cheapspool_esp32/csd_2026-03-12.bin") else { return };
    let mut set = serve(cheapspool, |o| o).await;
    set.options.chip = Some(ChipId::ESP32);
    fails(&set.check().await, StepId::Size, "image_too_large");
}
