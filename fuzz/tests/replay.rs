//! Every target with its seeds, with the inputs kept from earlier finds, and with mutations of all of them.
//! Deterministic: a failure names the input, which can be fed again.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rootcast_fuzz::mutate::{Random, mutate};
use rootcast_fuzz::{Target, targets};

/// Mutations for each target; `ROOTCAST_FUZZ_RUNS` asks for another number.
const RUNS: u64 = 50_000;
/// Targets that do far more than parse get a twentieth of that.
const SLOW: [&str; 5] = ["patch", "patch_state", "spread_talk", "node_flash", "node_talk"];
/// Bytes of the longest mutation: above the longest seed, so that growing is tried too.
const LONGEST: usize = 10_000;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn kept(target: &Target) -> Vec<Vec<u8>> {
    let Ok(folder) = fs::read_dir(here("seeds").join(target.name)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn feed(target: &Target, input: &[u8], what: &str) {
    let fed = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if fed.is_err() {
        let file = here("artifacts").join(format!("{}-{what}", target.name));
        fs::create_dir_all(here("artifacts")).unwrap();
        fs::write(&file, input).unwrap();
        panic!("{}: {what} breaks a promise; the input is in {}", target.name, file.display());
    }
}

fn replay(target: &Target) {
    let runs = std::env::var("ROOTCAST_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let runs = if SLOW.contains(&target.name) { runs / 20 } else { runs };
    let mut seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    seeds.extend(kept(target));
    for (number, seed) in seeds.iter().enumerate() {
        feed(target, seed, &format!("seed {number}"));
    }
    feed(target, &[], "nothing");
    let mut random = Random(0x526F_6F74_6361_7374);
    for run in 0..runs {
        let mut input = mutate(&seeds, &mut random, LONGEST);
        if let Some(repair) = target.repair.filter(|_| run % 2 == 0) {
            repair(&mut input);
        }
        feed(target, &input, &format!("mutation {run}"));
    }
}

macro_rules! replay {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay(targets().find(|target| target.name == stringify!($name)).unwrap());
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_fuzzer() {
            let replayed = [$(stringify!($name)),*];
            let all: Vec<&str> = targets().map(|target| target.name).collect();
            assert_eq!(all, replayed);
            let manifest = fs::read_to_string(here("Cargo.toml")).unwrap();
            for name in all {
                assert!(here("fuzz_targets").join(format!("{name}.rs")).is_file(), "fuzz_targets/{name}.rs");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "[[bin]] {name}");
            }
        }
    };
}

replay!(
    image,
    image_header,
    image_inspect,
    partition_table,
    partition_csv,
    otadata,
    boot_decision,
    signature_sector,
    trigger,
    cast,
    cast_fragments,
    frame,
    dialect_frames,
    report,
    status,
    topic,
    url,
    http_response,
    release_envelope,
    release_manifest,
    trust_record,
    certificate,
    patch,
    patch_state,
    spread_message,
    spread_talk,
    node_flash,
    node_talk,
);

/// Images that real projects built, where they are at hand: whole, and with a few mutations each.
#[test]
fn real_images() {
    let folder = here("../../shared/images");
    let mut images = Vec::new();
    find_images(&folder, &mut images);
    if images.is_empty() {
        println!("skipped: no real images at {}", folder.display());
    }
    images.sort();
    let mut random = Random(1);
    for file in images {
        let image = fs::read(&file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        for target in targets().filter(|target| target.name.starts_with("image")) {
            feed(target, &image, &name);
            let mut mutated = mutate(std::slice::from_ref(&image), &mut random, image.len());
            feed(target, &mutated, &format!("{name} mutated"));
            if let Some(repair) = target.repair {
                repair(&mut mutated);
                feed(target, &mutated, &format!("{name} mutated and sealed"));
            }
        }
    }
}

fn find_images(folder: &Path, images: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            find_images(&path, images);
        } else if path.extension().is_some_and(|extension| extension == "bin") {
            images.push(path);
        }
    }
}

#[test]
fn sealing_a_valid_seed_changes_nothing() {
    for target in targets() {
        // Erased records of otadata gain a checksum that they did not have.
        let Some(repair) = target.repair.filter(|_| !["otadata", "boot_decision"].contains(&target.name))
        else {
            continue;
        };
        for seed in (target.seeds)().into_iter().filter(|seed| seed.iter().any(|byte| *byte != 0xFF)) {
            let mut sealed = seed.clone();
            repair(&mut sealed);
            assert!(sealed == seed, "{}", target.name);
        }
    }
}
