//! The pieces that pages are made of. No colour stands alone: each has its word.

use super::sight::{Light, Sight, Tally};
use jiff::Timestamp;
use maud::{Markup, html};
use rootcast_rollout::Moment;

/// The LED of a node, as the wall shows it, with its word.
pub fn led(light: Light) -> Markup {
    html! {
        span class={ "led led-" (light.colour()) } aria-hidden="true" {}
        span.led-word { (light.meaning()) }
    }
}

/// The LED alone, for where the word stands elsewhere.
pub fn dot(light: Light) -> Markup {
    html! { span class={ "led led-" (light.colour()) } aria-hidden="true" {} }
}

/// What is to be seen of a node in one line.
pub fn node_state(sight: &Sight) -> Markup {
    let node = &sight.node;
    html! {
        (led(sight.light))
        @if sight.light == Light::Blue {
            @let state = node.state.as_deref().unwrap_or_default();
            " · " (words(state))
            @if let (Some(progress), "downloading") = (node.progress, state) { " " (progress) " %" }
        } @else if let Some(why) = &sight.why {
            " · " (why)
        }
    }
}

/// Counts of LEDs.
pub fn tally(tally: &Tally) -> Markup {
    html! {
        ul.tally {
            @for light in Light::ALL {
                @let count = tally.count(light);
                @if count > 0 { li { (dot(light)) b { (count) } " " (light.meaning()) } }
            }
        }
    }
}

/// A state's name as words.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// How a state is to be taken.
pub fn tone(state: &str) -> &'static str {
    match state {
        "succeeded" | "confirmed" | "on" => "good",
        "failed" | "rolled_back" | "lost" | "stopped" | "refused" | "failing" => "bad",
        "partial" | "paused" => "warn",
        "aborted" | "skipped" | "off" => "off",
        "scheduled" | "accepted" | "waiting" => "idle",
        _ => "busy",
    }
}

/// A state.
pub fn badge(state: &str) -> Markup {
    let sign = match tone(state) {
        "good" => "✓",
        "bad" => "✕",
        "warn" => "!",
        "off" => "–",
        "idle" => "○",
        _ => "●",
    };
    html! { span class={ "badge " (tone(state)) } { span.sign aria-hidden="true" { (sign) } " " (words(state)) } }
}

/// A bar of shares, with the words for who does not see it.
pub fn bar(shares: &[(&str, i64)], label: &str) -> Markup {
    let total = shares.iter().map(|(_, count)| *count).sum::<i64>().max(1);
    let mut from = 0;
    let parts: Vec<(&str, i64, i64)> = shares
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(tone, count)| {
            let part = (*tone, from, *count);
            from += count;
            part
        })
        .collect();
    html! {
        svg.bar viewBox={ "0 0 " (total) " 1" } preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (tone, from, count) in parts {
                rect class=(tone) x=(from) y="0" width=(count) height="1" {}
            }
        }
    }
}

/// How long ago something was; the exact time is there too.
pub fn ago(at: &str, now: Moment) -> Markup {
    let words = match at.parse::<Timestamp>() {
        Err(_) => at.to_owned(),
        Ok(time) => {
            let now = i64::try_from(now.0).unwrap_or(i64::MAX);
            past(now.saturating_sub(time.as_millisecond()) / 1000)
        }
    };
    html! { time datetime=(at) title=(exact(at)) { (words) } }
}

/// A time, to the second.
pub fn at(at: &str) -> Markup {
    html! { time datetime=(at) { (exact(at)) } }
}

fn exact(at: &str) -> String {
    let time = at.parse::<Timestamp>().map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    time.unwrap_or_else(|_| at.to_owned())
}

fn past(seconds: i64) -> String {
    match seconds {
        ..=-1 => format!("in {}", span(-seconds)),
        0..=4 => "just now".to_owned(),
        _ => format!("{} ago", span(seconds)),
    }
}

/// Seconds as people say them.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes as people say them.
pub fn bytes(count: i64) -> String {
    match count {
        ..=9_999 => format!("{count} bytes"),
        // Two decimals would say more than anybody asks.
        10_000..=1_048_575 => format!("{} KiB", count / 1_024),
        _ => format!("{}.{} MiB", count / 1_048_576, count % 1_048_576 * 10 / 1_048_576),
    }
}

/// The beginning of a hash.
pub fn hash(hash: &str) -> Markup {
    let short: String = hash.chars().take(12).collect();
    html! { code title=(hash) { (short) @if hash.chars().nth(12).is_some() { "…" } } }
}

/// A number with its noun.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A part of an address.
pub fn escape(text: &str) -> String {
    // A space as + means a space only after the question mark.
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// What a mesh is called.
pub fn mesh_label<'a>(name: &'a str, title: Option<&'a str>) -> &'a str {
    match title.filter(|title| !title.is_empty()) {
        Some(title) => title,
        // The original's topics have no prefix.
        None if name.is_empty() => "Home mesh",
        None => name,
    }
}

/// A link to a mesh.
pub fn mesh_link(name: &str, title: Option<&str>) -> Markup {
    html! { a href={ "/mesh?name=" (escape(name)) } { (mesh_label(name, title)) } }
}

/// A link to the next page of a list.
pub fn further(href: Option<String>, label: &str) -> Markup {
    html! { @if let Some(href) = href { p { a.button href=(href) { (label) } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let now = Moment(1_700_000_000_000);
        let say = |seconds: i64| {
            let at = Timestamp::from_second(1_700_000_000 - seconds).unwrap().to_string();
            ago(&at, now).into_string()
        };
        assert!(say(0).contains(">just now<"), "{}", say(0));
        assert!(say(90).contains(">90 s ago<"));
        assert!(say(3_600).contains(">60 min ago<"));
        assert!(say(-7_200).contains(">in 2 h<"), "a clock that was set back, or a time to come");
        assert_eq!(ago("<b>", now).into_string().matches('<').count(), 2, "no time is text too");
    }

    #[test]
    fn a_bar_has_its_shares_in_order_and_its_words() {
        let bar = bar(&[("good", 2), ("bad", 0), ("idle", 1)], "2 of 3 <succeeded>").into_string();
        assert!(bar.contains(r#"viewBox="0 0 3 1""#) && bar.contains(r#"class="idle" x="2""#), "{bar}");
        assert!(bar.contains("2 of 3 &lt;succeeded&gt;") && !bar.contains("bad"), "{bar}");
    }

    #[test]
    fn parts_of_addresses_stay_parts() {
        assert_eq!(escape("a/b c?d&e#f"), "a%2Fb%20c%3Fd%26e%23f");
    }
}
