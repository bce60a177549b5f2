//! Pools of arguments: few keys, so that commands meet; values at the edges.

use super::Generator;

/// Well-formed TTLs in the tests are at least an hour, so that nothing expires
/// while a sequence runs, and drawn from a thousand hours, so that comparing
/// two (EXPIRE GT) does not depend on the millisecond.
const TTL_MS: std::ops::Range<u64> = 3_600_000..3_600_000_000;

/// 2100-01-01, the start of the absolute deadlines that never come.
const FUTURE_MS: u64 = 4_102_444_800_000;

/// Refused or accepted whatever the clock says.
const ODD_NUMBERS: &[&str] = &[
    "0",
    "-1",
    "-100000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999",
    "9223370000000000",
    "9223372036854776",
    "abc",
    "",
    "1.5",
    " 1",
    "1 ",
    "+5",
    "007",
    "0x10",
    "1e5",
    "-0",
];

/// A TTL argument, and whether it is an absolute one that has passed.
pub(super) struct Ttl {
    pub(super) text: Vec<u8>,
    pub(super) past: bool,
}

impl Generator {
    pub(super) fn one_of<'a>(&mut self, pool: &[&'a str]) -> &'a str {
        pool[self.rng.usize(..pool.len())]
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        match self.rng.u32(..100) {
            0..=79 => format!("k{}", self.rng.u32(..8)).into(),
            80..=85 => "user:1".into(),
            86..=90 => "user:2".into(),
            91..=92 => "".into(),
            93..=94 => b"\x00\xff\r\n\"'".to_vec(),
            95..=96 => "{tag}a*[b]?\\".into(),
            97..=98 => "long".repeat(75).into(),
            _ => format!("rare{}", self.rng.u32(..100)).into(),
        }
    }

    pub(super) fn value(&mut self) -> Vec<u8> {
        match self.rng.u32(..100) {
            0..=39 => self.rng.i64(-100..100).to_string().into(),
            40..=49 => self.integer().into(),
            50..=59 => self.float().into(),
            60..=64 => "".into(),
            65..=84 => {
                let length = self.rng.usize(1..44);
                (0..length).map(|_| self.rng.u8(b'a'..=b'z')).collect()
            }
            85..=92 => {
                let length = self.rng.usize(1..100);
                (0..length).map(|_| self.rng.u8(..)).collect()
            }
            93..=97 => {
                // Around the lengths at which an encoding or a layout changes.
                let around = [44_usize, 45, 64, 255, 256, 1023, 1024, 1025, 4096];
                let length = around[self.rng.usize(..around.len())] + self.rng.usize(..2);
                vec![self.rng.u8(b'a'..=b'z'); length]
            }
            98 => vec![b'x'; self.rng.usize(5_000..70_000)],
            _ => "hello world".into(),
        }
    }

    /// Mostly an integer, small or at the edge of 64 bits.
    pub(super) fn integer(&mut self) -> String {
        match self.rng.u32(..100) {
            0..=59 => self.rng.i64(-20..20).to_string(),
            60..=79 => {
                let edge = if self.rng.bool() { i64::MAX } else { i64::MIN };
                edge.saturating_add(self.rng.i64(-3..=3)).to_string()
            }
            80..=89 => self.rng.i64(..).to_string(),
            _ => self.one_of(ODD_NUMBERS).to_owned(),
        }
    }

    pub(super) fn float(&mut self) -> String {
        const ODD: &[&str] = &[
            "inf",
            "-inf",
            "nan",
            "+inf",
            "abc",
            "",
            " 1",
            "1 ",
            "1e400",
            "-1e4000",
            "1e-400",
            "1e5000",
            "0x1p3",
            "0x.8",
            "1e",
            ".5",
            "5.",
            "-0",
            "-0.0",
            "1_000",
            "1,5",
            "3.0e3",
            "12345678901234567890",
            "0.1",
            "1.7976931348623157e308",
            "Infinity",
        ];
        match self.rng.u32(..100) {
            0..=49 => format!("{:.*}", self.rng.usize(..6), self.rng.f64() * 200.0 - 100.0),
            50..=64 => format!("{:e}", self.rng.f64() * 10f64.powi(self.rng.i32(-20..20))),
            65..=79 => self.rng.i64(-50..50).to_string(),
            _ => self.one_of(ODD).to_owned(),
        }
    }

    /// An index or a length.
    pub(super) fn offset(&mut self) -> String {
        match self.rng.u32(..100) {
            0..=79 => self.rng.i64(-12..60).to_string(),
            80..=89 => self.rng.i64(-5_000..5_000).to_string(),
            _ => self.one_of(ODD_NUMBERS).to_owned(),
        }
    }

    pub(super) fn ttl_s(&mut self) -> Vec<u8> {
        match self.percent(75) {
            true => (self.rng.u64(TTL_MS) / 1000).to_string().into(),
            false => self.one_of(ODD_NUMBERS).into(),
        }
    }

    pub(super) fn ttl_ms(&mut self) -> Vec<u8> {
        match self.percent(75) {
            true => self.rng.u64(TTL_MS).to_string().into(),
            false => self.one_of(ODD_NUMBERS).into(),
        }
    }

    pub(super) fn at_s(&mut self) -> Ttl {
        self.absolute(1000)
    }

    pub(super) fn at_ms(&mut self) -> Ttl {
        self.absolute(1)
    }

    fn absolute(&mut self, unit_ms: u64) -> Ttl {
        match self.rng.u32(..100) {
            0..=64 => {
                let deadline_ms = FUTURE_MS + self.rng.u64(TTL_MS);
                Ttl { text: (deadline_ms / unit_ms).to_string().into(), past: false }
            }
            65..=79 => {
                let past_ms = self.rng.u64(1..1_500_000_000_000);
                Ttl { text: (past_ms / unit_ms).max(1).to_string().into(), past: true }
            }
            _ => Ttl { text: self.one_of(ODD_NUMBERS).into(), past: false },
        }
    }

    pub(super) fn database(&mut self) -> Vec<u8> {
        const ODD: &[&str] =
            &["15", "16", "-1", "abc", "", "99999999999", "4294967296", "9223372036854775808"];
        match self.percent(88) {
            true => self.rng.u32(..3).to_string().into(),
            false => self.one_of(ODD).into(),
        }
    }

    pub(super) fn pattern(&mut self) -> Vec<u8> {
        const PATTERNS: &[&str] = &[
            "*",
            "k*",
            "k?",
            "k[0-3]",
            "k[^1]",
            "k[3-0]",
            "k[1",
            "k[",
            "[",
            "",
            "?",
            "**",
            "*1*",
            "user:*",
            "user:?",
            "\\k1",
            "k\\1",
            "\\",
            "k1",
            "K*",
            "*o*o*o*",
            "{tag}a\\*\\[b\\]\\?*",
            "k[\\1-3]",
            "k[a-",
            "nothing",
            "*[^0-5]",
            "[kr]*",
            "long*long",
        ];
        self.one_of(PATTERNS).into()
    }

    pub(super) fn channel(&mut self) -> Vec<u8> {
        match self.rng.u32(..10) {
            0..=7 => format!("ch{}", self.rng.u32(..4)).into(),
            8 => b"c\x00\r\nh".to_vec(),
            _ => "".into(),
        }
    }

    pub(super) fn channel_pattern(&mut self) -> Vec<u8> {
        const PATTERNS: &[&str] = &["ch*", "ch[0-1]", "*", "c?0", "nothing", ""];
        self.one_of(PATTERNS).into()
    }

    pub(super) fn several(
        &mut self,
        most: usize,
        mut one: impl FnMut(&mut Generator) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let count = self.rng.usize(1..=most);
        (0..count).map(|_| one(self)).collect()
    }
}
