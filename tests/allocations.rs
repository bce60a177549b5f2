//! What is allocated, counted: a client that does nothing owns no buffer, and a
//! request that leaves nothing behind allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tollgate::Engine;
use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{ClientKey, Environment, Peer};

/// The system's allocator, with a count for each thread: tests run side by side.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, bytes: i64) {
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes);
}

// SAFETY: every call is passed on as it is; counting allocates nothing, because
// the counters are constants at first and need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(1, bytes as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const START: Now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };

fn engine(clients: usize) -> Engine {
    engine_with(Config::default(), clients)
}

fn engine_with(config: Config, clients: usize) -> Engine {
    let mut engine = Engine::new(config, Environment::simulated(1), START);
    for key in 0..clients {
        let addr = Some(([127, 0, 0, 1], 50_000).into());
        let laddr = Some(([127, 0, 0, 1], 6_379).into());
        engine.connect(key, Peer { addr, laddr, fd: 7 }, START);
    }
    engine
}

/// One turn with input of one client; returns how many bytes it was sent.
fn turn(engine: &mut Engine, key: ClientKey, input: &[u8]) -> usize {
    engine.receive(key, input, START);
    engine.tick(START);
    let mut sent_bytes = 0;
    let outputs = engine.take_outputs();
    for &key in &outputs {
        let count = engine.output(key).len();
        engine.sent(key, count);
        sent_bytes += count;
    }
    engine.restore_outputs(outputs);
    assert!(engine.take_closed().is_empty());
    engine.take_resumed();
    sent_bytes
}

/// A request as clients send it.
fn request(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), bulks.collect::<String>()).into_bytes()
}

/// What running it allocates: how often, and how many bytes stay.
fn allocated(run: impl FnOnce()) -> (u64, i64) {
    let (allocations, bytes) = (ALLOCATIONS.get(), LIVE_BYTES.get());
    run();
    (ALLOCATIONS.get() - allocations, LIVE_BYTES.get() - bytes)
}

#[test]
fn what_is_allocated_is_counted() {
    let mut kept = Vec::new();
    assert_eq!(allocated(|| kept = Vec::<u8>::with_capacity(100)), (1, 100));
    assert_eq!(allocated(|| drop(std::mem::take(&mut kept))), (0, -100));
}

#[test]
fn a_client_whose_replies_are_sent_owns_no_buffer() {
    let mut engine = engine(2);
    turn(&mut engine, 0, &request("PING"));
    let connected = engine.client_memory_bytes(1);
    let whole = [request("SET key value"), request("GET key"), request("PING")].concat();
    // Whatever the engine allocates once is allocated by the other client.
    turn(&mut engine, 0, &whole);
    turn(&mut engine, 0, &whole[..20]);
    turn(&mut engine, 0, &whole[20..]);
    let (_, bytes) = allocated(|| {
        assert!(turn(&mut engine, 1, &whole) > 0);
        turn(&mut engine, 1, &whole[..20]);
        assert!(turn(&mut engine, 1, &whole[20..]) > 0);
    });
    assert_eq!((bytes, engine.client_memory_bytes(1)), (0, connected));
}

#[test]
fn requests_that_leave_nothing_behind_allocate_nothing() {
    let mut engine = engine(1);
    turn(&mut engine, 0, &request("SET key value"));
    turn(&mut engine, 0, &request("SET number 1000000"));
    turn(&mut engine, 0, &request("SET item 2000000"));
    for line in [
        "GET key",
        "GET missing",
        "SET key other",
        "INCR number",
        "DECRIFPOS item",
        "EXISTS key",
        "EXISTS missing",
        "PING",
    ] {
        for pipeline in [1, 16, 100] {
            let input = request(line).repeat(pipeline);
            turn(&mut engine, 0, &input);
            turn(&mut engine, 0, &input);
            let counted = allocated(|| {
                for _ in 0..100 {
                    assert!(turn(&mut engine, 0, &input) >= 4 * pipeline);
                }
            });
            assert_eq!(counted, (0, 0), "{line}, {pipeline} at once");
        }
    }
}

#[test]
fn a_new_key_allocates_its_entry_and_now_and_then_room_in_the_table() {
    const KEYS: u64 = 20_000;
    // With write times the entry is made without one, and allocated anew for it.
    let config = Config { key_write_times: false, ..Config::default() };
    let mut engine = engine_with(config, 1);
    turn(&mut engine, 0, &request("SET first value"));
    let inputs: Vec<_> =
        (0..KEYS).map(|number| request(&format!("SET key:{number:08} value"))).collect();
    let (allocations, _) = allocated(|| {
        for input in &inputs {
            turn(&mut engine, 0, input);
        }
    });
    let others = allocations.checked_sub(KEYS).expect("each entry is allocated");
    // Segments of some 300 slots that grow, split, and hold their entries meanwhile.
    assert!(others <= KEYS / 20, "{others} allocations besides the entries");
}

/// Bytes that each idle connection costs in the engine at most: the client of
/// 224 and, in lists with room for as many, its places of 8 and 16.
const IDLE_CLIENT_BYTES_MAX: i64 = 224 + 2 * (8 + 16);

#[test]
fn an_idle_connection_costs_few_bytes() {
    const CLIENTS: usize = 10_000;
    let mut idle = engine(0);
    let (_, bytes) = allocated(|| {
        idle = engine(CLIENTS);
        for key in 0..CLIENTS {
            turn(&mut idle, key, b"*1\r\n$4\r\nPING\r\n");
        }
    });
    // What the empty engine costs went when the first was dropped.
    let each = bytes / CLIENTS as i64;
    assert!(each <= IDLE_CLIENT_BYTES_MAX, "{each} bytes for each idle connection");
}
