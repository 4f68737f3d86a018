//! From causes to the codes that nodes report.

use rootcast_image::ImageError;
use rootcast_trust::SignatureError;
use rootcast_trust::certificate::CertificateError;
use rootcast_wire::ErrorCode;

/// The code under which a node reports a certificate that it does not believe.
pub fn certificate_code(error: &CertificateError) -> ErrorCode {
    match error {
        CertificateError::Expired { .. } => ErrorCode::CertificateExpired,
        CertificateError::NotYetValid { .. } => ErrorCode::CertificateNotYetValid,
        CertificateError::WrongHost | CertificateError::InvalidServerName => ErrorCode::CertificateWrongHost,
        CertificateError::SelfSigned => ErrorCode::CertificateSelfSigned,
        CertificateError::UnknownIssuer => ErrorCode::CertificateUnknownCa,
        CertificateError::IssuerNotCa => ErrorCode::CertificateIssuerNotCa,
        CertificateError::Revoked => ErrorCode::CertificateRevoked,
        _ => ErrorCode::CertificateInvalid,
    }
}

/// The code under which a node reports an image that it refuses.
pub fn image_code(error: &ImageError) -> ErrorCode {
    match error {
        ImageError::NotAnImage { .. } => ErrorCode::NotAnImage,
        ImageError::MergedFactoryImage => ErrorCode::MergedFactoryImage,
        ImageError::WrongChip { .. } => ErrorCode::WrongChip,
        ImageError::Truncated { .. } => ErrorCode::Truncated,
        ImageError::RevisionTooLow { .. } | ImageError::RevisionTooHigh { .. } => ErrorCode::ChipRevision,
        ImageError::SecureVersion { .. } => ErrorCode::SecureVersionTooLow,
        ImageError::TooLarge { .. } | ImageError::FileTooLong => ErrorCode::ImageTooLarge,
        ImageError::Checksum { .. } => ErrorCode::ChecksumMismatch,
        ImageError::Hash { .. } => ErrorCode::HashMismatch,
        _ => ErrorCode::ImageMalformed,
    }
}

/// The code under which a node reports a signature that it does not believe.
pub fn signature_code(error: &SignatureError) -> ErrorCode {
    match error {
        SignatureError::Missing => ErrorCode::SignatureMissing,
        SignatureError::Untrusted { .. } => ErrorCode::SignatureUntrusted,
        SignatureError::Malformed(_) => ErrorCode::SignatureMalformed,
        _ => ErrorCode::SignatureInvalid,
    }
}
