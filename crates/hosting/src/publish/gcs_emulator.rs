//! Google's storage emulators answer without the `ETag` and `Last-Modified` that the real service always sends and `object_store`
//! insists on.
//!
//! This adds them, for emulators only. Nothing is decided by it: what was stored is compared byte by byte.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use reqwest::header::{ETAG, HeaderValue, LAST_MODIFIED};

#[derive(Debug, Default)]
pub(super) struct EmulatorConnector(ReqwestConnector);

impl HttpConnector for EmulatorConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(EmulatorService(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct EmulatorService(HttpClient);

#[async_trait::async_trait]
impl HttpService for EmulatorService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut response = self.0.execute(request).await?;
        let now = httpdate::fmt_http_date(std::time::SystemTime::now());
        if let Ok(now) = HeaderValue::from_str(&now) {
            response.headers_mut().entry(LAST_MODIFIED).or_insert(now);
        }
        response.headers_mut().entry(ETAG).or_insert(HeaderValue::from_static("\"emulator\""));
        Ok(response)
    }
}
