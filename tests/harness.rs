//! What the other tests stand on, tested once: the strict reader of replies, the
//! generator of the oracle test, and its comparison.

mod support;

mod compare {
    use super::support::compare::{Departure, Treatment, attribute, difference};
    use super::support::generator::Command;

    const DEPARTURES: &[Departure] = &[
        Departure { subjects: &["TTL"], treatment: Treatment::Within(2), reason: "" },
        Departure { subjects: &["KEYS"], treatment: Treatment::Unordered, reason: "" },
        Departure { subjects: &["(message)"], treatment: Treatment::MessagePlace, reason: "" },
    ];

    fn replies(raw: &[&str]) -> Vec<Vec<u8>> {
        raw.iter().map(|raw| raw.as_bytes().to_vec()).collect()
    }

    fn differs(commands: &[&[&str]], oracle: &[&str], subject: &[&str]) -> bool {
        let commands: Vec<Command> = commands.iter().map(|args| Command::new(args)).collect();
        difference(DEPARTURES, &commands, &replies(oracle), &replies(subject)).is_some()
    }

    #[test]
    fn only_the_listed_freedom_is_given() {
        assert!(!differs(&[&["TTL", "k"]], &[":100\r\n"], &[":102\r\n"]));
        assert!(differs(&[&["TTL", "k"]], &[":100\r\n"], &[":103\r\n"]));
        assert!(differs(&[&["TTL", "k"]], &[":0\r\n"], &[":-1\r\n"]));
        assert!(differs(&[&["TTL", "k"]], &["-ERR a\r\n"], &["-ERR b\r\n"]));
        assert!(differs(&[&["GET", "k"]], &[":100\r\n"], &[":102\r\n"]));
        let (ab, ba) = ("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
        assert!(!differs(&[&["keys", "*"]], &[ab], &[ba]));
        assert!(differs(&[&["MGET", "k"]], &[ab], &[ba]));
        assert!(differs(&[&["keys", "*"]], &[ab], &["*2\r\n$1\r\na\r\n$1\r\na\r\n"]));
    }

    #[test]
    fn elements_of_exec_are_treated_as_their_commands() {
        let commands: [&[&str]; 4] = [&["MULTI"], &["GET", "k"], &["TTL", "k"], &["EXEC"]];
        let queued = ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n"];
        let with = |exec| [queued[0], queued[1], queued[2], exec];
        let oracle = with("*2\r\n:5\r\n:9\r\n");
        assert!(!differs(&commands, &oracle, &with("*2\r\n:5\r\n:8\r\n")));
        assert!(differs(&commands, &oracle, &with("*2\r\n:6\r\n:9\r\n")));
        assert!(differs(&commands, &oracle, &with("*2\r\n:5\r\n:1\r\n")));
    }

    #[test]
    fn replies_find_their_commands_among_messages_and_subscriptions() {
        let commands: Vec<Command> = [&["SUBSCRIBE", "a", "b"][..], &["UNSUBSCRIBE"], &["PING"]]
            .iter()
            .map(|args| Command::new(args))
            .collect();
        let replies = replies(&[
            "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n",
            "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n",
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n",
            "+PONG\r\n",
        ]);
        let owners = attribute(&commands, &replies.iter().collect::<Vec<_>>());
        assert_eq!(owners, [Some(0), None, Some(0), Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn messages_may_move_but_not_change() {
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
        let other = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\ny\r\n";
        let commands: [&[&str]; 1] = [&["PUBLISH", "a", "x"]];
        assert!(!differs(&commands, &[message, ":1\r\n"], &[":1\r\n", message]));
        assert!(differs(&commands, &[message, ":1\r\n"], &[":1\r\n", other]));
        assert!(differs(&commands, &[message, ":1\r\n"], &[":1\r\n"]));
    }

    #[test]
    fn a_missing_or_an_extra_reply_is_a_difference() {
        let commands: [&[&str]; 2] = [&["PING"], &["PING"]];
        assert!(differs(&commands, &["+PONG\r\n", "+PONG\r\n"], &["+PONG\r\n"]));
        assert!(differs(&commands, &["+PONG\r\n"], &["+PONG\r\n", "+PONG\r\n"]));
    }
}

mod generator {
    use std::collections::HashMap;

    use super::support::generator::sequence;

    /// What issue an oracle test must cover; HELP and the like included by
    /// their container.
    const COVERED: &str = "GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX MGET MSET MSETNX APPEND \
        STRLEN GETRANGE SUBSTR SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT DEL UNLINK EXISTS TYPE \
        TOUCH EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST KEYS SCAN \
        RANDOMKEY RENAME RENAMENX COPY MOVE SWAPDB DBSIZE FLUSHDB FLUSHALL OBJECT MULTI EXEC \
        DISCARD WATCH UNWATCH SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE PUBLISH PUBSUB HELLO \
        AUTH PING ECHO SELECT QUIT RESET CLIENT CONFIG COMMAND TIME SLOWLOG LATENCY MEMORY ROLE \
        WAIT";

    #[test]
    fn every_command_is_generated_often() {
        let mut counts = HashMap::new();
        for seed in 0..100 {
            for step in sequence(seed, 1000) {
                for command in step.commands {
                    *counts.entry(command.name()).or_insert(0) += 1;
                }
            }
        }
        for name in COVERED.split_ascii_whitespace() {
            let count = counts.get(name).copied().unwrap_or(0);
            assert!(count >= 15, "{name} is generated only {count} times in 100,000");
        }
    }

    #[test]
    fn a_seed_gives_one_sequence() {
        let raw = |seed| {
            let steps = sequence(seed, 2000);
            steps.into_iter().flat_map(|step| step.commands).map(|command| command.raw)
        };
        assert!(raw(7).eq(raw(7)));
        assert!(!raw(7).eq(raw(8)));
    }
}

mod resp {
    use super::support::resp::{Reply, decode_one, format_cli, measure, quoted};

    const EVERY_TYPE: &[u8] =
        b"*12\r\n+OK\r\n-ERR no\r\n:-12\r\n$2\r\n\r\n\r\n$-1\r\n_\r\n,1.5\r\n#t\r\n\
        (-123\r\n=7\r\ntxt:a\nb\r\n%1\r\n$1\r\nk\r\n~1\r\n:1\r\n>2\r\n+x\r\n*-1\r\n";

    #[test]
    fn every_type_is_read_and_no_prefix_is_taken_for_the_whole() {
        for end in 0..EVERY_TYPE.len() {
            assert_eq!(measure(&EVERY_TYPE[..end]), Ok(None), "prefix of {end} bytes");
        }
        let mut longer = EVERY_TYPE.to_vec();
        longer.extend_from_slice(b":1\r\n");
        assert_eq!(measure(&longer), Ok(Some(EVERY_TYPE.len())));

        let reply = decode_one(EVERY_TYPE);
        let elements = reply.elements().expect("an array");
        assert_eq!(elements[3], Reply::Bulk(b"\r\n".to_vec()));
        assert_eq!(elements[9], Reply::Verbatim { format: *b"txt", text: b"a\nb".to_vec() });
        assert_eq!(elements[11], Reply::Push(vec![Reply::Simple(b"x".to_vec()), Reply::NullArray]));
        let described = decode_one(b"|1\r\n+ttl\r\n:3\r\n:7\r\n");
        assert!(matches!(described, Reply::Attribute { reply, .. } if *reply == Reply::Integer(7)));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for raw in [
            &b":01\r\n"[..],
            b":+1\r\n",
            b":\r\n",
            b":-0\r\n",
            b":9223372036854775808\r\n",
            b"$03\r\nabc\r\n",
            b"$3\r\nabcd\r\n",
            b"$-2\r\n",
            b"*-2\r\n",
            b"%-1\r\n",
            b"+OK\n",
            b"+O\rK\r\n",
            b"#true\r\n",
            b",abc\r\n",
            b"_x\r\n",
            b"(12a\r\n",
            b"=2\r\nab\r\n",
            b"?1\r\n",
            b"*1\r\n?\r\n",
        ] {
            assert!(measure(raw).is_err(), "{}", quoted(raw));
        }
    }

    #[test]
    fn replies_look_as_in_redis_cli() {
        let long = format!("*10\r\n{}*2\r\n:1\r\n*1\r\n+x\r\n", ":7\r\n".repeat(9));
        for (raw, shown) in [
            ("+OK\r\n", "OK\n"),
            ("-ERR no\r\n", "(error) ERR no\n"),
            (":-1\r\n", "(integer) -1\n"),
            ("$4\r\na\"\t\u{7}\r\n", "\"a\\\"\\t\\a\"\n"),
            ("$3\r\n\u{20ac}\r\n", "\"\\xe2\\x82\\xac\"\n"),
            ("$-1\r\n", "(nil)\n"),
            ("*-1\r\n", "(nil)\n"),
            ("*0\r\n", "(empty array)\n"),
            ("%0\r\n", "(empty hash)\n"),
            ("~0\r\n", "(empty set)\n"),
            (",1.5\r\n", "(double) 1.5\n"),
            ("#t\r\n", "(true)\n"),
            ("=7\r\ntxt:a b\r\n", "a b\n"),
            (
                "*2\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n",
                "1) \"a\"\n2) 1) (integer) 1\n   2) (integer) 2\n",
            ),
            ("~1\r\n+a\r\n", "1~ a\n"),
            ("%1\r\n+a\r\n*1\r\n:1\r\n", "1# a => 1) (integer) 1\n"),
            (
                "%2\r\n$1\r\na\r\n*0\r\n$1\r\nb\r\n*2\r\n:1\r\n%1\r\n+k\r\n:2\r\n",
                "1# \"a\" => (empty array)\n2# \"b\" => \n   1) (integer) 1\n   2) 1# k => (integer) 2\n",
            ),
        ] {
            assert_eq!(format_cli(&decode_one(raw.as_bytes())), shown, "{raw:?}");
        }
        let shown = format_cli(&decode_one(long.as_bytes()));
        assert!(shown.starts_with(" 1) (integer) 7\n 2) "), "{shown}");
        assert!(shown.ends_with("\n10) 1) (integer) 1\n    2) 1) x\n"), "{shown}");
    }
}
