//! Fleets as they appear to a person: made of the very messages that nodes publish.

use super::fleet::{Change, Fleet};
use super::node::{Led, Outcome, Sight};
use super::picture::{Canvas, picture};
use super::summary::Summary;
use rootcast_wire::status::Dialect;
use rootcast_wire::trigger::Targets;
use rootcast_wire::{ErrorCode, NodeId, NodeStatus, NodeType, Report, Topics, UpdateState};
use std::time::Duration;

const OLD: [u8; 32] = [0x0a; 32];
const NEW: [u8; 32] = [0x0b; 32];

/// A mesh: a root, and nodes below it.
struct Mesh {
    fleet: Fleet,
    now: Duration,
}

fn id(number: u64) -> NodeId {
    NodeId(0xa0b1_c200_0000 + number)
}

fn version(text: &str) -> Option<heapless::String<32>> {
    heapless::String::try_from(text).ok()
}

impl Mesh {
    fn new() -> Self {
        Self { fleet: Fleet::new(Topics::default(), Targets::all(), None), now: Duration::ZERO }
    }

    fn at(mut self, seconds: u64) -> Self {
        self.now = Duration::from_secs(seconds);
        self
    }

    /// A report of a node, with whatever `fill` adds.
    fn report(
        mut self,
        number: u64,
        parent: u64,
        state: UpdateState,
        fill: impl FnOnce(&mut Report),
    ) -> Self {
        self.hear(number, parent, state, fill);
        self
    }

    fn hear(
        &mut self,
        number: u64,
        parent: u64,
        state: UpdateState,
        fill: impl FnOnce(&mut Report),
    ) -> Change {
        let node_type = if number.is_multiple_of(2) { NodeType::Relay8 } else { NodeType::Switch };
        let mut report = Report::new(id(number), node_type, state);
        report.parent = id(parent);
        report.layer = if number == parent { 1 } else { if parent == 1 { 2 } else { 3 } };
        report.running = OLD;
        report.target = Some(NEW);
        report.version = version("1.0.0").unwrap();
        report.from_version = version("1.0.0");
        report.to_version = version("1.1.0");
        fill(&mut report);
        let mut json = String::new();
        report.write_json(&mut json).unwrap();
        let topic = Topics::default().report(id(number));
        self.fleet.hear(&topic, json.as_bytes(), self.now)
    }

    fn status(mut self, number: u64, dialect: Dialect, fill: impl FnOnce(&mut NodeStatus)) -> Self {
        let mut status = NodeStatus::new(id(number), dialect);
        fill(&mut status);
        let mut json = String::new();
        status.write_json(&mut json).unwrap();
        self.fleet.hear(&Topics::default().root_state(), json.as_bytes(), self.now);
        self
    }

    fn picture(&self, width: usize, height: usize) -> String {
        let canvas = Canvas { width, height, colour: false };
        let lines = picture("Updating", &self.fleet, self.now, canvas);
        for line in &lines {
            assert!(line.chars().count() < width, "{} columns: {line}", line.chars().count());
        }
        assert!(lines.len() < height.max(8), "{} lines in {height}", lines.len());
        lines.join("\n")
    }
}

fn confirmed(report: &mut Report) {
    report.running = NEW;
    report.version = version("1.1.0").unwrap();
    report.bytes = 1_310_000;
}

fn downloading(percent: u8) -> impl FnOnce(&mut Report) {
    move |report| {
        report.progress = percent;
        report.bytes = 13_100 * u32::from(percent);
    }
}

fn failed(code: ErrorCode, detail: &str) -> impl FnOnce(&mut Report) {
    move |report| {
        report.error = Some(code);
        report.detail = heapless::String::try_from(detail).unwrap();
    }
}

/// A mesh in the middle of an update: every state once.
fn busy() -> Mesh {
    use UpdateState as S;
    Mesh::new()
        .report(1, 1, S::Waiting, |_| {})
        .report(2, 1, S::Downloading, downloading(20))
        .report(3, 2, S::Accepted, |_| {})
        .at(2)
        .report(2, 1, S::Downloading, downloading(60))
        .report(4, 2, S::Verifying, downloading(100))
        .report(5, 1, S::Restarting, downloading(100))
        .report(6, 5, S::Refused, failed(ErrorCode::WrongChip, "built for ESP32, this is ESP32-C3"))
        .report(7, 5, S::Waiting, |report| {
            failed(ErrorCode::ConnectionLost, "after 393216 bytes")(report);
            report.attempt = 2;
        })
        .at(14)
        .report(8, 1, S::Confirmed, confirmed)
        .status(10, Dialect::Later, |status| {
            status.parent = Some(id(2));
            status.node_type = Some(NodeType::Switch);
        })
}

#[test]
fn a_mesh_in_the_middle_of_an_update_on_80_columns() {
    insta::assert_snapshot!("busy_80", busy().picture(80, 24));
}

#[test]
fn a_mesh_in_the_middle_of_an_update_on_120_columns() {
    insta::assert_snapshot!("busy_120", busy().picture(120, 40));
}

#[test]
fn where_not_all_nodes_have_room_those_where_something_happens_are_shown() {
    use UpdateState as S;
    let mut mesh = Mesh::new().at(60);
    for number in 1..=200 {
        let state = match number {
            50 | 100 => S::Downloading,
            150 => S::Failed,
            _ if number < 60 => S::Confirmed,
            _ => S::Waiting,
        };
        mesh = mesh.report(number, 1, state, |report| match state {
            S::Confirmed => confirmed(report),
            S::Failed => failed(ErrorCode::HttpNotFound, "")(report),
            S::Downloading => downloading(30)(report),
            _ => {}
        });
    }
    insta::assert_snapshot!("crowded", mesh.picture(80, 16));
}

#[test]
fn pictures_fit_any_terminal() {
    let mesh = busy();
    for width in [60, 79, 80, 100, 109, 110, 200] {
        for height in [5, 10, 24, 100] {
            mesh.picture(width, height);
        }
    }
}

#[test]
fn the_end_of_an_update_that_went_well() {
    let mesh = Mesh::new()
        .report(1, 1, UpdateState::Accepted, |_| {})
        .report(2, 1, UpdateState::Accepted, |_| {})
        .at(14)
        .report(1, 1, UpdateState::Confirmed, confirmed)
        .report(2, 1, UpdateState::Confirmed, confirmed);
    let summary = Summary::of(&mesh.fleet, mesh.now);
    assert!(summary.is_success());
    insta::assert_snapshot!("all_well", summary.to_string());
}

#[test]
fn the_end_of_an_update_that_did_not() {
    let mesh = busy().report(3, 2, UpdateState::Refused, failed(ErrorCode::SameImage, "")).report(
        4,
        2,
        UpdateState::RolledBack,
        failed(ErrorCode::TrialCrashed, "watchdog"),
    );
    let summary = Summary::of(&mesh.fleet, mesh.now);
    assert!(!summary.is_success());
    insta::assert_snapshot!("not_well", summary.to_string());
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["event"], "summary");
    assert_eq!(json["nodes"][0]["node"], "a0:b1:c2:00:00:01");
    assert_eq!(json["advice"].as_object().map(|advice| advice.len()), Some(3));
}

#[test]
fn confirmed_without_the_new_image_is_no_success() {
    let mesh = Mesh::new().report(1, 1, UpdateState::Confirmed, |_| {});
    let node = mesh.fleet.node(id(1)).unwrap();
    assert_eq!(node.outcome(), Outcome::NotUpdated);
    assert!(!Summary::of(&mesh.fleet, mesh.now).is_success());
}

#[test]
fn a_last_report_that_got_lost_is_made_good_by_the_nodes_status() {
    let runs = |running, state| {
        move |status: &mut NodeStatus| (status.running, status.state) = (Some(running), state)
    };
    let mesh = Mesh::new().report(1, 1, UpdateState::Restarting, |_| {}).at(9);
    let outcome = |mesh: &Mesh| mesh.fleet.node(id(1)).unwrap().outcome();
    let mesh = mesh.status(1, Dialect::Rootcast, runs(OLD, None));
    assert_eq!(outcome(&mesh), Outcome::Unfinished, "the old image again says nothing yet");
    let mesh = mesh.status(1, Dialect::Rootcast, runs(NEW, Some(UpdateState::Trial)));
    assert_eq!(outcome(&mesh), Outcome::Unfinished, "it is still on trial");
    let mesh = mesh.status(1, Dialect::Rootcast, runs(NEW, None));
    assert_eq!(outcome(&mesh), Outcome::Updated);
}

#[test]
fn watching_ends_when_every_node_that_the_root_knows_has_come_to_its_end() {
    let root_knows = |peers| {
        move |status: &mut NodeStatus| {
            status.is_root = true;
            status.peer_count = Some(peers);
        }
    };
    let mesh = Mesh::new().at(5).report(1, 1, UpdateState::Confirmed, confirmed);
    assert!(!mesh.fleet.is_done(mesh.now), "there may be more nodes");
    let mesh = mesh.status(1, Dialect::Rootcast, root_knows(1));
    assert!(!mesh.fleet.is_done(mesh.now), "there is one more");
    let mesh = mesh.report(2, 1, UpdateState::Trial, |_| {});
    assert!(!mesh.fleet.is_done(mesh.now), "it is still on trial");
    let mesh = mesh.report(2, 1, UpdateState::RolledBack, |_| {});
    assert!(mesh.fleet.is_done(mesh.now));
}

#[test]
fn without_the_roots_count_watching_ends_after_every_node_had_time_to_say_something() {
    let mesh = Mesh::new().report(1, 1, UpdateState::Confirmed, confirmed);
    assert!(!mesh.fleet.is_done(Duration::from_secs(16)));
    assert!(mesh.fleet.is_done(Duration::from_secs(17)));
    assert!(!Mesh::new().fleet.is_done(Duration::from_secs(3600)), "nobody said anything");
}

#[test]
fn a_node_that_only_shows_itself_is_waited_for_and_one_that_cannot_report_is_not() {
    let mesh = Mesh::new()
        .report(1, 1, UpdateState::Confirmed, confirmed)
        .status(2, Dialect::Later, |status| status.parent = Some(id(1)))
        .at(100);
    assert!(mesh.fleet.is_done(mesh.now));
    let mesh = mesh.status(3, Dialect::Rootcast, |status| status.parent = Some(id(1)));
    assert!(!mesh.fleet.is_done(mesh.now));
}

#[test]
fn reports_of_another_rollout_are_passed_over() {
    let mut mesh = Mesh::new();
    mesh.fleet = Fleet::new(Topics::default(), Targets::all(), Some("spring".to_string()));
    assert_eq!(mesh.hear(1, 1, UpdateState::Accepted, |_| {}), Change::Nothing);
    let ours = |report: &mut Report| report.rollout = heapless::String::try_from("spring").unwrap();
    assert_eq!(mesh.hear(1, 1, UpdateState::Accepted, ours), Change::Step(id(1)));
}

#[test]
fn nodes_that_are_not_meant_are_not_waited_for() {
    let mut mesh = Mesh::new();
    let mut targets = Targets::all();
    targets.push("relay8".parse().unwrap()).unwrap();
    mesh.fleet = Fleet::new(Topics::default(), targets, None);
    let mesh = mesh
        .status(1, Dialect::Rootcast, |status| status.node_type = Some(NodeType::Switch))
        .report(2, 1, UpdateState::Confirmed, confirmed)
        .at(100);
    assert!(mesh.fleet.is_done(mesh.now));
    assert_eq!(mesh.fleet.nodes().count(), 1);
}

#[test]
fn a_rate_is_that_of_the_last_seconds() {
    let mesh = Mesh::new().report(1, 1, UpdateState::Downloading, downloading(10)).at(2).report(
        1,
        1,
        UpdateState::Downloading,
        downloading(30),
    );
    assert_eq!(mesh.fleet.node(id(1)).unwrap().rate(), Some(131_000));
    let mesh = mesh.report(1, 1, UpdateState::Verifying, downloading(100));
    assert_eq!(mesh.fleet.node(id(1)).unwrap().rate(), None);
}

#[test]
fn the_led_follows_from_the_state_unless_it_is_known() {
    let mut mesh = Mesh::new().report(1, 1, UpdateState::Downloading, downloading(10));
    assert_eq!(mesh.fleet.node(id(1)).unwrap().led(), Led::Blue);
    mesh.fleet.see(Sight {
        id: id(1),
        node_type: &NodeType::Switch,
        is_root: true,
        layer: 1,
        parent: id(1),
        led: Led::Yellow,
        version: "1.0.0",
        percent: 12,
        bytes: 1234,
        rate: 99,
    });
    assert_eq!(mesh.fleet.node(id(1)).unwrap().led(), Led::Yellow);
}

#[test]
fn what_a_node_says_cannot_move_the_cursor() {
    let evil = |report: &mut Report| {
        report.detail = heapless::String::try_from("\u{1b}[2Jgone\n\u{7}").unwrap();
        report.to_version = version("\u{1b}]0;x\u{7}");
        report.node_type = NodeType::from_name("re\u{1b}[1m").unwrap();
    };
    let mesh = Mesh::new().report(1, 1, UpdateState::Waiting, evil);
    let node = mesh.fleet.node(id(1)).unwrap();
    let shown =
        format!("{}{}{:?}{}", mesh.picture(80, 24).replace('\n', ""), node.detail, node.to, node.type_name());
    assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
}
