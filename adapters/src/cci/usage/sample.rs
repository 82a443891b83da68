//! One line of the text that exporters give (Prometheus, text-based format 0.0.4).
//!
//! The parsers there are either keep whole documents, or take label values apart at characters that may stand in them, such
//! as `}`, `=` or a comma in the name of an image. All that is needed here is one sample at a time.

use std::borrow::Cow;

/// Labels of one sample that are read: cAdvisor gives a dozen.
const LABELS_MAX: usize = 64;

/// A value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cci) struct Sample<'a> {
    /// The name of the metric.
    pub(in crate::cci) name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value; may be no number.
    pub(in crate::cci) value: f64,
    /// When it was taken, milliseconds since the epoch, where that is told.
    pub(in crate::cci) at_ms: Option<u64>,
}

impl<'a> Sample<'a> {
    /// Reads a line; `None` for comments and for what is no sample.
    pub(in crate::cci) fn read(line: &'a str) -> Option<Sample<'a>> {
        let line = line.trim();
        let end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
        let (name, rest) = line.split_at(end);
        let named =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        if !named {
            return None;
        }
        let (labels, rest) = match rest.trim_start().strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        let at_ms = match words.next() {
            // A time before the epoch is a time that nobody means.
            Some(word) => u64::try_from(word.parse::<i64>().ok()?).ok(),
            None => None,
        };
        words.next().is_none().then_some(Sample { name, labels, value, at_ms })
    }

    /// The value of a label; empty where it is missing, which means the same.
    pub(in crate::cci) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Reads labels up to the closing brace; returns what is behind it.
fn read_labels(mut text: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        if labels.len() == LABELS_MAX {
            return None;
        }
        let (name, rest) = text.split_once('=')?;
        let rest = rest.trim_start().strip_prefix('"')?;
        let end = closing_quote(rest)?;
        labels.push((name.trim(), unescaped(&rest[..end])));
        text = rest[end + 1..].trim_start();
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None if text.starts_with('}') => {}
            None => return None,
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// With `\\`, `\"` and `\n` as what they stand for; any other backslash stands for itself.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, chars.clone().next()) {
            ('\\', Some(next @ ('\\' | '"' | 'n'))) => {
                plain.push(if next == 'n' { '\n' } else { next });
                chars.next();
            }
            (char, _) => plain.push(char),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_all_that_may_stand_in_a_label() {
        let line = r#"a_total{image="r/x:1@sha256:0=",x="}, y=\"{\\",name="l\ne"} 1.5e+07 1395066363000"#;
        let sample = Sample::read(line).unwrap();
        assert_eq!(
            (sample.name, sample.value, sample.at_ms),
            ("a_total", 15_000_000.0, Some(1_395_066_363_000))
        );
        assert_eq!(sample.label("image"), "r/x:1@sha256:0=");
        assert_eq!(sample.label("x"), "}, y=\"{\\");
        assert_eq!((sample.label("name"), sample.label("y")), ("l\ne", ""));
        for (line, value) in
            [("up 1", 1.0), ("a:b{} +Inf", f64::INFINITY), ("  a { x = \"1\" , } 2 -7  ", 2.0)]
        {
            let sample = Sample::read(line).unwrap();
            assert_eq!((sample.value, sample.at_ms), (value, None), "{line}");
        }
    }

    #[test]
    fn what_is_no_sample_is_none() {
        for line in [
            "",
            "# HELP a b",
            "# TYPE a counter",
            "a",
            "a one",
            "a 1 now",
            "a 1 2 3",
            "a{x=1} 2",
            "a{x=\"1} 2",
            "a{x=\"1\\\"} 2",
            "a{x=\"1\"y=\"2\"} 3",
            "a{x=\"1\"",
            "{x=\"1\"} 2",
            "ä 1",
        ] {
            assert_eq!(Sample::read(line), None, "{line}");
        }
        let many: String = (0..=LABELS_MAX).map(|number| format!("l{number}=\"\",")).collect();
        assert_eq!(Sample::read(&format!("a{{{many}}} 1")), None);
    }
}
