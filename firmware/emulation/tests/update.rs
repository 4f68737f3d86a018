//! A root and two leaves on emulated riscv32 boards are updated, against mosquitto and nginx.

use rootcast_emulation::mesh::{Mesh, Plan};
use rootcast_emulation::peers::{CertificateFor, missing_program};
use rootcast_image::SlotId;
use std::time::{Duration, Instant};

/// One mesh at a time: three emulators are enough for a small machine.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// How often power fails for each board.
const CUTS: u8 = 10;

/// Seconds that an update may take; the machine may be busy with other tests.
const PATIENCE_S: u64 = 600;

fn running(plan: Plan) -> Option<(Mesh, std::sync::MutexGuard<'static, ()>)> {
    if let Some(program) = missing_program() {
        assert!(std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_none(), "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut mesh = Mesh::build(&plan).unwrap();
    mesh.power_on().unwrap();
    assert!(mesh.wait_for_mesh(PATIENCE_S), "{}", mesh.story());
    Some((mesh, one))
}

#[test]
fn a_trigger_updates_root_and_leaves_which_confirm_and_report() {
    let Some((mut mesh, _one)) = running(Plan::default()) else { return };
    let before: Vec<_> = mesh.machines.iter().map(|machine| machine.settings().unwrap()).collect();
    let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0").unwrap()).unwrap();
    mesh.trigger(&url, "").unwrap();
    assert!(mesh.wait(PATIENCE_S, |mesh| mesh.all_ended_as("confirmed")), "{}", mesh.story());
    for (machine, before) in mesh.machines.iter().zip(before) {
        let image = machine.slot(SlotId::Ota(1)).unwrap();
        assert_eq!(image.descriptor.version, "1.1.0");
        assert!(machine.settings().unwrap() == before, "nvs changed");
    }
    assert_eq!(mesh.server.accesses().lines().count(), 1, "one download for the whole mesh");
    let deepest = mesh.machines.iter().filter_map(|machine| machine.deepest_stack()).max();
    println!("worst stack of an update with its download: {} B", deepest.unwrap());
    assert!(deepest.unwrap() <= MAX_STACK_BYTES);
}

#[test]
fn boards_and_processes_under_one_root_are_updated_by_one_trigger() {
    let Some((mut mesh, _one)) = running(Plan { nodes: 2, processes: 2, ..Plan::default() }) else { return };
    let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0").unwrap()).unwrap();
    mesh.trigger(&url, "").unwrap();
    assert!(mesh.wait(PATIENCE_S, |mesh| mesh.all_ended_as("confirmed")), "{}", mesh.story());
    let images = mesh.machines.iter().map(|board| board.slot(SlotId::Ota(1)));
    for image in images.chain(mesh.processes.iter().map(|process| process.slot(SlotId::Ota(1)))) {
        assert_eq!(image.unwrap().descriptor.version, "1.1.0");
    }
    assert_eq!(mesh.server.accesses().lines().count(), 1, "one download for the whole mesh");
}

/// What start, download path with TLS and a P-256 chain, and the check of a P-256 image signature may take of the stack
/// at most: the ESP32-C3's program has 130 KB of it (`ram.stack` in `esp32c3/sizes.txt`), of which the radio's interrupts
/// want a few.
const MAX_STACK_BYTES: usize = 120 * 1024;

#[test]
fn boards_whose_power_fails_ten_times_each_end_updated() {
    let Some((mut mesh, _one)) = running(Plan { seed: 7, ..Plan::default() }) else { return };
    let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0").unwrap()).unwrap();
    mesh.trigger(&url, "").unwrap();
    // What is reported as accepted outlives a power failure, before the first page and after it.
    assert!(mesh.wait(PATIENCE_S, |mesh| !mesh.last_report(0).0.is_empty()), "{}", mesh.story());
    let mut random = Random(7);
    let mut left = vec![CUTS; mesh.machines.len()];
    let mut cuts_on_trial = vec![0; mesh.machines.len()];
    let end = Instant::now() + Duration::from_secs(PATIENCE_S);
    while left.iter().any(|left| *left > 0) {
        assert!(Instant::now() < end, "{left:?} cuts are left: {}", mesh.story());
        std::thread::sleep(Duration::from_millis(200 + random.below(2_300)));
        let index = random.below(left.len() as u64) as usize;
        let is_confirmed = mesh.last_report(index).0 == "confirmed";
        let machine = &mut mesh.machines[index];
        // Three starts are what a trial has: a power supply that fails more often than that is not asked of it.
        let on_trial = machine.last_log().contains("on trial") && !is_confirmed;
        if left[index] == 0 || (on_trial && cuts_on_trial[index] == 2) {
            continue;
        }
        cuts_on_trial[index] += u8::from(on_trial);
        left[index] -= 1;
        machine.power_off();
        machine.power_on().unwrap();
    }
    let updated = |mesh: &mut Mesh| {
        mesh.machines.iter().all(|machine| {
            machine.slot(SlotId::Ota(1)).is_some_and(|image| image.descriptor.version == "1.1.0")
        }) && mesh.all_ended_as("confirmed")
    };
    assert!(mesh.wait(PATIENCE_S, updated), "{}", mesh.story());
}

#[test]
fn a_signature_that_belongs_to_another_image_leaves_the_old_one_running() {
    let Some((mut mesh, _one)) = running(Plan { nodes: 2, ..Plan::default() }) else { return };
    let mut image = mesh.signed_image("1.1.0").unwrap();
    let other = mesh.signed_image("1.0.9").unwrap();
    let sector = image.len() - 4096;
    image[sector..].copy_from_slice(&other[sector..]);
    let url = mesh.server.put("fw.bin", &image).unwrap();
    mesh.trigger(&url, "").unwrap();
    let ended = |mesh: &mut Mesh| mesh.last_report(0).1 == "signature_invalid";
    assert!(mesh.wait(PATIENCE_S, ended), "{}", mesh.story());
    assert_eq!(
        mesh.machines[0].otadata().unwrap(),
        mesh.machines[1].otadata().unwrap(),
        "nobody has switched"
    );
    assert!(!mesh.machines[0].log().contains("ota_1 starts"), "{}", mesh.story());
}

#[test]
fn a_server_with_somebody_elses_certificate_is_not_believed() {
    let plan = Plan { nodes: 1, certificate: CertificateFor::Stranger, ..Plan::default() };
    let Some((mut mesh, _one)) = running(plan) else { return };
    let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0").unwrap()).unwrap();
    mesh.trigger(&url, "").unwrap();
    let ended = |mesh: &mut Mesh| mesh.last_report(0) == ("failed".into(), "certificate_wrong_host".into());
    assert!(mesh.wait(PATIENCE_S, ended), "{}", mesh.story());
    assert_eq!(mesh.server.accesses(), "", "nothing was asked of a server that is not believed");
}

#[test]
fn a_new_image_that_crashes_gives_way_to_the_old_one() {
    for rollback in [false, true] {
        let Some((mut mesh, _one)) = running(Plan { nodes: 1, rollback, ..Plan::default() }) else { return };
        let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0-crash").unwrap()).unwrap();
        mesh.trigger(&url, "").unwrap();
        let ended = |mesh: &mut Mesh| mesh.last_report(0) == ("rolled_back".into(), "trial_crashed".into());
        assert!(mesh.wait(PATIENCE_S, ended), "{}", mesh.story());
        assert!(mesh.machines[0].last_log().contains("rootcast 1.0.0"), "{}", mesh.story());
    }
}

/// xorshift64: the moments are the same in each run, as far as an emulator's time can be.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
