//! Every reason an update can end for, once: its name, its number, and what an operator should do.
//!
//! Numbers come in ranges by subject; 0 is no code, in frames it stands for "no error".
//!
//! Names and numbers are part of the wire format: a name or number, once released, keeps its meaning for ever and is
//! never given to another cause. `tests/wire_v1.rs` freezes them.

use core::fmt;

/// Declares the enum, its numbers, names, whether another attempt can help by itself, and the advice, in one table.
macro_rules! error_codes {
    ($( $(#[doc = $doc:literal])* $variant:ident = $number:literal, $name:literal, $again:ident, $advice:literal; )*) => {
        /// Why an update was refused, failed or rolled back.
        ///
        /// The text form ([`ErrorCode::name`], snake_case) appears in report JSON, the numeric form
        /// ([`ErrorCode::number`]) in mesh frames. [`ErrorCode::advice`] says what an operator should do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode {
            $( $(#[doc = $doc])* #[doc = ""] #[doc = concat!("What to do: ", $advice)] $variant = $number, )*
        }

        impl ErrorCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The stable snake_case name, as in report JSON.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name),* }
            }

            /// What an operator should do about it, one or two plain sentences.
            pub const fn advice(self) -> &'static str {
                match self { $(ErrorCode::$variant => $advice),* }
            }

            /// True if a further attempt may succeed although nobody changed anything (the network was down, the
            /// server was busy, bytes were lost). False if the cause stays until a person or program acts on it.
            pub const fn may_pass(self) -> bool {
                match self { $(ErrorCode::$variant => error_codes!(@again $again)),* }
            }

            /// The code with this wire number.
            pub const fn from_number(number: u16) -> Option<ErrorCode> {
                match number { $($number => Some(ErrorCode::$variant),)* _ => None }
            }
        }
    };
    (@again passes) => { true };
    (@again stays) => { false };
}

error_codes! {
    // 1–19: the trigger
    /// The trigger is not JSON, lacks a field, or a field has the wrong type or range.
    TriggerInvalid = 1, "trigger_invalid", stays, "Correct the trigger message; the detail names the field. Send it again.";
    /// The URL is not well formed.
    UrlInvalid = 2, "url_invalid", stays, "Correct the URL: scheme, host and path in plain ASCII, without spaces.";
    /// The URL has more bytes than fit (2,048; 199 for unmodified nodes of the first original dialect).
    UrlTooLong = 3, "url_too_long", stays, "Use a URL of at most 2,048 bytes, for example a shorter path or a redirect to the long one.";
    /// The URL's scheme is neither `http` nor `https`.
    UrlSchemeUnsupported = 4, "url_scheme_unsupported", stays, "Host the image where https:// or http:// reaches it.";
    /// The trigger asks for a way of distribution that this node or mesh cannot do.
    ModeUnsupported = 5, "mode_unsupported", stays, "Send the trigger with \"mode\":\"direct\", or update these nodes first.";
    /// The trigger is larger than a node takes.
    TriggerTooLarge = 6, "trigger_too_large", stays, "Shorten the trigger message to at most 8,192 bytes.";

    // 20–39: the network
    /// The server's name could not be resolved.
    DnsFailed = 20, "dns_failed", passes, "Check the host name in the URL and the DNS server that the nodes' network hands out.";
    /// No TCP connection to the server.
    ConnectFailed = 21, "connect_failed", passes, "Check that the server runs, its port, and that the nodes' network may reach it.";
    /// The connection ended before the file did, more often than the node retries.
    ConnectionLost = 22, "connection_lost", passes, "Check the nodes' signal and the server's log; the download resumes where it ended when triggered again.";
    /// The server stayed connected but sent nothing for too long.
    DownloadStalled = 23, "download_stalled", passes, "Check the server's load and limits; lower max_parallel if many nodes download at once.";

    // 40–59: TLS and certificates
    /// The TLS handshake or record layer failed for a reason other than the certificate.
    TlsFailed = 40, "tls_failed", passes, "Check that the server offers TLS 1.3 with P-256 or X25519; `rootcast check URL` shows what it offers.";
    /// The server's certificate has expired.
    CertificateExpired = 41, "certificate_expired", stays, "Renew the server's certificate; if it is current, check the node's clock.";
    /// The server's certificate is not valid yet.
    CertificateNotYetValid = 42, "certificate_not_yet_valid", stays, "Check the node's clock, then the server's certificate.";
    /// The server's certificate is for another host name.
    CertificateWrongHost = 43, "certificate_wrong_host", stays, "Use the name that the certificate carries in the URL, or get a certificate for this name.";
    /// The server's certificate is signed by itself.
    CertificateSelfSigned = 44, "certificate_self_signed", stays, "Use a certificate from a CA that the nodes trust, or provision the nodes with your own CA.";
    /// No trusted CA stands at the end of the server's certificate chain, or an intermediate is missing.
    CertificateUnknownCa = 45, "certificate_unknown_ca", stays, "Have the server send its intermediates, or provision the nodes with this CA.";
    /// A certificate in the chain was issued by one that is no CA.
    CertificateIssuerNotCa = 46, "certificate_issuer_not_ca", stays, "Somebody issued a certificate with one that may not: replace the server's certificate, and find out who did.";
    /// The certificate is malformed, its signature is wrong, or it may not be used for a server.
    CertificateInvalid = 47, "certificate_invalid", stays, "Replace the server's certificate; `rootcast check URL` shows what is wrong with it.";
    /// The certificate has been revoked.
    CertificateRevoked = 48, "certificate_revoked", stays, "Replace the server's certificate.";
    /// Validity cannot be checked because the node has no trusted time yet.
    ClockNotSet = 49, "clock_not_set", passes, "Give the root a time server (SNTP) that it can reach.";

    // 60–79: HTTP
    /// The server answered 401.
    HttpUnauthorized = 60, "http_unauthorized", stays, "Put the image where no login is needed, or use a pre-signed URL.";
    /// The server answered 403.
    HttpForbidden = 61, "http_forbidden", stays, "Check the file's permissions; a pre-signed URL may have expired.";
    /// The server answered 404 or 410.
    HttpNotFound = 62, "http_not_found", stays, "Check the path in the URL, and that the file was uploaded.";
    /// The server answered with another 4xx status.
    HttpClientError = 63, "http_client_error", stays, "The detail names the status; check the URL and the server's log.";
    /// The server answered with a 5xx status.
    HttpServerError = 64, "http_server_error", passes, "Check the server's log; nodes try again by themselves.";
    /// Too many redirects, or one that leads back.
    HttpRedirectLoop = 65, "http_redirect_loop", stays, "Correct the server's redirects, or use the final URL.";
    /// A redirect leads from https to http.
    HttpRedirectInsecure = 66, "http_redirect_insecure", stays, "Have the server redirect to https, or use the final https URL.";
    /// A redirect without a usable Location.
    HttpRedirectInvalid = 67, "http_redirect_invalid", stays, "Correct the server's Location header.";
    /// The answer is not HTTP/1.1 as it should be.
    HttpInvalidResponse = 68, "http_invalid_response", stays, "Check that an HTTP server listens on this port; https and http may be swapped.";
    /// The answer's header is larger than the node takes.
    HttpHeadTooLarge = 69, "http_head_too_large", stays, "Have the server send fewer or shorter headers (cookies, policies).";
    /// The file is longer or shorter than the server announced.
    HttpLengthMismatch = 70, "http_length_mismatch", passes, "Check the server or the proxy before it: it announces another length than it sends.";
    /// The server sent the file compressed although it was not asked to.
    HttpContentEncoding = 71, "http_content_encoding", stays, "Switch compression (gzip, br) off for firmware files.";

    // 80–119: the image
    /// The file is not an ESP app image.
    NotAnImage = 80, "not_an_image", stays, "Give the URL of the app's .bin; a login or error page in its place is the usual reason.";
    /// The file is a merged factory image (bootloader, partition table and app in one).
    MergedFactoryImage = 81, "merged_factory_image", stays, "Publish the app image alone (for example build/app.bin), not the merged file.";
    /// The image's structure is broken.
    ImageMalformed = 82, "image_malformed", stays, "Build and upload the image again; `rootcast inspect` shows where it breaks.";
    /// The image is for another chip.
    WrongChip = 83, "wrong_chip", stays, "Trigger the image for this chip, with targets for the nodes that have it.";
    /// The image needs another revision of the chip.
    ChipRevision = 84, "chip_revision", stays, "Build for this chip revision, or leave these nodes out.";
    /// The image is larger than the node's update slot.
    ImageTooLarge = 85, "image_too_large", stays, "Make the image smaller: the detail names the slot's size.";
    /// The node already runs this image.
    SameImage = 86, "same_image", stays, "Nothing to do: the node already runs it.";
    /// The file ends before the image does.
    Truncated = 87, "truncated", stays, "Upload the whole file again.";
    /// The image's one-byte checksum is wrong.
    ChecksumMismatch = 88, "checksum_mismatch", stays, "Build and upload the image again: it is damaged.";
    /// The image's appended SHA-256 is wrong.
    HashMismatch = 89, "hash_mismatch", stays, "Upload the image again: it was changed after it was built.";
    /// The file's SHA-256 is not the one in the trigger.
    DigestMismatch = 90, "digest_mismatch", stays, "The file behind the URL is not the one meant: upload the right one or correct the trigger's sha256.";
    /// The file's size is not the one in the trigger.
    SizeMismatch = 91, "size_mismatch", stays, "The file behind the URL is not the one meant: upload the right one or correct the trigger's size.";
    /// The image's secure version is below the chip's.
    SecureVersionTooLow = 92, "secure_version_too_low", stays, "Use an image whose secure version is at least the one burnt into the chip.";
    /// The file behind the URL changed during the download.
    FileChanged = 93, "file_changed", passes, "Publish new versions under new names; trigger again.";
    /// This image already failed its trial on this node.
    KnownBadImage = 94, "known_bad_image", stays, "Publish a corrected image, or set \"force\":true to try this one again.";

    // 120–139: the image's signature
    /// The image is unsigned although the node trusts a key.
    SignatureMissing = 120, "signature_missing", stays, "Sign the image (`rootcast sign` or espsecure) with a key that the nodes trust.";
    /// The signature does not match the image.
    SignatureInvalid = 121, "signature_invalid", stays, "Sign the final image again: it was changed after signing.";
    /// The signature is by a key that the node does not trust.
    SignatureUntrusted = 122, "signature_untrusted", stays, "Sign with a key whose digest the nodes were provisioned with.";
    /// The signature sector is broken.
    SignatureMalformed = 123, "signature_malformed", stays, "Sign the image again; upload it without cutting its end.";

    // 140–159: trial and boot
    /// The new image crashed during its trial; the node is back on the old one.
    TrialCrashed = 140, "trial_crashed", stays, "Correct the image; the node's log shows the crash.";
    /// The watchdog ended the new image's trial; the node is back on the old one.
    TrialWatchdog = 141, "trial_watchdog", stays, "Correct the image: it hung during its trial.";
    /// The new image was not healthy in time; the node is back on the old one.
    TrialTimeout = 142, "trial_timeout", stays, "Check why the new image did not reach the mesh or the broker in time.";
    /// The application's own health check failed; the node is back on the old one.
    TrialUnhealthy = 143, "trial_unhealthy", stays, "Correct the image: its own health check said no. The detail says which.";
    /// The bootloader did not start the new image and fell back to the old one.
    BootFallback = 144, "boot_fallback", stays, "Trigger again; if it repeats, the flash of this node may be worn.";
    /// Power or reset ended the first start of the new image before it could report.
    BootInterrupted = 145, "boot_interrupted", passes, "Trigger again; check the node's power supply if it repeats.";
    /// The node did not restart, or not in time.
    RestartTimeout = 146, "restart_timeout", passes, "Check the node's power; restart it by hand.";

    // 160–179: flash
    /// An erase, write or read of the flash failed.
    FlashFailed = 160, "flash_failed", passes, "Trigger again; replace the node if it repeats: its flash is worn.";
    /// What was read back from flash is not what was written.
    ReadBackMismatch = 161, "read_back_mismatch", passes, "Trigger again; replace the node if it repeats: its flash is worn.";
    /// The partition table has no second slot to update into.
    NoUpdateSlot = 162, "no_update_slot", stays, "Flash this node by cable with a partition table that has two OTA slots.";
    /// The partition table cannot be read.
    PartitionTableInvalid = 163, "partition_table_invalid", stays, "Flash this node's partition table by cable.";
    /// The otadata partition is missing or could not be written.
    OtadataFailed = 164, "otadata_failed", stays, "Trigger again; if it repeats, flash this node by cable with an otadata partition.";

    // 180–199: the node
    /// Too little memory is free.
    OutOfMemory = 180, "out_of_memory", passes, "Restart the node and trigger again; the detail names what was short.";
    /// The node is at another update that may not be interrupted.
    Busy = 181, "busy", passes, "Wait until the running update ends, then trigger again.";
    /// A newer trigger took this update's place.
    Superseded = 182, "superseded", stays, "Nothing to do: look at the newer update.";
    /// An operator aborted the update.
    Aborted = 183, "aborted", stays, "Nothing to do: the node keeps its image. Trigger again when wanted.";
    /// An error inside the node's software.
    Internal = 184, "internal", stays, "Report this with the detail: it is a defect of Rootcast.";

    // 200–229: signed releases
    /// The release manifest is malformed.
    ReleaseMalformed = 200, "release_malformed", stays, "Create the release again; `rootcast release verify` shows where it breaks.";
    /// The release's signature is wrong.
    ReleaseSignatureInvalid = 201, "release_signature_invalid", stays, "Create the release again: it was changed after signing.";
    /// The release is signed by a key that the node does not trust.
    ReleaseUntrustedKey = 202, "release_untrusted_key", stays, "Sign the release with a key that the nodes trust, or rotate the keys first.";
    /// The release is signed by a revoked or retired key.
    ReleaseKeyRevoked = 203, "release_key_revoked", stays, "Sign the release with the current key.";
    /// The release is older than one the node has seen.
    ReleaseDowngrade = 204, "release_downgrade", stays, "Create a release with a higher sequence number; for a wanted downgrade, one that allows it.";
    /// The release's "not after" has passed.
    ReleaseExpired = 205, "release_expired", stays, "Create and publish a fresh release.";
    /// The release is for another vendor.
    ReleaseWrongVendor = 206, "release_wrong_vendor", stays, "Use a release made for these nodes.";
    /// The release is for another class of node.
    ReleaseWrongClass = 207, "release_wrong_class", stays, "Use a release made for these nodes.";
    /// The release has no image for this chip and node type.
    ReleaseNoVariant = 208, "release_no_variant", stays, "Add an image for this chip and node type to the release, or leave these nodes out.";
    /// The release needs a newer running version first.
    ReleaseVersionTooLow = 209, "release_version_too_low", stays, "Update these nodes to the intermediate version first.";
    /// The node takes signed releases only, and this is a bare image.
    ReleaseRequired = 210, "release_required", stays, "Create a signed release and trigger its URL.";
    /// The image's digest is not the one in the release.
    ReleaseDigestMismatch = 211, "release_digest_mismatch", stays, "Publish the release and its images together again: the image was swapped.";
    /// The image's size is not the one in the release.
    ReleaseSizeMismatch = 212, "release_size_mismatch", stays, "Publish the release and its images together again: the image was swapped.";
    /// The release names a URL that cannot be used.
    ReleaseUriInvalid = 213, "release_uri_invalid", stays, "Create the release again with http(s) or relative URLs.";
    /// The release changed the trusted keys, and has no image for this node.
    ReleaseKeysOnly = 214, "release_keys_only", stays, "Nothing to do: the node took over the release's keys, and there is no image for it.";

    // 230–239: patches
    /// The patch is for another base image.
    PatchWrongBase = 230, "patch_wrong_base", stays, "Nothing to do: the node takes the full image instead.";
    /// The patch is malformed.
    PatchMalformed = 231, "patch_malformed", stays, "Create the patch again; the node takes the full image instead.";
    /// The patch did not produce the expected image.
    PatchFailed = 232, "patch_failed", stays, "Create the patch again; the node takes the full image instead.";

    // 240–259: spread
    /// No neighbour or root offered the image's pages for too long.
    SpreadNoSource = 240, "spread_no_source", passes, "Check that the root reaches the server and this node its mesh.";
    /// Too many pages failed their digest.
    SpreadPagesRejected = 241, "spread_pages_rejected", passes, "A neighbour sends wrong pages: look for a faulty or foreign node; trigger with \"mode\":\"direct\".";
    /// The spread did not complete in time.
    SpreadTimeout = 242, "spread_timeout", passes, "Trigger again; nodes continue with the pages they have.";

    /// A code that this version of the software does not know; the report's detail begins with its name or number.
    Unknown = 65535, "unknown", stays, "Update the program you read this with: the node speaks a newer version.";
}

impl ErrorCode {
    /// The stable wire number, as in mesh frames.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<ErrorCode> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_name_and_its_number() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(code));
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
        }
    }

    #[test]
    fn names_are_snake_case_and_every_advice_is_a_sentence() {
        for code in ErrorCode::ALL {
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(code.advice().ends_with('.') && code.advice().len() > 10, "{code}");
        }
    }

    #[test]
    fn numbers_rise_and_no_name_is_given_twice() {
        assert!(ErrorCode::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            assert!(ErrorCode::ALL[at + 1..].iter().all(|other| other.name() != code.name()), "{code}");
        }
    }
}
