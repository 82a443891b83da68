//! What goes wrong outside, told once: a line when a kind of call begins to fail or fails in another way, and
//! one when it works again. The log holds every attempt; this is for who reads along.

use std::collections::{BTreeMap, BTreeSet};

use engine::{EffectKind, Outcome, Room};

use crate::telemetry::metrics::CircuitCount;

/// The last trouble of each kind of call that has not worked since.
#[derive(Debug, Default)]
pub struct Troubles {
    last: BTreeMap<&'static str, String>,
    braked: bool,
    sold_out: BTreeSet<Room>,
}

impl Troubles {
    /// Notes how many pods the mass-delete brake holds.
    pub fn braked(&mut self, pods: usize) {
        if pods > 0 && !self.braked {
            tracing::warn!(
                pods,
                "the mass-delete brake holds deletions of cloud pods whose API objects are gone: each needs a \
                 second look-up, half a minute after the first; POST /brake/release at the admin address lets them \
                 go at once, and stopping the agent keeps them"
            );
        } else if pods == 0 && self.braked {
            tracing::info!("the mass-delete brake holds nothing any more");
        }
        self.braked = pods > 0;
    }

    /// Notes which sizes are sold out.
    pub fn sold_out(&mut self, circuits: &[CircuitCount]) {
        let now: BTreeSet<Room> = circuits.iter().map(|circuit| circuit.room.clone()).collect();
        for CircuitCount { room, waiting, .. } in
            circuits.iter().filter(|one| !self.sold_out.contains(&one.room))
        {
            tracing::warn!(%room, waiting, "the cloud has no room for pods of this size; one of them is tried now and then");
        }
        for room in self.sold_out.difference(&now) {
            tracing::info!(%room, "no pod waits for room of this size any more");
        }
        self.sold_out = now;
    }

    /// Notes the outcome of one attempt.
    pub fn note(&mut self, effect: &EffectKind, outcome: &Outcome) {
        let name = effect.name();
        let message = match outcome {
            Outcome::Done(_) => {
                if self.last.remove(name).is_some() {
                    tracing::info!(effect = name, "works again");
                }
                return;
            }
            // What is refused before the cloud is asked has no code of the cloud's.
            Outcome::Refused(refusal) if refusal.code.is_empty() => format!("refused: {}", refusal.message),
            Outcome::Refused(refusal) => format!("refused: {} {}", refusal.code, refusal.message),
            Outcome::Later { message, .. } => format!("not now: {message}"),
            Outcome::Unknown { message } => format!("no answer: {message}"),
        };
        if self.last.get(name) != Some(&message) {
            match effect.pod() {
                Some(pod) => tracing::warn!(effect = name, %pod, "{message}"),
                None => tracing::warn!(effect = name, "{message}"),
            }
            self.last.insert(name, message);
        }
    }
}
