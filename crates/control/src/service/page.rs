//! Pages of a list, and text from outside.

use super::ServiceError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The most items of a page.
pub const MAX_PAGE: u32 = 1_000;
/// Items of a page unless asked for otherwise.
pub const PAGE: u32 = 100;
/// The longest list of certificates, in bytes.
const MAX_CA_BYTES: usize = 64 << 10;

/// How many items of a page are wanted: 1 to 1,000, 100 unless said.
pub fn page_size(limit: Option<u32>) -> Result<usize, ServiceError> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit as usize),
        other => Err(ServiceError::Malformed(format!("\"limit\" is {other}, it must be 1 to {MAX_PAGE}"))),
    }
}

/// After which number a page begins; numbers begin at 1.
pub fn page_start(after: Option<i64>) -> Result<i64, ServiceError> {
    match after.unwrap_or(0) {
        after @ 0.. => Ok(after),
        other => Err(ServiceError::Malformed(format!("\"after\" is {other}, it must not be negative"))),
    }
}

/// One item more than a page has: whether there is one says whether there is a next page.
pub(super) fn one_more(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX - 1) + 1
}

/// Cuts what was read with one item too many into a page, and says where the next one begins.
pub(super) fn cut<T>(
    mut items: Vec<T>,
    size: usize,
    place: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let is_more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| is_more).map(place);
    (items, next)
}

/// Refuses text that cannot be stored or shown: NUL and other control characters, or too much of it.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<(), ServiceError> {
    if text.len() > limit {
        let length = text.len();
        return Err(ServiceError::Invalid(format!(
            "{field:?} has {length} bytes, at most {limit} are allowed"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(ServiceError::Invalid(format!("{field:?} contains a control character")));
    }
    Ok(())
}

/// The certificates of a field `ca`, in PEM; at least one.
pub(super) fn read_ca(pem: &str) -> Result<Vec<CertificateDer<'static>>, ServiceError> {
    let refuse = || ServiceError::Invalid("\"ca\" holds no certificate in PEM, or is too long".to_owned());
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    read.ok().filter(|found| !found.is_empty() && pem.len() <= MAX_CA_BYTES).ok_or_else(refuse)
}
