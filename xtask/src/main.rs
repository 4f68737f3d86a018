//! The team's front desk. `cargo xtask` alone lists what one can do.
//!
//! Layout: one module a task ([`TASKS`] names them all), [`shell`] for running programs, [`peers`] for the
//! programs that tests run against, [`elf`] for reading the size of what was linked.

mod bench;
mod c_library;
mod elf;
mod firmware;
mod fuzz;
mod lint;
mod peers;
mod picture;
mod powercut;
mod shell;
mod sizes;
mod test;

use std::process::ExitCode;

/// What went wrong, in words for a person.
type Outcome = Result<(), String>;

struct Task {
    name: &'static str,
    usage: &'static str,
    purpose: &'static str,
    run: fn(&[String]) -> Outcome,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        usage: "[--install] [FILTER…]",
        purpose: "run every test; --install first installs the brokers, servers and tools they run against",
        run: test::task,
    },
    Task {
        name: "lint",
        usage: "",
        purpose: "formatting, clippy with warnings as errors, licences and sources of dependencies",
        run: lint::task,
    },
    Task {
        name: "powercut",
        usage: "[--sample | --only STORY | --mutants]",
        purpose: "cut power inside every flash operation of updates and rollbacks; a million cuts, or a sample; or \
                  show that it notices deliberate mistakes",
        run: powercut::task,
    },
    Task {
        name: "fuzz",
        usage: "[TARGET | --all] [--runs N | --seconds N]",
        purpose: "throw hostile input at a parser, guided by coverage; alone it lists the targets",
        run: fuzz::task,
    },
    Task {
        name: "bench",
        usage: "[NAME [ARGUMENT…]]",
        purpose: "run a benchmark and write its section of docs/BENCHMARKS.md; alone it lists them",
        run: bench::task,
    },
    Task {
        name: "sizes",
        usage: "",
        purpose: "flash and static RAM of the node core on riscv32imc-unknown-none-elf",
        run: sizes::task,
    },
    Task {
        name: "picture",
        usage: "",
        purpose: "run the demo in a terminal (tmux) and draw docs/demo.svg",
        run: picture::task,
    },
    Task {
        name: "firmware",
        usage: "[--accept | --test | --chip esp32c6 | --merge NVS FLASH]",
        purpose: "build the ESP32-C3's image, check and measure it; --test runs updates on the emulated board",
        run: firmware::task,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", listing());
        return ExitCode::SUCCESS;
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        println!("{}", listing());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("xtask: no task is called \"{name}\"\n\n{}", listing());
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask {name}: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn listing() -> String {
    let mut text = String::from("cargo xtask TASK\n");
    for task in TASKS {
        let call = format!("{} {}", task.name, task.usage);
        text += &format!("\n  {:<44}{}", call.trim_end(), task.purpose);
    }
    text
}
