//! What a node knows about itself survives, and what belongs to others is never changed.

use rootcast_image::{ChipId, PartitionTable};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{Purposes, ReleaseKey, ReleasePolicy, TrustedKey, VendorId};
use rootcast_wire::{NodeId, NodeType};
use rootcast_world::factory::{Factory, FactoryError};
use rootcast_world::flash::{CutPoint, PowerCut, Recording, Sectors, VirtualFlash};
use rootcast_world::nvs::{Contents, MeshKey, Provisioning, ProvisioningError, Secret, Store, Value};

fn of_the_application() -> Contents {
    let entries = [
        ("buttons", "clicks", Value::U64(0x1234_5678_9ABC)),
        ("buttons", "map", Value::Blob((0..=255).cycle().take(900).collect())),
        ("nvs.net80211", "sta.ssid", Value::Text("house".into())),
        ("relay", "offset", Value::I16(-300)),
        ("relay", "on", Value::U8(1)),
    ];
    Contents(entries.map(|(space, key, value)| ((space.into(), key.into()), value)).into())
}

fn provisioning() -> Provisioning {
    Provisioning {
        node_id: NodeId(0x246f_2812_3456),
        node_type: NodeType::Relay8,
        is_root: true,
        trusted_keys: vec![KeyDigest([1; 32]), KeyDigest([2; 32])],
        allow_unsigned: true,
        topic_prefix: "house".into(),
        broker: "mqtts://broker.example:8883".into(),
        ca_pem: vec![b'x'; 1800],
        wifi_ssid: "house".into(),
        wifi_password: Secret("secret".into()),
        mqtt_user: "mesh".into(),
        mqtt_password: Secret("another secret".into()),
        mesh_key: Some(MeshKey(std::array::from_fn(|at| at as u8))),
        channel: Some(11),
        sntp: "time.example".into(),
        direct_only: true,
        release_keys: vec![TrustedKey::new(ReleaseKey([7; 64]), Purposes::RELEASES)],
        release_policy: ReleasePolicy { require_release: true, require_time: true },
        vendor: "example.com".into(),
        hardware_revision: "r2".into(),
    }
}

#[test]
fn a_node_reads_back_what_it_was_provisioned_with() {
    let bytes = provisioning().to_partition(0x5000, &of_the_application()).unwrap();
    let sectors = Sectors::from_bytes(&bytes);
    let range = 0..sectors.size();
    assert_eq!(Provisioning::read(&sectors, &range).unwrap(), provisioning());
    assert_eq!(Contents::read(&sectors, &range).unwrap().of_others(), of_the_application());
    let settings = provisioning().settings(ChipId::ESP32C3).unwrap();
    assert_eq!(settings.topics.root_command(), "house/switch/cmd/root");
    assert_eq!(settings.trusted_keys.len(), 2);
    assert!(
        settings.release_policy.require_release
            && settings.release_policy.require_time
            && !settings.can_spread
    );
    assert_eq!(settings.vendor, VendorId::of_domain("example.com"));
    assert_eq!(settings.hardware_revision.as_deref(), Some("r2"));
}

#[test]
fn no_password_is_shown() {
    let shown = format!("{:?}", provisioning());
    assert!(!shown.contains("secret") && !shown.contains("[0, 1, 2"), "{shown}");
}

#[test]
fn what_cannot_be_provisioned_is_named() {
    let too_many = Provisioning { trusted_keys: vec![KeyDigest([0; 32]); 5], ..provisioning() };
    let found = too_many.settings(ChipId::ESP32C3).unwrap_err();
    assert_eq!(found, ProvisioningError::TooManyKeys { found: 5, most: 4 });
    let too_many = vec![TrustedKey::new(ReleaseKey([7; 64]), Purposes::ALL); 9];
    let too_many = Provisioning { release_keys: too_many, ..provisioning() };
    let found = too_many.to_partition(0x5000, &Contents::default()).unwrap_err();
    assert_eq!(found, ProvisioningError::TooManyReleaseKeys { found: 9, most: 8 });
    let long = Provisioning { hardware_revision: "r".repeat(17), ..provisioning() };
    assert!(matches!(long.settings(ChipId::ESP32C3), Err(ProvisioningError::HardwareRevision(_))));
    let found = provisioning().to_partition(0x2000, &Contents::default()).unwrap_err();
    assert_eq!(found, ProvisioningError::PartitionSize { found: 0x2000 });
    let empty = Sectors::erased(0x5000);
    assert_eq!(Provisioning::read(&empty, &(0..0x5000)).unwrap_err(), ProvisioningError::NoNodeId);
}

#[test]
fn storing_a_blob_changes_nothing_of_others_wherever_power_goes() {
    let bytes = provisioning().to_partition(0x3000, &of_the_application()).unwrap();
    let store = Store::new(Some(0..0x3000));
    let mut flash = VirtualFlash::with(Sectors::from_bytes(&bytes));
    // Fill the pages, so that garbage is collected in what follows.
    for round in 0..40u8 {
        store.store(&mut flash, "bad_images", &[round; 384]).unwrap();
    }
    let before = flash.sectors().clone();
    let rest = |sectors: &Sectors| Contents::read(sectors, &(0..0x3000)).unwrap().without(&["bad_images"]);
    flash.record(Recording::Operations);
    for round in 0..8u8 {
        store.store(&mut flash, "bad_images", &[100 + round; 384]).unwrap();
    }
    let operations = flash.take_recorded();
    assert!(operations.iter().any(|recorded| recorded.operation.is_erase()), "a page was collected");
    assert_eq!(flash.violations(), []);
    for operation in 0..operations.len() as u64 {
        for seed in 0..12 {
            let mut flash = VirtualFlash::with(before.clone());
            flash.cut_power_at(PowerCut { operation, point: CutPoint::Seeded(seed), unstable: None });
            for round in 0..8u8 {
                let _ = store.store(&mut flash, "bad_images", &[100 + round; 384]);
            }
            flash.power_on();
            let blob = store.load(&mut flash, "bad_images").unwrap().unwrap_or_default();
            assert!(blob.iter().all(|byte| *byte == blob[0]), "a blob is whole, old or new");
            assert_eq!(rest(flash.sectors()), rest(&before), "operation {operation}, seed {seed}");
        }
    }
}

#[test]
fn a_factory_puts_everything_in_its_place() {
    let app = rootcast_image::writer::AppImageBuilder::new(ChipId::ESP32C3).size(300_000).build().unwrap();
    let nvs = provisioning().to_partition(0x5000, &of_the_application()).unwrap();
    let table = PartitionTable::default_4mb();
    let factory =
        Factory { flash_bytes: 4 << 20, table: &table, app: &app, nvs: Some(&nvs), bootloader: None };
    let sectors = factory.build().unwrap();
    assert_eq!(sectors.size(), 4 << 20);
    assert_eq!(sectors.bytes(0x9000..0xE000), nvs);
    assert_eq!(sectors.bytes(0x1_0000..0x1_0000 + 300_000 / 16 * 16), app);
    assert_eq!(PartitionTable::parse(&sectors.bytes(0x8000..0x8C00)), Ok(table.clone()));
    assert!(sectors.bytes(0xE000..0x1_0000).iter().all(|byte| *byte == 0xFF), "otadata is erased");

    let large = vec![0; 0x5001];
    let found = Factory { nvs: Some(&large), ..factory }.build().unwrap_err();
    assert_eq!(found, FactoryError::TooLarge { what: "nvs", found: 0x5001, room: 0x5000 });
    let found = Factory { flash_bytes: 2 << 20, ..factory }.build().unwrap_err();
    assert!(matches!(found, FactoryError::BeyondFlash { .. }));
    let found = Factory { app: &[0; 100], ..factory }.build().unwrap_err();
    assert!(matches!(found, FactoryError::App(_)));
}

#[test]
fn a_partition_that_espressifs_tool_made_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, bin) = (folder.path().join("nvs.csv"), folder.path().join("nvs.bin"));
    let digest = "5a".repeat(32);
    let text = format!(
        "key,type,encoding,value\nrootcast,namespace,,\nnode_id,data,u64,40059841435136\n\
         node_type,data,string,relay8\nroot,data,u8,1\ntrust,data,hex2bin,{digest}\n\
         relay,namespace,,\noffset,data,i16,-300\n"
    );
    std::fs::write(&csv, text).unwrap();
    let tool = std::process::Command::new("python3")
        .args(["-m", "esp_idf_nvs_partition_gen", "generate"])
        .args([&csv, &bin])
        .arg("0x5000")
        .output();
    let Some(_) = tool.ok().filter(|tool| tool.status.success()) else {
        println!("skipped: esp-idf-nvs-partition-gen is not installed");
        return;
    };
    let sectors = Sectors::from_bytes(&std::fs::read(&bin).unwrap());
    let read = Provisioning::read(&sectors, &(0..0x5000)).unwrap();
    let expected = Provisioning {
        node_id: NodeId(40059841435136),
        node_type: NodeType::Relay8,
        is_root: true,
        trusted_keys: vec![KeyDigest([0x5A; 32])],
        ..Provisioning::default()
    };
    assert_eq!(read, expected);
    let contents = Contents::read(&sectors, &(0..0x5000)).unwrap();
    assert_eq!(contents.get("relay", "offset"), Some(&Value::I16(-300)));
}
