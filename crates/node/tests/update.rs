//! One node, one file server, one broker: what an update does, and what it does not do when something is wrong.

mod support;

use rootcast_image::{ChipId, OtaState, writer::AppImageBuilder};
use rootcast_node::{Input, ResetReason};
use support::{Lone, Server, image};

const TRIGGER: &str = r#"{"type":"ota_trigger","url":"https://firmware.example/fw.bin"}"#;

fn triggered(file: Vec<u8>) -> Lone {
    let mut lone = Lone::running(&image("1.0.0", 40_000));
    lone.server = Server::with(file);
    lone.join();
    lone.trigger(TRIGGER);
    lone
}

#[test]
fn one_trigger_takes_a_node_from_the_old_image_to_the_new_one_with_either_bootloader() {
    for rollback in [false, true] {
        let mut lone = triggered(image("1.0.1", 50_000));
        lone.rollback = rollback;
        lone.settle(60_000);
        assert_eq!(lone.version(), "1.0.1");
        assert_eq!(
            lone.states(),
            ["accepted", "downloading", "verifying", "installed", "restarting", "trial", "confirmed"],
            "bootloader with rollback: {rollback}"
        );
        let data = lone.otadata();
        assert_eq!(data.active_entry().unwrap().state, OtaState::Valid);
        assert_eq!(
            data.entries.iter().filter(|entry| entry.is_valid()).count(),
            2,
            "the way back stays recorded"
        );
        assert_eq!(lone.board.nvs, [("cast", vec![0xFF])].into(), "nothing of a success stays in NVS");
        let last = lone.published.iter().rev().find(|message| message["state"] == "confirmed").unwrap();
        assert_eq!(last["running"], last["target"]);
        lone.restart(ResetReason::PowerOn);
        lone.settle(60_000);
        assert_eq!(lone.version(), "1.0.1");
    }
}

#[test]
fn a_body_that_asks_for_the_deadline_each_time_and_keeps_none_gets_the_same_update() {
    let mut lone = triggered(image("1.0.1", 50_000));
    lone.forgetful = Some(100);
    lone.settle(60_000);
    assert_eq!(lone.states().last().unwrap(), "confirmed", "{:?}", lone.states());
}

#[test]
fn such_a_body_begins_a_trigger_that_was_held_back_when_its_time_has_come() {
    let mut lone = Lone::running(&image("1.0.0", 40_000));
    lone.server = Server::with(image("1.0.1", 50_000));
    lone.forgetful = Some(20);
    lone.join();
    lone.node.handle(lone.now, Input::WallClock { unix_s: 1_800_000_000 }, &mut lone.board);
    lone.trigger(&TRIGGER.replace('}', r#","not_before":1800000030}"#));
    lone.run(29_000);
    assert_eq!((lone.version().as_str(), lone.server.requests.len()), ("1.0.0", 0));
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.states());
}

#[test]
fn updates_follow_one_another_through_both_slots() {
    let mut lone = triggered(image("1.0.1", 50_000));
    lone.settle(60_000);
    for version in ["1.0.2", "1.0.3", "1.0.4", "1.0.5"] {
        lone.server = Server::with(image(version, 45_000));
        lone.trigger(TRIGGER);
        lone.settle(60_000);
        assert_eq!(lone.version(), version);
    }
}

#[test]
fn chunks_a_server_without_ranges_and_one_without_tags_all_work() {
    for (chunked, ranges, etag) in [
        (true, true, None),
        (false, false, Some("\"v1\"")),
        (false, false, None),
        (true, false, Some("\"v1\"")),
    ] {
        let mut lone = triggered(image("1.0.1", 50_000));
        lone.server = Server { chunked, ranges, etag, cut: Some((30_000, 2)), ..lone.server };
        lone.settle(600_000);
        assert_eq!(
            lone.version(),
            "1.0.1",
            "chunked {chunked}, ranges {ranges}, {etag:?}: {:?}",
            lone.reports()
        );
    }
}

#[test]
fn a_connection_that_dies_is_resumed_at_the_last_whole_page() {
    let mut lone = triggered(image("1.0.1", 50_000));
    lone.server.cut = Some((21_000, 2));
    lone.settle(600_000);
    assert_eq!(lone.version(), "1.0.1");
    let ranges: Vec<_> =
        lone.server.requests.iter().map(|request| request.contains("Range: bytes=20480-")).collect();
    assert_eq!(ranges[..2], [false, true]);
    assert!(
        lone.server.served < 50_000 + 2 * 4096,
        "only the broken page is fetched twice: {}",
        lone.server.served
    );
}

#[test]
fn a_file_that_changes_behind_the_url_is_never_spliced() {
    // Another tag, the same tag (by a server that does not know better) with and without ranges, and no tag at all.
    for (etag, ranges) in
        [(Some("\"v2\""), true), (Some("\"v1\""), true), (Some("\"v1\""), false), (None, false)]
    {
        let mut lone = triggered(image("1.0.1", 50_000));
        lone.server.cut = Some((30_000, 1));
        lone.run(500);
        let other = AppImageBuilder::new(ChipId::ESP32C3)
            .project("lamp")
            .version("1.0.2")
            .seed(7)
            .size(52_000)
            .build()
            .unwrap();
        lone.server = Server { ranges, etag, ..Server::with(other) };
        lone.settle(600_000);
        assert_eq!(lone.version(), "1.0.2", "{etag:?}, ranges {ranges}: {:?}", lone.reports());
    }
}

#[test]
fn a_restart_in_the_middle_of_a_download_continues_it() {
    let mut lone = triggered(image("1.0.1", 200_000));
    lone.server.cut = Some((150_000, 1));
    lone.run(100);
    lone.restart(ResetReason::PowerOn);
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1");
    assert!(lone.server.requests[1].contains("Range: bytes=147456-"), "{}", lone.server.requests[1]);
    assert!(lone.server.requests[1].contains("If-Range: \"v1\""));
}

#[test]
fn three_failed_downloads_leave_the_boot_record_as_it_was() {
    let mut lone = triggered(image("1.0.1", 50_000));
    let before = lone.otadata();
    for _ in 0..3 {
        lone.server.head = Some("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        lone.trigger(TRIGGER);
        lone.settle(10_000_000);
        assert_eq!(lone.reports().last().unwrap(), &("failed".to_owned(), "http_server_error".to_owned()));
    }
    assert_eq!(lone.otadata(), before);
    assert_eq!((lone.version().as_str(), lone.starts), ("1.0.0", 1));
}

#[test]
fn what_cannot_run_here_is_refused_before_anything_is_erased() {
    let wrong_chip = AppImageBuilder::new(ChipId::ESP32).version("1.0.1").size(50_000).build().unwrap();
    let large_for_another = AppImageBuilder::new(ChipId::ESP32).size(1_500_000).build().unwrap();
    let new_revision = AppImageBuilder::new(ChipId::ESP32C3)
        .version("1.0.1")
        .revisions(300, 399)
        .size(50_000)
        .build()
        .unwrap();
    let mut merged = vec![0xFF; 4096];
    merged.extend_from_slice(&image("1.0.1", 50_000));
    for (file, code) in [
        (wrong_chip, "wrong_chip"),
        (large_for_another, "wrong_chip"),
        (new_revision, "chip_revision"),
        (merged, "merged_factory_image"),
        (b"<!DOCTYPE html><title>Log in</title>".repeat(200), "not_an_image"),
        (image("1.0.0", 40_000), "same_image"),
        (vec![0xE9; 1_441_793], "image_too_large"),
        (vec![], "not_an_image"),
    ] {
        let mut lone = triggered(file);
        let before = lone.board.flash.bytes.clone();
        lone.settle(60_000);
        assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), code.to_owned()));
        assert!(lone.board.flash.bytes == before, "{code}: flash was touched");
    }
}

#[test]
fn a_damaged_image_is_found_when_it_is_read_back() {
    let good = image("1.0.1", 50_000);
    let mut flipped = good.clone();
    flipped[30_000] ^= 0x10;
    let mut hash = good.clone();
    *hash.last_mut().unwrap() ^= 1;
    let mut short = good.clone();
    short.truncate(40_000);
    for (file, code) in [(flipped, "checksum_mismatch"), (hash, "hash_mismatch"), (short, "truncated")] {
        let mut lone = triggered(file);
        let before = lone.otadata();
        lone.settle(60_000);
        assert_eq!(lone.reports().last().unwrap(), &("failed".to_owned(), code.to_owned()));
        assert_eq!(lone.otadata(), before);
        assert_eq!(lone.version(), "1.0.0");
    }
}

#[test]
fn the_triggers_own_digest_and_size_are_held_to() {
    for (fields, code) in [
        (
            r#","sha256":"0000000000000000000000000000000000000000000000000000000000000000""#,
            "digest_mismatch",
        ),
        (r#","size":49999"#, "size_mismatch"),
    ] {
        let mut lone = triggered(image("1.0.1", 50_000));
        lone.trigger(&TRIGGER.replace("fw.bin\"", &format!("fw.bin\"{fields}")));
        lone.settle(60_000);
        assert_eq!(lone.reports().last().unwrap().1, code);
    }
}

#[test]
fn each_answer_that_is_no_file_has_its_own_code() {
    for (head, code) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "http_unauthorized"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "http_forbidden"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "http_not_found"),
        ("HTTP/1.1 418 Teapot\r\n\r\n", "http_client_error"),
        ("HTTP/1.1 302 Found\r\nLocation: https://firmware.example/fw.bin\r\n\r\n", "http_redirect_loop"),
        ("HTTP/1.1 302 Found\r\nLocation: http://firmware.example/fw.bin\r\n\r\n", "http_redirect_insecure"),
        ("HTTP/1.1 302 Found\r\n\r\n", "http_redirect_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "http_content_encoding"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "http_invalid_response"),
    ] {
        let mut lone = triggered(vec![]);
        lone.server.head = Some(head);
        lone.settle(60_000);
        assert_eq!(lone.reports().last().unwrap(), &("failed".to_owned(), code.to_owned()));
    }
}

#[test]
fn an_image_that_never_reaches_the_broker_gives_way_to_the_old_one_and_is_not_taken_again() {
    for rollback in [false, true] {
        let mut lone = Lone::running(&image("1.0.0", 40_000));
        lone.rollback = rollback;
        lone.deaf = Some("1.0.1");
        lone.server = Server::with(image("1.0.1", 50_000));
        lone.join();
        lone.trigger(TRIGGER);
        lone.settle(1_000_000);
        assert_eq!(lone.version(), "1.0.0");
        assert_eq!(lone.reports().last().unwrap(), &("rolled_back".to_owned(), "trial_timeout".to_owned()));
        lone.trigger(TRIGGER);
        lone.settle(1_000_000);
        assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "known_bad_image".to_owned()));
        lone.deaf = None;
        lone.trigger(&TRIGGER.replace("fw.bin\"", "fw.bin\",\"force\":true"));
        lone.settle(1_000_000);
        assert_eq!(lone.version(), "1.0.1");
    }
}

#[test]
fn an_image_whose_record_only_the_bootloader_could_read_is_on_trial_all_the_same() {
    for (deaf, version) in [(Some("1.0.1"), "1.0.0"), (None, "1.0.1")] {
        let mut lone = triggered(image("1.0.1", 50_000));
        lone.deaf = deaf;
        lone.board.flash.doubtful_record = true;
        while !lone.run(60_000) {}
        assert_eq!(lone.version(), "1.0.1");
        lone.settle(1_000_000);
        assert_eq!(lone.version(), version, "{:?}", lone.reports());
        assert!(lone.otadata().entries.iter().all(|entry| entry.crc_ok()), "the record was written anew");
    }
}

#[test]
fn a_crash_on_trial_brings_the_old_image_back_but_a_power_cut_does_not_count_as_one() {
    for rollback in [false, true] {
        for (reset, version, code) in [
            (ResetReason::Panic, "1.0.0", "trial_crashed"),
            (ResetReason::Watchdog, "1.0.0", "trial_watchdog"),
            (ResetReason::PowerOn, "1.0.1", ""),
        ] {
            let mut lone = triggered(image("1.0.1", 50_000));
            lone.rollback = rollback;
            while !lone.run(60_000) {}
            assert_eq!(lone.version(), "1.0.1");
            lone.restart(reset);
            lone.settle(1_000_000);
            assert_eq!(lone.version(), version, "{reset:?}, rollback {rollback}: {:?}", lone.reports());
            assert_eq!(lone.reports().last().unwrap().1, code, "{reset:?}, rollback {rollback}");
        }
    }
}

#[test]
fn an_abort_drops_what_has_not_been_switched_to() {
    let mut lone = triggered(image("1.0.1", 50_000));
    lone.server.cut = Some((20_000, 1));
    lone.run(100);
    lone.trigger(r#"{"type":"ota_abort"}"#);
    lone.settle(60_000);
    lone.restart(ResetReason::PowerOn);
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.0");
    assert_eq!(lone.reports().last().unwrap(), &("failed".to_owned(), "aborted".to_owned()));
}

#[test]
fn triggers_that_make_no_sense_are_answered_and_change_nothing() {
    for (json, code) in [
        ("{", Some("trigger_invalid")),
        (r#"{"type":"ota_trigger"}"#, Some("trigger_invalid")),
        (r#"{"type":"ota_trigger","url":5}"#, Some("trigger_invalid")),
        (r#"{"type":"ota_trigger","url":"ftp://h/x"}"#, Some("url_scheme_unsupported")),
        (r#"{"type":"connections","data":{"a":[1,2,{"b":null}]}}"#, None),
    ] {
        let mut lone = Lone::running(&image("1.0.0", 40_000));
        lone.join();
        lone.trigger(json);
        lone.settle(60_000);
        assert_eq!(lone.reports().last().map(|(_, error)| error.as_str()), code, "{json}");
    }
}
