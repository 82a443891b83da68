//! Who somebody is and what somebody may do. About oneself the answer is: anybody, and everything; so no question need be
//! read, which kubectl asks in protobuf. About others, as a node asks it (TokenReview, SubjectAccessReview): the tokens that
//! this cluster gave out, and a table of what is granted.

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kubernetes;
use super::node::MASTERS;
use super::route::Review;
use crate::world::cluster::{API_AUDIENCE, Status};

/// Whom the token of the kubeconfig belongs to.
const ADMIN: &str = "kubernetes-admin";

/// Every known user's group.
const AUTHENTICATED: &str = "system:authenticated";

/// Grants that are kept: they are typed by tests and demos.
const GRANTS_MAX: usize = 1_000;

/// Something that a user or a group may do. Nobody may do anything else, but for the group `system:masters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name of a user or of a group.
    pub subject: String,
    /// The verb (`get`, `create`, …); any when `*`.
    pub verb: String,
    /// The resource with its subresource (`nodes/log`), or the path of what is no resource (`/healthz`); any when `*`.
    pub what: String,
}

impl Kubernetes {
    /// Lets somebody do something, in the eyes of SubjectAccessReviews. False when there are too many grants already.
    pub fn grant(&self, grant: Grant) -> bool {
        let mut grants = self.grants.lock();
        let room = grants.len() < GRANTS_MAX;
        if room {
            grants.push(grant);
        }
        room
    }

    /// Whose token this is, as the `user` of a TokenReview, and for whom it was made.
    fn owner_of(&self, token: &str) -> Option<(Value, Vec<String>)> {
        if token == self.admin_token {
            let user = json!({ "username": ADMIN, "groups": [MASTERS, AUTHENTICATED] });
            return Some((user, vec![API_AUDIENCE.to_owned()]));
        }
        let owner = self.read(|cluster| cluster.owner_of(token, Timestamp::now()))?;
        let mut user = json!({
            "username": format!("system:serviceaccount:{}:{}", owner.namespace, owner.name),
            "uid": owner.uid,
            "groups": [
                "system:serviceaccounts",
                format!("system:serviceaccounts:{}", owner.namespace),
                AUTHENTICATED,
            ],
        });
        if let Some((name, uid)) = &owner.pod {
            user["extra"] = json!({
                "authentication.kubernetes.io/pod-name": [name],
                "authentication.kubernetes.io/pod-uid": [uid],
            });
        }
        Some((user, owner.audiences))
    }

    /// The user that a request's token names; `anybody` without one, since this API server asks nobody who they are.
    pub(super) fn requester(&self, headers: &HeaderMap) -> (String, Vec<String>) {
        let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let Some((user, _)) = token.and_then(|token| self.owner_of(token)) else {
            return ("anybody".to_owned(), vec![AUTHENTICATED.to_owned()]);
        };
        let groups = user["groups"].as_array().map_or(&[][..], Vec::as_slice).iter();
        (
            user["username"].as_str().unwrap_or_default().to_owned(),
            groups.filter_map(Value::as_str).map(str::to_owned).collect(),
        )
    }

    fn review_token(&self, spec: &Value) -> Value {
        let asked: Vec<&str> = texts(&spec["audiences"]);
        // Without a word of it, the API server's own.
        let wanted = if asked.is_empty() { vec![API_AUDIENCE] } else { asked.clone() };
        let Some((user, audiences)) = self.owner_of(spec["token"].as_str().unwrap_or_default()) else {
            return json!({ "user": {}, "error": "[invalid bearer token]" });
        };
        let common: Vec<&str> =
            wanted.into_iter().filter(|one| audiences.iter().any(|had| had == one)).collect();
        if common.is_empty() {
            return json!({ "user": {}, "error": "[invalid bearer token, token audiences are invalid]" });
        }
        json!({ "authenticated": true, "user": user, "audiences": common })
    }

    fn review_access(&self, spec: &Value) -> Value {
        let mut subjects = texts(&spec["groups"]);
        if subjects.contains(&MASTERS) {
            return json!({ "allowed": true });
        }
        subjects.extend(spec["user"].as_str());
        let resource = &spec["resourceAttributes"];
        let (verb, what) = if resource.is_object() {
            let part = |name: &str| resource[name].as_str().unwrap_or_default();
            let slash = if part("subresource").is_empty() { "" } else { "/" };
            (part("verb"), format!("{}{slash}{}", part("resource"), part("subresource")))
        } else {
            let path = &spec["nonResourceAttributes"];
            (path["verb"].as_str().unwrap_or_default(), path["path"].as_str().unwrap_or_default().to_owned())
        };
        let matches = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        let allowed = self.grants.lock().iter().any(|grant| {
            subjects.contains(&grant.subject.as_str())
                && matches(&grant.verb, verb)
                && matches(&grant.what, &what)
        });
        if allowed {
            json!({ "allowed": true, "reason": "granted in the simulation" })
        } else {
            json!({ "allowed": false })
        }
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str).collect()
}

impl Review {
    /// Whether the answer depends on what is asked.
    pub fn is_about_others(self) -> bool {
        matches!(self, Review::Token | Review::OtherAccess)
    }

    /// The group and the kind of its objects.
    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Review::Access => ("authorization.k8s.io", "SelfSubjectAccessReview"),
            Review::Rules => ("authorization.k8s.io", "SelfSubjectRulesReview"),
            Review::Subject => ("authentication.k8s.io", "SelfSubjectReview"),
            Review::Token => ("authentication.k8s.io", "TokenReview"),
            Review::OtherAccess => ("authorization.k8s.io", "SubjectAccessReview"),
        }
    }

    /// The answer to a question about others.
    ///
    /// # Errors
    /// 422 when it names nothing to be looked at.
    pub fn about_others(self, kubernetes: &Kubernetes, question: &Value) -> Result<Value, Status> {
        let spec = &question["spec"];
        let status = if self == Review::Token {
            if spec["token"].as_str().unwrap_or_default().is_empty() {
                return Err(Status::bad_request("token is required for TokenReview in authentication"));
            }
            kubernetes.review_token(spec)
        } else {
            let one = spec["resourceAttributes"].is_object() != spec["nonResourceAttributes"].is_object();
            if !one {
                return Err(Status::bad_request(
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                ));
            }
            kubernetes.review_access(spec)
        };
        Ok(self.whole(spec.clone(), status))
    }

    /// What everybody is answered about themselves.
    pub fn answer(self) -> Value {
        let status = match self {
            Review::Rules => json!({
                "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
                "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
                "incomplete": false,
            }),
            Review::Subject => {
                json!({ "userInfo": { "username": "anybody", "groups": [AUTHENTICATED] } })
            }
            Review::Access | Review::Token | Review::OtherAccess => json!({ "allowed": true }),
        };
        self.whole(json!({}), status)
    }

    fn whole(self, spec: Value, status: Value) -> Value {
        let (group, kind) = self.kind();
        json!({
            "kind": kind,
            "apiVersion": format!("{group}/v1"),
            "metadata": {},
            "spec": spec,
            "status": status,
        })
    }
}
