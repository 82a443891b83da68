//! Who one is and what one may do: anybody, and everything. So no question need be read, which kubectl asks
//! in protobuf.

use serde_json::{Value, json};

use super::route::Review;

impl Review {
    /// What everybody is answered.
    pub fn answer(self) -> Value {
        let (group, kind) = match self {
            Review::Access => ("authorization.k8s.io", "SelfSubjectAccessReview"),
            Review::Rules => ("authorization.k8s.io", "SelfSubjectRulesReview"),
            Review::Subject => ("authentication.k8s.io", "SelfSubjectReview"),
        };
        let status = match self {
            Review::Access => json!({ "allowed": true }),
            Review::Rules => json!({
                "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
                "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
                "incomplete": false,
            }),
            Review::Subject => {
                json!({ "userInfo": { "username": "anybody", "groups": ["system:authenticated"] } })
            }
        };
        json!({
            "kind": kind,
            "apiVersion": format!("{group}/v1"),
            "metadata": {},
            "spec": {},
            "status": status,
        })
    }
}
