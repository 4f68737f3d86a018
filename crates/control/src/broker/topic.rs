//! MQTT topic filters (MQTT 5 §4.7): does a filter match a topic, and does one filter cover another.

use std::fmt;

/// A topic filter of valid form, such as `/switch/ota/+` or `plant1/#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter(String);

/// Why a text is no topic filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A filter has at least one character.
    #[error("a topic filter is empty: expected at least one character")]
    Empty,
    /// `+` stands for one whole level.
    #[error("topic filter \"{0}\": \"+\" must be alone between slashes")]
    MisplacedPlus(String),
    /// `#` stands for all remaining levels.
    #[error("topic filter \"{0}\": \"#\" must be the last level, alone after a slash")]
    MisplacedHash(String),
    /// MQTT forbids the character U+0000.
    #[error("a topic filter contains U+0000, which MQTT forbids")]
    ContainsNul,
}

impl TopicFilter {
    /// Checks the form of a filter.
    pub fn new(filter: impl Into<String>) -> Result<Self, FilterError> {
        let filter = filter.into();
        if filter.is_empty() {
            return Err(FilterError::Empty);
        }
        if filter.contains('\0') {
            return Err(FilterError::ContainsNul);
        }
        let mut levels = filter.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('+') && level != "+" {
                return Err(FilterError::MisplacedPlus(filter));
            }
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(FilterError::MisplacedHash(filter));
            }
        }
        Ok(Self(filter))
    }

    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a message published to `topic` reaches a subscriber of this filter.
    pub fn matches(&self, topic: &str) -> bool {
        // A topic without wildcards is a filter that matches itself alone.
        self.covers_levels(topic)
    }

    /// Whether every topic that `other` matches is matched by this filter too.
    pub fn covers(&self, other: &TopicFilter) -> bool {
        self.covers_levels(&other.0)
    }

    fn covers_levels(&self, other: &str) -> bool {
        let mut own = self.0.split('/');
        let mut asked = other.split('/');
        // Topics that begin with "$" are the broker's own: no leading wildcard matches them (§4.7.2).
        if other.starts_with('$') && matches!(self.0.split('/').next(), Some("+" | "#")) {
            return false;
        }
        loop {
            match (own.next(), asked.next()) {
                (None, None) => return true,
                (Some("#"), _) => return true,
                (Some("+"), Some(level)) if level != "#" => {}
                (Some(literal), Some(level)) if literal == level => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/broker/uptime", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/broker/uptime", true),
            ("/switch/cmd/root", "/switch/cmd/root", true),
            ("/switch/cmd/root", "/switch/cmd/Root", false),
        ];
        for (text, topic, expected) in cases {
            assert_eq!(filter(text).matches(topic), expected, "{text} against {topic}");
        }
    }

    #[test]
    fn misplaced_wildcards_and_empty_filters_are_refused() {
        assert_eq!(TopicFilter::new(""), Err(FilterError::Empty));
        assert_eq!(TopicFilter::new("a\0b"), Err(FilterError::ContainsNul));
        assert_eq!(TopicFilter::new("a/b+"), Err(FilterError::MisplacedPlus("a/b+".into())));
        assert_eq!(TopicFilter::new("a/#/b"), Err(FilterError::MisplacedHash("a/#/b".into())));
        assert_eq!(TopicFilter::new("a#"), Err(FilterError::MisplacedHash("a#".into())));
    }

    #[test]
    fn a_filter_covers_only_what_it_wholly_contains() {
        assert!(filter("#").covers(&filter("a/+/b")));
        assert!(filter("a/#").covers(&filter("a")));
        assert!(filter("a/+").covers(&filter("a/+")));
        assert!(!filter("a/+").covers(&filter("a/#")));
        assert!(!filter("a/b").covers(&filter("a/+")));
        assert!(!filter("#").covers(&filter("$SYS/#")));
    }

    fn levels() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "", "+"]), 1..4)
    }

    fn any_filter() -> impl Strategy<Value = TopicFilter> {
        (levels(), any::<bool>()).prop_filter_map("empty", |(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            TopicFilter::new(levels.join("/")).ok()
        })
    }

    proptest! {
        #[test]
        fn what_a_covered_filter_matches_the_covering_one_matches(
            wide in any_filter(),
            narrow in any_filter(),
            topic in levels().prop_map(|l| l.join("/").replace('+', "c")),
        ) {
            if wide.covers(&narrow) && narrow.matches(&topic) {
                prop_assert!(wide.matches(&topic));
            }
        }
    }
}
