//! `Range`, `If-Range` and the conditional headers (RFC 9110 §13 and §14).

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

use crate::content::Resource;

/// What a request asks for of a resource that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// 200 and all of it.
    All,
    /// 206 and these bytes: first, and one past the last.
    Part(u64, u64),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    Unsatisfiable,
}

/// Applies the headers in the order of RFC 9110 §13.2.2. `ranged` is whether `Range` counts at all (GET only).
pub(crate) fn wanted(headers: &HeaderMap, resource: &Resource, ranged: bool) -> Wanted {
    let etag = resource.etag();
    let changed_since = |name| date(headers, name).map(|since| whole_seconds(resource.modified) > since);
    match text(headers, &IF_MATCH) {
        Some(tags) if !lists(tags, &etag, Comparison::Strong) => return Wanted::PreconditionFailed,
        None if changed_since(&IF_UNMODIFIED_SINCE) == Some(true) => return Wanted::PreconditionFailed,
        _ => {}
    }
    match text(headers, &IF_NONE_MATCH) {
        Some(tags) if lists(tags, &etag, Comparison::Weak) => return Wanted::NotModified,
        None if changed_since(&IF_MODIFIED_SINCE) == Some(false) => return Wanted::NotModified,
        _ => {}
    }
    match text(headers, &RANGE) {
        Some(range) if ranged && range_still_applies(headers, resource, &etag) => {
            parse(range, resource.len())
        }
        _ => Wanted::All,
    }
}

/// RFC 9110 §13.1.5: a strong tag that matches, or exactly the time of the last change.
fn range_still_applies(headers: &HeaderMap, resource: &Resource, etag: &str) -> bool {
    let Some(condition) = headers.get(IF_RANGE) else { return true };
    let Ok(condition) = condition.to_str() else { return false };
    let condition = condition.trim();
    if condition.starts_with('"') || condition.starts_with("W/") {
        return condition == etag;
    }
    httpdate::parse_http_date(condition).is_ok_and(|date| date == whole_seconds(resource.modified))
}

/// One range of bytes (RFC 9110 §14.1.2). Several ranges, another unit, or something that is no range: the whole content, as §14.2 allows.
fn parse(range: &str, length: u64) -> Wanted {
    let Some(spec) = range.trim().strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::All };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for u64 is beyond every content.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Wanted::All,
        (Some(first), _) if !last.is_empty() && number(last).is_none() => {
            let _ = first;
            Wanted::All
        }
        (Some(first), _) if first >= length => Wanted::Unsatisfiable,
        (Some(first), Some(last)) => Wanted::Part(first, last.saturating_add(1).min(length)),
        (Some(first), None) => Wanted::Part(first, length),
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && length == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(length.saturating_sub(suffix), length),
        _ => Wanted::All,
    }
}

enum Comparison {
    Strong,
    Weak,
}

fn lists(tags: &str, etag: &str, comparison: Comparison) -> bool {
    tags.trim() == "*"
        || tags.split(',').map(str::trim).any(|tag| match comparison {
            Comparison::Strong => tag == etag,
            Comparison::Weak => tag.strip_prefix("W/").unwrap_or(tag) == etag,
        })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

/// HTTP dates have no fractions.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn ask(headers: &[(HeaderName, &str)]) -> Wanted {
        let resource = Resource {
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500),
            ..Resource::from_bytes(vec![7; 1000])
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = value.replace("ETAG", &resource.etag());
            map.insert(name.clone(), HeaderValue::from_str(&value).unwrap());
        }
        wanted(&map, &resource, true)
    }

    #[test]
    fn ranges_follow_rfc_9110() {
        let cases: [(&str, Wanted); 16] = [
            ("bytes=0-499", Wanted::Part(0, 500)),
            ("bytes=500-999", Wanted::Part(500, 1000)),
            ("bytes=500-5000", Wanted::Part(500, 1000)),
            ("bytes=-500", Wanted::Part(500, 1000)),
            ("bytes=-5000", Wanted::Part(0, 1000)),
            ("bytes=9-", Wanted::Part(9, 1000)),
            ("bytes=999-99999999999999999999999999", Wanted::Part(999, 1000)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=1000-1001", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=2-1", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=1-b", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=+1-5", Wanted::All),
            ("lines=0-1", Wanted::All),
        ];
        for (range, expected) in cases {
            assert_eq!(ask(&[(RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn if_range_needs_the_very_same_content() {
        let part = Wanted::Part(1, 3);
        let cases = [
            ("ETAG", part),
            ("\"other\"", Wanted::All),
            ("W/ETAG", Wanted::All),
            ("Sun, 06 Nov 1994 08:49:37 GMT", part),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Wanted::All),
            ("nonsense", Wanted::All),
        ];
        for (condition, expected) in cases {
            assert_eq!(ask(&[(RANGE, "bytes=1-2"), (IF_RANGE, condition)]), expected, "{condition}");
        }
    }

    #[test]
    fn conditions_follow_rfc_9110() {
        let at = "Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(ask(&[(IF_NONE_MATCH, "\"x\", W/ETAG")]), Wanted::NotModified);
        assert_eq!(ask(&[(IF_NONE_MATCH, "*")]), Wanted::NotModified);
        assert_eq!(ask(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, at)]), Wanted::All);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, at)]), Wanted::NotModified);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, before)]), Wanted::All);
        assert_eq!(ask(&[(IF_MATCH, "\"x\"")]), Wanted::PreconditionFailed);
        assert_eq!(ask(&[(IF_MATCH, "W/ETAG")]), Wanted::PreconditionFailed);
        assert_eq!(ask(&[(IF_MATCH, "ETAG"), (IF_UNMODIFIED_SINCE, before)]), Wanted::All);
        assert_eq!(ask(&[(IF_UNMODIFIED_SINCE, before)]), Wanted::PreconditionFailed);
    }
}
