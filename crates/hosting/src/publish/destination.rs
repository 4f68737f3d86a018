//! [`Destination`]: where to publish.

use std::path::PathBuf;
use std::str::FromStr;

use super::PublishError;

/// A GitHub release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The account.
    pub owner: String,
    /// The repository.
    pub repo: String,
    /// The release's tag.
    pub tag: String,
}

/// Where to publish to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// A folder that a web server serves.
    Folder(PathBuf),
    /// Amazon S3 and what speaks its language.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names begin with, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// What the names begin with.
        prefix: String,
    },
    /// Azure Blob Storage; the account is the environment's.
    Azure {
        /// The container.
        container: String,
        /// What the names begin with.
        prefix: String,
    },
    /// The assets of a GitHub release.
    GitHub(Release),
    /// Another Rootcast's host.
    Host {
        /// Its address, with a path to publish under.
        base: String,
    },
}

impl FromStr for Destination {
    type Err = PublishError;

    fn from_str(given: &str) -> Result<Self, PublishError> {
        let refuse = |reason| PublishError::Destination { given: given.to_owned(), reason };
        let Some((scheme, rest)) = given.split_once("://") else {
            return match given {
                "" => Err(refuse("it is empty")),
                folder => Ok(Self::Folder(PathBuf::from(folder))),
            };
        };
        let bucket_and_prefix = || {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
            match bucket.is_empty() {
                true => Err(refuse("the bucket is missing")),
                false if prefix.split('/').any(|part| part == "." || part == "..") => {
                    Err(refuse("the prefix has . or .. in it"))
                }
                false => Ok((bucket, prefix)),
            }
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket_and_prefix().map(|(bucket, prefix)| Self::S3 { bucket, prefix }),
            "gs" | "gcs" => bucket_and_prefix().map(|(bucket, prefix)| Self::Gcs { bucket, prefix }),
            "az" | "azure" => {
                bucket_and_prefix().map(|(container, prefix)| Self::Azure { container, prefix })
            }
            "github" => {
                let (path, tag) =
                    rest.split_once('@').ok_or_else(|| refuse("the tag is missing (…@v1.0.1)"))?;
                let (owner, repo) = path.split_once('/').ok_or_else(|| refuse("it needs owner/repo"))?;
                let plain = |text: &str| {
                    !text.is_empty()
                        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                };
                match plain(owner) && plain(repo) && tag.split('/').all(plain) {
                    true => Ok(Self::GitHub(Release {
                        owner: owner.to_owned(),
                        repo: repo.to_owned(),
                        tag: tag.to_owned(),
                    })),
                    false => Err(refuse("owner, repo or tag has characters that GitHub does not allow")),
                }
            }
            "http" | "https" if rest.starts_with('/') || rest.is_empty() => {
                Err(refuse("the host is missing"))
            }
            "http" | "https" => Ok(Self::Host { base: given.trim_end_matches('/').to_owned() }),
            "file" if rest.starts_with('/') => Ok(Self::Folder(PathBuf::from(rest))),
            _ => Err(refuse("its scheme is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_destination_is_understood() {
        let text = |given: &str| format!("{:?}", given.parse::<Destination>().unwrap());
        assert_eq!(text("./out"), r#"Folder("./out")"#);
        assert_eq!(text("file:///srv/fw"), r#"Folder("/srv/fw")"#);
        assert_eq!(text("s3://b/p/q/"), r#"S3 { bucket: "b", prefix: "p/q" }"#);
        assert_eq!(text("gs://b"), r#"Gcs { bucket: "b", prefix: "" }"#);
        assert_eq!(text("az://c/p"), r#"Azure { container: "c", prefix: "p" }"#);
        assert_eq!(text("github://o/r@v1.0"), r#"GitHub(Release { owner: "o", repo: "r", tag: "v1.0" })"#);
        assert_eq!(text("https://h:8443/fw/"), r#"Host { base: "https://h:8443/fw" }"#);
    }

    #[test]
    fn what_is_no_destination_is_refused_with_the_reason() {
        let cases = [
            "",
            "s3://",
            "s3:///x",
            "s3://b/../c",
            "github://o/r",
            "github://o@v1",
            "github://o/r@",
            "ftp://x",
            "https://",
        ];
        for given in cases {
            assert!(matches!(given.parse::<Destination>(), Err(PublishError::Destination { .. })), "{given}");
        }
    }
}
