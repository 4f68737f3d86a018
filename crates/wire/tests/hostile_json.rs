//! Whatever arrives from MQTT: a named error or nothing at all, never harm.

use rootcast_wire::{
    Abort, Command, ErrorCode, JsonError, MAX_COMMAND_BYTES, Mode, NodeId, Parsed, Report, Target, Trigger,
    TriggerError, UpdateState,
    command::parse_command_into,
    parse_command,
    report::ReportError,
    status::{StatusError, parse_status},
    trigger::UrlError,
};

fn trigger(fields: &str) -> Result<Trigger, TriggerError> {
    match parse_command(format!(r#"{{"type":"ota_trigger","url":"https://h/f"{fields}}}"#).as_bytes())? {
        Command::Trigger(trigger) => Ok(trigger),
        other => panic!("{other:?}"),
    }
}

fn url(url: &str) -> Result<String, TriggerError> {
    match parse_command(format!(r#"{{"type":"ota_trigger","url":"{url}"}}"#).as_bytes())? {
        Command::Trigger(trigger) => Ok(trigger.url.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_types_are_ignored_whatever_they_carry() {
    for message in [
        r#"{"type":"connections","data":{"1":{"a":[["2","b"],["3","c1"]]},"x":null}}"#,
        r#"{"type":"blind_pairs","data":[]}"#,
        r#"{"type":"button_types","data":{"7":"0101000"},"url":5}"#,
        r#"{"data":{"type":"ota_trigger","url":"https://h/f"},"type":"auto_off"}"#,
        r#"{"type":""}"#,
        r#"{"type":"OTA_TRIGGER","url":"https://h/f"}"#,
        r#"{"type":"\ud800"}"#,
    ] {
        assert_eq!(parse_command(message.as_bytes()), Ok(Command::Ignored), "{message}");
    }
}

#[test]
fn unknown_fields_of_any_shape_are_skipped() {
    for field in [
        r#","x":null"#,
        r#","x":{"url":"http://evil/","type":"ota"}"#,
        r#","x":[[],{},[{}],{"a":[{"b":[]}]}]"#,
        r#","x":"\"}],\\""#,
        r#","x":"\u0000\ud83d\ude00\/""#,
        r#","x":"\ud800 half a pair in a field that nobody asks for""#,
        r#","":0,"\u0000":-1.5E+300,"x":1e99999999999999999999"#,
        " \t\r\n,\n\"x\" : [ 1 , 2 , { } , [ ] ] ",
    ] {
        assert_eq!(trigger(field).as_ref().map(|trigger| trigger.url.as_str()), Ok("https://h/f"), "{field}");
    }
}

#[test]
fn fields_come_in_any_order_with_escaped_keys() {
    let message = r#"{"for\u0063e":true,"\u0075rl":"https://h/f","type":"ota"}"#;
    let Ok(Command::Trigger(trigger)) = parse_command(message.as_bytes()) else { panic!() };
    assert!(trigger.force && trigger.url == "https://h/f");
}

#[test]
fn urls_are_unescaped_as_json_demands() {
    assert_eq!(url(r"https:\/\/h\/f?a=1\u0026b=\u00322").as_deref(), Ok("https://h/f?a=1&b=22"));
}

#[test]
fn a_long_presigned_url_is_kept_whole_and_one_byte_too_many_is_refused() {
    for length in [199, 200, 1_500, 2_048] {
        let long = format!("https://h/{}", "a".repeat(length - 10));
        assert_eq!(url(&long), Ok(long));
    }
    let too_long = format!("https://h/{}", "a".repeat(2_039));
    assert_eq!(url(&too_long), Err(TriggerError::Url(UrlError::TooLong(2_049))));
    assert_eq!(url(&too_long).unwrap_err().code(), ErrorCode::UrlTooLong);
    // The same when every character is escaped: 2,048 characters are 2,048 bytes.
    let escaped = |length: usize| format!("https:\\/\\/h\\/{}", r"\/".repeat(length - 10));
    assert_eq!(url(&escaped(2_048)).map(|url| url.len()), Ok(2_048));
    assert_eq!(url(&escaped(2_049)), Err(TriggerError::Url(UrlError::TooLong(2_049))));
}

#[test]
fn urls_that_cannot_be_fetched_are_refused_with_their_own_code() {
    for (text, code) in [
        ("", ErrorCode::UrlInvalid),
        ("fw.bin", ErrorCode::UrlInvalid),
        ("//h/fw.bin", ErrorCode::UrlInvalid),
        ("https:", ErrorCode::UrlInvalid),
        ("https:/h/f", ErrorCode::UrlInvalid),
        ("https://", ErrorCode::UrlInvalid),
        ("https:///f", ErrorCode::UrlInvalid),
        ("https://?f", ErrorCode::UrlInvalid),
        ("https://h/a b", ErrorCode::UrlInvalid),
        (r"https://h/\r\nHost: evil", ErrorCode::UrlInvalid),
        (r"https://h/\u0000", ErrorCode::UrlInvalid),
        ("https://h/ä", ErrorCode::UrlInvalid),
        ("ftp://h/f", ErrorCode::UrlSchemeUnsupported),
        ("file:///etc/passwd", ErrorCode::UrlSchemeUnsupported),
        ("javascript:alert(1)", ErrorCode::UrlSchemeUnsupported),
        ("s3://bucket/f", ErrorCode::UrlSchemeUnsupported),
        (r"https://h/\ud800", ErrorCode::TriggerInvalid),
        (r"https://h/\udc00\ud800", ErrorCode::TriggerInvalid),
    ] {
        assert_eq!(url(text).map_err(|error| error.code()), Err(code), "{text:?}");
    }
    assert!(url("HTTPS://H/f").is_ok(), "schemes have no case");
}

#[test]
fn what_is_not_a_json_object_is_said_to_be_none() {
    use JsonError::*;
    for (message, error) in [
        (&b""[..], Ends(0)),
        (b"  ", Ends(2)),
        (b"U", Unexpected { at: 0, found: b'U' }),
        (b"\xff\xfe{", NotUtf8(0)),
        (b"{\"type\":\"ota\xc3\"}", NotUtf8(12)),
        (b"[]", NotAnObject),
        (b"\"ota\"", NotAnObject),
        (b"null", NotAnObject),
        (b"nul", Ends(3)),
        (b"-12.5e3", NotAnObject),
        (b"{", Ends(1)),
        (b"{\"type\"", Ends(7)),
        (b"{\"type\":\"ota\"", Ends(13)),
        (b"{\"type\":\"ota\",}", Unexpected { at: 14, found: b'}' }),
        (b"{,}", Unexpected { at: 1, found: b',' }),
        (b"{\"type\":\"ota\"}}", Unexpected { at: 14, found: b'}' }),
        (b"{\"type\":\"ota\"} x", Unexpected { at: 15, found: b'x' }),
        (b"{'type':'ota'}", Unexpected { at: 1, found: b'\'' }),
        (b"{\"type\":ota}", Unexpected { at: 8, found: b'o' }),
        (b"{\"x\":nope}", Unexpected { at: 6, found: b'o' }),
        (b"{\"x\":01}", Unexpected { at: 6, found: b'1' }),
        (b"{\"x\":1.}", Unexpected { at: 7, found: b'}' }),
        (b"{\"x\":.5}", Unexpected { at: 5, found: b'.' }),
        (b"{\"x\":+1}", Unexpected { at: 5, found: b'+' }),
        (b"{\"x\":1e}", Unexpected { at: 7, found: b'}' }),
        (b"{\"x\":\"\n\"}", Unexpected { at: 6, found: b'\n' }),
        (b"{\"x\":\"\\x\"}", Unexpected { at: 7, found: b'x' }),
        (b"{\"x\":\"\\u12g4\"}", Unexpected { at: 10, found: b'g' }),
        (b"{\"x\":[1,2}]}", Unexpected { at: 9, found: b'}' }),
        (b"{\"x\":[1 2]}", Unexpected { at: 8, found: b'2' }),
        (b"{\"x\":[,]}", Unexpected { at: 6, found: b',' }),
        (b"{\"x\":{1:2}}", Unexpected { at: 6, found: b'1' }),
    ] {
        let text = String::from_utf8_lossy(message);
        assert_eq!(parse_command(message), Err(TriggerError::NotJson(error)), "{text}");
        assert_eq!(Report::parse_json(message), Err(ReportError::NotJson(error)), "{text}");
        assert_eq!(parse_status(message), Err(StatusError::NotJson(error)), "{text}");
    }
}

#[test]
fn a_byte_order_mark_and_a_final_newline_do_no_harm() {
    let message = "\u{feff}{\"type\":\"ota\",\"url\":\"https://h/f\"}\r\n";
    assert!(matches!(parse_command(message.as_bytes()), Ok(Command::Trigger(_))));
}

#[test]
fn nesting_is_bounded_without_recursion() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!(r#","x":{}1{}"#, open.repeat(depth), close.repeat(depth));
        assert!(trigger(&nested(64)).is_ok());
        assert!(matches!(trigger(&nested(65)), Err(TriggerError::NotJson(JsonError::TooDeep(_)))));
    }
    let bomb = format!(r#"{{"type":"ota_status","x":{}"#, "[".repeat(1_000_000));
    assert!(matches!(Report::parse_json(bomb.as_bytes()), Err(ReportError::NotJson(JsonError::TooDeep(_)))));
    assert!(matches!(parse_status(bomb.as_bytes()), Err(StatusError::NotJson(JsonError::TooDeep(_)))));
}

#[test]
fn a_trigger_of_a_megabyte_is_refused_as_too_large_and_a_foreign_message_ignored() {
    let padding = "ä".repeat(500_000);
    let large = |kind: &str| format!(r#"{{"type":"{kind}","url":"https://h/f","x":"{padding}"}}"#);
    let error = TriggerError::TooLarge(large("ota_trigger").len());
    assert_eq!(parse_command(large("ota_trigger").as_bytes()), Err(error));
    assert_eq!(error.code(), ErrorCode::TriggerTooLarge);
    assert_eq!(parse_command(large("connections").as_bytes()), Ok(Command::Ignored));
    for garbage in [b'{', b' ', b'[', b'"', 0xff, 0] {
        assert_eq!(parse_command(&vec![garbage; 1_000_000]), Err(TriggerError::TooLarge(1_000_000)));
    }
    let exact = |length: usize| {
        let empty = r#"{"type":"ota","url":"https://h/f","x":""}"#;
        empty.replace(r#""""#, &format!(r#""{}""#, "x".repeat(length - empty.len())))
    };
    assert!(parse_command(exact(MAX_COMMAND_BYTES).as_bytes()).is_ok());
    assert_eq!(
        parse_command(exact(MAX_COMMAND_BYTES + 1).as_bytes()),
        Err(TriggerError::TooLarge(MAX_COMMAND_BYTES + 1))
    );
}

#[test]
fn missing_and_repeated_fields_are_named() {
    for (message, error) in [
        ("{}", TriggerError::MissingField("type")),
        (r#"{"url":"https://h/f"}"#, TriggerError::MissingField("type")),
        (r#"{"type":"ota"}"#, TriggerError::MissingField("url")),
        (r#"{"type":"ota","url":null}"#, TriggerError::MissingField("url")),
        (r#"{"type":"ota","Url":"https://h/f"}"#, TriggerError::MissingField("url")),
        (r#"{"type":"x","type":"ota","url":"https://h/f"}"#, TriggerError::DuplicateField("type")),
        (r#"{"type":"ota","url":"https://a/","url":"https://b/"}"#, TriggerError::DuplicateField("url")),
        (r#"{"type":"ota","url":"https://a/","\u0075rl":"https://b/"}"#, TriggerError::DuplicateField("url")),
        (r#"{"type":"ota_abort","rollout":"a","rollout":"b"}"#, TriggerError::DuplicateField("rollout")),
    ] {
        assert_eq!(parse_command(message.as_bytes()), Err(error), "{message}");
    }
}

#[test]
fn fields_of_the_wrong_type_are_named() {
    let wrong = |field: &'static str, values: &[&str]| {
        for value in values {
            let message = format!(
                r#"{{"type":"ota","{field}":{value}{}}}"#,
                if field == "url" { "" } else { r#","url":"https://h/f""# }
            );
            match parse_command(message.as_bytes()) {
                Err(TriggerError::WrongType { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{message}: {other:?}"),
            }
        }
    };
    wrong("url", &["1", "true", "[]", "{}", r#"["https://h/f"]"#]);
    wrong("sha256", &["1", "{}", "[]", "false"]);
    wrong("size", &[r#""1""#, "{}", "true"]);
    wrong("version", &["1.0", "[]"]);
    wrong("targets", &[r#""relay""#, "1", "{}", "true", "[null]", "[[1]]", "[{}]", "[true]"]);
    wrong("mode", &["1", "[]", "true"]);
    wrong("max_parallel", &[r#""4""#, "[4]"]);
    wrong("not_before", &["true", "[]", "{}"]);
    wrong("rollout", &["1", "{}"]);
    wrong("force", &["1", "0", r#""true""#, r#""yes""#, "[]"]);
    assert!(matches!(
        parse_command(br#"{"type":1,"url":"https://h/f"}"#),
        Err(TriggerError::WrongType { field: "type", .. })
    ));
    assert!(matches!(
        parse_command(br#"{"type":"ota_abort","rollout":1}"#),
        Err(TriggerError::WrongType { field: "rollout", .. })
    ));
}

#[test]
fn values_out_of_range_are_named() {
    let digest = "0".repeat(63);
    for (field, values) in [
        (
            "sha256",
            vec![
                r#""""#.into(),
                format!(r#""{digest}""#),
                format!(r#""{digest}00""#),
                format!(r#""{digest}g""#),
            ],
        ),
        ("size", ["0", "-1", "4294967296", "1.5", "1e10", "1e99999999999", "-0"].map(Into::into).into()),
        ("max_parallel", ["0", "65536", "-1", "0.5"].map(Into::into).into()),
        (
            "not_before",
            ["-1", "0.5", "253402300800", "1795464900000", r#""tomorrow""#, r#""2026-11-23""#, r#""""#]
                .map(Into::into)
                .into(),
        ),
        (
            "targets",
            [
                "[-1]",
                "[1.5]",
                "[281474976710656]",
                r#"[""]"#,
                r#"["281474976710656"]"#,
                r#"["a:b"]"#,
                r#"["seventeen-letters"]"#,
            ]
            .map(Into::into)
            .into(),
        ),
    ] {
        for value in values as Vec<String> {
            match trigger(&format!(r#","{field}":{value}"#)) {
                Err(TriggerError::OutOfRange { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field} {value}: {other:?}"),
            }
        }
    }
    let long = "x".repeat(65);
    assert_eq!(
        trigger(&format!(r#","rollout":"{long}""#)),
        Err(TriggerError::TooLong { field: "rollout", limit: 64, found: 65 })
    );
    assert_eq!(
        trigger(&format!(r#","version":"{}""#, &long[..33])),
        Err(TriggerError::TooLong { field: "version", limit: 32, found: 33 })
    );
    assert_eq!(trigger(r#","mode":"turbo""#), Err(TriggerError::UnknownMode));
    assert_eq!(trigger(&format!(r#","mode":"{long}""#)), Err(TriggerError::UnknownMode));
    assert_eq!(TriggerError::UnknownMode.code(), ErrorCode::ModeUnsupported);
    assert_eq!(trigger(r#","version":"\udead""#), Err(TriggerError::LoneSurrogate("version")));
}

#[test]
fn null_stands_for_an_absent_field_and_numbers_may_be_written_in_any_way() {
    let nothing = trigger(
        r#","sha256":null,"size":null,"version":null,"targets":null,"mode":null,"max_parallel":null,"not_before":null,"rollout":null,"force":null"#,
    );
    assert_eq!(nothing, trigger(""));
    for (size, bytes) in
        [("1e3", 1_000), ("1000.0", 1_000), ("1.5E+2", 150), ("1200e-2", 12), ("4294967295", u32::MAX)]
    {
        assert_eq!(trigger(&format!(r#","size":{size}"#)).unwrap().size, Some(bytes), "{size}");
    }
    for time in ["1795464900", r#""2026-11-23T20:15:00Z""#, r#""2026-11-23T21:15:00+01:00""#] {
        assert_eq!(trigger(&format!(r#","not_before":{time}"#)).unwrap().not_before, Some(1_795_464_900));
    }
    assert_eq!(trigger(r#","mode":"direct""#).unwrap().mode, Some(Mode::Direct));
}

#[test]
fn targets_are_ids_addresses_or_types_and_an_empty_list_is_no_way_to_say_everybody() {
    let read = trigger(r#","targets":[1, "2","a0:b1:c2:d3:e4:f5","relay","root"]"#).unwrap();
    assert!(matches!(read.targets.entries()[4], Target::Root));
    let is_meant = |id, word: &str, is_root| {
        read.targets.include(NodeId(id), &rootcast_wire::NodeType::from_name(word).unwrap(), is_root)
    };
    assert!(is_meant(1, "switch", false) && is_meant(2, "switch", false));
    assert!(
        is_meant(0xa0b1_c2d3_e4f5, "switch", false)
            && is_meant(9, "relay16", false)
            && is_meant(9, "switch", true)
    );
    assert!(!is_meant(9, "switch", false));
    assert!(is_meant(0xffff_0000_0002, "switch", false), "the first dialect's id of this node is 2");

    assert_eq!(trigger(r#","targets":[]"#), Err(TriggerError::NoTargets));
    let many = |count: usize| format!(r#","targets":[{}]"#, vec!["7"; count].join(","));
    assert!(trigger(&many(32)).is_ok());
    assert_eq!(trigger(&many(33)), Err(TriggerError::TooManyTargets(33)));
    assert_eq!(trigger(&many(1_000)), Err(TriggerError::TooManyTargets(1_000)));
}

#[test]
fn after_an_error_no_half_of_a_trigger_is_left() {
    let mut kept = Trigger::new();
    let message = br#"{"type":"ota","url":"https://h/f","sha256":1,"force":true}"#;
    assert!(parse_command_into(message, &mut kept).is_err());
    assert_eq!(kept, Trigger::new());
    parse_command_into(br#"{"type":"ota","url":"https://h/f","size":5,"force":true}"#, &mut kept).unwrap();
    assert_eq!(
        parse_command_into(br#"{"type":"ota_abort"}"#, &mut kept),
        Ok(Parsed::Abort(Abort::default()))
    );
    assert_eq!(kept.size, Some(5), "an abort leaves the buffer alone");
    parse_command_into(br#"{"type":"ota","url":"https://h/g"}"#, &mut kept).unwrap();
    assert_eq!((kept.size, kept.force), (None, false), "nothing of the trigger before is left");
}

#[test]
fn an_abort_means_its_own_rollout_or_every_one() {
    let named = Abort { rollout: Some("r-1".try_into().unwrap()) };
    assert!(named.means(Some("r-1")) && !named.means(Some("r-2")) && !named.means(None));
    assert!(Abort::default().means(Some("r-1")) && Abort::default().means(None));
}

#[test]
fn reports_that_say_too_little_or_nonsense_are_refused() {
    let hash = "11".repeat(32);
    let whole = format!(r#"{{"type":"ota_status","deviceId":5,"state":"trial","running":"{hash}"}}"#);
    assert_eq!(Report::parse_json(whole.as_bytes()).unwrap().state, UpdateState::Trial);
    for (from, to, error) in [
        (r#""type":"ota_status""#, r#""type":"switch""#, ReportError::NotAReport),
        (r#""type":"ota_status","#, "", ReportError::NotAReport),
        (r#""deviceId":5,"#, "", ReportError::MissingField("deviceId")),
        (r#""state":"trial","#, "", ReportError::MissingField("state")),
        (r#""state":"trial""#, r#""state":null"#, ReportError::MissingField("state")),
        (r#""state":"trial""#, r#""state":"done""#, ReportError::Field("state")),
        (
            r#""state":"trial""#,
            r#""state":"trial","state":"confirmed""#,
            ReportError::DuplicateField("state"),
        ),
        (r#"":5"#, r#"":281474976710656"#, ReportError::Field("deviceId")),
        (r#"":5"#, r#"":"5""#, ReportError::Field("deviceId")),
        (r#"":5"#, r#"":5,"progress":101"#, ReportError::Field("progress")),
        (r#"":5"#, r#"":5,"unsignedAllowed":1"#, ReportError::Field("unsignedAllowed")),
        (r#"11""#, r#"1""#, ReportError::Field("running")),
    ] {
        assert_eq!(Report::parse_json(whole.replace(from, to).as_bytes()), Err(error), "{from} -> {to}");
    }
}

#[test]
fn an_error_code_of_a_newer_version_reaches_the_reader_by_its_name() {
    let read = |extra: &str| {
        let hash = "11".repeat(32);
        let text = format!(
            r#"{{"type":"ota_status","deviceId":5,"state":"failed","running":"{hash}","x":{{"y":[]}},"error":"flux_lost"{extra}}}"#
        );
        Report::parse_json(text.as_bytes()).unwrap()
    };
    assert_eq!(read("").error, Some(ErrorCode::Unknown));
    assert_eq!(read("").detail, "flux_lost");
    assert_eq!(read(r#","detail":"3 of 4""#).detail, "flux_lost: 3 of 4");
    let long = "ä".repeat(200);
    assert!(read(&format!(r#","detail":"{long}""#)).detail.ends_with('…'), "a detail is cut, and says so");
    assert_eq!(read(r#","detail":"a\ud800b""#).detail, "flux_lost: ab");
}
