//! Where tollgate differs from Redis: what the oracle test and the comparison of
//! the command tables allow, and what was decided otherwise. The README shows
//! all three lists.

use super::compare::{Departure, Treatment};

/// Two servers get a command at slightly different times, and a busy machine
/// may stop one of them between two commands.
const CLOCK_TOLERANCE_MS: i64 = 10_000;

/// Everything in which the replies may differ, and everything that is not
/// compared, each with its reason. The README shows the same list.
pub(crate) const DEPARTURES: &[Departure] = &[
    Departure {
        subjects: &["TTL", "EXPIRETIME"],
        treatment: Treatment::Within(CLOCK_TOLERANCE_MS / 1000),
        reason: "A relative TTL counts from the moment at which each server got the command.",
    },
    Departure {
        subjects: &["PTTL", "PEXPIRETIME"],
        treatment: Treatment::Within(CLOCK_TOLERANCE_MS),
        reason: "A relative TTL counts from the moment at which each server got the command.",
    },
    Departure {
        subjects: &["OBJECT IDLETIME"],
        treatment: Treatment::Within(CLOCK_TOLERANCE_MS / 1000),
        reason: "It counts seconds of each server's own clock.",
    },
    Departure {
        subjects: &["TIME"],
        treatment: Treatment::Shape,
        reason: "The clocks are read one after the other.",
    },
    Departure {
        subjects: &["KEYS", "PUBSUB CHANNELS"],
        treatment: Treatment::Unordered,
        reason: "The order is that of a hash table and promised by neither server.",
    },
    Departure {
        subjects: &["SCAN"],
        treatment: Treatment::ScanKeys,
        reason: "Cursors and order are each server's own; a scan to its end is compared as a set. \
                 tollgate returns every key exactly once, Redis may repeat one.",
    },
    Departure {
        subjects: &["CONFIG GET"],
        treatment: Treatment::UnorderedPairs,
        reason: "With several patterns the options come in the order of each server's own table.",
    },
    Departure {
        subjects: &["HELLO"],
        treatment: Treatment::Hello,
        reason: "The version and the number of the connection are each server's own.",
    },
    Departure {
        subjects: &["CLIENT ID"],
        treatment: Treatment::Shape,
        reason: "Connections are numbered by each server.",
    },
    Departure {
        subjects: &["CLIENT INFO", "CLIENT LIST"],
        treatment: Treatment::ClientFields,
        reason: "Addresses, ages, descriptors and buffer sizes differ; every field of Redis is \
                 there, and those about the state of the client are equal.",
    },
    Departure {
        subjects: &[
            "CLIENT HELP",
            "COMMAND HELP",
            "CONFIG HELP",
            "LATENCY HELP",
            "MEMORY HELP",
            "OBJECT HELP",
            "PUBSUB HELP",
            "SLOWLOG HELP",
        ],
        treatment: Treatment::HelpText,
        reason: "tollgate describes its own subcommands in its own words.",
    },
    Departure {
        subjects: &["SLOWLOG GET"],
        treatment: Treatment::SlowLogEntries,
        reason: "Numbers, times, durations and addresses are each server's own.",
    },
    Departure {
        subjects: &["MEMORY USAGE", "OBJECT REFCOUNT"],
        treatment: Treatment::Shape,
        reason: "They describe how each server keeps a value in memory.",
    },
    Departure {
        subjects: &["(RESP3 messages)"],
        treatment: Treatment::MessagePlace,
        reason: "A message that a RESP3 client's own command sends to itself stands before or \
                 after the reply: Redis 7.0 does both, later versions write it after. The order \
                 of the messages is compared.",
    },
    Departure {
        subjects: &["(messages for several patterns)"],
        treatment: Treatment::MatchedPatterns,
        reason: "A client with several patterns that match gets the message once for each, in the \
                 order of a hash table.",
    },
    Departure {
        subjects: &["(UNSUBSCRIBE without arguments)"],
        treatment: Treatment::UnsubscribedChannels,
        reason: "It names the channels in the order of a hash table.",
    },
    Departure {
        subjects: &["(keymiss events)"],
        treatment: Treatment::NotGenerated,
        reason: "To a RESP3 client that caused them Redis 7.0 sends these events in the middle of \
                 MGET's reply; tollgate sends messages between replies only.",
    },
    Departure {
        subjects: &["(notify-keyspace-events An)"],
        treatment: Treatment::NotGenerated,
        reason: "Redis 7.0 forgets the n when a later CONFIG SET is refused and rolled back.",
    },
    Departure {
        subjects: &[
            "MONITOR",
            "INFO",
            "DEBUG",
            "MEMORY STATS",
            "MEMORY DOCTOR",
            "LATENCY HISTOGRAM",
        ],
        treatment: Treatment::NotGenerated,
        reason: "Their figures and addresses are each server's own; other tests look at them.",
    },
    Departure {
        subjects: &[
            "DELEX",
            "DELIFEQ",
            "DIGEST",
            "MSETEX",
            "INCREX",
            "DECRIFPOS",
            "GETWITHETAG",
            "GETIFNOTMATCH",
            "SETIFMATCH",
            "SETIFGREATER",
            "DELIFGREATER",
            "CL.THROTTLE",
        ],
        treatment: Treatment::NotGenerated,
        reason: "Redis 7.0 does not know them; nor the options IFEQ, IFNE, IFDEQ, IFDNE, WITHETAG \
                 and JITTER.",
    },
    Departure {
        subjects: &["CLIENT SETINFO", "CLIENT NO-TOUCH"],
        treatment: Treatment::NotGenerated,
        reason: "Redis 7.0 does not know them.",
    },
    Departure {
        subjects: &["SSUBSCRIBE", "SPUBLISH", "PUBSUB SHARDCHANNELS", "PUBSUB SHARDNUMSUB"],
        treatment: Treatment::NotGenerated,
        reason: "tollgate is one node and has no shards.",
    },
    Departure {
        subjects: &["COMMAND COUNT"],
        treatment: Treatment::NotGenerated,
        reason: "tollgate has other commands; what both have is compared by tests/command_table.rs.",
    },
];

/// Where the table of commands differs on purpose: command, field, reason. A
/// departure that no longer differs fails tests/command_table.rs.
pub(crate) const TABLE_DEPARTURES: &[(&str, &str, &str)] = &[
    ("setex", "arity", "JITTER percent may follow."),
    ("psetex", "arity", "JITTER percent may follow."),
    ("client|kill", "tokens", "The types of clients are an argument, not words of the syntax."),
    ("client|list", "tokens", "The types of clients are an argument, not words of the syntax."),
];

/// What differs by decision and where no test compares the two servers: what it
/// is about (words in brackets, anything else is code), and what tollgate does.
pub(crate) const BY_DESIGN: &[(&str, &str)] = &[
    (
        "(The version)",
        "Clients are told Redis 7.4.0, because they decide by it what they send; the \
      words of replies and errors are those of 7.0.",
    ),
    ("WAIT", "No wait is longer than `max-wait-ms`, and a timeout of 0 is that long."),
    (
        "(Snapshots)",
        "SAVE and BGSAVE write RESP commands to `dbfilename`, not an RDB file, and are the only \
      ones to: there are no save points, and SHUTDOWN writes one only with SAVE. SAVE waits while \
      others are served.",
    ),
    (
        "(The journal)",
        "All changes of one turn of the loop are one group, and each record says what a key is, \
         not what was done to it. With \
      `appendfsync always` a failing disk does not end the server. While the journal cannot be \
      written, PING is answered. Messages may tell of what is not durable yet. RDB preambles are \
      not read.",
    ),
    (
        "BGREWRITEAOF",
        "Without a journal it is an error, and so it is while the journal cannot be written, \
         unless a rewrite is what mends that: after its files or their directory have been removed, \
         `CONFIG SET appendonly no` and then `yes` begins it anew. While a snapshot is written, it \
         is scheduled, as in Redis.",
    ),
    (
        "CONFIG SET appendonly",
        "If the files cannot be opened, the error says why. Inside a transaction the answer is OK \
      before they are; then the log says why, and the option is `no` again. Until the first \
      rewrite has ended a restart finds the old journal, and WAITAOF waits.",
    ),
    (
        "WAITAOF",
        "It waits for the changes of all clients, not only of its own. With `appendfsync no` they \
         are synced for it.",
    ),
    ("CONFIG REWRITE", "It is refused: the configuration file is its owner's."),
    (
        "CONFIG SET",
        "`port` and `bind` are fixed at the start, and `save` takes an empty text only.",
    ),
    (
        "COMMAND",
        "Commands are described in tollgate's own words, without the notes and histories of Redis, \
         and in tollgate's own order. Where there is a JITTER or another option of tollgate's own, \
         it is there too.",
    ),
    (
        "DEBUG",
        "There are OBJECT and SLEEP only; SLEEP ends at `max-wait-ms`, and OBJECT shows the \
      address 0x0.",
    ),
    ("maxclients", "The default is 20000, not 10000."),
    (
        "protected-mode",
        "All of 127.0.0.0/8 is this machine, as in its error text, where Redis 7.0 takes 127.0.0.1 \
         alone for it.",
    ),
    (
        "client-output-buffer-limit",
        "A client that does not read its replies is paused at \
      `output-pause-bytes` of them, and normal clients have a limit of 1 GiB, where Redis has none.",
    ),
    (
        "(Pipelines)",
        "A client runs `turn-requests-max` requests at most before the others have \
      their turn.",
    ),
    (
        "(Limits)",
        "A MULTI, the keys watched, the prefixes tracked and the subscriptions of one client are \
      bounded, by `transaction-max-bytes`, `client-watch-max`, `client-subscriptions-max`, \
      `client-prefixes-max` and `client-names-max-bytes`; a client's name by 64 KiB.",
    ),
    (
        "CLIENT TRACKING",
        "Prefixes that overlap are one error and change nothing, where Redis 7.0 may also answer OK. \
      The null after a flush is that of the protocol of whoever is told. With NOLOOP a client hears \
      of keys that expire while its own command runs. What a client has read is \
      forgotten when it disconnects, not when the key changes. Messages \
      to clients with prefixes do not wait for the turn's end above `tracking-broadcast-max` keys.",
    ),
    (
        "(Deadlines in the past)",
        "A key that is stored with one is gone at once, where Redis 7.0 counts it in DBSIZE until \
      somebody asks for it.",
    ),
    (
        "HELLO",
        "All of it or nothing: an option that is refused leaves the connection as it was, \
      where Redis keeps what stood before it.",
    ),
    (
        "CLIENT PAUSE",
        "A timeout so long that the time of its end is no 64-bit number is an error, \
      where Redis 7.0 overflows.",
    ),
    (
        "CLIENT REPLY",
        "SKIP skips a reply; in Redis 7.0 an empty line that follows uses it up. OFF or SKIP inside \
         EXEC leaves out EXEC's reply, of which Redis 7.0 sends a part. QUIT and a breach of the \
         protocol close the connection with OFF as well, where Redis 7.0 leaves it open and reads \
         it no more.",
    ),
    ("SHUTDOWN ABORT", "It answers that no shutdown is in progress: none can be taken back."),
    ("CLIENT KILL", "There is the filter MAXAGE of Redis 7.4."),
    (
        "CLIENT INFO",
        "Inside EXEC it shows `flags=N` and `multi=-1`: the transaction is over when \
      its commands run.",
    ),
    ("(Messages)", "They come between replies, never inside the reply to EXEC."),
    (
        "LATENCY HISTOGRAM",
        "The limits are exact powers of two of nanoseconds, shown as whole \
      microseconds (131, 262), where Redis rounds them up to its own buckets (132, 264).",
    ),
    (
        "SLOWLOG",
        "Small commands of one kind that a client sends together, such as GET in a pipeline, are \
         timed together, up to sixteen, and of those that come alone one in sixteen is timed, \
         unless it took over 50 us; what is not timed by itself is not in it. With \
         slowlog-log-slower-than below 1000 each is timed.",
    ),
    ("LATENCY DOCTOR", "The texts of this, LATENCY GRAPH and MEMORY DOCTOR are tollgate's own."),
    (
        "used_memory",
        "It is the resident memory of the process, as nothing is known of the \
      allocator.",
    ),
    (
        "(Protocol)",
        "A NUL byte in a line is a byte like any other, a line that is too long is \
      refused even if it arrives all at once, a request has at most `multibulk-max-args` arguments, \
      and one of 4 GiB or more is refused. Before `POST` or `Host:` closes a connection, it may be \
      sent the replies to what came before.",
    ),
    (
        "(Patterns)",
        "A glob may have any number of `*`; later versions of Redis stop at 1000. It \
      takes no more steps than the product of both lengths.",
    ),
    (
        "(The config file)",
        "`include` takes one file and no patterns, `bind` takes addresses and no \
      host names but localhost, and text, passwords included, must be UTF-8.",
    ),
    (
        "(Versions)",
        "They are Garnet's ETags. But one that a key is given is at most 9000000000000000000, so \
      that counting on never overflows, no ETag is negative, RENAME, COPY and MOVE leave them \
      behind (there is no RENAME WITHETAG), and SETIFMATCH and SETIFGREATER also take EXAT, PXAT, \
      PERSIST and JITTER.",
    ),
    (
        "CL.THROTTLE",
        "It is that of redis-cell, but exact: seconds are rounded up from any fraction, where \
      redis-cell drops what is below a millisecond, and a key never expires early. A quantity of 0 \
      writes nothing, a negative one gives back what is there at the most, and what does not fit \
      64 bits, or a negative count or period, is an error.",
    ),
];
