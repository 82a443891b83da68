//! What a caller asks for of a command or an attachment.

use percent_encoding::percent_decode_str;

use crate::kubelet::Refused;

/// Most words of a command: as many as anybody types, and more than a shell's `*` gives in an ordinary directory.
const WORDS_MAX: usize = 4096;

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
    /// Reads a query as it stands in the request.
    ///
    /// # Errors
    /// 400 when no stream is wanted, or a standard error beside a terminal, which has one output only.
    pub(in crate::kubelet) fn read(query: &str) -> Result<Asked, Refused> {
        let mut asked = Asked::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            let is_set = value == "1" || value == "true";
            match name {
                "input" => asked.input |= is_set,
                "output" => asked.output |= is_set,
                "error" => asked.error |= is_set,
                "tty" => asked.tty |= is_set,
                "command" if asked.command.len() == WORDS_MAX => {
                    return Err(Refused::bad_request(format!("command has more than {WORDS_MAX} words")));
                }
                "command" => asked.command.push(value),
                _ => {}
            }
        }
        if asked.tty && asked.error {
            return Err(Refused::bad_request(
                "tty and error cannot both be asked for: a terminal has one output",
            ));
        }
        if !asked.input && !asked.output && !asked.error {
            return Err(Refused::bad_request("ask for at least one of input, output and error"));
        }
        Ok(asked)
    }
}

fn decode(value: &str) -> Result<String, Refused> {
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Refused::bad_request("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_queries_are_understood() {
        let asked = Asked::read("command=sh&command=-c&command=echo+%22a++b%22+%26%26+ls+%2Fx%26y%3D1+%2B%25%C3%A9&command=&command=last+arg&error=1&output=1").unwrap();
        assert_eq!(asked.command, ["sh", "-c", "echo \"a  b\" && ls /x&y=1 +%é", "", "last arg"]);
        assert!(asked.output && asked.error && !asked.input && !asked.tty);
        let asked = Asked::read("command=sh&input=true&output=1&tty=1").unwrap();
        assert!(asked.input && asked.tty && !asked.error);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for query in ["", "command=ls", "input=0&output=no", "tty=1&error=1", "output=1&command=%ff", "tty=1"]
        {
            assert_eq!(Asked::read(query).unwrap_err().status, http::StatusCode::BAD_REQUEST, "{query}");
        }
    }

    fn check_query(input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(asked) = Asked::read(text) else { return };
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
