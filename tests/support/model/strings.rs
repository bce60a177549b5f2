//! Strings and counters.

use super::args::{Follows, integer, options, parse, positive};
use super::data::{Deadline, Etag, OtherType};
use super::expect::{
    Expect, bulk, bulk_or_nil, error, int, invalid_expire, nil, not_integer, ok, syntax,
    wrong_arity, wrong_type,
};
use super::{Answer, Model};
use crate::support::resp::Reply;

impl From<OtherType> for Expect {
    fn from(_: OtherType) -> Expect {
        wrong_type()
    }
}

impl Model {
    pub(super) fn string_command(
        &mut self,
        db: usize,
        name: &str,
        request: &[String],
    ) -> Option<Answer> {
        let key = request.get(1).map_or("", String::as_str);
        Some(match name {
            "GET" => self.get(db, key),
            "GETDEL" => {
                // Where there is no value it changes nothing, a lease included.
                let answer = self.get(db, key);
                if answer.is_ok() && self.entry(db, key).is_some() {
                    self.remove(db, key, "del");
                }
                answer
            }
            "MGET" => {
                let values =
                    request[1..].iter().map(|key| bulk_or_nil(self.text(db, key).ok().flatten()));
                Ok(Expect::Is(Reply::Array(values.collect())))
            }
            "SET" => self.set(db, request),
            "SETNX" => {
                let is_new = self.entry(db, key).is_none();
                if is_new {
                    self.write(db, key, &request[2], Deadline::Never, "set");
                }
                Ok(int(i64::from(is_new)))
            }
            "GETSET" => {
                let answer = self.get(db, key);
                if answer.is_ok() {
                    self.write(db, key, &request[2], Deadline::Never, "set");
                }
                answer
            }
            "PSETEX" => integer(&request[2]).and_then(|ms| {
                let at_ms = self.deadline(ms).filter(|_| ms > 0);
                let at_ms = at_ms.ok_or_else(|| invalid_expire("psetex"))?;
                self.write(db, key, &request[3], Deadline::At(at_ms), "set");
                self.tell(db, key, "expire");
                Ok(ok())
            }),
            "GETEX" => self.getex(db, request),
            "MSET" | "MSETNX" => self.mset(db, request, name == "MSETNX"),
            "SETRANGE" => self.setrange(db, key, &request[2], &request[3]),
            "APPEND" => self.append(db, key, &request[2]),
            "STRLEN" => match self.text(db, key) {
                Ok(text) => Ok(int(text.map_or(0, str::len) as i64)),
                Err(other) => Err(other.into()),
            },
            "INCR" => self.add(db, key, Some(1)),
            "DECR" => self.add(db, key, Some(-1)),
            "INCRBY" => integer(&request[2]).and_then(|amount| self.add(db, key, Some(amount))),
            "DECRBY" => {
                integer(&request[2]).and_then(|amount| self.add(db, key, amount.checked_neg()))
            }
            "INCREX" => self.increx(db, request),
            "DECRIFPOS" => self.decrifpos(db, key, request.get(2)),
            "DELIFEQ" => self.remove_if(db, key, "IFEQ", &request[2]),
            "DELEX" => match request.get(3) {
                Some(value) => self.remove_if(db, key, &request[2], value),
                None => Ok(int(i64::from(self.remove(db, key, "del")))),
            },
            "INCRBYFLOAT" => self.add_float(db, key, &request[2]),
            _ => return None,
        })
    }

    fn get(&self, db: usize, key: &str) -> Answer {
        Ok(Expect::Is(bulk_or_nil(self.text(db, key)?)))
    }

    fn set(&mut self, db: usize, request: &[String]) -> Answer {
        let (key, value) = (&request[1], &request[2]);
        const WORDS: &[(&str, Follows)] = &[
            ("NX", Follows::Nothing),
            ("XX", Follows::Nothing),
            ("IFEQ", Follows::Text),
            ("GET", Follows::Nothing),
            ("KEEPTTL", Follows::Nothing),
            ("PX", Follows::Text),
            ("WITHETAG", Follows::Nothing),
        ];
        let options = options(&request[3..], WORDS)?;
        let has = |word| options.contains_key(word);
        if has("NX") && has("XX") || has("PX") && has("KEEPTTL") {
            return Err(syntax());
        }
        if has("GET") && has("WITHETAG") {
            return Err(error("ERR WITHETAG option not allowed with GET inside of SET"));
        }
        let deadline = match options.get("PX") {
            Some(ms) => {
                let ms = integer(ms)?;
                let at_ms = self.deadline(ms).filter(|_| ms > 0);
                Deadline::At(at_ms.ok_or_else(|| invalid_expire("set"))?)
            }
            None if has("KEEPTTL") => Deadline::Keep,
            None => Deadline::Never,
        };
        let exists = self.entry(db, key).is_some();
        let differs = match options.get("IFEQ") {
            Some(value) => self.text(db, key)? != Some(*value),
            None => false,
        };
        let old = if has("GET") { Some(self.get(db, key)?) } else { None };
        if has("NX") && exists || has("XX") && !exists || differs {
            return Ok(old.unwrap_or_else(nil));
        }
        let version = self.entry(db, key).and_then(|entry| entry.etag).unwrap_or(0) + 1;
        let etag = if has("WITHETAG") { Etag::Is(version) } else { Etag::Forget };
        self.write_version(db, key, value, deadline, "set", etag);
        if let Deadline::At(_) = deadline {
            self.tell(db, key, "expire");
        }
        Ok(if has("WITHETAG") { int(version) } else { old.unwrap_or_else(ok) })
    }

    fn getex(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        let answer = self.get(db, key)?;
        if self.entry(db, key).is_none() {
            return Ok(answer);
        }
        let options =
            options(&request[2..], &[("PX", Follows::Text), ("PERSIST", Follows::Nothing)])?;
        let at_ms = match options.get("PX") {
            Some(ms) => Some(self.now_ms() + integer(ms)?),
            None => None,
        };
        let entry = self.dbs[db].keys.get_mut(key).expect("seen above");
        if at_ms.is_some() {
            entry.deadline_ms = at_ms;
            self.changed(db, key, "expire");
        } else if options.contains_key("PERSIST") && entry.deadline_ms.take().is_some() {
            self.changed(db, key, "persist");
        }
        Ok(answer)
    }

    fn mset(&mut self, db: usize, request: &[String], only_new: bool) -> Answer {
        if request.len().is_multiple_of(2) {
            return Err(wrong_arity(&request[0]));
        }
        let mut pairs = request[1..].chunks(2);
        if only_new && pairs.clone().any(|pair| self.entry(db, &pair[0]).is_some()) {
            return Ok(int(0));
        }
        pairs.by_ref().for_each(|pair| self.write(db, &pair[0], &pair[1], Deadline::Never, "set"));
        Ok(if only_new { int(1) } else { ok() })
    }

    fn setrange(&mut self, db: usize, key: &str, offset: &str, part: &str) -> Answer {
        let offset = integer(offset)? as usize;
        let mut text = self.text(db, key)?.unwrap_or_default().to_owned();
        if part.is_empty() {
            return Ok(int(text.len() as i64));
        }
        while text.len() < offset + part.len() {
            text.push('\0');
        }
        text.replace_range(offset..offset + part.len(), part);
        self.rewrite(db, key, &text, Deadline::Keep, "setrange");
        Ok(int(text.len() as i64))
    }

    fn remove_if(&mut self, db: usize, key: &str, condition: &str, value: &str) -> Answer {
        let Some(text) = self.text(db, key)? else { return Ok(int(0)) };
        let equal = text == value;
        let admitted = if condition == "IFEQ" { equal } else { !equal };
        Ok(int(i64::from(admitted && self.remove(db, key, "del"))))
    }

    fn add_float(&mut self, db: usize, key: &str, increment: &str) -> Answer {
        let not_float = || error("ERR value is not a valid float");
        let old = decimal(self.text(db, key)?.unwrap_or("0")).ok_or_else(not_float)?;
        let sum = old + decimal(increment).ok_or_else(not_float)?;
        let text = decimal_text(sum);
        self.rewrite(db, key, &text, Deadline::Keep, "incrbyfloat");
        Ok(Expect::Is(bulk(&text)))
    }

    fn append(&mut self, db: usize, key: &str, more: &str) -> Answer {
        if more.is_empty()
            && let Some(len) = self.text(db, key)?.map(str::len)
        {
            // It is what it was, and as fresh.
            self.changed(db, key, "append");
            return Ok(int(len as i64));
        }
        let text = format!("{}{more}", self.text(db, key)?.unwrap_or_default());
        self.rewrite(db, key, &text, Deadline::Keep, "append");
        Ok(int(text.len() as i64))
    }

    /// The number under a key, if there is a key.
    pub(super) fn number(&self, db: usize, key: &str) -> Result<Option<i64>, Expect> {
        match self.text(db, key)? {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(not_integer),
        }
    }

    fn add(&mut self, db: usize, key: &str, amount: Option<i64>) -> Answer {
        let amount = amount.ok_or_else(|| error("ERR decrement would overflow"))?;
        let number = self.number(db, key)?.unwrap_or(0);
        let sum = number
            .checked_add(amount)
            .ok_or_else(|| error("ERR increment or decrement would overflow"))?;
        self.rewrite(db, key, &sum.to_string(), Deadline::Keep, "incrby");
        Ok(int(sum))
    }

    fn decrifpos(&mut self, db: usize, key: &str, decrement: Option<&String>) -> Answer {
        let amount = decrement.map_or(Ok(1), |text| positive(text, "decrement"))?;
        let Some(available) = self.number(db, key)? else { return Ok(int(-2)) };
        if available < amount {
            return Ok(int(-1));
        }
        let rest = available - amount;
        self.rewrite(db, key, &rest.to_string(), Deadline::Keep, "incrby");
        Ok(int(rest))
    }

    fn increx(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        const WORDS: &[(&str, Follows)] = &[
            ("BYINT", Follows::Text),
            ("LBOUND", Follows::Text),
            ("UBOUND", Follows::Text),
            ("SATURATE", Follows::Nothing),
            ("ENX", Follows::Nothing),
            ("PERSIST", Follows::Nothing),
            ("PX", Follows::Text),
        ];
        let options = options(&request[2..], WORDS)?;
        let has = |word| options.contains_key(word);
        let number = |word, default| match options.get(word) {
            Some(text) => parse(text).unwrap_or(default),
            None => default,
        };
        let (lower, upper) = (number("LBOUND", i64::MIN), number("UBOUND", i64::MAX));
        if lower > upper {
            return Err(error("ERR LBOUND can't be greater than UBOUND"));
        }
        let old = self.number(db, key)?.unwrap_or(0);
        let sum = old + number("BYINT", 1);
        let bounded = sum.clamp(lower, upper);
        let step = |value, applied| {
            Ok(Expect::Is(Reply::Array(vec![Reply::Integer(value), Reply::Integer(applied)])))
        };
        if bounded != sum && !has("SATURATE") {
            return step(old, 0);
        }
        let has_deadline = self.entry(db, key).is_some_and(|entry| entry.deadline_ms.is_some());
        let deadline = match options.get("PX") {
            Some(_) if has("ENX") && has_deadline => Deadline::Keep,
            Some(ms) => Deadline::At(self.now_ms() + integer(ms)?),
            None if has("PERSIST") => Deadline::Never,
            None => Deadline::Keep,
        };
        self.rewrite(db, key, &bounded.to_string(), deadline, "incrby");
        match deadline {
            Deadline::At(_) => self.tell(db, key, "expire"),
            Deadline::Never if has_deadline => self.tell(db, key, "persist"),
            _ => {}
        }
        step(bounded, bounded - old)
    }
}

/// Digits behind the point that the model counts with: more than are ever made of
/// the generator's numbers.
const DECIMALS: usize = 9;

/// A decimal number in units of its last decimal.
fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) || part.len() > DECIMALS {
        return None;
    }
    let number: i128 = format!("{whole}{part:0<DECIMALS$}").parse().ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}

fn decimal_text(number: i128) -> String {
    let unit = 10_i128.pow(DECIMALS as u32);
    let sign = if number < 0 { "-" } else { "" };
    let (whole, part) = (number.abs() / unit, number.abs() % unit);
    let text = format!("{sign}{whole}.{part:0>DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
