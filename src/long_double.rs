//! The arithmetic of INCRBYFLOAT, byte for byte as Redis has it on x86-64.
//!
//! There it is that of the processor's 80-bit format: a significand of 64 bits,
//! an exponent of 15, rounding to the nearest and of two nearest to the even one.
//! Rust has no such type, so it is done here in integers: reading a number
//! (decimal or hexadecimal, correctly rounded at any length), adding two, and
//! printing one with 17 decimals.
//!
//! What a client can make this cost is bounded by [`TEXT_BYTES_MAX`] and by the
//! exponents at which a number is certainly out of range. Numbers in between have
//! fewer than 40,000 bits. Reading two of the longest, adding and printing them takes
//! about a millisecond; reading a number of ordinary length less than a microsecond.

mod natural;
mod range;

use std::fmt;

use natural::Natural;

/// Longer texts are no numbers, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1_024 - 1;

/// Decimals that are printed. `10^17 < 2^57`.
const DECIMALS: u32 = 17;

/// Exponents in texts are cut to this. It is beyond what the digits of a text
/// in memory could bring back into range.
const TEXT_EXPONENT_MAX: i64 = 1 << 40;

/// A binary format: numbers `significand * 2^exponent`, where the significand
/// has all its bits unless the exponent is the least.
struct Format {
    significand_bits: u32,
    exponent_min: i32,
    exponent_max: i32,
}

const X87: Format = Format { significand_bits: 64, exponent_min: -16_445, exponent_max: 16_320 };

/// An 80-bit extended float; never NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// The top bit of the significand is set, unless the exponent is the least of
    /// [`X87`]. Zero has the least exponent.
    Finite {
        significand: u64,
        exponent: i32,
    },
    Infinite,
}

impl LongDouble {
    /// Reads a number as Redis does: all of the text, which is decimal, `0x` and
    /// hexadecimal with a binary exponent, or an infinity by name. `None` for what
    /// is no number, for NaN, for what rounds to an infinity or, without being
    /// zero, to zero, and for more than 5,119 bytes.
    pub(crate) fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, unsigned) = split_sign(text);
        let magnitude = if is_infinity(unsigned) {
            Magnitude::Infinite
        } else {
            let (significand, exponent) = match strip_hexadecimal_prefix(unsigned) {
                Some(digits) => read_hexadecimal(digits, &X87)?,
                None => read_decimal(unsigned)?,
            };
            Magnitude::Finite { significand, exponent }
        };
        Some(LongDouble { negative, magnitude })
    }

    /// The sum, rounded once; `None` if it is an infinity or, for opposite
    /// infinities, no number.
    pub(crate) fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        use Magnitude::Finite;
        let Finite { significand, exponent } = self.magnitude else { return None };
        let Finite { significand: other_significand, exponent: other_exponent } = other.magnitude
        else {
            return None;
        };
        if (exponent, significand) < (other_exponent, other_significand) {
            return other.checked_add(self);
        }
        // 63 bits of room below, one above. The smaller number only loses bits to
        // the shift when it is so much smaller that the result keeps 126 bits.
        let large = u128::from(significand) << 63;
        let distance = exponent.abs_diff(other_exponent);
        let unshifted = u128::from(other_significand) << 63;
        let small = unshifted.checked_shr(distance).unwrap_or(0);
        let cut = small.checked_shl(distance).unwrap_or(0) != unshifted;
        let same_sign = self.negative == other.negative;
        let sum = match (same_sign, cut) {
            (true, _) => large + small,
            (false, false) => large - small,
            // What was cut makes the difference less than this by a part of one.
            (false, true) => large - small - 1,
        };
        // Of two numbers that cancel out, the sum is positive zero.
        let negative = self.negative && (same_sign || sum != 0);
        let (significand, exponent) = round(sum, i64::from(exponent) - 63, cut, &X87)?;
        Some(LongDouble { negative, magnitude: Finite { significand, exponent } })
    }
}

impl From<i64> for LongDouble {
    /// Exact, as the significand has 64 bits.
    fn from(value: i64) -> LongDouble {
        let (significand, exponent) = round(value.unsigned_abs().into(), 0, false, &X87)
            .expect("an integer of 64 bits is in range");
        let magnitude = Magnitude::Finite { significand, exponent };
        LongDouble { negative: value < 0, magnitude }
    }
}

/// The value to 17 decimals, rounded from its exact value, without the zeros at
/// the end; never in exponent form, and never `-0`.
impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let Magnitude::Finite { significand, exponent } = self.magnitude else {
            return write!(f, "{sign}inf");
        };
        if exponent >= 0 {
            let integer = Natural::from_shifted(significand, exponent.unsigned_abs());
            return write!(f, "{sign}{}", integer.into_digits());
        }
        // Below 2^121, so that what is shifted by 128 or more is below a half.
        let scaled = u128::from(significand) * 10_u128.pow(DECIMALS);
        let units = shift_right_rounded(scaled, exponent.unsigned_abs(), false);
        if units == 0 {
            return write!(f, "0");
        }
        let (integer, decimals) = (units / 10_u128.pow(DECIMALS), units % 10_u128.pow(DECIMALS));
        write!(f, "{sign}{integer}")?;
        if decimals > 0 {
            let decimals = format!("{decimals:017}");
            write!(f, ".{}", decimals.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// A decimal number in text: its digits, without the zeros at both ends, taken
/// for an integer, times `10^exponent`.
struct Decimal<'a> {
    before_point: &'a [u8],
    after_point: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(unsigned: &'a [u8]) -> Option<Decimal<'a>> {
        let (mantissa, exponent) = split_exponent(unsigned, b"eE")?;
        let (before_point, after_point) = split_point(mantissa, u8::is_ascii_digit)?;
        let mut number = Decimal { before_point, after_point, exponent };
        number.after_point = trim_zeros_end(after_point);
        number.exponent -= number.after_point.len() as i64;
        if number.after_point.is_empty() {
            number.before_point = trim_zeros_end(before_point);
            number.exponent += (before_point.len() - number.before_point.len()) as i64;
        }
        number.before_point = trim_zeros_start(number.before_point);
        if number.before_point.is_empty() {
            number.after_point = trim_zeros_start(number.after_point);
        }
        Some(number)
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.before_point.iter().chain(self.after_point).copied()
    }

    fn digit_count(&self) -> i64 {
        (self.before_point.len() + self.after_point.len()) as i64
    }

    fn is_zero(&self) -> bool {
        self.digit_count() == 0
    }
}

fn read_decimal(unsigned: &[u8]) -> Option<(u64, i32)> {
    let number = Decimal::parse(unsigned)?;
    if number.is_zero() {
        return Some((0, X87.exponent_min));
    }
    // The number is below 10^magnitude and not below a tenth of that. The largest
    // long double is below 10^4933, half of the least above 10^-4951.
    let magnitude = number.exponent + number.digit_count();
    if !(-4_950..=4_933).contains(&magnitude) {
        return None;
    }
    let exponent = i32::try_from(number.exponent).ok()?;
    let mut numerator = Natural::from_digits(number.digits());
    let (significand, rounded_exponent) = if exponent >= 0 {
        numerator.multiply_by_power_of_five(exponent.unsigned_abs());
        let (top, below, cut) = numerator.top();
        round(top, i64::from(below) + i64::from(exponent), cut, &X87)?
    } else {
        let mut denominator = Natural::from_shifted(1, 0);
        denominator.multiply_by_power_of_five(exponent.unsigned_abs());
        let (quotient, quotient_exponent, cut) = divide(numerator, denominator);
        round(quotient, quotient_exponent + i64::from(exponent), cut, &X87)?
    };
    (significand != 0).then_some((significand, rounded_exponent))
}

/// The quotient as `quotient * 2^exponent` to at least 66 bits, and whether
/// there is more to it. Both numbers are positive.
fn divide(mut numerator: Natural, mut denominator: Natural) -> (u128, i64, bool) {
    const STEPS: u32 = 67;
    let (numerator_bits, denominator_bits) = (numerator.bits(), denominator.bits());
    if numerator_bits < denominator_bits {
        numerator.shift_left(denominator_bits - numerator_bits);
    } else {
        denominator.shift_left(numerator_bits - denominator_bits);
    }
    // Of equal length now, so the first two steps give a one at the latest, and
    // each later one gives one bit.
    let mut quotient = 0;
    for _ in 0..STEPS {
        quotient = quotient << 1 | u128::from(numerator.subtract(&denominator));
        numerator.shift_left(1);
    }
    let exponent = i64::from(numerator_bits) - i64::from(denominator_bits);
    (quotient, exponent - i64::from(STEPS - 1), !numerator.is_zero())
}

/// Reads what follows `0x`.
fn read_hexadecimal(digits: &[u8], format: &Format) -> Option<(u64, i32)> {
    let (mantissa, text_exponent) = split_exponent(digits, b"pP")?;
    let (before_point, after_point) = split_point(mantissa, u8::is_ascii_hexdigit)?;
    let mut exponent = text_exponent - 4 * after_point.len() as i64;
    let (mut significand, mut cut) = (0_u128, false);
    for &digit in before_point.iter().chain(after_point) {
        let value = char::from(digit).to_digit(16).expect("a hexadecimal digit");
        if significand >> (u128::BITS - 4) == 0 {
            significand = significand << 4 | u128::from(value);
        } else {
            exponent += 4;
            cut |= value != 0;
        }
    }
    let (rounded, rounded_exponent) = round(significand, exponent, cut, format)?;
    (rounded != 0 || significand == 0).then_some((rounded, rounded_exponent))
}

/// Rounds `significand * 2^exponent`, or if `cut` a little more than that, to
/// the format; `None` if that is an infinity. What is cut needs a significand
/// that has more bits than the format's.
fn round(significand: u128, exponent: i64, cut: bool, format: &Format) -> Option<(u64, i32)> {
    let (exponent_min, exponent_max) =
        (i64::from(format.exponent_min), i64::from(format.exponent_max));
    if significand == 0 {
        return Some((0, format.exponent_min));
    }
    let bits = i64::from(u128::BITS - significand.leading_zeros());
    let excess = bits - i64::from(format.significand_bits);
    let mut rounded_exponent = (exponent + excess).max(exponent_min);
    if rounded_exponent > exponent_max {
        return None;
    }
    let shift = rounded_exponent - exponent;
    let mut rounded = if shift >= 0 {
        // All shifts beyond the width of the value come to the same.
        shift_right_rounded(significand, shift.min(1 << 10) as u32, cut)
    } else {
        debug_assert!(!cut, "the bits that are missing would not be zeros");
        significand << -shift
    };
    if rounded >> format.significand_bits != 0 {
        // It was all ones and is a one with zeros now.
        rounded >>= 1;
        rounded_exponent += 1;
        if rounded_exponent > exponent_max {
            return None;
        }
    }
    let rounded = u64::try_from(rounded).expect("no format has more than 64 bits");
    Some((rounded, i32::try_from(rounded_exponent).expect("between the format's exponents")))
}

/// Shifts to the nearest integer, of two nearest to the even one. `cut` says that
/// the value is a little more than it seems.
fn shift_right_rounded(value: u128, shift: u32, cut: bool) -> u128 {
    if shift == 0 {
        return value;
    }
    let quotient = value.checked_shr(shift).unwrap_or(0);
    let rest = value - quotient.checked_shl(shift).unwrap_or(0);
    let rounds_up = match 1_u128.checked_shl(shift - 1) {
        Some(half) => rest > half || rest == half && (cut || quotient & 1 == 1),
        None => false,
    };
    quotient + u128::from(rounds_up)
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        [b'+', unsigned @ ..] => (false, unsigned),
        unsigned => (false, unsigned),
    }
}

fn is_infinity(unsigned: &[u8]) -> bool {
    unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity")
}

fn strip_hexadecimal_prefix(unsigned: &[u8]) -> Option<&[u8]> {
    match unsigned {
        [b'0', b'x' | b'X', digits @ ..] => Some(digits),
        _ => None,
    }
}

/// Splits an exponent off, which begins with one of `marks` and is 0 if absent,
/// and cut to [`TEXT_EXPONENT_MAX`]. `None` if the mark is not followed by digits
/// to the end.
fn split_exponent<'a>(text: &'a [u8], marks: &[u8; 2]) -> Option<(&'a [u8], i64)> {
    let Some(mark) = text.iter().position(|byte| marks.contains(byte)) else {
        return Some((text, 0));
    };
    let (negative, digits) = split_sign(&text[mark + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0, |exponent, digit| TEXT_EXPONENT_MAX.min(exponent * 10 + i64::from(digit - b'0')));
    Some((&text[..mark], if negative { -exponent } else { exponent }))
}

/// The digits before and after the point; `None` if there are none at all, or
/// anything else.
fn split_point(mantissa: &[u8], is_digit: fn(&u8) -> bool) -> Option<(&[u8], &[u8])> {
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (before, after) = match point {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    let any = !(before.is_empty() && after.is_empty());
    (any && before.iter().all(is_digit) && after.iter().all(is_digit)).then_some((before, after))
}

fn trim_zeros_start(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

fn trim_zeros_end(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    &digits[..digits.len() - zeros]
}

#[cfg(test)]
mod tests;
