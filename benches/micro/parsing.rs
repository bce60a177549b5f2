//! Bytes to arguments.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use tollgate::protocol::{Limits, RequestBuffer};

use crate::server::{key, pipeline, request, value};

const REQUESTS: u64 = 16;

pub(crate) fn measure(criterion: &mut Criterion) {
    let get = pipeline(0..REQUESTS, |number| request(&["GET", &key(number)]));
    let set = pipeline(0..REQUESTS, |number| request(&["SET", &key(number), &value(number)]));
    let inline = pipeline(0..REQUESTS, |number| format!("GET {}\r\n", key(number)).into_bytes());
    let large = request(&["SET", "key", &"x".repeat(1 << 20)]);
    let mut group = criterion.benchmark_group("parsing");
    for (name, input, requests) in [
        ("GET, pipeline of 16", get, REQUESTS),
        ("SET, pipeline of 16", set, REQUESTS),
        ("inline GET, pipeline of 16", inline, REQUESTS),
        ("SET of 1 MiB", large, 1),
    ] {
        group.throughput(Throughput::Elements(requests));
        let mut buffer = RequestBuffer::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(cut_all(&mut buffer, black_box(&input)), requests));
        });
    }
    group.finish();
}

/// Cuts all requests out of the input as the engine does, and returns how many there
/// were.
fn cut_all(buffer: &mut RequestBuffer, input: &[u8]) -> u64 {
    let limits = Limits::new(512 << 20, 1 << 20, 64 << 10);
    let (mut at, mut requests) = (0, 0);
    while at < input.len() {
        let rest = &input[at..];
        let count = buffer.cut(rest, &mut None, &limits, 16).expect("valid requests");
        for index in 0..count {
            black_box(buffer.cut_args(rest, index));
        }
        at += buffer.cut_end(count - 1);
        requests += count as u64;
    }
    requests
}
