//! Unmodified nodes of both original dialects are understood.

use rootcast_wire::{
    NodeId, NodeStatus, NodeType,
    dialect::{DialectError, MessageType, first, later},
    status::{Dialect, Firmware, Presence, StatusError, StatusMessage, parse_status},
};

fn status(message: &str) -> NodeStatus {
    match parse_status(message.as_bytes()) {
        Ok(StatusMessage::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

fn presence(message: &str) -> Presence {
    match parse_status(message.as_bytes()) {
        Ok(StatusMessage::Presence(presence)) => presence,
        other => panic!("{other:?}"),
    }
}

const FIRST_ROOT: &str = r#"{"deviceId":3268666613,"parentId":3268666613,"type":"root","freeHeap":112233,"uptime":3600,"meshLayer":1,"peerCount":12,"firmware":"000102030405060708090a0b0c0d0e0f","clicks":0,"lowHeap":0}"#;
const FIRST_RELAY: &str = r#"{"deviceId":17,"type":"relay","freeHeap":99999,"uptime":15,"firmware":"ffeeddccbbaa99887766554433221100","clicks":3,"rssi":-55,"disconnects":1,"lowHeap":2,"outputs":16}"#;
const LATER_ROOT: &str = r#"{"deviceId":176685338322166,"parentId":176685338322166,"type":"switch","isRoot":1,"freeHeap":101000,"uptime":86400,"meshLayer":1,"peerCount":40,"firmware":1795464900,"rssi":-40,"clicks":7,"lowHeap":0}"#;
const LATER_LEAF: &str = r#"{"deviceId":176685338322170,"type":"relay8","parentId":176685338322166,"freeHeap":90000,"uptime":86000,"firmware":1795464900,"clicks":0,"rssi":-71,"meshLayer":2,"disconnects":4,"lowHeap":1}"#;

#[test]
fn a_status_of_the_first_dialect_gives_the_prefix_of_the_elf_hash_as_evidence() {
    let root = status(FIRST_ROOT);
    assert!(root.is_root);
    assert_eq!((root.dialect, root.node_type.clone(), root.peer_count), (Dialect::First, None, Some(12)));
    assert_eq!(root.firmware, Some(Firmware::ElfHash(std::array::from_fn(|at| at as u8))));
    assert_eq!(root.station(), None, "only the low 32 bits are known");
    assert_eq!(root.device.0, u64::from(NodeId(0xa0b1_c2d3_e4f5).low32()));

    let relay = status(FIRST_RELAY);
    assert_eq!((relay.node_type, relay.outputs, relay.rssi), (Some(NodeType::Relay), Some(16), Some(-55)));
    assert!(!relay.is_root);
}

#[test]
fn a_status_of_the_later_dialect_gives_the_station_address() {
    let root = status(LATER_ROOT);
    assert!(root.is_root);
    assert_eq!((root.dialect, root.node_type.clone()), (Dialect::Later, Some(NodeType::Switch)));
    assert_eq!(root.station(), Some(NodeId(0xa0b1_c2d3_e4f5)));
    assert_eq!(root.firmware, Some(Firmware::BuildTime(1_795_464_900)));

    let leaf = status(LATER_LEAF);
    assert_eq!(
        (leaf.node_type, leaf.layer, leaf.parent),
        (Some(NodeType::Relay8), Some(2), Some(root.device))
    );
    assert_eq!((leaf.disconnects, leaf.low_heap, leaf.free_heap), (Some(4), Some(1), Some(90_000)));
}

#[test]
fn a_status_of_an_original_dialect_is_written_with_its_keys_alone() {
    for message in [FIRST_ROOT, LATER_ROOT, FIRST_RELAY, LATER_LEAF] {
        let read = status(message);
        let mut written = String::new();
        read.write_json(&mut written).unwrap();
        let (ours, theirs): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&written).unwrap(), serde_json::from_str(message).unwrap());
        assert_eq!(ours, theirs, "the same members, in whatever order");
    }
}

#[test]
fn connected_and_last_will_are_told_from_a_status() {
    let connected = presence(
        r#"{"status":"connected","device_id":176685338322166,"timestamp":42,"firmware":1795464900,"mesh_layer":1,"ip":"10.0.0.7"}"#,
    );
    assert!(connected.is_connected);
    assert_eq!((connected.device, connected.dialect), (NodeId(176_685_338_322_166), Dialect::Later));
    assert_eq!((connected.layer, connected.ip.as_deref()), (Some(1), Some("10.0.0.7")));
    let gone = presence(
        r#"{"status":"disconnected","device_id":176685338322166,"timestamp":42,"reason":"ungraceful"}"#,
    );
    assert!(!gone.is_connected);
    assert_eq!(gone.reason.as_deref(), Some("ungraceful"));
}

#[test]
fn a_status_with_odd_values_keeps_the_good_ones() {
    let odd = status(
        r#"{"deviceId":5.0,"type":7,"isRoot":"yes","freeHeap":-1,"uptime":1e3,"meshLayer":300,"rssi":-1000,"firmware":[],"peerCount":null,"state":"flying","x":{"deviceId":9}}"#,
    );
    assert_eq!((odd.device, odd.uptime), (NodeId(5), Some(1_000)));
    assert_eq!((odd.free_heap, odd.layer, odd.rssi, odd.firmware), (None, None, None, None));
    assert_eq!((odd.is_root, odd.node_type, odd.state), (false, None, None));
}

#[test]
fn a_message_without_a_node_is_no_status() {
    for (message, error) in [
        ("{}", StatusError::NoDevice),
        (r#"{"status":"connected"}"#, StatusError::NoDevice),
        (r#"{"deviceId":"5"}"#, StatusError::Device),
        (r#"{"deviceId":0}"#, StatusError::Device),
        (r#"{"deviceId":281474976710656}"#, StatusError::Device),
        (r#"{"deviceId":18446744073709551617}"#, StatusError::Device),
        (r#"{"status":"connected","device_id":-1}"#, StatusError::Device),
    ] {
        assert_eq!(parse_status(message.as_bytes()), Err(error), "{message}");
    }
}

#[test]
fn a_url_too_long_for_the_first_dialect_is_refused_and_never_cut() {
    let url = format!("https://h/{}", "a".repeat(189));
    let frame = first::Frame::ota_trigger(1, &url).unwrap().write().unwrap();
    assert_eq!(first::Frame::parse(&frame).unwrap().ota_url(), Some(url.as_str()));
    assert_eq!(frame[206], 0, "the receiver finds its NUL");
    let longer = format!("{url}a");
    assert_eq!(
        first::Frame::ota_trigger(1, &longer),
        Err(DialectError::UrlTooLong { limit: 199, found: 200 })
    );
}

#[test]
fn frames_that_are_short_or_contradict_themselves_are_refused() {
    let good = first::Frame { message_type: MessageType::Ping, device_id: 1, data: b"" }.write().unwrap();
    for cut in 0..good.len() {
        assert_eq!(
            first::Frame::parse(&good[..cut]),
            Err(DialectError::Length { expected: 207, found: cut })
        );
    }
    let mut bad = good;
    bad[5] = 201;
    assert_eq!(first::Frame::parse(&bad), Err(DialectError::DataLength { limit: 200, found: 201 }));
    bad[0] = b'x';
    assert_eq!(first::Frame::parse(&bad), Err(DialectError::MessageType(b'x')));
    let long = [0; 201];
    assert!(first::Frame { message_type: MessageType::Ping, device_id: 1, data: &long }.write().is_err());

    let good = later::Frame::ota_start(9, later::TargetType::Any).write().unwrap();
    for cut in 0..good.len() {
        assert_eq!(
            later::Frame::parse(&good[..cut]),
            Err(DialectError::Length { expected: 528, found: cut })
        );
    }
    for (at, value, error) in [
        (7, 1, DialectError::Id(0x0100_0000_0000_0009)),
        (8, 0, DialectError::MessageType(0)),
        (10, 3, DialectError::DataLength { limit: 512, found: 768 }),
        (15, b'X', DialectError::TargetType(b'X')),
    ] {
        let mut bad = good;
        bad[at] = value;
        assert_eq!(later::Frame::parse(&bad), Err(error));
    }
}

#[test]
fn a_type_info_frame_tells_switch_from_relay() {
    let info = |data| later::Frame {
        src_id: 1,
        message_type: MessageType::TypeInfo,
        data_seq: 0,
        target: later::TargetType::Any,
        data,
    };
    assert_eq!(info(b"S").type_info(), Some(NodeType::Switch));
    assert_eq!(info(b"R").type_info(), Some(NodeType::Relay));
    assert_eq!(info(b"?").type_info(), None);
}
