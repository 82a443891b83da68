//! What the containers of a pod wrote. Nothing of it is kept: each line follows from its number and the times of
//! the run, so that the logs of ten thousand pods take no room.
//!
//! A run writes a line when it starts, then at once the bytes asked for by [`LOG_BYTES`](super::LOG_BYTES), a line
//! each [`LOG_EVERY_MS`](super::LOG_EVERY_MS), and a line when it ends.

use std::fmt::Write;
use std::sync::LazyLock;

use bytes::Bytes;

use super::{Pod, PodKey, Stage};
use crate::world::cloud::reply::Refusal;
use crate::world::cloud::request::Query;
use crate::world::cloud::time::{rfc3339, rfc3339_ns};

/// So many of the regular lines are still to be read; those before have been rotated away.
const HISTORY_LINES: u64 = 10_000;
/// Length of a line of the bulk, with its end.
const BULK_LINE_BYTES: u64 = 128;
/// Lines of the bulk before it repeats itself.
const BULK_LINES: u64 = 8_192;
/// Most bytes of a piece of the bulk: few calls for a fast stream, and little that waits in a slow one.
const BULK_PIECE_BYTES: u64 = 256 * 1024;
/// From so many bytes on a piece of other lines gets no more of them.
const PIECE_BYTES: usize = 32 * 1024;
const EVERY_MS: u64 = 1_000;

/// What the bulk consists of, over and over: made once for all pods.
static BULK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut text = String::new();
    for number in 0..BULK_LINES {
        let line = format!("bulk {number:04} ");
        let filler = BULK_LINE_BYTES as usize - 1 - line.len();
        text.push_str(&line);
        text.extend("abcdefghijklmnopqrstuvwxyz0123456789".chars().cycle().take(filler));
        text.push('\n');
    }
    text.into()
});

/// How much the containers of a pod write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogShape {
    every_us: u64,
    /// Lines written at the start.
    bulk: u64,
}

impl LogShape {
    /// From what the pod says, if it does.
    pub(super) fn read(every_ms: Option<&str>, bytes: Option<&str>) -> LogShape {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
        LogShape {
            every_us: number(every_ms).unwrap_or(EVERY_MS).max(1).saturating_mul(1_000),
            bulk: number(bytes).unwrap_or(0).div_ceil(BULK_LINE_BYTES),
        }
    }
}

/// One run of a container: from its start to its end, if it has ended, and with which code.
#[derive(Clone, Copy, Debug)]
struct Run {
    started_us: u64,
    ended: Option<(u64, i32)>,
    shape: LogShape,
}

impl Run {
    /// How many regular lines are written at a time.
    fn ticks(&self, now_us: u64) -> u64 {
        let until_us = self.ended.map_or(now_us, |(ended_us, _)| ended_us);
        until_us.saturating_sub(self.started_us) / self.shape.every_us
    }

    /// How many lines are written at a time.
    fn lines(&self, now_us: u64) -> u64 {
        1 + self.shape.bulk + self.ticks(now_us) + u64::from(self.ended.is_some())
    }

    /// The first line that is still there.
    fn first(&self, now_us: u64) -> u64 {
        let rotated = self.ticks(now_us).saturating_sub(HISTORY_LINES);
        if rotated == 0 { 0 } else { 1 + self.shape.bulk + rotated }
    }

    /// The first line that was not written before `since_us`.
    fn first_since(&self, since_us: u64, now_us: u64) -> u64 {
        if since_us <= self.started_us {
            return 0;
        }
        let ticks_before = (since_us - self.started_us).div_ceil(self.shape.every_us).saturating_sub(1);
        let end_before = self.ended.is_some_and(|(ended_us, _)| ended_us < since_us);
        if end_before {
            return self.lines(now_us);
        }
        1 + self.shape.bulk + ticks_before.min(self.ticks(now_us))
    }

    /// When a line was written.
    fn time_us(&self, line: u64, now_us: u64) -> u64 {
        let tick = line.saturating_sub(self.shape.bulk);
        match self.ended {
            Some((ended_us, _)) if line + 1 == self.lines(now_us) && line > 0 => ended_us,
            Some(_) | None if line <= self.shape.bulk => self.started_us,
            Some(_) | None => self.started_us + tick * self.shape.every_us,
        }
    }

    fn write_line(&self, text: &mut String, line: u64, now_us: u64, pod: &str, container: &str) {
        // Writing to a string does not fail.
        let _infallible = match self.ended {
            _ if line == 0 => writeln!(text, "{} {container} started", rfc3339(self.started_us)),
            _ if line <= self.shape.bulk => {
                let start = ((line - 1) % BULK_LINES * BULK_LINE_BYTES) as usize;
                let bytes = &BULK[start..start + BULK_LINE_BYTES as usize];
                text.push_str(std::str::from_utf8(bytes).unwrap_or_default());
                Ok(())
            }
            Some((ended_us, exit_code)) if line + 1 == self.lines(now_us) => {
                writeln!(text, "{} {container} ended with {exit_code}", rfc3339(ended_us))
            }
            Some(_) | None => writeln!(text, "{pod}/{container} line {}", line - self.shape.bulk),
        };
    }
}

/// What goes wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world::cloud) enum LogFault {
    /// Cut at a time.
    CutAt(u64),
    /// Cut in the middle of what there is.
    CutHalfway,
    /// At its end from a time on.
    EndAt(u64),
}

/// A place in a log, from which it is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCursor {
    pub(in crate::world::cloud) key: PodKey,
    uid: String,
    container: String,
    init: bool,
    run: u32,
    next: u64,
    /// Where it ends; `None` for a log that is followed.
    end: Option<u64>,
    left_bytes: Option<u64>,
    timestamps: bool,
    fault: Option<LogFault>,
    /// Half a line was given: nothing comes any more.
    broken: bool,
}

impl LogCursor {
    pub(in crate::world::cloud) fn set_fault(&mut self, fault: LogFault) {
        self.fault = Some(fault);
        if let (LogFault::CutHalfway, Some(end)) = (fault, &mut self.end) {
            *end = self.next + (*end - self.next) / 2 + 1;
        }
    }

    fn fault_is_due(&self, now_us: u64) -> bool {
        match self.fault {
            Some(LogFault::CutAt(at_us) | LogFault::EndAt(at_us)) => now_us >= at_us,
            Some(LogFault::CutHalfway) => self.end.is_some_and(|end| self.next + 1 >= end),
            None => false,
        }
    }

    /// Keeps what `limitBytes` allows.
    fn limited(&mut self, mut bytes: Bytes) -> Bytes {
        if let Some(left) = &mut self.left_bytes {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        bytes
    }
}

/// What comes next in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing before so many microseconds have passed.
    WaitUs(u64),
    /// Nothing ever.
    End,
    /// The connection breaks.
    Cut,
}

/// What is to be said of a container that has written nothing yet, in the kubelet's words.
fn waiting(stage: &Stage, pull_fails: bool) -> &'static str {
    match stage {
        Stage::PullFailed { backing_off: true } if pull_fails => "trying and failing to pull image",
        Stage::PullFailed { .. } if pull_fails => "image can't be pulled",
        Stage::Accepted
        | Stage::Creating
        | Stage::PullFailed { .. }
        | Stage::Running
        | Stage::Restarting
        | Stage::Ended
        | Stage::Broken { .. } => "ContainerCreating",
    }
}

impl Pod {
    /// The container that a call names, or the only one, and whether it is an init container.
    pub(super) fn container_named(&self, name: &str) -> Result<(&super::Container, bool), Refusal> {
        let pod = &self.key.name;
        let names = |containers: &[super::Container]| {
            containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        match &self.containers[..] {
            [only] if name.is_empty() => return Ok((only, false)),
            several if name.is_empty() => {
                let mut message = format!(
                    "a container name must be specified for pod {pod}, choose one of: [{}]",
                    names(several)
                );
                if !self.init_containers.is_empty() {
                    message.push_str(&format!(
                        " or one of the init containers: [{}]",
                        names(&self.init_containers)
                    ));
                }
                return Err(Refusal::new(400, message));
            }
            _ => {}
        }
        let usual = self.containers.iter().map(|container| (container, false));
        let init = self.init_containers.iter().map(|container| (container, true));
        usual
            .chain(init)
            .find(|(container, _)| container.name == name)
            .ok_or_else(|| Refusal::new(400, format!("container {name} is not valid for pod {pod}")))
    }

    /// A run of a container by its number, when anything is known of it.
    fn run_of(&self, init: bool, number: u32) -> Option<Run> {
        let ran = matches!(self.stage, Stage::Running | Stage::Restarting | Stage::Ended);
        let ended = |(started_us, ended_us)| Run {
            started_us,
            ended: Some((ended_us, self.exit_code)),
            shape: self.log_shape,
        };
        if !ran {
            return None;
        }
        if init {
            let started_us = self.placement.map_or(0, |placement| placement.at_us);
            let shape = LogShape { bulk: 0, ..self.log_shape };
            return Some(Run { started_us, ended: Some((self.initialized_us, 0)), shape });
        }
        let running = self.stage == Stage::Running;
        match self.restarts.checked_sub(number)? {
            0 if running => Some(Run { started_us: self.started_us, ended: None, shape: self.log_shape }),
            0 => Some(ended(self.last_run_us)),
            1 if running => Some(ended(self.last_run_us)),
            1 => Some(ended(self.run_before_us)),
            _ => None,
        }
    }

    /// Begins to read a log, or says why there is nothing to read (CCI API, pod log; the texts are the kubelet's).
    pub(in crate::world::cloud) fn open_log(&self, query: &Query, now_us: u64) -> Result<LogCursor, Refusal> {
        for (field, value) in [("limitBytes", query.limit_bytes), ("sinceSeconds", query.since_s)] {
            if value == Some(0) {
                let message = format!(
                    "PodLogOptions \"\" is invalid: {field}: Invalid value: 0: must be greater than 0"
                );
                return Err(Refusal::new(422, message));
            }
        }
        let (container, init) = self.container_named(&query.container)?;
        let (name, pod) = (&container.name, &self.key.name);
        let restarting = self.stage == Stage::Restarting;
        let number = if !query.previous {
            Some(if init { 0 } else { self.restarts })
        } else if restarting && !init {
            // Of a container that waits for its restart the last run is both the present and the previous one.
            Some(self.restarts)
        } else {
            self.restarts.checked_sub(1).filter(|_| !init)
        };
        let Some(number) = number else {
            let message = format!("previous terminated container \"{name}\" in pod \"{pod}\" not found");
            return Err(Refusal::new(400, message));
        };
        let run = self.run_of(init, number).ok_or_else(|| {
            let why = waiting(&self.stage, container.pull_fails);
            Refusal::new(400, format!("container \"{name}\" in pod \"{pod}\" is waiting to start: {why}"))
        })?;
        let lines = run.lines(now_us);
        let since_us = query.since_s.map(|since_s| now_us.saturating_sub(since_s.saturating_mul(1_000_000)));
        let since = since_us.map_or(0, |since_us| run.first_since(since_us, now_us));
        let tail = query.tail_lines.map_or(0, |count| lines.saturating_sub(count));
        Ok(LogCursor {
            key: self.key.clone(),
            uid: self.uid.clone(),
            container: name.clone(),
            init,
            run: number,
            next: run.first(now_us).max(since).max(tail).min(lines),
            end: (!query.follow).then_some(lines),
            left_bytes: query.limit_bytes,
            timestamps: query.timestamps,
            fault: None,
            broken: false,
        })
    }

    /// The next piece of a log.
    pub(in crate::world::cloud) fn read_log(&self, now_us: u64, cursor: &mut LogCursor) -> LogPiece {
        let run = if self.uid == cursor.uid { self.run_of(cursor.init, cursor.run) } else { None };
        let Some(run) = run.filter(|_| cursor.left_bytes != Some(0)) else { return LogPiece::End };
        let written = run.lines(now_us);
        let end = cursor.end.unwrap_or(written).min(written);
        if cursor.fault_is_due(now_us) {
            return self.break_off(now_us, cursor, &run, end);
        }
        cursor.next = cursor.next.max(run.first(now_us).min(end));
        if cursor.next >= end {
            return match run.ended {
                None if cursor.end.is_none() => {
                    let due_us = run.started_us + (run.ticks(now_us) + 1) * run.shape.every_us;
                    LogPiece::WaitUs(due_us.saturating_sub(now_us).max(1))
                }
                _ => LogPiece::End,
            };
        }
        let end = if cursor.fault == Some(LogFault::CutHalfway) { end - 1 } else { end };
        let bulk_end = end.min(1 + run.shape.bulk);
        let bytes = if (1..bulk_end).contains(&cursor.next) && !cursor.timestamps {
            let start = (cursor.next - 1) % BULK_LINES * BULK_LINE_BYTES;
            let length = ((bulk_end - cursor.next) * BULK_LINE_BYTES)
                .min(BULK_PIECE_BYTES)
                .min(BULK.len() as u64 - start);
            cursor.next += length / BULK_LINE_BYTES;
            BULK.slice(start as usize..(start + length) as usize)
        } else {
            self.read_lines(now_us, cursor, &run, end)
        };
        LogPiece::Bytes(cursor.limited(bytes))
    }

    fn read_lines(&self, now_us: u64, cursor: &mut LogCursor, run: &Run, end: u64) -> Bytes {
        let mut text = String::new();
        // Many lines may be of one time.
        let mut stamp = (u64::MAX, String::new());
        while cursor.next < end && text.len() < PIECE_BYTES {
            if cursor.timestamps {
                let at_us = run.time_us(cursor.next, now_us);
                if stamp.0 != at_us {
                    stamp = (at_us, rfc3339_ns(at_us));
                }
                text.push_str(&stamp.1);
                text.push(' ');
            }
            run.write_line(&mut text, cursor.next, now_us, &self.key.name, &cursor.container);
            cursor.next += 1;
            if cursor.next == 1 && run.shape.bulk > 0 && !cursor.timestamps {
                break;
            }
        }
        text.into()
    }

    fn break_off(&self, now_us: u64, cursor: &mut LogCursor, run: &Run, end: u64) -> LogPiece {
        if matches!(cursor.fault, Some(LogFault::EndAt(_))) {
            return LogPiece::End;
        }
        if cursor.broken || cursor.next >= end {
            return LogPiece::Cut;
        }
        cursor.broken = true;
        let one = cursor.next + 1;
        let mut half = self.read_lines(now_us, cursor, run, one);
        half.truncate(half.len() / 2);
        LogPiece::Bytes(cursor.limited(half))
    }
}
