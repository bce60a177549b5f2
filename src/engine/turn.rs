//! What has to be done once a turn.

use std::time::Duration;

use super::Engine;
use crate::clients::{ClientKey, Closing};
use crate::clock::Now;
use crate::commands::Stage;

/// How often that is looked at which tells of no moment of its own: clients that may be
/// idle, when `timeout` is set; outputs above their soft limits; a first rewrite that has
/// failed.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(1);

impl Engine {
    /// Does what is due: wakes clients, removes a slice of expired keys, frees
    /// a slice of what was flushed, goes on with clients that had used up their
    /// share. To be called once a turn, after the turn's input.
    pub fn tick(&mut self, now: Now) {
        self.timers_left = self.config.turn_timers_max;
        self.wakeups_left = self.config.turn_wakeups_max;
        self.set_now(now, Stage::Requests);
        if self.server.persistence.loading {
            return;
        }
        let stats = &self.server.stats;
        self.server.rate.sample(now, stats.commands, stats.input_bytes, stats.output_bytes);
        self.expire();
        let wakeups = self.server.stats.wakeups;
        self.follow_up();
        self.end_pause();
        if self.has_to_serve() {
            self.serve();
        }
        self.wake_due();
        if self.server.stats.wakeups > wakeups {
            self.server.end_stage(Stage::WakeUps);
        }
        if !self.backlog.is_empty() {
            self.run_backlog();
            self.server.end_stage(Stage::Requests);
        }
        self.tend_tracking();
        let had_garbage = self.keyspace.has_garbage();
        self.keyspace.free_slice(self.config.free_slice_entries);
        if had_garbage {
            self.server.end_stage(Stage::Free);
        }
        self.close_idle();
        if !self.clients.soft_limited.is_empty() {
            self.close_over_soft_limit();
        }
    }

    /// When [`Engine::tick`] has to be called again at the latest, on the
    /// monotonic axis; `None`: only after further input.
    pub fn next_deadline(&self) -> Option<Duration> {
        let now = self.now.monotonic;
        let pause_ended = (self.server.pause.is_none() || self.server.shutdown)
            && !self.paused.is_empty()
            && !self.holds_writers_back();
        let waits_end = self.server.shutdown && !self.waits.is_empty();
        if !self.backlog.is_empty()
            || self.keyspace.has_garbage()
            || self.expiry_left
            || !self.resumed.is_empty()
            || self.has_waiting_turns()
            || self.clients.trackers().has_work()
            || pause_ended
            || waits_end
        {
            return Some(now);
        }
        // Mostly there is none of these.
        let mut earliest = None;
        let mut note = |at: Duration| {
            earliest = Some(earliest.map_or(at, |earliest: Duration| earliest.min(at)));
        };
        if let Some((&(deadline, _), _)) = self.waits.first_key_value() {
            note(deadline);
        }
        if let Some(pause) = self.server.pause
            && (!self.paused.is_empty() || self.keyspace.waiters_ref().has_signals())
        {
            note(pause.until);
        }
        if let Some(deadline_ms) = self.keyspace.next_deadline_ms() {
            let left_us = deadline_ms.saturating_mul(1_000).saturating_sub(self.now.unix_us);
            note(now.saturating_add(Duration::from_micros(left_us)));
        }
        if let Some(at) = self.next_idle_check
            && !self.clients.is_empty()
        {
            note(at);
        }
        // A rewrite that the journal cannot do without is tried again by itself.
        let is_missing = self.server.persistence.awaits_rewrite() && !self.is_rewriting();
        if is_missing || !self.clients.soft_limited.is_empty() {
            note(now + CHECK_EVERY);
        }
        earliest
    }

    /// Whether a key has a deadline, which is in Unix time: whoever sleeps until
    /// [`Engine::next_deadline`] should then look at the clock now and again,
    /// because it can be set.
    pub fn has_key_deadlines(&self) -> bool {
        self.keyspace.next_deadline_ms().is_some()
    }

    /// What clients that keep copies of keys are told at the end of a turn.
    fn tend_tracking(&mut self) {
        if self.clients.is_tracking() {
            let keys_max = self.config.tracking_table_max_keys;
            self.clients.tend_tracking(keys_max, self.config.free_slice_entries);
            self.keyspace.want_changes(self.clients.is_tracking());
        }
    }

    /// Removes a slice of the keys that are due, and notes when that took long.
    fn expire(&mut self) {
        let threshold_ms = self.config.latency_monitor_threshold;
        let begun_ns = if threshold_ms > 0 { (self.server.stopwatch)() } else { 0 };
        // What a command has stored with a deadline in the past was not late.
        self.keyspace.take_expire_lag_ms();
        self.expiry_left = self.keyspace.expire_slice(self.config.expire_slice_keys);
        if self.keyspace.take_has_expired() {
            if let Some(lag_ms) = self.keyspace.take_expire_lag_ms() {
                self.server.turns.note_expire_lag(lag_ms);
                self.tell();
            }
            self.server.end_stage(Stage::Expire);
        }
        if threshold_ms > 0 {
            let time_ms = (self.server.stopwatch)().saturating_sub(begun_ns) / 1_000_000;
            self.server.latency.record("expire-cycle", time_ms, threshold_ms, self.now);
        }
    }

    fn end_pause(&mut self) {
        // A server that stops finishes what it has received.
        let is_over = self.server.shutdown
            || self.server.pause.is_none_or(|pause| pause.until <= self.now.monotonic);
        if !is_over {
            return;
        }
        self.server.pause = None;
        if self.holds_writers_back() {
            return;
        }
        // They go on with this turn's backlog, in the order in which they came.
        while let Some((_, key)) = self.paused.pop_first() {
            self.clients[key].parked = None;
            self.list_backlog(key);
        }
    }

    /// Gives each client that has requests left another share.
    fn run_backlog(&mut self) {
        for _ in 0..self.backlog.len() {
            let Some((key, id)) = self.backlog.pop_front() else { break };
            let Some(client) = self.clients.get_mut(key).filter(|client| client.id == id) else {
                continue;
            };
            client.backlog_listed = false;
            if client.parked.is_some() {
                continue;
            }
            if let Some(unread) = client.unread.take() {
                self.run_unread(key, unread);
            }
            self.resume_if_wanted(key);
        }
    }

    #[inline]
    fn close_idle(&mut self) {
        let Some(at) = self.next_idle_check else { return };
        if at > self.now.monotonic {
            return;
        }
        self.close_idle_ones();
    }

    #[cold]
    fn close_idle_ones(&mut self) {
        if self.config.timeout == 0 {
            self.next_idle_check = None;
            return;
        }
        self.next_idle_check = Some(self.now.monotonic + CHECK_EVERY);
        let timeout = Duration::from_secs(u64::from(self.config.timeout));
        let idle: Vec<ClientKey> = self
            .clients
            .iter()
            .filter(|(_, client)| {
                client.parked.is_none()
                    && client.subscriptions.is_none()
                    && !client.monitor
                    && self.now.monotonic.saturating_sub(client.active_at()) > timeout
            })
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            self.server.stats.idle_closes += 1;
            self.clients.close(key, Closing::Now);
        }
    }

    /// Closes clients whose unread output has exceeded its soft limit for too
    /// long.
    fn close_over_soft_limit(&mut self) {
        let now = self.now.monotonic;
        let mut listed = std::mem::take(&mut self.clients.soft_limited);
        listed.retain_mut(|(key, id, since)| {
            let (key, id) = (*key, *id);
            let Some(client) = self.clients.get(key).filter(|client| client.id == id) else {
                return false;
            };
            let limit = self.clients.output_limit(client);
            let output = &mut self.clients[key].output;
            if !limit.soft_is_exceeded_by(output.len()) {
                output.soft_listed = false;
                return false;
            }
            let since = *since.get_or_insert(now);
            if now.saturating_sub(since) < Duration::from_secs(u64::from(limit.soft_seconds)) {
                return true;
            }
            let seconds = limit.soft_seconds;
            self.clients
                .closing_log
                .note(|| format!("client {id} closed: replies not read for {seconds} s"));
            self.clients.output_limit_closes += 1;
            self.clients.close(key, Closing::Now);
            false
        });
        self.clients.soft_limited = listed;
    }
}
