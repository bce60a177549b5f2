//! Finding and storing keys among few and among many, in pipelines of sixteen.

use criterion::{BatchSize, Criterion, Throughput};

use crate::server::{Server, key, pipeline, request, scattered, value};

const PIPELINE: usize = 16;
/// Different pipelines that are sent in turn, so that keys are not in the cache because
/// they have just been asked for.
const PIPELINES: usize = 4_096;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keyspace");
    for keys in [1_000, 1_000_000] {
        let mut server = filled(keys);
        let get = |number| request(&["GET", &key(number)]);
        let set = |number| request(&["SET", &key(number), &value(number)]);
        let cases: [(&str, Vec<Vec<u8>>); 3] = [
            ("hit", pipelines(scattered(keys), get)),
            ("miss", pipelines(scattered(keys).map(|number| number + keys), get)),
            ("overwrite", pipelines(scattered(keys), set)),
        ];
        group.throughput(Throughput::Elements(PIPELINE as u64));
        for (name, inputs) in cases {
            let mut inputs = inputs.iter().cycle();
            group.bench_function(format!("{name} among {keys}"), |bencher| {
                bencher.iter(|| server.run(inputs.next().expect("it is a cycle")));
            });
        }
    }
    // Each key goes to a segment that may have to grow or split.
    const NEW: u64 = 10_000;
    let input = pipeline(0..NEW, |number| request(&["SET", &key(number), &value(number)]));
    group.throughput(Throughput::Elements(NEW));
    group.bench_function(format!("growth from 0 to {NEW}"), |bencher| {
        bencher.iter_batched_ref(Server::new, |server| server.run(&input), BatchSize::LargeInput);
    });
    // As many come as go.
    let insert = pipeline(0..16, |number| request(&["SET", &key(number), &value(number)]));
    let delete = pipeline(0..16, |number| request(&["DEL", &key(number)]));
    let mut server = filled(1_000_000);
    server.run(&delete);
    group.throughput(Throughput::Elements(16));
    group.bench_function("insert and delete among 1000000", |bencher| {
        bencher.iter(|| server.run(&insert) + server.run(&delete));
    });
    group.finish();
}

fn filled(keys: u64) -> Server {
    let mut server = Server::new();
    for start in (0..keys).step_by(1_000) {
        let numbers = start..keys.min(start + 1_000);
        server.run(&pipeline(numbers, |number| request(&["SET", &key(number), &value(number)])));
    }
    server
}

fn pipelines(
    mut numbers: impl Iterator<Item = u64>,
    make: impl Fn(u64) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    (0..PIPELINES).map(|_| pipeline(numbers.by_ref().take(PIPELINE), &make)).collect()
}
