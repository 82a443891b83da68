//! What strikes at large, how the agent dies and what is left of its log, and how it starts again.

use std::collections::BTreeSet;

use engine::{Bucket, Event, Features, Identity, Micros, Outcome, Seq};
use store::{Faults as DiskFaults, Memory, Name, Source, Survive};

use super::calls::{Reply, changes};
use super::chance::Chance;
use super::check::told::Told;
use super::check::{Broken, unless};
use super::fault::Fault;
use super::history::Happened;
use super::life::{Late, Life, NODE, WAYS};
use super::process::{Process, Watch};
use crate::replay;

type Blow = fn(&mut Life, &mut Chance);

/// What can strike that is not about one call, and what it does. Death comes more often than the rest.
const STRIKES: [(Fault, Blow); 11] = [
    (Fault::Crash, Life::is_killed),
    (Fault::Crash, Life::is_killed),
    (Fault::Clog, Life::clog),
    (Fault::Clog, Life::clog),
    (Fault::Outage, |life, _| life.outage = life.now.plus_ms(7_200_000)),
    (Fault::Restored, Life::restore),
    (Fault::NodeGone, |life, dice| life.tell(vec![Event::NodeGone], dice)),
    (Fault::DiskFails, Life::fail_the_disk),
    (Fault::DiskLies, |life, _| life.make_the_disk_lie()),
    (Fault::LostSuffix, |life, _| life.old_place = Some(life.place.crash(Survive::All))),
    (Fault::Clock, Life::time_stands_still),
];

impl Life {
    /// Something goes wrong at large.
    pub(super) fn something_strikes(&mut self, dice: &mut Chance) {
        let (fault, strike) = dice.of(&STRIKES);
        if self.strikes(fault, dice) {
            self.note(Happened::Struck(fault));
            strike(self, dice);
        }
    }

    fn is_killed(&mut self, dice: &mut Chance) {
        self.die("it was killed", dice);
    }

    /// One more way is clogged, or one that was is free again.
    fn clog(&mut self, dice: &mut Chance) {
        let way = dice.below(WAYS);
        self.clogged[way] = !self.clogged[way];
    }

    fn fail_the_disk(&mut self, dice: &mut Chance) {
        self.fails = true;
        let fail_at = Some(dice.below(12) as u64);
        self.place.set_faults(DiskFaults { fail_at, ..DiskFaults::default() });
    }

    fn make_the_disk_lie(&mut self) {
        if !self.fails {
            self.lies = true;
            self.place.set_faults(DiskFaults { freeze_at_sync: Some(0), ..DiskFaults::default() });
        }
    }

    /// The process is stopped for a while, and its clock with it; or only the clock is.
    fn time_stands_still(&mut self, dice: &mut Chance) {
        let us = 1 + dice.below(120_000_000) as u64;
        if let Some(process) = &mut self.process {
            process.ahead_us = process.ahead_us.saturating_sub(us);
        }
        self.time_passes(us);
    }

    /// The API server's data are put back to what they were.
    fn restore(&mut self, dice: &mut Chance) {
        let end = self.cluster.changes().len();
        let to = if dice.happens(20) { 0 } else { end - dice.below(end.min(100) + 1) };
        self.cluster.restore(to);
        for id in 0..self.roster.len() as u32 {
            if self.cluster.is_restored(id) {
                self.blame(id);
                if self.cluster.get(id).is_some() {
                    let slot = self.roster.get(id).slot;
                    self.slots[slot] = Some(id);
                }
            }
        }
        if let Some(process) = &mut self.process {
            process.watch = Watch::List;
            // Its connections end with it: what it had answered and nobody has read is not read any more.
            let is_its = |bucket| matches!(bucket, Bucket::Kubernetes | Bucket::Notice);
            for flight in process.answered.iter_mut().filter(|flight| is_its(flight.effect.kind.bucket())) {
                let message = "the connection was cut".to_owned();
                flight.reply = Some(Reply::Outcome(Outcome::Unknown { message }));
            }
        }
    }

    /// The agent dies. What had left is carried out, or not, or later.
    pub(super) fn die(&mut self, how: &'static str, dice: &mut Chance) {
        let Some(process) = self.process.take() else { return };
        self.note(Happened::Died(how));
        // What answers it has not heard it cannot allow a lag for.
        self.cloud.can_be_read(self.now);
        let survive = dice.of(&[Survive::Synced, Survive::All, Survive::Torn]);
        let mut place = self.place.crash(survive);
        if let Some(syncing) = &process.syncing
            && dice.happens(50)
        {
            // It died before the disk had the last group: nothing of that has left.
            cut(&place, Some(syncing.last), dice);
        }
        let mut is_whole = !self.lies;
        if self.strikes(Fault::Amnesia, dice) {
            is_whole = false;
            place = Memory::new();
        } else if self.strikes(Fault::LostSuffix, dice) {
            is_whole = false;
            match self.old_place.take() {
                Some(old) => place = old,
                None => cut(&place, None, dice),
            }
            self.people_do_not_wait(dice);
        } else if self.strikes(Fault::Damage, dice) {
            is_whole = false;
            damage(&place, dice);
        }
        if !is_whole {
            self.owed = Seq(0);
        }
        for flight in process.sent {
            if changes(&flight.effect.kind) && dice.happens(50) {
                let due = self.now.plus_ms(dice.below(120_000) as u64);
                self.late.push(Late { due, effect: flight.effect, version: flight.version });
            }
        }
        self.place = place;
        (self.lies, self.fails) = (false, false);
    }

    /// Pods are to go that the agent, as far as its log still tells, may never have made. The cloud's lists are then no
    /// help, where they lag.
    fn people_do_not_wait(&mut self, dice: &mut Chance) {
        for id in self.cloud.live().to_vec() {
            if self.cluster.get(id).is_some() && dice.happens(30) {
                self.cluster.delete(id, 30);
                self.note(Happened::InCluster("deletion asked", id));
                self.cloud.unlist(id, self.now.plus_ms(self.lag_ms));
            }
        }
    }

    /// The agent starts.
    pub(super) fn start(&mut self, dice: &mut Chance) -> Result<(), Broken> {
        self.starts += 1;
        let lag = dice.below(4) as u64;
        self.place.set_faults(DiskFaults { lag, ..DiskFaults::default() });
        let machine = replay::recover(&self.place, &self.options)
            .map_err(|error| Broken::new("S16", format!("the log cannot be recovered: {error}")))?;
        let skew_s = match self.strikes(Fault::Clock, dice) {
            true => dice.of(&[3_600, -3_600, 400 * 86_400, -400 * 86_400]),
            false => 0,
        };
        let wall = Micros(self.now.0.saturating_add_signed(skew_s * 1_000_000));
        let clock = wall.max(machine.state().at());
        let applied = machine.state().applied();
        unless(applied >= self.owed, "S7", || {
            format!("{} was acknowledged, and after the start the log ends at {applied}", self.owed)
        })?;
        let policy_known = *machine.policy() == self.policy;
        let mut process = Process::new(machine, self.now, clock);
        self.remember(applied, &process)?;
        self.checks.started();
        let identity = Identity {
            cluster_id: "cluster-1".to_owned(),
            node: NODE.to_owned(),
            cloud_namespace: "burst-cluster-1".to_owned(),
            profile: "cci-1.0".to_owned(),
        };
        let started = Event::Started {
            version: "test".to_owned(),
            features: Features::CURRENT,
            boot_id: self.starts,
            identity,
            wall_clock_ms: wall.0 / 1_000,
        };
        process.hear(self.now, [started]);
        if !policy_known {
            process.hear(self.now, [Event::PolicyChanged(self.policy)]);
        }
        self.process = Some(process);
        self.note(Happened::Started(applied));
        self.append(dice)
    }

    /// What the log still tells is what the agent has been told. What it tells must be what was appended (S16).
    fn remember(&mut self, applied: Seq, process: &Process) -> Result<(), Broken> {
        let broken = |error: store::Error| Broken::new("S16", error.to_string());
        let log = process.machine.log();
        let known = Seq(self.story.records.len() as u64);
        if applied == known {
            return Ok(());
        }
        // The last group may be there although nobody was told so. Of a log that is shorter than it was, all is
        // compared; its beginning may have been dropped, as a snapshot stands for it.
        let before = if applied > known { known } else { Seq(log.first().0 - 1) };
        let mut unheard = Vec::new();
        for frame in log.frames_after(before).map_err(broken)? {
            for record in frame.and_then(|frame| frame.records()).map_err(broken)? {
                match self.story.records.get(record.seq.0 as usize - 1) {
                    Some(appended) if *appended != record => {
                        let detail = format!("{} is not as it was appended", record.seq);
                        return Err(Broken::new("S16", detail));
                    }
                    Some(_) => {}
                    None => unheard.push(record),
                }
            }
        }
        if applied < known {
            // What is appended from here on is another log than the copy's.
            self.old_place = None;
            self.story.go_on_after(applied);
        }
        self.story.records.extend(unheard);
        if self.story.records.len() as u64 != applied.0 {
            return Err(Broken::new("S16", format!("the log ends at {applied}, which was never appended")));
        }
        self.checks.told = self.told_again();
        Ok(())
    }

    fn told_again(&self) -> Told {
        let mut told = Told::default();
        let mut issued = self.story.issued.iter().peekable();
        for record in &self.story.records {
            told.heard(record, &self.roster);
            while let Some((_, effect)) = issued.next_if(|(seq, _)| *seq == record.seq.0) {
                told.decided(effect, &self.roster);
                told.copies.asks(effect);
            }
        }
        told
    }
}

/// The segments and files of a place.
fn names(place: &Memory) -> Vec<Name> {
    let entries = place.list().unwrap_or_default();
    entries.iter().map(|entry| entry.name).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The frames of the last segment are lost from some point on, or only the last one is; its first half may be left.
fn cut(place: &Memory, only: Option<Seq>, dice: &mut Chance) {
    let open = names(place).into_iter().rfind(|name| matches!(name, Name::Open(_)));
    let Some(name) = open else { return };
    let mut frames = 0;
    place.damage(name, |_| frames += 1);
    let keep = if only.is_some() { frames - frames.min(1) } else { dice.below(frames + 1) };
    let torn = dice.happens(30);
    let mut frame = 0;
    place.damage(name, |bytes| {
        if frame == keep && torn {
            bytes.truncate(bytes.len() / 2);
        } else if frame >= keep {
            bytes.clear();
        }
        frame += 1;
    });
}

/// A bit of the stored bytes flips.
fn damage(place: &Memory, dice: &mut Chance) {
    let names = names(place);
    if names.is_empty() {
        return;
    }
    let name = dice.of(&names);
    let mut parts = 0;
    place.damage(name, |_| parts += 1);
    let (hit, bit) = (dice.below(parts), dice.draw() as usize);
    let mut part = 0;
    place.damage(name, |bytes| {
        if part == hit && !bytes.is_empty() {
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        part += 1;
    });
}
