//! What the quotas of our namespace allow (CCI 1.0 API, list resource quotas).

use std::collections::BTreeMap;

use engine::Outcome;
use engine::size::Quantity;
use serde::Deserialize;

use super::client::{CciClient, not_understood};
use super::error::Intent;
use super::transport::Call;
use super::wire;
use crate::kubernetes::lean::null_is_default;
use crate::pace::Calls;

/// What a node calls each resource, and how a quota may call it (Kubernetes, resource quotas).
const RESOURCES: [(&str, [&str; 3]); 3] = [
    ("cpu", ["cpu", "requests.cpu", "limits.cpu"]),
    ("memory", ["memory", "requests.memory", "limits.memory"]),
    ("pods", ["pods", "count/pods", ""]),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceQuota {
    #[serde(deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    hard: BTreeMap<String, String>,
}

impl CciClient {
    /// The limits of the namespace, by what a node calls the resource: the least of all its quotas. What none of them
    /// limits is not in it. A limit that is no quantity is none.
    ///
    /// # Errors
    /// With an outcome when the call was not answered, or not with a list.
    pub async fn quota(&self, calls: &mut Calls<'_>) -> Result<BTreeMap<String, String>, Outcome> {
        loop {
            calls.permit().await?;
            let answer = self.read_quota().await;
            if !calls.again(&answer) {
                return answer;
            }
        }
    }

    async fn read_quota(&self) -> Result<BTreeMap<String, String>, Outcome> {
        let call = Call::get(self.in_namespace("resourcequotas"));
        let reply = self.transport.call(&call).await.map_err(|failure| failure.outcome(Intent::Read))?;
        let list = wire::read_list(&reply.body, "ResourceQuotaList")
            .map_err(|what| not_understood(&reply, Intent::Read, &what))?;
        let quotas: Vec<ResourceQuota> =
            list.items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
        Ok(least(&quotas))
    }
}

fn least(quotas: &[ResourceQuota]) -> BTreeMap<String, String> {
    let mut limits = BTreeMap::new();
    for (resource, names) in RESOURCES {
        let limits_of =
            quotas.iter().flat_map(|quota| names.iter().filter_map(|name| quota.status.hard.get(*name)));
        let readable = limits_of.filter_map(|text| Some((Quantity::parse(text).ok()?.milli(), text)));
        if let Some((_, text)) = readable.min() {
            limits.insert(resource.to_owned(), text.clone());
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_least_limit_of_all_quotas_counts() {
        let quota = |hard| serde_json::from_value(json!({"status": {"hard": hard}})).unwrap();
        let quotas = [
            quota(json!({"cpu": "500", "limits.memory": "2Ti", "pods": "many"})),
            quota(json!({"requests.cpu": "250000m", "memory": "1024Gi", "secrets": "7"})),
            quota(serde_json::Value::Null),
        ];
        let least = least(&quotas);
        let found: Vec<_> = least.iter().map(|(resource, limit)| (&**resource, &**limit)).collect();
        assert_eq!(found, [("cpu", "250000m"), ("memory", "1024Gi")]);
    }
}
