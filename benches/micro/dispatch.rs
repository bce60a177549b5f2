//! One request from its bytes to its reply, alone in its turn and sixteen in one.

use criterion::{Criterion, Throughput};

use crate::server::{Server, key, pipeline, request, value};

const KEYS: u64 = 16;

pub(crate) fn measure(criterion: &mut Criterion) {
    let one = |make: &dyn Fn(u64) -> Vec<u8>| (make(0), pipeline(0..KEYS, make));
    let commands = [
        ("PING", one(&|_| request(&["PING"]))),
        ("GET", one(&|number| request(&["GET", &key(number)]))),
        ("SET", one(&|number| request(&["SET", &key(number), &value(number)]))),
        ("DECRIFPOS", one(&|number| request(&["DECRIFPOS", &format!("stock:{number}")]))),
        ("LOCK.ACQUIRE and RELEASE", one(&lock_and_unlock)),
    ];
    let mut group = criterion.benchmark_group("dispatch");
    for (name, (alone, together)) in commands {
        for (how, input, count) in [("alone", alone, 1), ("16 together", together, KEYS)] {
            let mut server = Server::new();
            for number in 0..KEYS {
                server.run(&request(&["SET", &key(number), &value(number)]));
                // Never sold out.
                let stock = format!("stock:{number}");
                server.run(&request(&["SET", &stock, "9000000000000000000"]));
            }
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("{name}, {how}"), |bencher| {
                bencher.iter(|| assert!(server.run(&input) > 0));
            });
        }
    }
    group.finish();
}

/// Two requests.
fn lock_and_unlock(number: u64) -> Vec<u8> {
    let name = format!("lock:{number}");
    let acquire = request(&["LOCK.ACQUIRE", &name, "me", "PX", "30000"]);
    [acquire, request(&["LOCK.RELEASE", &name, "me"])].concat()
}
