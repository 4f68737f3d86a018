//! Writes a target's seeds into a folder, for libFuzzer to start from: `write_seeds TARGET FOLDER`.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else {
        return Err("expected the name of a target and a folder".into());
    };
    let target = rootcast_fuzz::targets().find(|target| target.name == name);
    let target = target.ok_or_else(|| format!("no target is called {name}"))?;
    std::fs::create_dir_all(folder)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(Path::new(folder).join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
