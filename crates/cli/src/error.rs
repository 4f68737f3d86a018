//! Why a command failed: what happened, to which file or node, what to do about it, and the exit status.
//!
//! Causes come from the libraries' own errors; this type adds the file, and [`Error::advice`] says what to do.

use crate::client::ClientError;
use crate::mqtt::BrokerError;
use rootcast_control::plane::PlaneError;
use rootcast_hosting::publish::PublishError;
use rootcast_image::partition::CsvError;
use rootcast_image::{ImageError, PartitionError};
use rootcast_patch::PatchError;
use rootcast_trust::SignatureError;
use rootcast_trust::release::ReleaseError;
use rootcast_trust::sign::{CreateError, SignError};
use rootcast_world::nvs::ProvisioningError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Exit status of an operation that failed.
const FAILED: u8 = 1;
/// Exit status of wrong usage or configuration.
const USAGE: u8 = 2;

/// Why a command failed. Variants by who can mend it: the file system, the files given, the keys given, the usage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file is larger than anything that Rootcast reads.
    #[error("{} is larger than {} MiB", path.display(), limit >> 20)]
    TooLarge { path: PathBuf, limit: u64 },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A file is there that may not be replaced.
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),

    /// A file is nothing that Rootcast knows.
    #[error("{} is {found}", path.display())]
    Unknown { path: PathBuf, found: &'static str, advice: &'static str },
    /// An app image is not one, or is damaged.
    #[error("{}: {error}", path.display())]
    Image { path: PathBuf, error: ImageError },
    /// A file was recognised, but is no use.
    #[error("{}: {flaw}", path.display())]
    Flawed { path: PathBuf, flaw: &'static str },
    /// An image's signature is not one to believe.
    #[error("{}: {error}", path.display())]
    Signature { path: PathBuf, error: SignatureError },
    /// A patch is damaged, or for another image.
    #[error("{}: {error}", path.display())]
    BadPatch { path: PathBuf, error: PatchError },
    /// A partition table is broken, or not fit to update from.
    #[error("{}: {error}", path.display())]
    Table { path: PathBuf, error: PartitionError },
    /// A partition table in CSV form cannot be read.
    #[error("{}: {error}", path.display())]
    Csv { path: PathBuf, error: CsvError },
    /// What was given makes no flash image.
    #[error("no flash image can be made: {0}")]
    Factory(#[from] rootcast_world::factory::FactoryError),

    /// A key cannot be written.
    #[error("cannot write the public key {}: {error}", path.display())]
    PublicKey { path: PathBuf, error: rcgen::Error },
    /// A key cannot be read or used, or something cannot be signed.
    #[error("{}: {error}", path.display())]
    Sign { path: PathBuf, error: SignError },
    /// A node cannot be told so.
    #[error("no nvs partition can be made: {error}")]
    Provision { error: ProvisioningError },
    /// A release is not one to believe, or cannot be read.
    #[error("{}: {error}", path.display())]
    Release { path: PathBuf, error: ReleaseError },
    /// A release that can be believed is not one that every node could follow.
    #[error("{}: {failures} {} wrong", path.display(), if *failures == 1 { "thing is" } else { "things are" })]
    ReleaseFlawed { path: PathBuf, failures: usize },
    /// A release cannot be made of what was given.
    #[error("no release can be made: {error}")]
    CreateRelease { error: CreateError },
    /// A patch cannot be made.
    #[error("no patch from {}: {error}", path.display())]
    Patch { path: PathBuf, error: rootcast_patch::CreateError },

    /// A certificate and a key are none to show to a broker.
    #[error("{} {reason}", path.display())]
    BrokerIdentity { path: PathBuf, reason: String },
    /// A broker cannot be used.
    #[error("broker {broker}: {error}")]
    Broker { broker: String, error: BrokerError },
    /// Nodes came to an end without the new image.
    #[error("{nodes} {} not updated", if *nodes == 1 { "node was" } else { "nodes were" })]
    NotUpdated { nodes: usize },
    /// Nodes did not come to an end in time.
    #[error("the update had not ended everywhere after {} seconds", after.as_secs())]
    NotFinished { after: Duration },
    /// No node said anything.
    #[error("no node answered within {} seconds", after.as_secs())]
    NoAnswer { after: Duration },
    /// Something was not published.
    #[error(transparent)]
    Publish(#[from] rootcast_hosting::publish::PublishError),
    /// Nodes will not accept what is at a URL; the report says why.
    #[error("nodes will not accept this: {code}")]
    NotAccepted { code: &'static str },
    /// The check before a trigger found what nodes will not accept.
    #[error("not triggered: nodes would not accept this: {code}")]
    NotTriggered { code: &'static str },
    /// The demo's broker cannot start.
    #[error("the broker cannot start: {0}")]
    EmbeddedBroker(#[from] rootcast_control::broker::BrokerError),
    /// The demo's host cannot start.
    #[error("the firmware host cannot start: {0}")]
    Host(#[from] rootcast_hosting::HostingError),
    /// The demo's nodes cannot be made.
    #[error("the nodes cannot be made: {0}")]
    Nodes(#[from] rootcast_world::factory::FleetError),
    /// The demo's mesh does not come together.
    #[error("the mesh had not formed after {} seconds", after.as_secs())]
    NoMesh { after: Duration },
    /// Every node says that all is well, and its flash says otherwise.
    #[error("the nodes' flash is not as it should be")]
    Evidence,
    /// A file cannot serve as a node's flash.
    #[error(transparent)]
    FlashFile(#[from] rootcast_world::flash::FlashFileError),
    /// What is in a node's flash makes no node.
    #[error("{}: {reason}", flash.display())]
    Node { flash: PathBuf, reason: String },
    /// There is no mesh for a node.
    #[error(transparent)]
    Mesh(#[from] rootcast_world::body::sockets::udp::UdpError),
    /// Certificates cannot be trusted.
    #[error(transparent)]
    Trust(#[from] rootcast_world::body::sockets::TrustError),
    /// A node came to a bad end.
    #[error("the node came to a bad end")]
    NodeEnded,
    /// The control plane does not start.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// A webhook does not take a test message.
    #[error("the webhook did not take the test message: {reason}")]
    NotTaken { reason: String },
    /// The control plane does not do what was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A rollout came to another end than was hoped for.
    #[error("the rollout is {phase}: {reason}")]
    Rollout { phase: String, reason: String },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted { what_now: &'static str },
    /// The system gives no threads.
    #[error("cannot start: {0}")]
    Runtime(io::Error),

    /// Arguments that contradict each other or say nothing useful.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// What the process returns.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Exists { .. }
            | Self::BrokerIdentity { .. }
            | Self::Plane(PlaneError::FilesUrl { .. }) => USAGE,
            _ => FAILED,
        }
    }

    /// True if nobody is there to read the message: the reader of a pipe has gone away.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// True if a summary has been printed that says it node by node: programs need no second object.
    pub fn is_in_summary(&self) -> bool {
        matches!(
            self,
            Self::NotUpdated { .. }
                | Self::NotFinished { .. }
                | Self::NoAnswer { .. }
                | Self::NotAccepted { .. }
                | Self::NotTaken { .. }
                | Self::Interrupted { .. }
                | Self::Rollout { .. }
                | Self::Evidence
        )
    }

    /// What to do about it, if there is something to add.
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => "Check the path.",
            Self::Read { .. } | Self::Write { .. } => "Check the path and your rights to it.",
            Self::TooLarge { .. } => "Give a firmware image, a partition table or a flash image.",
            Self::Exists { .. } => "Choose another place, or give --force to replace it.",
            Self::Unknown { advice, .. } => advice,
            Self::Image { error, .. } => image_advice(error),
            Self::Signature { error, .. } => signature_advice(error),
            Self::BadPatch { error, .. } => patch_advice(error),
            Self::Table { .. } | Self::Csv { .. } => {
                "Make the table with ESP-IDF's gen_esp32part.py, or give --table default."
            }
            Self::Factory(_) => {
                "Give files that fit, or another partition table: --table default, or a CSV file."
            }
            Self::Sign { error, .. } => sign_advice(error),
            Self::Provision { error: ProvisioningError::Store(_) } => {
                "Give fewer or shorter CA certificates, or a partition table with a larger nvs."
            }
            Self::Provision { .. } => "See rootcast provision --help.",
            Self::Release { error, .. } => release_advice(error),
            Self::ReleaseFlawed { .. } => "Make the release again from the images that are to be hosted.",
            Self::CreateRelease { error: CreateError::Key(error) } => sign_advice(error),
            Self::CreateRelease { error: CreateError::NotAnApp(error) } => image_advice(error),
            Self::CreateRelease { error: CreateError::DuplicateClass { .. } } => {
                "Say whom each image is for: FILE:TYPE or FILE:TYPE:REVISION."
            }
            Self::Patch { error: rootcast_patch::CreateError::TooLarge { .. }, .. } => {
                "Give app images: ESP-IDF's have at most 16 MiB."
            }
            Self::Patch { .. } => "This is a defect of Rootcast: report it with both images.",
            Self::CreateRelease { .. } => "See rootcast release create --help.",
            Self::Usage(_) => "See --help.",
            Self::BrokerIdentity { .. } => {
                "Give the certificate that the broker knows you by and its private key, both in PEM form: --broker-cert FILE --broker-key FILE."
            }
            Self::Broker { error, .. } => broker_advice(error),
            Self::NotUpdated { .. } => "The table says why, node by node; they keep running what they ran.",
            Self::NotFinished { .. } => {
                "The update goes on without being watched; give a longer --timeout to see its end."
            }
            Self::NoAnswer { .. } => {
                "Check that the mesh's root is connected to this broker, and the topic prefix (--prefix)."
            }
            Self::Publish(error) => return publish_advice(error).map(str::to_string),
            Self::NotAccepted { .. } => "The steps that failed say what to do.",
            Self::NotTriggered { .. } => {
                "Mend what failed; if nodes differ from what was checked, say how (--ca, --trust, --chip), or trigger anyway: --no-check."
            }
            Self::Host(rootcast_hosting::HostingError::Listen { .. }) => return None,
            Self::Host(
                rootcast_hosting::HostingError::Read { .. } | rootcast_hosting::HostingError::Write { .. },
            ) => "Check the path and your rights to it.",
            Self::Host(
                rootcast_hosting::HostingError::Certificate { .. }
                | rootcast_hosting::HostingError::KeyReadableByOthers { .. }
                | rootcast_hosting::HostingError::ServedPath { .. },
            ) => return None,
            Self::EmbeddedBroker(_) | Self::Host(_) => "Check that this machine has free ports on 127.0.0.1.",
            Self::Nodes(_) => "Give an image with --from that fits a slot of 1408 KiB.",
            Self::NoMesh { .. } => "Try fewer nodes or less loss; the machine may be too busy.",
            Self::Evidence => "This is a defect of Rootcast: keep the chips with --keep DIR and report it.",
            Self::FlashFile(_) | Self::Node { .. } => {
                "Make the node's flash: rootcast flash --app APP.bin -o FLASH.bin."
            }
            Self::Mesh(_) => {
                "Give the root --listen 127.0.0.1:PORT, and the others --root-address 127.0.0.1:PORT."
            }
            Self::Trust(_) => "Give CA certificates in PEM form with --ca.",
            Self::NodeEnded => "This is a defect of Rootcast: report it with the flash file.",
            Self::Interrupted { what_now } => what_now,
            Self::NotTaken { .. } => "Events wait until it does; see rootcast webhook list.",
            Self::Client(error) => return error.advice().map(str::to_string),
            Self::Plane(error) => return plane_advice(error).map(str::to_string),
            Self::Rollout { .. } => {
                "rootcast rollout show says why, node by node; rootcast rollout retry tries the failed again."
            }
            Self::Runtime(_) => "Check the limits on threads and open files.",
            Self::Output(_) | Self::Flawed { .. } | Self::PublicKey { .. } => return None,
        };
        Some(text.to_string())
    }
}

/// What the message does not say already.
fn plane_advice(error: &PlaneError) -> Option<&'static str> {
    Some(match error {
        PlaneError::Data { .. } => {
            "Check the path and your rights to it, or give another folder with --data."
        }
        PlaneError::FilesUrl { .. } => {
            "Give where the files are to be found: --files-url https://HOST/FOLDER/."
        }
        PlaneError::InUse { .. } => "Stop that one first, or give this one another folder with --data.",
        PlaneError::Store(_) => {
            "Check --database, and that the database runs; without it, SQLite in the data folder is used."
        }
        PlaneError::Broker(rootcast_control::broker::BrokerError::OpenBeyondLoopback { .. }) => {
            "Say who may use the broker with --mqtt-users FILE."
        }
        PlaneError::Broker(_) => {
            "Choose another address with --mqtt, or use the broker that is there: --broker URL."
        }
        _ => return None,
    })
}

/// What the message does not say already.
fn publish_advice(error: &PublishError) -> Option<&'static str> {
    Some(match error {
        PublishError::NotAnImage { error, .. } => image_advice(error),
        PublishError::WrongCredentials { .. } => {
            "Check key, secret and token: they may have ended, or belong to another account."
        }
        PublishError::Forbidden { .. } => {
            "Let this user write and read there: docs/hosting says which rights it takes."
        }
        PublishError::Missing { .. } => {
            "Check the name, the region and the endpoint; make the bucket or repository first."
        }
        PublishError::Network { .. } => {
            "Check the address and the network, then run it again: what arrived is kept."
        }
        PublishError::Write { .. } => {
            "Check the folder, your rights to it and the space that is left; nothing was published."
        }
        PublishError::Read { .. } => "Check the path and your rights to it.",
        PublishError::Checksum { .. } => {
            "Run it again; if it happens again, look for what changes files on their way."
        }
        PublishError::Partly { error, .. } => {
            return publish_advice(error).or(Some("Mend it and run it again."));
        }
        PublishError::ReleaseFile { .. } => {
            "Give the release with all its files, as they were when it was signed."
        }
        PublishError::NotARelease { .. } => "Create the release again.",
        _ => return None,
    })
}

fn broker_advice(error: &BrokerError) -> &'static str {
    match error {
        BrokerError::Name(_) => "Check the broker's name, or give its address: --broker mqtt://HOST:PORT.",
        BrokerError::Connect(_) | BrokerError::Timeout(_) => {
            "Check that the broker runs and listens there: --broker mqtt://HOST:PORT."
        }
        BrokerError::Tls(_) => {
            "Give the broker's CA with --broker-ca, and the name that its certificate is for."
        }
        BrokerError::CertificateWanted | BrokerError::CertificateRefused(_) => {
            "Give a certificate that a CA of this broker issued, and its key: --broker-cert FILE --broker-key FILE."
        }
        BrokerError::Login => {
            "Give user and password: --broker mqtt://USER:PASSWORD@HOST, or in ROOTCAST_BROKER."
        }
        BrokerError::Denied(_) => "Have the broker's access rules allow it to this user.",
        BrokerError::Protocol(_) => {
            "Check that an MQTT broker listens there, and whether it wants TLS (mqtts://)."
        }
    }
}

fn image_advice(error: &ImageError) -> &'static str {
    match error {
        ImageError::NotAnImage { .. } | ImageError::NoAppDescriptor { .. } => {
            "Give the application's image as the build makes it, for example build/app.bin."
        }
        ImageError::MergedFactoryImage => {
            "Give the application's image alone (for example build/app.bin), not the merged file."
        }
        ImageError::Truncated { .. } => "Copy the whole file again.",
        ImageError::WrongChip { .. } => "Give an image that was built for this chip.",
        ImageError::RevisionTooLow { .. } | ImageError::RevisionTooHigh { .. } => {
            "Build the image for this chip revision."
        }
        ImageError::TooLarge { .. } => "Make the image smaller, or give a partition table with larger slots.",
        _ => "Copy or build the image again: this file is damaged.",
    }
}

fn signature_advice(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::Missing => "Sign it: rootcast sign APP.bin --key KEY.pem -o SIGNED.bin.",
        SignatureError::Untrusted { .. } => "Sign it with the trusted key, or trust the key that signed it.",
        SignatureError::Malformed(_) | SignatureError::Changed { .. } | SignatureError::Invalid { .. } => {
            "Sign the final image again: it was changed or cut after signing."
        }
    }
}

fn release_advice(error: &ReleaseError) -> &'static str {
    match error {
        ReleaseError::UntrustedKey => {
            "Give the key that signed it with --release-key, or sign it with a trusted one."
        }
        ReleaseError::KeyPurpose => "Sign it with a key that may sign this, or trust its key for it.",
        ReleaseError::KeyRevoked | ReleaseError::KeyRetired { .. } => {
            "Sign it with a key that is still trusted."
        }
        ReleaseError::NotARelease => "Give the release.suit that rootcast release create wrote.",
        _ => "Copy or make the release again: this file is damaged, or another tool's.",
    }
}

fn patch_advice(error: &PatchError) -> &'static str {
    match error {
        PatchError::NotAPatch => "Give a patch as rootcast delta makes it.",
        PatchError::Version { .. } => "Make the patch again with this version of rootcast.",
        PatchError::WrongBase { .. } => {
            "Give the image that the patch was made from; rootcast inspect shows an image's hash."
        }
        PatchError::Truncated => "Copy the whole patch again.",
        PatchError::TooLong { .. } => "Make a patch to a smaller image.",
        _ => "Copy or make the patch again: it is damaged, or the old image is.",
    }
}

fn sign_advice(error: &SignError) -> &'static str {
    match error {
        SignError::NoPrivateKey => {
            "Give the private key as PEM, as rootcast keygen or espsecure generate-signing-key writes it."
        }
        SignError::NoKey => "Give the key as PEM, as rootcast keygen --release writes it.",
        SignError::EncryptedKey => "Remove the password first: openssl pkey -in KEY.pem -out PLAIN.pem.",
        SignError::UnsupportedKey { .. } | SignError::BrokenKey => "Make a new one: rootcast keygen DIR.",
        SignError::NotAnApp(error) => image_advice(error),
        SignError::TrailingBytes { .. } => "Sign the application's image as the build makes it.",
        SignError::KeyCount { .. } => "An image carries up to three signatures: give fewer keys.",
        SignError::DuplicateKey { .. } => "Give each key once; leave --append out to sign afresh.",
        SignError::NotSigned => "Leave --append out to sign it for the first time.",
        SignError::Changed => "Leave --append out to sign it afresh.",
        SignError::NotAReleaseKey => "Make a key for releases: rootcast keygen DIR --release.",
        _ => "Try again.",
    }
}
