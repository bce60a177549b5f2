//! Versions of strings, which clients name by ETags; a string without one has 0.

use super::args::{Follows, integer, options, parse};
use super::data::{Deadline, Etag};
use super::expect::{Expect, bulk, error, int, invalid_expire, nil, syntax};
use super::{Answer, Model};
use crate::support::resp::Reply;

impl Model {
    /// `None`: it is no command about versions.
    pub(super) fn version_command(
        &mut self,
        db: usize,
        name: &str,
        request: &[String],
    ) -> Option<Answer> {
        let key = &request[1..].first().map_or("", String::as_str);
        Some(match name {
            "GETWITHETAG" => self.get_version(db, key, None),
            "GETIFNOTMATCH" => {
                etag(&request[2]).and_then(|known| self.get_version(db, key, Some(known)))
            }
            "SETIFMATCH" => self.set_if(db, request, |given, current| given == current, 1),
            "SETIFGREATER" => self.set_if(db, request, |given, current| given > current, 0),
            "DELIFGREATER" => etag(&request[2]).and_then(|given| {
                let current = self.text(db, key)?.map(|_| self.etag_of(db, key));
                let admitted = current.is_some_and(|current| given > current);
                Ok(int(i64::from(admitted && self.remove(db, key, "del"))))
            }),
            _ => return None,
        })
    }

    fn etag_of(&self, db: usize, key: &str) -> i64 {
        self.entry(db, key).and_then(|entry| entry.etag).unwrap_or(0)
    }

    /// `known`: the version whose string the client has.
    fn get_version(&self, db: usize, key: &str, known: Option<i64>) -> Answer {
        let Some(text) = self.text(db, key)? else { return Ok(nil()) };
        let current = self.etag_of(db, key);
        let text = if known == Some(current) { Reply::Null } else { bulk(text) };
        Ok(Expect::Is(Reply::Array(vec![Reply::Integer(current), text])))
    }

    fn set_if(
        &mut self,
        db: usize,
        request: &[String],
        admits: fn(i64, i64) -> bool,
        step: i64,
    ) -> Answer {
        let (key, value) = (&request[1], &request[2]);
        let given = etag(&request[3])?;
        const WORDS: &[(&str, Follows)] =
            &[("PX", Follows::Text), ("PERSIST", Follows::Nothing), ("NOGET", Follows::Nothing)];
        let options = options(&request[4..], WORDS)?;
        if options.contains_key("PX") && options.contains_key("PERSIST") {
            return Err(syntax());
        }
        let deadline = match options.get("PX") {
            Some(ms) => {
                let ms = integer(ms)?;
                let at_ms = self.deadline(ms).filter(|_| ms > 0);
                Deadline::At(at_ms.ok_or_else(|| invalid_expire(&request[0]))?)
            }
            None if options.contains_key("PERSIST") => Deadline::Never,
            None => Deadline::Keep,
        };
        let pair = |etag, text| Ok(Expect::Is(Reply::Array(vec![Reply::Integer(etag), text])));
        let mut had_deadline = false;
        if let Some(text) = self.text(db, key)? {
            let current = self.etag_of(db, key);
            if !admits(given, current) {
                let is_silent = options.contains_key("NOGET");
                return pair(current, if is_silent { Reply::Null } else { bulk(text) });
            }
            had_deadline = self.entry(db, key).is_some_and(|entry| entry.deadline_ms.is_some());
        }
        self.write_version(db, key, value, deadline, "set", Etag::Is(given + step));
        match deadline {
            Deadline::At(_) => self.tell(db, key, "expire"),
            Deadline::Never if had_deadline => self.tell(db, key, "persist"),
            Deadline::Never | Deadline::Keep => {}
        }
        pair(given + step, Reply::Null)
    }
}

fn etag(text: &str) -> Result<i64, Expect> {
    parse(text)
        .filter(|etag| *etag >= 0)
        .ok_or_else(|| error("ETAG must be a numerical value greater than or equal to 0"))
}
