//! Keys, databases and deadlines.

use super::{Command, End, Family, Generator, Step, args};

impl Generator {
    pub(super) fn key_command(&mut self) {
        const FAMILIES: &[(u32, Family)] = &[
            (10, Generator::expire),
            (10, Generator::deadline),
            (8, Generator::presence),
            (6, Generator::renaming),
            (6, Generator::databases),
            (4, Generator::listing),
            (4, Generator::object),
        ];
        self.family(FAMILIES);
    }

    fn expire(&mut self) {
        let name = self.one_of(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]);
        let ttl = match name {
            "EXPIRE" => self.ttl_s(),
            "PEXPIRE" => self.ttl_ms(),
            "EXPIREAT" => self.at_s().text,
            _ => self.at_ms().text,
        };
        let mut command = args![name, self.key(), ttl];
        if self.percent(50) {
            let options = ["NX", "XX", "GT", "LT", "nx", "gT", "FOO"];
            let count = if self.percent(80) { 1 } else { 2 };
            for _ in 0..count {
                let option = self.one_of(&options);
                command.push(option.into());
            }
        }
        self.fuzzed(command);
    }

    fn deadline(&mut self) {
        let names = ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST", "TTL"];
        let command = args![self.one_of(&names), self.key()];
        self.fuzzed(command);
    }

    fn presence(&mut self) {
        let name = self.one_of(&["DEL", "UNLINK", "EXISTS", "TOUCH", "TYPE", "EXISTS"]);
        let mut command = args![name];
        let most = if name == "TYPE" { 1 } else { 4 };
        command.extend(self.several(most, Generator::key));
        self.fuzzed(command);
    }

    fn renaming(&mut self) {
        let name = self.one_of(&["RENAME", "RENAMENX", "COPY", "COPY"]);
        let mut command = args![name, self.key(), self.key()];
        if name == "COPY" {
            for _ in 0..self.rng.u32(..3) {
                match self.rng.u32(..20) {
                    0..=8 => command.push("REPLACE".into()),
                    9..=17 => {
                        command.push("DB".into());
                        command.push(self.database());
                    }
                    18 => command.push("DB".into()),
                    _ => command.push("FOO".into()),
                }
            }
        }
        self.fuzzed(command);
    }

    fn databases(&mut self) {
        match self.rng.u32(..20) {
            0..=6 => {
                let command = args!["MOVE", self.key(), self.database()];
                self.fuzzed(command);
            }
            7..=11 => {
                let command = args!["SELECT", self.database()];
                self.fuzzed(command);
            }
            12..=13 => self.fuzzed(args!["SELECT", "0"]),
            14..=15 => {
                let command = args!["SWAPDB", self.database(), self.database()];
                self.fuzzed(command);
            }
            16..=17 => self.fuzzed(args!["DBSIZE"]),
            18 => {
                let mut command = args![self.one_of(&["FLUSHDB", "FLUSHALL"])];
                if self.percent(60) {
                    command.push(self.one_of(&["SYNC", "ASYNC", "async", "FOO"]).into());
                }
                self.fuzzed(command);
            }
            _ => {
                // Only with no key or one is RANDOMKEY not random. Without a
                // database of its own the sequence would lose its keys.
                self.exact(args!["SELECT", "15"]);
                self.bound(args!["FLUSHDB"]);
                self.bound(args!["RANDOMKEY"]);
                let key = self.key();
                self.bound(args!["SET", key, "x"]);
                self.bound(args!["RANDOMKEY"]);
                self.bound(args!["SELECT", "0"]);
            }
        }
    }

    fn listing(&mut self) {
        if self.rng.bool() {
            let command = args!["KEYS", self.pattern()];
            return self.fuzzed(command);
        }
        // With so large a COUNT one call returns everything.
        let mut command = match self.percent(85) {
            true => args!["SCAN", "0", "COUNT", "1000"],
            false => {
                let cursor = self.one_of(&["abc", "", "1x", "99999999999999999999999", " 1"]);
                args!["SCAN", cursor, "COUNT", "1000"]
            }
        };
        if self.percent(40) {
            command.push("MATCH".into());
            command.push(self.pattern());
        }
        if self.percent(25) {
            command.push("TYPE".into());
            command.push(self.one_of(&["string", "STRING", "list", "nosuch", ""]).into());
        }
        if self.percent(10) {
            command.push("COUNT".into());
            command.push(self.one_of(&["0", "-1", "abc", "1.5", ""]).into());
        }
        if self.percent(5) {
            command.push(self.one_of(&["COUNT", "MATCH", "FOO", "TYPE"]).into());
        }
        self.fuzzed(command);
    }

    fn object(&mut self) {
        let command = match self.rng.u32(..12) {
            0..=5 => args!["OBJECT", "ENCODING", self.key()],
            6 => args!["OBJECT", "REFCOUNT", self.key()],
            7 => args!["OBJECT", "IDLETIME", self.key()],
            8 => args!["OBJECT", "FREQ", self.key()],
            9 => args!["OBJECT", "HELP"],
            10 => args!["OBJECT", "NOSUCH", self.key()],
            _ => args!["OBJECT"],
        };
        self.fuzzed(command);
    }

    /// A whole SCAN in small portions.
    pub(super) fn scan_step(&mut self) -> Step {
        self.begin();
        self.reset();
        let mut options = args!["COUNT", self.one_of(&["1", "2", "5", "10", "100"])];
        if self.percent(40) {
            options.push("MATCH".into());
            options.push(self.pattern());
        }
        if self.percent(30) {
            options.push("TYPE".into());
            options.push("string".into());
        }
        let mut scan = args!["SCAN"];
        scan.extend(options);
        self.batch.push(Command::new(&scan));
        self.finish(End::Scan)
    }
}
