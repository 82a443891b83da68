//! Whether somebody may: the API server is asked, with the attributes that a kubelet asks with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Refused;
use super::authenticate::{REVIEW_BYTES_MAX, REVIEW_TIMEOUT, User, busy};
use super::reviews::{NoReview, Reviewed, Reviews};
use crate::kubernetes::transport::{ApiServer, Call, JSON, WHOLE};

/// How long a "yes" and a "no" are not asked for again (as a kubelet by default).
const ALLOWED_FOR: Duration = Duration::from_secs(300);
const DENIED_FOR: Duration = Duration::from_secs(30);

/// Asks whether users may.
pub(super) struct Authorizer {
    api: ApiServer,
    node: Arc<str>,
    reviews: Arc<Reviews<bool>>,
}

impl Authorizer {
    pub(super) fn new(api: ApiServer, node: &str, reviews: Arc<Reviews<bool>>) -> Authorizer {
        Authorizer { api, node: node.into(), reviews }
    }

    /// Whether `user` may do `verb` to one of these subresources of our node.
    ///
    /// # Errors
    /// 403 when not; 500 when it cannot be found out, 429 when too much is asked at once: then nothing is allowed.
    pub(super) async fn check(
        &self,
        user: &Arc<User>,
        verb: &'static str,
        subresources: impl Iterator<Item = &'static str>,
    ) -> Result<(), Refused> {
        let subresources: Vec<&str> = subresources.collect();
        let name = printable(&user.name);
        let is_news = AtomicBool::new(false);
        for subresource in &subresources {
            match self.allowed(user, verb, subresource, &is_news).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(NoReview::Busy) => return Err(busy()),
                Err(NoReview::Failed(error)) => {
                    tracing::warn!(user = %name, verb, subresource, %error, "it cannot be found out whether a user \
                        may: the user is turned away");
                    return Err(Refused::internal(format!(
                        "Authorization error (user={name}, verb={verb}, resource=nodes, subresource={subresource})"
                    )));
                }
            }
        }
        let asked = subresources.join(" ");
        // Once for each answer of the cluster: who is denied may ask as often as it likes.
        if is_news.into_inner() {
            tracing::info!(user = %name, verb, subresources = %asked, "a user of the kubelet API is denied");
        } else {
            tracing::debug!(user = %name, verb, subresources = %asked, "a user of the kubelet API is denied again");
        }
        let text = format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{asked}])");
        Err(Refused::new(StatusCode::FORBIDDEN, text))
    }

    async fn allowed(
        &self,
        user: &Arc<User>,
        verb: &'static str,
        subresource: &'static str,
        is_news: &AtomicBool,
    ) -> Result<bool, NoReview> {
        // Everything about the user counts: two of the same name need not be in the same groups.
        let extra = serde_json::to_string(&user.extra).unwrap_or_default();
        let groups = user.groups.iter().map(String::as_str);
        let parts = [verb, subresource, &user.name, &user.uid, &extra].into_iter().chain(groups);
        let question = self.reviews.question(parts);
        let (api, node, user) = (self.api.clone(), Arc::clone(&self.node), Arc::clone(user));
        let review = || {
            is_news.store(true, Ordering::Relaxed);
            review(api, node, user, verb, subresource)
        };
        self.reviews.ask(question, || true, review).await
    }
}

/// A name on one line, whatever an identity provider let it be.
fn printable(name: &str) -> String {
    crate::cut(&name.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    status: Option<AnswerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerStatus {
    allowed: bool,
    denied: bool,
}

async fn review(
    api: ApiServer,
    node: Arc<str>,
    user: Arc<User>,
    verb: &'static str,
    subresource: &'static str,
) -> Reviewed<bool> {
    let mut body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": *user,
    });
    body["spec"]["resourceAttributes"] = json!({
        "verb": verb, "group": "", "version": "v1", "resource": "nodes", "subresource": subresource, "name": &*node,
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, path, JSON, &body) };
    let bytes = api.call_within(call, REVIEW_TIMEOUT, REVIEW_BYTES_MAX).await;
    let bytes = bytes.map_err(|failure| failure.to_string())?;
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| crate::place(&error))?;
    let Some(status) = answer.status else { return Err("the answer has no status".to_owned()) };
    // Its `evaluationError` is no failure: of a role that a binding names and that is not there, for one.
    match status.allowed && !status.denied {
        true => Ok((true, ALLOWED_FOR)),
        false => Ok((false, DENIED_FOR)),
    }
}
