//! Parsers of what nodes, brokers and operators say to each other. The promise is mostly this: what can be
//! read can be written, and reads the same again.

#![expect(clippy::ptr_arg, reason = "repairs may lengthen: all share one type")]

use rootcast_wire::cast::{self, CastFragment, CastId, CastReassembly, MAX_CAST_BYTES};
use rootcast_wire::dialect::{first, later};
use rootcast_wire::frame::{HEADER_BYTES, MAX_BODY_BYTES};
use rootcast_wire::report::MAX_REPORT_JSON_BYTES;
use rootcast_wire::status::{Dialect, StatusMessage, parse_status};
use rootcast_wire::{
    Abort, Body, Command, ErrorCode, Frame, MAX_FRAME_BYTES, NodeId, NodeStatus, NodeType, Parsed, Report,
    Topics, Trigger, UpdateState, parse_command,
};

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "trigger", run: trigger, seeds: triggers, repair: None },
    Target { name: "cast", run: cast_command, seeds: casts, repair: Some(seal_cast) },
    Target { name: "cast_fragments", run: cast_fragments, seeds: fragment_streams, repair: None },
    Target { name: "frame", run: frame, seeds: frames, repair: None },
    Target { name: "dialect_frames", run: dialect_frames, seeds: dialect_frame_seeds, repair: None },
    Target { name: "report", run: report, seeds: reports, repair: None },
    Target { name: "status", run: status, seeds: statuses, repair: None },
    Target { name: "topic", run: topic, seeds: topics, repair: None },
];

/// [`parse_command`]: a trigger survives JSON and the mesh's encoding unchanged.
pub fn trigger(input: &[u8]) {
    let Ok(command) = parse_command(input) else { return };
    let mut json = String::new();
    let mut encoded = [0; MAX_CAST_BYTES];
    let mut decoded = Trigger::new();
    match &command {
        Command::Trigger(trigger) => {
            trigger.write_json(&mut json).expect("a String takes all");
            let length = cast::encode_trigger(trigger, &mut encoded).expect("every trigger fits a cast");
            assert_eq!(cast::decode(&encoded[..length], &mut decoded), Ok(Parsed::Trigger));
            assert_eq!(&decoded, trigger);
        }
        Command::Abort(abort) => {
            abort.write_json(&mut json).expect("a String takes all");
            let length = cast::encode_abort(abort, &mut encoded).expect("every abort fits a cast");
            assert_eq!(cast::decode(&encoded[..length], &mut decoded), Ok(Parsed::Abort(abort.clone())));
        }
        Command::Ignored => return,
    }
    assert_eq!(parse_command(json.as_bytes()), Ok(command), "{json}");
}

/// [`cast::decode`]: what is decoded encodes and decodes to the same.
pub fn cast_command(input: &[u8]) {
    let mut decoded = Trigger::new();
    let mut encoded = [0; MAX_CAST_BYTES];
    match cast::decode(input, &mut decoded) {
        Ok(Parsed::Trigger) => {
            let length = cast::encode_trigger(&decoded, &mut encoded).expect("every trigger fits a cast");
            let mut again = Trigger::new();
            assert_eq!(cast::decode(&encoded[..length], &mut again), Ok(Parsed::Trigger));
            assert_eq!(again, decoded);
        }
        Ok(Parsed::Abort(abort)) => {
            let length = cast::encode_abort(&abort, &mut encoded).expect("every abort fits a cast");
            assert_eq!(cast::decode(&encoded[..length], &mut decoded), Ok(Parsed::Abort(abort)));
        }
        Ok(Parsed::Ignored) => {}
        Err(_) => assert_eq!(decoded, Trigger::new(), "cleared after an error"),
    }
}

/// [`CastReassembly`]: any sequence of fragments, each behind a byte with its length; what is complete can be
/// handed on, fragment by fragment, to somebody who then has the same.
pub fn cast_fragments(mut input: &[u8]) {
    let mut reassembly = CastReassembly::new();
    let mut decoded = Trigger::new();
    while let Some((&length, rest)) = input.split_first() {
        let (frame, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        if let Ok(Frame { body: Body::CastFragment(piece), .. }) = Frame::parse(frame) {
            let _ = reassembly.accept(&piece);
        }
    }
    let Some(encoded) = reassembly.encoded() else { return };
    let _ = cast::decode(encoded, &mut decoded);
    let mut neighbour = CastReassembly::new();
    for index in (0..reassembly.fragment_count()).rev() {
        neighbour.accept(&reassembly.fragment(index).expect("complete"));
    }
    assert_eq!(neighbour.encoded(), Some(encoded));
}

/// [`Frame::parse`]: a frame that is read and written again reads the same.
pub fn frame(input: &[u8]) {
    let Ok(frame) = Frame::parse(input) else { return };
    let mut buffer = [0; MAX_FRAME_BYTES];
    // The number of a newer version's code stands before the detail, whose end may have been cut for it.
    if matches!(&frame.body, Body::Report(Report { error: Some(ErrorCode::Unknown), .. })) {
        frame.write(&mut buffer).expect("what was read can be written");
        return;
    }
    // A frame may fill the room for its seal; written by us it leaves that free and has less of its detail.
    if input.len() > HEADER_BYTES + MAX_BODY_BYTES {
        let _ = frame.write(&mut buffer);
        return;
    }
    let length = frame.write(&mut buffer).expect("what was read without a seal can be written");
    assert_eq!(Frame::parse(&buffer[..length]).as_ref(), Ok(&frame));
}

/// The frames of both original dialects.
pub fn dialect_frames(input: &[u8]) {
    if let Ok(frame) = first::Frame::parse(input) {
        let _ = frame.ota_url();
        let written = frame.write().expect("what was read can be written");
        assert_eq!(first::Frame::parse(&written), Ok(frame));
    }
    if let Ok(frame) = later::Frame::parse(input) {
        let _ = frame.type_info();
        let written = frame.write().expect("what was read can be written");
        assert_eq!(later::Frame::parse(&written), Ok(frame));
    }
}

/// [`Report::parse_json`]: the same after writing, within the size that a node reserves for it.
pub fn report(input: &[u8]) {
    let Ok(report) = Report::parse_json(input) else { return };
    let mut buffer = [0; MAX_REPORT_JSON_BYTES];
    let length = report.to_json(&mut buffer).expect("every report fits its buffer");
    assert_eq!(Report::parse_json(&buffer[..length]), Ok(report));
}

/// [`parse_status`]: what was written reads the same.
pub fn status(input: &[u8]) {
    let Ok(message) = parse_status(input) else { return };
    let mut json = String::new();
    let written = match &message {
        StatusMessage::Status(status) => status.write_json(&mut json),
        StatusMessage::Presence(presence) => presence.write_json(&mut json),
    };
    written.expect("a String takes all");
    let again = parse_status(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    let mut third = String::new();
    let written = match &again {
        StatusMessage::Status(status) => status.write_json(&mut third),
        StatusMessage::Presence(presence) => presence.write_json(&mut third),
    };
    written.expect("a String takes all");
    assert_eq!(third, json, "written the same the second time");
}

/// [`Topics`]: any prefix, any topic.
pub fn topic(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else { return };
    let (prefix, topic) = text.split_once('\n').unwrap_or(("", text));
    let Ok(topics) = Topics::new(prefix) else { return };
    let _ = topics.classify(topic);
    let root = topics.root_command();
    assert!(topics.classify(&root).is_some(), "knows its own topic {root}");
}

fn some_trigger() -> Trigger {
    let mut trigger = Trigger::new();
    trigger.url.push_str("https://firmware.example:8443/switch.bin?X-Signature=00aa").expect("fits");
    trigger.sha256 = Some([0xAB; 32]);
    trigger.size = Some(1_048_576);
    trigger.max_parallel = Some(4);
    trigger.not_before = Some(1_800_000_000);
    trigger.force = true;
    for target in ["relay", "root", "12345", "a0:b1:c2:d3:e4:f5"] {
        trigger.targets.push(target.parse().expect("a target")).expect("room");
    }
    trigger
}

fn triggers() -> Vec<Vec<u8>> {
    let mut full = String::new();
    some_trigger().write_json(&mut full).expect("a String takes all");
    let long = format!(r#"{{"type":"ota","url":"https://bucket.example/{}"}}"#, "a".repeat(1_500));
    [
        full.as_str(),
        &long,
        r#"{"type":"ota_trigger","url":"https://server/fw.bin"}"#,
        r#"{"url":"http:\/\/server\/\u0066w.bin","type":"ota","x":[1,{"y":null},-2.5e-3],"mode":"spread"}"#,
        r#"{"type":"ota_abort","rollout":"spring"}"#,
        r#"{"type":"connections","data":{"1":{"a":[]}}}"#,
        r#"{"type":"ota","url":"https://h/f","targets":[1,"switch"],"sha256":null,"version":"1.0","rollout":"r"}"#,
    ]
    .iter()
    .map(|json| json.as_bytes().to_vec())
    .collect()
}

fn casts() -> Vec<Vec<u8>> {
    let mut buffer = [0; MAX_CAST_BYTES];
    let mut plain = Trigger::new();
    plain.url.push_str("http://h/f").expect("fits");
    let mut casts: Vec<Vec<u8>> = [&plain, &some_trigger()]
        .iter()
        .filter_map(|trigger| cast::encode_trigger(trigger, &mut buffer).ok().map(|n| buffer[..n].to_vec()))
        .collect();
    casts.extend(cast::encode_abort(&Abort::default(), &mut buffer).ok().map(|n| buffer[..n].to_vec()));
    casts
}

fn seal_cast(bytes: &mut Vec<u8>) {
    if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
        // The mesh's checksum is the ordinary CRC-32, as signature blocks have it.
        *crc = rootcast_image::crc::crc32(content).to_le_bytes();
    }
}

fn written(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let mut buffer = [0; MAX_FRAME_BYTES];
    let length = frame.write(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

fn fragment_streams() -> Vec<Vec<u8>> {
    casts()
        .iter()
        .map(|encoded| {
            let id = CastId::after(CastId::NONE, encoded);
            let pieces = (0..).map_while(|index| cast::fragment(id, encoded, index));
            let frames = pieces.filter_map(|piece: CastFragment<'_>| {
                written(&Frame { source: NodeId(7), sequence: 1, body: Body::CastFragment(piece) })
            });
            frames.flat_map(|frame| [vec![frame.len() as u8], frame].concat()).collect()
        })
        .collect()
}

fn some_report() -> Report {
    let mut report = Report::new(NodeId(0xA0B1_C2D3_E4F5), NodeType::Relay, UpdateState::Failed);
    report.error = Some(ErrorCode::TriggerInvalid);
    report.target = Some([2; 32]);
    report.progress = 40;
    report.attempt = 2;
    report.layer = 3;
    report.bytes = 123_456;
    report.detail.push_str("expected \"200\", found 404").expect("fits");
    report
}

fn some_status() -> NodeStatus {
    let mut status = NodeStatus::new(NodeId(0xA0B1_C2D3_E4F5), Dialect::Rootcast);
    status.node_type = Some(NodeType::Switch);
    status.parent = Some(NodeId(1));
    status.layer = Some(2);
    status.rssi = Some(-61);
    status.running = Some([9; 32]);
    status
}

fn frames() -> Vec<Vec<u8>> {
    let source = NodeId(0xA0B1_C2D3_E4F5);
    let cast_id = CastId(0x0001_2345);
    let bodies = [
        Body::Report(some_report()),
        Body::Status(some_status()),
        Body::ReportAck { node: source, sequence: 9 },
        Body::StartRequest { cast_id, purpose: rootcast_wire::frame::StartPurpose::Restart, file: 0 },
        Body::StartRequest { cast_id, purpose: rootcast_wire::frame::StartPurpose::Download, file: 0x1234 },
        Body::StartGrant { node: source, cast_id },
        Body::Spread { kind: 40, bytes: &[1, 2, 3] },
        Body::CastFragment(CastFragment { cast_id, index: 0, count: 1, total_len: 3, bytes: b"abc" }),
    ];
    let mut frames: Vec<Vec<u8>> =
        bodies.into_iter().filter_map(|body| written(&Frame { source, sequence: 1, body })).collect();
    // A Hello has many fields and no simple constructor: the shortest one by hand.
    let mut hello = frames.first().cloned().unwrap_or_default();
    hello.truncate(16);
    if let Some(kind) = hello.get_mut(3) {
        *kind = 1;
    }
    hello.extend([0; 120]);
    frames.push(hello);
    frames
}

fn dialect_frame_seeds() -> Vec<Vec<u8>> {
    let first =
        first::Frame::ota_trigger(0x1234_5678, "https://server/fw.bin").and_then(|frame| frame.write());
    let later = later::Frame::ota_start(0xA0B1_C2D3_E4F5, later::TargetType::Switch).write();
    [first.map(|frame| frame.to_vec()), later.map(|frame| frame.to_vec())].into_iter().flatten().collect()
}

fn reports() -> Vec<Vec<u8>> {
    let mut json = String::new();
    some_report().write_json(&mut json).expect("a String takes all");
    let newer = json.replacen("trigger_invalid", "code_of_tomorrow", 1);
    vec![json.into_bytes(), newer.into_bytes()]
}

fn statuses() -> Vec<Vec<u8>> {
    let mut ours = String::new();
    some_status().write_json(&mut ours).expect("a String takes all");
    [
        ours.as_str(),
        r#"{"deviceId":305419896,"parentId":305419896,"type":"root","freeHeap":180000,"uptime":12,"meshLayer":1,"peerCount":3,"firmware":"00112233445566778899aabbccddeeff","clicks":0,"lowHeap":0}"#,
        r#"{"deviceId":176685338322165,"parentId":176685338322165,"type":"switch","isRoot":1,"freeHeap":1,"uptime":1,"meshLayer":1,"peerCount":0,"firmware":1769900000,"rssi":-50,"clicks":0,"lowHeap":0}"#,
        r#"{"status":"connected","device_id":176685338322165,"timestamp":12,"firmware":1769900000,"mesh_layer":1,"ip":"10.0.0.2"}"#,
        r#"{"status":"disconnected","device_id":176685338322165,"timestamp":12,"reason":"ungraceful"}"#,
    ]
    .iter()
    .map(|json| json.as_bytes().to_vec())
    .collect()
}

fn topics() -> Vec<Vec<u8>> {
    [
        "/switch/cmd/root",
        "house\nhouse/switch/ota/176685338322165",
        "/relay/state/7",
        "a/b\na/b/switch/state/root",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
