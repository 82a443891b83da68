//! Credentials are files, never options: a flag shows in the process list, a variable in `kubectl describe`,
//! and a configuration file in a ConfigMap.

use std::ffi::OsString;

use crate::config::error::{ConfigError, Place, Source};

/// Words that name a credential wherever they stand in a name. `ak` and `sk` are what the cloud calls its
/// access and secret key.
const CREDENTIAL_WORDS: [&str; 14] = [
    "ak",
    "sk",
    "accesskey",
    "apikey",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "token",
];

/// What makes a `key` a credential when it stands in front of it.
const KEY_WORDS: [&str; 4] = ["access", "api", "private", "secret"];

/// Whether a name that is no option of ours looks like that of a credential, in any of the usual spellings.
pub fn is_credential(name: &str) -> bool {
    let words = words(name);
    words.iter().any(|word| CREDENTIAL_WORDS.contains(&word.as_str()))
        || words.windows(2).any(|pair| KEY_WORDS.contains(&pair[0].as_str()) && pair[1] == "key")
}

/// The words of `secret-key`, `SECRET_KEY` or `secretKey`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        let starts_word = !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && after_lower);
        after_lower = c.is_ascii_lowercase();
        if starts_word {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric() {
            words.last_mut().expect("the list begins with a word").push(c.to_ascii_lowercase());
        }
    }
    words
}

/// Refuses flags such as `--cci-secret-key` with a word on what to do instead, before anything can print
/// what stands behind them.
///
/// # Errors
/// One for each such flag; their values are not kept.
pub fn refuse_credential_flags(command: &clap::Command, argv: &[OsString]) -> Result<(), Vec<ConfigError>> {
    let flags =
        argv.iter().skip(1).map(|argument| argument.to_string_lossy()).take_while(|text| text != "--");
    let errors: Vec<ConfigError> = flags
        .filter_map(|text| {
            let name = text.strip_prefix('-')?.trim_start_matches('-').split('=').next()?.to_owned();
            let refused = !is_option(command, &name) && is_credential(&name);
            refused.then_some(ConfigError::Credential { place: Place { key: name, source: Source::Flag } })
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn is_option(command: &clap::Command, name: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(name))
        || command.get_subcommands().any(|subcommand| is_option(subcommand, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in [
            "cci-ak",
            "cci-sk",
            "cci-secret-key",
            "access-key",
            "accessKey",
            "SECRET_KEY",
            "CCI_SECRET_ACCESS_KEY",
            "password",
            "cci.password",
            "securityToken",
            "token",
            "api-key",
            "hw-accesskey",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["node-name", "cci-project", "disk", "task", "keyboard", "poll-period-ms", "keep"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
