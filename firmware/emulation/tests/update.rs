//! A root and two leaves on emulated riscv32 boards are updated, against mosquitto and nginx.

use rootcast_emulation::mesh::{Mesh, Plan};
use rootcast_emulation::peers::missing_program;
use rootcast_image::SlotId;

/// One mesh at a time: three emulators are enough for a small machine.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn running(plan: Plan) -> Option<(Mesh, std::sync::MutexGuard<'static, ()>)> {
    if let Some(program) = missing_program() {
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut mesh = Mesh::build(&plan).unwrap();
    mesh.power_on().unwrap();
    assert!(mesh.wait_for_mesh(60), "{}", mesh.story());
    Some((mesh, one))
}

#[test]
fn a_trigger_updates_root_and_leaves_which_confirm_and_report() {
    let Some((mut mesh, _one)) = running(Plan::default()) else { return };
    let before: Vec<_> = mesh.machines.iter().map(|machine| machine.nvs().unwrap()).collect();
    let url = mesh.server.put("fw.bin", &mesh.signed_image("1.1.0").unwrap()).unwrap();
    mesh.trigger(&url, "").unwrap();
    assert!(mesh.wait(240, |mesh| mesh.all_ended_as("confirmed")), "{}", mesh.story());
    for (machine, before) in mesh.machines.iter().zip(before) {
        let image = machine.slot(SlotId::Ota(1)).unwrap();
        assert_eq!(image.descriptor.version, "1.1.0");
        assert!(machine.nvs().unwrap() == before, "nvs changed");
    }
    assert_eq!(mesh.server.accesses().lines().count(), 1, "one download for the whole mesh");
    println!("{}", mesh.story());
}
