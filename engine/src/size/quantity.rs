//! Kubernetes quantities (`500m`, `1.5Gi`, `1e3`), read exactly: no float, finer parts than a billionth rounded up, as
//! the API server does (Kubernetes API, `resource.Quantity`).

use alloc::string::{String, ToString};
use core::fmt;

/// Billionths in one.
const ONE: i128 = 1_000_000_000;

/// The largest amount that the API holds, 2^63 - 1, in billionths.
const NANO_MAX: i128 = i64::MAX as i128 * ONE;

/// Characters of a quantity that are read: more digits than the largest amount in billionths has.
const CHARS_MAX: usize = 48;

/// An amount that is not negative, in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nano: i128,
}

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    text: String,
    why: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} is no quantity: {}; write it like 500m, 2, 1.5Gi or 1e3", self.text, self.why)
    }
}

impl core::error::Error for Malformed {}

impl Quantity {
    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`], with the text.
    pub fn parse(text: &str) -> Result<Quantity, Malformed> {
        let nano =
            nano(text).map_err(|why| Malformed { text: text.chars().take(CHARS_MAX).collect(), why })?;
        Ok(Quantity { nano })
    }

    /// In billionths: CPU as it is measured.
    #[must_use]
    pub fn nano(self) -> u64 {
        self.in_units(1)
    }

    /// In thousandths, rounded up: CPU.
    #[must_use]
    pub fn milli(self) -> u64 {
        self.in_units(ONE / 1_000)
    }

    /// In ones, rounded up: bytes.
    #[must_use]
    pub fn value(self) -> u64 {
        self.in_units(ONE)
    }

    fn in_units(self, unit_nano: i128) -> u64 {
        u64::try_from(self.nano.unsigned_abs().div_ceil(unit_nano.unsigned_abs())).unwrap_or(u64::MAX)
    }
}

/// CPU as the API writes it: `2`, or `250m` where it is no whole number (Kubernetes API, `resource.Quantity`).
#[must_use]
pub fn cpu_text(cpu_milli: u64) -> String {
    if cpu_milli.is_multiple_of(1_000) {
        (cpu_milli / 1_000).to_string()
    } else {
        alloc::format!("{cpu_milli}m")
    }
}

/// Memory as the API writes it: in the largest binary unit in which it is a whole number, so `1536Mi`.
#[must_use]
pub fn memory_text(memory_bytes: u64) -> String {
    const UNITS: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = |(_, shift): &&(&str, u32)| memory_bytes.trailing_zeros() >= *shift;
    match UNITS.iter().find(fits).filter(|_| memory_bytes > 0) {
        Some((unit, shift)) => alloc::format!("{}{unit}", memory_bytes >> shift),
        None => memory_bytes.to_string(),
    }
}

fn nano(text: &str) -> Result<i128, &'static str> {
    if text.len() > CHARS_MAX {
        return Err("it is too long");
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.starts_with('-') {
        return Err("it is negative");
    }
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err("it has no digits");
    }
    if fraction.contains('.') {
        return Err("it has two points");
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = scale(suffix).ok_or("its suffix is unknown")?;
    rounded_up(&(whole.to_string() + fraction), scale, fraction.len() as i32)
}

/// What a number is multiplied with, in billionths: `factor * 10^exponent`.
#[derive(Clone, Copy)]
struct Scale {
    factor: i128,
    exponent: i32,
}

fn scale(suffix: &str) -> Option<Scale> {
    let decimal = |exponent| Some(Scale { factor: 1, exponent: exponent + 9 });
    let binary = |power: u32| Some(Scale { factor: 1 << (10 * power), exponent: 9 });
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => {
            let exponent = other.strip_prefix(['e', 'E'])?;
            // Three digits are far beyond what any amount can be.
            let digits = exponent.trim_start_matches(['+', '-']);
            let signs = exponent.len() - digits.len();
            let plain = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
            (plain && signs <= 1).then(|| exponent.parse().ok()).flatten().and_then(decimal)
        }
    }
}

/// `digits * scale`, with so many of the digits behind the point.
fn rounded_up(digits: &str, scale: Scale, decimals: i32) -> Result<i128, &'static str> {
    const TOO_LARGE: &str = "it is larger than the API holds";
    let digits: i128 = digits.parse().map_err(|_| TOO_LARGE)?;
    if digits == 0 {
        return Ok(0);
    }
    let product = digits.checked_mul(scale.factor).ok_or(TOO_LARGE)?;
    let power = scale.exponent - decimals;
    let ten = 10_i128.checked_pow(power.unsigned_abs());
    let nano = match (power < 0, ten) {
        (false, Some(ten)) => product.checked_mul(ten).ok_or(TOO_LARGE)?,
        (false, None) => return Err(TOO_LARGE),
        (true, Some(ten)) => (product + ten - 1) / ten,
        // Less than a billionth, however little.
        (true, None) => 1,
    };
    if nano > NANO_MAX { Err(TOO_LARGE) } else { Ok(nano) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> (u64, u64) {
        let quantity = Quantity::parse(text).unwrap();
        (quantity.milli(), quantity.value())
    }

    #[test]
    fn amounts_are_read_exactly() {
        for (text, milli, value) in [
            ("100m", 100, 1),
            ("0.5", 500, 1),
            (".5", 500, 1),
            ("5.", 5_000, 5),
            ("+2", 2_000, 2),
            ("1e3", 1_000_000, 1_000),
            ("1E3", 1_000_000, 1_000),
            ("15e-1", 1_500, 2),
            ("1e-12", 1, 1),
            ("0e99", 0, 0),
            ("1E", 1_000_000_000_000_000_000_000_u128 as u64, 1_000_000_000_000_000_000),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
            ("0.1Gi", 107_374_182_400, 107_374_183),
            ("128974848", 128_974_848_000, 128_974_848),
            ("129M", 129_000_000_000, 129_000_000),
            ("123Mi", 128_974_848_000, 128_974_848),
            ("0.0000000001", 1, 1),
            ("7Ei", 0, 7 << 60),
        ] {
            let (read_milli, read_value) = both(text);
            assert_eq!(read_value, value, "{text}");
            // Beyond 18 exa thousandths the number of them does not fit, and is said to be the largest.
            let fits = value < u64::MAX / 1_000;
            assert_eq!(read_milli, if fits { milli } else { u64::MAX }, "{text}");
        }
        assert_eq!(both("9223372036854775807").1, i64::MAX as u64);
    }

    #[test]
    fn what_is_measured_is_read_to_the_billionth() {
        for (text, nano) in
            [("0", 0), ("1n", 1), ("1234567n", 1_234_567), ("12u", 12_000), ("2", 2_000_000_000)]
        {
            assert_eq!(Quantity::parse(text).unwrap().nano(), nano, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_told_with_its_text() {
        for text in [
            "",
            ".",
            "-1",
            "m",
            "1 Gi",
            "1gi",
            "1K",
            "1.2.3",
            "1e",
            "1e+-3",
            "1Gi ",
            "1_000",
            "0x10",
            "١",
            "e3",
            "9223372036854775808",
            "8Ei",
            "1e19",
            "1e1000",
            "1e-1000",
            "NaN",
            "1,5",
            "00000000000000000000000000000000000000000000000001",
        ] {
            let error = Quantity::parse(text).expect_err(text).to_string();
            let begin: String = text.chars().take(10).collect();
            assert!(error.contains(&alloc::format!("{begin:?}")[..1]), "{error}");
            assert!(error.contains("is no quantity"), "{error}");
        }
    }

    #[test]
    fn amounts_are_written_as_the_api_writes_them() {
        for (cpu_milli, text) in [(0, "0"), (250, "250m"), (1_000, "1"), (1_250, "1250m"), (32_000, "32")] {
            assert_eq!(cpu_text(cpu_milli), text);
        }
        for (memory_bytes, text) in [
            (0, "0"),
            (1_000, "1000"),
            (1 << 10, "1Ki"),
            (214_748_365, "214748365"),
            (3 << 29, "1536Mi"),
            (2 << 30, "2Gi"),
            (1 << 40, "1Ti"),
        ] {
            assert_eq!(memory_text(memory_bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(amount in prop_oneof![0..=i64::MAX as u64, (0_u64..4096).prop_map(|n| n << 28)]) {
            prop_assert_eq!(Quantity::parse(&memory_text(amount)).unwrap().value(), amount);
            prop_assert_eq!(Quantity::parse(&cpu_text(amount)).unwrap().milli(), amount);
        }

        #[test]
        fn every_text_is_an_amount_or_an_error(text in ".{0,60}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn milli_and_ones_agree(milli in 0_u64..1 << 50) {
            let quantity = Quantity::parse(&alloc::format!("{milli}m")).unwrap();
            prop_assert_eq!(quantity.milli(), milli);
            prop_assert_eq!(quantity.value(), milli.div_ceil(1_000));
            let (whole, part) = (milli / 1_000, milli % 1_000);
            prop_assert_eq!(Quantity::parse(&alloc::format!("{whole}.{part:03}")).unwrap(), quantity);
        }
    }
}
