//! Strings.

use super::arguments::Ttl;
use super::{Family, Generator, args};

impl Generator {
    pub(super) fn string_command(&mut self) {
        const FAMILIES: &[(u32, Family)] = &[
            (12, Generator::set),
            (10, Generator::read),
            (6, Generator::getex),
            (8, Generator::set_variants),
            (6, Generator::several_keys),
            (12, Generator::counters),
            (6, Generator::ranges),
        ];
        self.family(FAMILIES);
    }

    fn set(&mut self) {
        let mut command = args!["SET", self.key(), self.value()];
        let mut past = false;
        if self.percent(70) {
            match self.rng.u32(..6) {
                0 => command.push("NX".into()),
                1 => command.push("xx".into()),
                _ => {}
            }
            if self.percent(20) {
                command.push("GET".into());
            }
            match self.rng.u32(..6) {
                0 => command.push("KEEPTTL".into()),
                1..=2 => past = self.expiry_option(&mut command),
                _ => {}
            }
            if self.percent(30) {
                let options = command.len() - 3;
                // Order does not matter, unless an option has an argument.
                if options == 2 && !past && !command[3].is_empty() && command[4] == b"GET" {
                    command.swap(3, 4);
                }
            }
        } else {
            past = self.random_options(&mut command, &["NX", "XX", "GET", "KEEPTTL", "FOO"]);
        }
        if past {
            // Set with a deadline in the past, a key is there for Redis until
            // somebody looks: look at once.
            let key = command[1].clone();
            self.exact(command);
            self.bound(args!["GET", key]);
        } else {
            self.fuzzed(command);
        }
    }

    /// One of EX, PX, EXAT, PXAT with its argument; whether it is in the past.
    fn expiry_option(&mut self, command: &mut Vec<Vec<u8>>) -> bool {
        let name = self.one_of(&["EX", "PX", "EXAT", "PXAT", "ex", "Px"]);
        let ttl = match name {
            "EX" | "ex" => Ttl { text: self.ttl_s(), past: false },
            "PX" | "Px" => Ttl { text: self.ttl_ms(), past: false },
            "EXAT" => self.at_s(),
            _ => self.at_ms(),
        };
        command.push(name.into());
        command.push(ttl.text);
        ttl.past
    }

    /// Any options, contradicting or repeated.
    fn random_options(&mut self, command: &mut Vec<Vec<u8>>, words: &[&str]) -> bool {
        let mut past = false;
        for _ in 0..self.rng.u32(..4) {
            if self.percent(40) {
                past |= self.expiry_option(command);
            } else {
                let word = self.one_of(words);
                command.push(word.into());
            }
        }
        if self.percent(5) {
            let word = self.one_of(&["EX", "PX", "EXAT", "PXAT"]);
            command.push(word.into());
            // A further argument would be a deadline, and probably a past one.
            past |= word.ends_with("AT");
        }
        past
    }

    fn read(&mut self) {
        let name = self.one_of(&["GET", "GET", "GET", "STRLEN", "GETDEL"]);
        let command = args![name, self.key()];
        self.fuzzed(command);
    }

    fn getex(&mut self) {
        let mut command = args!["GETEX", self.key()];
        match self.rng.u32(..10) {
            0..=1 => {}
            2..=3 => command.push("PERSIST".into()),
            4..=7 => {
                self.expiry_option(&mut command);
            }
            _ => {
                self.random_options(&mut command, &["PERSIST", "NX", "KEEPTTL", "GET", "FOO"]);
            }
        }
        self.fuzzed(command);
    }

    fn set_variants(&mut self) {
        let command = match self.rng.u32(..5) {
            0 => args!["SETNX", self.key(), self.value()],
            1 => args!["SETEX", self.key(), self.ttl_s(), self.value()],
            2 => args!["PSETEX", self.key(), self.ttl_ms(), self.value()],
            3 => args!["GETSET", self.key(), self.value()],
            _ => args!["APPEND", self.key(), self.value()],
        };
        self.fuzzed(command);
    }

    fn several_keys(&mut self) {
        let name = self.one_of(&["MGET", "MSET", "MSETNX"]);
        let mut command = args![name];
        for _ in 0..self.rng.usize(1..5) {
            command.push(self.key());
            if name != "MGET" {
                command.push(self.value());
            }
        }
        self.fuzzed(command);
    }

    fn counters(&mut self) {
        let command = match self.rng.u32(..7) {
            0 => args!["INCR", self.key()],
            1 => args!["DECR", self.key()],
            2 => args!["INCRBY", self.key(), self.integer()],
            3 => args!["DECRBY", self.key(), self.integer()],
            4..=5 => args!["INCRBYFLOAT", self.key(), self.float()],
            _ => {
                let number = self.integer();
                args!["SET", self.key(), number]
            }
        };
        self.fuzzed(command);
    }

    fn ranges(&mut self) {
        let command = match self.rng.u32(..5) {
            0..=1 => args!["GETRANGE", self.key(), self.offset(), self.offset()],
            2 => args!["SUBSTR", self.key(), self.offset(), self.offset()],
            _ => args!["SETRANGE", self.key(), self.offset(), self.value()],
        };
        self.fuzzed(command);
    }
}
