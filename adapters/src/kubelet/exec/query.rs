//! What a caller asks for of a command or an attachment.

use crate::kubelet::Refused;

/// Which streams are wanted, and what is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::kubelet) struct Asked {
    pub(in crate::kubelet) input: bool,
    pub(in crate::kubelet) output: bool,
    pub(in crate::kubelet) error: bool,
    pub(in crate::kubelet) tty: bool,
    pub(in crate::kubelet) command: Vec<String>,
}

impl Asked {
    /// Reads the pairs of a query. A standard error beside a terminal, which has one output only, is not asked for: a
    /// kubelet passes it over, and some dashboards ask for all there is.
    ///
    /// # Errors
    /// 400 when no stream is wanted.
    pub(in crate::kubelet) fn read(query: &[(String, String)]) -> Result<Asked, Refused> {
        let mut asked = Asked::default();
        for (name, value) in query {
            let is_set = value == "1" || value == "true";
            match &**name {
                "input" => asked.input |= is_set,
                "output" => asked.output |= is_set,
                "error" => asked.error |= is_set,
                "tty" => asked.tty |= is_set,
                "command" => asked.command.push(value.clone()),
                _ => {}
            }
        }
        asked.error &= !asked.tty;
        if !asked.input && !asked.output && !asked.error {
            return Err(Refused::bad_request("ask for at least one of input, output and error"));
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::query::parse;

    fn read(query: &str) -> Result<Asked, Refused> {
        Asked::read(&parse(query)?)
    }

    #[test]
    fn the_recorded_queries_are_understood() {
        let asked = read("command=sh&command=-c&command=echo+%22a++b%22+%26%26+ls+%2Fx%26y%3D1+%2B%25%C3%A9&command=&command=last+arg&error=1&output=1").unwrap();
        assert_eq!(asked.command, ["sh", "-c", "echo \"a  b\" && ls /x&y=1 +%é", "", "last arg"]);
        assert!(asked.output && asked.error && !asked.input && !asked.tty);
        let asked = read("command=sh&input=true&output=1&tty=1").unwrap();
        assert!(asked.input && asked.tty && !asked.error);
    }

    #[test]
    fn a_standard_error_beside_a_terminal_is_passed_over() {
        let asked = read("command=sh&error=1&input=1&output=1&tty=1").unwrap();
        assert!(asked.input && asked.output && asked.tty && !asked.error);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for query in ["", "command=ls", "input=0&output=no", "tty=1&error=1", "output=1&command=%ff", "tty=1"]
        {
            assert_eq!(read(query).unwrap_err().status, http::StatusCode::BAD_REQUEST, "{query}");
        }
    }

    fn check_query(input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(asked) = read(text) else { return };
        assert!(asked.input || asked.output || asked.error);
        assert!(!asked.tty || !asked.error);
        assert!(asked.command.len() <= text.matches("command").count());
        assert!(asked.command.iter().map(String::len).sum::<usize>() <= input.len());
    }

    #[test]
    fn fuzz_exec_query() {
        let corpus: [&[u8]; 2] = [
            b"command=sh&command=-c&command=echo+%22a++b%22&error=1&input=1&output=1",
            b"command=&input=true&output=1&tty=1",
        ];
        fuzz::target!(&corpus, check_query);
    }
}
