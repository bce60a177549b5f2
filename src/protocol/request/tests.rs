use super::*;

const LIMITS: Limits = Limits {
    bulk_bytes_max: 1 << 20,
    args_max: 1 << 20,
    inline_bytes_max: 1024,
    authenticated: true,
};

type Request = Vec<Vec<u8>>;

fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", request.len()).into_bytes();
    for arg in request {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn copied(args: Args<'_>) -> Request {
    args.iter().map(<[u8]>::to_vec).collect()
}

/// Feeds a session in pieces that end at `cuts`, as an engine does: unread input
/// is kept, and progress with it. Ends at the first error.
fn parse_pieces(
    session: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> (Vec<Request>, Option<ProtocolError>) {
    let mut buffer = RequestBuffer::new();
    let (mut start, mut progress, mut requests) = (0, None, Vec::new());
    for cut in cuts.into_iter().chain([session.len()]) {
        loop {
            let input = &session[start..cut];
            match buffer.parse(input, &mut progress, limits) {
                Ok(Parsed::Complete { consumed }) => {
                    assert!(consumed > 0 && consumed <= input.len());
                    assert!(progress.is_none());
                    requests.push(copied(buffer.args(input)));
                    start += consumed;
                }
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > 0);
                    assert_eq!(progress.is_some(), !input.is_empty());
                    break;
                }
                Err(error) => {
                    assert!(progress.is_none());
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}

fn parse_whole(session: &[u8], limits: &Limits) -> (Vec<Request>, Option<ProtocolError>) {
    parse_pieces(session, [], limits)
}

#[track_caller]
fn assert_error(input: &[u8], limits: &Limits, text: &str) {
    let (_, error) = parse_whole(input, limits);
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(text));
    let (_, error) = parse_pieces(input, 1..input.len(), limits);
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(text), "byte by byte");
}

#[test]
fn a_request_is_cut_out_of_the_input() {
    let input = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\na\r\n\0\xff\r\nrest";
    let mut buffer = RequestBuffer::new();
    let parsed = buffer.parse(input, &mut None, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() - 4 }));
    let args = buffer.args(input);
    assert_eq!(copied(args), [&b"SET"[..], b"", b"a\r\n\0\xff"]);
    assert_eq!(args[2].as_ptr(), input[23..].as_ptr(), "arguments are not copied");
}

#[test]
fn requests_without_arguments_are_complete() {
    for input in [&b"\r\n"[..], b"\n", b" \t\r\n", b"*0\r\n", b"*-1\r\n", b"*-123\r\n"] {
        let mut buffer = RequestBuffer::new();
        let parsed = buffer.parse(input, &mut None, &LIMITS);
        assert_eq!(parsed, Ok(Parsed::Complete { consumed: input.len() }));
        assert!(buffer.args(input).is_empty());
    }
}

#[test]
fn inline_words_lose_their_quotes() {
    let (requests, error) =
        parse_whole(b"SET k \"a\\x00b\"\r\n\r\nGET\tk\nGET 'a\\'b'\r\n", &LIMITS);
    assert_eq!(error, None);
    let expected: [&[&[u8]]; 4] =
        [&[b"SET", b"k", b"a\0b"], &[], &[b"GET", b"k"], &[b"GET", b"a'b"]];
    assert_eq!(requests, expected);
}

/// As Redis, which skips two bytes after a length and after an argument
/// without looking at them.
#[test]
fn line_ends_are_not_checked() {
    let (requests, error) = parse_whole(b"*2\rX$4\rYECHOab$1\r\nxcdPING\r\n", &LIMITS);
    assert_eq!(error, None);
    assert_eq!(requests, [&[&b"ECHO"[..], b"x"][..], &[b"PING"]]);
}

#[test]
fn needed_is_what_the_current_argument_lacks() {
    let mut buffer = RequestBuffer::new();
    for (input, needed) in [
        (&b""[..], 1),
        (b"*", 1),
        (b"*2\r", 1),
        (b"*2\r\n", 1),
        (b"*2\r\n$1000\r", 1),
        (b"*2\r\n$1000\r\n", 1002),
        (b"*2\r\n$1000\r\nabc", 999),
        (b"*1\r\n$3\r\nabc\r", 1),
        (b"PING", 1),
    ] {
        let parsed = buffer.parse(input, &mut None, &LIMITS);
        assert_eq!(parsed, Ok(Parsed::Incomplete { needed }), "{}", input.escape_ascii());
    }
}

/// redis-server 7.0 answers each of these with the same text, but for the two
/// limits, which are its own there, and NUL, for which see the module.
#[test]
fn every_error_has_its_text() {
    for input in [
        "*a\r\n",
        "*\r\n",
        "*01\r\n",
        "*+1\r\n",
        "* 1\r\n",
        "*1 \r\n",
        "*-0\r\n",
        "*--1\r\n",
        "*-\r\n",
        "*2147483648\r\n",
        "*1048577\r\n",
        "*9223372036854775808\r\n",
        "*99999999999999999999999\r\n",
        "*\0\r\n",
        "*1\n$4\r\n",
    ] {
        assert_error(input.as_bytes(), &LIMITS, "invalid multibulk length");
    }
    for input in [
        "$\r\n",
        "$-1\r\n",
        "$-0\r\n",
        "$04\r\n",
        "$ 4\r\n",
        "$+4\r\n",
        "$4x\r\n",
        "$1048577\r\n",
        "$9223372036854775808\r\n",
        "$99999999999999999999999\r\n",
    ] {
        let input = format!("*1\r\n{input}");
        assert_error(input.as_bytes(), &LIMITS, "invalid bulk length");
    }
    assert_error(b"*1\r\nx\r\n", &LIMITS, "expected '$', got 'x'");
    assert_error(b"*1\r\n:4\r\n", &LIMITS, "expected '$', got ':'");
    assert_error(b"*2\r\n$1\r\na\r\nPING\r\n", &LIMITS, "expected '$', got 'P'");
    assert_error(b"*1\r\n\r\n", &LIMITS, "expected '$', got '\r'");
    for input in ["\"a\r\n", "'a\n", "\"a\"b\r\n", "'a'b\n", "a \"\\\"\r\n"] {
        assert_error(input.as_bytes(), &LIMITS, "unbalanced quotes in request");
    }
}

/// The limit of a line is exact, and it counts whether or not the line's end is
/// already there.
#[test]
fn lines_without_an_end_are_refused_at_the_limit() {
    let ones = |count| "1".repeat(count);
    for end in ["", "\r\n"] {
        let text = "too big mbulk count string";
        assert_error(format!("*{}{end}", ones(1024)).as_bytes(), &LIMITS, text);
        let text = "too big bulk count string";
        assert_error(format!("*1\r\n${}{end}", ones(1024)).as_bytes(), &LIMITS, text);
        let text = "too big inline request";
        assert_error(format!("{}{end}", ones(1025)).as_bytes(), &LIMITS, text);
    }
    for input in [format!("*{}", ones(1023)), format!("*1\r\n${}", ones(1023)), ones(1024)] {
        assert_eq!(parse_whole(input.as_bytes(), &LIMITS), (vec![], None));
    }
    let (requests, error) = parse_whole(format!("{}\n", ones(1024)).as_bytes(), &LIMITS);
    assert_eq!((requests[0][0].len(), error), (1024, None));
    assert_error(format!("*{}\r\n", ones(1023)).as_bytes(), &LIMITS, "invalid multibulk length");
}

#[test]
fn strangers_are_held_to_less() {
    let limits = LIMITS.unauthenticated();
    assert_error(b"*11\r\n", &limits, "unauthenticated multibulk length");
    assert_error(b"*1\r\n$16385\r\n", &limits, "unauthenticated bulk length");
    assert_error(b"*1\r\n$1048577\r\n", &limits, "invalid bulk length");
    assert_error(b"*1048577\r\n", &limits, "invalid multibulk length");
    let request: Request = vec![vec![b'a'; 16384]; 10];
    assert_eq!(parse_whole(&encode(&request), &limits), (vec![request], None));
}

#[test]
fn limits_are_the_last_allowed_values() {
    let limits = Limits::new(5, 2, 1024);
    let request = vec![b"12345".to_vec(), b"12345".to_vec()];
    assert_eq!(parse_whole(&encode(&request), &limits), (vec![request], None));
    assert_error(b"*3\r\n", &limits, "invalid multibulk length");
    assert_error(b"*1\r\n$6\r\n", &limits, "invalid bulk length");
}

#[test]
fn offsets_that_spans_cannot_hold_are_refused() {
    let limits = Limits::new(usize::MAX, usize::MAX, usize::MAX);
    assert_error(b"*1\r\n$4294967295\r\n", &limits, "invalid bulk length");
    assert_error(b"*1\r\n$9223372036854775807\r\n", &limits, "invalid bulk length");
    let input = b"*1\r\n$4294967276\r\n";
    let parsed = RequestBuffer::new().parse(input, &mut None, &limits);
    assert_eq!(parsed, Ok(Parsed::Incomplete { needed: 4294967278 }));
}

fn recorded_session() -> (Vec<u8>, Vec<Request>) {
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let mut session = Vec::new();
    let mut requests: Vec<Request> = Vec::new();
    let mut add = |bytes: &[u8], request: Request| {
        session.extend_from_slice(bytes);
        requests.push(request);
    };
    add(b"PING\r\n", words("PING"));
    for text in ["HELLO 3", "SET key value NX PX 30000", "MULTI", "INCR n", "EXEC"] {
        add(&encode(&words(text)), words(text));
    }
    add(b"\r\n", vec![]);
    add(b"*-1\r\n", vec![]);
    add(
        b"ECHO \"a \\x41\\n\" 'it\\'s'\n",
        vec![b"ECHO".to_vec(), b"a A\n".to_vec(), b"it's".to_vec()],
    );
    let binary = vec![b"SET".to_vec(), b"\r\n$3\r\n*1".to_vec(), vec![0xff; 120]];
    add(&encode(&binary), binary);
    add(b"*2\rX$4\rYECHO..$0\r\n\r\n", vec![b"ECHO".to_vec(), vec![]]);
    (session, requests)
}

#[test]
fn every_cut_gives_the_same_requests() {
    let (session, requests) = recorded_session();
    assert_eq!(parse_whole(&session, &LIMITS).0, requests);
    for first in 1..session.len() {
        assert_eq!(parse_pieces(&session, [first], &LIMITS), (requests.clone(), None));
    }
    assert_eq!(parse_pieces(&session, 1..session.len(), &LIMITS), (requests, None));
}

#[test]
fn random_requests_survive_random_pieces() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut session = Vec::new();
        let mut requests: Vec<Request> = Vec::new();
        for _ in 0..rng.usize(1..40) {
            let args_max = if rng.u8(..20) == 0 { 300 } else { 6 };
            let request: Request = (0..rng.usize(1..args_max))
                .map(|_| {
                    let len = if rng.u8(..20) == 0 { rng.usize(..3000) } else { rng.usize(..12) };
                    (0..len)
                        .map(|_| rng.choice(*b"\r\n*$0193 \0\xffab").expect("not empty"))
                        .collect()
                })
                .collect();
            session.extend(encode(&request));
            requests.push(request);
        }
        let mut cuts: Vec<usize> =
            (0..rng.usize(..100)).map(|_| rng.usize(..=session.len())).collect();
        cuts.sort_unstable();
        let found = parse_pieces(&session, cuts, &LIMITS);
        assert_eq!(found, (requests, None), "seed {seed}");
    }
}

/// Mutated sessions: whatever the bytes are, how they are cut makes no
/// difference, neither to the requests nor to the error.
#[test]
fn garbage_means_the_same_however_it_is_cut() {
    let (session, _) = recorded_session();
    for seed in 0..3_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut garbage = session.clone();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..garbage.len());
            let byte = rng.choice(*b"\r\n*$-+0123456789\"'\\x \xff").expect("not empty");
            match rng.u8(..3) {
                0 => garbage[at] = byte,
                1 => garbage.insert(at, byte),
                _ => drop(garbage.remove(at)),
            }
        }
        let whole = parse_whole(&garbage, &LIMITS);
        let pieces = parse_pieces(&garbage, 1..garbage.len(), &LIMITS);
        assert_eq!(whole, pieces, "seed {seed}");
    }
}

/// What is behind the parser can be overwritten: it is never read again, so a
/// request in many pieces takes linear time.
#[test]
fn finished_arguments_are_not_looked_at_again() {
    let request: Request = (0..1_000).map(|n: u32| n.to_string().into_bytes()).collect();
    let mut session = encode(&request);
    let mut buffer = RequestBuffer::new();
    let mut progress = None;
    for len in 1..session.len() {
        let parsed = buffer.parse(&session[..len], &mut progress, &LIMITS);
        assert!(matches!(parsed, Ok(Parsed::Incomplete { .. })));
        let at = progress.as_ref().expect("it is incomplete").position.at;
        assert!(len - at <= 3 + b"$123\r\n".len(), "more than the current argument is left");
        session[..at].fill(b'?');
    }
    let parsed = buffer.parse(&session, &mut progress, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: session.len() }));
    assert_eq!(buffer.args(&session).len(), 1_000);
}

/// The same for a long line that trickles in.
#[test]
fn a_searched_line_is_not_searched_again() {
    for start in ["", "*", "*1\r\n$"] {
        let mut input = start.as_bytes().to_vec();
        input.resize(start.len() + 500, b'x');
        let mut progress = None;
        let parsed = RequestBuffer::new().parse(&input, &mut progress, &LIMITS);
        assert!(matches!(parsed, Ok(Parsed::Incomplete { .. })));
        assert_eq!(progress.expect("it is incomplete").position.searched, input.len());
    }
}

#[test]
fn a_huge_request_does_not_keep_its_memory() {
    let mut buffer = RequestBuffer::new();
    let huge = encode(&vec![vec![]; SPANS_KEPT_MAX + 1]);
    let parsed = buffer.parse(&huge, &mut None, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: huge.len() }));
    assert!(buffer.spans.capacity() > SPANS_KEPT_MAX);
    let parsed = buffer.parse(b"PING\r\n", &mut None, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Complete { consumed: 6 }));
    assert!(buffer.spans.capacity() <= SPANS_KEPT_MAX);
}

/// An announced count costs nothing: memory grows with the arguments that came.
#[test]
fn announced_arguments_reserve_nothing() {
    let mut progress = None;
    let parsed = RequestBuffer::new().parse(b"*1048576\r\n$1\r\na\r\n", &mut progress, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Incomplete { needed: 1 }));
    assert!(progress.expect("it is incomplete").memory_bytes() < 200);
}
