//! What a signed release refers to.

use rootcast_trust::release::Variant;

/// How a SUIT envelope begins: CBOR tag 107. Nodes look at the first byte, which no app image begins with.
const ENVELOPE_TAG: u8 = 0xD8;
/// What stands behind the path of an image's URI in that of its page list (`docs/release-format.md`, "Pages").
const PAGE_LIST_SUFFIX: &str = ".pages";

/// Whether a node would take this for a release.
pub(crate) fn is_release(content: &[u8]) -> bool {
    content.first() == Some(&ENVELOPE_TAG)
}

/// Where the page list of a variant is, if it has one.
pub(crate) fn page_list_uri(variant: &Variant<'_>) -> Option<String> {
    variant.pages?;
    let beside = || match variant.uri.split_once('?') {
        Some((path, query)) => format!("{path}{PAGE_LIST_SUFFIX}?{query}"),
        None => format!("{}{PAGE_LIST_SUFFIX}", variant.uri),
    };
    Some(variant.page_list_uri.map_or_else(beside, str::to_owned))
}
