//! Pages believed one by one, and what that costs on the wire.

mod support;

use rootcast_trust::release::pages::{DIGESTS_PER_LIST_PAGE, PAGE_BYTES, PAGE_DIGEST_BYTES};
use rootcast_trust::release::{PageDigests, Release, page_digest};
use rootcast_trust::sign::{ClassSpec, VariantSpec, create_release, page_list};
use support::release::*;

fn image(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[test]
fn each_page_is_believed_by_itself() {
    // Two pages of list, and a last page of 100 bytes.
    let image = image(300 * PAGE_BYTES + 100);
    let list = page_list(&image);
    let signed = page_list(&list);
    let digests = PageDigests::new(image.len() as u32, &signed).unwrap();
    assert_eq!((digests.pages(), digests.list_pages(), digests.list_bytes()), (301, 2, 301 * 16));
    for (index, bytes) in list.chunks(PAGE_BYTES).enumerate() {
        let list_page = digests.list_page(index as u32, bytes).unwrap();
        for page in list_page.range() {
            let at = page as usize * PAGE_BYTES;
            let bytes = &image[at..(at + PAGE_BYTES).min(image.len())];
            assert_eq!(digests.page_bytes(page), bytes.len());
            assert!(list_page.verifies(page, bytes));
        }
    }
}

#[test]
fn pages_and_list_pages_that_are_not_the_signed_ones_are_refused() {
    let image = image(300 * PAGE_BYTES + 100);
    let list = page_list(&image);
    let signed = page_list(&list);
    let digests = PageDigests::new(image.len() as u32, &signed).unwrap();
    let (first, second) = list.split_at(PAGE_BYTES);
    assert!(digests.list_page(0, first).is_some() && digests.list_page(1, second).is_some());
    // The list: exchanged, changed, cut, extended, behind its end.
    assert!(digests.list_page(1, first).is_none() && digests.list_page(0, second).is_none());
    let mut broken = first.to_vec();
    broken[4095] ^= 1;
    assert!(digests.list_page(0, &broken).is_none());
    assert!(digests.list_page(1, &second[..second.len() - 1]).is_none());
    assert!(digests.list_page(1, &[second, &[0]].concat()).is_none());
    for index in [2, u32::MAX] {
        assert!(digests.list_page(index, second).is_none());
    }
    // The pages: the same, and those of another part of the list.
    let list_page = digests.list_page(1, second).unwrap();
    assert_eq!(list_page.range(), 256..301);
    let page = |index: usize| &image[index * PAGE_BYTES..((index + 1) * PAGE_BYTES).min(image.len())];
    assert!(list_page.verifies(256, page(256)) && list_page.verifies(300, page(300)));
    assert!(!list_page.verifies(257, page(256)) && !list_page.verifies(0, page(0)));
    assert!(!list_page.verifies(300, &page(300)[..99]));
    // As it lies in flash: filled up with 0xFF. What counts are the image's bytes.
    let padded: Vec<u8> = page(300).iter().copied().chain([0xFF; 3996]).collect();
    assert!(!list_page.verifies(300, &padded));
    let mut broken = page(256).to_vec();
    broken[0] ^= 0x80;
    assert!(!list_page.verifies(256, &broken));
    for index in [255, 301, u32::MAX] {
        assert!(!list_page.verifies(index, page(256)));
    }
}

#[test]
fn digests_are_as_many_as_the_size_asks_for() {
    for (bytes, list_pages) in
        [(1, 1), (4096, 1), (4097, 1), (1 << 20, 1), ((1 << 20) + 1, 2), (1408 * 1024, 2), (16 << 20, 16)]
    {
        let exact = vec![0; list_pages * PAGE_DIGEST_BYTES];
        assert!(PageDigests::new(bytes, &exact).is_some(), "{bytes}");
        assert!(PageDigests::new(bytes, &exact[1..]).is_none(), "{bytes}");
        assert!(PageDigests::new(bytes, &[&exact[..], &[0; 16]].concat()).is_none(), "{bytes}");
    }
}

#[test]
fn the_digest_of_a_page_is_sha_256_cut_to_16_bytes() {
    // SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    assert_eq!(page_digest(b"abc"), *b"\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23");
}

#[test]
fn a_release_of_real_images_carries_their_page_digests() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images"));
    let mut found = 0;
    for path in ["wallbox_s3/v2.5.1.bin", "cheapspool_esp32/csd_2026-03-12.bin"].map(|name| folder.join(name))
    {
        let Ok(file) = std::fs::read(&path) else {
            eprintln!("skipped: no image {}", path.display());
            continue;
        };
        let chip = support::parsed(&file).header.chip;
        let class = ClassSpec { chip, node_type: None, hardware_revision: None };
        let (variant, list) = VariantSpec::of_image(class, "app.bin", &file).unwrap();
        let mut spec = spec();
        spec.variants = vec![variant];
        let key = key();
        let bytes = create_release(&spec, std::slice::from_ref(&key)).unwrap();
        let trust = trusting(&[&key]);
        let release = Release::verify(&bytes, &trust).unwrap();
        let digests = release.variants().next().unwrap().pages.unwrap();
        for (index, bytes) in list.chunks(PAGE_BYTES).enumerate() {
            let list_page = digests.list_page(index as u32, bytes).unwrap();
            for page in list_page.range() {
                let at = page as usize * PAGE_BYTES;
                assert!(list_page.verifies(page, &file[at..(at + PAGE_BYTES).min(file.len())]));
            }
        }
        found += 1;
    }
    eprintln!("{found} real images");
}

/// Bytes that the ways of proving pages cost, for an image of so many pages: (in the release, once for the mesh).
struct Cost {
    name: &'static str,
    in_release: usize,
    on_air: usize,
}

fn costs(pages: usize) -> [Cost; 4] {
    let depth = (usize::BITS - (pages - 1).leading_zeros()) as usize;
    let list_pages = pages.div_ceil(DIGESTS_PER_LIST_PAGE as usize);
    [
        Cost { name: "list of SHA-256 in the release", in_release: 32 * pages, on_air: 0 },
        Cost { name: "Merkle root, proof with each page", in_release: 32, on_air: pages * depth * 32 },
        Cost { name: "list of SHA-256 beside it", in_release: 32, on_air: 32 * pages },
        Cost { name: "list of 16-byte digests, two levels", in_release: 16 * list_pages, on_air: 16 * pages },
    ]
}

#[test]
fn the_list_of_short_digests_in_two_levels_costs_least_on_the_wire() {
    println!("| image | way | in the release | on the air, once | of the image |");
    println!("|---|---|---|---|---|");
    for kib in [512, 1024, 1408] {
        let costs = costs(kib * 1024 / PAGE_BYTES);
        for cost in &costs {
            println!(
                "| {kib} KiB | {} | {} | {} | {:.2} % |",
                cost.name,
                cost.in_release,
                cost.on_air,
                (cost.in_release + cost.on_air) as f64 * 100.0 / (kib * 1024) as f64
            );
        }
        let [.., chosen] = &costs;
        assert!(
            costs
                .iter()
                .all(|other| { chosen.in_release + chosen.on_air <= other.in_release + other.on_air })
        );
        assert!(chosen.in_release <= 32, "and it leaves the release as small as a single root would");
    }
}
