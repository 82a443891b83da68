//! The namespace and the network that our pods need.

use engine::{Answer, LaterReason, Outcome, Refusal, RefusalClass};
use serde_json::{Map, Value};

use super::client::{Answered, CciClient, later, not_understood};
use super::error::Intent;
use super::profile::ObjectShape;
use super::transport::{Call, Failure};

/// An object that must exist.
struct Wanted<'a> {
    /// What it is called in messages.
    what: &'static str,
    shape: &'a ObjectShape,
    /// Path of the objects of its kind.
    path: String,
    name: &'a str,
    /// What a 404 may be about and still mean that it is absent.
    kinds: &'static [&'static str],
}

impl CciClient {
    /// Sees that our namespace and its network exist and serve; makes what is absent.
    ///
    /// Later while either is on its way; refused when either belongs to somebody else or has failed, since
    /// pods must not run in a network that nobody configured.
    pub async fn ensure_namespace(&self) -> Answered {
        let namespace = &self.config.namespace;
        let wanted = [
            Wanted {
                what: "namespace",
                shape: &self.profile.namespace,
                path: format!("{}/namespaces", self.profile.core_path),
                name: namespace,
                kinds: &["namespaces", "Namespace"],
            },
            Wanted {
                what: "network",
                shape: &self.profile.network,
                path: format!("{}/namespaces/{namespace}/networks", self.profile.network_path),
                name: &self.config.network.name,
                kinds: &["networks", "Network"],
            },
        ];
        for wanted in &wanted {
            let answered = self.ensure(wanted).await;
            if !matches!(answered.outcome, Outcome::Done(_)) {
                return answered;
            }
        }
        Outcome::Done(Answer::Nothing).into()
    }

    async fn ensure(&self, wanted: &Wanted<'_>) -> Answered {
        let get = Call::get(format!("{}/{}", wanted.path, wanted.name));
        let (reply, intent) = match self.transport.call(&get).await {
            Ok(reply) => (reply, Intent::Read),
            Err(Failure::Problem(problem)) if problem.is_absence_of(wanted.kinds) => {
                let body = self.object(wanted).to_string().into_bytes();
                match self.transport.call(&Call::post(wanted.path.clone(), body)).await {
                    Ok(reply) => (reply, Intent::Write),
                    Err(Failure::Problem(problem)) if problem.status == 409 => {
                        let message = format!("{}: {}", wanted.what, problem.sentence());
                        return later(LaterReason::Conflict, &message).into();
                    }
                    Err(failure) => return failure.answered(Intent::Write),
                }
            }
            Err(failure) => return failure.outcome(Intent::Read).into(),
        };
        let outcome = match serde_json::from_slice::<Value>(&reply.body) {
            Ok(object) if object.pointer("/metadata/name") == Some(&Value::from(wanted.name)) => {
                self.judge(wanted, &object)
            }
            Ok(_) | Err(_) => not_understood(&reply, intent, &format!("the answer is no {}", wanted.what)),
        };
        outcome.into()
    }

    /// The object as it is created: the profile's template and our mark.
    fn object(&self, wanted: &Wanted<'_>) -> Value {
        let mut object = wanted.shape.fill(|name| self.config.value_of(name));
        let (mut labels, mut annotations) = (Map::new(), Map::new());
        self.mark.write_manager(&mut labels, &mut annotations);
        for (field, marks) in [("labels", labels), ("annotations", annotations)] {
            match object["metadata"][field].as_object_mut() {
                Some(existing) => existing.extend(marks),
                None => object["metadata"][field] = Value::Object(marks),
            }
        }
        object
    }

    fn judge(&self, wanted: &Wanted<'_>, object: &Value) -> Outcome {
        if let Some(reason) = self.conflict(wanted, object) {
            return operator_action(format!("{} {}: {reason}", wanted.what, wanted.name));
        }
        let shape = wanted.shape;
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let state = if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
            "Terminating"
        } else {
            text(shape.state)
        };
        if shape.ready.contains(&state) {
            return Outcome::Done(Answer::Nothing);
        }
        let state_told =
            if state.is_empty() { "not ready: it has no state yet".to_owned() } else { format!("{state:?}") };
        let message = format!("{} {} is {state_told} {}", wanted.what, wanted.name, text(shape.message));
        if shape.failed.contains(&state) {
            return operator_action(message);
        }
        later(LaterReason::Transient, message.trim_end())
    }

    /// Why an object that is there is not ours to use.
    fn conflict(&self, wanted: &Wanted<'_>, object: &Value) -> Option<String> {
        let annotations = object.pointer("/metadata/annotations").unwrap_or(&Value::Null);
        if let Some(cluster_id) = self.mark.other_cluster(annotations) {
            return Some(format!("it belongs to cluster {cluster_id:?}"));
        }
        for key in wanted.shape.project_annotations {
            let project = annotations.get(*key).and_then(Value::as_str);
            if project.is_some_and(|project| project != self.config.project_id) {
                return Some(format!("it belongs to another project ({key})"));
            }
        }
        let ours = self.object(wanted);
        let differs = |pointer: &&&str| match (object.pointer(pointer), ours.pointer(pointer)) {
            (Some(theirs), Some(ours)) => theirs != ours,
            (None, _) | (_, None) => false,
        };
        wanted.shape.fixed.iter().find(differs).map(|pointer| format!("{pointer} is not as configured"))
    }
}

fn operator_action(message: String) -> Outcome {
    let message = crate::cut(&message);
    Outcome::Refused(Refusal { class: RefusalClass::OperatorAction, code: String::new(), message })
}
