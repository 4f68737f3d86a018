//! Draws a picture over the one before, in place, without taking the whole terminal.

use super::picture::WIDE;
use std::io::{self, IsTerminal, Write};

/// Keeps what is drawn from flickering on terminals that know it (synchronised output, mode 2026); others ignore it.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// A line that is too long after all (wide letters) is cut by the terminal, not wrapped, so that lines can be counted.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Width and height where the terminal does not tell.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// Columns and lines of the terminal, if there is one that tells.
fn size() -> Option<(usize, usize)> {
    let (width, height) = terminal_size::terminal_size()?;
    (width.0 > 0 && height.0 > 0).then_some((width.0.into(), height.0.into()))
}

/// Whether there is a terminal that is too narrow for whole MAC addresses.
pub fn is_narrow() -> bool {
    size().is_some_and(|(width, _)| width <= WIDE)
}

/// The part of the terminal below the cursor.
pub struct Screen {
    /// Lines of the last picture.
    drawn: usize,
}

impl Screen {
    /// The screen, if standard output is a terminal that can be drawn on.
    pub fn new() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        // Not then_some: a screen that is dropped writes to the terminal.
        (io::stdout().is_terminal() && !is_dumb).then(|| Self { drawn: 0 })
    }

    /// Columns and lines.
    pub fn size(&self) -> (usize, usize) {
        size().unwrap_or(USUAL_SIZE)
    }

    /// Writes a line that stays, above the picture; the picture follows with the next [`draw`](Self::draw).
    pub fn above(&mut self, text: &str) -> io::Result<()> {
        let up = if self.drawn > 0 { format!("\x1b[{}A\r", self.drawn) } else { String::new() };
        self.drawn = 0;
        let mut out = io::stdout().lock();
        write!(out, "{up}{text}{CLEAR_LINE}\r\n{CLEAR_BELOW}").and_then(|()| out.flush())
    }

    /// Draws lines in place of those drawn before.
    pub fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = format!("{BEGIN}{HIDE_CURSOR}{NO_WRAP}");
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push_str(CLEAR_LINE);
            text.push_str("\r\n");
        }
        text.push_str(CLEAR_BELOW);
        text.push_str(WRAP);
        text.push_str(END);
        self.drawn = lines.len();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Leaves the picture as it is; if the terminal is gone, there is nothing to restore.
        // The terminal may have echoed ^C.
        let _ = write!(io::stdout(), "\r{CLEAR_LINE}{WRAP}{SHOW_CURSOR}").and_then(|()| io::stdout().flush());
    }
}
