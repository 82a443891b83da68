//! Options: what is served to operators, and what the program says of itself.

use std::net::SocketAddr;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::config::error::ConfigError;
use crate::config::sources::Settings;
use crate::config::values::{loopback_address, socket_address};
use crate::telemetry::LogFormat;

/// What is served to operators.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Serving")]
pub struct Serving {
    /// Address of /metrics, /healthz and /readyz. On all interfaces, because the kubelet's probes and
    /// Prometheus come by the pod's own address; nothing served here is secret.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9478", value_parser = socket_address)]
    pub listen: SocketAddr,
    /// Address of the admin interface, which can release the deletion brake and read the log; only loopback.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9479", value_parser = loopback_address)]
    pub admin_listen: SocketAddr,
}

impl Serving {
    /// Finds addresses that cannot both be listened on.
    pub fn check(&self, settings: &Settings, errors: &mut Vec<ConfigError>) {
        let overlap = self.listen.ip() == self.admin_listen.ip() || self.listen.ip().is_unspecified();
        if overlap && self.listen.port() == self.admin_listen.port() && self.listen.port() != 0 {
            errors.push(ConfigError::Conflict {
                place: settings.place("admin-listen"),
                remedy: format!("{} is taken by --listen: give another port", self.admin_listen),
            });
        }
    }
}

/// What the program says of itself, on standard error.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
pub struct Logging {
    /// How messages are written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Which messages are written: error, warn, info, debug or trace, also by module (info,adapters=debug).
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// Which messages are written, in the syntax of `tracing_subscriber::EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<LogLevel, String> {
        match EnvFilter::try_new(text) {
            Ok(_) if is_level_or_directive(text) => Ok(LogLevel(text.to_owned())),
            Ok(_) | Err(_) => Err(
                "give error, warn, info, debug, trace or off, also by module, such as info,adapters=debug"
                    .to_owned(),
            ),
        }
    }
}

/// The filter takes a bare word for a module's name and would turn the misspelt `inof` into silence.
fn is_level_or_directive(text: &str) -> bool {
    !text.is_empty()
        && text.split(',').all(|part| {
            part.contains('=') || part.trim().parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
        })
}
