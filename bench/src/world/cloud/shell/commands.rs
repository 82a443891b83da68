//! The commands.

use bytes::Bytes;

use super::stdio::Stdio;
use super::{BROKEN_PIPE, Boxed, Closed, DEPTH_MAX, Done, FileError, NOT_FOUND, Shell, Terminal, absolute};
use crate::world::cloud::time::rfc3339;

/// What can be run by itself. `exit`, `cd` and `:` are the shell's own.
pub const COMMANDS: [&str; 33] = [
    "[",
    "ash",
    "bash",
    "cat",
    "date",
    "echo",
    "env",
    "false",
    "head",
    "hostname",
    "id",
    "ls",
    "mkdir",
    "nproc",
    "printenv",
    "pwd",
    "rm",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "stty",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "true",
    "tty",
    "uname",
    "wc",
    "whoami",
    "yes",
];

/// Length of a piece of output that a command makes up.
const PIECE_BYTES: usize = 32 * 1024;
/// Largest file that is run as a script.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

fn is_shell(program: &str) -> bool {
    matches!(program, "sh" | "bash" | "ash")
}

fn program(command: &[String]) -> &str {
    command.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
}

/// Whether a command is a shell that reads its commands from the input.
pub(super) fn is_interactive(command: &[String]) -> bool {
    is_shell(program(command)) && !command.iter().any(|word| word.starts_with('-') && word.ends_with('c'))
}

/// The words that are options, without their dash, and the others.
pub(super) fn options(arguments: &[String]) -> (String, Vec<&String>) {
    let is_option = |word: &&String| word.len() > 1 && word.starts_with('-');
    let (options, operands): (Vec<_>, Vec<_>) = arguments.iter().partition(is_option);
    (options.iter().map(|word| &word[1..]).collect(), operands)
}

impl<T: Terminal> Shell<'_, T> {
    /// Runs one command. Boxed, because a shell is a command too.
    pub(super) fn command<'b>(
        &'b self,
        words: Vec<String>,
        stdio: &'b Stdio,
        depth: usize,
    ) -> Boxed<'b, Done> {
        Box::pin(async move {
            let Some((_, arguments)) = words.split_first() else { return 0.into() };
            let done = self.dispatch(program(&words), &words[0], arguments, stdio, depth).await;
            done.unwrap_or(BROKEN_PIPE.into())
        })
    }

    async fn dispatch(
        &self,
        program: &str,
        name: &str,
        arguments: &[String],
        stdio: &Stdio,
        depth: usize,
    ) -> Result<Done, Closed> {
        let code = match program {
            program if is_shell(program) => return self.shell(arguments, stdio, depth).await,
            "exit" => {
                let last = self.last.load(std::sync::atomic::Ordering::Relaxed);
                let code = arguments.first().and_then(|code| code.parse().ok()).unwrap_or(last);
                return Ok(Done { code: code & 0xff, exit: true });
            }
            "true" | ":" => 0,
            "false" => 1,
            "echo" => self.echo(arguments, stdio).await?,
            "cat" => self.cat(arguments, stdio).await?,
            "cd" => self.change_directory(arguments, stdio).await?,
            "pwd" => self.say(stdio, self.variable("PWD")).await?,
            "hostname" => self.say(stdio, self.system.hostname.clone()).await?,
            "whoami" => self.say(stdio, "root".to_owned()).await?,
            "id" => self.say(stdio, "uid=0(root) gid=0(root)".to_owned()).await?,
            "nproc" => self.say(stdio, "1".to_owned()).await?,
            "uname" => self.say(stdio, "Linux".to_owned()).await?,
            "date" => self.say(stdio, rfc3339(self.terminal.now_us())).await?,
            "env" | "printenv" => self.env(arguments, stdio).await?,
            "sleep" => self.sleep(arguments, stdio).await?,
            "yes" => self.yes(arguments, stdio).await?,
            "seq" => self.seq(arguments, stdio).await?,
            "stty" => self.stty(arguments, stdio).await?,
            "tty" if self.tty.is_some() => self.say(stdio, "/dev/pts/0".to_owned()).await?,
            "tty" => self.say(stdio, "not a tty".to_owned()).await? + 1,
            "ls" => self.ls(arguments, stdio).await?,
            "mkdir" | "rm" | "touch" => self.change_files(program, arguments, stdio).await?,
            "test" | "[" => self.test(program, arguments, stdio).await?,
            "head" => self.head(arguments, stdio).await?,
            "tail" => self.tail(arguments, stdio).await?,
            "wc" => self.wc(arguments, stdio).await?,
            "tee" => self.tee(arguments, stdio).await?,
            "sha256sum" => self.sha256sum(arguments, stdio).await?,
            "tar" => self.tar(arguments, stdio).await?,
            _ => self.complain(stdio, NOT_FOUND, format!("sh: {name}: not found")).await?,
        };
        Ok(code.into())
    }

    async fn shell(&self, arguments: &[String], stdio: &Stdio, depth: usize) -> Result<Done, Closed> {
        if depth >= DEPTH_MAX {
            return Ok(self.complain(stdio, 2, "sh: too deep".to_owned()).await?.into());
        }
        let mut operands = arguments.iter().skip_while(|word| word.starts_with('-'));
        let has_script = arguments.iter().any(|word| word.starts_with('-') && word.ends_with('c'));
        let done = match operands.next() {
            Some(script) if has_script => self.script(script.clone(), stdio, depth + 1).await,
            None if has_script => {
                self.complain(stdio, 2, "sh: -c requires an argument".to_owned()).await?.into()
            }
            Some(file) => {
                let path = self.path(file);
                let read = {
                    let files = self.system.files.lock();
                    let short = files.facts(&path).is_ok_and(|facts| facts.bytes <= SCRIPT_BYTES_MAX);
                    if short { files.read(&path) } else { Err(FileError::Missing) }
                };
                match read {
                    Ok(script) => {
                        let script = String::from_utf8_lossy(&script.concat()).into_owned();
                        self.script(script, stdio, depth + 1).await
                    }
                    Err(error) => {
                        let message = format!("sh: can't open '{file}': {error}");
                        self.complain(stdio, 2, message).await?.into()
                    }
                }
            }
            None => self.interactive(stdio, depth + 1).await?,
        };
        Ok(done.code.into())
    }

    pub(super) fn path(&self, path: &str) -> String {
        absolute(&self.directory.lock(), path)
    }

    /// Writes a line, and ends well.
    pub(super) async fn say(&self, stdio: &Stdio, mut line: String) -> Result<i32, Closed> {
        line.push('\n');
        self.write(&stdio.output, line).await.map(|()| 0)
    }

    /// Writes a line to the errors, and ends with a code.
    pub(super) async fn complain(&self, stdio: &Stdio, code: i32, mut line: String) -> Result<i32, Closed> {
        line.push('\n');
        self.write(&stdio.error, line).await.map(|()| code)
    }

    async fn echo(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        match arguments {
            [first, rest @ ..] if first == "-n" => {
                self.write(&stdio.output, rest.join(" ")).await.map(|()| 0)
            }
            all => self.say(stdio, all.join(" ")).await,
        }
    }

    async fn change_directory(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let path = arguments.first().map_or("/root", String::as_str);
        let place = self.path(path);
        let facts = self.system.files.lock().facts(&place);
        let error = match facts {
            Ok(facts) if facts.directory => {
                *self.directory.lock() = place;
                return Ok(0);
            }
            Ok(_) => FileError::File,
            Err(error) => error,
        };
        self.complain(stdio, 2, format!("sh: cd: can't cd to {path}: {error}")).await
    }

    async fn env(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let variables = &self.system.variables;
        if let Some(name) = arguments.first() {
            let Some((_, value)) = variables.iter().find(|(known, _)| known == name) else { return Ok(1) };
            return self.say(stdio, value.clone()).await;
        }
        let text: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        self.write(&stdio.output, text).await.map(|()| 0)
    }

    async fn sleep(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let text = arguments.first().map_or("", String::as_str);
        let (number, unit_s) = match text.char_indices().next_back() {
            Some((at, 's')) => (&text[..at], 1.0),
            Some((at, 'm')) => (&text[..at], 60.0),
            Some((at, 'h')) => (&text[..at], 3_600.0),
            _ => (text, 1.0),
        };
        match number.parse::<f64>() {
            Ok(count) if (0.0..1e9).contains(&count) => {
                self.terminal.sleep((count * unit_s * 1e6) as u64).await;
                Ok(0)
            }
            _ if text == "infinity" => std::future::pending().await,
            _ => self.complain(stdio, 1, format!("sleep: invalid number '{text}'")).await,
        }
    }

    async fn yes(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let word = if arguments.is_empty() { "y".to_owned() } else { arguments.join(" ") };
        let piece = Bytes::from(format!("{word}\n").repeat(PIECE_BYTES / (word.len() + 1) + 1));
        loop {
            self.write(&stdio.output, piece.clone()).await?;
        }
    }

    async fn seq(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let numbers: Option<Vec<i64>> = arguments.iter().map(|word| word.parse().ok()).collect();
        let (first, last) = match numbers.as_deref() {
            Some([last]) => (1, *last),
            Some([first, last]) => (*first, *last),
            _ => return self.complain(stdio, 1, "seq: expected LAST or FIRST LAST".to_owned()).await,
        };
        let mut text = String::new();
        for number in first..=last {
            text.push_str(&number.to_string());
            text.push('\n');
            if text.len() >= PIECE_BYTES {
                self.write(&stdio.output, std::mem::take(&mut text)).await?;
            }
        }
        self.write(&stdio.output, text).await.map(|()| 0)
    }

    async fn stty(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        if self.tty.is_none() {
            let message = "stty: standard input: Inappropriate ioctl for device".to_owned();
            return self.complain(stdio, 1, message).await;
        }
        if arguments.first().is_some_and(|word| word == "size") {
            let (rows, columns) = self.terminal.size();
            return self.say(stdio, format!("{rows} {columns}")).await;
        }
        Ok(0)
    }

    async fn ls(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (options, operands) = options(arguments);
        let here = ".".to_owned();
        let operands = if operands.is_empty() { vec![&here] } else { operands };
        let mut code = 0;
        for operand in &operands {
            let place = self.path(operand);
            let listed = {
                let files = self.system.files.lock();
                files.facts(&place).and_then(|facts| {
                    if !facts.directory {
                        return Ok(vec![((*operand).clone(), facts)]);
                    }
                    let names = files.list(&place)?.into_iter();
                    names.map(|name| Ok((name.clone(), files.facts(&format!("{place}/{name}"))?))).collect()
                })
            };
            match listed {
                Err(error) => code = self.complain(stdio, 1, format!("ls: {operand}: {error}")).await?,
                Ok(entries) => {
                    for (name, facts) in entries {
                        let kind = if facts.directory { "drwxr-xr-x" } else { "-rw-r--r--" };
                        let long = || format!("{kind}    1 root     root     {:>9} {name}", facts.bytes);
                        let line = if options.contains('l') { long() } else { name.clone() };
                        self.say(stdio, line).await?;
                    }
                }
            }
        }
        Ok(code)
    }

    async fn change_files(&self, program: &str, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let (options, operands) = options(arguments);
        let mut code = 0;
        for operand in operands {
            let place = self.path(operand);
            let changed = {
                let mut files = self.system.files.lock();
                match program {
                    "mkdir" => files.make_directory(&place, options.contains('p')),
                    "touch" if files.facts(&place).is_ok() => Ok(()),
                    "touch" => files.append(&place, b""),
                    _ => match files.remove(&place, options.contains(['r', 'R'])) {
                        Err(FileError::Missing) if options.contains('f') => Ok(()),
                        removed => removed,
                    },
                }
            };
            if let Err(error) = changed {
                let doing = match program {
                    "mkdir" => "can't create directory",
                    "touch" => "can't touch",
                    _ => "can't remove",
                };
                code = self.complain(stdio, 1, format!("{program}: {doing} '{operand}': {error}")).await?;
            }
        }
        Ok(code)
    }

    async fn test(&self, program: &str, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        let arguments = match arguments {
            [inner @ .., last] if program == "[" && last == "]" => inner,
            _ if program == "[" => return self.complain(stdio, 2, "[: missing ]".to_owned()).await,
            all => all,
        };
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let facts = |path: &str| self.system.files.lock().facts(&self.path(path));
        let holds = match words[..] {
            [] => false,
            [word] => !word.is_empty(),
            ["-e", path] => facts(path).is_ok(),
            ["-d", path] => facts(path).is_ok_and(|facts| facts.directory),
            ["-f", path] => facts(path).is_ok_and(|facts| !facts.directory),
            ["-s", path] => facts(path).is_ok_and(|facts| facts.bytes > 0),
            ["-n", word] => !word.is_empty(),
            ["-z", word] => word.is_empty(),
            ["-t", _] => self.tty.is_some(),
            [one, "=" | "==", other] => one == other,
            [one, "!=", other] => one != other,
            _ => return self.complain(stdio, 2, format!("{program}: unknown operand")).await,
        };
        Ok(i32::from(!holds))
    }
}
