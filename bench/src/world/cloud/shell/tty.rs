//! A terminal between the caller and a command: what is typed is shown, gathered to lines, and may interrupt.

use std::collections::VecDeque;

/// Longest line that is gathered, as in Linux; more of it is not taken.
const LINE_BYTES_MAX: usize = 4_095;
/// Most bytes that wait to be read; what is typed beyond them is lost, as it is in Linux.
const WAITING_BYTES_MAX: usize = 64 * 1024;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// A terminal in its usual mode.
#[derive(Debug, Default)]
pub(super) struct Tty {
    line: Vec<u8>,
    /// Lines that wait to be read; an empty one is the end of the input.
    lines: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    interrupted: bool,
}

impl Tty {
    /// Takes what was typed, and answers what is to be shown of it.
    pub(super) fn feed(&mut self, typed: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(typed.len() + 8);
        for &byte in typed {
            match byte {
                b'\r' | b'\n' => {
                    self.line.push(b'\n');
                    self.push_line();
                    shown.extend_from_slice(b"\r\n");
                }
                INTERRUPT => {
                    self.line.clear();
                    self.lines.clear();
                    self.waiting_bytes = 0;
                    self.interrupted = true;
                    shown.extend_from_slice(b"^C\r\n");
                }
                END => self.push_line(),
                BACKSPACE | DELETE => shown.extend_from_slice(self.erase()),
                KILL_LINE => {
                    while !self.line.is_empty() {
                        shown.extend_from_slice(self.erase());
                    }
                }
                _ if self.line.len() >= LINE_BYTES_MAX => {}
                0..0x20 if byte != b'\t' => {
                    self.line.push(byte);
                    shown.extend_from_slice(&[b'^', byte + b'@']);
                }
                _ => {
                    self.line.push(byte);
                    shown.push(byte);
                }
            }
        }
        shown
    }

    /// The caller is gone.
    pub(super) fn hang_up(&mut self) {
        self.push_line();
        self.lines.push_back(Vec::new());
    }

    fn push_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.waiting_bytes + line.len() <= WAITING_BYTES_MAX && self.lines.len() < LINE_BYTES_MAX {
            self.waiting_bytes += line.len();
            self.lines.push_back(line);
        }
    }

    /// Takes back the last character, and answers what wipes it out.
    fn erase(&mut self) -> &'static [u8] {
        /// Bytes behind the first one of a character in UTF-8.
        fn continues(byte: u8) -> bool {
            byte & 0xc0 == 0x80
        }
        while self.line.last().is_some_and(|byte| continues(*byte)) {
            self.line.pop();
        }
        if self.line.pop().is_some() { b"\x08 \x08" } else { b"" }
    }

    /// The next line, with its end; empty at the end of the input; `None` when none was typed yet.
    pub(super) fn take_line(&mut self) -> Option<Vec<u8>> {
        let line = self.lines.pop_front()?;
        self.waiting_bytes -= line.len();
        Some(line)
    }

    /// Whether it was interrupted since this was last asked.
    pub(super) fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }
}

/// Text as a terminal wants it: each line ends with a carriage return.
pub(super) fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for &byte in bytes {
        if byte == b'\n' {
            text.push(b'\r');
        }
        text.push(byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_shown_and_can_be_taken_back() {
        let mut tty = Tty::default();
        assert_eq!(tty.feed("lss\x7f é\x7f\r".as_bytes()), b"lss\x08 \x08 \xc3\xa9\x08 \x08\r\n");
        assert_eq!(tty.take_line(), Some(b"ls \n".to_vec()));
        assert_eq!(tty.feed(b"\x7f"), b"");
        assert_eq!(tty.feed(b"abc\x15"), b"abc\x08 \x08\x08 \x08\x08 \x08");
        assert_eq!(tty.take_line(), None);
    }

    #[test]
    fn control_characters_interrupt_and_end() {
        let mut tty = Tty::default();
        assert_eq!(tty.feed(b"sleep\x03"), b"sleep^C\r\n");
        assert!(tty.take_interrupt() && !tty.take_interrupt());
        tty.feed(b"half\x04\x04");
        assert_eq!(tty.take_line(), Some(b"half".to_vec()));
        assert_eq!(tty.take_line(), Some(Vec::new()));
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let mut tty = Tty::default();
        for _ in 0..100_000 {
            tty.feed(b"0123456789\n");
        }
        tty.feed(&[b'x'; 100_000]);
        assert!(tty.lines.len() < 10_000 && tty.line.len() <= LINE_BYTES_MAX);
    }
}
