//! Version 1 of everything on the wire, frozen byte by byte.
//!
//! Do not change these tests: nodes in the field speak these bytes. A new version of the protocol adds a file.
//! The bytes were put together by hand with Python's `struct` and `zlib`, not by this crate.

use rootcast_wire::{
    Abort, Body, Command, ErrorCode, Frame, Mode, NodeId, NodeStatus, NodeType, Parsed, Report, Target,
    Targets, Trigger, UpdateState, cast,
    cast::{CastFragment, CastId},
    dialect::{MessageType, first, later},
    frame::{Hello, StartPurpose},
    parse_command,
    status::{Dialect, Firmware, Presence, StatusMessage, parse_status},
};

const LEAF: NodeId = NodeId(0xa0b1_c2d3_e4f5);
const ROOT: NodeId = NodeId(0xa0b1_c200_0001);
const URL: &str = "https://server/fw.bin";

fn hex(digits: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(byte).collect()
}

fn text<const N: usize>(text: &str) -> heapless::String<N> {
    heapless::String::try_from(text).unwrap()
}

/// Both ways: the frame is written as these bytes, and these bytes are read as the frame.
fn frame_is(source: NodeId, sequence: u32, body: Body<'_>, digits: &str) {
    let frame = Frame { source, sequence, body };
    let mut buffer = [0; rootcast_wire::MAX_FRAME_BYTES];
    let length = frame.write(&mut buffer).unwrap();
    assert_eq!(buffer[..length], hex(digits)[..], "written");
    assert_eq!(Frame::parse(&hex(digits)), Ok(frame), "read");
}

fn json(write: impl Fn(&mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).unwrap();
    out
}

fn full_trigger() -> Trigger {
    let mut targets = Targets::all();
    for target in [
        Target::Node(LEAF),
        Target::Type(NodeType::Relay),
        Target::Type(NodeType::Other(text("dimmer"))),
        Target::Root,
    ] {
        targets.push(target).unwrap();
    }
    Trigger {
        url: text(URL),
        sha256: Some(std::array::from_fn(|at| at as u8)),
        size: Some(1_234_567),
        version: Some(text("1.4.2")),
        targets,
        mode: Some(Mode::Spread),
        max_parallel: Some(4),
        not_before: Some(1_795_464_900),
        rollout: Some(text("r-17")),
        force: true,
    }
}

fn minimal_trigger() -> Trigger {
    Trigger { url: text(URL), ..Trigger::new() }
}

#[test]
fn the_trigger_of_the_flow_is_read_in_both_spellings() {
    for kind in ["ota_trigger", "ota"] {
        let message = format!(r#"{{"type":"{kind}","url":"https://server/fw.bin"}}"#);
        assert_eq!(parse_command(message.as_bytes()), Ok(Command::Trigger(minimal_trigger())));
    }
}

#[test]
fn a_trigger_with_every_field_as_json() {
    const JSON: &str = concat!(
        r#"{"type":"ota_trigger","url":"https://server/fw.bin","#,
        r#""sha256":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","#,
        r#""size":1234567,"version":"1.4.2","targets":[176685338322165,"relay","dimmer","root"],"#,
        r#""mode":"spread","max_parallel":4,"not_before":"2026-11-23T20:15:00Z","rollout":"r-17","force":true}"#
    );
    assert_eq!(json(|out| full_trigger().write_json(out)), JSON);
    assert_eq!(parse_command(JSON.as_bytes()), Ok(Command::Trigger(full_trigger())));
}

#[test]
fn an_abort_as_json() {
    let one = Abort { rollout: Some(text("r-17")) };
    assert_eq!(json(|out| one.write_json(out)), r#"{"type":"ota_abort","rollout":"r-17"}"#);
    assert_eq!(parse_command(br#"{"type":"ota_abort","rollout":"r-17"}"#), Ok(Command::Abort(one)));
    assert_eq!(parse_command(br#"{"type":"ota_abort"}"#), Ok(Command::Abort(Abort::default())));
}

#[test]
fn casts() {
    let mut buffer = [0; cast::MAX_CAST_BYTES];
    let mut read = Trigger::new();
    for (trigger, digits) in [
        (minimal_trigger(), "010101150068747470733a2f2f7365727665722f66772e62696e961776b7"),
        (
            full_trigger(),
            "010101150068747470733a2f2f7365727665722f66772e62696e022000000102030405060708090a\
         0b0c0d0e0f101112131415161718191a1b1c1d1e1f03040087d6120004190001f5e4d3c2b1a00000\
         020572656c6179020664696d6d65720305010002060800c49e046b0000000007010001080400722d\
         3137810500312e342e3282020004007bb895f3",
        ),
    ] {
        let length = cast::encode_trigger(&trigger, &mut buffer).unwrap();
        assert_eq!(buffer[..length], hex(digits)[..]);
        assert_eq!(cast::decode(&hex(digits), &mut read), Ok(Parsed::Trigger));
        assert_eq!(read, trigger);
    }
    for (abort, digits) in [
        (Abort::default(), "01029242ccb6"),
        (Abort { rollout: Some(text("r-17")) }, "0102080400722d3137f8146a94"),
    ] {
        let length = cast::encode_abort(&abort, &mut buffer).unwrap();
        assert_eq!(buffer[..length], hex(digits)[..]);
        assert_eq!(cast::decode(&hex(digits), &mut read), Ok(Parsed::Abort(abort)));
    }
}

#[test]
fn a_cast_id_counts_above_and_carries_the_checksum_below() {
    let encoded = hex("010101150068747470733a2f2f7365727665722f66772e62696e961776b7");
    assert_eq!(CastId::after(CastId(0x0002_ffff), &encoded), CastId(0x0003_df1c));
}

#[test]
fn hello_frame() {
    let hello = Hello {
        node_type: NodeType::Relay8,
        is_root: false,
        can_spread: true,
        unsigned_allowed: true,
        layer: 3,
        parent: ROOT,
        running: [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17],
        cast_id: CastId(0x0002_0b0c),
        state: Some(UpdateState::Downloading),
        chip: 5,
    };
    frame_is(
        LEAF,
        7,
        Body::Hello(hello),
        "ca570101f5e4d3c2b1a00000070000000603010000c2b1a0000010111213141516170c0b02000305\
         000672656c617938",
    );
}

#[test]
fn cast_fragment_frame() {
    let encoded = hex("010101150068747470733a2f2f7365727665722f66772e62696e961776b7");
    let piece =
        CastFragment { cast_id: CastId(0x0003_df1c), index: 0, count: 1, total_len: 30, bytes: &encoded };
    frame_is(
        ROOT,
        9,
        Body::CastFragment(piece),
        "ca570102010000c2b1a00000090000001cdf030000011e00010101150068747470733a2f2f736572\
         7665722f66772e62696e961776b7",
    );
}

fn downloading() -> Report {
    Report {
        progress: 42,
        running: [0x11; 32],
        target: Some([0x22; 32]),
        version: text("1.4.1"),
        error: Some(ErrorCode::ConnectionLost),
        detail: text("cut at 65536"),
        attempt: 2,
        rollout: text("r-17"),
        layer: 3,
        parent: ROOT,
        bytes: 65_536,
        from_version: Some(text("1.4.1")),
        to_version: Some(text("1.4.2")),
        unsigned_allowed: true,
        ..Report::new(LEAF, NodeType::Switch, UpdateState::Downloading)
    }
}

fn confirmed() -> Report {
    Report {
        progress: 100,
        running: [0x11; 32],
        target: Some([0x11; 32]),
        version: text("1.4.2"),
        attempt: 1,
        layer: 3,
        parent: ROOT,
        bytes: 1_234_567,
        to_version: Some(text("1.4.2")),
        ..Report::new(LEAF, NodeType::Switch, UpdateState::Confirmed)
    }
}

#[test]
fn report_frames() {
    frame_is(
        LEAF,
        8,
        Body::Report(downloading()),
        "ca570103f5e4d3c2b1a0000008000000032a4d16000203010000c2b1a00000000001001111111111\
         11111111111111111111111111111111111111111111111111111122222222222222222222222222\
         222222222222222222222222222222222222220673776974636805312e342e3104722d313705312e\
         342e320c637574206174203635353336",
    );
    frame_is(
        LEAF,
        9,
        Body::Report(confirmed()),
        "ca570103f5e4d3c2b1a000000900000008641200000103010000c2b1a0000087d612001111111111\
         1111111111111111111111111111111111111111111111111111110673776974636805312e342e32\
         0000",
    );
    let shared = Report { shared_bytes: 1_230_000, ..confirmed() };
    frame_is(
        LEAF,
        9,
        Body::Report(shared),
        "ca570103f5e4d3c2b1a000000900000008641200000103010000c2b1a0000087d612001111111111\
         1111111111111111111111111111111111111111111111111111110673776974636805312e342e32\
         0000b0c41200",
    );
}

#[test]
fn reports_as_json() {
    const DOWNLOADING: &str = concat!(
        r#"{"type":"ota_status","deviceId":176685338322165,"nodeType":"switch","state":"downloading","progress":42,"#,
        r#""running":"1111111111111111111111111111111111111111111111111111111111111111","#,
        r#""target":"2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""version":"1.4.1","error":"connection_lost","detail":"cut at 65536","attempt":2,"rollout":"r-17","#,
        r#""meshLayer":3,"parentId":176685324435457,"bytes":65536,"fromVersion":"1.4.1","toVersion":"1.4.2","#,
        r#""unsignedAllowed":true}"#
    );
    const ACCEPTED: &str = concat!(
        r#"{"type":"ota_status","deviceId":176685338322165,"nodeType":"relay","state":"accepted","progress":0,"#,
        r#""running":"0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""target":null,"version":null,"error":null,"detail":null,"attempt":0,"rollout":null,"#,
        r#""meshLayer":0,"parentId":null,"bytes":0,"fromVersion":null,"toVersion":null,"unsignedAllowed":false}"#
    );
    for (report, text) in
        [(downloading(), DOWNLOADING), (Report::new(LEAF, NodeType::Relay, UpdateState::Accepted), ACCEPTED)]
    {
        assert_eq!(json(|out| report.write_json(out)), text);
        assert_eq!(Report::parse_json(text.as_bytes()), Ok(report));
    }
}

#[test]
fn report_ack_start_request_and_start_grant_frames() {
    frame_is(
        ROOT,
        10,
        Body::ReportAck { node: LEAF, sequence: 8 },
        "ca570104010000c2b1a000000a000000f5e4d3c2b1a0000008000000",
    );
    let cast_id = CastId(0x0003_df1c);
    let request = |purpose| Body::StartRequest { cast_id, purpose, file: 0 };
    frame_is(LEAF, 11, request(StartPurpose::Download), "ca570105f5e4d3c2b1a000000b0000001cdf0300");
    frame_is(LEAF, 11, request(StartPurpose::Release), "ca570105f5e4d3c2b1a000000b0000001cdf030001");
    frame_is(LEAF, 11, request(StartPurpose::Restart), "ca570105f5e4d3c2b1a000000b0000001cdf030002");
    let of_file = Body::StartRequest { cast_id, purpose: StartPurpose::Download, file: 0x1234 };
    frame_is(LEAF, 11, of_file, "ca570105f5e4d3c2b1a000000b0000001cdf0300003412");
    frame_is(
        ROOT,
        12,
        Body::StartGrant { node: LEAF, cast_id },
        "ca570106010000c2b1a000000c000000f5e4d3c2b1a000001cdf0300",
    );
    frame_is(
        ROOT,
        13,
        Body::RestartGrant { node: LEAF, cast_id },
        "ca570108010000c2b1a000000d000000f5e4d3c2b1a000001cdf0300",
    );
}

fn leaf_status() -> NodeStatus {
    NodeStatus {
        node_type: Some(NodeType::Relay16),
        parent: Some(ROOT),
        layer: Some(3),
        peer_count: Some(0),
        free_heap: Some(123_456),
        uptime: Some(3_600),
        firmware: Some(Firmware::ElfHash(std::array::from_fn(|at| at as u8))),
        rssi: Some(-61),
        clicks: Some(5),
        disconnects: Some(2),
        low_heap: Some(1),
        outputs: Some(16),
        version: Some(text("1.4.2")),
        running: Some([0x11; 32]),
        chip: Some(5),
        slot: Some(text("ota_1")),
        state: Some(UpdateState::Confirmed),
        unsigned_allowed: Some(true),
        ..NodeStatus::new(LEAF, Dialect::Rootcast)
    }
}

#[test]
fn status_frames() {
    frame_is(
        LEAF,
        13,
        Body::Status(leaf_status()),
        "ca570107f5e4d3c2b1a000000d000000fefb1f000772656c61793136010000c2b1a0000003000040\
         e20100100e0000000102030405060708090a0b0c0d0e0fc30500000002000000010000001005312e\
         342e3211111111111111111111111111111111111111111111111111111111111111110500056f74\
         615f3108",
    );
    let empty = NodeStatus::new(LEAF, Dialect::Rootcast);
    frame_is(LEAF, 14, Body::Status(empty), "ca570107f5e4d3c2b1a000000e00000000000000");
}

#[test]
fn a_status_says_whether_the_node_takes_releases_only() {
    let told = |only| NodeStatus { releases_only: Some(only), ..NodeStatus::new(LEAF, Dialect::Rootcast) };
    let (status, lenient) = (told(true), told(false));
    frame_is(LEAF, 14, Body::Status(status.clone()), "ca570107f5e4d3c2b1a000000e00000000006000");
    frame_is(LEAF, 14, Body::Status(lenient), "ca570107f5e4d3c2b1a000000e00000000004000");
    let text = json(|out| status.write_json(out));
    assert!(text.ends_with(r#""unsignedAllowed":null,"releasesOnly":true}"#), "{text}");
    let Ok(StatusMessage::Status(read)) = parse_status(text.as_bytes()) else { panic!("{text}") };
    assert_eq!(read.releases_only, Some(true));
}

#[test]
fn a_status_says_how_large_the_slot_for_an_update_is() {
    let status = NodeStatus { slot_bytes: Some(0x16_0000), ..NodeStatus::new(LEAF, Dialect::Rootcast) };
    frame_is(LEAF, 14, Body::Status(status.clone()), "ca570107f5e4d3c2b1a000000e0000000000800000001600");
    let text = json(|out| status.write_json(out));
    assert!(text.ends_with(r#""unsignedAllowed":null,"slotBytes":1441792}"#), "{text}");
    let Ok(StatusMessage::Status(read)) = parse_status(text.as_bytes()) else { panic!("{text}") };
    assert_eq!(read.slot_bytes, Some(1_441_792));
}

#[test]
fn our_status_as_json_has_the_later_dialects_keys_and_its_own() {
    const JSON: &str = concat!(
        r#"{"deviceId":176685338322165,"type":"relay16","parentId":176685324435457,"freeHeap":123456,"uptime":3600,"#,
        r#""meshLayer":3,"peerCount":0,"firmware":"000102030405060708090a0b0c0d0e0f","rssi":-61,"clicks":5,"#,
        r#""disconnects":2,"lowHeap":1,"outputs":16,"rootcast":1,"version":"1.4.2","#,
        r#""running":"1111111111111111111111111111111111111111111111111111111111111111","chip":5,"#,
        r#""slot":"ota_1","state":"confirmed","unsignedAllowed":true}"#
    );
    assert_eq!(json(|out| leaf_status().write_json(out)), JSON);
    assert_eq!(parse_status(JSON.as_bytes()), Ok(StatusMessage::Status(leaf_status())));
}

#[test]
fn our_presence_as_json() {
    let connected = Presence {
        timestamp: Some(1_795_464_900_000),
        layer: Some(1),
        ip: Some(text("192.168.1.20")),
        ..Presence::new(ROOT, Dialect::Rootcast, true)
    };
    const CONNECTED: &str = concat!(
        r#"{"status":"connected","device_id":176685324435457,"timestamp":1795464900000,"mesh_layer":1,"#,
        r#""ip":"192.168.1.20","rootcast":1}"#
    );
    const WILL: &str =
        r#"{"status":"disconnected","device_id":176685324435457,"reason":"ungraceful","rootcast":1}"#;
    for (presence, text) in [(connected, CONNECTED), (Presence::last_will(ROOT, Dialect::Rootcast), WILL)] {
        assert_eq!(json(|out| presence.write_json(out)), text);
        assert_eq!(parse_status(text.as_bytes()), Ok(StatusMessage::Presence(presence)));
    }
}

#[test]
fn spread_frames_pass_as_they_are() {
    frame_is(
        LEAF,
        15,
        Body::Spread { kind: 32, bytes: &[1, 2, 3] },
        "ca570120f5e4d3c2b1a000000f000000010203",
    );
}

#[test]
fn the_first_dialects_trigger_frame() {
    let mut bytes = hex("4ff5e4d3c2150068747470733a2f2f7365727665722f66772e62696e");
    bytes.resize(207, 0);
    let frame = first::Frame::ota_trigger(LEAF.low32(), URL).unwrap();
    assert_eq!(frame.write().unwrap()[..], bytes[..]);
    assert_eq!(first::Frame::parse(&bytes), Ok(frame));
    assert_eq!(frame.ota_url(), Some(URL));
}

#[test]
fn the_later_dialects_start_frame() {
    let mut bytes = hex("f6e4d3c2b1a000005500000403020152");
    bytes.resize(528, 0);
    let mut frame = later::Frame::ota_start(LEAF.soft_ap().0, later::TargetType::Relay);
    frame.data_seq = 0x0102_0304;
    assert_eq!(frame.write().unwrap()[..], bytes[..]);
    assert_eq!(later::Frame::parse(&bytes), Ok(frame));
    assert_eq!(frame.message_type, MessageType::OtaStart);
}

#[test]
fn state_names_and_numbers() {
    let states: Vec<_> = UpdateState::ALL.iter().map(|state| (state.number(), state.name())).collect();
    assert_eq!(
        states,
        [
            (1, "accepted"),
            (2, "waiting"),
            (3, "downloading"),
            (4, "verifying"),
            (5, "installed"),
            (6, "restarting"),
            (7, "trial"),
            (8, "confirmed"),
            (9, "rolled_back"),
            (10, "failed"),
            (11, "refused"),
        ]
    );
}

#[test]
fn error_names_and_numbers() {
    // New codes are added at the end of their range; these stay.
    const CODES: [(u16, &str); 89] = [
        (1, "trigger_invalid"),
        (2, "url_invalid"),
        (3, "url_too_long"),
        (4, "url_scheme_unsupported"),
        (5, "mode_unsupported"),
        (6, "trigger_too_large"),
        (20, "dns_failed"),
        (21, "connect_failed"),
        (22, "connection_lost"),
        (23, "download_stalled"),
        (40, "tls_failed"),
        (41, "certificate_expired"),
        (42, "certificate_not_yet_valid"),
        (43, "certificate_wrong_host"),
        (44, "certificate_self_signed"),
        (45, "certificate_unknown_ca"),
        (46, "certificate_issuer_not_ca"),
        (47, "certificate_invalid"),
        (48, "certificate_revoked"),
        (49, "clock_not_set"),
        (60, "http_unauthorized"),
        (61, "http_forbidden"),
        (62, "http_not_found"),
        (63, "http_client_error"),
        (64, "http_server_error"),
        (65, "http_redirect_loop"),
        (66, "http_redirect_insecure"),
        (67, "http_redirect_invalid"),
        (68, "http_invalid_response"),
        (69, "http_head_too_large"),
        (70, "http_length_mismatch"),
        (71, "http_content_encoding"),
        (80, "not_an_image"),
        (81, "merged_factory_image"),
        (82, "image_malformed"),
        (83, "wrong_chip"),
        (84, "chip_revision"),
        (85, "image_too_large"),
        (86, "same_image"),
        (87, "truncated"),
        (88, "checksum_mismatch"),
        (89, "hash_mismatch"),
        (90, "digest_mismatch"),
        (91, "size_mismatch"),
        (92, "secure_version_too_low"),
        (93, "file_changed"),
        (94, "known_bad_image"),
        (120, "signature_missing"),
        (121, "signature_invalid"),
        (122, "signature_untrusted"),
        (123, "signature_malformed"),
        (140, "trial_crashed"),
        (141, "trial_watchdog"),
        (142, "trial_timeout"),
        (143, "trial_unhealthy"),
        (144, "boot_fallback"),
        (145, "boot_interrupted"),
        (146, "restart_timeout"),
        (160, "flash_failed"),
        (161, "read_back_mismatch"),
        (162, "no_update_slot"),
        (163, "partition_table_invalid"),
        (164, "otadata_failed"),
        (180, "out_of_memory"),
        (181, "busy"),
        (182, "superseded"),
        (183, "aborted"),
        (184, "internal"),
        (200, "release_malformed"),
        (201, "release_signature_invalid"),
        (202, "release_untrusted_key"),
        (203, "release_key_revoked"),
        (204, "release_downgrade"),
        (205, "release_expired"),
        (206, "release_wrong_vendor"),
        (207, "release_wrong_class"),
        (208, "release_no_variant"),
        (209, "release_version_too_low"),
        (210, "release_required"),
        (211, "release_digest_mismatch"),
        (212, "release_size_mismatch"),
        (213, "release_uri_invalid"),
        (230, "patch_wrong_base"),
        (231, "patch_malformed"),
        (232, "patch_failed"),
        (240, "spread_no_source"),
        (241, "spread_pages_rejected"),
        (242, "spread_timeout"),
        (65535, "unknown"),
    ];
    for (number, name) in CODES {
        let code = ErrorCode::from_number(number).unwrap_or_else(|| panic!("{number} {name} is gone"));
        assert_eq!(code.name(), name);
        assert_eq!(ErrorCode::from_name(name), Some(code));
    }
}
