//! nginx as the firmware host: each way in which it can be set up wrongly ends in its own code.

use crate::scene::{Scene, image};
use rootcast_hosting::faults::CertificateFault;
use rootcast_hosting::{DevelopmentCa, ServerIdentity};
use rootcast_wire::{ErrorCode, UpdateState};
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
    /// The port of each identity, in their order.
    ports: Vec<u16>,
}

impl Nginx {
    /// One server for each identity. `None`, with a printed reason, where nginx is not installed.
    fn start(identities: &[ServerIdentity]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::create_dir(at.join("files")).unwrap();
        fs::write(at.join("files/fw.bin"), image("1.1.0-rc", 64_000)).unwrap();
        fs::write(at.join("users"), "ann:{PLAIN}secret\n").unwrap();
        let ports: Vec<u16> = identities.iter().map(|_| free_port()).collect();
        fs::write(at.join("nginx.conf"), configuration(at, identities, &ports)).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let started = Command::new("nginx")
            .env("PATH", path)
            .args(["-c", "nginx.conf", "-e", "error.log", "-p"])
            .arg(at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            println!("skipped: nginx is not installed (apt install nginx)");
            return None;
        };
        let nginx = Self { process, folder, ports };
        let deadline = Instant::now() + Duration::from_secs(30);
        for port in &nginx.ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err() {
                let log = fs::read_to_string(nginx.folder.path().join("error.log")).unwrap_or_default();
                assert!(Instant::now() < deadline, "nginx does not listen: {log}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Some(nginx)
    }

    fn url(&self, server: usize, path: &str) -> String {
        format!("https://localhost:{}{path}", self.ports[server])
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(any).unwrap().local_addr().unwrap().port()
}

fn configuration(at: &Path, identities: &[ServerIdentity], ports: &[u16]) -> String {
    let at_text = at.display();
    let mut text = format!(
        "daemon off; master_process off; pid {at_text}/pid; error_log {at_text}/error.log; events {{}}\n\
         http {{ access_log off; ssl_protocols TLSv1.3; client_body_temp_path {at_text}/body; proxy_temp_path {at_text}/proxy;\n\
         fastcgi_temp_path {at_text}/fastcgi; uwsgi_temp_path {at_text}/uwsgi; scgi_temp_path {at_text}/scgi;\n"
    );
    for (number, (identity, port)) in identities.iter().zip(ports).enumerate() {
        fs::write(at.join(format!("{number}.pem")), identity.chain_pem()).unwrap();
        fs::write(at.join(format!("{number}.key")), identity.key_pem()).unwrap();
        write!(
            text,
            "server {{ listen 127.0.0.1:{port} ssl; root {at_text}/files;\n\
             ssl_certificate {at_text}/{number}.pem; ssl_certificate_key {at_text}/{number}.key;\n\
             location /private/ {{ auth_basic files; auth_basic_user_file {at_text}/users; }}\n\
             location /closed/ {{ deny all; }}\n\
             location /broken/ {{ return 500; }}\n\
             location /busy/ {{ return 503; }}\n\
             location /gone/ {{ return 410; }}\n\
             location /hang-up/ {{ return 444; }}\n\
             location /loop/ {{ return 302 /loop/; }}\n\
             location /round/ {{ return 302 /about/; }}\n\
             location /about/ {{ return 307 /round/; }}\n\
             location /open/ {{ return 301 http://localhost:{port}/fw.bin; }}\n\
             location /moved/ {{ return 308 https://127.0.0.1:{port}/fw.bin; }}\n\
             location /page/ {{ default_type text/html; return 200 '<html>Sign in</html>'; }}\n\
             }}\n"
        )
        .unwrap();
    }
    text + "}\n"
}

/// Triggers an update of the only node and says how it ended.
async fn outcome(scene: &mut Scene, url: &str) -> Option<ErrorCode> {
    let id = scene.topology.members[0].id;
    let ends = |scene: &Scene| -> Vec<Option<ErrorCode>> {
        let reports = scene.operator.reports.get(&id).into_iter().flatten();
        reports.filter(|report| report.state.is_final()).map(|report| report.error).collect()
    };
    let before = ends(scene).len();
    scene.operator.trigger(url).await;
    let ended = |reports: &[rootcast_wire::Report]| {
        reports.iter().filter(|report| report.state.is_final()).count() > before
    };
    scene.operator.hear_until(|operator| operator.reports.get(&id).is_some_and(|all| ended(all))).await;
    ends(scene).last().copied().flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_set_up_nginx_wrongly_has_its_own_code_and_the_node_keeps_its_image() {
    let faults = [
        (CertificateFault::Expired, ErrorCode::CertificateExpired),
        (CertificateFault::NotYetValid, ErrorCode::CertificateNotYetValid),
        (CertificateFault::WrongHost, ErrorCode::CertificateWrongHost),
        (CertificateFault::SelfSigned, ErrorCode::CertificateSelfSigned),
        (CertificateFault::UnknownAuthority, ErrorCode::CertificateUnknownCa),
        (CertificateFault::LeafAsCa, ErrorCode::CertificateIssuerNotCa),
        (CertificateFault::MissingIntermediate, ErrorCode::CertificateUnknownCa),
    ];
    let mut identities = Vec::new();
    let mut scene = Scene::new(1, |options, ca: &DevelopmentCa| {
        identities.extend(faults.iter().map(|(fault, _)| ca.faulty_identity(*fault, &NAMES).unwrap()));
        identities.push(ca.faulty_identity(CertificateFault::WithIntermediate, &NAMES).unwrap());
        options
    })
    .await;
    let Some(nginx) = Nginx::start(&identities) else { return };
    for (server, (fault, code)) in faults.into_iter().enumerate() {
        assert_eq!(outcome(&mut scene, &nginx.url(server, "/fw.bin")).await, Some(code), "{fault:?}");
    }
    let good = faults.len();
    for (path, code) in [
        ("/absent.bin", ErrorCode::HttpNotFound),
        ("/gone/", ErrorCode::HttpNotFound),
        ("/private/fw.bin", ErrorCode::HttpUnauthorized),
        ("/closed/fw.bin", ErrorCode::HttpForbidden),
        ("/broken/", ErrorCode::HttpServerError),
        ("/busy/", ErrorCode::HttpServerError),
        ("/hang-up/", ErrorCode::ConnectionLost),
        ("/loop/", ErrorCode::HttpRedirectLoop),
        ("/round/", ErrorCode::HttpRedirectLoop),
        ("/open/", ErrorCode::HttpRedirectInsecure),
        ("/page/", ErrorCode::NotAnImage),
    ] {
        assert_eq!(outcome(&mut scene, &nginx.url(good, path)).await, Some(code), "{path}");
    }
    for view in scene.swarm.views() {
        assert_eq!(view.starts, 1, "after all this it still runs what it ran: {view:?}");
    }
    // A redirect that is right, to the other name of the same server, with an intermediate as it should be.
    assert_eq!(outcome(&mut scene, &nginx.url(good, "/moved/")).await, None);
    assert!(scene.operator.has_reported(scene.topology.members[0].id, UpdateState::Confirmed));
    let new = scene.new.clone();
    scene.finish(&new).await;
}
