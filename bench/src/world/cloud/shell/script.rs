//! What a line of shell means. Crates that split words do not tell a quoted `;` from one that ends a command, and
//! those that read the whole language want more of the world than there is here; so this reads the small part of
//! it that people type to try things out.

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(String),
    /// The value of a variable; unquoted, it is split at blanks.
    Variable { name: String, quoted: bool },
}

pub(super) type Word = Vec<Piece>;

/// Where a command's output goes, or its input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    Input(Word),
    Output {
        stderr: bool,
        append: bool,
        to: Word,
    },
    /// `2>&1`
    ErrorsToOutput,
    /// `>&2`
    OutputToErrors,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
}

/// When a pipeline runs, by how the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Success,
    Failure,
}

/// Commands that feed each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) when: When,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(Word),
    End,
    And,
    Or,
    Pipe,
    /// Descriptor and operator.
    Redirect(&'static str),
}

/// Longest operators first. The digit in front of `>` is one only at the start of a word.
const REDIRECTS: [&str; 8] = ["2>&1", "1>&2", ">&2", "2>>", "2>", ">>", ">", "<"];
/// What stands between words: other white space is a part of them.
const BLANKS: [char; 3] = [' ', '\t', '\r'];
/// Words that begin what is not simulated.
const RESERVED: [&str; 9] = ["if", "for", "while", "until", "case", "function", "{", "(", "!"];

/// Reads a script.
///
/// # Errors
/// What is wrong with it, as a shell says it.
pub(super) fn parse(script: &str) -> Result<Vec<Pipeline>, String> {
    let mut pipelines = Vec::new();
    let mut commands = Vec::new();
    let mut command = Command::default();
    let mut when = When::Always;
    let mut tokens = tokens(script)?.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => command.words.push(word),
            Token::Redirect("2>&1") => command.redirects.push(Redirect::ErrorsToOutput),
            Token::Redirect("1>&2" | ">&2") => command.redirects.push(Redirect::OutputToErrors),
            Token::Redirect(operator) => {
                let Some(Token::Word(to)) = tokens.next() else {
                    return Err(format!("syntax error: no file after \"{operator}\""));
                };
                command.redirects.push(match operator {
                    "<" => Redirect::Input(to),
                    _ => Redirect::Output {
                        stderr: operator.starts_with('2'),
                        append: operator.ends_with(">>"),
                        to,
                    },
                });
            }
            Token::Pipe => commands.push(whole(&mut command, "|")?),
            Token::And | Token::Or => {
                let operator = if token == Token::And { "&&" } else { "||" };
                commands.push(whole(&mut command, operator)?);
                pipelines.push(Pipeline { when, commands: std::mem::take(&mut commands) });
                when = if token == Token::And { When::Success } else { When::Failure };
            }
            Token::End if command == Command::default() && commands.is_empty() => {}
            Token::End => {
                commands.push(whole(&mut command, ";")?);
                pipelines.push(Pipeline { when, commands: std::mem::take(&mut commands) });
                when = When::Always;
            }
        }
    }
    Ok(pipelines)
}

fn whole(command: &mut Command, operator: &str) -> Result<Command, String> {
    if *command == Command::default() {
        return Err(format!("syntax error: unexpected \"{operator}\""));
    }
    let first = command.words.first().and_then(|word| match &word[..] {
        [Piece::Text(text)] => Some(text.as_str()),
        _ => None,
    });
    if let Some(reserved) = first.filter(|first| RESERVED.contains(first)) {
        return Err(format!("syntax error: \"{reserved}\" is not simulated"));
    }
    Ok(std::mem::take(command))
}

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if rest.starts_with('#') {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        }
        let Some(first) = rest.chars().next() else { break };
        let redirect = REDIRECTS.into_iter().find(|operator| rest.starts_with(operator));
        let (token, length) = match first {
            ';' | '\n' => (Token::End, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '&' => return Err("syntax error: \"&\" is not simulated".to_owned()),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            '|' => (Token::Pipe, 1),
            _ => match redirect {
                Some(operator) => (Token::Redirect(operator), operator.len()),
                None => {
                    let (word, length) = word(rest)?;
                    (Token::Word(word), length)
                }
            },
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// The word at the start of a text, and how long it is there.
fn word(text: &str) -> Result<(Word, usize), String> {
    let mut word = Word::new();
    let mut plain = String::new();
    // A word in quotes is one even when it is empty.
    let mut quoted_any = false;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    let end = loop {
        let Some(&(at, c)) = chars.peek() else {
            break text.len();
        };
        if quote.is_none() && (c == '\n' || BLANKS.contains(&c) || ";&|<>".contains(c)) {
            break at;
        }
        chars.next();
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                quoted_any = true;
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\\') => plain.extend(chars.next().map(|(_, c)| c).filter(|c| *c != '\n')),
            (Some('"'), '\\') => match chars.peek().copied() {
                Some((_, c)) if "\"\\$`".contains(c) => {
                    plain.push(c);
                    chars.next();
                }
                _ => plain.push('\\'),
            },
            (None | Some('"'), '$') => {
                let rest = &text[at + 1..];
                let (name, length) = variable(rest);
                if length == 0 {
                    plain.push('$');
                    continue;
                }
                if !plain.is_empty() {
                    word.push(Piece::Text(std::mem::take(&mut plain)));
                }
                word.push(Piece::Variable { name: name.to_owned(), quoted: quote.is_some() });
                while chars.peek().is_some_and(|(next, _)| *next < at + 1 + length) {
                    chars.next();
                }
            }
            (None | Some('"'), '`') => return Err("syntax error: \"`\" is not simulated".to_owned()),
            (_, c) => plain.push(c),
        }
    };
    if quote.is_some() {
        return Err("syntax error: unterminated quoted string".to_owned());
    }
    if !plain.is_empty() || (quoted_any && word.is_empty()) {
        word.push(Piece::Text(plain));
    }
    Ok((word, end))
}

/// The name of the variable at the start of a text, and how long it is there; 0 when there is none.
fn variable(text: &str) -> (&str, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.find('}').map_or(("", 0), |end| (&braced[..end], end + 2));
    }
    if text.starts_with(['?', '$']) {
        return (&text[..1], 1);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_that_is_no_blank_is_a_part_of_a_word() {
        assert_eq!(words("a\u{b}b \u{c} \u{2003}"), [["a\u{b}b", "\u{c}", "\u{2003}"]]);
    }

    /// The words of each command, with `$` in front of variables.
    fn words(script: &str) -> Vec<Vec<String>> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable { name, .. } => format!("${name}"),
        };
        let word = |word: &Word| word.iter().map(piece).collect::<String>();
        let pipelines = parse(script).unwrap();
        let commands = pipelines.iter().flat_map(|pipeline| &pipeline.commands);
        commands.map(|command| command.words.iter().map(word).collect()).collect()
    }

    #[test]
    fn quotes_hide_what_would_end_a_command() {
        assert_eq!(
            words(r#"echo "a  b;c" 'd|e' f\ g; true"#),
            [&["echo", "a  b;c", "d|e", "f g"][..], &["true"]]
        );
        assert_eq!(words("echo '' \"\""), [["echo", "", ""]]);
        assert_eq!(words(r#"echo "$A-${B}" '$C' $? \$D"#), [["echo", "$A-$B", "$C", "$?", "$D"]]);
        assert_eq!(words("echo a#b # c\ntrue"), [&["echo", "a#b"][..], &["true"]]);
    }

    #[test]
    fn operators_tell_when_and_where() {
        let pipelines = parse("a && b || c; d | e >x 2>&1").unwrap();
        let whens: Vec<When> = pipelines.iter().map(|pipeline| pipeline.when).collect();
        assert_eq!(whens, [When::Always, When::Success, When::Failure, When::Always]);
        assert_eq!(pipelines[3].commands.len(), 2);
        let to = vec![Piece::Text("x".to_owned())];
        assert_eq!(
            pipelines[3].commands[1].redirects,
            [Redirect::Output { stderr: false, append: false, to }, Redirect::ErrorsToOutput]
        );
        // A digit within a word is none of an operator.
        assert_eq!(words("echo a2>x"), [["echo", "a2"]]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (script, message) in [
            ("echo 'a", "syntax error: unterminated quoted string"),
            ("| a", "syntax error: unexpected \"|\""),
            ("a || && b", "syntax error: unexpected \"&&\""),
            ("while true; do a; done", "syntax error: \"while\" is not simulated"),
            ("a >", "syntax error: no file after \">\""),
            ("a &", "syntax error: \"&\" is not simulated"),
        ] {
            assert_eq!(parse(script).unwrap_err(), message);
        }
    }
}
