//! What is written is read again, whatever it is; and the largest of everything fits where it is said to fit.

use proptest::{collection::vec, option, prelude::*};
use rootcast_wire::{
    Body, Command, ErrorCode, Frame, MAX_COMMAND_BYTES, MAX_FRAME_BYTES, Mode, NodeId, NodeStatus, NodeType,
    Parsed, Report, Target, Targets, Trigger, UpdateState,
    cast::{self, Accepted, CastId, CastReassembly},
    dialect::{MessageType, first, later},
    frame::{Hello, SEAL_BYTES},
    parse_command,
    report::MAX_REPORT_JSON_BYTES,
    status::{Dialect, Firmware, MAX_STATUS_JSON_BYTES, StatusMessage, parse_status},
    text::CUT_MARKER,
};

/// Any text of at most `N` bytes, with characters that need escaping.
fn text<const N: usize>() -> impl Strategy<Value = heapless::String<N>> {
    vec(prop_oneof![any::<char>(), proptest::char::range('\0', '\u{7f}')], 0..=N).prop_map(|characters| {
        let mut text = heapless::String::new();
        characters.into_iter().for_each(|c| drop(text.push(c)));
        text
    })
}

fn node() -> impl Strategy<Value = NodeId> {
    (1..=NodeId::MAX.0).prop_map(NodeId)
}

fn node_type() -> impl Strategy<Value = NodeType> {
    prop_oneof![
        Just(NodeType::Switch),
        Just(NodeType::Relay),
        Just(NodeType::Relay8),
        Just(NodeType::Relay16),
        "[a-z-]{1,16}".prop_filter_map("root is no type", |word| {
            if word == "root" { None } else { NodeType::from_name(&word) }
        }),
    ]
}

fn targets() -> impl Strategy<Value = Targets> {
    let target =
        prop_oneof![node().prop_map(Target::Node), node_type().prop_map(Target::Type), Just(Target::Root)];
    vec(target, 0..=32).prop_map(|entries| {
        let mut targets = Targets::all();
        entries.into_iter().for_each(|target| targets.push(target).unwrap());
        targets
    })
}

fn trigger() -> impl Strategy<Value = Trigger> {
    (
        "https?://[a-z0-9.]{1,40}/[!#-;=?-Z\\[\\]_a-z~]{0,600}",
        option::of(any::<[u8; 32]>()),
        option::of(1..=u32::MAX),
        option::of(text::<32>()),
        targets(),
        option::of(prop_oneof![Just(Mode::Direct), Just(Mode::Spread)]),
        option::of(1..=u16::MAX),
        option::of(0..=253_402_300_799u64),
        option::of(text::<64>()),
        any::<bool>(),
    )
        .prop_map(
            |(url, sha256, size, version, targets, mode, max_parallel, not_before, rollout, force)| Trigger {
                url: heapless::String::try_from(url.as_str()).unwrap(),
                sha256,
                size,
                version,
                targets,
                mode,
                max_parallel,
                not_before,
                rollout,
                force,
            },
        )
}

fn state() -> impl Strategy<Value = UpdateState> {
    proptest::sample::select(&UpdateState::ALL[..])
}

fn report() -> impl Strategy<Value = Report> {
    let who = (node(), node_type(), state(), 0..=100u8, 0..=NodeId::MAX.0);
    let what = (any::<[u8; 32]>(), option::of(any::<[u8; 32]>()), any::<bool>(), text::<32>(), text::<64>());
    let why = (
        option::of(proptest::sample::select(ErrorCode::ALL)),
        text::<96>(),
        any::<u8>(),
        any::<u8>(),
        any::<(u32, u32)>(),
    );
    let versions = (option::of(text::<32>()), option::of(text::<32>()), any::<bool>(), any::<[bool; 2]>());
    (who, what, why, versions).prop_map(
        |(
            (device, node_type, state, progress, parent),
            (running, target, same, version, rollout),
            (error, detail, attempt, layer, (bytes, shared_bytes)),
            (from_version, to_version, unsigned_allowed, [from_same, to_same]),
        )| Report {
            device,
            node_type,
            state,
            progress,
            running,
            target: if same { Some(running) } else { target },
            from_version: if from_same { Some(version.clone()) } else { from_version },
            to_version: if to_same { Some(version.clone()) } else { to_version },
            version,
            error,
            detail,
            attempt,
            rollout,
            layer,
            parent: NodeId(parent),
            bytes,
            shared_bytes,
            unsigned_allowed,
        },
    )
}

fn status() -> impl Strategy<Value = NodeStatus> {
    let firmware = prop_oneof![
        any::<[u8; 16]>().prop_map(Firmware::ElfHash),
        any::<u64>().prop_map(Firmware::BuildTime)
    ];
    let who = (node(), any::<bool>(), option::of(node_type()), option::of(node()), option::of(any::<u8>()));
    let how = (
        option::of(any::<u16>()),
        any::<[Option<u32>; 5]>(),
        option::of(firmware),
        option::of(any::<i8>()),
        option::of(any::<u8>()),
    );
    let ours = (
        option::of(text::<32>()),
        option::of(any::<[u8; 32]>()),
        option::of(any::<u16>()),
        option::of(text::<8>()),
        option::of(state()),
        [option::of(any::<bool>()), option::of(any::<bool>())],
        option::of(any::<u32>()),
    );
    (who, how, ours).prop_map(
        |(
            (device, is_root, node_type, parent, layer),
            (peer_count, [free_heap, uptime, clicks, disconnects, low_heap], firmware, rssi, outputs),
            (version, running, chip, slot, state, [unsigned_allowed, releases_only], slot_bytes),
        )| NodeStatus {
            device,
            dialect: Dialect::Rootcast,
            is_root,
            node_type,
            parent,
            layer,
            peer_count,
            free_heap,
            uptime,
            firmware,
            rssi,
            clicks,
            disconnects,
            low_heap,
            outputs,
            version,
            running,
            chip,
            slot,
            state,
            unsigned_allowed,
            releases_only,
            slot_bytes,
        },
    )
}

fn written(source: NodeId, body: Body<'_>) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = Frame { source, sequence: 77, body }.write(&mut buffer).expect("it fits");
    assert!(length + SEAL_BYTES <= MAX_FRAME_BYTES, "room for an authentication tag is left");
    buffer.truncate(length);
    buffer
}

/// A report with the longest of everything.
fn largest_report() -> Report {
    let long = "\u{1}".repeat(96);
    Report {
        progress: 100,
        running: [0xff; 32],
        target: Some([0xfe; 32]),
        version: long[..32].try_into().unwrap(),
        error: Some(ErrorCode::CertificateNotYetValid),
        detail: long[..].try_into().unwrap(),
        attempt: 255,
        rollout: long[..64].try_into().unwrap(),
        layer: 255,
        parent: NodeId::MAX,
        bytes: u32::MAX,
        shared_bytes: u32::MAX,
        from_version: Some("\u{2}".repeat(32).as_str().try_into().unwrap()),
        to_version: Some("\u{3}".repeat(32).as_str().try_into().unwrap()),
        unsigned_allowed: false,
        ..Report::new(NodeId::MAX, NodeType::Other(long[..16].try_into().unwrap()), UpdateState::Downloading)
    }
}

#[test]
fn the_largest_report_fits_a_frame_with_its_detail_cut_and_marked() {
    let report = largest_report();
    let frame = written(NodeId::MAX, Body::Report(report.clone()));
    let Body::Report(read) = Frame::parse(&frame).unwrap().body else { panic!() };
    assert!(read.detail.ends_with(CUT_MARKER) && read.detail.len() > 10, "{:?}", read.detail);
    assert_eq!((read.version, read.rollout, read.target), (report.version, report.rollout, report.target));
    assert_eq!((read.from_version, read.to_version), (None, None), "the reason is worth more than these");
}

#[test]
fn the_reason_of_a_usual_report_is_not_cut() {
    let mut report = largest_report();
    report.node_type = NodeType::Relay16;
    report.version = "1.4.2-rc.1+g0123abc".try_into().unwrap();
    report.from_version = Some(report.version.clone());
    report.to_version = Some("1.4.3".try_into().unwrap());
    report.rollout = "3f2b8c1e-6a4d-4f7b-9b1e-0a5c7d8e9f00".try_into().unwrap();
    report.detail = "404 Not Found from files.example.com".try_into().unwrap();
    let frame = written(NodeId::MAX, Body::Report(report.clone()));
    assert_eq!(Frame::parse(&frame).unwrap().body, Body::Report(report));
}

#[test]
fn the_largest_report_and_status_fit_their_json_buffers() {
    let length = largest_report().to_json(&mut [0; MAX_REPORT_JSON_BYTES]).unwrap();
    assert!(length > MAX_REPORT_JSON_BYTES - 300, "the limit is not far too large: {length}");
    let status = NodeStatus {
        is_root: true,
        node_type: Some(NodeType::Other("\u{1}".repeat(16).as_str().try_into().unwrap())),
        parent: Some(NodeId::MAX),
        layer: Some(255),
        peer_count: Some(u16::MAX),
        free_heap: Some(u32::MAX),
        uptime: Some(u32::MAX),
        firmware: Some(Firmware::ElfHash([255; 16])),
        rssi: Some(-128),
        clicks: Some(u32::MAX),
        disconnects: Some(u32::MAX),
        low_heap: Some(u32::MAX),
        outputs: Some(255),
        version: Some("\u{1}".repeat(32).as_str().try_into().unwrap()),
        running: Some([255; 32]),
        chip: Some(u16::MAX),
        slot: Some("\u{1}".repeat(8).as_str().try_into().unwrap()),
        state: Some(UpdateState::Downloading),
        unsigned_allowed: Some(false),
        releases_only: Some(false),
        slot_bytes: Some(u32::MAX),
        ..NodeStatus::new(NodeId::MAX, Dialect::Rootcast)
    };
    let length = status.to_json(&mut [0; MAX_STATUS_JSON_BYTES]).unwrap();
    assert!(length > MAX_STATUS_JSON_BYTES - 300, "the limit is not far too large: {length}");
    written(NodeId::MAX, Body::Status(status));
    assert_eq!(largest_report().to_json(&mut [0; 200]), Err(rootcast_wire::TooSmall));
}

/// A trigger with the longest of everything.
fn largest_trigger() -> Trigger {
    let mut targets = Targets::all();
    for _ in 0..32 {
        targets.push(Target::Type(NodeType::Other("sixteen-letters!".try_into().unwrap()))).unwrap();
    }
    Trigger {
        url: format!("https://h/{}", "/".repeat(2_038)).as_str().try_into().unwrap(),
        sha256: Some([255; 32]),
        size: Some(u32::MAX),
        version: Some("\u{1}".repeat(32).as_str().try_into().unwrap()),
        targets,
        mode: Some(Mode::Spread),
        max_parallel: Some(u16::MAX),
        not_before: Some(253_402_300_799),
        rollout: Some("\u{1}".repeat(64).as_str().try_into().unwrap()),
        force: true,
    }
}

#[test]
fn the_largest_trigger_fits_a_command_message_and_a_cast() {
    let trigger = largest_trigger();
    let mut message = String::new();
    trigger.write_json(&mut message).unwrap();
    // Some JSON writers escape every slash.
    let escaped = message.replace('/', r"\/");
    assert!(escaped.len() < MAX_COMMAND_BYTES, "{}", escaped.len());
    assert_eq!(parse_command(escaped.as_bytes()), Ok(Command::Trigger(trigger.clone())));
    let length = cast::encode_trigger(&trigger, &mut [0; cast::MAX_CAST_BYTES]).unwrap();
    assert_eq!(length, 2_804);
}

#[test]
fn types_are_as_small_as_a_chip_needs() {
    assert!(size_of::<Trigger>() <= 3_700, "{}", size_of::<Trigger>());
    assert!(size_of::<CastReassembly>() <= cast::MAX_CAST_BYTES + 16, "{}", size_of::<CastReassembly>());
    assert!(size_of::<Frame>() <= 640, "{}", size_of::<Frame>());
}

/// Every fragment of a cast, as the frames that carry them.
fn frames_of(sender: &CastReassembly) -> Vec<Vec<u8>> {
    (0..sender.fragment_count())
        .map(|index| written(NodeId(1), Body::CastFragment(sender.fragment(index).unwrap())))
        .collect()
}

fn hear(receiver: &mut CastReassembly, frame: &[u8]) -> Accepted {
    let Body::CastFragment(piece) = Frame::parse(frame).unwrap().body else { panic!() };
    receiver.accept(&piece)
}

#[test]
fn the_newest_of_two_interleaved_casts_wins_in_any_order() {
    let (mut root, mut receiver) = (CastReassembly::new(), CastReassembly::new());
    let old = root.originate_trigger(&largest_trigger(), CastId::NONE).unwrap();
    let old_frames = frames_of(&root);
    let newer = Trigger { force: false, ..largest_trigger() };
    let new = root.originate_trigger(&newer, CastId::NONE).unwrap();
    assert!(new.is_newer_than(old) && !old.is_newer_than(new));
    let new_frames = frames_of(&root);
    assert_eq!(hear(&mut receiver, &old_frames[0]), Accepted::Partial);
    for (at, (old, new)) in old_frames.iter().zip(&new_frames).enumerate() {
        let last = at == new_frames.len() - 1;
        assert_eq!(hear(&mut receiver, new) == Accepted::Complete(root.id()), last);
        assert_eq!(hear(&mut receiver, old), Accepted::Stale);
        assert_eq!(hear(&mut receiver, new), Accepted::Duplicate);
    }
    let mut read = Trigger::new();
    assert_eq!(cast::decode(receiver.encoded().unwrap(), &mut read), Ok(Parsed::Trigger));
    assert_eq!(read, newer);
}

#[test]
fn a_restarted_root_goes_beyond_the_cast_that_its_nodes_know() {
    let mut root = CastReassembly::new();
    let heard = CastId(0xffff_0001);
    let id = root.originate_abort(&Default::default(), heard).unwrap();
    assert!(id.is_newer_than(heard), "the count may wrap");
    assert!(heard.is_newer_than(CastId::NONE) && !CastId::NONE.is_newer_than(heard));
}

#[test]
fn after_a_mixed_up_cast_its_fragments_are_collected_afresh() {
    let mut root = CastReassembly::new();
    root.originate_trigger(&largest_trigger(), CastId::NONE).unwrap();
    let mut receiver = CastReassembly::new();
    let frames = frames_of(&root);
    let mut forged = frames[3].clone();
    forged[100] ^= 1;
    hear(&mut receiver, &forged);
    for frame in &frames {
        hear(&mut receiver, frame);
    }
    assert!(cast::decode(receiver.encoded().unwrap(), &mut Trigger::new()).is_err());
    receiver.collect_again();
    assert_eq!(receiver.encoded(), None);
    for frame in &frames {
        hear(&mut receiver, frame);
    }
    assert_eq!(cast::decode(receiver.encoded().unwrap(), &mut Trigger::new()), Ok(Parsed::Trigger));
}

proptest! {
    #[test]
    fn a_trigger_survives_json(trigger in trigger()) {
        let mut message = String::new();
        trigger.write_json(&mut message).unwrap();
        serde_json::from_str::<serde_json::Value>(&message).expect("others read it too");
        prop_assert_eq!(parse_command(message.as_bytes()), Ok(Command::Trigger(trigger)));
    }

    #[test]
    fn a_trigger_survives_loss_repetition_and_reordering(
        trigger in trigger(),
        order in vec(any::<proptest::sample::Index>(), 0..40),
        seed in any::<u64>(),
    ) {
        let mut root = CastReassembly::new();
        let id = root.originate_trigger(&trigger, CastId((seed as u32) | 1)).unwrap();
        let frames = frames_of(&root);
        let mut receiver = CastReassembly::new();
        let mut complete = 0;
        // First as the radio happens to deliver, then everything once more, backwards.
        let heard = order.iter().map(|index| index.index(frames.len())).chain((0..frames.len()).rev());
        for at in heard {
            if hear(&mut receiver, &frames[at]) == Accepted::Complete(id) {
                complete += 1;
            }
        }
        prop_assert_eq!(complete, 1, "complete is said once");
        let mut read = Trigger::new();
        prop_assert_eq!(cast::decode(receiver.encoded().unwrap(), &mut read), Ok(Parsed::Trigger));
        prop_assert_eq!(read, trigger);
        prop_assert_eq!(frames_of(&receiver), frames, "any node can repeat it");
    }

    #[test]
    fn a_report_survives_json(report in report()) {
        let mut message = String::new();
        report.write_json(&mut message).unwrap();
        let seen: serde_json::Value = serde_json::from_str(&message).expect("others read it too");
        prop_assert_eq!(seen["deviceId"].as_u64(), Some(report.device.0));
        prop_assert_eq!(Report::parse_json(message.as_bytes()), Ok(report));
    }

    #[test]
    fn a_report_always_fits_a_frame(report in report()) {
        let frame = written(report.device, Body::Report(report.clone()));
        let Body::Report(mut read) = Frame::parse(&frame).unwrap().body else { panic!() };
        if read.detail != report.detail {
            prop_assert!(read.detail.ends_with(CUT_MARKER));
            prop_assert!(report.detail.starts_with(read.detail.trim_end_matches(CUT_MARKER)));
        }
        // Besides the detail, only the optional versions may be left out, and whole.
        read.detail = report.detail.clone();
        if read.from_version.is_none() { read.from_version = report.from_version.clone(); }
        if read.to_version.is_none() { read.to_version = report.to_version.clone(); }
        prop_assert_eq!(read, report);
    }

    #[test]
    fn a_status_survives_json_and_a_frame(status in status()) {
        let mut message = String::new();
        status.write_json(&mut message).unwrap();
        serde_json::from_str::<serde_json::Value>(&message).expect("others read it too");
        let mut expected = status.clone();
        // Without a type the JSON says "unknown", as the original does.
        expected.node_type = expected.node_type.or(NodeType::from_name("unknown"));
        prop_assert_eq!(parse_status(message.as_bytes()), Ok(StatusMessage::Status(expected)));
        let frame = written(status.device, Body::Status(status.clone()));
        prop_assert_eq!(Frame::parse(&frame).unwrap().body, Body::Status(status));
    }

    #[test]
    fn a_hello_survives_a_frame(
        node_type in node_type(), flags in any::<[bool; 3]>(), layer in any::<u8>(), parent in node(),
        running in any::<[u8; 8]>(), cast_id in any::<u32>(), state in option::of(state()), chip in any::<u16>(),
    ) {
        let [is_root, can_spread, unsigned_allowed] = flags;
        let cast_id = CastId(cast_id);
        let hello = Hello { node_type, is_root, can_spread, unsigned_allowed, layer, parent, running, cast_id, state, chip };
        let frame = written(NodeId(3), Body::Hello(hello.clone()));
        prop_assert_eq!(Frame::parse(&frame).unwrap().body, Body::Hello(hello));
    }

    #[test]
    fn frames_of_the_original_dialects_survive(
        kind in proptest::sample::select(&MessageType::ALL[..]), id in 0..=NodeId::MAX.0, seq in any::<u32>(),
        data in vec(any::<u8>(), 0..=200),
    ) {
        let frame = first::Frame { message_type: kind, device_id: id as u32, data: &data };
        let bytes = frame.write().unwrap();
        prop_assert_eq!(first::Frame::parse(&bytes), Ok(frame));
        let target = later::TargetType::Switch;
        let frame = later::Frame { src_id: id, message_type: kind, data_seq: seq, target, data: &data };
        let bytes = frame.write().unwrap();
        prop_assert_eq!(later::Frame::parse(&bytes), Ok(frame));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..600), kind in 0..40u8) {
        let _ = parse_command(&bytes);
        let _ = Report::parse_json(&bytes);
        let _ = parse_status(&bytes);
        let _ = cast::decode(&bytes, &mut Trigger::new());
        let _ = first::Frame::parse(&bytes);
        let _ = later::Frame::parse(&bytes);
        let framed = [&[0xCA, 0x57, 1, kind][..], &bytes[..bytes.len().min(246)]].concat();
        if let Ok(Frame { body: Body::CastFragment(piece), .. }) = Frame::parse(&framed) {
            CastReassembly::new().accept(&piece);
        }
    }

    #[test]
    fn what_serde_json_takes_for_an_object_we_skip_through_and_nothing_else(
        base in proptest::sample::select(&JSON[..]),
        changes in vec((any::<proptest::sample::Index>(), proptest::sample::select(&b"{}[]\",:\\ue0-+.1tn \n"[..])), 0..3),
    ) {
        let mut bytes = base.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let theirs = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes);
        let ours = parse_status(&bytes);
        let not_json = matches!(ours, Err(rootcast_wire::status::StatusError::NotJson(_)));
        let shown = String::from_utf8_lossy(&bytes);
        match theirs {
            Ok(_) => prop_assert!(!not_json, "{shown}: {ours:?}"),
            // A field that is skipped may hold half a surrogate pair or a number that no f64 holds.
            Err(error) if ["surrogate", "unexpected end of hex escape", "out of range"].iter().any(|known| error.to_string().contains(known)) => {}
            Err(error) => prop_assert!(not_json, "{shown}: {error}"),
        }
    }
}

/// Objects in which every rule of the grammar has a place where it can be broken.
const JSON: [&str; 4] = [
    r#"{"a":{"b":[1,-2.5e+3,{"c":null}],"d":"\u00e9\n\"x"},"e":true}"#,
    r#"{ "x" : [ [ ] , { } , "" , 0 , -0.0 , 1E9 ] , "\\" : false }"#,
    r#"{"deviceId":17,"type":"relay","firmware":"00","rssi":-5}"#,
    r#"{"\ud83d\ude00":[[[[{"a":[{}]}]]]],"":{"":{"":[]}}}"#,
];
