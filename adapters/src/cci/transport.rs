//! One request, one answer: authenticates, sends, bounds what is read, and tells "never sent" from "lost".

mod held_back;
mod streams;

use std::time::Duration;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};
use engine::{LaterReason, Micros, Outcome, Refusal, RefusalClass};
use parking_lot::RwLock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, Url};

use super::client::Answered;
use super::config::{CciConfig, bare_url};
use super::credentials::{AccessKey, AccessKeyFiles, Auth, Secret};
use super::error::{Intent, Problem};
use super::iam::{Project, Token, Tokens};
use super::{Error, sign};
use crate::{Clock, cut};
use held_back::HeldBack;

/// Largest answer that is read: a full page of a list, at 32 KiB a pod.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest body that is sent: an object is at most 1.5 MiB in the API server, and our mark is small.
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Part of the whole time that connecting may take, so that a connect that hangs is told from a lost answer.
const CONNECT_SHARE: u32 = 3;

/// Connections kept for the next call: a poll and a few changes at a time. A burst opens more and closes them.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// How long they are kept: longer than a poll period.
const IDLE_CONNECTION_LIFE: Duration = Duration::from_secs(15);

/// A difference of clocks that a refused signature is put down to; the gateway bears 15 minutes.
const SKEW_S_MIN: i64 = 60;

/// What we call ourselves.
const AGENT: &str = concat!("burst-agent/", env!("CARGO_PKG_VERSION"));

const AUTH_TOKEN: &str = "x-auth-token";
const PROJECT_ID: &str = "x-project-id";
const SECURITY_TOKEN: &str = "x-security-token";

/// What went wrong below the API.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request never left.
    NotSent(String),
    /// The request left, or may have; its answer did not arrive whole.
    Lost(String),
    /// It was not tried; the outcome says why.
    NotTried(Outcome),
}

impl Fault {
    fn not_tried(class: RefusalClass, message: String) -> Fault {
        Fault::NotTried(Outcome::Refused(Refusal { class, code: String::new(), message }))
    }

    pub(super) fn outcome(self, intent: Intent) -> Outcome {
        let transient = |message| Outcome::Later { wait_ms: None, reason: LaterReason::Transient, message };
        match (self, intent) {
            (Fault::NotTried(outcome), Intent::Read | Intent::Write) => outcome,
            (Fault::NotSent(message), Intent::Read | Intent::Write) => transient(message),
            (Fault::Lost(message), Intent::Read) => transient(message),
            (Fault::Lost(message), Intent::Write) => Outcome::Unknown { message },
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The answer read as an error.
    pub(super) fn problem(&self, secrets: &[&str]) -> Problem {
        let retry_after = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Problem::read(self.status, retry_after, &self.body, Clock::wall(), secrets)
    }
}

/// The HTTP client, with every bound set.
pub(super) struct Http {
    client: Client,
    /// For streams: without an end of a call's time, since every step has its own, and with little read ahead.
    streams: HeldBack,
}

impl Http {
    pub(super) fn new(config: &CciConfig) -> Result<Http, Error> {
        let client = builder(config)?.timeout(config.request_timeout).build().map_err(Error::Http)?;
        Ok(Http { client, streams: HeldBack::new(config)? })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends and reads the answer up to its bound.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Reply, Fault> {
        whole(request.send().await.map_err(unanswered)?).await
    }
}

/// What became of a request that got no answer.
fn unanswered(error: reqwest::Error) -> Fault {
    let unsent = error.is_connect() || error.is_builder();
    let message = describe(error);
    if unsent { Fault::NotSent(message) } else { Fault::Lost(message) }
}

/// An answer read to its end, up to its bound.
async fn whole(mut response: Response) -> Result<Reply, Fault> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Fault::Lost(describe(error)))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Fault::Lost(format!("the answer is longer than {BODY_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

/// What every client of ours keeps to.
fn builder(config: &CciConfig) -> Result<ClientBuilder, Error> {
    let builder = Client::builder()
        .user_agent(AGENT)
        .connect_timeout(config.request_timeout / CONNECT_SHARE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_LIFE)
        // A redirect would carry the token to a host that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy();
    let Some(proxy) = &config.proxy else { return Ok(builder) };
    // It sees no credential: calls to a service with TLS go through it as a tunnel.
    let proxy = bare_url("proxy", proxy)?;
    Ok(builder.proxy(reqwest::Proxy::all(proxy).map_err(Error::Http)?))
}

/// An error with its causes, in one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    causes(&error.without_url())
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    cut(&text)
}

/// A call to CCI, not yet authenticated.
#[derive(Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Path below the endpoint; made of checked names only.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    /// JSON, or empty.
    pub body: Bytes,
    /// Texts in the body that an error answer may quote and nobody should read there.
    pub secrets: Vec<String>,
}

impl Call {
    pub(super) fn new(method: Method, path: String) -> Call {
        Call { method, path, query: Vec::new(), body: Bytes::new(), secrets: Vec::new() }
    }

    pub(super) fn get(path: String) -> Call {
        Call::new(Method::GET, path)
    }

    pub(super) fn post(path: String, body: Vec<u8>) -> Call {
        Call { body: body.into(), ..Call::new(Method::POST, path) }
    }
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer.
    Fault(Fault),
    /// The answer was a "no".
    Problem(Problem),
}

impl Failure {
    pub(super) fn outcome(self, intent: Intent) -> Outcome {
        match self {
            Failure::Fault(fault) => fault.outcome(intent),
            Failure::Problem(problem) => problem.outcome(intent),
        }
    }

    /// The outcome, and the wait that it has no room for.
    pub(super) fn answered(self, intent: Intent) -> Answered {
        let asked_ms = match &self {
            Failure::Fault(_) => None,
            Failure::Problem(problem) => problem.wait_ms,
        };
        let outcome = self.outcome(intent);
        let rest_ms = asked_ms.filter(|_| matches!(outcome, Outcome::Unknown { .. }));
        Answered { outcome, rest_ms }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Fault(fault)
    }
}

/// What authenticates calls.
enum Credential {
    AccessKey(Signer),
    Tokens(Box<Tokens>),
}

/// The access key, and how far the gateway's clock is from ours.
struct Signer {
    files: AccessKeyFiles,
    key: RwLock<Arc<AccessKey>>,
    skew_s: AtomicI64,
}

/// What authenticated one call, so that its refusal can be told.
enum Used {
    AccessKey(Arc<AccessKey>),
    Token(Arc<Token>),
}

impl Used {
    fn secrets(&self) -> Vec<&str> {
        match self {
            Used::AccessKey(key) => key.secrets(),
            Used::Token(token) => vec![token.value.expose()],
        }
    }
}

/// Sends calls to CCI.
pub(super) struct Transport {
    http: Http,
    endpoint: Url,
    project_id: String,
    credential: Credential,
}

impl Transport {
    pub(super) fn new(config: &CciConfig, auth: Auth) -> Result<Transport, Error> {
        let http = Http::new(config)?;
        let endpoint = config.base_url("endpoint", &config.endpoint)?;
        let credential = match auth {
            Auth::AccessKey(files) => Credential::AccessKey(Signer::new(files)?),
            Auth::Password(files) => {
                // Read again for each token; an unreadable file is better told now.
                files.read()?;
                let project = match config.project_name.as_str() {
                    "" => Project::Id(config.project_id.clone()),
                    name => Project::Name(name.to_owned()),
                };
                let iam = config.base_url("IAM endpoint", &config.iam_endpoint)?;
                Credential::Tokens(Box::new(Tokens::new(files, iam, project)))
            }
        };
        Ok(Transport { http, endpoint, project_id: config.project_id.clone(), credential })
    }

    /// Makes a call, and once more when a fresh credential may help. `Ok` is an answer that says success.
    pub(super) async fn call(&self, call: &Call) -> Result<Reply, Failure> {
        if call.body.len() > REQUEST_BYTES_MAX {
            let message = format!("the object is longer than {REQUEST_BYTES_MAX} bytes");
            return Err(Fault::not_tried(RefusalClass::NotAdmitted, message).into());
        }
        let (used, reply) = self.attempt(call).await?;
        let Some(problem) = problem_of(call, &used, &reply) else { return Ok(reply) };
        if !problem.is_unauthenticated() || !self.renew(&used, &reply).await {
            return Err(Failure::Problem(problem));
        }
        let (used, reply) = self.attempt(call).await?;
        problem_of(call, &used, &reply).map_or(Ok(reply), |problem| Err(Failure::Problem(problem)))
    }

    async fn attempt(&self, call: &Call) -> Result<(Used, Reply), Fault> {
        let (used, request) = self.authenticated(self.http.client(), call).await?;
        Ok((used, self.http.send(request).await?))
    }

    /// The request of a call, with a credential.
    async fn authenticated(&self, client: &Client, call: &Call) -> Result<(Used, RequestBuilder), Fault> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}{}", self.endpoint.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.set_query(Some(&sign::sent_query(&call.query)));
        }
        let (used, headers) = match &self.credential {
            Credential::AccessKey(signer) => signer.sign(call, &url, &self.project_id)?,
            Credential::Tokens(tokens) => {
                let token = tokens.token(&self.http).await.map_err(Fault::NotTried)?;
                let headers = HeaderMap::from_iter([(
                    HeaderName::from_static(AUTH_TOKEN),
                    sensitive(token.value.expose())?,
                )]);
                (Used::Token(token), headers)
            }
        };
        let mut request = client.request(call.method.clone(), url).headers(headers);
        if !call.body.is_empty() {
            // Of the kinds of patch that every generation takes, the one that merges containers by name.
            let kind = match call.method {
                Method::PATCH => "application/strategic-merge-patch+json",
                _ => "application/json",
            };
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind)).body(call.body.clone());
        }
        Ok((used, request))
    }

    /// Whether there is now another credential than the refused one.
    async fn renew(&self, used: &Used, reply: &Reply) -> bool {
        match (&self.credential, used) {
            (Credential::Tokens(tokens), Used::Token(token)) => tokens.refused(token.generation).await,
            (Credential::AccessKey(signer), Used::AccessKey(key)) => signer.renew(key, reply),
            (Credential::Tokens(_), Used::AccessKey(_)) | (Credential::AccessKey(_), Used::Token(_)) => false,
        }
    }
}

fn problem_of(call: &Call, used: &Used, reply: &Reply) -> Option<Problem> {
    if (200..300).contains(&reply.status) {
        return None;
    }
    let mut secrets = used.secrets();
    secrets.extend(call.secrets.iter().map(String::as_str));
    Some(reply.problem(&secrets))
}

/// A header value that is not shown in debug output.
fn sensitive(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let message = "the credential holds characters that no header can carry".to_owned();
        Fault::not_tried(RefusalClass::OperatorAction, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Signer {
    fn new(files: AccessKeyFiles) -> Result<Signer, Error> {
        let key = files.read()?;
        if key.security_token.is_none() {
            tracing::warn!("the access key is a permanent one; a temporary one does less harm when it leaks");
        }
        Ok(Signer { files, key: RwLock::new(Arc::new(key)), skew_s: AtomicI64::new(0) })
    }

    fn sign(&self, call: &Call, url: &Url, project_id: &str) -> Result<(Used, HeaderMap), Fault> {
        let key = self.key.read().clone();
        let skew_us = self.skew_s.load(Ordering::Relaxed) * 1_000_000;
        let now = Micros(Clock::wall().0.saturating_add_signed(skew_us));
        let date = sign::date_header(now);
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut signed =
            vec![("host", host.as_str()), (sign::DATE_HEADER, date.as_str()), (PROJECT_ID, project_id)];
        let security_token = key.security_token.as_ref().map(Secret::expose);
        signed.extend(security_token.map(|token| (SECURITY_TOKEN, token)));
        let request = sign::Signable {
            method: call.method.as_str(),
            path: url.path(),
            query: &call.query,
            headers: &signed,
            body: &call.body,
        };
        let authorization = sign::authorization(&request, key.access_key.expose(), key.secret_key.expose());

        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, sensitive(&authorization)?);
        headers.insert(sign::DATE_HEADER, sensitive(&date)?);
        headers.insert(PROJECT_ID, sensitive(project_id)?);
        if let Some(token) = security_token {
            headers.insert(SECURITY_TOKEN, sensitive(token)?);
        }
        Ok((Used::AccessKey(key), headers))
    }

    /// Takes up a rotated key or the gateway's clock, if either explains the refusal. The gateway locks keys
    /// whose signatures keep failing: the same request is not signed the same way twice.
    fn renew(&self, refused: &AccessKey, reply: &Reply) -> bool {
        match self.files.read() {
            Ok(key) if !key.equals(refused) => {
                *self.key.write() = Arc::new(key);
                return true;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the access key cannot be read again"),
        }
        let date = reply.headers.get(DATE).and_then(|date| date.to_str().ok());
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let Some(theirs) = date.and_then(|date| parser.parse_timestamp(date).ok()) else { return false };
        let skew_s = theirs.as_second() - Clock::wall().as_s();
        let before_s = self.skew_s.swap(skew_s, Ordering::Relaxed);
        (skew_s - before_s).abs() > SKEW_S_MIN
    }
}
