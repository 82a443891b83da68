//! What goes wrong outside, told once: a line when a kind of call begins to fail or fails in another way, and
//! one when it works again. The log holds every attempt; this is for who reads along.

use std::collections::{BTreeMap, BTreeSet};

use engine::{EffectKind, Outcome, RefusalClass, Room};

use crate::telemetry::metrics::CircuitCount;

/// The last trouble of each kind of call that has not worked since.
#[derive(Debug, Default)]
pub struct Troubles {
    last: BTreeMap<&'static str, Trouble>,
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
        match (self.news(name, outcome), effect.pod()) {
            (Some(News::Trouble(message)), Some(pod)) => tracing::warn!(effect = name, %pod, "{message}"),
            (Some(News::Trouble(message)), None) => tracing::warn!(effect = name, "{message}"),
            (Some(News::Over), _) => tracing::info!(effect = name, "works again"),
            (None, _) => {}
        }
    }

    fn news(&mut self, name: &'static str, outcome: &Outcome) -> Option<News> {
        let Some(mut trouble) = Trouble::of(outcome) else {
            let last = self.last.remove(name)?;
            return last.is_general.then_some(News::Over);
        };
        if let Some(last) = self.last.get(name) {
            if last.message == trouble.message {
                return None;
            }
            // An answer about one pod does not say that the others are made again.
            trouble.is_general |= last.is_general;
        }
        let message = trouble.message.clone();
        self.last.insert(name, trouble);
        Some(News::Trouble(message))
    }
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Trouble(String),
    Over,
}

/// Why a call did not work.
#[derive(Debug)]
struct Trouble {
    message: String,
    /// Whether it is about more than the pod or object that was asked for: then its end is news.
    is_general: bool,
}

impl Trouble {
    fn of(outcome: &Outcome) -> Option<Trouble> {
        let (message, is_general) = match outcome {
            Outcome::Done(_) => return None,
            Outcome::Refused(refusal) => {
                let is_general = match refusal.class {
                    RefusalClass::Forbidden | RefusalClass::OperatorAction => true,
                    RefusalClass::Invalid
                    | RefusalClass::AlreadyExists
                    | RefusalClass::NotFound
                    | RefusalClass::NotAdmitted => false,
                };
                // What is refused before the cloud is asked has no code of the cloud's.
                let code = if refusal.code.is_empty() { "" } else { &format!("{} ", refusal.code) };
                (format!("refused: {code}{}", refusal.message), is_general)
            }
            Outcome::Later { message, .. } => (format!("not now: {message}"), true),
            Outcome::Unknown { message } => (format!("no answer: {message}"), true),
        };
        Some(Trouble { message, is_general })
    }
}

#[cfg(test)]
mod tests {
    use engine::{Answer, Refusal};

    use super::*;

    const CREATE: &str = "create_cloud_pod";
    const DONE: Outcome = Outcome::Done(Answer::Nothing);

    fn refused(class: RefusalClass, code: &str, message: &str) -> Outcome {
        Outcome::Refused(Refusal { class, code: code.into(), message: message.into() })
    }

    fn said(message: &str) -> Option<News> {
        Some(News::Trouble(message.to_owned()))
    }

    #[test]
    fn a_pod_that_is_refused_is_said_once_and_nothing_works_again_after_it() {
        let mut troubles = Troubles::default();
        let outcome = refused(RefusalClass::NotAdmitted, "", "spec.hostPID: not in CCI");
        assert_eq!(troubles.news(CREATE, &outcome), said("refused: spec.hostPID: not in CCI"));
        assert_eq!(troubles.news(CREATE, &outcome), None);
        assert_eq!(troubles.news(CREATE, &DONE), None);
    }

    #[test]
    fn what_was_away_for_all_works_again_though_one_was_refused_meanwhile() {
        let mut troubles = Troubles::default();
        let away = Outcome::Unknown { message: "reset".to_owned() };
        assert_eq!(troubles.news(CREATE, &away), said("no answer: reset"));
        let outcome = refused(RefusalClass::Invalid, "CCI.01.400", "bad image");
        assert_eq!(troubles.news(CREATE, &outcome), said("refused: CCI.01.400 bad image"));
        assert_eq!(troubles.news("delete_cloud_pod", &DONE), None);
        assert_eq!(troubles.news(CREATE, &DONE), Some(News::Over));
        assert_eq!(troubles.news(CREATE, &DONE), None);
    }

    #[test]
    fn an_account_in_arrears_concerns_all() {
        let mut troubles = Troubles::default();
        let outcome = refused(RefusalClass::OperatorAction, "CCI.01.403", "in arrears");
        assert_eq!(troubles.news(CREATE, &outcome), said("refused: CCI.01.403 in arrears"));
        assert_eq!(troubles.news(CREATE, &DONE), Some(News::Over));
    }
}
