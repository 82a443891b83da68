//! What the commands come to that people try things out with. Nothing is executed: `sleep 5` ends after five
//! seconds, `true` and `echo` at once, `false` at once with 1, and `sh -c` does one such after the other.
//! Every other command runs until it is stopped.

use serde_json::Value;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// After so long.
    pub after_us: u64,
    /// With this code.
    pub exit_code: i32,
}

impl End {
    fn at_once(exit_code: i32) -> End {
        End { after_us: 0, exit_code }
    }

    /// The end of several commands that run side by side: the last one's time, and the first failure.
    pub fn of_all(ends: impl Iterator<Item = Option<End>>) -> Option<End> {
        ends.reduce(|one, other| {
            let (one, other) = (one?, other?);
            let exit_code = if one.exit_code == 0 { other.exit_code } else { one.exit_code };
            Some(End { after_us: one.after_us.max(other.after_us), exit_code })
        })
        .flatten()
    }
}

/// How a container's command ends; `None` for one that runs on.
pub(super) fn end_of(container: &Value) -> Option<End> {
    let words = ["command", "args"].into_iter().flat_map(|field| {
        let list = container[field].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str)
    });
    let words: Vec<&str> = words.collect();
    let [program, rest @ ..] = words.as_slice() else { return None };
    match (program.rsplit('/').next()?, rest) {
        ("sh" | "bash" | "ash", ["-c", script, ..]) => end_of_script(script),
        (program, rest) => end_of_command(program, rest),
    }
}

fn end_of_script(script: &str) -> Option<End> {
    let mut end = End::at_once(0);
    for line in script.replace("&&", ";").split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [program, rest @ ..] = words.as_slice() else { continue };
        if *program == "exit" {
            end.exit_code = rest.first().and_then(|code| code.parse().ok()).unwrap_or(end.exit_code);
            return Some(end);
        }
        let next = end_of_command(program, rest)?;
        end = End { after_us: end.after_us.saturating_add(next.after_us), exit_code: next.exit_code };
    }
    Some(end)
}

fn end_of_command(program: &str, rest: &[&str]) -> Option<End> {
    match program {
        "true" | "echo" | "date" | "hostname" | "uname" | "env" => Some(End::at_once(0)),
        "false" => Some(End::at_once(1)),
        "sleep" => Some(End { after_us: duration_us(rest.first()?)?, exit_code: 0 }),
        _ => None,
    }
}

/// Reads `5`, `0.5`, `2m`; `None` for `infinity`.
fn duration_us(text: &str) -> Option<u64> {
    let (number, unit_s) = match text.char_indices().next_back()? {
        (end, 's') => (&text[..end], 1.0),
        (end, 'm') => (&text[..end], 60.0),
        (end, 'h') => (&text[..end], 3_600.0),
        (end, 'd') => (&text[..end], 86_400.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit_s;
    (0.0..1e9).contains(&seconds).then_some((seconds * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(words: &[&str]) -> Option<(u64, i32)> {
        end_of(&json!({ "command": words })).map(|end| (end.after_us / 1_000, end.exit_code))
    }

    #[test]
    fn simple_commands_end_as_they_do() {
        assert_eq!(end(&["sleep", "5"]), Some((5_000, 0)));
        assert_eq!(end(&["/bin/sleep", "0.5m"]), Some((30_000, 0)));
        assert_eq!(end(&["/bin/sh", "-c", "echo hi; sleep 2 && exit 3"]), Some((2_000, 3)));
        assert_eq!(end(&["sh", "-c", "sleep 1\nfalse"]), Some((1_000, 1)));
        assert_eq!(end(&["true"]), Some((0, 0)));
        let split = json!({ "command": ["sh", "-c"], "args": ["exit 4"] });
        assert_eq!(end_of(&split), Some(End::at_once(4)));
    }

    #[test]
    fn what_is_not_known_runs_on() {
        for words in [
            &[][..],
            &["nginx"],
            &["sleep", "infinity"],
            &["sleep"],
            &["sh", "-c", "while true; do sleep 1; done"],
        ] {
            assert_eq!(end(words), None, "{words:?}");
        }
    }

    #[test]
    fn a_pod_ends_when_all_its_containers_have() {
        let (short, long) = (End { after_us: 1, exit_code: 0 }, End { after_us: 2, exit_code: 3 });
        assert_eq!(
            End::of_all([Some(short), Some(long)].into_iter()),
            Some(End { after_us: 2, exit_code: 3 })
        );
        assert_eq!(End::of_all([Some(short), None].into_iter()), None);
        assert_eq!(End::of_all(std::iter::empty()), None);
    }
}
