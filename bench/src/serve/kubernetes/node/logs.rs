//! `GET pods/NAME/log`: the node's `containerLogs`, streamed.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;

use super::endpoint::Endpoint;
use super::{Answer, Call, head, location, refuse};
use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::Status;

impl Call {
    /// Answers with a container's log. The node's connection ends with the client's.
    pub async fn log(self, kubernetes: &Kubernetes, namespace: &str, pod: &str) -> Result<Response, Status> {
        let asked: BTreeMap<String, String> =
            head::decode(self.uri.query().unwrap_or_default()).into_iter().collect();
        let query = query(pod, &asked)?;
        let container = asked.get("container").map_or("", String::as_str);
        let located = kubernetes.read(|cluster| location::of_log(cluster, namespace, pod, container))?;
        let Some(located) = located else { return Ok(nothing()) };
        let permit = kubernetes.nodes.admit()?;
        let mut path = format!("/containerLogs/{}", located.path);
        if !query.is_empty() {
            path.push_str(&format!("?{query}"));
        }
        let request = self.own_request(&located.endpoint, &path)?;
        let answer = kubernetes.nodes.connector.ask(&located.endpoint, request).await;
        let answer = answer.map_err(|error| error.told("Get", &located.endpoint, &path))?;
        let code = answer.response.status();
        if code.is_redirection() {
            return Err(redirected(&answer, &located.endpoint));
        }
        // 200 to 206 is a log, as kube-apiserver sees it; the text of anything else says why there is none.
        if !(200..=206).contains(&code.as_u16()) {
            return Err(refuse::of_log(code, pod, &answer.text(refuse::TEXT_BYTES_MAX).await));
        }
        Ok(stream(answer, permit))
    }

    /// What the API server asks by itself. It asks for gzip as Go's library does, if the client would understand it: what
    /// comes is passed on as it is.
    fn own_request(&self, endpoint: &Endpoint, path: &str) -> Result<Request<Body>, Status> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() =
            path.parse().map_err(|_| Status::bad_request("the path of the log is no path"))?;
        *request.headers_mut() = head::own(&endpoint.authority());
        let accepted = self.headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        if accepted.is_some_and(|accepted| accepted.contains("gzip")) {
            request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }
}

/// A pod without a node has no log, which is no error.
fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn redirected(answer: &Answer, endpoint: &Endpoint) -> Status {
    let place = answer.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let place = place.unwrap_or_default();
    let root =
        if place.starts_with('/') { format!("https://{}", endpoint.authority()) } else { String::new() };
    Status::internal(format!("Get \"{root}{place}\": redirects forbidden"))
}

/// The log as it comes. One that breaks off just ends, as recorded: the client has what there was.
fn stream(answer: Answer, permit: tokio::sync::OwnedSemaphorePermit) -> Response {
    let encoding = answer.response.headers().get(header::CONTENT_ENCODING).cloned();
    let body = answer.into_body().into_data_stream().map(move |data| {
        let _held = &permit;
        data
    });
    let body = body
        .take_while(|data| std::future::ready(data.is_ok()))
        .map(|data| data.map_err(std::io::Error::other));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    response
}

/// The node's query: only what is asked for, by name.
fn query(pod: &str, asked: &BTreeMap<String, String>) -> Result<String, Status> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for name in ["follow", "previous", "timestamps"] {
        // As the API's conversion has it: empty is true, and so is whatever is not a form of false.
        let unset = asked.get(name).is_none_or(|value| matches!(value.as_str(), "false" | "0"));
        if !unset {
            pairs.push((name, "true".to_owned()));
        }
    }
    for (name, least) in [("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)] {
        let Some(text) = asked.get(name).filter(|text| !text.is_empty()) else { continue };
        let number: i64 = text.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
        })?;
        if number < least {
            let bound = if least == 0 { "greater than or equal to 0" } else { "greater than 0" };
            return Err(refuse::log_option(pod, name, &format!("Invalid value: {number}: must be {bound}")));
        }
        pairs.push((name, number.to_string()));
    }
    if let Some(text) = asked.get("sinceTime").filter(|text| !text.is_empty()) {
        if pairs.iter().any(|(name, _)| *name == "sinceSeconds") {
            let why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            return Err(refuse::log_option(pod, "", why));
        }
        let time: Timestamp = text.parse().map_err(|_| {
            Status::bad_request(format!(
                "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse"
            ))
        })?;
        // In UTC and without a fraction, as recorded.
        let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
        pairs.push(("sinceTime", whole.to_string()));
    }
    Ok(head::encode(pairs.iter().map(|(name, value)| (*name, value.as_str()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Status> {
        query("probe", &head::decode(text).into_iter().collect())
    }

    #[test]
    fn options_become_the_query_that_was_recorded() {
        let cases = [
            ("container=main", ""),
            ("container=main&follow=true&tailLines=10", "follow=true&tailLines=10"),
            ("tailLines=0&previous=true&follow=false", "previous=true&tailLines=0"),
            ("timestamps=true&sinceSeconds=90&limitBytes=5", "limitBytes=5&sinceSeconds=90&timestamps=true"),
            ("sinceTime=2026-01-02T03%3A04%3A05.5%2B02%3A00", "sinceTime=2026-01-02T01%3A04%3A05Z"),
        ];
        for (asked, sent) in cases {
            assert_eq!(read(asked).unwrap(), sent, "{asked}");
        }
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let cases = [
            ("tailLines=-1", 422),
            ("sinceSeconds=0", 422),
            ("limitBytes=0", 422),
            ("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", 422),
            ("tailLines=x", 400),
            ("sinceTime=yesterday", 400),
        ];
        for (asked, code) in cases {
            assert_eq!(read(asked).unwrap_err().code, code, "{asked}");
        }
    }
}
