//! A "no" to a request: a status and a line of text, as a kubelet answers. `kubectl logs` shows the text of 400, 403 and
//! 500, `kubectl exec` that of all.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::lookup::Ending;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    /// One line without its end; holds nothing secret.
    pub(crate) text: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Refused {
        Refused { status, text: text.into() }
    }

    /// 400: the request itself is wrong.
    pub(crate) fn bad_request(text: impl Into<String>) -> Refused {
        Refused::new(StatusCode::BAD_REQUEST, text)
    }

    /// 404: there is no such thing here.
    pub(crate) fn not_found(text: impl Into<String>) -> Refused {
        Refused::new(StatusCode::NOT_FOUND, text)
    }

    /// 500: it went wrong here or in the cloud.
    pub(crate) fn internal(text: impl Into<String>) -> Refused {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl From<Ending> for Refused {
    fn from(ending: Ending) -> Refused {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, ending.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", self.text))
            .into_response()
    }
}
