//! Opening S3, Google and Azure with the credentials that their own tools would use.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{Certificate, ClientOptions, RetryConfig};

use super::aws_profile::Profile;
use super::gcs_emulator::EmulatorConnector;
use super::http::{chain, use_ring};
use super::object::Bucket;
use super::{Destination, Environment, PublishError, PublishOptions};

/// Tries of one request at a store, and how long all of them may take.
const RETRIES: usize = 4;
const RETRY_TIME: Duration = Duration::from_secs(90);
const DEFAULT_AWS_REGION: &str = "us-east-1";

const AZURE_SIGNING_ADVICE: &str = "it needs the account's key (AZURE_STORAGE_ACCOUNT_KEY)";

/// Opens the store of a destination; the prefix comes back with it.
pub(super) fn open<'a>(
    destination: &'a Destination,
    options: &PublishOptions,
) -> Result<(Bucket, &'a str), PublishError> {
    use_ring();
    match destination {
        Destination::S3 { bucket, prefix } => Ok((s3(bucket, options)?, prefix)),
        Destination::Gcs { bucket, prefix } => Ok((gcs(bucket, options)?, prefix)),
        Destination::Azure { container, prefix } => Ok((azure(container, options)?, prefix)),
        other => {
            Err(PublishError::Destination { given: format!("{other:?}"), reason: "it is no object store" })
        }
    }
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default() }
}

fn client(options: &PublishOptions, allow_http: bool) -> Result<ClientOptions, PublishError> {
    let mut client =
        ClientOptions::new().with_allow_http(allow_http).with_connect_timeout(Duration::from_secs(10));
    for der in &options.authorities {
        let certificate = Certificate::from_der(der).map_err(|error| refused("the CA certificate", error))?;
        client = client.with_root_certificate(certificate);
    }
    Ok(client)
}

fn s3(bucket: &str, options: &PublishOptions) -> Result<Bucket, PublishError> {
    let place = format!("s3://{bucket}");
    let environment = &options.environment;
    let profile = Profile::read(environment);
    let endpoint = environment
        .first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
        .or_else(|| profile.get("endpoint_url"))
        .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    let region = environment
        .first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
        .or_else(|| profile.get("region"))
        .unwrap_or(DEFAULT_AWS_REGION)
        .to_owned();

    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.beginning("AWS_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let by_environment = environment.get("AWS_ACCESS_KEY_ID").is_some();
    let by_machine = environment
        .first(&[
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_METADATA_ENDPOINT",
        ])
        .is_some();
    match (profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")) {
        _ if by_environment || by_machine => {}
        (Some(id), Some(secret)) => {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            if let Some(token) = profile.get("aws_session_token") {
                builder = builder.with_token(token);
            }
        }
        _ => return Err(no_aws_credentials(place, environment, &profile)),
    }
    builder = builder.with_bucket_name(bucket).with_region(&region).with_retry(retry()).with_client_options(
        client(options, endpoint.as_ref().is_some_and(|url| url.starts_with("http://")))?,
    );
    let web = match &endpoint {
        Some(endpoint) => {
            builder = builder.with_endpoint(endpoint);
            format!("{endpoint}/{bucket}")
        }
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    };
    let store = Arc::new(builder.build().map_err(|error| refused(&place, error))?);
    Ok(Bucket { store: store.clone(), signer: store, place, web, cannot_sign: None })
}

fn no_aws_credentials(place: String, environment: &Environment, profile: &Profile) -> PublishError {
    let advice = match profile.needs() {
        Some(what) => format!(
            "the profile {:?} needs {what}; run: eval \"$(aws configure export-credentials --profile {} --format env)\"",
            profile.name, profile.name
        ),
        None if environment.get("AWS_PROFILE").is_some() => {
            format!("the profile {:?} has no aws_access_key_id and aws_secret_access_key", profile.name)
        }
        None => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run aws configure; on a machine \
                 with a role, set AWS_METADATA_ENDPOINT=http://169.254.169.254"
            .to_owned(),
    };
    PublishError::NoCredentials { place, advice }
}

fn gcs(bucket: &str, options: &PublishOptions) -> Result<Bucket, PublishError> {
    let place = format!("gs://{bucket}");
    let environment = &options.environment;
    // `STORAGE_EMULATOR_HOST` is how Google's own libraries are pointed to an emulator; it wants no credentials.
    let emulator = environment.get("STORAGE_EMULATOR_HOST").map(|host| match host.contains("://") {
        true => host.trim_end_matches('/').to_owned(),
        false => format!("http://{host}"),
    });
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in environment.beginning("GOOGLE_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let key_given = environment
        .first(&["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"])
        .is_some();
    let usual =
        environment.home().map(|home| home.join(".config/gcloud/application_default_credentials.json"));
    let other_given = environment.first(&["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BEARER_TOKEN"]).is_some();
    match &emulator {
        // The form that object_store documents for emulators: an account without a key that asks for no token.
        Some(emulator) => {
            let account = serde_json::json!({
                "gcs_base_url": emulator, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": "",
            });
            builder = builder
                .with_service_account_key(account.to_string())
                .with_http_connector(EmulatorConnector::default());
        }
        None if key_given || other_given => {}
        None => match usual.filter(|path| path.exists()) {
            Some(path) => builder = builder.with_application_credentials(path.to_string_lossy()),
            None => {
                return Err(PublishError::NoCredentials {
                    place,
                    advice: "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run gcloud auth application-default login"
                        .to_owned(),
                });
            }
        },
    }
    let web = emulator.clone().unwrap_or_else(|| "https://storage.googleapis.com".to_owned());
    let builder = builder
        .with_bucket_name(bucket)
        .with_retry(retry())
        .with_client_options(client(options, emulator.is_some())?);
    let store = Arc::new(builder.build().map_err(|error| refused(&place, error))?);
    let cannot_sign = (emulator.is_some() || environment.get("GOOGLE_BEARER_TOKEN").is_some())
        .then_some("it needs a service account's key (GOOGLE_APPLICATION_CREDENTIALS)");
    Ok(Bucket { store: store.clone(), signer: store, place, web: format!("{web}/{bucket}"), cannot_sign })
}

fn azure(container: &str, options: &PublishOptions) -> Result<Bucket, PublishError> {
    let place = format!("az://{container}");
    let environment = &options.environment;
    let connection =
        ConnectionString::read(environment.get("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default());
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in environment.beginning("AZURE_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let account = connection
        .get("AccountName")
        .or_else(|| environment.first(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]))
        .ok_or_else(|| PublishError::NoCredentials {
            place: place.clone(),
            advice: "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY".to_owned(),
        })?
        .to_owned();
    let key = connection
        .get("AccountKey")
        .or_else(|| environment.first(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"]))
        .map(str::to_owned);
    let other = environment
        .first(&[
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_CLIENT_ID",
            "AZURE_STORAGE_TOKEN",
            "AZURE_USE_AZURE_CLI",
        ])
        .is_some();
    match &key {
        Some(key) => builder = builder.with_access_key(key),
        None if other => {}
        None => {
            return Err(PublishError::NoCredentials {
                place,
                advice: format!(
                    "set AZURE_STORAGE_ACCOUNT_KEY for the account {account}, or AZURE_STORAGE_SAS_TOKEN, or AZURE_USE_AZURE_CLI=true \
                     after az login"
                ),
            });
        }
    }
    let endpoint = connection
        .get("BlobEndpoint")
        .or_else(|| environment.first(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]))
        .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    let allow_http = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let builder = builder
        .with_account(&account)
        .with_container_name(container)
        .with_retry(retry())
        .with_client_options(client(options, allow_http)?);
    let store = Arc::new(builder.build().map_err(|error| refused(&place, error))?);
    let web = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
    let cannot_sign = key.is_none().then_some(AZURE_SIGNING_ADVICE);
    Ok(Bucket { store: store.clone(), signer: store, place, web: format!("{web}/{container}"), cannot_sign })
}

/// `Name=Value;Name=Value`, as Azure's portal gives it.
struct ConnectionString<'a>(Vec<(&'a str, &'a str)>);

impl<'a> ConnectionString<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.split(';').filter_map(|pair| pair.split_once('=')).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
            .map(|(_, value)| *value)
    }
}

fn refused(place: &str, error: impl std::error::Error) -> PublishError {
    PublishError::Refused { place: place.to_owned(), detail: chain(&error) }
}
