//! A small bounded JSON reader and writer.
//!
//! Why not serde-json-core (0.7.0, tried): an unknown field with 100,000 opening brackets overflows its stack, as it
//! skips by recursion; it takes `nope` for a value, refuses surrogate pairs (`\ud83d\ude00`), knows no exponents
//! (`1e3`), decodes `\/` only into a second buffer, and its errors name no field. Here an unknown value of any shape
//! is skipped in a loop with fixed memory, texts are decoded as RFC 8259 says, and every error says where.

mod object;
mod scan;
mod value;
mod write;

pub(crate) use object::Object;
pub use scan::JsonError;
pub(crate) use value::{JsonText, JsonTextError, Value};
pub(crate) use write::{JsonWriter, write_text};
pub use write::{SliceWriter, TooSmall};
