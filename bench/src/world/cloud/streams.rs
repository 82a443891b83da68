//! The calls whose answers go on: logs and commands.

use bytes::Bytes;

use super::faults::{CallClass, FaultKind};
use super::pod::inside::{Exec, ExecFault};
use super::pod::log::{LogCursor, LogFault, LogPiece};
use super::reply::{Refusal, Reply, Streamed};
use super::request::Request;
use super::shell::System;
use super::{Cloud, PodKey};

impl Cloud {
    pub(super) fn pod_log(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let mut cursor = self.pod_of(request)?.open_log(&request.query, self.now_us)?;
        let follow = request.query.follow;
        let fault = if self.strikes(FaultKind::LogCut, CallClass::Read) {
            Some(if follow { LogFault::CutAt(self.fault_us()) } else { LogFault::CutHalfway })
        } else if follow && self.strikes(FaultKind::LogEnd, CallClass::Read) {
            Some(LogFault::EndAt(self.fault_us()))
        } else {
            None
        };
        if let Some(fault) = fault {
            cursor.set_fault(fault);
        }
        let short = if follow || fault.is_some() { None } else { self.short_log(&cursor) };
        let mut reply = Reply::new(200, short.clone().unwrap_or_default());
        reply.content_type = "text/plain";
        reply.stream = short.is_none().then_some(Streamed::Log(cursor));
        Ok(reply)
    }

    /// A whole log, if it is one piece.
    fn short_log(&self, cursor: &LogCursor) -> Option<Bytes> {
        let mut cursor = cursor.clone();
        match self.read_log(self.now_us, &mut cursor) {
            LogPiece::End => Some(Bytes::new()),
            LogPiece::Bytes(bytes) => {
                (self.read_log(self.now_us, &mut cursor) == LogPiece::End).then_some(bytes)
            }
            LogPiece::WaitUs(_) | LogPiece::Cut => None,
        }
    }

    /// The next piece of a log. At a pod that is gone every log ends.
    #[must_use]
    pub fn read_log(&self, now_us: u64, cursor: &mut LogCursor) -> LogPiece {
        let now_us = now_us.max(self.now_us);
        self.pods.get(&cursor.key).map_or(LogPiece::End, |pod| pod.read_log(now_us, cursor))
    }

    pub(super) fn pod_exec(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let mut exec = self.pod_of(request)?.open_exec(&request.query)?;
        if self.strikes(FaultKind::ExecDrop, CallClass::Read) {
            exec.fault = Some(ExecFault::DropAt(self.fault_us()));
        } else if self.strikes(FaultKind::ExecNoStatus, CallClass::Read) {
            exec.fault = Some(ExecFault::NoStatus);
        }
        let mut reply = Reply::new(101, Bytes::new());
        reply.stream = Some(Streamed::Exec(exec));
        Ok(reply)
    }

    /// Where a command runs; `None` when its container has ended meanwhile.
    pub fn exec_system(&mut self, exec: &Exec) -> Option<System> {
        let pod = self.pods.get_mut(&exec.key).filter(|pod| pod.holds(exec))?;
        Some(pod.system(exec, &self.common.file_space))
    }

    /// Whether the container in which a command runs still does.
    #[must_use]
    pub fn is_exec_alive(&self, exec: &Exec) -> bool {
        self.pods.get(&exec.key).is_some_and(|pod| pod.holds(exec))
    }

    /// Pods that answer at their addresses now, in the order of their names.
    pub fn running_pods(&self) -> impl Iterator<Item = (&PodKey, &super::Pod)> {
        self.pods.iter().filter(|(_, pod)| *pod.stage() == super::Stage::Running)
    }

    /// When a fault strikes a stream that begins now.
    fn fault_us(&mut self) -> u64 {
        let most_us = self.common.options.stream_fault_ms_max.saturating_mul(1_000);
        self.now_us + 1 + self.common.chance.below(most_us)
    }
}
