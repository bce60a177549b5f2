use super::*;
use crate::keyspace::hold::{Hold, HoldItem};

fn bytes(entry: &Entry) -> &[u8] {
    entry.string().unwrap().bytes().expect("no number")
}

#[test]
fn sizes_are_as_promised() {
    let mut entry = Entry::new(&[b'k'; 16], NewValue::Bytes(&[b'v'; 32]), None);
    assert_eq!(entry.allocated_bytes(), 56);
    entry.set_deadline(Some(1));
    assert_eq!(entry.allocated_bytes(), 64);
    entry.set_deadline(None);
    assert_eq!(entry.allocated_bytes(), 56);
    let mut entry = Entry::new(&[b'k'; 16], NewValue::Int(i64::MIN), Some(u64::MAX));
    assert_eq!(entry.allocated_bytes(), 40);
    entry.set_written(Some(1));
    entry.set_fresh_until(Some(2));
    entry.set_version(Some(3));
    assert_eq!(entry.allocated_bytes(), 64, "eight bytes for each that there is");
    entry.set_written(None);
    entry.set_version(None);
    assert_eq!((entry.allocated_bytes(), entry.fresh_until_ms()), (48, Some(2)));
    let object = object(3);
    let boxed_bytes = object.allocated_bytes();
    entry.set_value(NewValue::Object(Box::new(object)));
    assert_eq!(entry.allocated_bytes(), 48 + boxed_bytes);
}

/// A hold of so many items.
fn object(len: usize) -> Object {
    let item = |number: usize| HoldItem {
        key: number.to_string().into_bytes().into(),
        amount: 1,
        remained: 0,
    };
    Object::Hold(Hold::new((0..len).map(item).collect(), 9, 9))
}

fn object_len(entry: &Entry) -> Option<usize> {
    entry.object().map(|object| match object {
        Object::Hold(hold) => hold.items().len(),
        Object::Lock(_) => panic!("a lock"),
    })
}

#[test]
fn keys_and_values_of_any_length() {
    let lengths = [0, 1, 7, 8, 9, 1023, 1024, 1025, 8190, 8191, 8192, 8193, 70_000];
    for key_len in lengths {
        let key = vec![b'k'; key_len];
        for value_len in lengths {
            let value = vec![b'v'; value_len];
            for deadline_ms in [None, Some(0), Some(u64::MAX)] {
                let entry = Entry::new(&key, NewValue::Bytes(&value), deadline_ms);
                assert_eq!(entry.key(), key);
                assert_eq!(bytes(&entry), value);
                assert_eq!(entry.deadline_ms(), deadline_ms);
                assert_eq!(entry.shared().is_some(), value_len > INLINE_BYTES_MAX);
                let copy = entry.duplicate(b"copy");
                assert_eq!((copy.key(), bytes(&copy)), (&b"copy"[..], &value[..]));
                let entry = entry.into_renamed(&[b'n'; 9000]);
                assert_eq!((entry.key().len(), bytes(&entry)), (9000, &value[..]));
                assert_eq!(entry.deadline_ms(), deadline_ms);
            }
        }
    }
}

#[test]
fn a_long_value_is_kept_and_shared_without_a_copy() {
    let value = Bytes::from(vec![7; 5000]);
    let mut entry = Entry::new(b"k", NewValue::Shared(value.clone()), None);
    let reply = entry.shared().expect("stands apart");
    assert_eq!(reply.as_ptr(), value.as_ptr());
    let copy = entry.duplicate(b"c");
    assert_eq!(bytes(&copy).as_ptr(), value.as_ptr());
    entry.append(b"!");
    assert_eq!(entry.shared().expect("still apart").len(), 5001);
    assert_eq!((reply.len(), bytes(&copy).len()), (5000, 5000));
}

#[test]
fn appending_moves_the_buffer_seldom() {
    let mut entry = Entry::new(b"k", NewValue::Int(-12), Some(5));
    let mut moves = 0;
    let mut length = 3;
    for _ in 0..20_000 {
        let before = bytes_or_null(&entry);
        length += 9;
        assert_eq!(entry.append(b"123456789"), length);
        moves += usize::from(bytes_or_null(&entry) != before && length > INLINE_BYTES_MAX);
    }
    assert!(moves <= 10, "{moves}");
    assert!(bytes(&entry).starts_with(b"-12123456789123"));
    assert!(entry.is_raw());
    assert_eq!(entry.deadline_ms(), Some(5));
    assert!(entry.allocated_bytes() >= length && entry.allocated_bytes() < 3 * length);
}

fn bytes_or_null(entry: &Entry) -> *const u8 {
    entry.string().unwrap().bytes().map_or(ptr::null(), <[u8]>::as_ptr)
}

#[test]
fn a_gap_is_filled_with_zeros() {
    for (start, offset) in [(0, 5), (3, 3), (10, 2000), (2000, 1), (2000, 1999), (2000, 9000)] {
        let mut entry = Entry::new(b"key", NewValue::Bytes(&vec![b'a'; start]), Some(9));
        let held = entry.shared();
        for _ in 0..2 {
            let mut expected = bytes(&entry).to_vec();
            expected.resize(expected.len().max(offset + 4), 0);
            expected[offset..offset + 4].copy_from_slice(b"data");
            assert_eq!(entry.write_at(offset, b"data"), expected.len());
            assert_eq!(bytes(&entry), expected);
            assert_eq!(entry.deadline_ms(), Some(9));
        }
        assert_eq!(held.map_or(start, |held| held.len()), start);
    }
    let mut entry = Entry::new(b"key", NewValue::Bytes(b"abc"), None);
    assert_eq!(entry.write_at(100, b""), 3);
    assert!(!entry.is_raw());
}

/// What an entry should be.
#[derive(Debug)]
struct Model {
    key: Vec<u8>,
    value: Stored,
    raw: bool,
    /// Deadline, time of writing, end of freshness, version.
    fields: [Option<u64>; 4],
}

#[derive(Debug)]
enum Stored {
    String(Vec<u8>),
    /// A hold of so many items.
    Object(usize),
}

impl Model {
    #[track_caller]
    fn check(&self, entry: &Entry) {
        assert_eq!(entry.key(), self.key);
        match (&self.value, entry.string()) {
            (Stored::String(value), Ok(Value::Int(number))) => {
                assert_eq!(number.to_string().as_bytes(), value);
            }
            (Stored::String(value), Ok(string)) => {
                assert_eq!(string.bytes(), Some(value.as_slice()));
            }
            (Stored::Object(len), Err(WrongType)) => assert_eq!(object_len(entry), Some(*len)),
            (stored, string) => panic!("{string:?} instead of {stored:?}"),
        }
        let fields =
            [entry.deadline_ms(), entry.written_ms(), entry.fresh_until_ms(), entry.version()];
        assert_eq!((fields, entry.is_raw()), (self.fields, self.raw));
        assert_eq!(entry.has_deadline(), self.fields[0].is_some());
        assert_eq!(entry.accessed_s(), 77);
    }

    /// Changes both in one random way.
    fn change(&mut self, mut entry: Entry, random: &mut fastrand::Rng) -> Entry {
        let byte = random.u8(..);
        match random.u8(0..9) {
            0 | 1 => {
                let number = random.bool().then(|| random.u64(..));
                let field = random.usize(0..4);
                self.fields[field] = number;
                [
                    Entry::set_deadline,
                    Entry::set_written,
                    Entry::set_fresh_until,
                    Entry::set_version,
                ][field](&mut entry, number);
            }
            2 => {
                let value = vec![byte; random.usize(0..2200)];
                if random.bool() {
                    entry.set_value(NewValue::Bytes(&value));
                } else {
                    entry.set_value(NewValue::Shared(Bytes::from(value.clone())));
                }
                (self.value, self.raw) = (Stored::String(value), false);
            }
            3 => {
                let number = random.i64(..);
                self.raw &= matches!(entry.string(), Ok(Value::Int(_)));
                self.value = Stored::String(number.to_string().into_bytes());
                entry.set_int(number);
            }
            4 => {
                let len = random.usize(0..5);
                entry.set_value(NewValue::Object(Box::new(object(len))));
                (self.value, self.raw) = (Stored::Object(len), false);
            }
            5 => {
                let length = if random.bool() { 10_000 } else { 30 };
                self.key = vec![byte; random.usize(0..length)];
                entry = entry.into_renamed(&self.key);
            }
            6 => {
                let copy = entry.duplicate(&self.key);
                entry = copy;
            }
            7 => self.edit(&mut entry, byte, random),
            _ => entry.set_raw(self.raw),
        }
        entry
    }

    /// Appends or overwrites, which only a string lets be done to it.
    fn edit(&mut self, entry: &mut Entry, byte: u8, random: &mut fastrand::Rng) {
        let data = vec![byte; random.usize(0..40)];
        let Stored::String(value) = &mut self.value else { return };
        if random.bool() || value.len() >= 4000 {
            value.extend_from_slice(&data);
            self.raw = true;
            assert_eq!(entry.append(&data), value.len());
            return;
        }
        let offset = random.usize(0..value.len() + 50);
        if !data.is_empty() {
            value.resize(value.len().max(offset + data.len()), 0);
            value[offset..offset + data.len()].copy_from_slice(&data);
            self.raw = true;
        } else if matches!(entry.string(), Ok(Value::Int(_))) {
            self.raw = false;
        }
        assert_eq!(entry.write_at(offset, &data), value.len());
    }
}

#[test]
fn random_changes_agree_with_a_model() {
    let rounds = if cfg!(miri) { 500 } else { 40_000 };
    let mut random = fastrand::Rng::with_seed(11);
    let mut model = Model {
        key: b"first".to_vec(),
        value: Stored::String(b"x".to_vec()),
        raw: false,
        fields: [None; 4],
    };
    let mut entry = Entry::new(b"first", NewValue::Bytes(b"x"), None);
    entry.set_accessed_s(77);
    for _ in 0..rounds {
        entry = model.change(entry, &mut random);
        model.check(&entry);
    }
}
