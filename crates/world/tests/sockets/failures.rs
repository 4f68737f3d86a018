//! Each failure of a server, provoked on a real one, ends in its own code, and the node keeps running its image.

use crate::operator::Operator;
use crate::scene::{Scene, hash};
use rootcast_hosting::DevelopmentCa;
use rootcast_hosting::faults::{CertificateFault, Fault, FaultSource};
use rootcast_hosting::host::HostOptions;
use rootcast_image::{PartitionTable, SlotId};
use rootcast_wire::{ErrorCode, UpdateState};
use rootcast_world::bootloader::ImageCache;

/// Triggers an update on a root alone and says how it ended.
async fn outcome(
    host: impl FnOnce(HostOptions, &DevelopmentCa) -> HostOptions,
    url: impl FnOnce(&Scene) -> String,
) -> Option<ErrorCode> {
    let mut scene = Scene::new(1, host).await;
    let url = url(&scene);
    scene.operator.trigger(&url).await;
    let id = scene.topology.members[0].id;
    let ended = |state: UpdateState| state.is_final();
    scene
        .operator
        .hear_until(|operator| {
            operator.reports.get(&id).is_some_and(|all| all.iter().any(|r| ended(r.state)))
        })
        .await;
    let last = scene.operator.reports[&id].iter().rfind(|report| ended(report.state)).unwrap().clone();
    let running = if last.error.is_some() { scene.old.clone() } else { scene.new.clone() };
    scene.finish(&running).await;
    last.error
}

fn fw(scene: &Scene) -> String {
    scene.host.url("/fw.bin")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_certificate_has_its_own_code() {
    let cases = [
        (CertificateFault::Expired, Some(ErrorCode::CertificateExpired)),
        (CertificateFault::NotYetValid, Some(ErrorCode::CertificateNotYetValid)),
        (CertificateFault::WrongHost, Some(ErrorCode::CertificateWrongHost)),
        (CertificateFault::SelfSigned, Some(ErrorCode::CertificateSelfSigned)),
        (CertificateFault::UnknownAuthority, Some(ErrorCode::CertificateUnknownCa)),
        (CertificateFault::LeafAsCa, Some(ErrorCode::CertificateIssuerNotCa)),
        (CertificateFault::MissingIntermediate, Some(ErrorCode::CertificateUnknownCa)),
        (CertificateFault::WithIntermediate, None),
    ];
    for (fault, expected) in cases {
        let identity = |options: HostOptions, ca: &DevelopmentCa| HostOptions {
            identity: Some(ca.faulty_identity(fault, &["localhost", "127.0.0.1"]).unwrap().into()),
            ..options
        };
        assert_eq!(outcome(identity, fw).await, expected, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_an_http_server_has_its_own_code_or_is_survived() {
    let redirect = |to: &str| Fault { redirect: Some(to.to_owned()), ..Fault::default() };
    let status = |status| Fault { status: Some(status), ..Fault::default() };
    let cases = [
        (status(404), Some(ErrorCode::HttpNotFound)),
        (status(401), Some(ErrorCode::HttpUnauthorized)),
        (status(403), Some(ErrorCode::HttpForbidden)),
        (status(418), Some(ErrorCode::HttpClientError)),
        (status(500), Some(ErrorCode::HttpServerError)),
        (redirect("/fw.bin"), Some(ErrorCode::HttpRedirectLoop)),
        (redirect("http://127.0.0.1:9/fw.bin"), Some(ErrorCode::HttpRedirectInsecure)),
        (Fault { gzip: true, ..Fault::default() }, Some(ErrorCode::HttpContentEncoding)),
        (Fault { stall_after: Some(100), ..Fault::default() }, Some(ErrorCode::DownloadStalled)),
        (Fault { cut_after: Some(100), ..Fault::default() }, Some(ErrorCode::ConnectionLost)),
        (Fault { content_length: Some(70_000), ..Fault::default() }, Some(ErrorCode::HttpLengthMismatch)),
        (Fault { content_length: Some(60_000), ..Fault::default() }, Some(ErrorCode::Truncated)),
        (Fault { content: Some(vec![b'<'; 5000].into()), ..Fault::default() }, Some(ErrorCode::NotAnImage)),
        (Fault { cut_after: Some(30_000), ..Fault::default() }, None),
        (Fault { no_content_length: true, ..Fault::default() }, None),
        (Fault { no_range: true, ..Fault::default() }, None),
    ];
    for (fault, expected) in cases {
        let named = format!("{fault:?}");
        let host = |options: HostOptions, _: &DevelopmentCa| options.with_faults(FaultSource::always(fault));
        assert_eq!(outcome(host, fw).await, expected, "{named}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_speaks_otherwise_is_named() {
    let good = |options: HostOptions, _: &DevelopmentCa| options;
    let plain = |options: HostOptions, _: &DevelopmentCa| HostOptions { identity: None, ..options };
    let nowhere = outcome(good, |_| "https://no-such-host.invalid/fw.bin".to_owned()).await;
    assert_eq!(nowhere, Some(ErrorCode::DnsFailed));
    let closed = outcome(good, |_| "https://127.0.0.1:9/fw.bin".to_owned()).await;
    assert_eq!(closed, Some(ErrorCode::ConnectFailed));
    let no_tls = outcome(plain, |scene| fw(scene).replace("http://", "https://")).await;
    assert_eq!(no_tls, Some(ErrorCode::TlsFailed));
    assert_eq!(outcome(plain, fw).await, None, "plain http works where the operator asks for it");
    for (url, code) in [
        ("ftp://127.0.0.1/fw.bin", ErrorCode::UrlSchemeUnsupported),
        ("https:///fw.bin", ErrorCode::UrlInvalid),
    ] {
        assert_eq!(outcome(good, |_| url.to_owned()).await, Some(code), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_failed_downloads_leave_otadata_naming_the_running_image() {
    let fault = Fault { cut_after: Some(30_000), no_range: true, ..Fault::default() };
    let host = |options: HostOptions, _: &DevelopmentCa| options.with_faults(FaultSource::always(fault));
    let mut scene = Scene::new(1, host).await;
    let id = scene.topology.members[0].id;
    for time in 1..=3 {
        let url = fw(&scene);
        scene.operator.trigger(&url).await;
        let failed = |operator: &Operator| {
            let reports = operator.reports.get(&id).into_iter().flatten();
            reports.filter(|report| report.state == UpdateState::Failed).count() == time
        };
        scene.operator.hear_until(failed).await;
    }
    let table = PartitionTable::default_4mb();
    let otadata = table.otadata().map(|it| it.offset..it.offset + it.size).unwrap();
    let mut machine = scene.swarm.stop().await.remove(0).expect("the node did not panic");
    let found = machine.board.flash.sectors().bytes(otadata);
    // Before the first page the running image, which a factory leaves without a record, is given one.
    assert!(found[4096..].iter().all(|byte| *byte == 0xFF), "no second record was ever written");
    let booted = machine.boot(&mut ImageCache::new()).expect("it boots");
    assert_eq!((booted.slot, booted.image.hash), (SlotId::Ota(0), hash(&scene.old)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_a_megabyte_is_refused_and_the_next_one_heard() {
    let mut scene = Scene::new(1, |options, _| options).await;
    scene.operator.publish(vec![b'{'; 1 << 20]).await;
    scene.operator.publish("{\"type\":\"connections\",\"data\":{}}").await;
    let url = fw(&scene);
    scene.operator.trigger(&url).await;
    scene.run_until_all(UpdateState::Confirmed).await;
    let id = scene.topology.members[0].id;
    let first = &scene.operator.reports[&id][0];
    assert_eq!((first.state, first.error), (UpdateState::Refused, Some(ErrorCode::TriggerTooLarge)));
    let new = scene.new.clone();
    scene.finish(&new).await;
}
