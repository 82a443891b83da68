//! The identity service: tokens, their end, and the account they belong to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Cloud;
use super::chance::Chance;
use super::faults::{CallClass, FaultKind};
use super::reply::{Reply, Token};
use super::time::rfc3339_us;

/// Most tokens that are valid at once; the oldest gives way. Many more than a client that caches ever needs.
const TOKENS_MAX: usize = 1_000;

/// Who may use the cloud. The secrets never show in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key, for signatures.
    pub access_key: String,
    /// Secret key, for signatures.
    pub secret_key: String,
    /// User name, for tokens.
    pub user: String,
    /// Password, for tokens.
    pub password: String,
    /// The user's account.
    pub domain: String,
    /// The project that tokens are for: the region's name.
    pub project: String,
    /// The project's id.
    pub project_id: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Credentials whose secrets are these.
    #[must_use]
    pub fn with_secrets(access_key: String, secret_key: String, password: String) -> Credentials {
        Credentials {
            access_key,
            secret_key,
            user: "burst-agent".to_owned(),
            password,
            domain: "simulated".to_owned(),
            project: "cn-north-4".to_owned(),
            project_id: "P1".to_owned(),
        }
    }

    /// The credentials of a seed, for the simulator: no secret to anybody who knows the seed.
    pub(super) fn of_seed(chance: &mut Chance) -> Credentials {
        Credentials::with_secrets(chance.uid(), chance.uid(), chance.uid())
    }
}

/// What the identity service remembers.
#[derive(Debug)]
pub(super) struct Iam {
    credentials: Credentials,
    /// Valid tokens, by digest so that no token shows, and when they end.
    tokens: BTreeMap<[u8; 32], u64>,
    issued: u64,
}

impl Iam {
    pub(super) fn new(credentials: Credentials) -> Iam {
        Iam { credentials, tokens: BTreeMap::new(), issued: 0 }
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Never issued, or revoked.
    #[error("decrypt token fail")]
    Unknown,
    /// Its time is over.
    #[error("token expires, The token must be updated")]
    Expired,
}

#[derive(Deserialize)]
struct Asked {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: Identity,
    #[serde(default)]
    scope: Value,
}

#[derive(Deserialize)]
struct Identity {
    methods: Vec<String>,
    #[serde(default)]
    password: Value,
    #[serde(default)]
    hw_ak_sk: Value,
}

impl Cloud {
    /// Who may use the cloud.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.iam.credentials
    }

    /// Lets somebody else use the cloud, and nobody else any more.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.iam = Iam::new(credentials);
    }

    /// Ends all tokens, as a change of password does.
    pub fn revoke_tokens(&mut self) {
        self.iam.tokens.clear();
    }

    /// How many tokens were issued so far.
    #[must_use]
    pub fn tokens_issued(&self) -> u64 {
        self.iam.issued
    }

    /// `POST /v3/auth/tokens` (IAM API, obtaining a user token): methods `password` and `hw_ak_sk`, scoped to
    /// the project.
    pub fn issue_token(&mut self, now_us: u64, body: &[u8]) -> Reply {
        self.advance(now_us);
        self.count(CallClass::Token);
        if self.strikes(FaultKind::TokenEndpointDown, CallClass::Token) {
            return keystone(503, "Service Unavailable", "The identity service is away.");
        }
        let Ok(asked) = serde_json::from_slice::<Asked>(body) else {
            return keystone(400, "Bad Request", "The request body is invalid.");
        };
        let credentials = &self.iam.credentials;
        if !is_known(credentials, &asked.auth.identity) {
            return keystone(401, "Unauthorized", "The username or password is wrong.");
        }
        let project = &asked.auth.scope["project"];
        if project["name"] != credentials.project.as_str() && project["id"] != credentials.project_id.as_str()
        {
            return keystone(401, "Unauthorized", "The project is not found or not accessible.");
        }
        let methods = asked.auth.identity.methods;
        let expires_us = self.now_us + u64::from(self.common.options.token_valid_s) * 1_000_000;
        let body = json!({"token": {
            "expires_at": rfc3339_us(expires_us), "issued_at": rfc3339_us(self.now_us), "methods": methods,
            "project": {"id": credentials.project_id, "name": credentials.project,
                "domain": {"id": "D1", "name": credentials.domain}},
            "user": {"id": "U1", "name": credentials.user, "domain": {"id": "D1", "name": credentials.domain}},
            "roles": [],
        }});
        let mut reply = Reply::of(201, &body).applied();
        reply.token = Some(self.new_token(expires_us));
        reply.delay_ms = self.common.options.create_latency_ms;
        reply
    }

    fn new_token(&mut self, expires_us: u64) -> Token {
        let now_us = self.now_us;
        let iam = &mut self.iam;
        iam.tokens.retain(|_, expires_us| *expires_us > now_us);
        if iam.tokens.len() >= TOKENS_MAX {
            let oldest =
                iam.tokens.iter().min_by_key(|(_, expires_us)| **expires_us).map(|(digest, _)| *digest);
            oldest.map(|oldest| iam.tokens.remove(&oldest));
        }
        iam.issued += 1;
        let secret = format!("{}/{}", iam.credentials.secret_key, iam.issued);
        let token: String = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("MIIS{token}");
        iam.tokens.insert(Sha256::digest(&token).into(), expires_us);
        Token(token)
    }

    /// Whether a token is valid now.
    ///
    /// # Errors
    /// It is unknown or its time is over.
    pub fn check_token(&mut self, now_us: u64, token: &str) -> Result<(), TokenError> {
        self.advance(now_us);
        let digest: [u8; 32] = Sha256::digest(token).into();
        let expires_us = *self.iam.tokens.get(&digest).ok_or(TokenError::Unknown)?;
        // Asked last: only a call with a valid token can meet this fault.
        if expires_us <= self.now_us || self.strikes(FaultKind::TokenExpired, CallClass::Token) {
            self.iam.tokens.remove(&digest);
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    /// `GET /v3/projects?name=`: the project, if it is asked for or none is.
    pub fn projects(&mut self, now_us: u64, name: Option<&str>) -> Reply {
        self.advance(now_us);
        self.count(CallClass::Token);
        let credentials = &self.iam.credentials;
        let project = json!({"id": credentials.project_id, "name": credentials.project, "domain_id": "D1",
            "enabled": true, "is_domain": false});
        let shown = name.is_none_or(|name| name == credentials.project);
        Reply::of(200, &json!({"links": {}, "projects": if shown { vec![project] } else { vec![] }}))
    }
}

fn is_known(credentials: &Credentials, identity: &Identity) -> bool {
    let user = &identity.password["user"];
    let (access, secret) = (&identity.hw_ak_sk["access"]["key"], &identity.hw_ak_sk["secret"]["key"]);
    match identity.methods.first().map(String::as_str) {
        Some("password") => {
            user["name"] == credentials.user.as_str()
                && user["password"] == credentials.password.as_str()
                && user["domain"]["name"] == credentials.domain.as_str()
        }
        Some("hw_ak_sk") => {
            *access == credentials.access_key.as_str() && *secret == credentials.secret_key.as_str()
        }
        Some(_) | None => false,
    }
}

fn keystone(status: u16, title: &str, message: &str) -> Reply {
    Reply::of(status, &json!({"error": {"code": status, "message": message, "title": title}}))
}
