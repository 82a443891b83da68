//! The commands that read files or their input.

use std::collections::VecDeque;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::commands::options;
use super::stdio::{Input, Sink, Stdio};
use super::{Closed, Shell, Terminal};

/// Most that `tail` keeps back of what it reads.
const TAIL_BYTES_MAX: usize = 1 << 20;

/// Reads `10`, `10k`, `10M`, `10G`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// What `head` and `tail` are told: bytes or lines, how many, and the files.
struct Count<'a> {
    bytes: bool,
    /// `+N`: from there to the end (tail).
    from_start: bool,
    count: u64,
    files: Vec<&'a String>,
}

impl Count<'_> {
    fn read(arguments: &[String]) -> Option<Count<'_>> {
        let mut told = Count { bytes: false, from_start: false, count: 10, files: Vec::new() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
                told.files.push(word);
                continue;
            };
            let number = match option.strip_prefix(['c', 'n']) {
                Some("") => words.next()?.as_str(),
                Some(number) => number,
                None => option,
            };
            told.bytes = option.starts_with('c');
            told.from_start = number.starts_with('+');
            told.count = size(number.trim_start_matches('+'))?;
        }
        Some(told)
    }
}

impl<T: Terminal> Shell<'_, T> {
    /// What a command reads: the files it names, or its input. Errors are said as the files come.
    async fn inputs(
        &self,
        program: &str,
        files: &[&String],
        stdio: &Stdio,
    ) -> Result<(Vec<(String, Input)>, i32), Closed> {
        if files.is_empty() {
            return Ok((vec![("-".to_owned(), stdio.input.clone())], 0));
        }
        let mut inputs = Vec::new();
        let mut code = 0;
        for file in files {
            let opened = if *file == "-" { Ok(stdio.input.clone()) } else { self.open(&self.path(file)) };
            match opened {
                Ok(input) => inputs.push(((*file).clone(), input)),
                Err(error) => {
                    code =
                        self.complain(stdio, 1, format!("{program}: can't open '{file}': {error}")).await?;
                }
            }
        }
        Ok((inputs, code))
    }

    pub(super) async fn cat(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (_, files) = options(arguments);
        let (inputs, code) = self.inputs("cat", &files, stdio).await?;
        for (_, input) in inputs {
            while let Some(piece) = self.read(&input).await {
                self.write(&stdio.output, piece).await?;
            }
        }
        Ok(code)
    }

    pub(super) async fn tee(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (options, files) = options(arguments);
        let mut sinks = vec![stdio.output.clone()];
        for file in files {
            let place = self.path(file);
            let made = {
                let mut files = self.system.files.lock();
                if options.contains('a') { files.append(&place, b"") } else { files.create(&place) }
            };
            match made {
                Ok(()) => sinks.push(Sink::File(place.into())),
                Err(error) => return self.complain(stdio, 1, format!("tee: {file}: {error}")).await,
            }
        }
        while let Some(piece) = self.read(&stdio.input).await {
            for sink in &sinks {
                self.write(sink, piece.clone()).await?;
            }
        }
        Ok(0)
    }

    pub(super) async fn head(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let Some(told) = Count::read(arguments) else {
            return self.complain(stdio, 1, "head: invalid number".to_owned()).await;
        };
        let (inputs, code) = self.inputs("head", &told.files, stdio).await?;
        for (_, input) in inputs {
            let mut left = told.count;
            while left > 0 {
                let Some(mut piece) = self.read(&input).await else { break };
                let end = if told.bytes {
                    let end = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                    left -= end as u64;
                    end
                } else {
                    let mut ends = piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                    let nth = usize::try_from(left - 1).unwrap_or(usize::MAX);
                    let end = ends.nth(nth).map(|(at, _)| at + 1);
                    let lines = piece.iter().filter(|byte| **byte == b'\n').count() as u64;
                    left = left.saturating_sub(lines);
                    end.unwrap_or(piece.len())
                };
                let rest = piece.split_off(end);
                self.unread(&input, rest);
                self.write(&stdio.output, piece).await?;
            }
        }
        Ok(code)
    }

    pub(super) async fn tail(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let Some(told) = Count::read(arguments) else {
            return self.complain(stdio, 1, "tail: invalid number".to_owned()).await;
        };
        let (inputs, code) = self.inputs("tail", &told.files, stdio).await?;
        for (_, input) in inputs {
            if told.from_start {
                self.skip(&input, told.bytes, told.count.saturating_sub(1), stdio).await?;
                continue;
            }
            let mut kept: VecDeque<u8> = VecDeque::new();
            while let Some(piece) = self.read(&input).await {
                kept.extend(&piece);
                let over = kept.len().saturating_sub(TAIL_BYTES_MAX);
                kept.drain(..over);
            }
            let kept: Vec<u8> = kept.into();
            let count = usize::try_from(told.count).unwrap_or(usize::MAX);
            let start = if told.bytes {
                kept.len().saturating_sub(count)
            } else {
                let body = kept.strip_suffix(b"\n").unwrap_or(&kept);
                let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
                let before = if count == 0 { Some(kept.len()) } else { None };
                before.or(ends.map(|(at, _)| at + 1).nth(count.saturating_sub(1))).unwrap_or(0)
            };
            self.write(&stdio.output, Bytes::from(kept).slice(start..)).await?;
        }
        Ok(code)
    }

    /// Writes what is behind so many bytes or lines.
    async fn skip(&self, input: &Input, bytes: bool, count: u64, stdio: &Stdio) -> Result<(), Closed> {
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        while let Some(mut piece) = self.read(input).await {
            let skipped = if left == 0 {
                0
            } else if bytes {
                let skipped = left.min(piece.len());
                left -= skipped;
                skipped
            } else {
                let ends: Vec<usize> =
                    piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
                let end = ends.get(left - 1).map(|at| at + 1);
                left = left.saturating_sub(ends.len());
                end.unwrap_or(piece.len())
            };
            self.write(&stdio.output, piece.split_off(skipped)).await?;
        }
        Ok(())
    }

    pub(super) async fn wc(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (options, files) = options(arguments);
        let (inputs, code) = self.inputs("wc", &files, stdio).await?;
        for (name, input) in inputs {
            let (mut lines, mut words, mut bytes, mut in_word) = (0u64, 0u64, 0u64, false);
            while let Some(piece) = self.read(&input).await {
                bytes += piece.len() as u64;
                for byte in &piece {
                    lines += u64::from(*byte == b'\n');
                    let blank = byte.is_ascii_whitespace();
                    words += u64::from(!blank && !in_word);
                    in_word = !blank;
                }
            }
            let all = options.is_empty();
            let counts = [('l', lines), ('w', words), ('c', bytes)];
            let shown = counts.into_iter().filter(|(option, _)| all || options.contains(*option));
            let mut line = shown.map(|(_, count)| count.to_string()).collect::<Vec<_>>().join(" ");
            if !files.is_empty() {
                line.push_str(&format!(" {name}"));
            }
            self.say(stdio, line).await?;
        }
        Ok(code)
    }

    pub(super) async fn sha256sum(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (_, files) = options(arguments);
        let (inputs, code) = self.inputs("sha256sum", &files, stdio).await?;
        for (name, input) in inputs {
            let mut hash = Sha256::new();
            while let Some(piece) = self.read(&input).await {
                hash.update(&piece);
            }
            let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            self.say(stdio, format!("{hash}  {name}")).await?;
        }
        Ok(code)
    }
}
