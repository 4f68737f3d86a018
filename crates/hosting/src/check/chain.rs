//! The server's certificates: the verdict by the nodes' own verification, the explanation by reading them.

use rootcast_trust::certificate::{
    CertificateError, TrustAnchor, ring_algorithms, trust_anchor, verify_server_chain,
};
use rootcast_wire::ErrorCode;
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use super::codes::certificate_code;
use super::names::Facts;
use super::options::TrustStore;
use super::report::{Notes, StepId, warning};

const DAY: i64 = 86_400;
/// A certificate with less time left is worth a warning: renewal should have happened.
const SOON_DAYS: i64 = 14;

/// Notes chain, domain, validity and trust.
pub(super) fn judge(
    chain: &[CertificateDer<'static>],
    host: &str,
    store: &TrustStore,
    now: u64,
    notes: &mut Notes<'_>,
) {
    let Some((end_entity, intermediates)) = chain.split_first() else {
        notes.fail(StepId::Chain, ErrorCode::CertificateInvalid, "the server sent no certificate");
        return;
    };
    let anchors: Vec<TrustAnchor<'_>> = match store {
        TrustStore::Mozilla => webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        TrustStore::Only(certificates) => {
            certificates.iter().filter_map(|der| trust_anchor(der).ok()).collect()
        }
    };
    let between: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
    let verdict = verify_server_chain(end_entity, &between, &anchors, host, now, ring_algorithms());
    if let Err(error) = &verdict {
        notes.node_reports(certificate_code(error));
    }
    let facts: Vec<Facts> = chain.iter().filter_map(|der| Facts::read(der)).collect();
    let Some(own) = facts.first().filter(|_| facts.len() == chain.len()) else {
        notes.fail(StepId::Chain, ErrorCode::CertificateInvalid, "a certificate of the chain cannot be read");
        return;
    };
    let error = verdict.as_ref().err();
    note_chain(own, &facts, &anchors, error, notes);
    note_domain(end_entity, own, host, notes);
    note_validity(&facts, now, notes);
    note_trust(&facts, &anchors, error, store, notes);
}

/// The last certificate that can be reached from the server's own by names.
fn top<'a>(own: &'a Facts, facts: &'a [Facts]) -> &'a Facts {
    let mut at = own;
    for _ in facts {
        match facts.iter().find(|next| next.subject_der == at.issuer_der && !at.self_issued()) {
            Some(next) => at = next,
            None => break,
        }
    }
    at
}

fn note_chain(
    own: &Facts,
    facts: &[Facts],
    anchors: &[TrustAnchor<'_>],
    error: Option<&CertificateError>,
    notes: &mut Notes<'_>,
) {
    let last = top(own, facts);
    match error {
        Some(CertificateError::UnknownIssuer) if !last.self_issued() && !last.issued_by_any(anchors) => notes.fail_with(
            StepId::Chain,
            ErrorCode::CertificateUnknownCa,
            format!(
                "the certificate of \"{}\", which issued \"{}\", is missing: the server does not send it and nodes do not have it",
                last.issuer, last.subject
            ),
            "have the server send its whole chain (fullchain.pem, not cert.pem); if that CA is a root, give it to the nodes",
        ),
        Some(
            error @ (CertificateError::IssuerNotCa
            | CertificateError::CaAsServer
            | CertificateError::NameConstraint
            | CertificateError::PathLength
            | CertificateError::NotForServers
            | CertificateError::BadSignature
            | CertificateError::UnsupportedAlgorithm
            | CertificateError::Malformed
            | CertificateError::TooManyCertificates { .. }
            | CertificateError::TooComplex),
        ) => notes.fail(StepId::Chain, certificate_code(error), error.to_string()),
        _ => {
            let path: Vec<&str> = facts.iter().map(|facts| facts.subject.as_str()).collect();
            notes.ok(StepId::Chain, format!("{} certificate(s): {}", facts.len(), path.join(" ← ")));
        }
    }
}

fn note_domain(end_entity: &CertificateDer<'_>, own: &Facts, host: &str, notes: &mut Notes<'_>) {
    let fits = ServerName::try_from(host).is_ok_and(|name| {
        EndEntityCert::try_from(end_entity)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    });
    let names = if own.names.is_empty() { "no name".to_owned() } else { own.names.join(", ") };
    match fits {
        true => notes.ok(StepId::Domain, format!("the certificate is for {names}")),
        false => notes.fail(
            StepId::Domain,
            ErrorCode::CertificateWrongHost,
            format!("the certificate is for {names}, not for {host}"),
        ),
    }
}

fn note_validity(facts: &[Facts], now: u64, notes: &mut Notes<'_>) {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if let Some(ended) = facts.iter().find(|facts| facts.not_after < now) {
        let days = (now - ended.not_after) / DAY;
        let found = format!("\"{}\" ended on {}, {days} days ago", ended.subject, date(ended.not_after));
        return notes.fail(StepId::Validity, ErrorCode::CertificateExpired, found);
    }
    if let Some(future) = facts.iter().find(|facts| facts.not_before > now) {
        let found = format!("\"{}\" begins on {} only", future.subject, date(future.not_before));
        return notes.fail(StepId::Validity, ErrorCode::CertificateNotYetValid, found);
    }
    let Some(first) = facts.iter().min_by_key(|facts| facts.not_after) else { return };
    let days = (first.not_after - now) / DAY;
    let found = format!("valid until {}, {days} days left (\"{}\")", date(first.not_after), first.subject);
    match days < SOON_DAYS {
        true => notes.warn(
            StepId::Validity,
            warning::CERTIFICATE_ENDS_SOON,
            found,
            "renew the certificate before a long rollout",
        ),
        false => notes.ok(StepId::Validity, found),
    }
}

fn note_trust(
    facts: &[Facts],
    anchors: &[TrustAnchor<'_>],
    error: Option<&CertificateError>,
    store: &TrustStore,
    notes: &mut Notes<'_>,
) {
    let set = match store {
        TrustStore::Mozilla => "Mozilla's CA set".to_owned(),
        TrustStore::Only(given) => format!("the {} CA certificate(s) given", given.len()),
    };
    let Some(own) = facts.first() else { return };
    let last = top(own, facts);
    match error {
        Some(CertificateError::SelfSigned) => notes.fail(
            StepId::Trust,
            ErrorCode::CertificateSelfSigned,
            format!("\"{}\" is signed by itself and not among {set}", own.subject),
        ),
        Some(CertificateError::Revoked) => {
            notes.fail(StepId::Trust, ErrorCode::CertificateRevoked, "a certificate is revoked")
        }
        Some(CertificateError::UnknownIssuer) if last.issued_by_any(anchors) => notes.fail_with(
            StepId::Trust,
            ErrorCode::CertificateUnknownCa,
            format!("a CA named \"{}\" is among {set}, but with another key", last.issuer),
            "give the nodes the CA's current certificate: it was made anew",
        ),
        Some(CertificateError::UnknownIssuer) if last.self_issued() => notes.fail(
            StepId::Trust,
            ErrorCode::CertificateUnknownCa,
            format!("the chain ends at \"{}\", which is not among {set}", last.issuer),
        ),
        // The chain's own step names the certificate that is missing on the way.
        Some(CertificateError::UnknownIssuer) => {}
        None => notes.ok(StepId::Trust, format!("\"{}\" leads to {set}", last.issuer)),
        // Other failures stand at their own steps.
        _ => {
            let known = last.issued_by_any(anchors)
                || anchors.iter().any(|anchor| anchor.subject.as_ref() == last.subject_der);
            if known {
                notes.ok(StepId::Trust, format!("\"{}\" is among {set}", last.issuer));
            } else {
                notes.fail(
                    StepId::Trust,
                    ErrorCode::CertificateUnknownCa,
                    format!("the chain ends at \"{}\", which is not among {set}", last.issuer),
                );
            }
        }
    }
}

/// `2026-11-23`.
fn date(unix: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(unix)
        .map(|time| time.date().to_string())
        .unwrap_or_else(|_| format!("{unix} s since 1970"))
}
