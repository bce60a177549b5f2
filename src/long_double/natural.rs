//! Natural numbers of any size, with just what reading and printing a
//! [`LongDouble`](super::LongDouble) takes.

/// Limbs of 32 bits, the lowest first, none of the highest zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural {
    limbs: Vec<u32>,
}

/// The largest power of five in a limb.
const FIVES_PER_LIMB: u32 = 13;

/// The most decimal digits that always fit a limb.
const DIGITS_PER_LIMB: usize = 9;

impl Natural {
    /// The number that decimal digits say, which are all in `b'0'..=b'9'`.
    /// Quadratic in their count.
    pub(super) fn from_digits(digits: impl Iterator<Item = u8>) -> Natural {
        let mut number = Natural { limbs: Vec::new() };
        let (mut group, mut scale) = (0, 1);
        for digit in digits {
            group = group * 10 + u32::from(digit - b'0');
            scale *= 10;
            if scale == 10_u32.pow(DIGITS_PER_LIMB as u32) {
                number.multiply_add(scale, group);
                (group, scale) = (0, 1);
            }
        }
        number.multiply_add(scale, group);
        number
    }

    /// `value * 2^shift`.
    pub(super) fn from_shifted(value: u64, shift: u32) -> Natural {
        let mut number = Natural { limbs: vec![value as u32, (value >> 32) as u32] };
        number.trim();
        number.shift_left(shift);
        number
    }

    pub(super) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// Bits without leading zeros; 0 for zero.
    pub(super) fn bits(&self) -> u32 {
        let top = self.limbs.last().map_or(0, |top| u32::BITS - top.leading_zeros());
        (self.limbs.len() as u32).saturating_sub(1) * u32::BITS + top
    }

    pub(super) fn multiply_by_power_of_five(&mut self, mut power: u32) {
        while power > 0 {
            let step = power.min(FIVES_PER_LIMB);
            self.multiply_add(5_u32.pow(step), 0);
            power -= step;
        }
    }

    pub(super) fn shift_left(&mut self, shift: u32) {
        if self.is_zero() {
            return;
        }
        let bits = shift % u32::BITS;
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        let limbs = (shift / u32::BITS) as usize;
        self.limbs.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    /// The top 128 bits (all, if there are no more), how many bits are below them,
    /// and whether one of those is set.
    pub(super) fn top(&self) -> (u128, u32, bool) {
        let below = self.bits().saturating_sub(u128::BITS);
        let (skipped, shift) = ((below / u32::BITS) as usize, below % u32::BITS);
        let mut top = 0_u128;
        // Above the skipped bits stand at most five limbs, of which the highest
        // begins below bit 128 after the shift.
        for (place, &limb) in self.limbs[skipped..].iter().enumerate() {
            let limb = u128::from(limb);
            top |= match place {
                0 => limb >> shift,
                _ => limb << (place as u32 * u32::BITS - shift),
            };
        }
        let cut = self.limbs[..skipped].iter().any(|&limb| limb != 0)
            || shift > 0 && self.limbs[skipped] << (u32::BITS - shift) != 0;
        (top, below, cut)
    }

    /// Subtracts if the result is not negative; says whether it did.
    pub(super) fn subtract(&mut self, other: &Natural) -> bool {
        let order = self.limbs.len().cmp(&other.limbs.len());
        let order = order.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()));
        if order.is_lt() {
            return false;
        }
        let mut borrow = false;
        for (place, limb) in self.limbs.iter_mut().enumerate() {
            let other = other.limbs.get(place).copied().unwrap_or(0);
            let (difference, below) = limb.overflowing_sub(other);
            let (difference, below_again) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = below || below_again;
        }
        self.trim();
        true
    }

    /// The decimal digits, without leading zeros; empty for zero. Quadratic in
    /// their count.
    pub(super) fn into_digits(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            let mut rest = 0_u64;
            for limb in self.limbs.iter_mut().rev() {
                let dividend = rest << u32::BITS | u64::from(*limb);
                *limb = (dividend / 1_000_000_000) as u32;
                rest = dividend % 1_000_000_000;
            }
            self.trim();
            groups.push(rest);
        }
        let mut digits = groups.pop().map_or_else(String::new, |top| top.to_string());
        for group in groups.into_iter().rev() {
            digits.push_str(&format!("{group:09}"));
        }
        digits
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.limbs {
            // At most (2^32 - 1)^2 + 2^32 - 1, which fits.
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> u32::BITS;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_go_in_and_out() {
        let mut rng = fastrand::Rng::with_seed(5);
        for length in 1..200 {
            let mut digits: String = (0..length).map(|_| rng.digit(10)).collect();
            digits.replace_range(..1, "7");
            assert_eq!(Natural::from_digits(digits.bytes()).into_digits(), digits);
        }
        assert_eq!(Natural::from_digits("000".bytes()).into_digits(), "");
    }

    #[test]
    fn arithmetic_agrees_with_u128() {
        let mut rng = fastrand::Rng::with_seed(6);
        for _ in 0..2_000 {
            let value = rng.u64(..) >> rng.u32(0..64);
            let (shift, fives) = (rng.u32(0..=40), rng.u32(0..=9));
            let mut number = Natural::from_shifted(value, shift);
            number.multiply_by_power_of_five(fives);
            let expected = (u128::from(value) << shift) * 5_u128.pow(fives);
            assert_eq!(number.top(), (expected, 0, false));
            assert_eq!(number.bits(), u128::BITS - expected.leading_zeros());
            let smaller = rng.u64(..);
            let result = expected.checked_sub(u128::from(smaller));
            assert_eq!(number.subtract(&Natural::from_shifted(smaller, 0)), result.is_some());
            assert_eq!(number.top().0, result.unwrap_or(expected));
        }
    }

    #[test]
    fn the_top_says_what_it_cut() {
        for shift in 0..200 {
            let number = Natural::from_shifted(0b1001 << 60, shift);
            let below = shift.saturating_sub(64);
            let expected = (0b1001_u128 << 60) << shift.min(64);
            assert_eq!(number.top(), (expected, below, false), "{shift}");
        }
        let digits = Natural::from_shifted(1, 200).into_digits();
        let mut odd = Natural::from_digits(digits.bytes());
        odd.subtract(&Natural::from_shifted(1, 0));
        assert_eq!(odd.top(), (u128::MAX, 72, true));
    }
}
