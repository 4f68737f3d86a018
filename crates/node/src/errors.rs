//! The one place where causes become the codes that an operator sees.

use crate::install::FlashFault;
use rootcast_image::ImageError;
use rootcast_trust::SignatureError;
use rootcast_wire::ErrorCode;

pub(crate) const fn flash_code(fault: FlashFault) -> ErrorCode {
    match fault {
        FlashFault::ReadBack => ErrorCode::ReadBackMismatch,
        FlashFault::Read | FlashFault::Write | FlashFault::Erase => ErrorCode::FlashFailed,
        FlashFault::OutOfRegion => ErrorCode::Internal,
    }
}

pub(crate) const fn image_code(error: &ImageError) -> ErrorCode {
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

pub(crate) const fn signature_code(error: &SignatureError) -> ErrorCode {
    match error {
        SignatureError::Missing => ErrorCode::SignatureMissing,
        SignatureError::Untrusted { .. } => ErrorCode::SignatureUntrusted,
        SignatureError::Changed { .. } | SignatureError::Invalid { .. } => ErrorCode::SignatureInvalid,
        SignatureError::Malformed(_) => ErrorCode::SignatureMalformed,
    }
}
