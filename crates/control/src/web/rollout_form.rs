//! The form for a rollout: what people type, and what it means.

use super::forms::Fields;
use super::layout::token;
use super::parts::mesh_label;
use super::session::Session;
use crate::service::nodes::MeshView;
use crate::service::releases::ReleaseView;
use crate::service::rollouts::RolloutRequest;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use rootcast_rollout::bandwidth::parse_rate;
use rootcast_rollout::window::Window;
use rootcast_rollout::{Limits, Selection, Spec, Wave, WaveSize};
use rootcast_wire::NodeId;

/// Fields that are about the form itself.
pub const OWN_FIELDS: [&str; 3] = ["do", "once", super::forms::TOKEN_FIELD];
/// Meshes that can be ticked; for more there is the API.
const MESHES: usize = 200;

/// What can be chosen.
pub struct Choices {
    /// Releases, newest first.
    pub releases: Vec<ReleaseView>,
    /// Meshes.
    pub meshes: Vec<MeshView>,
    /// Node types that occur.
    pub types: Vec<String>,
}

/// A form as it is at first: safe for a house.
pub fn fresh(release: &str) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in [
        ("release", release),
        ("waves", "1, rest"),
        ("canary_failures", "0"),
        ("failures", "0"),
        ("success", "0"),
        ("soak", "60s"),
        ("deadline", "30m"),
        ("life", "7d"),
        ("total", "500"),
        ("per_mesh", "32"),
        ("per_subtree", "32"),
    ] {
        fields.add(name, value);
    }
    fields
}

/// What a form asks for.
pub fn read(fields: &Fields) -> Result<RolloutRequest, String> {
    if fields.get("release").is_empty() {
        return Err("Choose a release.".to_owned());
    }
    let list = |name| fields.get(name).split(',').map(str::trim).filter(|it| !it.is_empty());
    let nodes: Result<Vec<u64>, String> = list("nodes")
        .map(|id| id.parse::<NodeId>().map(|id| id.0).map_err(|error| format!("{id:?} is no node: {error}")))
        .collect();
    let selection = Selection {
        meshes: fields.all("mesh").map(str::to_owned).collect(),
        types: fields.all("type").map(str::to_owned).collect(),
        versions: list("versions").map(str::to_owned).collect(),
        tags: list("tags").map(str::to_owned).collect(),
        nodes: nodes?,
        chips: Vec::new(),
    };
    let number = |name: &str, what: &str| -> Result<u32, String> {
        let text = fields.get(name);
        text.parse().map_err(|_| format!("{what}: {text:?} is no number"))
    };
    let limits = Limits {
        total: number("total", "Updates at once in all")?,
        per_mesh: number("per_mesh", "Updates at once in a mesh")?,
        per_subtree: number("per_subtree", "Updates at once in a branch")?,
        max_parallel: match fields.get("max_parallel") {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("Downloads at once: {text:?} is no number"))?),
        },
        bytes_per_second: rate("Bytes a second in all", fields.get("bytes_per_second"))?,
        mesh_bytes_per_second: rate("Bytes a second in a mesh", fields.get("mesh_bytes_per_second"))?,
    };
    let mode = Some(fields.get("mode").to_owned()).filter(|mode| !mode.is_empty());
    let spec = Spec {
        selection,
        waves: waves(fields)?,
        soak_s: seconds("Soak time", fields.get("soak"))?,
        deadline_s: seconds("Deadline", fields.get("deadline"))?,
        life_s: seconds("Life of the rollout", fields.get("life"))?,
        start_at: start(fields.get("start"))?,
        windows: windows(fields.get("windows"))?,
        limits,
        mode,
        force: fields.has("force"),
        allow_downgrade: fields.has("allow_downgrade"),
        assume_chip: fields.has("assume_chip"),
        ..Spec::default()
    };
    spec.check().map_err(|error| error.to_string())?;
    let (release, name) = (fields.get("release").to_owned(), fields.get("name").to_owned());
    Ok(RolloutRequest { release, name, spec })
}

fn waves(fields: &Fields) -> Result<Vec<Wave>, String> {
    let wrong = |it: &str| format!("Waves: {it:?} is none; write numbers, shares and rest: 1, 10%, rest");
    let percent = |text: &str| text.parse().ok().filter(|it| (0..=100).contains(it));
    let success = percent(fields.get("success")).ok_or("Success needed is a share from 0 to 100.")?;
    let mut waves = Vec::new();
    for text in fields.get("waves").split(',').map(str::trim) {
        let size = match text.strip_suffix('%') {
            _ if text == "rest" => WaveSize::Rest,
            Some(share) => WaveSize::Percent(share.trim().parse().map_err(|_| wrong(text))?),
            None => WaveSize::Count(text.parse().map_err(|_| wrong(text))?),
        };
        let allowed = fields.get(if waves.is_empty() { "canary_failures" } else { "failures" });
        let wrong = || format!("Failures allowed: {allowed:?} is neither a number nor a share like 5%");
        let mut wave = Wave { min_success_percent: success, ..Wave::of(size) };
        match allowed.strip_suffix('%') {
            Some(share) => wave.max_failures_percent = percent(share.trim()).ok_or_else(wrong)?,
            None => wave.max_failures = allowed.parse().map_err(|_| wrong())?,
        }
        waves.push(wave);
    }
    Ok(waves)
}

/// A time: `90s`, `10m`, `2h`, `7d`, or seconds.
fn seconds(what: &str, text: &str) -> Result<u32, String> {
    let (digits, unit) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1));
    let number: Option<u32> = digits.trim().parse().ok();
    let time = number.and_then(|number| number.checked_mul(unit));
    time.ok_or_else(|| format!("{what}: {text:?} is no time; write 90s, 10m, 2h or 7d"))
}

/// `50 kB/s`, or nothing.
fn rate(what: &str, text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{what}: {text:?} is no rate; write 50 kB/s, 2 MB/s or 4 Mbit/s");
    parse_rate(text).map(Some).ok_or_else(wrong)
}

/// `2026-11-30T22:00`, in UTC.
fn start(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time: Option<u64> = text
        .parse::<DateTime>()
        .and_then(|time| TimeZone::UTC.to_timestamp(time))
        .ok()
        .and_then(|time| u64::try_from(time.as_second()).ok());
    time.map(Some).ok_or_else(|| format!("Not before: {text:?} is no time"))
}

/// One window a line: `22:00-05:00`, or `sat,sun 10:00-12:00`.
fn windows(text: &str) -> Result<Vec<Window>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let window = |line: &str| {
        let (days, times) = line.rsplit_once(' ').unwrap_or(("", line));
        let (from, to) = times.split_once('-')?;
        let days = days.split([',', ' ']).map(str::trim).filter(|day| !day.is_empty());
        Some(Window {
            days: days.map(str::to_lowercase).collect(),
            from: from.trim().to_owned(),
            to: to.trim().to_owned(),
        })
    };
    let wrong = |line: &str| format!("Maintenance window: {line:?} is none; write sat,sun 22:00-05:00");
    lines.map(|line| window(line).ok_or_else(|| wrong(line))).collect()
}

/// The form, with what was typed.
pub fn render(fields: &Fields, choices: &Choices, session: &Session) -> Markup {
    let text = |name: &'static str, label: &str, hint: Option<&str>| {
        let hint_id = format!("{name}-hint");
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(fields.get(name)) aria-describedby=[hint.map(|_| &hint_id)];
                @if let Some(hint) = hint { p.hint id=(hint_id) { (hint) } }
            }
        }
    };
    let tick = |name: &'static str, label: &str| {
        html! { label.tick { input type="checkbox" name=(name) checked[fields.has(name)]; " " (label) } }
    };
    html! {
        form.stacked method="post" action="/rollouts/new" {
            (token(session))
            input type="hidden" name="do" value="preview";
            fieldset.card {
                legend { "What" }
                div.grid {
                    div {
                        label for="release" { "Release" }
                        select #release name="release" required {
                            @for release in &choices.releases {
                                option value=(release.id) selected[release.id == fields.get("release")] {
                                    (release.version) " " (release.project)
                                }
                            }
                        }
                    }
                    (text("name", "Name of the rollout", Some("Optional.")))
                }
            }
            (who(fields, choices, &text))
            fieldset.card {
                legend { "How carefully" }
                div.grid {
                    (text("waves", "Waves", Some("Numbers of nodes, shares, and rest: 1, 10%, rest")))
                    (text("canary_failures", "Failures allowed, first wave", Some("One more stops the rollout. A number, or a share: 5%")))
                    (text("failures", "Failures allowed, later waves", Some("The same for each of them.")))
                    (text("success", "Success needed, in %", Some("Of a wave's nodes that were present, before the next wave begins.")))
                    (text("soak", "Soak time", Some("How long a node has to stay healthy before it counts: 60s, 10m, 2h")))
                    (text("deadline", "Deadline of a node", Some("From its trigger to the new image running.")))
                }
            }
            details.card open[is_changed(fields)] {
                summary { "When, how many at once, and exceptions" }
                div.grid {
                    div {
                        label for="start" { "Not before (UTC)" }
                        input #start type="datetime-local" name="start" value=(fields.get("start"));
                    }
                    (text("life", "Life of the rollout", Some("Nodes that are away get theirs when they return within it.")))
                    div.wide {
                        label for="windows" { "Maintenance windows" }
                        textarea #windows name="windows" rows="2" aria-describedby="windows-hint" { (fields.get("windows")) }
                        p #windows-hint .hint { "One a line, in each mesh's time zone: sat,sun 22:00-05:00. Empty: always." }
                    }
                    (text("total", "Updates at once in all", None))
                    (text("per_mesh", "Updates at once in a mesh", None))
                    (text("per_subtree", "Updates at once in a branch", Some("Below one child of the root.")))
                    (text("max_parallel", "Downloads at once in a mesh", Some("Empty: the root decides.")))
                    (text("bytes_per_second", "Bytes a second in all", Some("Starts are spaced so that images take no more on average: 50 kB/s, 4 Mbit/s. Empty: no limit.")))
                    (text("mesh_bytes_per_second", "Bytes a second in a mesh", Some("The same for each mesh, for its uplink.")))
                    div {
                        label for="mode" { "How the image travels" }
                        select #mode name="mode" {
                            @for (value, label) in [("", "as the mesh decides"), ("spread", "through the mesh"), ("direct", "to each node")] {
                                option value=(value) selected[value == fields.get("mode")] { (label) }
                            }
                        }
                    }
                    div.wide {
                        (tick("allow_downgrade", "Let nodes go back to an older version"))
                        (tick("force", "Install even an image that failed its trial on a node before"))
                        (tick("assume_chip", "Update nodes that do not say what chip they have"))
                    }
                }
            }
            p { button.primary { "Dry run" } " " span.hint { "Says who would get what. Nothing is done yet." } }
        }
    }
}

fn is_changed(fields: &Fields) -> bool {
    let fresh = fresh("");
    let plain = [
        "start",
        "life",
        "windows",
        "total",
        "per_mesh",
        "per_subtree",
        "max_parallel",
        "bytes_per_second",
        "mesh_bytes_per_second",
        "mode",
    ];
    plain.iter().any(|name| fields.get(name) != fresh.get(name))
        || ["allow_downgrade", "force", "assume_chip"].iter().any(|name| fields.has(name))
}

fn who(
    fields: &Fields,
    choices: &Choices,
    text: &dyn Fn(&'static str, &str, Option<&str>) -> Markup,
) -> Markup {
    let is_ticked = |name: &str, value: &str| fields.all(name).any(|it| it == value);
    html! {
        fieldset.card {
            legend { "For whom" }
            p.hint { "Nodes that meet every line. What is left empty excludes nobody." }
            div.grid {
                fieldset.choice {
                    legend { "Meshes" }
                    @for mesh in choices.meshes.iter().take(MESHES) {
                        label.tick {
                            input type="checkbox" name="mesh" value=(mesh.name) checked[is_ticked("mesh", &mesh.name)];
                            " " (mesh_label(&mesh.name, mesh.title.as_deref())) span.dim { " " (mesh.nodes) }
                        }
                    }
                    @if choices.meshes.is_empty() { p.dim { "none yet" } }
                    @if choices.meshes.len() > MESHES { p.hint { "These are the first " (MESHES) "." } }
                }
                fieldset.choice {
                    legend { "Types" }
                    @for name in &choices.types {
                        label.tick {
                            input type="checkbox" name="type" value=(name) checked[is_ticked("type", name)]; " " (name)
                        }
                    }
                    @if choices.types.is_empty() { p.dim { "none yet" } }
                }
                (text("tags", "Tags", Some("Separated by commas: nodes with one of them.")))
                (text("versions", "Versions that run now", None))
                (text("nodes", "Single nodes", Some("MAC addresses or ids, separated by commas.")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(changes: &[(&str, &str)]) -> Result<RolloutRequest, String> {
        let mut fields = Fields::default();
        for (name, value) in changes {
            fields.add(name, value);
        }
        let names: Vec<&str> = changes.iter().map(|(name, _)| *name).collect();
        for (name, value) in fresh("l1").without(&names) {
            fields.add(name, value);
        }
        read(&fields)
    }

    #[test]
    fn a_fresh_form_asks_for_what_the_api_does_by_default() {
        assert_eq!(form(&[]).unwrap().spec, Spec::default());
    }

    #[test]
    fn what_people_type_is_understood() {
        let spec = form(&[
            ("waves", "2, 10 %, rest"),
            ("canary_failures", "1"),
            ("failures", "5%"),
            ("soak", "10m"),
            ("mesh", "home"),
            ("mesh", ""),
            ("tags", " a, b ,"),
            ("nodes", "00:00:00:00:00:10, 17"),
            ("windows", "22:00-05:00\r\nSat, sun 10:00-12:00"),
            ("start", "2026-11-30T22:00"),
            ("force", "on"),
            ("bytes_per_second", "4 Mbit/s"),
            ("mesh_bytes_per_second", "50kB/s"),
        ]);
        let spec = spec.unwrap().spec;
        let sizes: Vec<WaveSize> = spec.waves.iter().map(|wave| wave.size).collect();
        assert_eq!(sizes, [WaveSize::Count(2), WaveSize::Percent(10), WaveSize::Rest]);
        let allowed: Vec<(u32, u8)> =
            spec.waves.iter().map(|wave| (wave.max_failures, wave.max_failures_percent)).collect();
        assert_eq!(allowed, [(1, 0), (0, 5), (0, 5)]);
        assert_eq!((spec.soak_s, spec.force, spec.allow_downgrade), (600, true, false));
        assert_eq!(spec.selection.meshes, ["home", ""], "the mesh without a prefix has an empty name");
        assert_eq!((spec.selection.tags.join("+"), spec.selection.nodes), ("a+b".to_owned(), vec![16, 17]));
        assert_eq!(
            (spec.limits.bytes_per_second, spec.limits.mesh_bytes_per_second),
            (Some(500_000), Some(50_000))
        );
        assert_eq!(spec.windows.len(), 2);
        assert_eq!(spec.windows[1].days, ["sat", "sun"]);
        assert_eq!(spec.start_at, Some(1_796_076_000));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        for (name, value, words) in [
            ("release", "", "Choose a release"),
            ("waves", "1, some", "\"some\" is none"),
            ("waves", "rest, 1", "comes after \"rest\""),
            ("waves", "0, rest", "size of 0"),
            ("failures", "many", "Failures allowed"),
            ("success", "101", "0 to 100"),
            ("soak", "soon", "Soak time"),
            ("soak", "99999999d", "Soak time"),
            ("nodes", "x", "\"x\" is no node"),
            ("windows", "at night", "Maintenance window"),
            ("windows", "25:00-26:00", "not a time of day"),
            ("start", "tomorrow", "Not before"),
            ("per_mesh", "0", "nothing could ever start"),
            ("max_parallel", "-1", "Downloads at once"),
            ("bytes_per_second", "fast", "\"fast\" is no rate"),
            ("mesh_bytes_per_second", "0", "nothing could ever start"),
            ("mode", "pigeon", "neither"),
        ] {
            let wrong = form(&[(name, value)]).unwrap_err();
            assert!(wrong.contains(words), "{name}={value}: {wrong}");
        }
    }
}
