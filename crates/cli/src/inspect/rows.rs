//! Facts as aligned rows of name and value.

use std::fmt::{self, Display};

/// Where values begin.
const COLUMN: usize = 18;

/// One row: two spaces, the name, the value.
pub fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    let width = COLUMN - 2;
    writeln!(f, "  {name:<width$}{value}")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    rootcast_wire::text::Hex(bytes).to_string()
}
