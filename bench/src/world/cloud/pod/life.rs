//! What a pod does as time passes, and what is done to it.

use serde_json::value::RawValue;

use super::{CHANGED_AT, Deletion, Fate, Placement, Pod, Rendering, Restart, Stage, render};
use crate::world::cloud::Common;
use crate::world::cloud::chance::mixed;
use crate::world::cloud::notices::NoticeReason;
use crate::world::cloud::schedule::Target;

/// From `ErrImagePull` to `ImagePullBackOff`.
const PULL_BACK_OFF_US: u64 = 10_000_000;
/// The first wait before a restart, doubled each time, as the kubelet does.
const RESTART_US: u64 = 10_000_000;
/// The longest wait before a restart.
const RESTART_US_MAX: u64 = 300_000_000;
/// The exit code of a killed process.
const KILLED: i32 = 137;
/// How soon a pod that found no address tries again.
const ADDRESS_RETRY_US: u64 = 1_000_000;

/// The wait after so many failures.
fn back_off_us(failures: u32) -> u64 {
    RESTART_US.saturating_mul(1 << failures.min(5)).min(RESTART_US_MAX)
}

impl Pod {
    fn target(&self) -> Target {
        Target::Pod(self.key.clone())
    }

    pub(super) fn set_due(&mut self, due_us: Option<u64>, common: &mut Common) {
        self.due_us = common.schedule.set(self.target(), self.due_us, due_us);
    }

    /// The pod's namespace can run it: let it start, unless it has or a fault holds it.
    pub(in crate::world::cloud) fn start(&mut self, now_us: u64, common: &mut Common) {
        if self.stage != Stage::Accepted || self.due_us.is_some() || self.deletion.is_some() {
            return;
        }
        let jitter_ms = mixed(self.id_seed, 0).checked_rem(common.options.start_jitter_ms + 1).unwrap_or(0);
        let start_us = (common.options.start_latency_ms + jitter_ms) * 1_000;
        let wait_us = match self.fate {
            Fate::Stuck => return,
            Fate::Usual | Fate::FailsLater => start_us / 4,
        };
        // The end of the start, kept until then.
        self.started_us = now_us + start_us;
        self.set_due(Some(now_us + wait_us), common);
    }

    /// Takes the step that is due. Answers `true` when the pod is gone.
    pub(in crate::world::cloud) fn step(&mut self, at_us: u64, common: &mut Common) -> bool {
        self.due_us = None;
        if self.deletion.is_some_and(|deletion| !deletion.stuck) {
            return true;
        }
        match self.stage {
            Stage::Accepted => self.place(at_us, common),
            Stage::Creating => self.run(at_us, common),
            Stage::PullFailed { backing_off } => self.pull_again(backing_off, at_us, common),
            Stage::Running => self.end(at_us, common),
            Stage::Restarting => {
                self.started_us = at_us;
                self.restarts += 1;
                self.change(Stage::Running, at_us, common);
                self.set_run_end(at_us, common);
            }
            Stage::Ended | Stage::Broken { .. } => {}
        }
        false
    }

    fn place(&mut self, at_us: u64, common: &mut Common) {
        let Some(address) = common.addresses.take(common.options.pod_network) else {
            common.notices.note(at_us, self, NoticeReason::FailedScheduling);
            return self.set_due(Some(at_us + ADDRESS_RETRY_US), common);
        };
        self.placement = Some(Placement { at_us, address });
        self.add_placement_fields();
        common.notices.note(at_us, self, NoticeReason::Scheduled);
        common.notices.note(at_us, self, NoticeReason::Pulling);
        self.change(Stage::Creating, at_us, common);
        self.set_due(Some(self.started_us.max(at_us)), common);
    }

    fn run(&mut self, at_us: u64, common: &mut Common) {
        if self.fate == Fate::FailsLater {
            self.last_run_us = (at_us, at_us);
            common.notices.note(at_us, self, NoticeReason::FailedCreatePodSandBox);
            return self.change(Stage::Broken { reason: "FailedCreatePodSandBox".into() }, at_us, common);
        }
        self.started_us = at_us;
        if self.pull_fails() {
            common.notices.note(at_us, self, NoticeReason::PullFailed);
            self.change(Stage::PullFailed { backing_off: false }, at_us, common);
            return self.set_due(Some(at_us + PULL_BACK_OFF_US), common);
        }
        self.initialized_us = at_us;
        for reason in [NoticeReason::Pulled, NoticeReason::Created, NoticeReason::Started] {
            common.notices.note(at_us, self, reason);
        }
        self.change(Stage::Running, at_us, common);
        self.set_run_end(at_us, common);
    }

    fn pull_fails(&self) -> bool {
        self.init_containers.iter().chain(&self.containers).any(|container| container.pull_fails)
    }

    /// Waits before it pulls again, or does so. Only its events tell how often that was in vain.
    fn pull_again(&mut self, backing_off: bool, at_us: u64, common: &mut Common) {
        if backing_off {
            common.notices.note(at_us, self, NoticeReason::Pulling);
            if !self.pull_fails() {
                return self.run(at_us, common);
            }
            common.notices.note(at_us, self, NoticeReason::PullFailed);
        } else {
            self.change(Stage::PullFailed { backing_off: true }, at_us, common);
        }
        common.notices.note(at_us, self, NoticeReason::PullBackOff);
        self.set_due(Some(at_us + back_off_us(self.pulls)), common);
        self.pulls += 1;
    }

    fn set_run_end(&mut self, at_us: u64, common: &mut Common) {
        if let Some(run_us) = self.run_us {
            self.set_due(Some(at_us.saturating_add(run_us)), common);
        }
    }

    fn end(&mut self, at_us: u64, common: &mut Common) {
        self.run_before_us = self.last_run_us;
        self.last_run_us = (self.started_us, at_us);
        let again = match self.restart {
            Restart::Always => true,
            Restart::OnFailure => self.exit_code != 0,
            Restart::Never => false,
        };
        if !again {
            return self.change(Stage::Ended, at_us, common);
        }
        common.notices.note(at_us, self, NoticeReason::BackOff);
        self.change(Stage::Restarting, at_us, common);
        self.set_due(Some(at_us + self.restart_wait_us()), common);
    }

    pub(super) fn restart_wait_us(&self) -> u64 {
        back_off_us(self.restarts)
    }

    /// Asks for its end. A second request can only bring the end forward.
    pub(in crate::world::cloud) fn delete(
        &mut self,
        now_us: u64,
        grace_s: Option<u32>,
        stuck: bool,
        common: &mut Common,
    ) {
        let before = self.deletion;
        let asked_s = grace_s.unwrap_or(self.grace_s);
        let grace_s = before.map_or(asked_s, |before| before.grace_s.min(asked_s));
        let grace_us = u64::from(grace_s) * 1_000_000;
        let stuck = stuck || before.is_some_and(|before| before.stuck);
        self.deletion = Some(Deletion { at_us: now_us + grace_us, grace_s, stuck });

        let gone_us = now_us + grace_us.min(common.options.stop_latency_ms * 1_000);
        // Until the first deletion the due time is that of another step.
        let gone_us = before.and(self.due_us).map_or(gone_us, |before_us| before_us.min(gone_us));
        self.set_due((!stuck).then_some(gone_us), common);
        if before.is_none() {
            common.notices.note(now_us, self, NoticeReason::Killing);
        }
        self.render(now_us, common);
    }

    /// It is gone: gives back what it held and ends the bill.
    pub(in crate::world::cloud) fn release(&mut self, now_us: u64, common: &mut Common) {
        self.set_due(None, common);
        if let Some(placement) = self.placement.take() {
            common.addresses.give_back(placement.address);
        }
        self.files = None;
        common.ledger.gone(&self.key, now_us);
    }

    /// Its containers die, as if their processes had been killed.
    pub(in crate::world::cloud) fn kill(&mut self, now_us: u64, common: &mut Common) {
        if self.stage == Stage::Running && self.deletion.is_none() {
            self.exit_code = KILLED;
            self.set_due(None, common);
            self.end(now_us, common);
        }
    }

    /// Shows this status from now on, whatever the pod does.
    pub(in crate::world::cloud) fn write_status(
        &mut self,
        status: Box<RawValue>,
        now_us: u64,
        common: &mut Common,
    ) {
        self.status_written = Some(status);
        self.render(now_us, common);
    }

    fn change(&mut self, stage: Stage, at_us: u64, common: &mut Common) {
        self.stage = stage;
        common.ledger.billed(&self.key, self.is_billed(), at_us);
        self.annotations.insert(CHANGED_AT.to_owned(), at_us.to_string());
        self.render(at_us, common);
    }

    /// Writes the object down as it is now. Older forms are kept for as long as lists run behind.
    pub(in crate::world::cloud) fn render(&mut self, at_us: u64, common: &mut Common) {
        common.revision += 1;
        let body = render::body(self, common.revision);
        let shown_us = at_us.saturating_sub(common.options.list_create_lag_ms * 1_000);
        self.renderings.push_back(Rendering { since_us: at_us, body });
        while self.renderings.get(1).is_some_and(|second| second.since_us <= shown_us) {
            self.renderings.pop_front();
        }
    }

    /// Whether a fault keeps it from ending.
    pub(in crate::world::cloud) fn is_stuck(&self) -> bool {
        self.deletion.is_some_and(|deletion| deletion.stuck)
    }

    /// What a fault does to it, set before it starts.
    pub(in crate::world::cloud) fn set_fate(&mut self, fate: Fate) {
        self.fate = fate;
    }

    /// Lets go what faults hold.
    pub(in crate::world::cloud) fn heal(&mut self, now_us: u64, common: &mut Common) {
        if self.fate == Fate::Stuck {
            self.fate = Fate::Usual;
        }
        if let Some(deletion) = &mut self.deletion
            && deletion.stuck
        {
            deletion.stuck = false;
            let gone_us = now_us + common.options.stop_latency_ms * 1_000;
            self.set_due(Some(gone_us), common);
        }
    }
}
