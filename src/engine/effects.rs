//! What a journal says of a key: its state, as commands.
//!
//! Each record gives a state or a part of one and no change, so that replaying a
//! record twice, or upon a later state that later records lead to again, ends in the
//! same. Where a command of Redis says it, it is that one, and Redis can read it;
//! what Redis does not have is said by commands that only a replay knows, see
//! `replay.rs`.

use std::ops::Range;

use crate::keyspace::{
    Annotations, Db, Dirty, Entry, Hold, HoldState, Keyspace, Lock, LockMode, LockOwner, Noted,
    Object, Scope, Upheaval, Value,
};
use crate::protocol::number::{decimal_len, push_i64, push_u64};
use crate::protocol::{OutBuffer, Reply, Version};

/// Names of the records that Redis does not know.
pub(super) const OWNER: &str = "TOLLGATE.OWNER";
pub(super) const OWNER_END: &str = "TOLLGATE.OWNEREND";
pub(super) const HOLD: &str = "TOLLGATE.HOLD";
pub(super) const ANNOTATE: &str = "TOLLGATE.ANNOTATE";

/// How a PING begins that says which tokens may have been given. Redis answers it
/// and thinks no more of it, so a journal that has nothing else of ours is one of
/// Redis too.
pub(super) const TOKENS: &str = "tollgate-tokens ";

/// A string up to this length, in bytes, is journaled whole when a part of it has
/// changed.
const WHOLE_BYTES_MAX: usize = 512;

/// Strings up to this size, in bytes, are copied into a group; larger ones are shared with
/// the keyspace until the writer has them.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Writes groups. What it knows from one group to the next is which database a reader
/// of them is in.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The database that a reader of all groups is in; `None`: who knows.
    selected: Option<usize>,
    /// The database that the group has said it concerns.
    in_group: Option<usize>,
}

/// A group that is being written.
struct Group<'a> {
    out: &'a mut OutBuffer,
    writer: &'a mut Writer,
}

/// So many owners of a lock are told of at once by who walks over it.
pub(super) const OWNERS_MAX: usize = 256;

/// How the record of a string begins.
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n";
const SET_PXAT: &[u8] = b"*5\r\n$3\r\nSET\r\n";

/// The same up to the length of the key, and what stands between the key and the length
/// of the string.
const SET_KEY: &[u8; 14] = b"*3\r\n$3\r\nSET\r\n$";
const TO_STRING: &[u8; 3] = b"\r\n$";

/// What a group of several commands begins and ends with.
const BEGIN: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const END: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Writer {
    /// Appends what has changed as one group: all of it or none comes back. `tokens`
    /// says that tokens up to there may have been given.
    pub(super) fn changes(
        &mut self,
        out: &mut OutBuffer,
        keyspace: &mut Keyspace,
        dirty: &Dirty,
        tokens: Option<u64>,
    ) {
        // One key's records, of whatever number, are one key's: nothing is torn apart
        // if a reader takes only some of them.
        let is_several = dirty.len() + usize::from(tokens.is_some()) > 1;
        if is_several {
            out.extend_from_slice(BEGIN);
        }
        self.begin_group();
        let is_unknown = self.selected.is_none();
        let mut group = Group { out, writer: self };
        if is_unknown {
            group.select(0);
        }
        for upheaval in dirty.upheavals() {
            group.upheaval(*upheaval);
        }
        for (db, noted) in dirty.notes() {
            group.select(db);
            match noted {
                Noted::Changed(key, scope) => group.key(&keyspace.db(db), key, scope),
                Noted::Records(records) => group.out.extend_from_slice(records),
            }
        }
        if let Some(tokens) = tokens {
            group.command(&[b"PING", format!("{TOKENS}{tokens}").as_bytes()]);
        }
        if is_several {
            out.extend_from_slice(END);
        }
    }

    /// What is appended from now on is another group.
    pub(super) fn begin_group(&mut self) {
        self.in_group = None;
    }

    /// Appends the whole state of one entry to a group, for a snapshot. Of a lock with a
    /// crowd of owners it is some; [`Writer::owners`] goes on from the token it gives.
    pub(super) fn entry(&mut self, out: &mut OutBuffer, db: usize, entry: &Entry) -> Option<u64> {
        let mut group = Group { out, writer: self };
        group.select(db);
        match entry.object() {
            Some(Object::Lock(lock)) => group.lock(entry.key(), lock, OWNERS_MAX),
            Some(Object::Hold(_)) | None => {
                group.state(entry);
                None
            }
        }
    }

    /// Appends further owners of an entry, if it is a lock, from this token on. Gives that
    /// of the next one, if there are more.
    pub(super) fn owners(
        &mut self,
        out: &mut OutBuffer,
        db: usize,
        entry: &Entry,
        from: u64,
    ) -> Option<u64> {
        let Some(Object::Lock(lock)) = entry.object() else { return None };
        let mut group = Group { out, writer: self };
        group.select(db);
        group.owners(entry.key(), lock, from, OWNERS_MAX)
    }
}

/// Appends what [`Group::string`] says of a key that is a string and nothing else, and
/// answers where the key begins, see [`StringRecord`](crate::keyspace::StringRecord).
/// Most changes of a busy server are written here, so what stands around key and string
/// is put there in few pieces of fixed lengths.
pub(super) fn string_record(out: &mut Vec<u8>, key: &[u8], string: Value<'_>) -> usize {
    push_length(out, SET_KEY, key.len());
    let key_start = out.len();
    out.extend_from_slice(key);
    match string {
        Value::Int(number) => {
            push_length(out, TO_STRING, decimal_len(number));
            push_i64(out, number);
        }
        Value::Bytes(bytes) => push_bytes(out, bytes),
        Value::Apart(bytes) => push_bytes(out, bytes),
    }
    out.extend_from_slice(b"\r\n");
    key_start
}

#[inline]
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_length(out, TO_STRING, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what stands before a length, the length, and the end of its line.
#[inline(always)]
fn push_length<const N: usize>(out: &mut Vec<u8>, before: &[u8; N], len: usize) {
    out.extend_from_slice(before);
    let digit = |value: usize| b'0' + value as u8;
    match len {
        0..=9 => out.extend_from_slice(&[digit(len), b'\r', b'\n']),
        10..=99 => out.extend_from_slice(&[digit(len / 10), digit(len % 10), b'\r', b'\n']),
        _ => {
            push_u64(out, len as u64);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl Group<'_> {
    fn reply(&mut self) -> Reply<'_> {
        Reply::over(self.out, Version::Resp2)
    }

    fn command(&mut self, words: &[&[u8]]) {
        let mut reply = self.reply();
        reply.array(words.len());
        words.iter().for_each(|word| reply.bulk(word));
    }

    /// What follows concerns this database. A group that does not say so concerns
    /// database 0, also for who has not seen those before it.
    fn select(&mut self, db: usize) {
        let is_known = match self.writer.in_group {
            Some(selected) => selected == db,
            None => db == 0 && self.writer.selected == Some(0),
        };
        self.writer.in_group = Some(db);
        if !is_known {
            self.writer.selected = Some(db);
            self.command(&[b"SELECT", db.to_string().as_bytes()]);
        }
    }

    fn upheaval(&mut self, upheaval: Upheaval) {
        match upheaval {
            Upheaval::Flush(db) => {
                self.select(db);
                self.command(&[b"FLUSHDB"]);
            }
            Upheaval::Swap(a, b) => {
                self.command(&[b"SWAPDB", a.to_string().as_bytes(), b.to_string().as_bytes()]);
            }
        }
    }

    fn key(&mut self, db: &Db<'_>, key: &[u8], scope: &Scope) {
        let Some(entry) = db.look(key) else {
            self.command(&[b"DEL", key]);
            return;
        };
        match (scope, entry.object()) {
            (Scope::Owner(token), Some(Object::Lock(lock))) => match lock.owner(*token) {
                Some(owner) => self.owner(key, lock.mode(), *token, owner),
                None => self.command(&[OWNER_END.as_bytes(), key, token.to_string().as_bytes()]),
            },
            (Scope::Deadline, None) => match entry.deadline_ms() {
                Some(at_ms) => self.command(&[b"PEXPIREAT", key, at_ms.to_string().as_bytes()]),
                None => self.command(&[b"PERSIST", key]),
            },
            (Scope::Bytes(range), None) if self.part(&entry, range) => {
                let annotations = annotations(&entry);
                if !annotations.is_empty() {
                    self.annotate(key, annotations);
                }
            }
            _ => self.state(&entry),
        }
    }

    /// Part of a string, if that is worth while.
    fn part(&mut self, entry: &Entry, range: &Range<usize>) -> bool {
        let Some(bytes) = entry.string().ok().and_then(Value::bytes) else { return false };
        let Some(part) = bytes.get(range.clone()) else { return false };
        if bytes.len() <= WHOLE_BYTES_MAX || part.len() > bytes.len() / 2 {
            return false;
        }
        self.command(&[b"SETRANGE", entry.key(), range.start.to_string().as_bytes(), part]);
        true
    }

    /// All of a key's state.
    fn state(&mut self, entry: &Entry) {
        match entry.object() {
            Some(Object::Lock(lock)) => drop(self.lock(entry.key(), lock, usize::MAX)),
            Some(Object::Hold(hold)) => self.hold(entry.key(), hold, entry.deadline_ms()),
            None => self.string(entry),
        }
    }

    #[inline]
    fn string(&mut self, entry: &Entry) {
        let deadline_ms = entry.deadline_ms();
        // Most records are one of these two, so their beginnings are not put together.
        self.out.extend_from_slice(if deadline_ms.is_some() { SET_PXAT } else { SET });
        let mut reply = self.reply();
        reply.bulk(entry.key());
        match entry.string() {
            Ok(Value::Int(number)) => reply.bulk_int(number),
            Ok(Value::Bytes(bytes)) => reply.bulk(bytes),
            // One that is shared cannot be changed in place before it is written.
            Ok(Value::Apart(bytes)) if bytes.len() < COPIED_BYTES_MAX => reply.bulk(bytes),
            Ok(Value::Apart(bytes)) => reply.bulk_shared(bytes),
            // An entry without an object is a string.
            Err(_) => reply.bulk(b""),
        }
        if let Some(deadline_ms) = deadline_ms {
            reply.bulk(b"PXAT");
            reply.bulk(deadline_ms.to_string().as_bytes());
        }
        let annotations = annotations(entry);
        if !annotations.is_empty() {
            self.annotate(entry.key(), annotations);
        }
    }

    #[cold]
    fn annotate(&mut self, key: &[u8], annotations: Annotations) {
        let text = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        self.command(&[
            ANNOTATE.as_bytes(),
            key,
            text(annotations.version).as_bytes(),
            text(annotations.fresh_until_ms).as_bytes(),
            text(annotations.written_ms).as_bytes(),
        ]);
    }

    fn lock(&mut self, key: &[u8], lock: &Lock, owners_max: usize) -> Option<u64> {
        // In place of what it was, and of who owned it then.
        self.command(&[b"DEL", key]);
        self.owners(key, lock, 0, owners_max)
    }

    /// So many owners at most, from a token on; gives that of the next one.
    fn owners(&mut self, key: &[u8], lock: &Lock, from: u64, owners_max: usize) -> Option<u64> {
        let mut owners = lock.owners_from(from);
        for (token, owner) in owners.by_ref().take(owners_max) {
            self.owner(key, lock.mode(), token, owner);
        }
        owners.next().map(|(token, _)| token)
    }

    fn owner(&mut self, key: &[u8], mode: LockMode, token: u64, owner: &LockOwner) {
        self.command(&[
            OWNER.as_bytes(),
            key,
            mode_text(mode).as_bytes(),
            token.to_string().as_bytes(),
            &owner.name,
            owner.holds.to_string().as_bytes(),
            owner.deadline_ms.to_string().as_bytes(),
            if owner.tied_to.is_some() { b"tied" } else { b"untied" },
        ]);
    }

    fn hold(&mut self, key: &[u8], hold: &Hold, deadline_ms: Option<u64>) {
        // Live, it ends at a deadline of its own; ended, it is forgotten at its key's.
        let ends_ms = hold.live_deadline_ms().or(deadline_ms).unwrap_or(0);
        let mut reply = self.reply();
        reply.array(5 + 3 * hold.items().len());
        reply.bulk(HOLD.as_bytes());
        reply.bulk(key);
        reply.bulk(hold.state().name().as_bytes());
        reply.bulk(ends_ms.to_string().as_bytes());
        reply.bulk(hold.asked_ms().to_string().as_bytes());
        for item in hold.items() {
            reply.bulk(&item.key);
            reply.bulk_int(item.amount);
            reply.bulk_int(item.remained);
        }
    }
}

fn annotations(entry: &Entry) -> Annotations {
    Annotations {
        version: entry.version(),
        fresh_until_ms: entry.fresh_until_ms(),
        written_ms: entry.written_ms(),
    }
}

fn mode_text(mode: LockMode) -> String {
    match mode {
        LockMode::Exclusive => "exclusive".to_owned(),
        LockMode::Shared => "shared".to_owned(),
        LockMode::Limit(limit) => limit.to_string(),
    }
}

/// The reverse of [`mode_text`].
pub(super) fn mode_from(text: &str) -> Option<LockMode> {
    match text {
        "exclusive" => Some(LockMode::Exclusive),
        "shared" => Some(LockMode::Shared),
        limit => limit.parse().ok().map(LockMode::Limit),
    }
}

/// The reverse of [`HoldState::name`].
pub(super) fn hold_state_from(text: &str) -> Option<HoldState> {
    [HoldState::Held, HoldState::Confirmed, HoldState::Returned]
        .into_iter()
        .find(|state| state.name() == text)
}
