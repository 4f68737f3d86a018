//! A small bounded JSON reader and writer.
//!
//! Why not serde-json-core (0.7, tried): a value nested in an unknown field makes it recurse or fail, escapes such as
//! `\/` in a URL are left in the text, and its errors do not name the field. Here an unknown value of any shape is
//! skipped in a loop with fixed memory, texts are decoded as RFC 8259 says, and every error says where.

mod read;
mod write;

pub use read::JsonError;
pub(crate) use read::{JsonText, JsonTextError, Object, Value};
pub(crate) use write::{JsonWriter, write_text};
pub use write::{SliceWriter, TooSmall};
