//! What the built-in host promises to those who download from it.

mod common;

use std::fs;
use std::time::Duration;

use common::{ask, content, http1, http2, plain, read, request, tls};
use hyper::{StatusCode, Version};
use rootcast_hosting::faults::{CertificateFault, EtagFault, Fault, FaultSource};
use rootcast_hosting::host::{HostEvent, MeshKey};
use rootcast_hosting::identity::{IdentitySource, TlsVersions};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};

const GRACE: Duration = Duration::from_secs(10);

struct Set {
    ca: DevelopmentCa,
    host: FirmwareHost,
    image: Vec<u8>,
}

async fn set(change: impl FnOnce(HostOptions) -> HostOptions) -> Set {
    let ca = DevelopmentCa::generate().unwrap();
    let image = content(1_300_000);
    let files = Files::new();
    files.insert("/fw.bin", image.clone());
    let options = change(HostOptions::https(ca.server_identity(&[]).unwrap()).on_free_port());
    let host = FirmwareHost::start(options, files).await.unwrap();
    Set { ca, host, image }
}

async fn with_fault(fault: Fault) -> Set {
    set(|options| options.with_faults(FaultSource::always(fault))).await
}

#[tokio::test]
async fn an_image_arrives_whole_over_both_versions_of_http() {
    let Set { ca, host, image } = set(|options| options).await;
    let one = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    let two =
        read(http2(host.address(), &ca).await.send_request(request("GET", "/fw.bin", &[])).await.unwrap())
            .await;
    for (answer, version) in [(one, Version::HTTP_11), (two, Version::HTTP_2)] {
        assert_eq!((answer.status, answer.version), (StatusCode::OK, version));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        assert_eq!(answer.header("content-length"), Some("1300000"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert!(answer.header("last-modified").is_some() && answer.header("date").is_some());
        assert!(answer.header("etag").is_some_and(|tag| tag.starts_with('"') && tag.len() == 34));
        assert!(answer.body == image);
    }
}

#[tokio::test]
async fn a_download_is_resumed_on_the_same_connection_and_only_from_the_same_content() {
    let Set { ca, host, image } = set(|options| options).await;
    let mut send = http1(host.address(), &ca).await;
    let head = ask(&mut send, "HEAD", "/fw.bin", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), Some("1300000"));
    let etag = head.header("etag").unwrap().to_owned();

    let resume = [("range", "bytes=1000000-"), ("if-range", etag.as_str())];
    let rest = ask(&mut send, "GET", "/fw.bin", &resume).await;
    assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.header("content-range"), Some("bytes 1000000-1299999/1300000"));
    assert!(rest.body == image[1_000_000..]);

    host.files().insert("/fw.bin", content(900_000));
    let anew = ask(&mut send, "GET", "/fw.bin", &resume).await;
    assert_eq!((anew.status, anew.body.len()), (StatusCode::OK, 900_000));

    let beyond = ask(&mut send, "GET", "/fw.bin", &[("range", "bytes=900000-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), Some("bytes */900000"));
    assert_eq!(host.counters().connections, 1);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_says_so() {
    let Set { ca, host, .. } = set(|options| options).await;
    let mut send = http1(host.address(), &ca).await;
    assert_eq!(ask(&mut send, "GET", "/other.bin", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&mut send, "GET", "/../fw.bin", &[]).await.status, StatusCode::NOT_FOUND);
    let posted = ask(&mut send, "POST", "/fw.bin", &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD")));
}

#[tokio::test]
async fn a_folder_is_served_with_large_files_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let large = content((17 << 20) + 5);
    fs::create_dir(folder.path().join("v1")).unwrap();
    fs::write(folder.path().join("v1/large.bin"), &large).unwrap();
    fs::write(folder.path().join("v1/small.bin"), b"small").unwrap();
    let files = Files::with_folder(folder.path()).unwrap();
    let host = FirmwareHost::start(HostOptions::http().on_free_port(), files).await.unwrap();
    let mut send = plain(host.address()).await;
    assert_eq!(ask(&mut send, "GET", "/v1/small.bin", &[]).await.body, b"small");
    assert!(ask(&mut send, "GET", "/v1/large.bin", &[]).await.body == large);
    let part = ask(&mut send, "GET", "/v1/large.bin", &[("range", "bytes=17000000-17000009")]).await;
    assert_eq!(part.body, large[17_000_000..17_000_010]);
    assert_eq!(ask(&mut send, "GET", "/v1", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn stopping_lets_a_running_download_finish_and_takes_no_more() {
    let Set { ca, host, image } =
        set(|options| HostOptions { limit_total: Some(4_000_000), ..options }).await;
    let address = host.address();
    let mut send = http1(address, &ca).await;
    let response = send.send_request(request("GET", "/fw.bin", &[])).await.unwrap();
    let download = tokio::spawn(read(response));
    assert!(host.stop(GRACE).await);
    assert!(download.await.unwrap().body == image);
    assert!(tls(address, &ca, &[]).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_told() {
    let Set { ca, host, .. } = set(|options| HostOptions { max_connections: 1, ..options }).await;
    let mut events = host.events();
    let mut first = http1(host.address(), &ca).await;
    assert!(tls(host.address(), &ca, &[]).await.is_err());
    assert!(matches!(events.recv().await.unwrap(), HostEvent::TooManyConnections { .. }));
    assert_eq!(ask(&mut first, "GET", "/fw.bin", &[]).await.status, StatusCode::OK);
    assert_eq!(host.counters().refused_connections, 1);
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let idle_timeout = Duration::from_millis(100);
    let Set { ca, host, .. } = set(|options| HostOptions { idle_timeout, ..options }).await;
    let mut send = http1(host.address(), &ca).await;
    ask(&mut send, "HEAD", "/fw.bin", &[]).await;
    while host.counters().open_connections > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_request_is_told_with_what_was_sent() {
    let Set { ca, host, .. } = set(|options| HostOptions { mesh_key: MeshKey::Query, ..options }).await;
    let mut events = host.events();
    let mut send = http1(host.address(), &ca).await;
    ask(&mut send, "GET", "/fw.bin?mesh=attic&X-Amz-Signature=secret", &[("range", "bytes=10-19")]).await;
    let HostEvent::Request(told) = events.recv().await.unwrap() else { panic!("another event") };
    assert_eq!((told.path.as_str(), told.mesh.as_str(), told.status), ("/fw.bin", "attic", 206));
    assert_eq!((told.range_start, told.length, told.sent, told.complete), (Some(10), 10, 10, true));
    assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    assert_eq!((host.counters().requests, host.counters().bytes_served), (1, 10));
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_host_is_told_as_a_failed_handshake() {
    let Set { host, .. } = set(|options| options).await;
    let mut events = host.events();
    let stranger = DevelopmentCa::generate().unwrap();
    assert!(tls(host.address(), &stranger, &[]).await.is_err());
    let HostEvent::HandshakeFailed { error, .. } = events.recv().await.unwrap() else {
        panic!("another event")
    };
    assert!(error.contains("UnknownCA") || error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn certificate_files_are_taken_over_when_they_change_and_not_when_they_are_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("fullchain.pem"), folder.path().join("privkey.pem"));
    let put = |ca: &DevelopmentCa| {
        let identity = ca.server_identity(&[]).unwrap();
        fs::write(&key, identity.key_pem()).unwrap();
        fs::write(&certificate, identity.chain_pem()).unwrap();
    };
    let (old, new) = (DevelopmentCa::generate().unwrap(), DevelopmentCa::generate().unwrap());
    put(&old);
    let source = IdentitySource::Files { certificate: certificate.clone(), key: key.clone() };
    let options =
        HostOptions { reload_period: Duration::from_millis(30), ..HostOptions::https(source).on_free_port() };
    let host = FirmwareHost::start(options, Files::new()).await.unwrap();
    let mut events = host.events();
    assert!(tls(host.address(), &old, &[]).await.is_ok());

    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    assert!(matches!(events.recv().await.unwrap(), HostEvent::IdentityRefused { .. }));
    assert!(tls(host.address(), &old, &[]).await.is_ok(), "the old certificate stays in use");

    put(&new);
    while !matches!(events.recv().await.unwrap(), HostEvent::IdentityReloaded) {}
    while tls(host.address(), &new, &[]).await.is_err() {}
}

#[tokio::test]
async fn a_kept_authority_stays_the_same_and_guards_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let made = DevelopmentCa::keep_in(folder.path()).unwrap();
    let kept = DevelopmentCa::keep_in(folder.path()).unwrap();
    assert_eq!(made.certificate_der(), kept.certificate_der());
    let options = HostOptions::https(kept.server_identity(&["fw.example"]).unwrap()).on_free_port();
    let host = FirmwareHost::start(options, Files::new()).await.unwrap();
    assert!(tls(host.address(), &made, &[]).await.is_ok());

    use std::os::unix::fs::PermissionsExt as _;
    let key = folder.path().join("rootcast-ca.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = DevelopmentCa::keep_in(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[tokio::test]
async fn a_background_host_needs_no_runtime_of_the_caller() {
    let served = std::thread::spawn(|| {
        let files = Files::new();
        files.insert("fw.bin", content(10));
        let host = FirmwareHost::start_in_background(HostOptions::http().on_free_port(), files).unwrap();
        let address = host.address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body =
            runtime.block_on(async { ask(&mut plain(address).await, "GET", "/fw.bin", &[]).await.body });
        drop(runtime);
        (host.stop_in_background(GRACE), body)
    });
    assert_eq!(served.join().unwrap(), (true, content(10)));
}

#[tokio::test]
async fn a_bandwidth_limit_holds() {
    let limit_per_mesh = Some(2_000_000);
    let Set { ca, host, .. } = set(|options| HostOptions { limit_per_mesh, ..options }).await;
    let mut events = host.events();
    ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    let HostEvent::Request(told) = events.recv().await.unwrap() else { panic!("another event") };
    // 1.3 MB at 2 MB/s, less the burst; a lower bound only, so a slow machine cannot fail it.
    assert!(told.millis >= 580, "{} ms", told.millis);
}

#[tokio::test]
async fn a_host_can_cut_and_shorten_and_stall_on_purpose() {
    let Set { ca, host, image } = with_fault(Fault { cut_after: Some(100_000), ..Fault::default() }).await;
    let cut = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    assert!(cut.broken.is_some() && cut.body == image[..100_000]);
    let cut =
        read(http2(host.address(), &ca).await.send_request(request("GET", "/fw.bin", &[])).await.unwrap())
            .await;
    assert!(cut.broken.is_some() && cut.body.len() <= 100_000);

    let Set { ca, host, .. } =
        with_fault(Fault { content_length: Some(2_000_000), ..Fault::default() }).await;
    let long = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    assert_eq!((long.header("content-length"), long.broken.is_some()), (Some("2000000"), true));

    let Set { ca, host, .. } = with_fault(Fault { content_length: Some(1000), ..Fault::default() }).await;
    let short = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    assert_eq!((short.body.len(), short.broken), (1000, None));

    let Set { ca, host, .. } = with_fault(Fault { stall_after: Some(5000), ..Fault::default() }).await;
    let mut send = http1(host.address(), &ca).await;
    let response = send.send_request(request("GET", "/fw.bin", &[])).await.unwrap();
    let stalled = tokio::time::timeout(Duration::from_millis(300), read(response)).await;
    assert!(stalled.is_err());
}

#[tokio::test]
async fn a_host_can_misuse_http_on_purpose() {
    let fault = Fault { no_range: true, no_content_length: true, ..Fault::default() };
    let Set { ca, host, image } = with_fault(fault).await;
    let whole = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[("range", "bytes=5-")]).await;
    assert_eq!((whole.status, whole.header("content-length")), (StatusCode::OK, None));
    assert!(whole.body == image && whole.header("accept-ranges").is_none());

    let Set { ca, host, .. } =
        with_fault(Fault { redirect: Some("/x".to_owned()), ..Fault::default() }).await;
    let moved = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    assert_eq!((moved.status, moved.header("location")), (StatusCode::FOUND, Some("/x")));

    let Set { ca, host, .. } = with_fault(Fault { status: Some(503), ..Fault::default() }).await;
    assert_eq!(ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await.status.as_u16(), 503);

    let Set { ca, host, image } = with_fault(Fault { gzip: true, ..Fault::default() }).await;
    let zipped = ask(&mut http1(host.address(), &ca).await, "GET", "/fw.bin", &[]).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.starts_with(&[0x1f, 0x8b]) && zipped.body.len() > image.len());

    let fault = Fault { content: Some("new".into()), etag: EtagFault::Stale, ..Fault::default() };
    // The first request gets the truth.
    let hide = FaultSource::from_fn(move |request| match request.number {
        1 => Fault::default(),
        _ => fault.clone(),
    });
    let Set { ca, host, .. } = set(|options| options.with_faults(hide)).await;
    let mut send = http1(host.address(), &ca).await;
    let true_one = ask(&mut send, "GET", "/fw.bin", &[]).await;
    let hidden = ask(&mut send, "GET", "/fw.bin", &[]).await;
    assert_eq!(true_one.header("etag"), hidden.header("etag"));
    assert_eq!(hidden.body, b"new");
}

#[tokio::test]
async fn each_certificate_fault_is_refused_by_a_careful_client_and_the_control_is_not() {
    for fault in CertificateFault::ALL {
        let Set { ca, host, .. } = set(|options| options).await;
        host.set_identity(&ca.faulty_identity(fault, &["localhost"]).unwrap()).unwrap();
        let accepted = tls(host.address(), &ca, &[]).await.is_ok();
        assert_eq!(accepted, fault == CertificateFault::WithIntermediate, "{fault:?}");
    }
}

#[tokio::test]
async fn an_old_server_offers_tls_1_2_only() {
    let Set { ca, host, .. } = set(|options| HostOptions { tls: TlsVersions::Only12, ..options }).await;
    let stream = tls(host.address(), &ca, &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let Set { host, .. } = set(|options| options).await;
    let taken = FirmwareHost::start(HostOptions::http().on(host.address()), Files::new()).await.unwrap_err();
    assert!(taken.to_string().contains(&host.address().to_string()), "{taken}");
}
