//! Numbers on the wire: integers as strictly as Redis reads them, and printed
//! without an allocation.

use std::io::Write;

/// Longest decimal form of an `i64` (`-9223372036854775808`) or `u64`.
pub(super) const DECIMAL_BYTES_MAX: usize = 20;

/// Parses the canonical decimal form of an `i64` and nothing else.
///
/// `-0`, `+1`, ` 1`, `01` and the empty string are refused, so whatever parses
/// prints back as the same bytes.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            if magnitude == 0 {
                return None;
            }
            0i64.checked_sub_unsigned(magnitude)
        }
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// Parses the canonical decimal form of a `u64` and nothing else.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text == b"0" {
        return Some(0);
    }
    if text.is_empty() || text[0] == b'0' || text.len() > DECIMAL_BYTES_MAX {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Appends the decimal form of `value`.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    let mut buffer = [0; DECIMAL_BYTES_MAX];
    let mut start = write_decimal(&mut buffer, DECIMAL_BYTES_MAX, value.unsigned_abs());
    if value < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    out.extend_from_slice(&buffer[start..]);
}

/// Appends the decimal form of `value`.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; DECIMAL_BYTES_MAX];
    let start = write_decimal(&mut buffer, DECIMAL_BYTES_MAX, value);
    out.extend_from_slice(&buffer[start..]);
}

/// Number of bytes that [`push_i64`] appends.
#[inline]
pub fn decimal_len(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(value < 0)
}

/// Writes `value` so that it ends before `end`, and returns where it starts.
/// `end` has to be at least [`DECIMAL_BYTES_MAX`].
#[inline]
pub(super) fn write_decimal(buffer: &mut [u8], end: usize, mut value: u64) -> usize {
    let mut at = end;
    while value >= 100 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&DIGIT_PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&DIGIT_PAIRS[value as usize]);
    } else {
        at -= 1;
        buffer[at] = b'0' + value as u8;
    }
    at
}

/// A number below 100 as two digits.
#[inline]
pub(super) fn two_digits(value: usize) -> [u8; 2] {
    DIGIT_PAIRS[value]
}

/// Two digits a step halve the divisions, which are what printing costs.
static DIGIT_PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Significant digits that identify every `f64`; Redis prints `%.17g`.
const DOUBLE_DIGITS: i32 = 17;

/// Appends `value` as Redis prints doubles in replies: `%.17g`, or `inf`,
/// `-inf`, `nan`. At most 24 bytes.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if value.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    // Exactly 17 digits, correctly rounded: `d.dddddddddddddddde-308`.
    let mut buffer = [0u8; 32];
    let mut free = &mut buffer[..];
    write!(free, "{value:.16e}").expect("23 bytes fit into 32");
    let len = 32 - free.len();
    let text = &buffer[..len];
    let split = text.iter().position(|&byte| byte == b'e').expect("{:e} prints an exponent");
    let exponent: i32 =
        parse_i64(&text[split + 1..]).expect("an exponent of an f64 is short") as i32;

    let mut digits = [0u8; DOUBLE_DIGITS as usize];
    digits[0] = text[0];
    digits[1..].copy_from_slice(&text[2..split]);
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);

    if !(-4..DOUBLE_DIGITS).contains(&exponent) {
        push_with_point(out, &digits[..significant], 1);
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        push_u64(out, exponent.unsigned_abs().into());
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..1 + exponent.unsigned_abs() as usize]);
        out.extend_from_slice(&digits[..significant]);
    } else {
        let whole = exponent as usize + 1;
        push_with_point(out, &digits[..significant.max(whole)], whole);
    }
}

/// Appends `digits` with a point after the first `whole` of them, if more follow.
fn push_with_point(out: &mut Vec<u8>, digits: &[u8], whole: usize) {
    out.extend_from_slice(&digits[..whole]);
    if digits.len() > whole {
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: i64) -> String {
        let mut out = Vec::new();
        push_i64(&mut out, value);
        assert_eq!(out.len(), decimal_len(value));
        String::from_utf8(out).unwrap()
    }

    fn printed_f64(value: f64) -> String {
        let mut out = Vec::new();
        push_f64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_print_and_parse_back() {
        let mut values = vec![0, i64::MIN, i64::MAX];
        let mut power = 1i64;
        for _ in 0..19 {
            values.extend([power - 1, power, power + 1, -power - 1, -power, 1 - power]);
            power = power.saturating_mul(10);
        }
        let mut rng = fastrand::Rng::with_seed(1);
        values.extend((0..10_000).map(|_| rng.i64(..) >> rng.u32(..64)));
        for value in values {
            assert_eq!(printed(value), value.to_string());
            assert_eq!(parse_i64(printed(value).as_bytes()), Some(value));
        }
    }

    #[test]
    fn only_the_canonical_form_parses() {
        for text in [
            "",
            "-",
            "+",
            "+1",
            " 1",
            "1 ",
            "01",
            "00",
            "-0",
            "-01",
            "--1",
            "1.0",
            "0x1",
            "1e3",
            "a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1\0",
            "100000000000000000000",
            "18446744073709551616",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn unsigned_extremes_print() {
        let mut out = Vec::new();
        push_u64(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().into_bytes());
    }

    /// The right column is what redis-server 7.0 answers to ZSCORE, `-0` and `nan`
    /// apart, which no sorted set holds.
    #[test]
    fn doubles_print_as_in_redis() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (10.0, "10"),
            (0.1, "0.10000000000000001"),
            (1.1, "1.1000000000000001"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (0.000123456, "0.00012345600000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e100, "1e+100"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324"),
            (9007199254740993.0, "9007199254740992"),
            (2f64.powi(47) + 0.125, "140737488355328.12"),
            (2f64.powi(47) + 0.375, "140737488355328.38"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
        ] {
            assert_eq!(printed_f64(value), expected);
        }
    }

    #[test]
    fn doubles_parse_back() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let value = f64::from_bits(rng.u64(..));
            if !value.is_nan() {
                let text = printed_f64(value);
                assert!(text.len() <= 24);
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            }
        }
    }
}
