//! Publish and subscribe, connections, the server, and odd requests.

use super::{Command, End, Generator, Model, Step, args};

impl Generator {
    pub(super) fn publish_command(&mut self) {
        let command = match self.rng.u32(..12) {
            0..=7 => args!["PUBLISH", self.channel(), self.value()],
            8 => {
                let mut command = args!["PUBSUB", "CHANNELS"];
                if self.rng.bool() {
                    command.push(self.channel_pattern());
                }
                command
            }
            9 => {
                let mut command = args!["PUBSUB", "NUMSUB"];
                command.extend(self.several(3, Generator::channel));
                command
            }
            10 => args!["PUBSUB", "NUMPAT"],
            _ => args!["PUBSUB", self.one_of(&["HELP", "NOSUCH", "channels", ""])],
        };
        self.fuzzed(command);
    }

    /// Subscriptions come and go here, with other commands between them.
    pub(super) fn subscribing_step(&mut self) -> Step {
        self.begin();
        if self.rng.bool() {
            self.reset();
        }
        for _ in 0..self.rng.usize(3..20) {
            match self.rng.u32(..10) {
                0..=2 => {
                    let mut command = args!["SUBSCRIBE"];
                    command.extend(self.several(3, Generator::channel));
                    self.subscription(command);
                }
                3 => {
                    let mut command = args!["PSUBSCRIBE"];
                    command.extend(self.several(2, Generator::channel_pattern));
                    self.subscription(command);
                }
                4 => self.subscription(args!["PSUBSCRIBE", "__key*__:*"]),
                5 => {
                    let mut command = args!["UNSUBSCRIBE"];
                    command.extend(self.several(3, Generator::channel));
                    self.subscription(command);
                }
                6 => {
                    let mut command = args!["PUNSUBSCRIBE"];
                    command.extend(self.several(2, Generator::channel_pattern));
                    self.subscription(command);
                }
                7 => {
                    let name = self.one_of(&["UNSUBSCRIBE", "PUNSUBSCRIBE"]);
                    self.exact(args![name]);
                    // Separates its replies, however many there are, from those
                    // of another one.
                    self.bound(args!["PING"]);
                }
                8 => {
                    let name = self.one_of(&["SUBSCRIBE", "PSUBSCRIBE"]);
                    self.exact(args![name]);
                }
                _ => {
                    let flags = self.one_of(&[
                        "KEA", "KA", "EA", "", "K$", "Eg", "Kgx", "Kxe", "AKE", "foo", "KEn$",
                    ]);
                    self.exact(args!["CONFIG", "SET", "notify-keyspace-events", flags]);
                }
            }
            if self.rng.bool() {
                match self.rng.u32(..4) {
                    0 => self.publish_command(),
                    1 => self.key_command(),
                    2 => self.fuzzed(args!["PING"]),
                    _ => self.string_command(),
                }
            }
        }
        self.finish(End::Fence)
    }

    fn subscription(&mut self, command: Vec<Vec<u8>>) {
        self.model().subscribed = true;
        self.exact(command);
    }

    pub(super) fn connection_command(&mut self) {
        match self.rng.u32(..28) {
            0..=2 => {
                let mut command = args!["PING"];
                if self.rng.bool() {
                    command.push(self.value());
                }
                self.fuzzed(command);
            }
            3..=4 => {
                let command = args!["ECHO", self.value()];
                self.fuzzed(command);
            }
            5..=7 if !self.in_multi => self.hello(),
            8 => self.authentication(),
            9 if !self.in_multi && self.percent(50) => self.reset(),
            10..=11 if !self.in_multi && self.percent(60) => self.reply_modes(),
            12 if !self.in_multi => {
                // Reads go on under it. Writes would wait, so none come before
                // the end of the pause; a client that cannot send the end
                // cannot begin it either.
                self.exact(args!["CLIENT", "PAUSE", "100000", "WRITE"]);
                let key = self.key();
                self.bound(args!["GET", key]);
                self.bound(args!["CLIENT", "UNPAUSE"]);
            }
            13..=19 => self.client_names(),
            _ => self.client_errors(),
        }
    }

    fn hello(&mut self) {
        let mut command = args!["HELLO"];
        command.extend(match self.rng.u32(..16) {
            0 => args![],
            1..=3 => args!["2"],
            4..=6 => args!["3"],
            7 => args!["3", "SETNAME", "bob"],
            8 => args!["2", "AUTH", "default", "x", "SETNAME", "carol"],
            9 => args!["3", "AUTH", "nobody", "x"],
            10 => args![self.one_of(&["0", "1", "4", "-1", "99999999999999999999"])],
            11 => args![self.one_of(&["abc", "", "3.0", " 3"])],
            12 => args!["3", "FOO"],
            13 => args!["3", "SETNAME", "with space"],
            14 => args!["3", "SETNAME"],
            _ => args!["3", "AUTH", "default"],
        });
        if command.get(1).is_some_and(|version| version == b"3") {
            self.model().resp3 = true;
        }
        self.exact(command);
    }

    fn authentication(&mut self) {
        let mut command = args!["AUTH"];
        command.extend(match self.rng.u32(..5) {
            0 => args![self.value()],
            1 => args!["default", "x"],
            2 => args!["nobody", "x"],
            3 => args!["default", "x", "y"],
            _ => args![],
        });
        self.exact(command);
    }

    /// After RESET, since a client in subscriber mode could not switch back on.
    fn reply_modes(&mut self) {
        self.reset();
        let mode = self.one_of(&["OFF", "SKIP"]);
        let silenced = if mode == "OFF" { self.rng.usize(..5) } else { 1 };
        self.bound(args!["CLIENT", "REPLY", mode]);
        let from = self.batch.len() - 1;
        for _ in 0..silenced {
            let (key, value) = (self.key(), self.value());
            match self.rng.u32(..3) {
                0 => self.bound(args!["SET", key, value]),
                1 => self.bound(args!["GET", key]),
                _ => self.bound(args!["NOSUCH", key]),
            }
        }
        for command in &mut self.batch[from..] {
            command.silent = true;
        }
        self.bound(args!["CLIENT", "REPLY", "ON"]);
    }

    fn client_names(&mut self) {
        let command = match self.rng.u32(..8) {
            0..=1 => args!["CLIENT", "GETNAME"],
            2 => args!["CLIENT", "SETNAME", "alice"],
            3 => {
                let name = self.one_of(&["", "with space", "new\nline", "\u{e9}", "x~!"]);
                args!["CLIENT", "SETNAME", name]
            }
            4 => args!["CLIENT", "ID"],
            5 => args!["CLIENT", "INFO"],
            _ => args!["CLIENT", "NO-EVICT", self.one_of(&["ON", "off", "FOO", ""])],
        };
        self.fuzzed(command);
    }

    fn client_errors(&mut self) {
        let tail: &[&str] = match self.rng.u32(..38) {
            0 => &[],
            1 => &["NOSUCH"],
            2 => &["HELP"],
            3 => &["KILL"],
            4 => &["KILL", "1.2.3.4:5"],
            5 => &["KILL", "ID", "999999999"],
            6 => &["KILL", "ID", "abc"],
            7 => &["KILL", "ID", "0"],
            8 => &["KILL", "TYPE", "nosuch"],
            9 => &["KILL", "ADDR", "1.2.3.4:5", "SKIPME", "yes"],
            10 => &["KILL", "ID", "999999999", "SKIPME", "maybe"],
            11 => &["KILL", "FOO", "bar"],
            12 => &["KILL", "ID"],
            13 => &["UNBLOCK", "999999999"],
            14 => &["UNBLOCK", "abc"],
            15 => &["UNBLOCK", "999999999", "ERROR"],
            16 => &["UNBLOCK", "999999999", "FOO"],
            17 => &["PAUSE", "abc"],
            18 => &["PAUSE", "-1"],
            19 => &["PAUSE", "1000", "FOO"],
            20 => &["UNPAUSE"],
            21 => &["LIST", "ID", "999999999"],
            22 => &["LIST", "TYPE", "nosuch"],
            23 => &["LIST", "ID", "abc"],
            24 => &["LIST", "FOO", "BAR"],
            25 => &["GETREDIR"],
            26 => &["TRACKINGINFO"],
            // It stays off: tests/tracking.rs compares what it does when it is on.
            27 => &["TRACKING", "OFF"],
            28 => &["TRACKING", "maybe"],
            29 => &["TRACKING", "ON", "FOO"],
            30 => &["TRACKING", "ON", "REDIRECT", "999999999"],
            31 => &["TRACKING", "ON", "REDIRECT", "abc"],
            32 => &["TRACKING", "ON", "PREFIX", "a"],
            33 => &["TRACKING", "ON", "BCAST", "OPTIN"],
            34 => &["TRACKING", "ON", "OPTIN", "OPTOUT"],
            35 => &["TRACKING", "ON", "BCAST", "PREFIX", "ab", "PREFIX", "a"],
            36 => &["CACHING", "YES"],
            _ => &["KILL", "USER", "nobody"],
        };
        let mut command = args!["CLIENT"];
        command.extend(tail.iter().map(|&arg| arg.into()));
        self.exact(command);
    }

    pub(super) fn server_command(&mut self) {
        match self.rng.u32(..10) {
            0..=3 => self.config(),
            4..=5 => self.command_about_commands(),
            _ => self.small_server_command(),
        }
    }

    fn config(&mut self) {
        const OPTIONS: &[(&str, &[&str])] = &[
            ("timeout", &["0", "100000", "-1", "abc", ""]),
            ("tcp-keepalive", &["0", "60", "300", "-5"]),
            ("slowlog-max-len", &["64", "128", "-1", "x"]),
            ("latency-monitor-threshold", &["0", "1000000", "-1"]),
            ("proto-max-bulk-len", &["512mb", "536870912", "100mb", "1", "10zz"]),
            ("notify-keyspace-events", &["", "KEA", "Q"]),
            ("databases", &["16"]),
            ("no-such-option", &["1"]),
            ("SLOWLOG-MAX-LEN", &["100"]),
        ];
        const SHOWN: &[&str] = &[
            "timeout",
            "tcp-keepalive",
            "slowlog-max-len",
            "latency-monitor-threshold",
            "proto-max-bulk-len",
            "notify-keyspace-events",
            "databases",
            "appendonly",
            "save",
            "slowlog-*",
            "slowlog-log-slower-tha?",
            "SLOWLOG-max-len",
            "no-such",
            "requirepass",
            "maxmemory",
            "maxmemory-policy",
            "tcp-backlog",
            "bind",
            "[",
            "",
        ];
        let mut command = match self.rng.u32(..10) {
            0..=4 => {
                let mut command = args!["CONFIG", "GET"];
                command.extend(self.several(2, |it| it.one_of(SHOWN).into()));
                command
            }
            5..=8 => {
                let mut command = args!["CONFIG", "SET"];
                let pairs = if self.percent(75) { 1 } else { 2 };
                for _ in 0..pairs {
                    let (name, values) = OPTIONS[self.rng.usize(..OPTIONS.len())];
                    let value = self.one_of(values);
                    command.extend(args![name, value]);
                }
                command
            }
            _ => args!["CONFIG", self.one_of(&["HELP", "NOSUCH", "RESETSTAT", "GET", "SET"])],
        };
        if self.percent(5) {
            command.pop();
        }
        self.exact(command);
    }

    fn command_about_commands(&mut self) {
        let tail: &[&str] = match self.rng.u32(..18) {
            0 => &["GETKEYS", "GET", "k1"],
            1 => &["GETKEYS", "mset", "k1", "a", "k2", "b"],
            2 => &["GETKEYS", "COPY", "k1", "k2", "REPLACE"],
            3 => &["GETKEYS", "PING"],
            4 => &["GETKEYS", "NOSUCH", "x"],
            5 => &["GETKEYS", "GET"],
            6 => &["GETKEYS"],
            7 => &["GETKEYSANDFLAGS", "SET", "k1", "v"],
            8 => &["GETKEYSANDFLAGS", "SET", "k1", "v", "GET"],
            9 => &["GETKEYSANDFLAGS", "RENAME", "k1", "k2"],
            10 => &["GETKEYSANDFLAGS", "DEL", "k1", "k2", "k3"],
            11 => &["GETKEYSANDFLAGS", "PING"],
            12 => &["INFO", "nosuch"],
            13 => &["DOCS", "nosuch"],
            14 => &["LIST", "FILTERBY", "PATTERN", "setn*"],
            15 => &["LIST", "FILTERBY", "FOO", "x"],
            16 => &["NOSUCH"],
            _ => &["HELP"],
        };
        let mut command = args!["COMMAND"];
        command.extend(tail.iter().map(|&arg| arg.into()));
        self.exact(command);
    }

    fn small_server_command(&mut self) {
        let words: &[&str] = match self.rng.u32(..30) {
            0..=1 => &["TIME"],
            2..=3 => &["ROLE"],
            4 => &["WAIT", "0", "0"],
            5 => &["WAIT", "0", "100"],
            6 => &["WAIT", "abc", "0"],
            7 => &["WAIT", "0", "-1"],
            8 => &["WAIT", "0"],
            9 => &["SLOWLOG", "GET"],
            10 => &["SLOWLOG", "GET", "-1"],
            11 => &["SLOWLOG", "GET", "-2"],
            12 => &["SLOWLOG", "GET", "abc"],
            13 => &["SLOWLOG", "LEN"],
            14 => &["SLOWLOG", "RESET"],
            15 => &["SLOWLOG", "HELP"],
            16 => &["SLOWLOG", "NOSUCH"],
            17 => &["LATENCY", "RESET"],
            18 => &["LATENCY", "RESET", "command"],
            19 => &["LATENCY", "HISTORY", "command"],
            20 => &["LATENCY", "LATEST"],
            21 => &["LATENCY", "NOSUCH"],
            22 => &["LATENCY", "HELP"],
            23 => &["MEMORY", "USAGE", "nosuchkey"],
            24 => &["MEMORY", "USAGE", "k1", "SAMPLES", "-1"],
            25 => &["MEMORY", "USAGE", "k1", "FOO"],
            26 => &["MEMORY", "NOSUCH"],
            27 => &["SHUTDOWN", "FOO"],
            28 => &["SHUTDOWN", "ABORT"],
            _ => &["MEMORY", "USAGE", "k1"],
        };
        let command = words.iter().map(|&word| word.into()).collect();
        self.exact(command);
    }

    pub(super) fn odd_request(&mut self) {
        match self.rng.u32(..10) {
            0..=5 => self.unknown_command(),
            6..=7 => {
                let raw = self.one_of(&["\r\n", "\n", "   \r\n", "*0\r\n", "*-1\r\n", "*-5\r\n"]);
                self.raw(raw, &[]);
                self.batch.last_mut().expect("just added").silent = true;
            }
            _ => match self.rng.u32(..6) {
                0 => self.raw("  GET   k1  \r\n", &["GET", "k1"]),
                1 => self.raw("SET k1 \"a\\x41\\n\\\"b\"\r\n", &["SET", "k1", "aA\n\"b"]),
                2 => self.raw("ECHO 'it\\'s \\x41'\n", &["ECHO", "it's \\x41"]),
                3 => self.raw("SET k2 \"\"\r\n", &["SET", "k2", ""]),
                4 => self.raw("ping\n", &["PING"]),
                _ => self.raw("MGET k1\tk2\x0bk3\r\n", &["MGET", "k1", "k2", "k3"]),
            },
        }
    }

    fn raw(&mut self, raw: &str, args: &[&str]) {
        let mut command = Command::new(args);
        command.raw = raw.into();
        self.batch.push(command);
    }

    /// The error quotes the name and the arguments, cut after so many bytes.
    pub(super) fn unknown_command(&mut self) {
        let mut command = match self.rng.u32(..5) {
            0 => args!["NOSUCH"],
            1 => args!["nosuch|sub"],
            2 => args![b"no\r\nsuch\x00\xff".to_vec()],
            3 => args!["x".repeat(self.rng.usize(100..200))],
            _ => args![""],
        };
        for _ in 0..self.rng.usize(..5) {
            command.push(self.value());
        }
        self.exact(command);
    }

    /// A password comes and goes, with everything that a client may and may not
    /// do before it has given it.
    pub(super) fn password_step(&mut self) -> Step {
        self.begin();
        self.exact(args!["RESET"]);
        self.exact(args!["CONFIG", "SET", "requirepass", "secret"]);
        // Who is in may stay; RESET forgets it.
        self.exact(args!["GET", "k1"]);
        self.exact(args!["RESET"]);
        for _ in 0..self.rng.usize(2..12) {
            let words: &[&str] = match self.rng.u32(..16) {
                0 => &["GET", "k1"],
                1 => &["PING"],
                2 => &["HELLO"],
                3 => &["HELLO", "3"],
                4 => &["HELLO", "3", "AUTH", "default", "wrong"],
                5 => &["AUTH", "wrong"],
                6 => &["AUTH", "nobody", "secret"],
                7 => &["AUTH", "default", "wrong"],
                8 => &["NOSUCH"],
                9 => &["GET"],
                10 => &["MULTI"],
                11 => &["EXEC"],
                12 => &["RESET"],
                13 => &["CLIENT", "ID"],
                14 => &["HELLO", "9"],
                _ => &["SELECT", "1"],
            };
            self.exact(words.iter().map(|&word| word.into()).collect());
        }
        match self.rng.u32(..3) {
            0 => self.exact(args!["AUTH", "secret"]),
            1 => self.exact(args!["AUTH", "default", "secret"]),
            _ => self.exact(args!["HELLO", "2", "AUTH", "default", "secret"]),
        }
        self.exact(args!["CONFIG", "GET", "requirepass"]);
        self.exact(args!["CONFIG", "SET", "requirepass", ""]);
        self.exact(args!["AUTH", "secret"]);
        self.exact(args!["RESET"]);
        // A part of it could leave the password behind.
        self.batch.iter_mut().for_each(|command| command.bound = true);
        *self.model() = Model::default();
        self.finish(End::Counted)
    }

    /// Everything is slow for a while.
    pub(super) fn slow_log_step(&mut self) -> Step {
        self.begin();
        self.reset();
        self.exact(args!["SLOWLOG", "RESET"]);
        self.exact(args!["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
        for _ in 0..self.rng.usize(1..10) {
            match self.rng.u32(..4) {
                0 => self.key_command(),
                1 => self.exact(args!["CLIENT", "SETNAME", "slow"]),
                _ => self.string_command(),
            }
        }
        if self.percent(30) {
            // More arguments than an entry keeps.
            let mut command = args!["DEL"];
            command.extend((0..40).map(|number| number.to_string().into_bytes()));
            self.exact(command);
        }
        self.exact(args!["SLOWLOG", "LEN"]);
        let count = self.one_of(&["1", "3", "100", "-1"]);
        self.exact(args!["SLOWLOG", "GET", count]);
        self.exact(args!["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
        self.exact(args!["SLOWLOG", "RESET"]);
        self.finish(End::Fence)
    }

    /// The connection ends, by its own wish or by breaking the protocol.
    pub(super) fn closing_step(&mut self) -> Step {
        self.begin();
        for _ in 0..self.rng.usize(..5) {
            self.string_command();
        }
        let endings = [
            ("*1\r\n$4\r\nQUIT\r\n", "QUIT"),
            ("quit\r\n", "QUIT"),
            ("*2\r\n$4\r\nquit\r\n$1\r\nx\r\n", "QUIT"),
            ("*abc\r\n", "(broken)"),
            ("*01\r\n", "(broken)"),
            ("*99999999999\r\n", "(broken)"),
            ("*1\r\n#3\r\n", "(broken)"),
            ("*2\r\n$3\r\nGET\r\n$-5\r\n", "(broken)"),
            ("*1\r\n$abc\r\n", "(broken)"),
            ("*1\r\n$ 3\r\n", "(broken)"),
            ("*1\r\n$99999999999\r\n", "(broken)"),
            ("SET k \"unbalanced\r\n", "(broken)"),
            ("SET k 'a'b\r\n", "(broken)"),
        ];
        let quits = 3;
        let chosen = if self.rng.bool() { 0..quits } else { quits..endings.len() };
        let (raw, name) = endings[self.rng.usize(chosen)];
        self.raw(raw, &[name]);
        *self.model() = Model::default();
        self.finish(End::Closed)
    }
}
