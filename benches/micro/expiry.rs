//! Many keys that are due in one millisecond, and keys whose deadlines are set and
//! never come.

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};

use crate::server::{Server, key, pipeline, request, value};

const DUE: u64 = 100_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expiry");
    group.sample_size(10);
    group.throughput(Throughput::Elements(DUE));
    group.bench_function(format!("{DUE} keys due at once"), |bencher| {
        bencher.iter_batched_ref(with_deadlines, expire_all, BatchSize::PerIteration);
    });
    let mut server = Server::new();
    let set = |number| request(&["SET", &key(number), &value(number), "PX", "60000"]);
    let input = pipeline(0..16, set);
    group.sample_size(100);
    group.throughput(Throughput::Elements(16));
    group.bench_function("SET PX, 16 together, a millisecond later each time", |bencher| {
        bencher.iter(|| {
            server.advance(Duration::from_millis(1));
            server.run(&input)
        });
    });
    group.finish();
}

fn with_deadlines() -> Server {
    let mut server = Server::new();
    for start in (0..DUE).step_by(1_000) {
        server.run(&pipeline(start..start + 1_000, |number| {
            request(&["SET", &key(number), &value(number), "PX", "500"])
        }));
    }
    server.advance(Duration::from_millis(500));
    server
}

/// As many turns as it takes.
fn expire_all(server: &mut Server) {
    server.turn();
    while server.is_behind() {
        server.turn();
    }
}
