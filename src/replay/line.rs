//! What a replay tells, one line at a time, for a person or for a program.
//!
//! With `--output json` each line is one object. Fields that say nothing are left out; names are stable:
//!
//! | field | of which `type` | what it is |
//! |---|---|---|
//! | `type` | all | `snapshot`, `event`, `outcome`, `effect`, `held`, `pod` or `summary` |
//! | `seq` | all but `summary` | the record's place in the log |
//! | `at` | all but `summary` | when it was recorded, RFC 3339 in UTC |
//! | `pod`, `uid` | where there is one | the pod as `namespace/name`, and which incarnation |
//! | `event` | `event`, `outcome` | such as `pod_observed`; `effect_finished` for an outcome |
//! | `effect`, `attempt`, `kind` | `effect`, `outcome` | the effect's id, such as `7.0`, and what was asked |
//! | `causes` | `effect`, `held` | the records that it follows from |
//! | `outcome` | `outcome` | `done`, `refused`, `later` or `unknown` |
//! | `reason` | `outcome`, `held` | the answer, or why not, as a word for a program |
//! | `bucket`, `latency` | `outcome` | the token bucket, and milliseconds spent in each stage |
//! | `retry_at` | `outcome` | when the next attempt is due |
//! | `detail` | `effect`, with `--effects` | more of what was asked |
//! | `message` | all but `summary` | the same in words |
//!
//! The fields of `summary` are those of [`super::summary::Summary`].

use std::io::{self, Write};

use engine::{EffectId, Micros, PodRef, Seq};
use serde::{Serialize, Serializer};

use crate::args::replay::Output;
use crate::replay::summary::Summary;

/// Columns before what is said: a time, a sequence number, and what separates them.
const MARGIN_COLUMNS: usize = 37;

/// What a line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Something happened.
    #[default]
    Event,
    /// An effect ended.
    Outcome,
    /// Something is to be done.
    Effect,
    /// Something is to be done and is not done yet.
    Held,
    /// The replay does not begin with the first record.
    Snapshot,
    /// How a pod stands at the end.
    Pod,
}

/// Milliseconds that an attempt spent in each stage it reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// From its cause being durable to the answer, or to the last stage reached.
    pub total_ms: u64,
    /// Until the executor had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<u64>,
    /// Waiting for its token bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted_ms: Option<u64>,
    /// Until the request left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// Waiting for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<u64>,
}

/// One line. See the module for what each field is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about.
    #[serde(rename = "type")]
    pub topic: Topic,
    /// The record.
    #[serde(serialize_with = "number")]
    pub seq: Seq,
    /// When it was recorded.
    #[serde(serialize_with = "time_text")]
    pub at: Micros,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Which incarnation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// [`engine::Event::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'static str>,
    /// The effect's id.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "id_text")]
    pub effect: Option<EffectId>,
    /// The effect's attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// [`engine::EffectKind::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The records it follows from.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "numbers")]
    pub causes: Vec<Seq>,
    /// How an effect ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// The answer, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The token bucket it waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<&'static str>,
    /// What took how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time_text_if_any")]
    pub retry_at: Option<Micros>,
    /// More of what was asked, by name.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "pairs")]
    pub detail: Vec<(&'static str, String)>,
    /// In words.
    pub message: String,
}

impl Line {
    /// Says which pod it is about.
    pub fn about(mut self, pod: Option<&PodRef>) -> Line {
        self.pod = pod.map(PodRef::to_string);
        self.uid = pod.map(|pod| pod.uid.0.to_string());
        self
    }

    /// Whether the record above it says when and where this belongs.
    fn is_decision(&self) -> bool {
        match self.topic {
            Topic::Effect | Topic::Held => true,
            Topic::Event | Topic::Outcome | Topic::Snapshot | Topic::Pod => false,
        }
    }
}

/// Where lines say which pod they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// In each line: pods take turns.
    Inline,
    /// In a heading, where it changes: it rarely does.
    Headings,
}

/// Writes lines.
pub struct Printer<W> {
    out: W,
    output: Output,
    subjects: Subjects,
    heading: Option<String>,
}

impl<W: Write> Printer<W> {
    /// Writes to `out`, which should be buffered.
    pub fn new(out: W, output: Output, subjects: Subjects) -> Printer<W> {
        Printer { out, output, subjects, heading: None }
    }

    /// Writes a line.
    ///
    /// # Errors
    /// What the output answers.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        match self.output {
            Output::Json => self.object(line),
            Output::Text => self.text(line),
        }
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// What the output answers.
    pub fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self.output {
            Output::Json => self.object(summary),
            Output::Text => write!(self.out, "{summary}"),
        }
    }

    /// Hands over what is buffered.
    ///
    /// # Errors
    /// What the output answers.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn object(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    fn text(&mut self, line: &Line) -> io::Result<()> {
        self.head(line)?;
        if line.is_decision() {
            write!(self.out, "{:MARGIN_COLUMNS$}-> ", "")?;
        } else {
            write!(self.out, "{}  {:>9}  ", time(line.at), line.seq.to_string())?;
        }
        if let (Subjects::Inline, Some(pod)) = (self.subjects, &line.pod) {
            write!(self.out, "{pod}: ")?;
        }
        if let Some(id) = line.effect {
            write!(self.out, "{id} ")?;
        }
        if let Some(attempt) = line.attempt.filter(|attempt| *attempt > 1) {
            write!(self.out, "(attempt {attempt}) ")?;
        }
        write!(self.out, "{}", one_line(&line.message))?;
        if !line.causes.is_empty() {
            let causes: Vec<String> = line.causes.iter().map(Seq::to_string).collect();
            write!(self.out, " [because of {}]", causes.join(", "))?;
        }
        writeln!(self.out)?;
        for (name, value) in &line.detail {
            writeln!(self.out, "{:MARGIN_COLUMNS$}   {name}: {}", "", one_line(value))?;
        }
        Ok(())
    }

    fn head(&mut self, line: &Line) -> io::Result<()> {
        if self.subjects == Subjects::Inline || line.uid.is_none() || line.uid == self.heading {
            return Ok(());
        }
        self.heading.clone_from(&line.uid);
        let (Some(pod), Some(uid)) = (&line.pod, &line.uid) else { return Ok(()) };
        writeln!(self.out, "-- {}, uid {}", one_line(pod), one_line(uid))
    }
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub fn time(at: Micros) -> String {
    let us = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(us) {
        Ok(time) => format!("{time:.3}"),
        // Beyond the year 9999: no clock of a sane machine, but a log may say so.
        Err(_) => format!("{} us", at.0),
    }
}

/// What others say may hold line feeds, and sequences that command a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn number<S: Serializer>(seq: &Seq, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(seq.0)
}

fn numbers<S: Serializer>(seqs: &[Seq], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(seqs.iter().map(|seq| seq.0))
}

fn time_text<S: Serializer>(at: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

fn time_text_if_any<S: Serializer>(at: &Option<Micros>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(time).serialize(serializer)
}

fn id_text<S: Serializer>(id: &Option<EffectId>, serializer: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_string()).serialize(serializer)
}

fn pairs<S: Serializer>(pairs: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}
