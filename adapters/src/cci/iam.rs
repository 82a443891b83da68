//! Tokens of IAM: fetched with a password, kept for most of their life, fetched by one caller at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use engine::{LaterReason, Outcome, Refusal};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::credentials::{Password, PasswordFiles, Secret};
use super::error::Intent;
use super::transport::{Http, Reply};
use crate::cut;

/// The header in which IAM answers with a token.
const SUBJECT_TOKEN: &str = "x-subject-token";

/// A token is renewed after 75 to 80 % of its life: early enough to survive an hour of IAM's absence, and not
/// by all agents at once.
const RENEWAL_PERMILLE: u64 = 800;
const RENEWAL_SPREAD_PERMILLE: u64 = 50;

/// How long a token lives when IAM does not say. Documented are 24 hours.
const LIFE_UNSTATED: Duration = Duration::from_secs(3_600);

/// Refused tokens are replaced at most this often: when every token is refused, a fresh one does not help.
const REPLACEMENT_PERIOD: Duration = Duration::from_secs(60);

/// Shortest wait after IAM refused the password: it locks users who try again and again.
const REFUSED_WAIT: Duration = Duration::from_secs(60);

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// A token and when it was obtained.
#[derive(Debug)]
pub(super) struct Token {
    pub value: Secret,
    /// Tells tokens apart without comparing them.
    pub generation: u64,
    renew_at: Instant,
    expires_at: Instant,
}

/// What [`Tokens`] remembers, apart from the network: pure but for the jitter of the wait between failures.
#[derive(Debug)]
struct Cache {
    token: Option<Arc<Token>>,
    generation: u64,
    replaced_at: Option<Instant>,
    failure: Option<(Outcome, Instant)>,
    waits: ExponentialBackoff,
}

impl Cache {
    fn new() -> Cache {
        let waits = ExponentialBackoffBuilder::new()
            .with_initial_interval(RETRY_FIRST)
            .with_multiplier(2.0)
            .with_max_interval(RETRY_MAX)
            .with_max_elapsed_time(None)
            .build();
        Cache { token: None, generation: 0, replaced_at: None, failure: None, waits }
    }

    /// What a caller gets without asking IAM; `None` when IAM is to be asked.
    fn without_asking(&self, now: Instant) -> Option<Result<Arc<Token>, Outcome>> {
        let token = self.token.as_ref().filter(|token| now < token.expires_at);
        if let Some(token) = token
            && now < token.renew_at
        {
            return Some(Ok(token.clone()));
        }
        let (failure, retry_at) = self.failure.as_ref()?;
        if now >= *retry_at {
            return None;
        }
        // IAM failed a moment ago. A token that is due but not expired serves on.
        Some(token.map_or_else(|| Err(with_wait(failure, *retry_at - now)), |token| Ok(token.clone())))
    }

    fn succeeded(&mut self, value: Secret, life: Duration, now: Instant) -> Arc<Token> {
        self.generation += 1;
        self.failure = None;
        self.waits.reset();
        let spread = xxh3_64(value.expose().as_bytes()) % (RENEWAL_SPREAD_PERMILLE + 1);
        let renewal = life.mul_f64((RENEWAL_PERMILLE - spread) as f64 / 1_000.0);
        let token =
            Token { value, generation: self.generation, renew_at: now + renewal, expires_at: now + life };
        let token = Arc::new(token);
        self.token = Some(token.clone());
        token
    }

    /// Notes a failure; the token in hand when it still serves, the failure otherwise.
    fn failed(&mut self, outcome: Outcome, now: Instant) -> Result<Arc<Token>, Outcome> {
        let mut wait = self.waits.next_backoff().unwrap_or(RETRY_MAX);
        match &outcome {
            Outcome::Later { wait_ms, .. } => {
                wait = wait.max(Duration::from_millis(u64::from(wait_ms.unwrap_or(0))));
            }
            Outcome::Refused(_) => wait = wait.max(REFUSED_WAIT),
            Outcome::Done(_) | Outcome::Unknown { .. } => {}
        }
        self.failure = Some((outcome.clone(), now + wait));
        match self.token.as_ref().filter(|token| now < token.expires_at) {
            Some(token) => Ok(token.clone()),
            None => Err(with_wait(&outcome, wait)),
        }
    }

    /// Drops a token that was refused, unless it was replaced already or another was a moment ago; true when
    /// trying again makes sense.
    fn refused(&mut self, generation: u64, now: Instant) -> bool {
        if self.generation != generation {
            return true;
        }
        if self.replaced_at.is_some_and(|at| now < at + REPLACEMENT_PERIOD) {
            return false;
        }
        self.replaced_at = Some(now);
        self.token = None;
        true
    }
}

/// The trouble in words, for who reads along. The outcome's own are free of secrets.
fn sentence(failure: &Outcome, wait: Duration) -> String {
    let words = match failure {
        Outcome::Refused(Refusal { code, message, .. }) if code.is_empty() => message.clone(),
        Outcome::Refused(Refusal { code, message, .. }) => format!("{code}: {message}"),
        Outcome::Later { message, .. } | Outcome::Unknown { message } => message.clone(),
        Outcome::Done(_) => "no reason".to_owned(),
    };
    format!(
        "IAM gave no token: {}; it is asked again in {} s",
        words.trim_end_matches('.'),
        wait.as_secs_f64().ceil()
    )
}

/// Says how long IAM will not be asked; a refusal stays one. What is one call too many for IAM is not for CCI, whose
/// calls learn no pace from it.
fn with_wait(outcome: &Outcome, wait: Duration) -> Outcome {
    match outcome {
        Outcome::Later { message, .. } => {
            let wait_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
            Outcome::Later { wait_ms, reason: LaterReason::Transient, message: message.clone() }
        }
        Outcome::Refused(_) | Outcome::Done(_) | Outcome::Unknown { .. } => outcome.clone(),
    }
}

/// Hands out tokens.
pub(super) struct Tokens {
    files: PasswordFiles,
    url: Url,
    project: Project,
    cache: tokio::sync::Mutex<Cache>,
}

/// What a token is for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Project {
    Name(String),
    Id(String),
}

impl Tokens {
    pub(super) fn new(files: PasswordFiles, mut iam_endpoint: Url, project: Project) -> Tokens {
        let path = format!("{}/v3/auth/tokens", iam_endpoint.path().trim_end_matches('/'));
        iam_endpoint.set_path(&path);
        iam_endpoint.set_query(Some("nocatalog=true"));
        Tokens { files, url: iam_endpoint, project, cache: tokio::sync::Mutex::new(Cache::new()) }
    }

    /// A token that is good now. Callers that come while one is being fetched wait for that one.
    ///
    /// # Errors
    /// With the outcome of whatever needed the token: nothing was sent to CCI.
    pub(super) async fn token(&self, http: &Http) -> Result<Arc<Token>, Outcome> {
        let mut cache = self.cache.lock().await;
        if let Some(answer) = cache.without_asking(Instant::now()) {
            return answer;
        }
        match self.fetch(http).await {
            Ok((value, life)) => Ok(cache.succeeded(value, life, Instant::now())),
            Err(outcome) => {
                let now = Instant::now();
                let answer = cache.failed(outcome, now);
                if let Some((failure, retry_at)) = &cache.failure {
                    tracing::warn!("{}", sentence(failure, *retry_at - now));
                }
                answer
            }
        }
    }

    /// Notes that CCI refused a token; true when trying again with another makes sense.
    pub(super) async fn refused(&self, generation: u64) -> bool {
        self.cache.lock().await.refused(generation, Instant::now())
    }

    async fn fetch(&self, http: &Http) -> Result<(Secret, Duration), Outcome> {
        let password = self.files.read().map_err(|error| Outcome::Later {
            wait_ms: None,
            reason: LaterReason::Transient,
            message: cut(&error.to_string()),
        })?;
        let body = serde_json::to_vec(&TokenRequest::new(&password, &self.project)).expect("strings encode");
        let json = HeaderValue::from_static("application/json;charset=utf8");
        let request = http.client().post(self.url.clone()).header(CONTENT_TYPE, json).body(body);
        // Fetching a token twice does no harm: for our purposes it is a read.
        let reply = http.send(request).await.map_err(|fault| fault.outcome(Intent::Read))?;
        if reply.status != 201 && reply.status != 200 {
            let secrets = [password.password.expose()];
            return Err(reply.problem(&secrets).outcome(Intent::Read));
        }
        read_token(&reply).ok_or_else(|| Outcome::Later {
            wait_ms: None,
            reason: LaterReason::Transient,
            message: "IAM answered without a token".into(),
        })
    }
}

fn read_token(reply: &Reply) -> Option<(Secret, Duration)> {
    let value = reply.headers.get(SUBJECT_TOKEN)?.to_str().ok().filter(|value| !value.is_empty())?;
    Some((Secret::new(value.to_owned()), life(&reply.body).unwrap_or(LIFE_UNSTATED)))
}

/// How long the token lives by IAM's own clock: the difference does not depend on ours.
fn life(body: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Body {
        token: Times,
    }
    #[derive(Deserialize)]
    struct Times {
        issued_at: jiff::Timestamp,
        expires_at: jiff::Timestamp,
    }
    let times = serde_json::from_slice::<Body>(body).ok()?.token;
    Duration::try_from(times.expires_at.duration_since(times.issued_at)).ok().filter(|life| !life.is_zero())
}

/// The request for a token by password (IAM API, obtaining a user token through password authentication).
#[derive(Serialize)]
struct TokenRequest<'a> {
    auth: AuthPart<'a>,
}

#[derive(Serialize)]
struct AuthPart<'a> {
    identity: Identity<'a>,
    scope: Scope<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    methods: [&'static str; 1],
    password: PasswordPart<'a>,
}

#[derive(Serialize)]
struct PasswordPart<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    password: &'a str,
    domain: Domain<'a>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Scope<'a> {
    project: &'a Project,
}

impl<'a> TokenRequest<'a> {
    fn new(password: &'a Password, project: &'a Project) -> TokenRequest<'a> {
        let user = User {
            name: password.user_name.expose(),
            password: password.password.expose(),
            domain: Domain { name: password.domain_name.expose() },
        };
        let identity = Identity { methods: ["password"], password: PasswordPart { user } };
        TokenRequest { auth: AuthPart { identity, scope: Scope { project } } }
    }
}

#[cfg(test)]
mod tests;
