//! Where options come from: a flag wins over the environment, the environment over the file, the file over
//! the default. An empty variable counts as not set, because that is how templates leave one out.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;

use crate::config::cloud::lacking;
use crate::config::credentials::is_credential;
use crate::config::error::{ConfigError, PREFIX, Place, Source, variable};
use crate::config::file;

/// The environment variables whose names begin like ours.
pub type Environment = BTreeMap<String, OsString>;

/// The option that names the file, and so cannot stand in it.
const CONFIG: &str = "config";

/// The part of the process's environment that may concern us.
pub fn environment() -> Environment {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    variables.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// What was set, by option key, and where. What is not in here has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    settings: BTreeMap<String, (String, Source)>,
    /// What looks like a mistake but stops nothing.
    pub warnings: Vec<String>,
}

impl Settings {
    /// The settings as flags.
    pub fn flags(&self) -> Vec<String> {
        self.settings.iter().map(|(key, (value, _))| format!("--{key}={value}")).collect()
    }

    /// What an option was set to.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|(value, _)| value.as_str())
    }

    /// Where an option was set.
    pub fn place(&self, key: &str) -> Place {
        let source = self.settings.get(key).map_or(Source::Default, |(_, source)| source.clone());
        Place { key: key.to_owned(), source }
    }
}

/// Finds the value that counts of every option of `command`, and checks each by itself.
///
/// # Errors
/// Everything that is wrong, not only the first: the operator should not have to come back for each.
pub fn resolve(
    command: &clap::Command,
    given: &ArgMatches,
    environment: &Environment,
) -> Result<Settings, Vec<ConfigError>> {
    let keys: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let mut errors = Vec::new();
    let mut settings = Settings::default();
    let mut set = |key: &str, value: &OsStr, source: Source| match value.to_str() {
        Some(text) => drop(settings.settings.insert(key.to_owned(), (text.to_owned(), source))),
        None => errors.push(ConfigError::Conflict {
            place: Place { key: key.to_owned(), source },
            remedy: "the value is not UTF-8: write it in UTF-8".to_owned(),
        }),
    };

    // From the weakest source to the strongest: what is set later replaces what was set before.
    let mut file_errors = Vec::new();
    if let Some(path) = config_path(given, environment) {
        match file_options(&path, command, &keys) {
            Ok(options) => {
                let source = Source::File(path);
                options.iter().for_each(|(key, value)| set(key, value.as_ref(), source.clone()));
            }
            Err(errors) => file_errors = errors,
        }
    }
    for key in &keys {
        let name = variable(key);
        if let Some(value) = environment.get(&name)
            && !value.is_empty()
            && !is_service_link(&name, value)
        {
            set(key, value, Source::Environment);
        }
    }
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if let (Some(key), Ok(Some(ValueSource::CommandLine))) = (arg.get_long(), source_of(given, id))
            && let Some(value) = given.get_one::<OsString>(id)
        {
            set(key, value, Source::Flag);
        }
    }

    // What a file that cannot be used would have set is not known to be missing.
    let missing_counts = file_errors.is_empty();
    let checks = command.get_arguments().filter_map(|arg| check(arg, &settings)).chain(lacking(&settings));
    errors.extend(file_errors);
    errors.extend(environment_credentials(&keys, environment));
    errors.extend(checks.filter(|error| missing_counts || !matches!(error, ConfigError::Missing { .. })));
    settings.warnings = environment_warnings(command, &keys, environment);
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

/// Where clap has a value from; `Err` for an id it does not know, such as that of a group.
fn source_of(given: &ArgMatches, id: &str) -> Result<Option<ValueSource>, clap::parser::MatchesError> {
    given.try_contains_id(id).map(|_| given.value_source(id))
}

fn config_path(given: &ArgMatches, environment: &Environment) -> Option<PathBuf> {
    let flag = given.get_one::<OsString>(CONFIG);
    let path = flag.or_else(|| environment.get(&variable(CONFIG)).filter(|value| !value.is_empty()))?;
    Some(PathBuf::from(path))
}

fn file_options(
    path: &Path,
    command: &clap::Command,
    keys: &[&str],
) -> Result<BTreeMap<String, String>, Vec<ConfigError>> {
    let options = file::read(path)?;
    let unknown = options.keys().filter(|key| *key == CONFIG || !keys.contains(&key.as_str()));
    let errors: Vec<ConfigError> = unknown
        .map(|key| ConfigError::UnknownKey {
            place: Place { key: key.clone(), source: Source::File(path.to_owned()) },
            nearest: nearest(command, key).filter(|key| key != CONFIG),
        })
        .collect();
    if errors.is_empty() { Ok(options) } else { Err(errors) }
}

/// The option that looks most like `key`: what clap would propose for a flag of that name.
fn nearest(command: &clap::Command, key: &str) -> Option<String> {
    let flag = format!("--{}", key.replace('_', "-").to_ascii_lowercase());
    let command = command.clone().mut_args(|arg| arg.required(false));
    let key = |flag: &str| Some(flag.trim_start_matches('-').to_owned());
    match command.clone().try_get_matches_from([command.get_name(), &format!("{flag}=")]) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(suggested)) = error.get(ContextKind::SuggestedArg) else {
                return None;
            };
            key(suggested)
        }
        // It is an option but for its spelling.
        Err(_) | Ok(_) => key(&flag),
    }
}

/// What is wrong with the value of one option, or with its absence.
fn check(arg: &clap::Arg, settings: &Settings) -> Option<ConfigError> {
    let key = arg.get_long()?;
    let Some((value, _)) = settings.settings.get(key) else {
        return arg
            .is_required_set()
            .then(|| ConfigError::Missing { key: key.to_owned(), hint: String::new() });
    };
    let alone = clap::Command::new(PREFIX).no_binary_name(true).disable_help_flag(true).arg(arg.clone());
    let error = alone.try_get_matches_from([format!("--{key}={value}")]).err()?;
    Some(ConfigError::Value { place: settings.place(key), value: value.clone(), remedy: remedy(&error) })
}

fn remedy(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(problem), _) => problem.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("give {}", values.join(" or "))
        }
        (None, _) => "give a value".to_owned(),
    }
}

fn environment_credentials(keys: &[&str], environment: &Environment) -> Vec<ConfigError> {
    unknown_variables(keys, environment)
        .filter(|(name, _)| is_credential(&name[PREFIX.len()..]))
        .map(|(_, key)| ConfigError::Credential { place: Place { key, source: Source::Environment } })
        .collect()
}

fn environment_warnings(command: &clap::Command, keys: &[&str], environment: &Environment) -> Vec<String> {
    let warn = |(name, key): (&String, String)| match nearest(command, &key) {
        Some(near) => format!("{name} is no option and is ignored: did you mean {}?", variable(&near)),
        None => format!("{name} is no option and is ignored"),
    };
    unknown_variables(keys, environment).map(warn).collect()
}

/// Variables that begin like ours but are no option, with the key that they would have.
fn unknown_variables<'a>(
    keys: &'a [&str],
    environment: &'a Environment,
) -> impl Iterator<Item = (&'a String, String)> {
    environment
        .iter()
        .filter(|(name, value)| !is_service_link(name, value))
        .map(|(name, _)| (name, name[PREFIX.len()..].to_ascii_lowercase().replace('_', "-")))
        .filter(|(_, key)| !keys.contains(&key.as_str()))
}

/// Whether Kubernetes set the variable for a Service whose name begins with `burst-agent`: a Service
/// `burst-agent-kubelet` gives every pod of its namespace `BURST_AGENT_KUBELET_PORT=tcp://10.96.0.7:10250`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let protocol = ["tcp://", "udp://", "sctp://"];
    value.to_str().is_some_and(|value| protocol.iter().any(|protocol| value.starts_with(protocol)))
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|part| name.contains(part)))
}
