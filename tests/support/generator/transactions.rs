//! Transactions.

use super::{End, Generator, Step, args};

impl Generator {
    pub(super) fn transaction(&mut self) {
        // A message to a client in its own EXEC would stand in the middle of
        // that reply (Redis 7.0 does that, to RESP3 clients).
        let hears_itself = self.model().subscribed && self.model().resp3;
        match self.rng.u32(..10) {
            _ if hears_itself => self.unwatch_or_stray(),
            0..=1 => self.unwatch_or_stray(),
            2..=3 => self.watch(),
            _ => {
                if self.percent(30) {
                    self.watch();
                }
                self.whole_transaction();
            }
        }
    }

    fn unwatch_or_stray(&mut self) {
        let name = self.one_of(&["UNWATCH", "EXEC", "DISCARD"]);
        self.fuzzed(args![name]);
    }

    fn watch(&mut self) {
        let mut command = args!["WATCH"];
        command.extend(self.several(3, Generator::key));
        self.fuzzed(command);
    }

    fn whole_transaction(&mut self) {
        self.fuzzed(args!["MULTI"]);
        self.in_multi = true;
        for _ in 0..self.rng.usize(..7) {
            match self.rng.u32(..100) {
                0..=59 => self.string_command(),
                60..=84 => self.key_command(),
                85..=86 => self.fuzzed(args!["MULTI"]),
                87..=88 => self.watch(),
                89..=90 => self.fuzzed(args!["UNWATCH"]),
                91..=92 => self.unknown_command(),
                93..=94 => self.server_command(),
                95..=96 => self.publish_command(),
                _ => {
                    let key = self.key();
                    self.exact(args!["GET", key]);
                }
            }
        }
        if self.percent(5) {
            // As the last command, so that no message follows it inside the
            // reply to EXEC; one channel, so that it is one element there.
            let channel = self.channel();
            self.exact(args!["SUBSCRIBE", channel]);
            self.bound(args!["EXEC"]);
            self.model().subscribed = true;
        } else if self.percent(85) {
            self.exact(args!["EXEC"]);
        } else {
            self.exact(args!["DISCARD"]);
        }
        self.in_multi = false;
    }

    /// A transaction that stays open while another connection works.
    pub(super) fn open_transaction(&mut self) -> Vec<Step> {
        let owner = self.current;
        self.begin();
        self.reset();
        if self.percent(60) {
            self.watch();
        }
        // What a damaged command leaves undone is undone on both servers, but
        // without MULTI the EXEC after it would prove little.
        self.exact(args!["MULTI"]);
        for _ in 0..self.rng.usize(1..5) {
            // Replies that depend on the clock would be compared exactly, since
            // the EXEC comes in a step that does not know what was queued.
            self.string_command();
        }
        let open = self.finish(End::Counted);

        self.current = (owner + 1 + self.rng.usize(..super::CONNECTIONS - 1)) % super::CONNECTIONS;
        let between = self.ordinary_step();

        self.current = owner;
        self.begin();
        match self.rng.u32(..10) {
            0 => self.exact(args!["DISCARD"]),
            1 => self.reset(),
            _ => self.exact(args!["EXEC"]),
        }
        vec![open, between, self.finish(End::Fence)]
    }
}
