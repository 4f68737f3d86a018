//! What the emulator of Azure Blob Storage needs besides publishing: an account and a container.
#![allow(dead_code)]

/// The emulator has one account with a published key.
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The blob service's address of that account at an emulator.
pub fn endpoint(emulator: &str) -> String {
    format!("{emulator}/devstoreaccount1")
}

/// The connection string, as Azure's portal gives one.
pub fn connection(emulator: &str) -> String {
    format!("AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};BlobEndpoint={};", endpoint(emulator))
}

/// Containers are made only for signed requests; the shared key scheme is short enough to do here.
pub async fn make_container(emulator: &str, container: &str) {
    use base64::Engine as _;
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let text = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n/devstoreaccount1/devstoreaccount1/{container}\nrestype:container"
    );
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &base64.decode(AZURITE_KEY).unwrap());
    let signature = base64.encode(ring::hmac::sign(&key, text.as_bytes()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::Client::new()
        .put(format!("{}/{container}?restype=container", endpoint(emulator)))
        .header("x-ms-date", &date)
        .header("x-ms-version", "2021-08-06")
        .header("authorization", format!("SharedKey devstoreaccount1:{signature}"))
        .header("content-length", "0")
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success(), "{}: {}", response.status(), response.text().await.unwrap());
}
