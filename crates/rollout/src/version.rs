//! The order of versions, as far as texts have one.

use std::cmp::Ordering;

/// Which of two versions is newer, by their numbers (`1.10.0` after `1.9.3`, `v2` = `2.0`); a pre-release comes before
/// its release. `None` where either does not begin with a number: nothing is decided by a guess.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (numbers_a, rest_a) = numbers(a)?;
    let (numbers_b, rest_b) = numbers(b)?;
    let length = numbers_a.len().max(numbers_b.len());
    let at = |numbers: &[u64], index: usize| numbers.get(index).copied().unwrap_or(0);
    let by_numbers = (0..length).map(|index| at(&numbers_a, index).cmp(&at(&numbers_b, index)));
    let order = by_numbers.fold(Ordering::Equal, Ordering::then);
    let pre = |rest: &str| rest.starts_with('-');
    Some(order.then(match (pre(rest_a), pre(rest_b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (true, true) => rest_a.cmp(rest_b),
        (false, false) => Ordering::Equal,
    }))
}

fn numbers(version: &str) -> Option<(Vec<u64>, &str)> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let (digits, rest) = version.split_at_checked(end)?;
    let digits = digits.trim_end_matches('.');
    let numbers: Option<Vec<u64>> = digits.split('.').map(|part| part.parse().ok()).collect();
    numbers.map(|numbers| (numbers, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        for (older, newer) in [
            ("1.9.3", "1.10.0"),
            ("v1.0", "v2"),
            ("1.0.0-rc1", "1.0.0"),
            ("1.0", "1.0.1"),
            ("1.0-a", "1.0-b"),
        ] {
            assert_eq!(compare(older, newer), Some(Ordering::Less), "{older} {newer}");
            assert_eq!(compare(newer, older), Some(Ordering::Greater), "{newer} {older}");
        }
        assert_eq!(compare("v2", "2.0"), Some(Ordering::Equal));
        for unknown in ["", "main", "abc1234", "1..2", "99999999999999999999999"] {
            assert_eq!(compare(unknown, "1.0"), None, "{unknown}");
        }
    }
}
