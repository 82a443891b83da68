//! Amounts, such as `500m` or `1Gi`: read exactly, and written in the one form in which the API keeps them.

/// An amount in billionths, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    /// Finer parts are rounded up.
    pub nano: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `1500m`, `2k`
    Decimal,
    /// `1Gi`
    Binary,
    /// `1e3`
    Exponent,
}

/// From a billionth up, a thousand times more each.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// From one up, 1024 times more each.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

const ONE: i128 = 1_000_000_000;

/// More digits than any amount in billionths has.
const DIGITS_MAX: usize = 28;

/// The largest amount that the API keeps: it makes this of any larger one, where we refuse it.
const NANO_MAX: i128 = i64::MAX as i128 * ONE;

const FORM: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const TOO_LARGE: &str = "quantities must be less than 2^63";
const SUFFIX: &str = "unable to parse quantity's suffix";

impl Quantity {
    /// Reads an amount.
    ///
    /// # Errors
    /// The API's words for what is wrong with it.
    pub fn read(text: &str) -> Result<Quantity, &'static str> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > DIGITS_MAX || fraction.contains('.') {
            return Err(FORM);
        }
        let digits: i128 = digits.parse().map_err(|_| FORM)?;
        let (unit_nano, format) = unit(suffix)?;
        let scale = 10_i128.pow(fraction.len() as u32);
        let scaled = digits.checked_mul(unit_nano).and_then(|scaled| scaled.checked_add(scale - 1));
        let nano = scaled.map(|scaled| scaled / scale).filter(|nano| *nano <= NANO_MAX).ok_or(TOO_LARGE)?;
        Ok(Quantity { nano: sign * nano, format })
    }

    /// The form in which the API keeps it: no fraction, and the largest suffix that leaves none.
    pub fn canonical(self) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        if self.format == Format::Binary && self.nano.abs() >= 1_024 * ONE {
            let whole = self.nano.div_euclid(ONE) + i128::from(self.nano.rem_euclid(ONE) > 0);
            let (number, place) = reduce(whole, 1_024, BINARY.len());
            return format!("{number}{}", BINARY[place]);
        }
        let (number, place) = reduce(self.nano, 1_000, DECIMAL.len());
        match (self.format, place) {
            (Format::Exponent, place) if place != 3 => format!("{number}e{}", 3 * place as i32 - 9),
            (Format::Decimal | Format::Binary | Format::Exponent, place) => {
                format!("{number}{}", DECIMAL[place])
            }
        }
    }
}

/// Divides as often as nothing is left over.
fn reduce(mut number: i128, by: i128, places: usize) -> (i128, usize) {
    let mut place = 0;
    while place + 1 < places && number % by == 0 {
        number /= by;
        place += 1;
    }
    (number, place)
}

/// What a suffix stands for, in billionths.
fn unit(suffix: &str) -> Result<(i128, Format), &'static str> {
    if let Some(place) = DECIMAL.iter().position(|known| *known == suffix) {
        return Ok((1_000_i128.pow(place as u32), Format::Decimal));
    }
    if let Some(place) = BINARY.iter().position(|known| *known == suffix) {
        return Ok((ONE << (10 * place), Format::Binary));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|text| text.parse::<i32>().ok());
    if let Some(exponent) = exponent.filter(|exponent| (-9..=18).contains(exponent)) {
        return Ok((10_i128.pow((exponent + 9) as u32), Format::Exponent));
    }
    let in_form = suffix.chars().all(|c| "eEinumkKMGTP+-0123456789".contains(c));
    Err(if in_form { SUFFIX } else { FORM })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_api_keeps_them() {
        let cases = [
            ("1", "1"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2000", "2k"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("0", "0"),
            ("-1k", "-1k"),
            ("0.0000000001", "1n"),
            ("200k", "200k"),
            ("1600000Gi", "1600000Gi"),
        ];
        for (written, kept) in cases {
            assert_eq!(Quantity::read(written).unwrap().canonical(), kept, "{written}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (text, why) in [
            ("", FORM),
            ("1.2.3", FORM),
            ("1Gib", FORM),
            ("1x", FORM),
            ("1i", SUFFIX),
            ("m", FORM),
            ("999999999999999999E", TOO_LARGE),
            ("8Ei", TOO_LARGE),
            ("9223372036854775807.1", TOO_LARGE),
        ] {
            assert_eq!(Quantity::read(text), Err(why), "{text}");
        }
    }

    /// An amount is kept in one form, which is the same amount, or the next whole one where the form has no fractions.
    fn check(input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(amount) = Quantity::read(text) else { return };
        let kept = amount.canonical();
        let read = Quantity::read(&kept).unwrap_or_else(|why| panic!("{text} is kept as {kept}: {why}"));
        assert_eq!(read.canonical(), kept, "{text} changes each time that it is kept");
        let more = read.nano - amount.nano;
        assert!(
            more == 0 || (amount.format == Format::Binary && (0..ONE).contains(&more)),
            "{text} -> {kept}"
        );
    }

    #[test]
    fn fuzz_quantity() {
        let amounts: [&[u8]; 9] = [
            b"500m",
            b"1.5Gi",
            b"0.25",
            b"12e2",
            b"1e-9",
            b"-1k",
            b"+0.0000000001",
            b"1600000Gi",
            b"999999999999999P",
        ];
        fuzz::target!(&amounts, check);
    }
}
