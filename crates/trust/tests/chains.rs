//! Certificate chains, good and bad, judged by ring's algorithms (hosts) and by our own (chips) alike.

mod support;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, NameConstraints, date_time_ymd,
};
use rootcast_trust::certificate::{
    CertificateDer, CertificateError, MAX_INTERMEDIATES, ring_algorithms, trust_anchor,
    verify_handshake_signature, verify_server_chain,
};
use rustls_pki_types::SignatureVerificationAlgorithm;
use support::rsa_keys;

/// 2026-07-01T00:00:00Z, inside every certificate that a test does not make otherwise.
const NOW: u64 = 1_782_864_000;

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];
type Ca = CertifiedIssuer<'static, KeyPair>;

fn both() -> [(&'static str, Algorithms); 2] {
    [("ring", ring_algorithms()), ("own", rootcast_trust::algorithms::ALL)]
}

fn p256() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn rsa(index: usize) -> KeyPair {
    let pem = rsa_keys()[index].to_pem().unwrap();
    KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap()
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = dated(CertificateParams::new(names).unwrap());
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params
}

fn root() -> Ca {
    CertifiedIssuer::self_signed(ca_params("root"), p256()).unwrap()
}

fn leaf(params: CertificateParams, issuer: &Ca) -> CertificateDer<'static> {
    params.signed_by(&p256(), issuer).unwrap().der().clone()
}

/// Verifies with both sets of algorithms, which must agree, and returns what they say.
fn verify(
    end_entity: &CertificateDer<'_>,
    intermediates: &[&CertificateDer<'_>],
    roots: &[&CertificateDer<'_>],
    name: &str,
    now: u64,
) -> Result<(), CertificateError> {
    let intermediates: Vec<&[u8]> = intermediates.iter().map(|der| der.as_ref()).collect();
    let anchors: Vec<_> = roots.iter().map(|root| trust_anchor(root).unwrap()).collect();
    let [ring, own] = both().map(|(_, algorithms)| {
        verify_server_chain(end_entity, &intermediates, &anchors, name, now, algorithms)
    });
    assert_eq!(ring, own, "ring and our own algorithms disagree");
    ring
}

#[test]
fn a_chain_through_an_intermediate_is_believed() {
    let root = root();
    let intermediate = CertifiedIssuer::signed_by(ca_params("intermediate"), p256(), &root).unwrap();
    let end_entity = leaf(leaf_params(&["firmware.example"]), &intermediate);
    assert_eq!(verify(&end_entity, &[intermediate.der()], &[root.der()], "firmware.example", NOW), Ok(()));
    // Servers also send the root, or certificates that have nothing to do with it, in any order.
    let other = self::root();
    let sent = [other.der(), root.der(), intermediate.der()];
    assert_eq!(verify(&end_entity, &sent, &[other.der(), root.der()], "firmware.example", NOW), Ok(()));
}

#[test]
fn chains_of_rsa_and_of_mixed_keys_are_believed() {
    let rsa_root = CertifiedIssuer::self_signed(ca_params("rsa root"), rsa(0)).unwrap();
    let rsa_intermediate = CertifiedIssuer::signed_by(ca_params("rsa issuing"), rsa(1), &rsa_root).unwrap();
    let p256_intermediate = CertifiedIssuer::signed_by(ca_params("p256 issuing"), p256(), &rsa_root).unwrap();
    for issuer in [&rsa_intermediate, &p256_intermediate] {
        for key in [rsa(2), p256()] {
            let end_entity = leaf_params(&["a.example"]).signed_by(&key, issuer).unwrap();
            assert_eq!(
                verify(end_entity.der(), &[issuer.der()], &[rsa_root.der()], "a.example", NOW),
                Ok(())
            );
        }
    }
}

#[test]
fn chains_with_p384_keys_are_believed() {
    let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let root = CertifiedIssuer::self_signed(ca_params("p384 root"), key()).unwrap();
    let intermediate = CertifiedIssuer::signed_by(ca_params("p384 issuing"), key(), &root).unwrap();
    let end_entity = leaf(leaf_params(&["a.example"]), &intermediate);
    assert_eq!(verify(&end_entity, &[intermediate.der()], &[root.der()], "a.example", NOW), Ok(()));
}

#[test]
fn names_match_as_rfc_6125_says() {
    let root = root();
    let end_entity = leaf(leaf_params(&["firmware.example", "*.mesh.example"]), &root);
    for (name, expected) in [
        ("firmware.example", Ok(())),
        ("FIRMWARE.example", Ok(())),
        ("a.mesh.example", Ok(())),
        ("a.b.mesh.example", Err(CertificateError::WrongHost)),
        ("mesh.example", Err(CertificateError::WrongHost)),
        ("other.example", Err(CertificateError::WrongHost)),
        ("firmware.example.evil.example", Err(CertificateError::WrongHost)),
        ("192.0.2.1", Err(CertificateError::WrongHost)),
        ("", Err(CertificateError::InvalidServerName)),
        ("two words", Err(CertificateError::InvalidServerName)),
        ("[firmware.example]", Err(CertificateError::InvalidServerName)),
    ] {
        assert_eq!(verify(&end_entity, &[], &[root.der()], name, NOW), expected, "{name}");
    }
}

#[test]
fn addresses_match_subject_alternative_addresses_only() {
    let root = root();
    let end_entity = leaf(leaf_params(&["192.0.2.1", "2001:db8::1"]), &root);
    for (name, expected) in [
        ("192.0.2.1", Ok(())),
        ("2001:db8::1", Ok(())),
        ("[2001:db8::1]", Ok(())),
        ("192.0.2.2", Err(CertificateError::WrongHost)),
        ("2001:db8::2", Err(CertificateError::WrongHost)),
        ("firmware.example", Err(CertificateError::WrongHost)),
    ] {
        assert_eq!(verify(&end_entity, &[], &[root.der()], name, NOW), expected, "{name}");
    }
    // An address written as a DNS name is not an address.
    let mut params = leaf_params(&[]);
    params.subject_alt_names = vec![rcgen::SanType::DnsName("192.0.2.1".try_into().unwrap())];
    let end_entity = leaf(params, &root);
    assert!(verify(&end_entity, &[], &[root.der()], "192.0.2.1", NOW).is_err());
}

#[test]
fn a_missing_intermediate_and_an_unknown_ca_are_unknown_issuers() {
    let root = root();
    let intermediate = CertifiedIssuer::signed_by(ca_params("intermediate"), p256(), &root).unwrap();
    let end_entity = leaf(leaf_params(&["a.example"]), &intermediate);
    let unknown = Err(CertificateError::UnknownIssuer);
    assert_eq!(verify(&end_entity, &[], &[root.der()], "a.example", NOW), unknown);
    assert_eq!(verify(&end_entity, &[intermediate.der()], &[], "a.example", NOW), unknown);
    let mut elsewhere = ca_params("another root");
    elsewhere.distinguished_name.push(DnType::OrganizationName, "stranger");
    let stranger = CertifiedIssuer::self_signed(elsewhere, p256()).unwrap();
    assert_eq!(verify(&end_entity, &[intermediate.der()], &[stranger.der()], "a.example", NOW), unknown);
}

#[test]
fn a_ca_of_the_right_name_with_another_key_has_signed_nothing() {
    let end_entity = leaf(leaf_params(&["a.example"]), &root());
    assert_eq!(
        verify(&end_entity, &[], &[root().der()], "a.example", NOW),
        Err(CertificateError::BadSignature)
    );
}

#[test]
fn a_leaf_acting_as_a_ca_is_not_one() {
    let root = root();
    // A real certificate for evil.example, used to issue one for firmware.example: with the CA flag false, with no
    // basic constraints at all, and with the extension that browsers look at.
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut params = leaf_params(&["evil.example"]);
        params.is_ca = is_ca;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let evil = CertifiedIssuer::signed_by(params, p256(), &root).unwrap();
        let forged = leaf(leaf_params(&["firmware.example"]), &evil);
        assert_eq!(
            verify(&forged, &[evil.der()], &[root.der()], "firmware.example", NOW),
            Err(CertificateError::IssuerNotCa)
        );
    }
}

#[test]
fn certificates_outside_their_time_are_told_apart() {
    let root = root();
    let end_entity = leaf(leaf_params(&["a.example"]), &root);
    let [not_before, not_after] = [1_767_225_600, 1_798_761_600];
    let at = |now| verify(&end_entity, &[], &[root.der()], "a.example", now);
    assert_eq!(at(not_before - 1), Err(CertificateError::NotYetValid { now: not_before - 1, not_before }));
    assert_eq!(at(not_before), Ok(()));
    assert_eq!(at(not_after), Ok(()));
    assert_eq!(at(not_after + 1), Err(CertificateError::Expired { now: not_after + 1, not_after }));
    assert!(matches!(at(0), Err(CertificateError::NotYetValid { .. })));
    assert!(matches!(at(u64::MAX), Err(CertificateError::Expired { .. })));

    // An expired intermediate is as bad.
    let mut params = ca_params("old intermediate");
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2025, 1, 1);
    let old = CertifiedIssuer::signed_by(params, p256(), &root).unwrap();
    let end_entity = leaf(leaf_params(&["a.example"]), &old);
    assert!(matches!(
        verify(&end_entity, &[old.der()], &[root.der()], "a.example", NOW),
        Err(CertificateError::Expired { .. })
    ));
}

#[test]
fn a_self_signed_certificate_is_called_that_with_and_without_the_ca_flag() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = leaf_params(&["a.example"]);
        params.is_ca = is_ca;
        let end_entity = params.self_signed(&p256()).unwrap();
        assert_eq!(
            verify(end_entity.der(), &[], &[root().der()], "a.example", NOW),
            Err(CertificateError::SelfSigned)
        );
    }
}

#[test]
fn a_trusted_self_signed_certificate_is_believed_unless_it_is_a_ca() {
    let mut params = leaf_params(&["a.example"]);
    let end_entity = params.self_signed(&p256()).unwrap();
    assert_eq!(verify(end_entity.der(), &[], &[end_entity.der()], "a.example", NOW), Ok(()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let end_entity = params.self_signed(&p256()).unwrap();
    assert_eq!(
        verify(end_entity.der(), &[], &[end_entity.der()], "a.example", NOW),
        Err(CertificateError::CaAsServer)
    );
}

#[test]
fn name_constraints_of_a_ca_are_kept() {
    let root = root();
    let mut params = ca_params("constrained");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("mesh.example".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([192, 0, 2, 0], 24)),
        ],
        excluded_subtrees: vec![GeneralSubtree::DnsName("secret.mesh.example".into())],
    });
    let constrained = CertifiedIssuer::signed_by(params, p256(), &root).unwrap();
    for (name, expected) in [
        ("fw.mesh.example", Ok(())),
        ("192.0.2.9", Ok(())),
        ("fw.other.example", Err(CertificateError::NameConstraint)),
        ("a.secret.mesh.example", Err(CertificateError::NameConstraint)),
        ("198.51.100.1", Err(CertificateError::NameConstraint)),
    ] {
        let end_entity = leaf(leaf_params(&[name]), &constrained);
        assert_eq!(verify(&end_entity, &[constrained.der()], &[root.der()], name, NOW), expected, "{name}");
    }
}

#[test]
fn the_name_constraints_of_a_trusted_root_are_kept_too() {
    let mut params = ca_params("constrained root");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("mesh.example".into())],
        excluded_subtrees: vec![],
    });
    let root = CertifiedIssuer::self_signed(params, p256()).unwrap();
    let inside = leaf(leaf_params(&["fw.mesh.example"]), &root);
    let outside = leaf(leaf_params(&["fw.other.example"]), &root);
    assert_eq!(verify(&inside, &[], &[root.der()], "fw.mesh.example", NOW), Ok(()));
    assert_eq!(
        verify(&outside, &[], &[root.der()], "fw.other.example", NOW),
        Err(CertificateError::NameConstraint)
    );
}

#[test]
fn path_length_is_kept() {
    let root = root();
    let mut params = ca_params("last ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let last = CertifiedIssuer::signed_by(params, p256(), &root).unwrap();
    let further = CertifiedIssuer::signed_by(ca_params("one too many"), p256(), &last).unwrap();
    let end_entity = leaf(leaf_params(&["a.example"]), &further);
    assert_eq!(
        verify(&end_entity, &[further.der(), last.der()], &[root.der()], "a.example", NOW),
        Err(CertificateError::PathLength)
    );
}

#[test]
fn a_certificate_for_other_purposes_is_not_for_servers() {
    let root = root();
    let mut params = leaf_params(&["a.example"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let end_entity = leaf(params, &root);
    assert_eq!(
        verify(&end_entity, &[], &[root.der()], "a.example", NOW),
        Err(CertificateError::NotForServers)
    );
}

#[test]
fn an_unknown_critical_extension_is_malformed() {
    let root = root();
    let mut params = leaf_params(&["a.example"]);
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let end_entity = leaf(params, &root);
    assert_eq!(verify(&end_entity, &[], &[root.der()], "a.example", NOW), Err(CertificateError::Malformed));
}

#[test]
fn an_algorithm_that_the_node_lacks_is_named_so() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let root = CertifiedIssuer::self_signed(ca_params("ed25519 root"), key).unwrap();
    let end_entity = leaf(leaf_params(&["a.example"]), &root);
    let anchor = [trust_anchor(root.der()).unwrap()];
    let [ring, own] = both()
        .map(|(_, algorithms)| verify_server_chain(&end_entity, &[], &anchor, "a.example", NOW, algorithms));
    assert_eq!(ring, Ok(()));
    assert_eq!(own, Err(CertificateError::UnsupportedAlgorithm));
}

#[test]
fn a_server_that_sends_too_many_certificates_is_refused() {
    let root = root();
    let end_entity = leaf(leaf_params(&["a.example"]), &root);
    let many = [root.der(); MAX_INTERMEDIATES + 1];
    assert_eq!(verify(&end_entity, &many[1..], &[root.der()], "a.example", NOW), Ok(()));
    assert_eq!(
        verify(&end_entity, &many, &[root.der()], "a.example", NOW),
        Err(CertificateError::TooManyCertificates { found: MAX_INTERMEDIATES + 1 })
    );
}

#[test]
fn every_flipped_byte_of_a_certificate_and_every_truncation_is_refused() {
    let root = root();
    let end_entity = leaf(leaf_params(&["a.example"]), &root);
    let anchors = [trust_anchor(root.der()).unwrap()];
    for at in 0..end_entity.len() {
        let mut broken = end_entity.to_vec();
        broken[at] ^= 1 << (at % 8);
        for (name, algorithms) in both() {
            for bytes in [&broken[..], &end_entity[..at]] {
                let outcome = verify_server_chain(bytes, &[], &anchors, "a.example", NOW, algorithms);
                assert!(outcome.is_err(), "{name}, byte {at}");
            }
        }
    }
}

#[test]
fn garbage_is_malformed_and_a_garbage_root_is_a_malformed_root() {
    let root = root();
    let end_entity = leaf(leaf_params(&["a.example"]), &root);
    let garbage = CertificateDer::from(&b"not a certificate"[..]);
    assert_eq!(verify(&garbage, &[], &[root.der()], "a.example", NOW), Err(CertificateError::Malformed));
    assert_eq!(trust_anchor(&garbage).unwrap_err(), CertificateError::MalformedRoot);
    // A garbage certificate among the intermediates hurts only where it is needed.
    assert_eq!(verify(&end_entity, &[&garbage], &[root.der()], "a.example", NOW), Ok(()));
}

#[test]
fn the_handshake_signature_is_checked_by_the_leafs_key() {
    let key = p256();
    let end_entity = leaf_params(&["a.example"]).signed_by(&key, &root()).unwrap();
    let signature = rcgen::SigningKey::sign(&key, b"transcript").unwrap();
    for algorithm in [webpki_ring_p256(), rootcast_trust::algorithms::ECDSA_P256_SHA256] {
        let check = |message: &[u8], signature: &[u8]| {
            verify_handshake_signature(end_entity.der(), algorithm, message, signature)
        };
        assert_eq!(check(b"transcript", &signature), Ok(()));
        assert_eq!(check(b"transcripts", &signature), Err(CertificateError::BadSignature));
        assert_eq!(check(b"transcript", &signature[1..]), Err(CertificateError::BadSignature));
    }
    assert_eq!(
        verify_handshake_signature(
            end_entity.der(),
            rootcast_trust::algorithms::RSA_PSS_SHA256,
            b"transcript",
            &signature
        ),
        Err(CertificateError::UnsupportedAlgorithm)
    );
}

fn webpki_ring_p256() -> &'static dyn SignatureVerificationAlgorithm {
    let own = rootcast_trust::algorithms::ECDSA_P256_SHA256;
    *ring_algorithms()
        .iter()
        .find(|it| {
            it.public_key_alg_id() == own.public_key_alg_id()
                && it.signature_alg_id() == own.signature_alg_id()
        })
        .unwrap()
}
