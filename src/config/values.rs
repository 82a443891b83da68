//! Checks of single values. Each error is a remedy: it says what to give instead.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use reqwest::Url;
use store::SEGMENT_BYTES_MAX;

/// The numbers that options hold. The signed ones are left out on purpose: clap finds out only at run time
/// that a parser and its field disagree, and a bare `between(0, 9, …)` would make an `i32`.
pub trait Number: FromStr + PartialOrd + Display + Copy {}

impl Number for u8 {}
impl Number for u16 {}
impl Number for u32 {}
impl Number for NonZeroU32 {}

/// A whole number within bounds, both included.
pub fn between<T: Number>(
    least: T,
    most: T,
    unit: &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if least <= number && number <= most => Ok(number),
        Ok(_) | Err(_) => Err(format!("give {unit} from {least} to {most}, as a whole number")),
    }
}

/// A number of bytes, plain or with a suffix: 1073741824, 1048576Ki, 1024Mi or 1Gi.
pub fn bytes(text: &str) -> Result<u64, String> {
    let suffixes = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    let suffix = suffixes.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (digits, shift) =
        suffix.map_or((text, 0), |(suffix, shift)| (&text[..text.len() - suffix.len()], *shift));
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "give a number of bytes, such as 1073741824, 1024Mi or 1Gi".to_owned())
}

/// The shortest segment of the log: each one is a database for as long as it is written.
const SEGMENT_BYTES_MIN: u64 = 16 * 1024;

/// The length of a segment of the log.
pub fn segment_bytes(text: &str) -> Result<u64, String> {
    match bytes(text) {
        Ok(number) if (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("give a number of bytes from 16Ki to 64Mi, such as 8Mi".to_owned()),
    }
}

/// An address to listen on.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 0.0.0.0:9478 or [::]:9478".to_owned())
}

/// An address to listen on that only this machine reaches.
pub fn loopback_address(text: &str) -> Result<SocketAddr, String> {
    match socket_address(text) {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) | Err(_) => {
            Err("give a loopback address and a port, such as 127.0.0.1:9479: who reaches it is trusted"
                .to_owned())
        }
    }
}

/// An IP address.
pub fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "give an IP address, such as 10.0.0.7".to_owned())
}

/// Whether a text is the address of a server on this machine.
pub fn is_loopback_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| is_loopback(&url))
}

/// The address of a server on this machine.
pub fn loopback_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if is_bare(&url) && url.scheme() == "http" && is_loopback(&url) => Ok(url),
        Ok(_) | Err(_) => Err("give the agent's admin address, such as http://127.0.0.1:9479".to_owned()),
    }
}

/// Whether an address holds neither user, query nor fragment.
pub fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
}

/// Whether an address stays on this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Longest DNS label.
const LABEL_CHARS_MAX: usize = 63;

/// A DNS label, as names of namespaces are.
pub fn dns_label(text: &str) -> Result<String, String> {
    if is_dns_label(text, LABEL_CHARS_MAX) {
        return Ok(text.to_owned());
    }
    Err(format!("give 1 to {LABEL_CHARS_MAX} lower-case letters, digits and dashes, no dash at either end"))
}

/// Whether a text is a DNS label of at most `chars_max` characters.
pub fn is_dns_label(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A node's name: DNS labels with dots between them, short enough for the label `kubernetes.io/hostname`.
pub fn node_name(text: &str) -> Result<String, String> {
    if text.len() <= LABEL_CHARS_MAX && text.split('.').all(|label| is_dns_label(label, LABEL_CHARS_MAX)) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "give at most {LABEL_CHARS_MAX} lower-case letters, digits, dashes and dots, such as virtual-kubelet"
    ))
}

/// The address of an HTTP proxy. Its user and password, if it wants any, would be credentials in an option.
pub fn proxy_url(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url) if is_bare(&url) && matches!(url.scheme(), "http" | "https") && url.path() == "/" => {
            Ok(text.to_owned())
        }
        Ok(_) | Err(_) => {
            Err("give http:// or https://, a host and a port, without user and password".to_owned())
        }
    }
}

/// A name or id that the cloud gave: we know no more of it than that it is short, printable and in one piece.
pub fn cloud_id(text: &str) -> Result<String, String> {
    const CHARS_MAX: usize = 128;
    let fits = (1..=CHARS_MAX).contains(&text.len());
    if fits && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "give 1 to {CHARS_MAX} letters, digits, dashes, underscores and dots, as the cloud's console shows it"
    ))
}
