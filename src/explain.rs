//! `burst-agent explain`: what would become of the pods in a file, without a cluster and without a cloud. It decides
//! nothing of its own: it asks the function that makes cloud pods.

mod error;
mod json;
mod read;
#[cfg(test)]
mod tests;
mod text;
mod workload;

use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use adapters::cci::{Explanation, PodChoices, Profile, Rooms, explain};
use engine::Room;
use engine::size::{Size, SizePolicy};

use crate::args::EXIT_USAGE;
use crate::args::explain::ExplainArgs;
use crate::args::replay::Output;
use error::Error;
use workload::{Found, Workload};

/// What the process ends with when a pod is refused.
const EXIT_REFUSED: u8 = 1;
/// What it ends with when something cannot be read, as when it is called wrongly.
const EXIT_UNREADABLE: u8 = EXIT_USAGE;

/// Most objects without a pod that are named: enough to see that the file is the wrong one.
const SKIPPED_NAMED_MAX: usize = 5;

/// What the command says.
#[derive(Default)]
struct Answer {
    /// For standard output.
    told: String,
    /// For standard error, a line each.
    remarks: Vec<String>,
    /// What the process ends with.
    exit_code: u8,
}

/// Runs the command. Ends with 0 when every pod is admitted, with 1 when one is refused, and with 2 when something
/// could not be read.
pub fn run(args: ExplainArgs) -> ExitCode {
    let name =
        if args.is_standard_input() { "standard input".to_owned() } else { args.file.display().to_string() };
    let answer = match input(&args) {
        Ok(input) => answer(&args, &name, &input),
        Err(error) => {
            let remark = format!("{name}: cannot be read: {error}");
            Answer { remarks: vec![remark], exit_code: EXIT_UNREADABLE, ..Answer::default() }
        }
    };
    let written = io::stdout().write_all(answer.told.as_bytes());
    answer.remarks.iter().for_each(|remark| eprintln!("burst-agent: {remark}"));
    match written {
        // A reader that has seen enough, such as `head`, does not change what became of the pods.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("burst-agent: cannot write the answer: {error}");
            ExitCode::from(EXIT_UNREADABLE)
        }
        Ok(()) | Err(_) => ExitCode::from(answer.exit_code),
    }
}

/// Reads at most one byte more than is accepted.
fn input(args: &ExplainArgs) -> io::Result<Vec<u8>> {
    let mut input = Vec::new();
    let bytes_max = read::INPUT_BYTES_MAX + 1;
    if args.is_standard_input() {
        io::stdin().lock().take(bytes_max).read_to_end(&mut input)?;
    } else {
        std::fs::File::open(&args.file)?.take(bytes_max).read_to_end(&mut input)?;
    }
    Ok(input)
}

/// What is said to this input. What can be read of it is explained, whatever stands beside it.
fn answer(args: &ExplainArgs, name: &str, input: &[u8]) -> Answer {
    let (profile, choices) = match rules(args) {
        Ok(rules) => rules,
        Err(remark) => {
            return Answer { remarks: vec![remark], exit_code: EXIT_USAGE, ..Answer::default() };
        }
    };
    let mut answer = Answer::default();
    let (documents, torn) = read::documents(input);
    let mut errors: Vec<Error> = torn.into_iter().collect();
    let (mut skipped, mut found) = (Vec::new(), 0);
    for document in documents {
        for object in workload::found_in(document) {
            match object {
                Found::Workload(workload) => {
                    found += 1;
                    answer.tell(args.output(), &profile, &choices, &workload);
                }
                Found::Podless(what) => skipped.push(what),
                Found::Unreadable(error) => errors.push(error),
            }
        }
    }
    if found == 0 && errors.is_empty() {
        errors.push(Error::NoPod { found: some_of(&skipped) });
    } else if !skipped.is_empty() {
        answer.remarks.push(format!("{name}: skipped, because it has no pod: {}", some_of(&skipped)));
    }
    if !errors.is_empty() {
        answer.exit_code = EXIT_UNREADABLE;
    }
    answer.remarks.extend(errors.iter().map(|error| format!("{name}{error}")));
    answer
}

/// The profile and the choices that are asked for. Each follows from the other; both must go together, as in `run`.
fn rules(args: &ExplainArgs) -> Result<(Profile, PodChoices), String> {
    let sizes_by =
        |profile: &Profile| args.policy.is_none_or(|policy| profile.size_policies.contains(&policy));
    let profile = match args.profile {
        Some(named) => named.profile(),
        None => Profile::ALL.into_iter().find(sizes_by).unwrap_or_default(),
    };
    let policy = args.policy.unwrap_or_else(|| profile.size_policy());
    profile.check_policy(policy).map_err(|remedy| format!("--policy: {remedy}"))?;
    Ok((profile, args.pods.choices(policy)))
}

impl Answer {
    fn tell(&mut self, output: Output, profile: &Profile, choices: &PodChoices, workload: &Workload) {
        let mut explanation =
            explain(profile, choices, &workload.namespace, &workload.pod_name, &workload.manifest);
        workload.point_into_the_file(&mut explanation);
        if !explanation.reasons.is_empty() {
            self.exit_code = EXIT_REFUSED;
        }
        let subject = Subject { profile, policy: choices.size_policy, workload, explanation: &explanation };
        match output {
            Output::Text if self.told.is_empty() => self.told += &text::render(&subject),
            Output::Text => {
                self.told.push('\n');
                self.told += &text::render(&subject);
            }
            Output::Json => {
                self.told += &json::render(&subject);
                self.told.push('\n');
            }
        }
    }
}

/// All that is said about one pod.
struct Subject<'a> {
    profile: &'a Profile,
    policy: SizePolicy,
    workload: &'a Workload,
    explanation: &'a Explanation,
}

/// What a container asks for and is given, requests and limits alike.
struct ContainerSize<'a> {
    name: &'a str,
    asked: Size,
    given: Size,
}

impl Subject<'_> {
    fn is_admitted(&self) -> bool {
        self.explanation.reasons.is_empty()
    }

    /// What the pod would take up in the cloud, its zone empty where the node's would do; `None` when it is refused.
    fn room(&self) -> Option<Arc<Room>> {
        let manifest = serde_json::value::to_raw_value(&self.workload.manifest).ok()?;
        Rooms::new(self.policy, None).of(&manifest).filter(|_| self.is_admitted())
    }

    /// The sizes of a list of containers; none of a pod that is refused.
    fn containers(&self, list: &str) -> impl Iterator<Item = ContainerSize<'_>> {
        let Explanation { asked, sizing, .. } = self.explanation;
        let starts = list == "initContainers";
        let asked = asked.iter().flat_map(
            move |asked| {
                if starts { &asked.init_containers } else { &asked.containers }
            },
        );
        let given = sizing.iter().flat_map(move |sizing| {
            if starts { &sizing.given.init_containers } else { &sizing.given.containers }
        });
        let named = self.workload.manifest["spec"][list].as_array().into_iter().flatten();
        let names = named.map(|container| container["name"].as_str().unwrap_or_default());
        names.zip(asked.zip(given)).map(|(name, (asked, given))| ContainerSize {
            name,
            asked: asked.size(),
            given: *given,
        })
    }
}

fn some_of(names: &[String]) -> String {
    let named = names.iter().take(SKIPPED_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SKIPPED_NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
