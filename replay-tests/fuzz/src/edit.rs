//! Edits of a real input, as a script of a few bytes says. Random bytes are a script, and what libFuzzer makes of
//! one that did something new is another.

/// Longest script: some ten edits. An input that is changed in more places is refused by the first of them.
pub const SCRIPT_BYTES_MAX: usize = 48;

/// Longest input that is made: longer than any bound of a decoder that is not its own limit of a body.
const INPUT_BYTES_MAX: usize = 256 * 1024;

/// A first byte from here on: the rest of the script is the input.
const VERBATIM: u8 = 0xf8;

/// Between these a text has its words.
const BORDERS: &[u8] = b":,[]{}=\"\n &";

/// Words that decoders have been wrong about.
const WORDS: [&str; 32] = [
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[null]",
    "{\"a\":null}",
    "0",
    "-1",
    "1.5",
    "1e400",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "999999999999999999",
    "-9223372036854775809",
    "\\ud800",
    "\\u0000",
    "\\n",
    "\u{10ffff}",
    "é…𝄞",
    "9999-12-30T00:00:00Z",
    "-009999-01-02T00:00:00Z",
    "2026-02-30T25:61:61+99:99",
    "Running",
    "Failed",
    "True",
    "c4n4ry-0f-4-s3cr3t",
    "\"c4n4ry-0f-4-s3cr3t\"",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A script, as far as it was not read.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pair(&mut self) -> Option<usize> {
        Some(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    /// A place in, or at the end of, something so long.
    fn place(&mut self, length: usize) -> Option<usize> {
        Some((self.pair()? * (length + 1)) >> 16)
    }

    /// Two places, in their order; near to each other more often than not.
    fn range(&mut self, length: usize) -> Option<std::ops::Range<usize>> {
        let start = self.place(length)?;
        let reach = self.byte()?;
        let end = match reach {
            0..192 => start + usize::from(reach),
            192.. => start + (length - start) * usize::from(reach - 191) / 64,
        };
        Some(start..end.min(length))
    }
}

/// The input that a script makes of a corpus: which of its inputs, and what is changed in it.
#[must_use]
pub fn edited(corpus: &[&[u8]], script: &[u8]) -> Vec<u8> {
    let mut script = Script(script);
    let first = script.byte().unwrap_or(0);
    if first >= VERBATIM || corpus.is_empty() {
        return script.0.to_vec();
    }
    let mut input = corpus[usize::from(first) % corpus.len()].to_vec();
    while edit(&mut input, corpus, &mut script).is_some() && input.len() <= INPUT_BYTES_MAX {}
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// One edit; `None` when the script is at its end.
fn edit(input: &mut Vec<u8>, corpus: &[&[u8]], script: &mut Script<'_>) -> Option<()> {
    let kind = script.byte()? % 10;
    let length = input.len();
    match kind {
        0 => {
            let (at, bit) = (script.place(length)?, script.byte()?);
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        1 => {
            let (at, new) = (script.place(length)?, script.byte()?);
            if let Some(byte) = input.get_mut(at) {
                *byte = new;
            }
        }
        2 => {
            let (at, new) = (script.place(length)?, script.byte()?);
            input.insert(at, new);
        }
        3 => drop(input.drain(script.range(length)?)),
        4 => {
            let copy = input[script.range(length)?].to_vec();
            let at = script.place(length)?;
            input.splice(at..at, copy);
        }
        5 => {
            let other = corpus[usize::from(script.byte()?) % corpus.len()];
            let taken = &other[script.range(other.len())?];
            let replaced = script.range(length)?;
            input.splice(replaced, taken.iter().copied());
        }
        6 => input.truncate(script.place(length)?),
        7 => {
            let stretched = script.range(length)?;
            let copy = input[stretched.clone()].repeat(usize::from(script.byte()?) * 4);
            let room = INPUT_BYTES_MAX.saturating_sub(length).min(copy.len());
            input.splice(stretched.end..stretched.end, copy[..room].iter().copied());
        }
        _ => {
            let word = word_at(input, script.place(length)?);
            let new = WORDS[usize::from(script.byte()?) % WORDS.len()];
            input.splice(word, new.bytes());
        }
    }
    Some(())
}

/// The word at or after a place.
fn word_at(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_border = |byte: &u8| BORDERS.contains(byte);
    let start = at + input[at..].iter().position(is_border).map_or(0, |border| border + 1);
    let length = input[start..].iter().position(is_border).unwrap_or(input.len() - start);
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_one_input_and_edits_a_real_one() {
        let corpus: &[&[u8]] = &[b"first", br#"{"a":1,"b":"two"}"#];
        assert_eq!(edited(corpus, &[]), b"first");
        assert_eq!(edited(corpus, &[1]), corpus[1]);
        assert_eq!(edited(corpus, &[1, 6, 128, 0]), br#"{"a":1,"b"#[..9]);
        assert_eq!(edited(corpus, &[1, 8, 64, 0, 0]), br#"{"a":null,"b":"two"}"#);
        assert_eq!(edited(corpus, &[VERBATIM, 7, 8]), [7, 8]);
        let longest = edited(corpus, &[1, 7, 0, 0, 255, 255, 7, 0, 0, 255, 255, 7, 0, 0, 255, 255]);
        assert!(longest.len() <= INPUT_BYTES_MAX);
    }

    #[test]
    fn no_script_breaks_the_editor() {
        let corpus: &[&[u8]] = &[b"", b"a", br#"{"a":1}"#];
        bolero::check!().with_max_len(SCRIPT_BYTES_MAX).for_each(|script: &[u8]| {
            assert!(edited(corpus, script).len() <= INPUT_BYTES_MAX);
        });
    }
}
