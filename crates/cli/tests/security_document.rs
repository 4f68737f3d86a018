//! `docs/SECURITY.md` says which test shows what: each of them is there.

use std::fs;
use std::path::Path;

/// The rows of the document's tables as cells.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_threat_names_a_test_that_exists() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let document = fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let mut named = 0;
    for row in rows(&document) {
        let Some(&test) = row.last().filter(|_| row.len() == 3 && row[0] != "threat") else { continue };
        let parts: Vec<&str> = test.split('`').map(str::trim).filter(|part| !part.is_empty()).collect();
        let [file, function] = parts[..] else { panic!("no file and test: {test}") };
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let Some((before, _)) = source.split_once(&format!("fn {function}()")) else {
            panic!("{file} has no function {function}")
        };
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        assert!(
            attributes.contains("test]") || attributes.contains("::test("),
            "{function} in {file} is no test"
        );
        named += 1;
    }
    assert!(named >= 40, "{named} tests are named");
}
