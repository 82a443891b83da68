//! The cloud's own events about one pod (CCI API, list events). They are read and listed only: there is no watch.

use engine::{Answer, CLOUD_EVENTS_MAX, CloudEvent, Outcome, RefusalClass};

use super::client::{CciClient, not_understood};
use super::error::Intent;
use super::transport::{Call, Failure};
use super::wire::{self, most_telling, read_event};
use crate::pace::Calls;

/// Events asked for at once: more than a pod has in the hour for which they are kept.
const PAGE_EVENTS: u32 = 100;

/// Pages read: what has more to say is cut.
const PAGES_MAX: usize = 4;

impl CciClient {
    /// What the cloud says of the object with this identity, at most [`CLOUD_EVENTS_MAX`] of its events.
    ///
    /// Refused where the cloud has no such call, or not for us.
    pub async fn read_events(&self, cloud_uid: &str, calls: &mut Calls<'_>) -> Outcome {
        match self.events_of(cloud_uid, calls).await {
            Ok(events) => {
                Outcome::Done(Answer::CloudEvents(most_telling(events).into_iter().map(Into::into).collect()))
            }
            Err(outcome) => outcome,
        }
    }

    async fn events_of(&self, cloud_uid: &str, calls: &mut Calls<'_>) -> Result<Vec<CloudEvent>, Outcome> {
        let (mut events, mut next) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let after = loop {
                calls.permit().await?;
                let page = self.event_page(cloud_uid, &next, &mut events).await;
                if !calls.again(&page) {
                    break page?;
                }
            };
            if after.is_empty() {
                break;
            }
            next = after;
        }
        Ok(events)
    }

    /// Adds what is on one page; returns where the next one begins. A cloud that takes no notice of the selector tells
    /// of others as well: those are left out here.
    async fn event_page(
        &self,
        cloud_uid: &str,
        next: &str,
        events: &mut Vec<CloudEvent>,
    ) -> Result<String, Outcome> {
        let mut query = vec![
            ("fieldSelector", format!("involvedObject.uid={cloud_uid}")),
            ("limit", PAGE_EVENTS.to_string()),
        ];
        if !next.is_empty() {
            query.push(("continue", next.to_owned()));
        }
        let call = Call { query, ..Call::get(self.events_path()) };
        let reply = match self.transport.call(&call).await {
            Ok(reply) => reply,
            // The pages behind an expired token are those of an older time: what was read is enough.
            Err(Failure::Problem(problem)) if problem.status == 410 && !next.is_empty() => {
                return Ok(String::new());
            }
            // It is this call that is not there, and not the namespace.
            Err(Failure::Problem(problem)) if problem.is_absence_of(&["events", "Event"]) => {
                return Err(problem.refusal(RefusalClass::NotFound));
            }
            Err(failure) => return Err(failure.outcome(Intent::Read)),
        };
        let page = wire::read_list(&reply.body, "EventList")
            .map_err(|what| not_understood(&reply, Intent::Read, &what))?;
        for item in &page.items {
            events.extend(read_event(cloud_uid, item));
            if events.len() > 2 * CLOUD_EVENTS_MAX {
                *events = most_telling(std::mem::take(events));
            }
        }
        Ok(page.next)
    }

    fn events_path(&self) -> String {
        format!("{}/namespaces/{}/{}", self.profile.core_path, self.config.namespace, self.profile.events)
    }
}
