//! LATENCY: spikes that were noticed, and how long commands take.

use std::fmt::Write;

use super::command::named;
use super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::{
    Command, CommandError, Context, Group, LatencySamples, Outcome, Ran, Spec, TABLE, help,
};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "latency",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "A container for commands that tell what took long.",
    tips: &[],
    subcommands: &[&DOCTOR, &GRAPH, &HELP, &HISTOGRAM, &HISTORY, &LATEST, &RESET],
    ..BASE
};

const BASE: Spec = Spec {
    arity: 2,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    group: Group::Server,
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    since: "2.8.13",
    ..Spec::BASE
};

static DOCTOR: Spec = Spec {
    name: "doctor",
    summary: "Sums the noticed spikes up in words.",
    example: "
> CONFIG SET latency-monitor-threshold 100
OK
> LATENCY DOCTOR
\"No latency spike has been noticed.\\n\"
",
    handler: doctor,
    ..BASE
};

static GRAPH: Spec = Spec {
    name: "graph",
    arity: 3,
    summary: "Draws the latest spikes of an event as bars.",
    syntax: "event",
    example: "
> LATENCY GRAPH command
(error) ERR No samples available for event 'command'
",
    handler: graph,
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> LATENCY HELP
(any)
",
    ..help::spec(Group::Server, "2.8.13")
};

static HISTOGRAM: Spec = Spec {
    name: "histogram",
    arity: -2,
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands",
    summary: "Answers how many runs of each command were below 1, 2, 4 ... microseconds.",
    syntax: "[command ...]",
    example: r#"
> PING
PONG
> LATENCY HISTOGRAM ping
1) "ping"
2) 1) "calls"
   2) (integer) 1
   3) "histogram_usec"
   4) 1) (integer) 1
      2) (integer) 1
"#,
    handler: histogram,
    ..BASE
};

static HISTORY: Spec = Spec {
    name: "history",
    arity: 3,
    summary: "Lists the latest spikes of an event, the time and milliseconds of each.",
    syntax: "event",
    example: "
> LATENCY HISTORY command
(empty array)
",
    handler: history,
    ..BASE
};

static LATEST: Spec = Spec {
    name: "latest",
    summary: "Lists all events with their latest and their worst spike.",
    example: "
> LATENCY LATEST
(empty array)
",
    handler: latest,
    ..BASE
};

static RESET: Spec = Spec {
    name: "reset",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Forgets the spikes of the named events, or of all.",
    syntax: "[event ...]",
    example: "
> LATENCY RESET
(integer) 0
",
    handler: reset,
    ..BASE
};

fn latest(context: &mut Context<'_>, _args: Args<'_>) -> Ran {
    let (reply, events) = (&mut context.reply, &context.server.latency.events);
    reply.array(events.len());
    for (event, samples) in events {
        let &(at_s, time_ms) = samples.samples.back().unwrap_or(&(0, 0));
        reply.array(4);
        reply.bulk(event.as_bytes());
        reply.integer(at_s as i64);
        reply.integer(time_ms as i64);
        reply.integer(samples.max_ms as i64);
    }
    Ok(Outcome::Done)
}

fn history(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let samples = find(context, &args[2]).map(|(_, samples)| samples.samples.clone());
    let samples = samples.unwrap_or_default();
    context.reply.array(samples.len());
    for (at_s, time_ms) in samples {
        context.reply.array(2);
        context.reply.integer(at_s as i64);
        context.reply.integer(time_ms as i64);
    }
    Ok(Outcome::Done)
}

fn reset(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let events = &mut context.server.latency.events;
    let before = events.len();
    if args.len() == 2 {
        events.clear();
    } else {
        let named = |event: &str| args.tail(2).iter().any(|name| name == event.as_bytes());
        events.retain(|event, _| !named(event));
    }
    context.reply.integer((before - events.len()) as i64);
    Ok(Outcome::Done)
}

fn histogram(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut commands: Vec<&Command> = Vec::new();
    let mut add = |command: &'static Command| {
        // A container stands for its subcommands: it is never run itself. One
        // that is named twice is given once.
        for command in std::iter::once(command).chain(TABLE.subcommands(command)) {
            if !commands.iter().any(|added| added.id == command.id) {
                commands.push(command);
            }
        }
    };
    if args.len() == 2 {
        TABLE.top_level().for_each(&mut add);
    } else {
        args.tail(2).iter().filter_map(named).for_each(&mut add);
    }
    let (reply, latencies) = (&mut context.reply, &context.server.latencies);
    reply.map_with(|reply| {
        let mut count = 0;
        for command in commands {
            let Some(histogram) = &latencies[command.id] else { continue };
            reply.bulk(command.full_name().as_bytes());
            reply.map(2);
            reply.bulk(b"calls");
            reply.integer(histogram.total() as i64);
            reply.bulk(b"histogram_usec");
            let pairs = histogram.cumulative_us();
            reply.map(pairs.len());
            for (below_us, calls) in pairs {
                reply.integer(below_us as i64);
                reply.integer(calls as i64);
            }
            count += 1;
        }
        count
    });
    Ok(Outcome::Done)
}

fn doctor(context: &mut Context<'_>, _args: Args<'_>) -> Ran {
    let events = &context.server.latency.events;
    let mut text = String::new();
    if context.config.latency_monitor_threshold == 0 {
        text.push_str(
            "Latency is not monitored. CONFIG SET latency-monitor-threshold <milliseconds> \
             begins it.\n",
        );
    }
    if events.is_empty() && text.is_empty() {
        text.push_str("No latency spike has been noticed.\n");
    }
    for (event, LatencySamples { samples, max_ms }) in events {
        let sum: u64 = samples.iter().map(|(_, time_ms)| time_ms).sum();
        let average = sum / (samples.len() as u64).max(1);
        writeln!(
            text,
            "{event}: {} spikes, {average} ms on average, {max_ms} ms at worst.",
            samples.len()
        )
        .expect("a String takes everything");
    }
    if !events.is_empty() {
        text.push_str("SLOWLOG GET tells which commands were slow.\n");
    }
    context.reply.verbatim(text.as_bytes(), "txt");
    Ok(Outcome::Done)
}

fn graph(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let Some((event, samples)) = find(context, &args[2]) else {
        let mut text = b"ERR No samples available for event '".to_vec();
        text.extend_from_slice(&args[2]);
        text.push(b'\'');
        return Err(CommandError::owned(text));
    };
    let text = draw(event, samples, context.now.unix_s());
    context.reply.verbatim(text.as_bytes(), "txt");
    Ok(Outcome::Done)
}

fn find<'a>(context: &'a Context<'_>, event: &[u8]) -> Option<(&'static str, &'a LatencySamples)> {
    let mut events = context.server.latency.events.iter();
    events.find(|(name, _)| name.as_bytes() == event).map(|(name, samples)| (*name, samples))
}

/// Length of the longest bar, in characters.
const BAR_MAX: u64 = 60;

fn draw(event: &str, LatencySamples { samples, max_ms }: &LatencySamples, now_s: u64) -> String {
    let times = || samples.iter().map(|(_, time_ms)| *time_ms);
    let (high, low) = (times().max().unwrap_or(0), times().min().unwrap_or(0));
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {max_ms} ms)\n");
    for (at_s, time_ms) in samples {
        let ago_s = now_s.saturating_sub(*at_s);
        let bar = "#".repeat((time_ms.saturating_mul(BAR_MAX) / high.max(1)).max(1) as usize);
        writeln!(text, "{ago_s:>8} s ago {time_ms:>8} ms {bar}")
            .expect("a String takes everything");
    }
    text
}
