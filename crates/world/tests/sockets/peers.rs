//! With mosquitto as the broker, and nodes that reach their root over UDP as processes do.

use crate::operator::Operator;
use crate::scene::{CHIP, hash, image, machines};
use rootcast_hosting::host::HostOptions;
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost};
use rootcast_wire::UpdateState;
use rootcast_world::body::sockets::{NodeOptions, NodeRunner, Trust, udp};
use rootcast_world::factory::Topology;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

struct Mosquitto {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// `None`, with a printed reason, where mosquitto is not installed.
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = folder.path().join("mosquitto.conf");
        std::fs::write(&configuration, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let started = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            println!("skipped: mosquitto is not installed");
            return None;
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while std::net::TcpStream::connect(address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { process, address, _folder: folder })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_over_udp_is_updated_by_way_of_mosquitto() {
    let Some(mosquitto) = Mosquitto::start().await else { return };
    let ca = DevelopmentCa::generate().unwrap();
    let (old, new) = (image("1.0.0", 60_000), image("1.1.0-rc", 64_000));
    let files = Files::new();
    files.insert("/fw.bin", new.clone());
    let identity = ca.server_identity(&[]).unwrap();
    let host = FirmwareHost::start(HostOptions::https(identity).on_free_port(), files).await.unwrap();
    let topology = Topology::three_layers(5, 3);
    let options = Arc::new(NodeOptions {
        broker: Some(format!("mqtt://{}", mosquitto.address).parse().unwrap()),
        trust: Trust::from_pem(ca.certificate_pem().as_bytes()).unwrap(),
        reset: (5, 20),
        ..NodeOptions::default()
    });
    let loss = 0.05;
    let mut machines = machines(&topology, &old).into_iter();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (port, root) = udp::root(anywhere, topology.members[0].id, loss).await.unwrap();
    let mut nodes = vec![NodeRunner::start(machines.next().unwrap(), port, &options)];
    for machine in machines {
        let port = udp::leaf(root, machine.settings().id, loss).await.unwrap();
        nodes.push(NodeRunner::start(machine, port, &options));
    }
    let mut operator = Operator::connect(mosquitto.address).await;
    let heard_of_all = |operator: &Operator| {
        topology.members.iter().all(|member| {
            let id = format!("\"deviceId\":{}", member.id);
            operator.others.iter().any(|(_, payload)| payload.contains(&id))
        })
    };
    operator.hear_until(heard_of_all).await;
    operator.trigger(&host.url("/fw.bin")).await;
    let members = &topology.members;
    operator
        .hear_until(|operator| members.iter().all(|m| operator.has_reported(m.id, UpdateState::Confirmed)))
        .await;
    for node in nodes {
        let machine = node.stop().await.expect("no node panicked");
        assert_eq!(machine.settings().chip, CHIP);
        assert_eq!(machine.board.flash.violation_count(), 0);
    }
    let confirmed = operator.reports.values().flatten().filter(|r| r.state == UpdateState::Confirmed);
    assert!(confirmed.into_iter().all(|report| report.running == hash(&new).0));
}

#[tokio::test]
async fn a_port_that_is_taken_and_an_address_elsewhere_are_named() {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let id = rootcast_wire::NodeId(1);
    let (_port, taken) = udp::root(anywhere, id, 0.0).await.unwrap();
    let error = udp::root(taken, id, 0.0).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("another port"), "{error}");
    let elsewhere = "192.0.2.1:47100".parse().unwrap();
    assert!(udp::leaf(elsewhere, id, 0.0).await.is_err());
    assert!(udp::root(elsewhere, id, 0.0).await.is_err());
}
