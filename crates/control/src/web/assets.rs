//! Style, script and icon, which are in the program. Their addresses change with their content, so that browsers may keep
//! them for ever.

use super::error::Refused;
use crate::id::sha256_hex;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;

const STYLE: &str = include_str!("assets/rootcast.css");
const SCRIPT: &str = include_str!("assets/rootcast.js");
const ICON: &str = include_str!("assets/icon.svg");

fn address(name: &str, content: &str) -> String {
    let hash = sha256_hex(content.as_bytes());
    format!("/assets/{name}?{}", hash.get(..12).unwrap_or_default())
}

/// Where the style is.
pub static STYLE_AT: LazyLock<String> = LazyLock::new(|| address("rootcast.css", STYLE));
/// Where the script is.
pub static SCRIPT_AT: LazyLock<String> = LazyLock::new(|| address("rootcast.js", SCRIPT));
/// Where the icon is.
pub static ICON_AT: LazyLock<String> = LazyLock::new(|| address("icon.svg", ICON));

/// One of them.
pub async fn serve(Path(name): Path<String>) -> Response {
    let (kind, content) = match name.as_str() {
        "rootcast.css" => ("text/css; charset=utf-8", STYLE),
        "rootcast.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Refused::new(StatusCode::NOT_FOUND, "There is no such file.").into_response(),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, content).into_response()
}
