//! The OpenAPI document for people, rendered once when the program starts: no script, nothing from elsewhere.

use super::Site;
use super::layout::{Frame, page};
use super::session::Session;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::openapi::OpenApi;

/// The page.
pub async fn show(State(site): State<Site>, session: Option<Extension<Session>>) -> Response {
    // It was made by `render` and by nobody else.
    let content = PreEscaped(site.docs.to_string());
    let session = session.map(|Extension(session)| session);
    page(&Frame::new("API", session.as_ref()), &content)
}

/// An operation: method, path, and the rest.
type Operation<'a> = (&'a str, &'a str, &'a Value);

/// The document as markup.
pub fn render(document: &OpenApi) -> Markup {
    let document = serde_json::to_value(document).unwrap_or_default();
    let empty = Map::new();
    let object = |pointer: &str| document.pointer(pointer).and_then(Value::as_object).unwrap_or(&empty);
    let mut by_tag: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for (path, item) in object("/paths") {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or("other");
            by_tag.entry(tag).or_default().push((method, path, operation));
        }
    }
    html! {
        h1 { "API" }
        p.lead { (text(&document, "/info/description")) }
        p {
            "Every request carries " code { "Authorization: Bearer rc_…" } ". Errors are "
            code { "application/problem+json" } " (RFC 9457). The same for programs: "
            a href="/api/v1/openapi.json" { "openapi.json" } " (OpenAPI " (text(&document, "/openapi")) ")."
        }
        nav.contents aria-label="Parts of the API" {
            ul {
                @for tag in by_tag.keys() { li { a href={ "#" (tag) } { (tag) } } }
                li { a href="#schemas" { "schemas" } }
            }
        }
        @for (tag, operations) in &by_tag {
            section aria-labelledby=(tag) {
                h2 id=(tag) { (tag) }
                @for operation in operations { (one(operation)) }
            }
        }
        section aria-labelledby="schemas" {
            h2 #schemas { "schemas" }
            @for (name, schema) in object("/components/schemas") { (schema_of(name, schema)) }
        }
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn one((method, path, operation): &Operation<'_>) -> Markup {
    let none = Vec::new();
    let parameters = operation.get("parameters").and_then(Value::as_array).unwrap_or(&none);
    let responses = operation.get("responses").and_then(Value::as_object);
    let body = operation.pointer("/requestBody/content").and_then(Value::as_object);
    html! {
        details.operation {
            summary { span class={ "method " (method) } { (method.to_uppercase()) } " " code { (path) } " " span.dim { (text(operation, "/summary")) } }
            @if !text(operation, "/description").is_empty() { p { (text(operation, "/description")) } }
            @if !parameters.is_empty() {
                dl.facts {
                    @for parameter in parameters {
                        div {
                            dt { code { (text(parameter, "/name")) } " " span.dim { (text(parameter, "/in")) } }
                            dd { (text(parameter, "/description")) " " span.dim { (parameter.get("schema").map(kind).unwrap_or_default()) } }
                        }
                    }
                }
            }
            @for (content_type, media) in body.into_iter().flatten() {
                p { "Body: " code { (content_type) } " " (media.get("schema").map(kind).unwrap_or_default()) }
            }
            ul.responses {
                @for (status, response) in responses.into_iter().flatten() {
                    li { b { (status) } " " (text(response, "/description")) " " (answer(response)) }
                }
            }
        }
    }
}

/// What an answer holds.
fn answer(response: &Value) -> Markup {
    let content = response.get("content").and_then(Value::as_object);
    html! {
        @for (content_type, media) in content.into_iter().flatten() {
            @if content_type != "application/problem+json" {
                span.dim { (content_type) " " } (media.get("schema").map(kind).unwrap_or_default())
            }
        }
    }
}

/// A schema in a word or two, linked where it has a name.
fn kind(schema: &Value) -> Markup {
    let name = text(schema, "/$ref").rsplit('/').next().unwrap_or_default();
    let any = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array);
    html! {
        @if !name.is_empty() { a href={ "#schema-" (name) } { (name) } }
        @else if let Some(any) = any {
            @for (index, each) in any.iter().enumerate() { @if index > 0 { " or " } (kind(each)) }
        }
        @else if let Some(items) = schema.get("items") { "list of " (kind(items)) }
        @else if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            @for (index, value) in values.iter().enumerate() { @if index > 0 { ", " } code { (value) } }
        }
        @else {
            @match schema.get("type") {
                Some(Value::Array(types)) => {
                    @for (index, each) in types.iter().filter_map(Value::as_str).enumerate() { @if index > 0 { " or " } (each) }
                }
                Some(Value::String(name)) => (name),
                _ => "",
            }
            @for (key, word) in [("minimum", "from"), ("maximum", "to")] {
                @if let Some(limit) = schema.get(key) { " " (word) " " (limit) }
            }
        }
    }
}

fn schema_of(name: &str, schema: &Value) -> Markup {
    let properties = schema.get("properties").and_then(Value::as_object);
    let needed: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    html! {
        section.schema id={ "schema-" (name) } {
            h3 { code { (name) } }
            @if !text(schema, "/description").is_empty() { p.dim { (text(schema, "/description")) } }
            @if let Some(properties) = properties {
                dl.facts {
                    @for (field, schema) in properties {
                        div {
                            dt { code { (field) } @if needed.contains(&field.as_str()) { span.dim { " needed" } } }
                            dd { (kind(schema)) " " span.dim { (text(schema, "/description")) } }
                        }
                    }
                }
            } @else { p { (kind(schema)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_document_is_on_the_page() {
        let document = crate::api::document();
        let page = render(&document).into_string();
        let paths = serde_json::to_value(&document).unwrap();
        for path in paths["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path.as_str()), "{path}");
        }
        assert!(!page.contains("https://"), "nothing from elsewhere");
    }
}
