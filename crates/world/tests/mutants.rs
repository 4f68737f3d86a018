//! The campaign against nodes with a deliberate mistake each: it has to notice every one of them.
//!
//! `cargo xtask powercut --mutants`; the mistakes are `rootcast_node::mutation`'s, and exist with the feature
//! `mutations` alone.

use rootcast_node::mutation::{self, Mutation};
use rootcast_world::powercut::{Campaign, Outcomes, Scene, Start};
use std::sync::{Mutex, PoisonError};

/// The mistake is the whole process's: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A part of the sample, up to the first thing that must not happen.
fn campaign(mutation: Option<Mutation>) -> Outcomes {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let campaign = Campaign { byte_step: 1_009, seeded: 4, second_step: 0, stops: true, ..Campaign::SAMPLE };
    let is_chosen = |scene: &Scene| scene.start == Start::OneEntry && !scene.factory;
    let scenes: Vec<Scene> = campaign.scenes().into_iter().filter(is_chosen).collect();
    mutation::set(mutation);
    let report = campaign.run_scenes(&scenes);
    mutation::set(None);
    println!("{mutation:?}\n{report}");
    report.total()
}

#[test]
fn without_a_mistake_this_part_of_the_campaign_is_clean() {
    let outcomes = campaign(None);
    assert!(outcomes.points > 2_000 && outcomes.is_clean(), "{outcomes:?}");
    assert_eq!(Mutation::ALL.len(), 8, "a mistake that is added gets a test of its own below");
}

#[test]
fn a_switch_before_verification_makes_the_record_choose_a_damaged_image() {
    assert!(campaign(Some(Mutation::SwitchBeforeVerification)).unverified_chosen > 0);
}

#[test]
fn a_switch_into_the_record_in_force_can_lose_both_records() {
    assert!(campaign(Some(Mutation::SwitchInPlace)).record_lost > 0);
}

#[test]
fn a_confirmation_in_place_can_lose_both_records() {
    assert!(campaign(Some(Mutation::ConfirmInPlace)).record_lost > 0);
}

#[test]
fn an_image_confirmed_without_proof_stays_though_it_never_joins() {
    assert!(campaign(Some(Mutation::ConfirmUnproved)).wrong_image > 0);
}

#[test]
fn a_trial_that_is_not_counted_never_ends() {
    assert!(campaign(Some(Mutation::TrialNotCounted)).restless > 0);
}

#[test]
fn a_journal_that_is_trusted_leads_to_an_image_with_a_hole() {
    let outcomes = campaign(Some(Mutation::JournalTrusted));
    assert!(outcomes.unverified_chosen + outcomes.wrong_image + outcomes.stuck > 0, "{outcomes:?}");
}

#[test]
fn an_erase_of_the_running_slot_is_seen() {
    let outcomes = campaign(Some(Mutation::RunningSlotErased));
    assert!(outcomes.running_slot_written > 0 || outcomes.bricked > 0, "{outcomes:?}");
}

#[test]
fn a_splice_of_two_files_can_never_be_updated_again() {
    assert!(campaign(Some(Mutation::ChangedFileSpliced)).stuck > 0);
}
