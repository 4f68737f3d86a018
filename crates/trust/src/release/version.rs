//! Versions as numbers, for "needs at least" (draft-ietf-suit-update-management, suit-parameter-version).

use core::cmp::Ordering;
use core::fmt;

use super::cbor::{CborFault, Reader};
use super::{Part, ReleaseError};

/// Most numbers in a version: major, minor, patch, pre-release, its number.
pub const MAX_VERSION_NUMBERS: usize = 5;

/// A version as the draft encodes it: up to three numbers, then -1 (release candidate), -2 (beta) or -3 (alpha) and the
/// number of that. `1.2.3-rc.1` is 1, 2, 3, -1, 1, and so lower than `1.2.3`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version {
    numbers: [i32; MAX_VERSION_NUMBERS],
    count: u8,
}

impl Version {
    /// Reads `1.2.3`, `v1.2`, `1.2.3-rc.1`, `1.2.3-beta2`, and what `git describe` makes of a tag
    /// (`v1.2.3-4-gabcdef0-dirty` counts as 1.2.3, the release it grew from). `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        // Build metadata never decides (semver §10).
        let text = text.split('+').next()?;
        let (release, rest) = text.split_once('-').unwrap_or((text, ""));
        let mut version = Self { numbers: [0; MAX_VERSION_NUMBERS], count: 0 };
        for number in release.split('.') {
            if version.count == 3 {
                return None;
            }
            version.push(parse_number(number)?)?;
        }
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (class, number) = rest.split_at(letters);
        let class = match class {
            _ if rest.is_empty() => return Some(version),
            "rc" | "RC" => -1,
            "beta" => -2,
            "alpha" => -3,
            // "-4-gabcdef0" and "-dirty" of git describe.
            "dirty" => return Some(version),
            "" if rest.split('-').nth(1).is_some_and(|it| it.starts_with('g')) => return Some(version),
            _ => return None,
        };
        version.push(class)?;
        // "-rc.1-4-gabcdef0": what follows the pre-release's own number is git's again.
        match number.trim_start_matches('.').split('-').next() {
            None | Some("") => {}
            Some(number) => version.push(parse_number(number)?)?,
        }
        Some(version)
    }

    /// The numbers.
    pub fn numbers(&self) -> &[i32] {
        self.numbers.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// `[+ int]`, one to five of them.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ReleaseError> {
        let found = reader.array()?;
        let mut version = Self { numbers: [0; MAX_VERSION_NUMBERS], count: 0 };
        if found == 0 || found > MAX_VERSION_NUMBERS as u64 {
            return Err(reader.fault(CborFault::WrongCount { found }));
        }
        for _ in 0..found {
            let number = i32::try_from(reader.int()?).map_err(|_| reader.fault(CborFault::WrongValue))?;
            version.push(number).ok_or_else(|| reader.fault(CborFault::WrongValue))?;
        }
        Ok(version)
    }

    fn push(&mut self, number: i32) -> Option<()> {
        *self.numbers.get_mut(usize::from(self.count))? = number;
        self.count += 1;
        Some(())
    }

    /// Compares number by number as far as `limit` goes; a version that ends before counts as 0 from there on, so that
    /// `1.2` is at least `1.2.0` and above `1.2.0-rc.1`.
    fn compare(&self, limit: &Self) -> Ordering {
        let own = self.numbers().iter().copied().chain(core::iter::repeat(0));
        own.zip(limit.numbers()).map(|(a, b)| a.cmp(b)).find(|it| it.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Digits only, without a sign, and no more than fits.
fn parse_number(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for number in self.numbers() {
            match number {
                -1 => f.write_str("-rc")?,
                -2 => f.write_str("-beta")?,
                -3 => f.write_str("-alpha")?,
                number => write!(f, "{separator}{number}")?,
            }
            separator = ".";
        }
        Ok(())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

/// What a release asks of the version that runs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionMatch {
    /// How to compare.
    pub comparison: Comparison,
    /// With what.
    pub version: Version,
}

/// How the running version has to stand to the one in the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Above.
    Greater = 1,
    /// Above or equal.
    GreaterOrEqual = 2,
    /// Equal as far as the release's version goes: 1.2 matches 1.2.9.
    Equal = 3,
    /// Below or equal.
    LesserOrEqual = 4,
    /// Below.
    Lesser = 5,
}

impl VersionMatch {
    /// Whether this version satisfies the demand.
    pub fn is_met_by(&self, running: &Version) -> bool {
        let ordering = running.compare(&self.version);
        match self.comparison {
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
            Comparison::Equal => ordering.is_eq(),
            Comparison::LesserOrEqual => ordering.is_le(),
            Comparison::Lesser => ordering.is_lt(),
        }
    }

    /// `SUIT_Parameter_Version_Match = [comparison, version]`.
    pub(crate) fn parse(bytes: &[u8], part: Part) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(bytes, part);
        reader.array_exactly(2)?;
        let comparison = match reader.uint()? {
            1 => Comparison::Greater,
            2 => Comparison::GreaterOrEqual,
            3 => Comparison::Equal,
            4 => Comparison::LesserOrEqual,
            5 => Comparison::Lesser,
            _ => return Err(reader.fault(CborFault::WrongValue)),
        };
        let version = Version::read(&mut reader)?;
        reader.end()?;
        Ok(Self { comparison, version })
    }
}

impl fmt::Display for VersionMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Equal => "=",
            Comparison::LesserOrEqual => "<=",
            Comparison::Lesser => "<",
        };
        write!(f, "{sign}{}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn versions_are_encoded_as_the_draft_shows() {
        for (text, numbers) in [
            ("1.2.3", &[1, 2, 3][..]),
            ("1.2-rc.3", &[1, 2, -1, 3]),
            ("1.2-beta", &[1, 2, -2]),
            ("1.2-alpha", &[1, 2, -3]),
            ("1.2.3-alpha.4", &[1, 2, 3, -3, 4]),
            ("v2", &[2]),
            ("v2.5.1-dirty", &[2, 5, 1]),
            ("v2.5.1-12-g0123abc", &[2, 5, 1]),
            ("v2.5.1-12-g0123abc-dirty", &[2, 5, 1]),
            ("1.0.0-rc2", &[1, 0, 0, -1, 2]),
            ("1.0.0-rc.2-4-g0123abc", &[1, 0, 0, -1, 2]),
            ("1.0.0+build.5", &[1, 0, 0]),
        ] {
            assert_eq!(version(text).numbers(), numbers, "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in [
            "",
            "v",
            "abc",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4",
            "1.2.3-gamma",
            "-1",
            "1.-2",
            "99999999999",
            "1.2.3-rc.x",
            "+1",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn pre_releases_stand_below_their_release_and_above_the_one_before() {
        let ascending =
            ["1.9", "2.0-alpha.1", "2.0-alpha.2", "2.0-beta.1", "2.0-rc.1", "2.0.0", "2.0.1", "2.1", "3"];
        for pair in ascending.windows(2) {
            let above = VersionMatch { comparison: Comparison::Greater, version: version(pair[0]) };
            assert!(above.is_met_by(&version(pair[1])), "{pair:?}");
            let below = VersionMatch { comparison: Comparison::Lesser, version: version(pair[1]) };
            assert!(below.is_met_by(&version(pair[0])), "{pair:?}");
        }
    }

    #[test]
    fn a_demand_for_three_numbers_does_not_see_a_pre_release_behind_them() {
        // The draft's rule: comparison stops with the numbers of the demand.
        let at_least = VersionMatch { comparison: Comparison::GreaterOrEqual, version: version("2.0.0") };
        assert!(at_least.is_met_by(&version("2.0.0-rc.1")));
        let above = VersionMatch { comparison: Comparison::Greater, version: version("2.0.0-rc.1") };
        assert!(above.is_met_by(&version("2.0.0")) && !above.is_met_by(&version("2.0.0-beta.9")));
    }

    #[test]
    fn a_comparison_ends_with_the_numbers_of_the_release() {
        let equal = VersionMatch { comparison: Comparison::Equal, version: version("1.2") };
        assert!(equal.is_met_by(&version("1.2.9")));
        assert!(!equal.is_met_by(&version("1.3")));
        let at_least = VersionMatch { comparison: Comparison::GreaterOrEqual, version: version("1.2.0") };
        assert!(at_least.is_met_by(&version("1.2")));
        assert!(!at_least.is_met_by(&version("1.1.99")));
        assert_eq!(at_least.to_string(), ">=1.2.0");
    }
}
