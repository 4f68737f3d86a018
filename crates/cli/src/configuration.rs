//! `rootcast.toml`: what `rootcast serve` is to be told each time. A setting there is the default of the option with the same
//! name, so environment and command line come before it, and nothing is a setting that is no option.

use crate::Arguments;
use crate::error::Error;
use crate::files;
use clap::builder::OsStr;
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _};
use std::error::Error as _;
use std::path::Path;
use toml::{Table, Value};

/// The command that has settings.
const COMMAND: &str = "serve";
/// The name of the file in the data folder.
pub const FILE: &str = "rootcast.toml";

/// Reads the command line once more, with defaults from a file.
pub fn parse_with(path: &Path) -> Result<Arguments, Error> {
    let wrong = |what: String| Error::Usage(format!("{}: {what}", path.display()));
    let text = String::from_utf8(files::read(path)?).map_err(|_| wrong("it is not UTF-8".to_string()))?;
    // The parser's own words would show the line, and with it a password.
    let table: Table = toml::from_str(&text).map_err(|error| wrong(error.message().to_string()))?;
    let mut command = Arguments::command();
    for (key, value) in &table {
        let name = key.replace('_', "-");
        let options = command.find_subcommand(COMMAND).into_iter().flat_map(clap::Command::get_arguments);
        let settings: Vec<&Arg> = options.filter(|option| is_setting(option)).collect();
        let Some(option) = settings.iter().find(|option| option.get_long() == Some(&name)) else {
            let names: Vec<&str> = settings.iter().filter_map(|option| option.get_long()).collect();
            return Err(wrong(format!("there is no setting {key:?}; there are {}", names.join(", "))));
        };
        let values = values_of(option, value).map_err(|what| wrong(format!("{key:?} has to be {what}")))?;
        let id = option.get_id().clone();
        command = command
            .mut_subcommand(COMMAND, |serve| serve.mut_arg(id, |option| option.default_values(values)));
        // The command line alone has been read before: what goes wrong now is this setting's.
        command.clone().try_get_matches().map_err(|error| {
            let own_words =
                || error.to_string().trim_start_matches("error: ").lines().next().map(str::to_string);
            let cause = error.source().map(ToString::to_string).or_else(own_words).unwrap_or_default();
            wrong(format!("the value of {key:?} cannot be used: {cause}"))
        })?;
    }
    let read = command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    read.map_err(|error| wrong(error.to_string()))
}

fn is_setting(option: &Arg) -> bool {
    !matches!(option.get_long(), None | Some("config" | "json" | "help" | "version"))
}

/// The values of an option as a command line has them; on failure, what they have to be.
fn values_of(option: &Arg, value: &Value) -> Result<Vec<OsStr>, &'static str> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(OsStr::from(text.clone())),
        Value::Integer(number) => Some(OsStr::from(number.to_string())),
        _ => None,
    };
    match (option.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(is_on)) => Ok(vec![OsStr::from(is_on.to_string())]),
        (ArgAction::SetTrue, _) => Err("true or false"),
        (ArgAction::Append, Value::Array(values)) => {
            values.iter().map(one).collect::<Option<_>>().ok_or("text, or a list of texts")
        }
        (ArgAction::Append, value) => one(value).map(|it| vec![it]).ok_or("text, or a list of texts"),
        (_, value) => one(value).map(|it| vec![it]).ok_or("text"),
    }
}
