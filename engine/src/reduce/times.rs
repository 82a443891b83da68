//! Transition times of conditions that the cloud gives none for: those of the first sight.

use alloc::sync::Arc;

use crate::facts::{CloudFacts, Condition};
use crate::time::Micros;

/// The facts, with a time for every condition: the cloud's own; else that of the sight before, for as long as the
/// condition has not changed; else now.
pub(crate) fn dated(
    facts: &Arc<CloudFacts>,
    before: Option<&Arc<CloudFacts>>,
    at: Micros,
) -> Arc<CloudFacts> {
    let mut facts = facts.clone();
    if facts.status.conditions.iter().all(|condition| condition.since_s != 0) {
        return facts;
    }
    let before = before.filter(|before| before.cloud_uid == facts.cloud_uid);
    for condition in &mut Arc::make_mut(&mut facts).status.conditions {
        if condition.since_s == 0 {
            condition.since_s = since_s(condition, before, at);
        }
    }
    facts
}

fn since_s(condition: &Condition, before: Option<&Arc<CloudFacts>>, at: Micros) -> i64 {
    let before = before.and_then(|before| before.status.condition(condition.kind));
    let unchanged = before.filter(|before| before.status == condition.status && before.since_s != 0);
    unchanged.map_or(at.as_s(), |before| before.since_s)
}
