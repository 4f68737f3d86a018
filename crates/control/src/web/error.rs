//! Pages that say what is wrong.

use super::layout::{Frame, page};
use super::session::Session;
use crate::api::problem::Problem;
use crate::service::ServiceError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

/// Why a page is not shown or a form not carried out.
#[derive(Clone, Debug)]
pub struct Refused {
    status: StatusCode,
    text: String,
    /// Where to log in, if that is all that is missing.
    log_in_at: Option<String>,
}

impl Refused {
    /// A refusal with this status.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), log_in_at: None }
    }

    /// A page that needs a log-in first.
    pub fn log_in_at(place: String) -> Self {
        Self { log_in_at: Some(place), ..Self::new(StatusCode::SEE_OTHER, "") }
    }

    /// What is wrong.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The page that says it.
    pub fn page(&self, session: Option<&Session>) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            status if status.is_server_error() => "Not now",
            _ => "That does not work",
        };
        let content = html! {
            h1 { (title) }
            p.notice.bad role="alert" { (self.text) }
            p { a href="/" { "To the fleet" } }
        };
        (self.status, page(&Frame::new(title, session), &content)).into_response()
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        // The API has the words and the status for each.
        let problem = Problem::from(error);
        let status = problem.status();
        Self::new(status, problem.detail)
    }
}

impl IntoResponse for Refused {
    /// Without a page: the guard knows who asks, and makes one.
    fn into_response(self) -> Response {
        if let Some(place) = &self.log_in_at {
            return Redirect::to(place).into_response();
        }
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
