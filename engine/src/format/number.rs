//! Numbers between text and bits, as Java spells them.
//!
//! Spark runs on Java, so a double is read by `Double.parseDouble`, printed by `Double.toString`, and a decimal is
//! rounded half up. Everything that shows or casts a number goes through here.

/// Appends a double as Java prints it: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
///
/// The digits are the shortest that read back as the same double.
pub fn write_double(value: f64, out: &mut String) {
    if !value.is_finite() {
        return out.push_str(not_finite(value));
    }
    // Java prints two digits where one is enough, which only shows where doubles are far apart.
    if value != 0.0 && value.abs() < 1e-300 {
        let two_digits = format!("{value:.1e}");
        if two_digits.parse() == Ok(value) {
            return write_java(&two_digits, out);
        }
    }
    let mut buffer = zmij::Buffer::new();
    write_java(buffer.format_finite(value), out);
}

/// Appends a float as Java prints it.
pub fn write_float(value: f32, out: &mut String) {
    if !value.is_finite() {
        return out.push_str(not_finite(f64::from(value)));
    }
    if value != 0.0 && value.abs() < 1e-36 {
        let two_digits = format!("{value:.1e}");
        if two_digits.parse() == Ok(value) {
            return write_java(&two_digits, out);
        }
    }
    let mut buffer = zmij::Buffer::new();
    write_java(buffer.format_finite(value), out);
}

/// A double as Java prints it.
pub fn double_to_string(value: f64) -> String {
    let mut out = String::new();
    write_double(value, &mut out);
    out
}

/// A float as Java prints it.
pub fn float_to_string(value: f32) -> String {
    let mut out = String::new();
    write_float(value, &mut out);
    out
}

fn not_finite(value: f64) -> &'static str {
    match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// Lays shortest digits out as Java does: plain from 10^-3 up to 10^7, else with one digit before the point and `E`.
fn write_java(shortest: &str, out: &mut String) {
    let unsigned = shortest.strip_prefix('-').unwrap_or(shortest);
    if unsigned.len() < shortest.len() {
        out.push('-');
    }
    let (digits, exponent) = significant_digits(unsigned);
    let digits = std::str::from_utf8(&digits.bytes[..digits.len]).expect("digits are ASCII");
    match exponent {
        _ if digits == "0" => out.push_str("0.0"),
        -3..=-1 => {
            out.push_str("0.");
            (exponent..-1).for_each(|_| out.push('0'));
            out.push_str(digits);
        }
        0..=6 => {
            let whole = exponent as usize + 1;
            let (before, after) = digits.split_at(whole.min(digits.len()));
            out.push_str(before);
            (before.len()..whole).for_each(|_| out.push('0'));
            out.push('.');
            out.push_str(if after.is_empty() { "0" } else { after });
        }
        _ => {
            out.push_str(&digits[..1]);
            out.push('.');
            out.push_str(if digits.len() == 1 { "0" } else { &digits[1..] });
            out.push('E');
            out.push_str(itoa::Buffer::new().format(exponent));
        }
    }
}

/// Up to 40 significant digits without leading or trailing zeros.
struct Digits {
    bytes: [u8; 40],
    len: usize,
}

/// The significant digits of an unsigned number and the power of ten of the first of them.
fn significant_digits(number: &str) -> (Digits, i32) {
    let (mantissa, exponent) = match number.find(['e', 'E']) {
        Some(at) => (&number[..at], number[at + 1..].parse::<i32>().unwrap_or(0)),
        None => (number, 0),
    };
    let point = mantissa.find('.').unwrap_or(mantissa.len()) as i32;
    let mut digits = Digits {
        bytes: [b'0'; 40],
        len: 0,
    };
    let mut leading_zeros = 0;
    for byte in mantissa.bytes().filter(u8::is_ascii_digit) {
        if digits.len == 0 && byte == b'0' {
            leading_zeros += 1;
        } else if digits.len < digits.bytes.len() {
            digits.bytes[digits.len] = byte;
            digits.len += 1;
        }
    }
    while digits.len > 0 && digits.bytes[digits.len - 1] == b'0' {
        digits.len -= 1;
    }
    let power = point - leading_zeros - 1 + exponent;
    digits.len = digits.len.max(1);
    (digits, power)
}

/// Reads a double as Java's `parseDouble` does: blanks around, `1e3`, `.5`, `5.`, `1d`, `0x1p3`, `NaN`, `Infinity`.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    parse_java(text, |decimal| decimal.parse().ok(), |hex| hex)
}

/// Reads a float as Java's `parseFloat` does, rounding once.
pub fn parse_float(text: &[u8]) -> Option<f32> {
    parse_java(text, |decimal| decimal.parse().ok(), |hex| hex as f32)
}

fn parse_java<T: std::ops::Neg<Output = T> + From<f32>>(
    text: &[u8],
    decimal: impl Fn(&str) -> Option<T>,
    from_hex: impl Fn(f64) -> T,
) -> Option<T> {
    let text = trim_java(text);
    let (negative, unsigned) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = match unsigned {
        b"NaN" => T::from(f32::NAN),
        b"Infinity" => T::from(f32::INFINITY),
        [b'0', b'x' | b'X', hex @ ..] => from_hex(parse_hex_double(hex)?),
        _ => {
            let digits = match unsigned.last()? {
                b'd' | b'D' | b'f' | b'F' => &unsigned[..unsigned.len() - 1],
                _ => unsigned,
            };
            if !is_decimal_literal(digits) {
                return None;
            }
            decimal(std::str::from_utf8(digits).ok()?)?
        }
    };
    Some(if negative { -value } else { value })
}

/// Java's `trim`: everything up to the blank is white.
pub(crate) fn trim_java(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| b > b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|&b| b > b' ').map_or(start, |at| at + 1);
    &text[start..end]
}

/// Digits with at most one point, at least one digit, and maybe an exponent; no sign before it.
fn is_decimal_literal(text: &[u8]) -> bool {
    let mut rest = text;
    let mut digits = skip_digits(&mut rest);
    if rest.first() == Some(&b'.') {
        rest = &rest[1..];
        digits += skip_digits(&mut rest);
    }
    if digits == 0 {
        return false;
    }
    if let Some(b'e' | b'E') = rest.first() {
        rest = &rest[1..];
        if let Some(b'+' | b'-') = rest.first() {
            rest = &rest[1..];
        }
        if skip_digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

fn skip_digits(text: &mut &[u8]) -> usize {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    *text = &text[count..];
    count
}

/// `1p3`, `1.8p-1`: hexadecimal digits, then a mandatory binary exponent; a trailing `d` or `f` is allowed.
fn parse_hex_double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches(['d', 'D', 'f', 'F']);
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    Some(value * 2f64.powi(exponent - 4 * fraction.len() as i32))
}

/// Reads a whole number as Java's `parseLong` does: an optional sign and digits, nothing else.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Reads a decimal of `precision` and `scale` from Java's `BigDecimal` syntax, rounded half up; `None` if it is no
/// number or needs more digits.
pub fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, unsigned) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !is_decimal_literal(unsigned) {
        return None;
    }
    let (mantissa, exponent) = match unsigned.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_integer(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|&b| b == b'.').unwrap_or(mantissa.len());
    // Digits up to this count are kept, the next one decides about rounding.
    let kept = (point as i64).checked_add(exponent)?.checked_add(i64::from(scale))?;
    let value = scaled(mantissa.iter().copied().filter(|b| *b != b'.'), kept)?;
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

/// The first `kept` digits as a number, padded with zeros, rounded half up by the digit after them.
fn scaled(digits: impl Iterator<Item = u8>, kept: i64) -> Option<i128> {
    let mut value: i128 = 0;
    let mut seen: i64 = 0;
    for digit in digits {
        if seen > kept {
            break;
        }
        let digit = i128::from(digit - b'0');
        if seen < kept {
            value = value.checked_mul(10)?.checked_add(digit)?;
        } else if digit >= 5 {
            value = value.checked_add(1)?;
        }
        seen += 1;
    }
    // `1e3` keeps more digits than it has; a zero stays zero whatever its exponent.
    if value != 0 {
        for _ in seen..kept {
            value = value.checked_mul(10)?;
        }
    }
    Some(value)
}

/// Appends an unscaled decimal as plain digits: `1.50`, `-0.05`.
pub fn write_decimal(value: i128, scale: i8, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    let scale = scale.max(0) as usize;
    if scale == 0 {
        return out.push_str(digits);
    }
    if digits.len() <= scale {
        out.push_str("0.");
        (digits.len()..scale).for_each(|_| out.push('0'));
        return out.push_str(digits);
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.push_str(whole);
    out.push('.');
    out.push_str(fraction);
}

/// Appends an unscaled decimal as Java's `BigDecimal.toString`, which turns to `1E-10` for small numbers.
pub fn write_decimal_java(value: i128, scale: i8, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    let exponent = digits.len() as i64 - 1 - i64::from(scale);
    if exponent >= -6 {
        return write_decimal(value, scale, out);
    }
    if value < 0 {
        out.push('-');
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    out.push('E');
    out.push_str(itoa::Buffer::new().format(exponent));
}

/// A decimal in text; commas between digits are ignored, as Spark's default locale has it.
pub(crate) fn parse_grouped_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    if !text.contains(&b',') {
        return parse_decimal(text, precision, scale);
    }
    let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
    parse_decimal(&plain, precision, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (9999999.999, "9999999.999"),
            (1e7, "1.0E7"),
            (1e-3, "0.001"),
            (2.5e-4, "2.5E-4"),
            (123456789.123, "1.23456789123E8"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1.0E21"),
            (1.7976931348623157e308, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_to_string(value), text);
        }
        assert_eq!(float_to_string(1.1), "1.1");
        assert_eq!(float_to_string(16777216.0), "1.6777216E7");
    }

    #[test]
    fn doubles_are_read_as_java_reads_them() {
        for (text, value) in [
            (" 1.5 ", Some(1.5)),
            ("+2.5", Some(2.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e400", Some(f64::INFINITY)),
            ("1d", Some(1.0)),
            ("2f", Some(2.0)),
            ("0x1p3", Some(8.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("0x10", None),
            ("nan", None),
            ("inf", None),
            ("1_0", None),
            (".", None),
            ("1e", None),
            ("", None),
            ("--1", None),
        ] {
            assert_eq!(parse_double(text.as_bytes()), value, "{text:?}");
        }
        assert!(parse_double(b"NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn decimals_round_half_up_and_overflow_to_nothing() {
        for (text, value) in [
            ("1.255", Some(126)),
            ("-1.255", Some(-126)),
            ("1.245", Some(125)),
            ("1e2", Some(10000)),
            ("1e-9", Some(0)),
            (".005", Some(1)),
            ("999.994", Some(99999)),
            ("999.995", None),
            ("1000", None),
            ("1e999999999999", None),
            ("0e99999", Some(0)),
            ("abc", None),
            (" 1", None),
        ] {
            assert_eq!(parse_decimal(text.as_bytes(), 5, 2), value, "{text:?}");
        }
    }

    #[test]
    fn decimals_print_plainly_or_as_java_does() {
        for (value, scale, plain, java) in [
            (150, 2, "1.50", "1.50"),
            (-5, 2, "-0.05", "-0.05"),
            (0, 10, "0.0000000000", "0E-10"),
            (1, 10, "0.0000000001", "1E-10"),
            (12, 8, "0.00000012", "1.2E-7"),
            (7, 0, "7", "7"),
        ] {
            let (mut left, mut right) = (String::new(), String::new());
            write_decimal(value, scale, &mut left);
            write_decimal_java(value, scale, &mut right);
            assert_eq!((left.as_str(), right.as_str()), (plain, java));
        }
    }

    #[test]
    fn integers_have_a_sign_and_digits_only() {
        for (text, value) in [
            ("+1", Some(1)),
            ("-0", Some(0)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            (" 1", None),
            ("1.0", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text:?}");
        }
    }
}
