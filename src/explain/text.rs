//! The answer for a person.

use std::fmt::Write;

use adapters::cci::Sizing;
use engine::size::{Rule, Size, cpu_text, memory_text};

use crate::explain::Subject;

/// What a container or pod that asks for nothing has in place of an amount.
const NOTHING: &str = "-";

/// Some paragraphs, the first line being the verdict.
pub fn render(subject: &Subject<'_>) -> String {
    let (workload, explanation) = (subject.workload, subject.explanation);
    let mut text = format!(
        "{} {}/{}: {} (profile {}, policy {})\n",
        workload.kind,
        workload.namespace,
        workload.name,
        if subject.is_admitted() { "admitted" } else { "refused" },
        subject.profile.name,
        subject.policy.name()
    );
    if !workload.template.is_empty() {
        let _ = writeln!(text, "  Fields are those of its pod, below {}.", workload.template);
    }
    for reason in &explanation.reasons {
        let _ = write!(text, "\n  {} ({})\n      {}\n", reason.field, reason.rule.name(), reason.message);
    }
    if let (false, Some(asked)) = (subject.is_admitted(), &explanation.asked) {
        let _ = write!(text, "\n  {}\n", wish(asked.size()));
    }
    if let Some(sizing) = &explanation.sizing {
        text += &sizes(subject, sizing);
        text += &changes(sizing);
    }
    if let Some(room) = subject.room() {
        let zone = if room.zone.is_empty() { "the node's zone" } else { &room.zone };
        let _ = writeln!(
            text,
            "\n  When CCI has no room for {} in {zone}, it waits with the others of that size.",
            room.size
        );
    }
    if !explanation.left_out.is_empty() {
        text += "\n  Left out, because it has no meaning in CCI:\n";
        for path in &explanation.left_out {
            let _ = writeln!(text, "    {path}");
        }
    }
    if !explanation.claims.is_empty() {
        text += "\n  What these claims are bound to is looked at in the cluster (claim-storage):\n";
        for path in &explanation.claims {
            let _ = writeln!(text, "    {path}");
        }
    }
    if let Some(request) = &explanation.request {
        let _ = write!(
            text,
            "\n  Request to CCI; capitals stand for what only the cluster knows:\n    POST {}\n",
            request.path
        );
        let body = serde_yaml_ng::to_string(&request.body).expect("its keys are texts");
        for line in body.lines() {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
    }
    text
}

/// What is asked for and what is given, a line each, the pod last.
fn sizes(subject: &Subject<'_>, sizing: &Sizing) -> String {
    let containers = |list, what: &str| -> Vec<(String, Size, Size)> {
        let sizes = subject.containers(list);
        sizes.map(|size| (format!("{what}{}", size.name), size.asked, size.given)).collect()
    };
    let mut rows = containers("initContainers", "init container ");
    rows.extend(containers("containers", "container "));
    rows.push(("pod, as it is billed".to_owned(), sizing.asked, sizing.given.pod));
    let width = rows.iter().map(|(what, _, _)| what.chars().count()).max().unwrap_or_default();
    let row = |cells: [&str; 5]| {
        let [what, asked_cpu, asked_memory, cpu, memory] = cells;
        let row = format!("  {what:width$}  {asked_cpu:>9} {asked_memory:>10}   {cpu:>9} {memory:>10}");
        row.trim_end().to_owned() + "\n"
    };
    let mut text = "\n".to_owned();
    text += &row(["", "asked", "", "given", ""]);
    text += &row(["", "CPU", "memory", "CPU", "memory"]);
    for (what, asked, given) in rows {
        text += &row([&what, &cpu(asked), &memory(asked), &cpu(given), &memory(given)]);
    }
    text
}

fn changes(sizing: &Sizing) -> String {
    if sizing.given.steps.is_empty() {
        return "\n  Nothing is changed: what it asks for is a size that there is.\n".to_owned();
    }
    let mut text = "\n  Changed, in this order:\n".to_owned();
    for step in &sizing.given.steps {
        let change = |what, from: String, to: String| {
            if from == to { String::new() } else { format!(", {what} {from} to {to}") }
        };
        let _ = write!(
            text,
            "    {}{}{} ({})\n        {}\n",
            step.field,
            change("CPU", cpu(step.from), cpu(step.to)),
            change("memory", memory(step.from), memory(step.to)),
            step.rule.name(),
            meaning(step.rule)
        );
    }
    text
}

fn wish(asked: Size) -> String {
    match (asked.cpu_milli, asked.memory_bytes) {
        (0, 0) => "It asks for nothing.".to_owned(),
        (_, 0) => format!("It asks for {} CPU.", cpu(asked)),
        (0, _) => format!("It asks for {} memory.", memory(asked)),
        (_, _) => format!("It asks for {} CPU and {} memory.", cpu(asked), memory(asked)),
    }
}

fn cpu(size: Size) -> String {
    if size.cpu_milli == 0 { NOTHING.to_owned() } else { cpu_text(size.cpu_milli) }
}

/// As the API writes it, but for odd amounts of bytes, which nobody can read: those to a tenth of a MiB.
fn memory(size: Size) -> String {
    const MIB: u64 = 1 << 20;
    match size.memory_bytes {
        0 => NOTHING.to_owned(),
        bytes if bytes > MIB && !bytes.is_multiple_of(MIB) => {
            let tenths = (u128::from(bytes) * 10 + u128::from(MIB / 2)) / u128::from(MIB);
            format!("~{}.{}Mi", tenths / 10, tenths % 10)
        }
        bytes => memory_text(bytes),
    }
}

/// What a rule asks for, in a sentence.
fn meaning(rule: Rule) -> &'static str {
    match rule {
        Rule::RequestsEqualLimits => "requests must equal limits",
        Rule::SomeCpu => "at least one container asks for CPU",
        Rule::SomeCpuAndMemory => "at least one container asks for CPU and memory",
        Rule::ContainerSteps => "the CPU of a container comes in quarters, its memory is at least 0.2 GiB",
        Rule::WholeGib => "the memory of a pod comes in whole GiB",
        Rule::MemoryPerCpuMin => "a pod has at least 2 GiB of memory for each CPU",
        Rule::MemoryPerCpuMax => "a pod has at most 8 GiB of memory for each CPU",
        Rule::PodMax => "a pod has at most 32 CPUs and 256 GiB of memory",
        Rule::FirstContainer => {
            "what the pod was raised by goes to the first container that asks for anything"
        }
        Rule::SmallestFlavor => "a pod is given the smallest flavor that fits",
        Rule::NamedFlavor => "a pod is given the flavor that its annotation names",
    }
}
