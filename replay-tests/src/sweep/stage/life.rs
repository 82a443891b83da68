//! The agent's part in a run: what it hears, what it sends, what it is answered.

use engine::{
    Answer, Decision, Effect, EffectKind, EffectTimes, Event, Features, Identity, LaterReason, Outcome,
};
use store::{MachineError, News, Survive};

use super::{
    BACK_MS, COMMITS_PER_COPY, COMMITS_PER_SNAPSHOT, CREATED_BACK_MS, CallFate, Due, Flight, Hook, Life,
    NO_NUMBER, Place, Stage, THERE_MS, TIMEOUT_MS, Twist,
};
use crate::objects::Tracker;
use crate::sweep::border::{Border, Standing};
use crate::sweep::world::{Reply, changes, later};
use crate::{replay, words};

impl Stage {
    /// The agent starts on what is left of its log.
    pub(super) fn start(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let machine = replay::recover(&self.place, &self.options)?;
        if let Some(seq) = machine.diverged() {
            self.world.account.breach(format!("S9: the log decides otherwise from {seq} on"));
        }
        self.boots += 1;
        self.disturbed = self.world.account.polls;
        self.note(|| format!("the agent starts on a log up to {}", machine.state().applied()));
        let border = Border::knowing(machine.state());
        self.life = Some(Life { machine, border, tracker: Tracker::started(self.now) });
        self.at(self.list_ms, Due::List(self.boots));
        let identity = Identity {
            cluster_id: "cluster-1".to_owned(),
            node: "virtual-node".to_owned(),
            cloud_namespace: "burst-cluster-1".to_owned(),
            profile: "cci-1.0".to_owned(),
        };
        let started = Event::Started {
            version: "test".to_owned(),
            features: Features::CURRENT,
            boot_id: self.boots,
            identity,
            wall_clock_ms: self.now.0 / 1_000,
        };
        self.hear(vec![started], hook)
    }

    /// Events go into the log, and what follows from them goes out.
    pub(super) fn hear(&mut self, events: Vec<Event>, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        if let Some(life) = &mut self.life {
            events.iter().for_each(|event| life.border.tells(event));
        }
        let now = self.now;
        let mut news: Vec<News> = events.into_iter().map(|event| News { seen: now, event }).collect();
        while !news.is_empty() {
            hook(self, Place::BeforeAppend(self.commits));
            let Some(life) = &mut self.life else { return Ok(()) };
            let commit = life.machine.commit(now, &mut news)?;
            let checkpoint = self.commits % COMMITS_PER_SNAPSHOT == COMMITS_PER_SNAPSHOT - 1;
            if checkpoint {
                life.machine.checkpoint()?;
            }
            if self.tell {
                let events = commit.records.iter();
                let lines = events.map(|record| format!("{} {}", record.seq, words::event(&record.event)));
                let decided = commit.decisions.iter().map(|made| format!("    {}", words::decision(made)));
                lines.chain(decided).for_each(|line| self.note(|| line));
            }
            hook(self, Place::AfterSync(self.commits));
            self.commits += 1;
            if self.commits.is_multiple_of(COMMITS_PER_COPY) && self.keeps_copies {
                self.copies.push(self.place.crash(Survive::All));
            }
            for decision in commit.decisions {
                match decision {
                    Decision::Effect(effect) => self.send(effect, hook)?,
                    Decision::Held { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// An effect leaves.
    fn send(&mut self, effect: Effect, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        self.check_sent(&effect);
        let Some(life) = &mut self.life else { return Ok(()) };
        let matters = changes(&effect.kind);
        let number = if matters { self.calls } else { NO_NUMBER };
        let mut flight = Flight { boot: self.boots, number, effect, sent: String::new(), late: false };
        match &flight.effect.kind {
            EffectKind::ListCloudPods => life.border.begin_list(),
            EffectKind::PatchPodStatus { pod, resource_version, status } => {
                let reply = match life.border.begin_write(pod, resource_version, status) {
                    Standing::Send(sent) => {
                        flight.sent = sent;
                        None
                    }
                    Standing::Written => Some(Outcome::Done(Answer::StatusWritten)),
                    Standing::Superseded => Some(later(LaterReason::Conflict)),
                };
                if let Some(outcome) = reply {
                    self.at(1, Due::Answer(flight, outcome.into()));
                    return Ok(());
                }
            }
            EffectKind::SyncObject { object, .. } => flight.sent = self.world.objects.stand(object),
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::EnsureCloudNamespace
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. } => {}
        }
        // A little apart, so that nothing depends on two calls that arrive together.
        self.at(THERE_MS + flight.effect.id.seq.0 % 3, Due::Arrive(flight));
        if matters {
            self.calls += 1;
            if let Twist::Lose { call, fate } = self.twist
                && call == number
            {
                self.note(|| format!("call {number} is lost, {}", fate.name()));
                self.lose(number, fate);
            }
            hook(self, Place::AfterSend(number));
        }
        Ok(())
    }

    /// Nobody hears the answer of a call; after a while its sender knows that.
    fn lose(&mut self, number: u64, fate: CallFate) {
        let mut flights = self.due.values().filter_map(Due::flight);
        let Some(flight) = flights.find(|flight| flight.number == number).cloned() else { return };
        self.fate(number, fate);
        for due in self.due.values_mut() {
            if let Due::Arrive(flight) = due
                && flight.number == number
            {
                // Of no life: the answer goes nowhere.
                flight.boot = 0;
            }
        }
        let unknown = Outcome::Unknown { message: "no answer".to_owned() };
        self.at(TIMEOUT_MS, Due::Answer(flight, unknown.into()));
    }

    /// S3, S4, S6: nothing is made or ended before both sides were listed, and only what was seen is made.
    fn check_sent(&mut self, effect: &Effect) {
        let Some(life) = &self.life else { return };
        let listed = life.border.listed == (true, true);
        let breach = match &effect.kind {
            EffectKind::CreateCloudPod { pod, .. } if !life.border.is_wanted(&pod.uid) => {
                Some(format!("S4: {} is made without being wanted", pod.uid))
            }
            EffectKind::CreateCloudPod { pod, .. }
            | EffectKind::DeleteCloudPod { owner: pod, .. }
            | EffectKind::PatchCloudPod { pod, .. }
            | EffectKind::ReleasePod { pod }
                if !listed =>
            {
                Some(format!("S3, S4: {} of {} before both sides are known", effect.kind.name(), pod.uid))
            }
            EffectKind::CreateCloudPod { .. }
            | EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. } => None,
        };
        breach.into_iter().for_each(|breach| self.world.account.breach(breach));
    }

    /// A call arrives.
    pub(super) fn arrive(&mut self, flight: Flight) {
        if flight.boot != self.boots {
            self.disturbed = self.world.account.polls;
        }
        let Flight { effect, sent, late, .. } = &flight;
        let mut reply = self.world.call(self.now, effect, sent, *late);
        self.note(|| format!("{} arrives: {}", effect.kind.name(), words::outcome_words(&reply.outcome)));
        if reply.bodies.is_some() && flight.boot == self.boots {
            // What an old list holds, the first one after a start may hold.
            reply.bodies = self.first_cloud_list.take().or(reply.bodies);
        }
        let back_ms = match flight.effect.kind {
            EffectKind::CreateCloudPod { .. } => CREATED_BACK_MS,
            EffectKind::DeleteCloudPod { .. }
            | EffectKind::PatchCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. } => BACK_MS,
        };
        if flight.boot == self.boots && self.life.is_some() {
            self.at(back_ms, Due::Answer(flight, reply));
        }
    }

    /// An answer arrives.
    pub(super) fn answer(
        &mut self,
        flight: Flight,
        reply: Reply,
        hook: &mut Hook<'_>,
    ) -> Result<(), MachineError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        if matches!(reply.outcome, Outcome::Unknown { .. }) {
            self.disturbed = self.world.account.polls;
        }
        let Flight { effect, sent, boot, .. } = flight;
        let (mut events, outcome) = match reply.bodies {
            Some(bodies) => life.border.cloud_list(effect.id, bodies),
            None => (Vec::new(), reply.outcome),
        };
        if matches!(effect.kind, EffectKind::ListCloudPods) && matches!(outcome, Outcome::Done(_)) {
            events.extend(life.tracker.audited(self.now, &self.world.objects));
        }
        let mut relist = false;
        match &effect.kind {
            EffectKind::PatchPodStatus { pod, .. } => life.border.end_write(pod, &sent, reply.written),
            EffectKind::CreateCloudPod { name, .. }
            | EffectKind::DeleteCloudPod { name, .. }
            | EffectKind::PatchCloudPod { name, .. }
            | EffectKind::LookUpCloudPod { name, .. } => life.border.noted(name, &outcome),
            EffectKind::LookUpPod { pod } => {
                let present = matches!(outcome, Outcome::Done(Answer::PodPresent { .. }));
                relist = present && life.border.remember(pod);
            }
            EffectKind::SyncObject { object, needed, .. } => {
                life.tracker.answered(self.now, object, *needed, &outcome);
            }
            EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::ReleasePod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. } => {}
        }
        if relist {
            self.at(self.list_ms, Due::List(boot));
        }
        let now = self.now;
        let times = EffectTimes { durable: now, queued: now, permitted: now, sent: now, answered: now };
        let Effect { id, attempt, kind, .. } = effect;
        events.push(Event::EffectFinished { id, attempt, outcome, times, bucket: kind.bucket() });
        self.hear(events, hook)
    }
}
