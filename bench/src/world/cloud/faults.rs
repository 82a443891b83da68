//! What goes wrong, as data: a list of rules, each with a kind and how often it strikes.
//!
//! On a command line a list is written `throttle=0.1,timeout-after=0.05`. A rule is
//! `KIND[@CALLS]=HOW-OFTEN[*LIMIT]`: `HOW-OFTEN` is a probability (`0.1`) or every n-th call (`1/10`),
//! `CALLS` is `create`, `read`, `delete` or `token`, `LIMIT` is after how many hits the rule is spent. So
//! `timeout-after@create=1/3*2` loses the answers to the third and the sixth creation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429, before anything is done.
    Throttle,
    /// 500 or 503, before anything is done.
    ServerErrorBefore,
    /// 500 or 503, after the call was done.
    ServerErrorAfter,
    /// No answer in time, and the call was done.
    TimeoutApplied,
    /// No answer in time, and nothing was done.
    TimeoutNotApplied,
    /// No answer in time, and the call is done up to ten minutes later.
    LateApply,
    /// 400 `CCI.02.400116` to a pod's creation: no room now.
    NoCapacity,
    /// 403 `CCI.01.403009` to a creation: the account is in arrears.
    Arrears,
    /// 403 `CCI.01.403122`: the account has not authorised the service.
    Agency,
    /// A list of pods misses its second half, with 200 and no `continue`.
    CutList,
    /// A list of pods is empty, with 200.
    EmptyList,
    /// 200 with a web page.
    Html,
    /// 200 with the first half of the body.
    Truncated,
    /// A pod is accepted and never starts, until [`heal`](super::Cloud::heal).
    StuckCreating,
    /// A pod is accepted and fails before it runs.
    FailsLater,
    /// A pod's deletion is accepted and never ends, until [`heal`](super::Cloud::heal).
    StuckDeleting,
    /// 503 from the token endpoint.
    TokenEndpointDown,
    /// A log stream breaks off within a line, as if the connection had been cut. One that is followed does so
    /// some time after it began, any other in the middle.
    LogCut,
    /// A log that is followed ends in good order some time after it began, although its container runs on.
    LogEnd,
    /// An exec stream closes without the frame that tells how the command ended.
    ExecNoStatus,
    /// The connection of an exec stream is dropped some time after it began, or when its command ends.
    ExecDrop,
    /// 401: a valid token is taken for an expired one, and is spent.
    TokenExpired,
}

/// Every kind with its short name; the long one, as in configuration files, is accepted as well.
const NAMES: [(FaultKind, &str, &str); 22] = [
    (FaultKind::Throttle, "throttle", "throttle"),
    (FaultKind::ServerErrorBefore, "error-before", "server-error-before"),
    (FaultKind::ServerErrorAfter, "error-after", "server-error-after"),
    (FaultKind::TimeoutApplied, "timeout-after", "timeout-applied"),
    (FaultKind::TimeoutNotApplied, "timeout-before", "timeout-not-applied"),
    (FaultKind::LateApply, "late-apply", "late-apply"),
    (FaultKind::NoCapacity, "no-capacity", "no-capacity"),
    (FaultKind::Arrears, "arrears", "arrears"),
    (FaultKind::Agency, "agency", "agency"),
    (FaultKind::CutList, "cut-list", "cut-list"),
    (FaultKind::EmptyList, "empty-list", "empty-list"),
    (FaultKind::Html, "html", "html"),
    (FaultKind::Truncated, "truncated", "truncated"),
    (FaultKind::StuckCreating, "stuck-creating", "stuck-creating"),
    (FaultKind::FailsLater, "fails-later", "fails-later"),
    (FaultKind::StuckDeleting, "stuck-deleting", "stuck-deleting"),
    (FaultKind::TokenEndpointDown, "token-down", "token-endpoint-down"),
    (FaultKind::LogCut, "log-cut", "log-cut"),
    (FaultKind::LogEnd, "log-end", "log-end"),
    (FaultKind::ExecNoStatus, "exec-no-status", "exec-no-status"),
    (FaultKind::ExecDrop, "exec-drop", "exec-drop"),
    (FaultKind::TokenExpired, "token-expired", "token-expired"),
];

/// Classes of calls, for limits, latencies, counters and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallClass {
    /// Makes or changes something.
    Create,
    /// Reads.
    Read,
    /// Ends something.
    Delete,
    /// Asks the identity service.
    Token,
}

const CLASSES: [(CallClass, &str); 4] = [
    (CallClass::Create, "create"),
    (CallClass::Read, "read"),
    (CallClass::Delete, "delete"),
    (CallClass::Token, "token"),
];

/// How often a rule strikes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// Each call, with this probability of 0 to 1.
    Probability(f64),
    /// Every n-th call that the rule is about.
    EveryNth(u32),
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What.
    pub kind: FaultKind,
    /// In which calls only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallClass>,
    /// How often.
    #[serde(flatten)]
    pub frequency: Frequency,
    /// After how many hits the rule is spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Everything that goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultRules(pub Vec<FaultRule>);

/// Why a list of rules cannot be read; names the rule and the part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// A rule without `=`.
    #[error("fault `{rule}`: expected KIND=HOW-OFTEN, such as throttle=0.1")]
    NoFrequency {
        /// The rule.
        rule: String,
    },
    /// A kind that does not exist.
    #[error("fault `{rule}`: unknown kind `{kind}`; known are {}", known_kinds())]
    Kind {
        /// The rule.
        rule: String,
        /// What stands where the kind should.
        kind: String,
    },
    /// A class of calls that does not exist.
    #[error("fault `{rule}`: unknown calls `{calls}`; known are create, read, delete, token")]
    Calls {
        /// The rule.
        rule: String,
        /// What stands where the class should.
        calls: String,
    },
    /// Neither a probability nor every n-th.
    #[error(
        "fault `{rule}`: how often `{frequency}` is neither a probability from 0 to 1 nor every n-th as 1/N"
    )]
    Frequency {
        /// The rule.
        rule: String,
        /// What stands where the frequency should.
        frequency: String,
    },
    /// A limit that is no number.
    #[error("fault `{rule}`: limit `{limit}` is not a whole number")]
    Limit {
        /// The rule.
        rule: String,
        /// What stands where the limit should.
        limit: String,
    },
}

fn known_kinds() -> String {
    NAMES.map(|(_, short, _)| short).join(", ")
}

impl FromStr for FaultRules {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<FaultRules, FaultError> {
        let rules = text.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        rules.map(FaultRule::from_str).collect::<Result<_, _>>().map(FaultRules)
    }
}

impl FromStr for FaultRule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<FaultRule, FaultError> {
        let rule = || text.to_owned();
        let (what, how_often) =
            text.split_once('=').ok_or_else(|| FaultError::NoFrequency { rule: rule() })?;
        let (kind, calls) = what.split_once('@').map_or((what, None), |(kind, calls)| (kind, Some(calls)));
        let (frequency, limit) = how_often
            .split_once('*')
            .map_or((how_often, None), |(frequency, limit)| (frequency, Some(limit)));
        let wanted = kind.trim().replace('_', "-");
        let kind = NAMES
            .iter()
            .find(|(_, short, long)| *short == wanted || *long == wanted)
            .map(|(kind, _, _)| *kind)
            .ok_or_else(|| FaultError::Kind { rule: rule(), kind: kind.trim().to_owned() })?;
        let calls = calls
            .map(|calls| {
                let known = CLASSES.iter().find(|(_, name)| *name == calls.trim()).map(|(class, _)| *class);
                known.ok_or_else(|| FaultError::Calls { rule: rule(), calls: calls.to_owned() })
            })
            .transpose()?;
        let frequency = parse_frequency(frequency.trim())
            .ok_or_else(|| FaultError::Frequency { rule: rule(), frequency: frequency.to_owned() })?;
        let limit = limit
            .map(|limit| {
                limit.trim().parse().map_err(|_| FaultError::Limit { rule: rule(), limit: limit.to_owned() })
            })
            .transpose()?;
        Ok(FaultRule { kind, calls, frequency, limit })
    }
}

fn parse_frequency(text: &str) -> Option<Frequency> {
    if let Some(nth) = text.strip_prefix("1/") {
        return nth.parse().ok().filter(|nth| *nth > 0).map(Frequency::EveryNth);
    }
    text.parse().ok().filter(|probability| (0.0..=1.0).contains(probability)).map(Frequency::Probability)
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(kind, _, _)| kind == self).map_or("", |(_, short, _)| short);
        f.write_str(name)
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some((_, name)) = CLASSES.iter().find(|(class, _)| Some(*class) == self.calls) {
            write!(f, "@{name}")?;
        }
        match self.frequency {
            Frequency::Probability(probability) => write!(f, "={probability}")?,
            Frequency::EveryNth(nth) => write!(f, "=1/{nth}")?,
        }
        self.limit.map_or(Ok(()), |limit| write!(f, "*{limit}"))
    }
}

impl fmt::Display for FaultRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(FaultRule::to_string).collect::<Vec<_>>().join(","))
    }
}

/// The rules at work: how many calls each has seen and hit.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<(FaultRule, Counted)>,
}

#[derive(Debug, Default)]
struct Counted {
    seen: u32,
    hit: u32,
}

impl Faults {
    pub(super) fn new(rules: &FaultRules) -> Faults {
        Faults { rules: rules.0.iter().map(|rule| (rule.clone(), Counted::default())).collect() }
    }

    /// Whether a fault of this kind strikes a call of this class that it can strike.
    pub(super) fn strikes(&mut self, kind: FaultKind, class: CallClass, chance: &mut Chance) -> bool {
        let about = |rule: &FaultRule| rule.kind == kind && rule.calls.is_none_or(|calls| calls == class);
        let mut struck = false;
        for (rule, counted) in self.rules.iter_mut().filter(|(rule, _)| about(rule)) {
            if rule.limit.is_some_and(|limit| counted.hit >= limit) {
                continue;
            }
            counted.seen += 1;
            let hit = match rule.frequency {
                Frequency::Probability(probability) => chance.happens(probability),
                Frequency::EveryNth(nth) => counted.seen.is_multiple_of(nth.max(1)),
            };
            counted.hit += u32::from(hit);
            struck |= hit;
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn parse(text: &str) -> String {
        text.parse::<FaultRules>().map_or_else(|error| error.to_string(), |rules| format!("{rules}"))
    }

    #[test]
    fn rules_are_read_and_written_in_one_form() {
        expect!["throttle=0.1,timeout-after=0.05"].assert_eq(&parse("throttle=0.1, timeout-after=0.05"));
        expect!["timeout-after@create=1/3*2"].assert_eq(&parse("timeout_applied@create=1/3*2"));
        expect![""].assert_eq(&parse(""));
        for (kind, short, long) in NAMES {
            assert_eq!(format!("{kind}"), short);
            assert_eq!(format!("{long}=1").parse::<FaultRule>().unwrap().kind, kind);
            let name = serde_json::to_value(kind).unwrap();
            assert_eq!(name, long.replace('-', "_"));
        }
    }

    #[test]
    fn errors_name_the_rule_and_its_part() {
        expect!["fault `throttle`: expected KIND=HOW-OFTEN, such as throttle=0.1"]
            .assert_eq(&parse("throttle"));
        expect!["fault `rain@read=1`: unknown kind `rain`; known are throttle, error-before, error-after, timeout-after, timeout-before, late-apply, no-capacity, arrears, agency, cut-list, empty-list, html, truncated, stuck-creating, fails-later, stuck-deleting, token-down, log-cut, log-end, exec-no-status, exec-drop, token-expired"]
            .assert_eq(&parse("rain@read=1"));
        expect!["fault `html@night=1`: unknown calls `night`; known are create, read, delete, token"]
            .assert_eq(&parse("html@night=1"));
        expect!["fault `html=2`: how often `2` is neither a probability from 0 to 1 nor every n-th as 1/N"]
            .assert_eq(&parse("html=2"));
        expect!["fault `html=1*few`: limit `few` is not a whole number"].assert_eq(&parse("html=1*few"));
    }

    #[test]
    fn rules_are_configuration() {
        let rules: FaultRules = serde_json::from_str(
            r#"[{"kind":"throttle","probability":0.5},{"kind":"timeout_applied","every_nth":2,"limit":1}]"#,
        )
        .unwrap();
        expect!["throttle=0.5,timeout-after=1/2*1"].assert_eq(&rules.to_string());
        assert_eq!(
            serde_json::from_str::<FaultRules>(&serde_json::to_string(&rules).unwrap()).unwrap(),
            rules
        );
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says() {
        let mut faults = Faults::new(&"html@read=1/3*2".parse().unwrap());
        let mut chance = Chance::new(0);
        let mut hits =
            |class| (0..12).filter(|_| faults.strikes(FaultKind::Html, class, &mut chance)).count();
        assert_eq!(hits(CallClass::Create), 0);
        assert_eq!(hits(CallClass::Read), 2);
    }
}
