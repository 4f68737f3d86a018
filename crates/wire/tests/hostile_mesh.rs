//! Whatever arrives from the mesh: a named error or nothing at all, never harm.

use rootcast_wire::{
    Body, Command, Frame, MAX_FRAME_BYTES, NodeId, Parsed, Report, Trigger, TriggerError, UpdateState,
    cast::{self, Accepted, CastError, CastId, CastReassembly},
    parse_command,
};

fn trigger(fields: &str) -> Result<Trigger, TriggerError> {
    match parse_command(format!(r#"{{"type":"ota_trigger","url":"https://h/f"{fields}}}"#).as_bytes())? {
        Command::Trigger(trigger) => Ok(trigger),
        other => panic!("{other:?}"),
    }
}

fn valid_frames() -> Vec<Vec<u8>> {
    let mut encoded = [0; cast::MAX_CAST_BYTES];
    let length = cast::encode_trigger(&trigger(r#","version":"1.2""#).unwrap(), &mut encoded).unwrap();
    let source = NodeId(5);
    let report = Report::parse_json(
        format!(
            r#"{{"type":"ota_status","deviceId":5,"state":"failed","running":"{}","detail":"x"}}"#,
            "22".repeat(32)
        )
        .as_bytes(),
    );
    let status = rootcast_wire::NodeStatus {
        version: Some("1".try_into().unwrap()),
        running: Some([3; 32]),
        ..rootcast_wire::NodeStatus::new(source, rootcast_wire::status::Dialect::Rootcast)
    };
    let bodies = [
        Body::CastFragment(cast::fragment(CastId(9), &encoded[..length], 0).unwrap()),
        Body::Report(report.unwrap()),
        Body::ReportAck { node: source, sequence: 1 },
        Body::StartRequest { cast_id: CastId(9), purpose: Default::default(), file: 0 },
        Body::StartGrant { node: source, cast_id: CastId(9) },
        Body::Status(status),
        Body::Spread { kind: 99, bytes: b"page" },
    ];
    bodies
        .map(|body| {
            let mut buffer = vec![0; MAX_FRAME_BYTES];
            let length = Frame { source, sequence: 1, body }.write(&mut buffer).unwrap();
            buffer.truncate(length);
            buffer
        })
        .into()
}

#[test]
fn a_frame_cut_at_any_byte_is_truncated_and_never_another_frame() {
    for frame in valid_frames() {
        let whole = Frame::parse(&frame).unwrap();
        for cut in 0..frame.len() {
            match Frame::parse(&frame[..cut]) {
                Err(error) => assert_eq!(error, rootcast_wire::FrameError::Truncated),
                // Fragments and spread frames end where the frame ends; what a fragment lost, the reassembly notices.
                Ok(Frame { body: Body::CastFragment(piece), .. }) => {
                    assert_eq!(CastReassembly::new().accept(&piece), Accepted::Malformed);
                }
                Ok(shorter) => assert!(matches!(shorter.body, Body::Spread { .. }), "{whole:?} at {cut}"),
            }
        }
    }
}

#[test]
fn any_byte_of_a_frame_may_be_any_other() {
    for frame in valid_frames() {
        for at in 0..frame.len() {
            for value in [0, 1, 0x7f, 0x80, 0xfe, 0xff, frame[at] ^ 1] {
                let mut changed = frame.clone();
                changed[at] = value;
                let _ = Frame::parse(&changed);
            }
        }
    }
}

#[test]
fn an_error_number_of_a_newer_version_reaches_the_reader_in_the_detail() {
    let mut frame = valid_frames().remove(1);
    // Behind the header: state, progress, flags, error.
    frame[19..21].copy_from_slice(&777u16.to_le_bytes());
    let read = Frame::parse(&frame).unwrap();
    let Body::Report(report) = &read.body else { panic!() };
    assert_eq!(report.error, Some(rootcast_wire::ErrorCode::Unknown));
    assert_eq!(report.detail, "error 777: x");
    let mut again = [0; rootcast_wire::frame::MAX_FRAME_BYTES];
    let length = read.write(&mut again).unwrap();
    assert_eq!(again[..length], frame[..], "whoever passes it on leaves the number as it was");
}

#[test]
fn frames_of_others_are_told_from_ours() {
    use rootcast_wire::FrameError;
    let frame = &valid_frames()[2];
    let changed = |at: usize, value: u8| {
        let mut frame = frame.clone();
        frame[at] = value;
        Frame::parse(&frame).map(|_| ()).unwrap_err()
    };
    assert_eq!(changed(0, 0x4f), FrameError::Magic);
    assert_eq!(changed(2, 2), FrameError::Version(2));
    for kind in [0, 9, 31, 128, 255] {
        assert_eq!(changed(3, kind), FrameError::Kind(kind));
    }
    assert_eq!(changed(11, 1), FrameError::Field("source"), "an id has 48 bits");
    let mut long = frame.clone();
    long.resize(251, 0);
    assert_eq!(Frame::parse(&long), Err(FrameError::TooLong(251)));
    long.truncate(250);
    assert!(Frame::parse(&long).is_ok(), "fields of a later version behind the known ones are left alone");
}

#[test]
fn a_report_is_sent_by_the_node_it_speaks_of_or_not_at_all() {
    let report = Report::new(NodeId(5), Default::default(), UpdateState::Trial);
    let frame = Frame { source: NodeId(6), sequence: 0, body: Body::Report(report) };
    assert_eq!(
        frame.write(&mut [0; 250]),
        Err(rootcast_wire::FrameError::Source { frame: NodeId(6), body: NodeId(5) })
    );
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let crc = crc32(content);
    [content, &crc.to_le_bytes()].concat()
}

/// Bit by bit, so that the test does not lean on the crate's own.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[test]
fn a_cast_is_checked_like_a_trigger() {
    let url = b"\x01\x0b\x00https://h/f";
    let decode = |fields: &[&[u8]]| {
        let mut trigger = Trigger::new();
        let content = [&b"\x01\x01"[..], &fields.concat()].concat();
        let result = cast::decode(&sealed(&content), &mut trigger);
        assert!(result.is_ok() || trigger == Trigger::new(), "no half of a trigger is left");
        result
    };
    assert_eq!(decode(&[url]), Ok(Parsed::Trigger));
    assert_eq!(decode(&[url, b"\xff\x02\x00xy"]), Ok(Parsed::Trigger), "a field that may be skipped");
    assert_eq!(decode(&[url, b"\x7f\x02\x00xy"]), Err(CastError::UnknownField(0x7f)));
    for (fields, tag) in [
        (vec![&b""[..]], 1),
        (vec![url, url], 1),
        (vec![b"\x01\x09\x00ftp://h/f"], 1),
        (vec![b"\x01\x02\x00\xff\xff"], 1),
        (vec![url, b"\x02\x01\x00x"], 2),
        (vec![url, b"\x03\x04\x00\0\0\0\0"], 3),
        (vec![url, b"\x03\x03\x00\x01\0\0"], 3),
        (vec![url, b"\x04\x00\x00"], 4),
        (vec![url, b"\x04\x02\x00\x03\x09"], 4),
        (vec![url, b"\x04\x01\x00\x03", b"\x04\x01\x00\x03"], 4),
        (vec![url, b"\x05\x01\x00\x03"], 5),
        (vec![url, b"\x06\x04\x00\0\0\0\0"], 6),
        (vec![url, b"\x07\x01\x00\x02"], 7),
        (vec![url, b"\x82\x02\x00\0\0"], 0x82),
    ] {
        assert_eq!(decode(&fields), Err(CastError::Field(tag)), "{fields:?}");
    }
    let long = [&b"\x08\x41\x00"[..], &[b'r'; 65]].concat();
    assert_eq!(decode(&[url, &long]), Err(CastError::Field(8)));
    let many = [&b"\x04\x21\x00"[..], &[3; 33]].concat();
    assert_eq!(decode(&[url, &many]), Err(CastError::Field(4)));
    assert_eq!(decode(&[url, b"\x03\xff"]), Err(CastError::Truncated));

    let mut trigger = Trigger::new();
    assert_eq!(
        cast::decode(&sealed(b"\x01\x09"), &mut trigger),
        Ok(Parsed::Ignored),
        "a command of a later version"
    );
    assert_eq!(cast::decode(&sealed(b"\x02\x01"), &mut trigger), Err(CastError::Format(2)));
    assert_eq!(cast::decode(b"\x01\x01", &mut trigger), Err(CastError::Truncated));
}

#[test]
fn a_cast_with_any_byte_changed_or_cut_off_is_refused() {
    let mut encoded = [0; cast::MAX_CAST_BYTES];
    let length =
        cast::encode_trigger(&trigger(r#","version":"1.2","size":7"#).unwrap(), &mut encoded).unwrap();
    let mut read = Trigger::new();
    for at in 0..length {
        assert!(cast::decode(&encoded[..at], &mut read).is_err());
        let mut changed = encoded;
        changed[at] ^= 0x10;
        assert!(matches!(cast::decode(&changed[..length], &mut read), Err(CastError::Checksum { .. })));
    }
}
