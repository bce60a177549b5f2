//! CL.THROTTLE: a bucket that leaks. The key holds when it will be empty, in
//! nanoseconds of Unix time, and is gone then.

use super::args::integer;
use super::data::Deadline;
use super::expect::{Expect, error};
use super::{Answer, Model};
use crate::support::resp::Reply;

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

impl Model {
    pub(super) fn throttle(&mut self, db: usize, request: &[String]) -> Answer {
        let key = &request[1];
        let limit = integer(&request[2])? + 1;
        let (count, period_s) = (integer(&request[3])?, integer(&request[4])?);
        let quantity = request.get(5).map_or(Ok(1), |text| integer(text))?;
        if count < 1 || period_s < 1 {
            return Err(error("ERR Zero rates are not supported"));
        }
        // All in nanoseconds: what one unit takes to leak away, how much the bucket
        // holds, how much is in it, and with what is asked for.
        let unit = period_s * NS_PER_S / count;
        let room = limit * unit;
        let now = self.now_us * 1_000;
        let empty_at = self.number(db, key)?.unwrap_or(0).max(now);
        let before = empty_at - now;
        let wanted = before + quantity * unit;
        let limited = wanted > room;
        let after = if limited { before } else { wanted.max(0) };
        if after == 0 && before > 0 {
            self.remove(db, key, "del");
        } else if after != before {
            let gone_ms = up(now + after, NS_PER_MS);
            let text = (now + after).to_string();
            self.rewrite(db, key, &text, Deadline::At(gone_ms), "set");
            self.tell(db, key, "expire");
        }
        let fits = quantity * unit <= room;
        let retry_s = if limited && fits { up(wanted - room, NS_PER_S) } else { -1 };
        let remaining = ((room - after) / unit).max(0);
        let numbers = [i64::from(limited), limit, remaining, retry_s, up(after, NS_PER_S)];
        Ok(Expect::Is(Reply::Array(numbers.into_iter().map(Reply::Integer).collect())))
    }
}

/// Rounded up: who waits that long does not come too early.
fn up(ns: i64, unit: i64) -> i64 {
    (ns + unit - 1) / unit
}
