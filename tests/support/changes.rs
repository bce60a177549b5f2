//! Requests that change all kinds of keys in three databases, most of which exist.

/// A random one.
pub(crate) fn change(rng: &mut fastrand::Rng) -> String {
    let key = rng.u8(..40);
    let other = rng.u8(..40);
    let db = rng.u8(..3);
    // Some names are strings, locks and holds by turns.
    let (lock, hold) = if rng.u8(..4) == 0 { ('k', 'k') } else { ('l', 'h') };
    match rng.u8(..26) {
        0..=6 => format!("SET k{key} {}", rng.u16(..)),
        7 => format!("SET k{key} {} PX {}", rng.u16(..), 500 + rng.u32(..100_000)),
        8 => format!("DEL k{key} k{other}"),
        9 => format!("APPEND k{key} {}", "x".repeat(rng.usize(..900))),
        10 => format!("RENAME k{key} k{other}"),
        11 => format!("COPY k{key} k{other} DB {db} REPLACE"),
        12 => {
            format!("LOCK.ACQUIRE {lock}{key} o{} PX {} SHARED", other % 4, 100 + rng.u32(..50_000))
        }
        13 => format!("LOCK.RELEASE {lock}{key} o{}", other % 4),
        14 => format!("STOCK.HOLD {hold}{key} PX {} s 1", 100 + rng.u32(..50_000)),
        15 => format!("STOCK.CANCEL {hold}{key}"),
        16 => "SET s 100".to_owned(),
        20 => format!("PEXPIRE k{key} {}", 500 + rng.u32(..100_000)),
        21 => format!("PERSIST k{key}"),
        22 => format!("SETRANGE k{key} {} {}", rng.u16(..900), "y".repeat(rng.usize(..40))),
        23 => format!("STOCK.CONFIRM {hold}{key}"),
        24 => format!("LOCK.ACQUIRE {lock}{key} o{} PX {}", other % 4, 100 + rng.u32(..50_000)),
        25 => format!("THROTTLE k{key} 5 10 60"),
        17 => format!("SETIFMATCH k{key} {} 0", rng.u16(..)),
        18 if rng.u8(..8) == 0 => format!("SWAPDB {db} {}", rng.u8(..3)),
        18 if rng.u8(..8) == 0 => "FLUSHDB".to_owned(),
        _ => format!("SELECT {db}"),
    }
}
