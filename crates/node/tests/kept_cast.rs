//! What a root has accepted outlives a power failure, even when nothing of the update stands on flash yet.

mod support;

use rootcast_node::{Input, ResetReason};
use support::{Lone, Server, image};

const TRIGGER: &str = r#"{"type":"ota_trigger","url":"https://firmware.example/fw.bin"}"#;
const NOW: u64 = 1_800_000_000;

fn joined(file: Vec<u8>) -> Lone {
    let mut lone = Lone::running(&image("1.0.0", 40_000));
    lone.server = Server::with(file);
    lone.join();
    lone
}

fn power_fails(lone: &mut Lone) {
    lone.restart(ResetReason::PowerOn);
}

fn is_kept(lone: &Lone) -> bool {
    lone.board.nvs.get("cast").is_some_and(|value| value.len() > 5)
}

#[test]
fn a_trigger_is_carried_out_though_power_failed_before_the_first_page() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(TRIGGER);
    for _ in 0..5 {
        power_fails(&mut lone);
    }
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
    assert!(!is_kept(&lone), "what is done is not kept");
}

#[test]
fn it_is_not_carried_out_a_second_time() {
    for file in [image("1.0.1", 50_000), image("1.0.0", 40_000)] {
        let mut lone = joined(file);
        lone.trigger(TRIGGER);
        lone.settle(60_000);
        let (requests, reports) = (lone.server.requests.len(), lone.reports());
        power_fails(&mut lone);
        lone.settle(60_000);
        assert_eq!(lone.server.requests.len(), requests, "after {reports:?}");
    }
}

#[test]
fn a_trigger_that_is_held_back_keeps_its_time_over_a_power_failure() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(&TRIGGER.replace('}', &format!(r#","not_before":{}}}"#, NOW + 3600)));
    power_fails(&mut lone);
    lone.node.handle(lone.now, Input::WallClock { unix_s: NOW }, &mut lone.board);
    lone.run(3_500_000);
    assert_eq!((lone.version().as_str(), lone.server.requests.len()), ("1.0.0", 0));
    lone.settle(600_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
}

#[test]
fn an_abort_ends_what_was_kept() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(&TRIGGER.replace('}', &format!(r#","not_before":{}}}"#, NOW + 3600)));
    lone.trigger(r#"{"type":"ota_abort"}"#);
    power_fails(&mut lone);
    lone.node.handle(lone.now, Input::WallClock { unix_s: NOW + 7200 }, &mut lone.board);
    lone.settle(60_000);
    assert_eq!((lone.version().as_str(), lone.server.requests.len()), ("1.0.0", 0));
}

#[test]
fn the_newest_of_two_triggers_is_the_one_that_is_kept() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(&TRIGGER.replace("fw.bin", "old.bin"));
    lone.trigger(TRIGGER);
    power_fails(&mut lone);
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1");
    assert!(lone.server.requests.iter().all(|request| request.contains("/fw.bin")));
}

#[test]
fn a_trigger_that_may_be_what_restarts_the_node_is_given_up() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(TRIGGER);
    for _ in 0..9 {
        lone.restart(ResetReason::Watchdog);
    }
    lone.settle(60_000);
    assert_eq!((lone.version().as_str(), lone.server.requests.len()), ("1.0.0", 0));
    assert!(!is_kept(&lone));
}

#[test]
fn what_is_damaged_in_nvs_starts_nothing() {
    let mut lone = joined(image("1.0.1", 50_000));
    lone.trigger(TRIGGER);
    let kept = lone.board.nvs["cast"].clone();
    for length in 0..kept.len() {
        lone.board.nvs.insert("cast", kept[..length].to_vec());
        power_fails(&mut lone);
        lone.run(5_000);
        assert_eq!(lone.server.requests.len(), 0, "the first {length} bytes of {}", kept.len());
    }
    for at in 5..kept.len() {
        let mut torn = kept.clone();
        torn[at] ^= 0x10;
        lone.board.nvs.insert("cast", torn);
        power_fails(&mut lone);
        lone.run(5_000);
        assert_eq!(lone.server.requests.len(), 0, "byte {at} of {}", kept.len());
    }
}
