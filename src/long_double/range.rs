//! Long doubles beside one another: order, ends and distance.

use std::cmp::Ordering;

use super::{LongDouble, Magnitude, X87};

impl LongDouble {
    /// The largest finite number; its [`LongDouble::negated`] is the least.
    pub(crate) const MAX: LongDouble = LongDouble {
        negative: false,
        magnitude: Magnitude::Finite { significand: u64::MAX, exponent: X87.exponent_max },
    };

    /// Whether it is one of the two infinities.
    pub(crate) fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// Whether it has a minus, as zero may.
    pub(crate) fn is_negative(self) -> bool {
        self.negative
    }

    /// The number with the other sign.
    pub(crate) fn negated(self) -> LongDouble {
        LongDouble { negative: !self.negative, ..self }
    }

    /// The order of the values: both zeros are equal.
    pub(crate) fn compare(self, other: LongDouble) -> Ordering {
        let rank = |number: LongDouble| match number.magnitude {
            // All bits of a significand are used unless the exponent is the
            // least, so a larger exponent is a larger number.
            Magnitude::Finite { significand, exponent } => (exponent, significand),
            Magnitude::Infinite => (i32::MAX, 0),
        };
        let is_zero = |number| rank(number).1 == 0 && !number.is_infinite();
        match (self.negative && !is_zero(self), other.negative && !is_zero(other)) {
            (false, false) => rank(self).cmp(&rank(other)),
            (true, true) => rank(other).cmp(&rank(self)),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> LongDouble {
        LongDouble::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn order_is_that_of_the_values() {
        let ascending = [
            "-inf", "-1e4932", "-1e10", "-2.5", "-2", "-1e-4940", "0", "1e-4945", "1e-4940", "0.5",
            "1", "2.5", "1e10", "1e4932", "inf",
        ];
        for (at, low) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                let order = number(low).compare(number(other));
                assert_eq!(order, at.cmp(&other_at), "{low} and {other}");
            }
        }
        assert_eq!(number("-0").compare(number("0")), Ordering::Equal);
    }

    #[test]
    fn the_largest_number_is_below_infinity_and_above_all_others() {
        let max = LongDouble::MAX;
        assert_eq!(max.compare(number("inf")), Ordering::Less);
        assert_eq!(max.compare(number("1.18973149535723176502e4932")), Ordering::Equal);
        assert_eq!(max.checked_add(max), None);
        assert_eq!(max.negated().compare(number("-inf")), Ordering::Greater);
        assert_eq!(max.checked_add(max.negated()).map(|sum| sum.to_string()), Some("0".to_owned()));
    }
}
