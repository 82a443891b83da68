//! The configuration file: one flat table of options, in TOML or YAML.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::credentials::is_credential;
use crate::config::error::{ConfigError, Place, Source};

/// Most bytes of a configuration file: a thousand times what all options need, and no burden on memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file sets: keys with their values as a flag would take them.
///
/// # Errors
/// A file that cannot be read or is malformed, credentials in it, and values of a shape no option has. No
/// value of the file is in any of the errors.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, Vec<ConfigError>> {
    let table = text_of(path).and_then(|text| table_of(path, &text));
    let table = table.map_err(|problem| vec![ConfigError::File { path: path.to_owned(), problem }])?;

    let place = |key: &str| Place { key: key.to_owned(), source: Source::File(path.to_owned()) };
    let mut credentials = Vec::new();
    find_credentials("", &table, &mut |key| credentials.push(ConfigError::Credential { place: place(key) }));
    if !credentials.is_empty() {
        return Err(credentials);
    }

    let (mut options, mut errors) = (BTreeMap::new(), Vec::new());
    for (key, value) in &table {
        match option_text(key, value) {
            Ok(Some(text)) => drop(options.insert(key.clone(), text)),
            Ok(None) => {}
            Err(remedy) => {
                errors.push(ConfigError::Conflict { place: place(key), remedy: remedy.to_owned() })
            }
        }
    }
    if errors.is_empty() { Ok(options) } else { Err(errors) }
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file =
        std::fs::File::open(path).map_err(|error| format!("cannot open the configuration file: {error}"))?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read the configuration file: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "the configuration file is longer than {FILE_BYTES_MAX} bytes: is it the right one?"
        ));
    }
    Ok(text)
}

fn table_of(path: &Path, text: &str) -> Result<Map<String, Value>, String> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml_table(text),
        Some("yaml" | "yml") => yaml_table(text),
        Some(_) | None => Err("the ending says nothing: name the file .toml, .yaml or .yml".to_owned()),
    }
}

/// The error's own text would quote the line, and with it perhaps a credential.
fn toml_table(text: &str) -> Result<Map<String, Value>, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("line {line} is not TOML: {}", error.message().lines().next().unwrap_or_default())
    })
}

fn yaml_table(text: &str) -> Result<Map<String, Value>, String> {
    // By way of its own value type, which finds keys that are given twice.
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        format!("line {line} is not YAML, or repeats a key: check indentation, quotes and colons")
    })?;
    match serde_json::to_value(value) {
        Ok(Value::Object(table)) => Ok(table),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) | Err(_) => {
            Err("the configuration file is not a table: write one `key: value` a line".to_owned())
        }
    }
}

/// Calls `found` with the path of every key that looks like a credential, however deep it stands.
fn find_credentials(prefix: &str, table: &Map<String, Value>, found: &mut dyn FnMut(&str)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if is_credential(key) && key != CREDENTIALS_DIR {
            found(&path);
        }
        // The keys inside of labels are the operator's own.
        if let Value::Object(inner) = value
            && key != LABELS
        {
            find_credentials(&path, inner, found);
        }
    }
}

/// The one option whose name speaks of credentials: it says where they are.
const CREDENTIALS_DIR: &str = "cci-credentials-dir";
/// The one option that may be written as a table.
const LABELS: &str = "node-labels";

/// A value as a flag would take it; `None` for one that was left empty.
fn option_text(key: &str, value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => {
            let items: Result<Vec<String>, _> = items.iter().map(item_text).collect();
            Ok(Some(items?.join(",")))
        }
        Value::Object(_) if key != LABELS => {
            Err("there are no sections: write each option by its whole name at the top")
        }
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| item_text(value).map(|text| format!("{key}={text}"));
            let entries: Result<Vec<String>, _> = entries.iter().map(entry).collect();
            Ok(Some(entries?.join(",")))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => item_text(value).map(Some),
    }
}

fn item_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        // A cluster id such as 1e10 would silently become another one.
        Value::Number(number) if number.is_f64() => {
            Err("options are whole numbers or text: put the value in quotes")
        }
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("give a plain value, or a list of plain values")
        }
    }
}
