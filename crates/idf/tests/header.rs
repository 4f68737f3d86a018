//! `include/rootcast.h` is what cbindgen makes of this crate. `ROOTCAST_WRITE_HEADER=1` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_what_the_code_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml is read");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for module in ["platform", "context", "input", "run"] {
        builder = builder.with_src(folder.join("src").join(module).with_extension("rs"));
    }
    let mut made = Vec::new();
    builder.generate().expect("a header can be made of the code").write(&mut made);
    let made = String::from_utf8(made).expect("headers are text");
    // C has no safety sections: what they demand, the sentences above them say.
    let header = without_safety_sections(&made);
    let path = folder.join("include/rootcast.h");
    if std::env::var_os("ROOTCAST_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("there is a header");
    assert!(
        committed == header,
        "run with ROOTCAST_WRITE_HEADER=1: {} is not what the code says",
        path.display()
    );
}

fn without_safety_sections(header: &str) -> String {
    let mut kept = Vec::new();
    let mut in_section = false;
    for line in header.lines() {
        if line.trim() == "* # Safety" {
            in_section = true;
            // The empty line of the comment before it goes, too.
            while kept.last().is_some_and(|last: &&str| last.trim() == "*") {
                kept.pop();
            }
        }
        in_section &= !line.trim().starts_with("*/");
        if !in_section {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}
