//! `cargo xtask picture`: runs the demo in a real terminal and draws what it shows as `docs/demo.svg`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::{Outcome, shell};

/// The terminal.
const COLUMNS: usize = 100;
const LINES: usize = 24;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(150);
/// How long the demo may take, a build included.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Size of a character, in the picture's units, at [`FONT`].
const WIDTH: f64 = 8.4;
const HEIGHT: usize = 19;
const FONT: usize = 14;
const MARGIN: usize = 12;
/// Colours of GitHub's dark theme: paper, text, and for the terminal's codes red, green, yellow and bright blue.
const PAPER: &str = "#0d1117";
const TEXT: &str = "#c9d1d9";
const COLOURS: [(&str, &str); 4] =
    [("31", "#ff7b72"), ("32", "#3fb950"), ("33", "#d29922"), ("94", "#79c0ff")];
/// States of which a good picture shows many.
const STATES: [&str; 7] =
    ["accepted", "waiting", "downloading", "verifying", "installed", "restarting", "confirmed"];

pub fn task(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err("picture takes no arguments".to_string());
    }
    let demo = format!("cd {} && cargo run --quiet --release -- demo; sleep 3", shell::root().display());
    let socket = format!("rootcast-picture-{}", std::process::id());
    let tmux = |arguments: &[&str]| {
        let output = shell::command("tmux").args(["-L", &socket]).args(arguments).output();
        output.map_err(|error| format!("cannot run tmux: {error}"))
    };
    let (columns, lines) = (COLUMNS.to_string(), LINES.to_string());
    tmux(&["new-session", "-d", "-s", "demo", "-x", &columns, "-y", &lines, &demo])?;
    let started = Instant::now();
    let (mut best, mut most, mut last) = (String::new(), 0, String::new());
    while started.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
        let captured = tmux(&["capture-pane", "-t", "demo", "-e", "-p"])?;
        if !captured.status.success() {
            break;
        }
        last = String::from_utf8_lossy(&captured.stdout).into_owned();
        let shown = worth(&last);
        if shown > most {
            (best, most) = (last.clone(), shown);
        }
    }
    if !last.contains("nodes run") {
        return Err(format!("the demo did not end as it should:\n{last}"));
    }
    let path = shell::root().join("docs/demo.svg");
    std::fs::write(&path, svg(&best)).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// How much a screen shows: different states, and how many nodes are downloading.
fn worth(screen: &str) -> usize {
    let mesh: Vec<&str> = screen.lines().filter(|line| line.contains('●')).collect();
    let states = STATES.iter().filter(|state| mesh.iter().any(|line| line.contains(**state))).count();
    let downloading = mesh.iter().filter(|line| line.contains("downloading")).count();
    states * 10 + downloading.min(9)
}

/// The screen as a picture.
fn svg(screen: &str) -> String {
    let lines: Vec<&str> = screen.trim_end().lines().collect();
    let width = (COLUMNS as f64 * WIDTH) as usize + 2 * MARGIN;
    let height = lines.len() * HEIGHT + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"rootcast demo in a terminal: a tree of twelve nodes, each with LED colour, state and progress bar\">\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,DejaVu Sans Mono,monospace\" font-size=\"{FONT}\" xml:space=\"preserve\">\n"
    );
    for (number, line) in lines.iter().enumerate() {
        let mut column = 0;
        for (colour, text) in runs(line) {
            let length = text.chars().count();
            if !text.trim().is_empty() {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "<text x=\"{:.1}\" y=\"{}\" fill=\"{colour}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
                    MARGIN as f64 + column as f64 * WIDTH,
                    MARGIN + FONT + number * HEIGHT,
                    length as f64 * WIDTH,
                    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
                );
            }
            column += length;
        }
    }
    out + "</g></svg>\n"
}

/// A line as runs of one colour each; codes that are not known are left out.
fn runs(line: &str) -> Vec<(&'static str, String)> {
    let mut runs = Vec::new();
    let mut colour = TEXT;
    for (index, piece) in line.split('\x1b').enumerate() {
        let text = match piece.strip_prefix('[').and_then(|rest| rest.split_once('m')) {
            Some((codes, text)) if index > 0 => {
                for code in codes.split(';') {
                    let known = COLOURS.iter().find(|(number, _)| *number == code);
                    colour = known.map_or(TEXT, |(_, name)| *name);
                }
                text
            }
            _ => piece,
        };
        if !text.is_empty() {
            runs.push((colour, text.to_string()));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_a_terminal_become_colours_of_a_picture() {
        let found = runs("├─\x1b[94m●\x1b[39m switch \x1b[1;31mx\x1b[0m<");
        let expected = [(TEXT, "├─"), ("#79c0ff", "●"), (TEXT, " switch "), ("#ff7b72", "x"), (TEXT, "<")];
        assert_eq!(found, expected.map(|(colour, text)| (colour, text.to_string())));
        assert!(svg("a < \"b\"").contains(">a &lt; &quot;b&quot;</text>"));
    }

    #[test]
    fn a_screen_with_more_states_is_worth_more() {
        let one = "● switch downloading\n● relay8 downloading";
        let two = "● switch downloading\n● relay8 installed";
        assert!(worth(two) > worth(one) && worth(one) > worth("the mesh forms"));
    }
}
