//! The check says what a node then reports: the same faults, told to both.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::images::{image, image_for};
use rootcast_control::broker::{BrokerConfig, EmbeddedBroker};
use rootcast_hosting::check::{CheckOptions, TrustStore, check};
use rootcast_hosting::faults::{CertificateFault, Fault, FaultSource};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::{ChipId, PartitionTable};
use rootcast_node::Backoff;
use rootcast_wire::{Report, UpdateState};
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, Swarm, Trust};
use rootcast_world::factory::{Fleet, Topology};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};

/// Long, because a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(120);
const STALL: Duration = Duration::from_millis(1_000);

/// One thing that is wrong: what is served, how, by whom.
struct Case {
    name: &'static str,
    content: Bytes,
    fault: Fault,
    certificate: Option<CertificateFault>,
}

fn cases() -> Vec<Case> {
    let good = Bytes::from(image("1.1.0", 80_000));
    let content = |name, content: Vec<u8>| Case {
        name,
        content: content.into(),
        fault: Fault::default(),
        certificate: None,
    };
    let served = |name, fault| Case { name, content: good.clone(), fault, certificate: None };
    let by =
        |name, fault| Case { name, content: good.clone(), fault: Fault::default(), certificate: Some(fault) };
    let flip = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let status = |status| Fault { status: Some(status), ..Fault::default() };
    let to = |place: &str| Fault { redirect: Some(place.to_owned()), ..Fault::default() };
    vec![
        content("page", b"<!DOCTYPE html><html>Sign in</html>".to_vec()),
        content("merged", vec![0xFF; 70_000]),
        content("empty", Vec::new()),
        content("truncated", good[..50_000].to_vec()),
        content("checksum", flip(40_000)),
        content("hash", flip(good.len() - 5)),
        content("chip", image_for(ChipId::ESP32S3, "1.1.0", 80_000)),
        content("large", image("1.1.0", 1_500_000)),
        served("401", status(401)),
        served("403", status(403)),
        served("404", status(404)),
        served("418", status(418)),
        served("500", status(500)),
        served("loop", to("/fw.bin")),
        served("insecure", to("http://127.0.0.1:1/fw.bin")),
        served("elsewhere", to("ftp://127.0.0.1/fw.bin")),
        served("gzip", Fault { gzip: true, ..Fault::default() }),
        served("cut", Fault { cut_after: Some(10_000), ..Fault::default() }),
        served("long", Fault { content_length: Some(90_000), ..Fault::default() }),
        served("short", Fault { content_length: Some(50_000), ..Fault::default() }),
        served("stall", Fault { stall_after: Some(5_000), ..Fault::default() }),
        by("expired", CertificateFault::Expired),
        by("early", CertificateFault::NotYetValid),
        by("host", CertificateFault::WrongHost),
        by("self", CertificateFault::SelfSigned),
        by("stranger", CertificateFault::UnknownAuthority),
        by("leaf", CertificateFault::LeafAsCa),
        by("missing", CertificateFault::MissingIntermediate),
    ]
}

async fn serve(case: &Case, ca: &DevelopmentCa) -> FirmwareHost {
    let files = Files::new();
    files.insert("/fw.bin", case.content.clone());
    let identity = match case.certificate {
        Some(fault) => ca.faulty_identity(fault, &["localhost"]).unwrap(),
        None => ca.server_identity(&[]).unwrap(),
    };
    let options =
        HostOptions::https(identity).on_free_port().with_faults(FaultSource::always(case.fault.clone()));
    FirmwareHost::start(options, files).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_what_a_node_then_reports() {
    let ca = DevelopmentCa::generate().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let address = broker.address();
    let topology = Topology::three_layers(1, 1);
    let mut machines = Fleet::new(ChipId::ESP32C3, &PartitionTable::default_4mb(), &image("1.0.0", 60_000))
        .machines(&topology)
        .unwrap();
    for machine in &mut machines {
        let settings = machine.settings_mut();
        settings.stall_ms = u32::try_from(STALL.as_millis()).unwrap();
        settings.hello_ms = 1_000;
        settings.retry = Backoff { first_ms: 20, longest_ms: 50, attempts: 2 };
    }
    let node = NodeOptions {
        broker: Some(BrokerAddress {
            host: address.ip().to_string(),
            port: address.port(),
            tls: false,
            login: None,
        }),
        trust: Trust::authorities(&[ca.certificate_der().clone()]).unwrap(),
        reset: (5, 20),
        ..NodeOptions::default()
    };
    let pace = RadioPace { start: (5, 20), join: (10, 50), notice: (50, 100) };

    let mut mqtt = MqttOptions::new("operator", address.ip().to_string(), address.port());
    mqtt.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(mqtt, 100);
    client.subscribe("/switch/#", QoS::AtLeastOnce).await.unwrap();
    let _swarm = Swarm::start(&topology, machines, Link { loss: 0.0, delay_ms: (1, 3) }, pace, node);

    let mut disagreements = BTreeMap::new();
    let mut up = false;
    for case in cases() {
        let host = serve(&case, &ca).await;
        let url = host.url("/fw.bin");
        let options = CheckOptions {
            trust: TrustStore::Only(vec![ca.certificate_der().clone()]),
            chip: Some(ChipId::ESP32C3),
            stall: STALL,
            ..CheckOptions::default()
        };
        let said = check(&url, &options).await.code;
        let trigger =
            format!(r#"{{"type":"ota_trigger","url":"{url}","mode":"direct","rollout":"{}"}}"#, case.name);
        if up {
            client.publish("/switch/cmd/root", QoS::AtLeastOnce, false, trigger.clone()).await.unwrap();
        }
        let reported = loop {
            let event = tokio::time::timeout(PATIENCE, events.poll()).await.expect(case.name).unwrap();
            let Event::Incoming(Incoming::Publish(message)) = event else { continue };
            if !up && !message.topic.starts_with("/switch/ota/") {
                // The node has told its status: it stands.
                up = true;
                client.publish("/switch/cmd/root", QoS::AtLeastOnce, false, trigger.clone()).await.unwrap();
            }
            let Ok(report) = Report::parse_json(&message.payload) else { continue };
            let ours = report.rollout.as_str() == case.name;
            if ours && matches!(report.state, UpdateState::Failed | UpdateState::Refused) {
                break report.error.map(|code| code.name());
            }
        };
        println!("{:10} {:?}", case.name, said);
        if said != reported || said.is_none() {
            disagreements.insert(case.name, (said, reported));
        }
    }
    assert!(disagreements.is_empty(), "(check, node): {disagreements:#?}");
}
