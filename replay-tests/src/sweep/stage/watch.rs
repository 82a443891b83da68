//! How the agent follows the API server in a run.

use store::MachineError;

use super::{CATCH_UP_MS, Due, Hook, Place, Stage, Twist, WATCH_MS, WATCH_TIMEOUT_MS};

impl Stage {
    /// The API server has changed: the watch shows it soon.
    pub(super) fn changed(&mut self) {
        let is_slow = self.watch_pace_ms > CATCH_UP_MS;
        let is_due = || self.due.values().any(|due| matches!(due, Due::Watch(boot) if *boot == self.boots));
        if self.life.is_some() && !(is_slow && is_due()) {
            self.at(WATCH_MS, Due::Watch(self.boots));
        }
    }

    /// A ConfigMap or Secret that pods need may have changed: it is read soon.
    pub(super) fn objects_changed(&mut self) {
        let is_due = self.due.values().any(|due| matches!(due, Due::Object(boot) if *boot == self.boots));
        if !is_due && self.life.as_ref().is_some_and(|life| life.tracker.has_news(&self.world.objects)) {
            self.at(WATCH_MS, Due::Object(self.boots));
        }
    }

    /// It is read.
    pub(super) fn read_object(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let Some(life) = &mut self.life else { return Ok(()) };
        match life.tracker.read(&self.world.objects) {
            Some(event) => self.hear(vec![event], hook),
            None => Ok(()),
        }
    }

    /// A list of the API server is reported; the watch goes on from there.
    pub(super) fn list(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let head = self.world.cluster.revision();
        let revision = self.first_list.take().unwrap_or(head);
        if let Twist::Cut { from, .. } = self.twist
            && from <= revision
        {
            self.twist = Twist::None;
        }
        let objects = self.world.cluster.list_at(revision);
        let Some(life) = &mut self.life else { return Ok(()) };
        let events = life.border.list(&objects, revision);
        if revision < head {
            self.at(self.watch_pace_ms, Due::Watch(self.boots));
        }
        self.hear(events, hook)?;
        hook(self, Place::AfterHeard(revision));
        Ok(())
    }

    /// The watch shows the next change there is.
    pub(super) fn watch(&mut self, hook: &mut Hook<'_>) -> Result<(), MachineError> {
        let head = self.world.cluster.revision();
        let Some(life) = &mut self.life else { return Ok(()) };
        let Some(revision) = life.border.cursor.map(|cursor| cursor + 1).filter(|next| *next <= head) else {
            return Ok(());
        };
        if let Twist::Cut { from, to } = self.twist
            && from <= revision
        {
            return self.cut(to, head);
        }
        life.border.cursor = Some(revision);
        let Some(change) = self.world.cluster.change(revision) else { return Ok(()) };
        let skipped = self.twist == Twist::Skip(revision);
        let event = if skipped { None } else { life.border.change(&change.pod, change.now.as_ref()) };
        if skipped {
            self.note(|| format!("revision {revision} is never shown"));
            self.at(WATCH_TIMEOUT_MS, Due::List(self.boots));
        }
        if revision < head {
            self.at(self.watch_pace_ms, Due::Watch(self.boots));
        }
        if let Some(event) = event {
            self.hear(vec![event], hook)?;
        }
        hook(self, Place::AfterHeard(revision));
        Ok(())
    }

    /// The watch is dead: nothing is seen until the revision `to` is there, or until its silence is noticed.
    fn cut(&mut self, to: u64, head: u64) -> Result<(), MachineError> {
        if head >= to {
            self.note(|| format!("the watch was cut; a list makes good for it, up to {head}"));
            self.at(0, Due::List(self.boots));
        } else {
            self.at(WATCH_TIMEOUT_MS, Due::List(self.boots));
        }
        Ok(())
    }
}
