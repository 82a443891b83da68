//! What a log says, by the program's own `replay`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::breach::{Breach, Result, Sort, doing};
use crate::judge::Deeds;

/// What `replay --verify` made of a log.
#[derive(Debug, Default)]
pub struct Audit {
    /// The last record that was replayed.
    pub records: u64,
    /// The last record of the snapshot that the replay began in, where the beginning of the log was dropped.
    pub from: u64,
    /// What the log decided, as far as it is there.
    pub decided: Deeds,
    /// Whether all was as in the log and nothing is known to be lost.
    pub clean: bool,
    /// What was said on standard error.
    pub said: String,
}

/// The fields of a line that are of interest here.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    topic: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    uid: String,
    message: String,
}

impl Audit {
    /// Replays a log. An answer other than yes or no, such as a panic, is a breach.
    pub async fn of(program: &Path, log: &Path) -> Result<Audit> {
        let mut command = Command::new(program);
        command.arg("replay").arg(log).args(["--verify", "--effects", "--output", "json", "--no-progress"]);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(doing("replay the log"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("panicked") || !matches!(output.status.code(), Some(0 | 1)) {
            return Err(Breach::new(format!("the replay ended ({}): {said}", output.status)));
        }
        let records = said.lines().find_map(|line| {
            line.strip_prefix("burst-agent: ")?.split_once(" records verified")?.0.parse().ok()
        });
        let mut audit = Audit {
            records: records.unwrap_or_default(),
            clean: output.status.success(),
            said,
            ..Audit::default()
        };
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(doing("read a line of the replay"))?;
            match &*line.topic {
                "effect" => audit.note(line),
                "snapshot" => audit.from = line.seq,
                _ => {}
            }
        }
        audit.records += audit.from;
        Ok(audit)
    }

    fn note(&mut self, line: Line) {
        // "create cloud pod NAME", "delete cloud pod NAME with 1 s grace"
        let name = |said: &str| {
            let rest = line.message.split_once(said).map_or("", |(_, rest)| rest);
            rest.split([' ', ',', ';']).next().unwrap_or_default().to_owned()
        };
        let decided = &mut self.decided;
        match &*line.kind {
            "create_cloud_pod" => drop(decided.created.insert(name("create cloud pod "))),
            "delete_cloud_pod" => drop(decided.deleted.insert(name("delete cloud pod "))),
            "patch_pod_status" => drop(decided.patched.insert(line.uid)),
            "release_pod" => drop(decided.released.insert(line.uid)),
            _ => {}
        }
    }

    /// What was decided in the part of the log that was dropped since, an earlier look has seen.
    pub fn remember(&mut self, decided: &mut Deeds) {
        if self.from > 0 {
            self.decided.join(decided);
        }
        decided.clone_from(&self.decided);
    }

    /// S7: whatever was done has its cause in the log; and what was said to be durable is there.
    pub fn check(&self, done: &Deeds, durable: u64) -> Result<()> {
        if !self.clean {
            return Err(Breach::of(
                Sort::Lost,
                format!("the log is not as it was left: {}", self.said.trim()),
            ));
        }
        if self.records < durable {
            let records = self.records;
            let what =
                format!("acknowledged records are lost: #{durable} was durable, the log ends at #{records}");
            return Err(Breach::of(Sort::Lost, what));
        }
        let decided = &self.decided;
        let missing = |what: &str, done: &BTreeSet<String>, decided: &BTreeSet<String>| {
            let first = done.difference(decided).next();
            first.map_or(Ok(()), |first| {
                Err(Breach::of(Sort::Lost, format!("{what} {first} is not in the log")))
            })
        };
        missing("the creation of", &done.created, &decided.created)?;
        missing("the deletion of", &done.deleted, &decided.deleted)?;
        missing("a status of", &done.patched, &decided.patched)?;
        missing("the release of", &done.released, &decided.released)
    }
}
