//! A seeded sample of the power-cut campaign; `cargo xtask powercut` runs all of it.

use rootcast_world::powercut::Campaign;

#[test]
fn a_cut_anywhere_in_update_confirm_or_rollback_leaves_a_node_that_runs_and_can_be_updated() {
    let report = Campaign::SAMPLE.run();
    println!("{report}");
    let total = report.total();
    assert!(total.points > 10_000, "the sample has become too small to say anything: {}", total.points);
    assert!(total.new_image > 0 && total.old_image > 0);
    assert!(total.is_clean(), "{report}");
}
