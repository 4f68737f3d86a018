//! AWS profiles: `~/.aws/credentials` and `~/.aws/config`, as the AWS command line reads them.
//!
//! Static keys, session tokens, region and endpoint are read. Profiles that need a login (SSO) or another program are named in the error:
//! `aws configure export-credentials` turns them into environment variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Environment;

/// What a profile says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) values: BTreeMap<String, String>,
}

impl Profile {
    /// The profile chosen by `AWS_PROFILE`, or `default`.
    pub(super) fn read(environment: &Environment) -> Self {
        let name = environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]).unwrap_or("default").to_owned();
        let file = |variable: &str, usual: &str| -> Option<PathBuf> {
            environment
                .get(variable)
                .map(PathBuf::from)
                .or_else(|| Some(environment.home()?.join(".aws").join(usual)))
        };
        let text = |path: Option<PathBuf>| {
            path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
        };
        let config = text(file("AWS_CONFIG_FILE", "config"));
        let credentials = text(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
        let config_section = if name == "default" { name.clone() } else { format!("profile {name}") };
        let mut values = section(&config, &config_section);
        values.extend(section(&credentials, &name));
        Self { name, values }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// How the profile gets its credentials, if in a way that is not supported here.
    pub(super) fn needs(&self) -> Option<&'static str> {
        [
            ("sso_session", "a single-sign-on login"),
            ("sso_start_url", "a single-sign-on login"),
            ("credential_process", "another program"),
            ("role_arn", "another role"),
        ]
        .into_iter()
        .find_map(|(key, what)| self.get(key).map(|_| what))
    }
}

/// The keys of one `[section]`; indented lines belong to nested settings and are left alone.
fn section(text: &str, wanted: &str) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let plain = line.trim();
        if let Some(name) = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.split_whitespace().collect::<Vec<_>>().join(" ") == wanted;
        } else if inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = plain.split_once('=')
        {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_profile_is_read_from_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(
            path("c"),
            "[default]\nregion = x\n[profile  lab]\nregion=eu-central-1\ns3 =\n  addressing_style = path\n",
        )
        .unwrap();
        std::fs::write(
            path("k"),
            "[lab]\naws_access_key_id = AK\n# no\naws_secret_access_key=a=b\n[other]\nregion=no\n",
        )
        .unwrap();
        let environment = Environment::of([
            ("AWS_PROFILE", "lab"),
            ("AWS_CONFIG_FILE", &path("c")),
            ("AWS_SHARED_CREDENTIALS_FILE", &path("k")),
        ]);
        let profile = Profile::read(&environment);
        assert_eq!(profile.get("region"), Some("eu-central-1"));
        assert_eq!(profile.get("aws_access_key_id"), Some("AK"));
        assert_eq!(profile.get("aws_secret_access_key"), Some("a=b"));
        assert_eq!(profile.needs(), None);
    }
}
