//! Documents: the text of a file, cut into the values in it.

use serde::Deserialize;
use serde_json::Value;

use crate::explain::error::Error;

/// Most bytes of an input: more than the largest charts come to, and no burden on memory.
pub const INPUT_BYTES_MAX: u64 = 8 << 20;

/// One document of a file.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// The line where it begins, from 1.
    pub line: usize,
    /// What it says. JSON is YAML too.
    pub value: Value,
}

/// The documents of an input that are not empty, and why there are no more if it is not read to its end.
pub fn documents(input: &[u8]) -> (Vec<Document>, Option<Error>) {
    if input.len() as u64 > INPUT_BYTES_MAX {
        return (Vec::new(), Some(Error::TooLong));
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return (Vec::new(), Some(Error::NotText));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = first_lines(text);
    let mut documents = Vec::new();
    for (index, yaml) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let line = lines.get(index).or(lines.last()).copied().unwrap_or(1);
        match value(yaml) {
            Ok(Value::Null) => {}
            Ok(value) => documents.push(Document { line, value }),
            Err(error) => {
                let line = error.location().map_or(line, |location| location.line());
                return (documents, Some(Error::Yaml { line, problem: error.to_string() }));
            }
        }
    }
    (documents, None)
}

/// By way of YAML's own values: they find keys that are given twice, and know `<<`.
fn value(yaml: serde_yaml_ng::Deserializer<'_>) -> Result<Value, serde_yaml_ng::Error> {
    let mut value = serde_yaml_ng::Value::deserialize(yaml)?;
    value.apply_merge()?;
    serde_json::to_value(value).map_err(serde::de::Error::custom)
}

/// The line of each document's first content, from 1. A line that begins with `---` is always a border.
fn first_lines(text: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut begun = true;
    let is_content = |line: &str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', '%'])
    };
    let mut border = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let behind = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = behind {
            // A document without content counts too: the parser has one there.
            lines.extend(border.replace(number).filter(|_| !begun));
            begun = is_content(rest);
            if begun {
                lines.push(number);
            }
        } else if is_content(line) && (!begun || (border.is_none() && lines.is_empty())) {
            lines.push(number);
            begun = true;
        }
    }
    lines.extend(border.filter(|_| !begun));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        documents(text.as_bytes()).0.into_iter().map(|document| document.line).collect()
    }

    #[test]
    fn documents_are_found_with_the_lines_where_they_begin() {
        for (text, expected) in [
            ("", &[][..]),
            ("# nothing\n", &[]),
            ("a: 1\n", &[1]),
            ("\n# note\na: 1\n", &[3]),
            ("---\na: 1\n", &[2]),
            ("a: 1\n---\nb: 2\n", &[1, 3]),
            ("---\n# Source: x\n\na: 1\n---\n# empty\n---\nb: 2\n", &[4, 8]),
            ("--- {a: 1}\n---\nb: 2\n---\n", &[1, 3]),
            ("a: |\n  ---\n  text\n---\nb: 2\n", &[1, 5]),
            ("{\"a\": 1}", &[1]),
            ("\u{feff}a: 1", &[1]),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_those_of_the_api() {
        let text = "base: &b {cpu: 0.5}\nuse: {<<: *b, memory: 1e3, n: 0x10, t: 'no', 1: x}\n";
        let (documents, torn) = documents(text.as_bytes());
        assert_eq!(torn, None);
        assert_eq!(
            documents[0].value["use"],
            json!({"cpu": 0.5, "memory": 1000.0, "n": 16, "t": "no", "1": "x"})
        );
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let (before, torn) = documents(b"a: 1\n---\nb: [1\nc: 2\n");
        assert_eq!(before.len(), 1);
        assert!(matches!(torn, Some(Error::Yaml { line: 4, .. })), "{torn:?}");
        let (_, twice) = documents(b"a: 1\nb: 2\na: 3\n");
        let Some(Error::Yaml { problem, .. }) = twice else { panic!("{twice:?}") };
        assert!(problem.contains("duplicate"), "{problem}");
        assert_eq!(documents(b"a: \xff").1, Some(Error::NotText));
    }

    #[test]
    fn what_is_too_much_is_not_read() {
        let long = vec![b' '; INPUT_BYTES_MAX as usize + 1];
        assert_eq!(documents(&long).1, Some(Error::TooLong));
        assert_eq!(documents(&long[1..]).1, None);
        let deep = "[".repeat(10_000);
        assert!(matches!(documents(deep.as_bytes()).1, Some(Error::Yaml { .. })));
        let lol = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        let bomb = ('b'..='i').fold(lol, |text, name| {
            let before = char::from(name as u8 - 1);
            let more = vec![format!("*{before}"); 10].join(",");
            format!("{text}{name}: &{name} [{more}]\n")
        });
        assert!(matches!(documents(bomb.as_bytes()).1, Some(Error::Yaml { .. })));
    }
}
