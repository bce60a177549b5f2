//! Keys of any type: names, deadlines, databases.

use super::args::integer;
use super::data::{Entry, Value};
use super::expect::{Expect, bulk, error, int, invalid_expire, ok, simple, syntax};
use super::{Answer, Model};

/// What a key's remaining time is asked in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

fn stays_where_it_is() -> Expect {
    error(
        "ERR a lock or a hold cannot be copied, moved or renamed: its name is what its owners \
         know it by",
    )
}

fn same_object() -> Expect {
    error("ERR source and destination objects are the same")
}

impl Model {
    pub(super) fn key_command(
        &mut self,
        db: usize,
        name: &str,
        request: &[String],
    ) -> Option<Answer> {
        let key = request.get(1).map_or("", String::as_str);
        Some(match name {
            "DEL" | "UNLINK" => {
                let keys = &request[1..];
                let removed = keys.iter().filter(|key| self.remove(db, key, "del")).count();
                Ok(int(removed as i64))
            }
            "EXISTS" => {
                let keys = &request[1..];
                Ok(int(keys.iter().filter(|key| self.entry(db, key).is_some()).count() as i64))
            }
            "TYPE" => Ok(simple(self.entry(db, key).map_or("none", Entry::type_name))),
            "KEYS" => {
                // Only "*" is asked for.
                Ok(Expect::Unordered(self.dbs[db].keys.keys().map(|key| bulk(key)).collect()))
            }
            "DBSIZE" => Ok(int(self.dbs[db].keys.len() as i64)),
            "EXPIRE" => self.expire(db, request, 1_000),
            "PEXPIRE" => self.expire(db, request, 1),
            "PERSIST" => {
                let persists = match self.dbs[db].keys.get_mut(key) {
                    Some(Entry { value: Value::Text(_), deadline_ms, .. }) => {
                        deadline_ms.take().is_some()
                    }
                    _ => false,
                };
                if persists {
                    self.changed(db, key, "persist");
                }
                Ok(int(i64::from(persists)))
            }
            "TTL" => Ok(int(self.remaining(db, key, Unit::Seconds))),
            "PTTL" => Ok(int(self.remaining(db, key, Unit::Milliseconds))),
            "RENAME" => self.rename(db, key, &request[2], false),
            "RENAMENX" => self.rename(db, key, &request[2], true),
            "COPY" => self.copy(db, request),
            "MOVE" => self.move_to(db, key, &request[2]),
            "FLUSHDB" => {
                self.flush(&[db]);
                Ok(ok())
            }
            "FLUSHALL" => {
                let all: Vec<usize> = (0..self.dbs.len()).collect();
                self.flush(&all);
                Ok(ok())
            }
            "SWAPDB" => self.swapdb(request),
            _ => return None,
        })
    }

    fn expire(&mut self, db: usize, request: &[String], unit_ms: i64) -> Answer {
        let key = &request[1];
        let amount = integer(&request[2])?;
        let name = request[0].clone();
        let at_ms = amount
            .checked_mul(unit_ms)
            .and_then(|ms| self.deadline(ms))
            .ok_or_else(|| invalid_expire(&name))?;
        let Some(Entry { value: Value::Text(_), deadline_ms, .. }) = self.entry(db, key) else {
            return Ok(int(0));
        };
        let current = *deadline_ms;
        let refused = match request.get(3).map(|word| word.to_uppercase()).as_deref() {
            None => false,
            Some("NX") => current.is_some(),
            Some("XX") => current.is_none(),
            Some("GT") => current.is_none_or(|current| at_ms <= current),
            Some("LT") => current.is_some_and(|current| at_ms >= current),
            Some(_) => return Err(error(format!("ERR Unsupported option {}", request[3]))),
        };
        if refused {
            return Ok(int(0));
        }
        if at_ms <= self.now_ms() {
            self.remove(db, key, "del");
        } else {
            self.dbs[db].keys.get_mut(key).expect("seen above").deadline_ms = Some(at_ms);
            self.changed(db, key, "expire");
        }
        Ok(int(1))
    }

    fn remaining(&self, db: usize, key: &str, unit: Unit) -> i64 {
        let Some(entry) = self.entry(db, key) else { return -2 };
        let Some(ends_ms) = entry.ends_ms() else { return -1 };
        let ms = ends_ms - self.now_ms();
        if unit == Unit::Milliseconds { ms } else { (ms + 500) / 1_000 }
    }

    fn rename(&mut self, db: usize, from: &str, to: &str, only_new: bool) -> Answer {
        let Some(entry) = self.entry(db, from) else { return Err(error("ERR no such key")) };
        if !matches!(entry.value, Value::Text(_)) {
            return Err(stays_where_it_is());
        }
        if only_new && self.entry(db, to).is_some() {
            return Ok(int(0));
        }
        if from != to {
            self.take_out(db, to);
            let mut entry = self.take_out(db, from).expect("seen above");
            entry.etag = None;
            self.dbs[db].keys.insert(to.to_owned(), entry);
            self.changed(db, from, "rename_from");
            self.changed(db, to, "rename_to");
        }
        Ok(if only_new { int(1) } else { ok() })
    }

    fn copy(&mut self, db: usize, request: &[String]) -> Answer {
        let (from, to) = (&request[1], &request[2]);
        let mut target = db;
        let mut replace = false;
        let mut words = request[3..].iter();
        while let Some(word) = words.next() {
            match word.to_uppercase().as_str() {
                "REPLACE" => replace = true,
                "DB" => target = self.database(words.next().ok_or_else(syntax)?)?,
                _ => return Err(syntax()),
            }
        }
        if target == db && from == to {
            return Err(same_object());
        }
        let Some(entry) = self.entry(db, from) else { return Ok(int(0)) };
        if !matches!(entry.value, Value::Text(_)) {
            return Err(stays_where_it_is());
        }
        if !replace && self.entry(target, to).is_some() {
            return Ok(int(0));
        }
        // What is replaced goes first: units of a hold may go back to the source.
        self.take_out(target, to);
        let mut entry = self.entry(db, from).expect("seen above").clone();
        entry.etag = None;
        self.dbs[target].keys.insert(to.clone(), entry);
        self.changed(target, to, "copy_to");
        Ok(int(1))
    }

    fn move_to(&mut self, db: usize, key: &str, target: &str) -> Answer {
        let target = self.database(target)?;
        if target == db {
            return Err(same_object());
        }
        let Some(entry) = self.entry(db, key) else { return Ok(int(0)) };
        if !matches!(entry.value, Value::Text(_)) {
            return Err(stays_where_it_is());
        }
        if self.entry(target, key).is_some() {
            return Ok(int(0));
        }
        let mut entry = self.take_out(db, key).expect("seen above");
        entry.etag = None;
        self.take_out(target, key);
        self.dbs[target].keys.insert(key.to_owned(), entry);
        self.changed(db, key, "move_from");
        self.changed(target, key, "move_to");
        Ok(int(1))
    }

    fn flush(&mut self, databases: &[usize]) {
        for &db in databases {
            self.watched_databases_change(&[db]);
            self.dbs[db].keys.clear();
            self.dbs[db].leases.clear();
        }
    }

    fn swapdb(&mut self, request: &[String]) -> Answer {
        let (first, second) = (self.database(&request[1])?, self.database(&request[2])?);
        self.watched_databases_change(&[first, second]);
        self.dbs.swap(first, second);
        Ok(ok())
    }
}
