use super::*;

fn bytes(entry: &Entry) -> &[u8] {
    match entry.string().unwrap() {
        Value::Bytes(bytes) => bytes,
        Value::Int(_) => panic!("a number"),
    }
}

#[test]
fn sizes_are_as_promised() {
    let mut entry = Entry::new(&[b'k'; 16], NewValue::Bytes(&[b'v'; 32]), None);
    assert_eq!(entry.allocated_bytes(), 56);
    entry.set_deadline(Some(1));
    assert_eq!(entry.allocated_bytes(), 64);
    entry.set_deadline(None);
    assert_eq!(entry.allocated_bytes(), 56);
    let entry = Entry::new(&[b'k'; 16], NewValue::Int(i64::MIN), Some(u64::MAX));
    assert_eq!(entry.allocated_bytes(), 40);
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
    match entry.string().unwrap() {
        Value::Bytes(bytes) => bytes.as_ptr(),
        Value::Int(_) => ptr::null(),
    }
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

#[test]
fn random_changes_agree_with_a_model() {
    let rounds = if cfg!(miri) { 300 } else { 30_000 };
    let mut random = fastrand::Rng::with_seed(11);
    let mut key = b"first".to_vec();
    let mut value = b"x".to_vec();
    let mut deadline_ms = None;
    let mut raw = false;
    let mut entry = Entry::new(&key, NewValue::Bytes(&value), None);
    entry.set_accessed_s(77);
    for round in 0..rounds {
        let data = vec![round as u8; random.usize(0..40)];
        match random.u8(0..9) {
            0 => {
                deadline_ms = random.bool().then(|| random.u64(..));
                entry.set_deadline(deadline_ms);
            }
            1 => {
                value = vec![round as u8; random.usize(0..2200)];
                raw = false;
                if random.bool() {
                    entry.set_value(NewValue::Bytes(&value));
                } else {
                    entry.set_value(NewValue::Shared(Bytes::from(value.clone())));
                }
            }
            2 => {
                let number = random.i64(..);
                value = number.to_string().into_bytes();
                raw = matches!(entry.string().unwrap(), Value::Int(_)) && raw;
                entry.set_int(number);
            }
            3 => {
                let length = if random.bool() { 10_000 } else { 30 };
                key = vec![round as u8; random.usize(0..length)];
                entry = entry.into_renamed(&key);
            }
            4 => {
                let copy = entry.duplicate(&key);
                entry = copy;
            }
            5 | 6 => {
                value.extend_from_slice(&data);
                raw = true;
                assert_eq!(entry.append(&data), value.len());
            }
            7 if value.len() < 4000 => {
                let offset = random.usize(0..value.len() + 50);
                if !data.is_empty() {
                    value.resize(value.len().max(offset + data.len()), 0);
                    value[offset..offset + data.len()].copy_from_slice(&data);
                    raw = true;
                } else if matches!(entry.string().unwrap(), Value::Int(_)) {
                    raw = false;
                }
                entry.write_at(offset, &data);
            }
            _ => entry.set_raw(raw),
        }
        assert_eq!(entry.key(), key);
        match entry.string().unwrap() {
            Value::Int(number) => assert_eq!(number.to_string().as_bytes(), value),
            Value::Bytes(bytes) => assert_eq!(bytes, value),
        }
        assert_eq!((entry.deadline_ms(), entry.is_raw()), (deadline_ms, raw));
        assert_eq!(entry.accessed_s(), 77);
    }
}
