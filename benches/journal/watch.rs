//! A server watched for a while by what it says of itself.

use std::time::{Duration, Instant};

use crate::Result;
use crate::servers::{Info, Server};
use crate::support::resp::{self, Reply};
use crate::support::target::Target as _;

/// The turns of tollgate's loop, and what both servers count.
///
/// The longest turn between two looks is known, not each one's length: two that are
/// long between the same two looks are counted as one.
pub(crate) struct Watch {
    begun: Instant,
    pub(crate) time: Duration,
    pub(crate) requests: f64,
    /// How long Redis has stood still to fork; 0 if it has not.
    pub(crate) fork_us: f64,
    pub(crate) turns: Turns,
}

#[derive(Default)]
pub(crate) struct Turns {
    pub(crate) count: f64,
    pub(crate) over_1ms: f64,
    /// Those that had the processor for so long themselves.
    pub(crate) over_1ms_cpu: f64,
    pub(crate) over_2ms: f64,
    pub(crate) over_2ms_cpu: f64,
    pub(crate) longest_us: f64,
    /// The longest one's.
    pub(crate) longest_cpu_us: f64,
    /// Of the longest one between two looks that had the processor longest.
    pub(crate) most_cpu_us: f64,
    /// Of the longest one, for people.
    pub(crate) stages: String,
}

impl Watch {
    pub(crate) fn begin(server: &mut Server) -> Result<Watch> {
        look(server)?;
        Ok(Watch {
            begun: Instant::now(),
            time: Duration::ZERO,
            requests: 0.0,
            fork_us: 0.0,
            turns: Turns::default(),
        })
    }

    /// To be called often.
    pub(crate) fn look(&mut self, server: &mut Server) -> Result<()> {
        let info = look(server)?;
        self.time = self.begun.elapsed();
        self.requests += info.number("total_commands_processed");
        self.fork_us = self.fork_us.max(info.number("latest_fork_usec"));
        if server.is_tollgate() {
            self.turns.note(&info);
        }
        Ok(())
    }

    pub(crate) fn requests_per_s(&self) -> f64 {
        self.requests / self.time.as_secs_f64()
    }
}

impl Turns {
    fn note(&mut self, info: &Info) {
        self.count += info.number("turns");
        self.over_1ms += info.number("turns_over_1ms");
        self.over_1ms_cpu += info.number("turns_over_1ms_cpu");
        let longest_us = info.number("turn_longest_us");
        let work = info.text("turn_longest_work");
        let cpu_us = work.split(',').find_map(|part| part.strip_prefix("cpu_us="));
        let cpu_us = cpu_us.and_then(|us| us.parse().ok()).unwrap_or(f64::NAN);
        self.over_2ms += f64::from(longest_us > 2_000.0);
        self.over_2ms_cpu += f64::from(cpu_us > 2_000.0);
        self.most_cpu_us = self.most_cpu_us.max(cpu_us);
        if longest_us > self.longest_us {
            self.longest_us = longest_us;
            self.longest_cpu_us = cpu_us;
            let stages = info.text("turn_longest_stages_us").split(',');
            let stages: Vec<&str> = stages.filter(|stage| !stage.ends_with("=0")).collect();
            self.stages = format!("{} ({work})", stages.join(" "));
        }
    }
}

/// What the server has counted since the last look. It begins anew at the same moment:
/// both requests are one write.
fn look(server: &mut Server) -> Result<Info> {
    let control = server.control();
    control.send(b"INFO loop stats\r\nCONFIG RESETSTAT\r\n")?;
    let info = resp::decode_one(&control.reply()?);
    let reset = resp::decode_one(&control.reply()?);
    match (info.text(), reset) {
        (Some(text), Reply::Simple(_)) => Ok(Info(String::from_utf8_lossy(text).into_owned())),
        _ => Err(format!("{} does not say how it is", server.name()).into()),
    }
}
