//! Options: one table behind argv, the config file, CONFIG GET, CONFIG SET and
//! `--help`.
//!
//! [`Config`] is a plain struct with one public field for each option, so that
//! hot code reads `config.maxclients` and nothing else. [`OPTIONS`] has a row
//! for each of those fields: name, bounds, unit, summary, whether it may change
//! while the server runs. To add an option is to add one row in `table.rs`.
//!
//! ```
//! use tollgate::config::Config;
//!
//! let mut config = Config::default();
//! config.set("proto-max-bulk-len", "2mb")?;
//! assert_eq!(config.proto_max_bulk_len, 2 * 1024 * 1024);
//!
//! let refused = config.set("port", "70000").unwrap_err();
//! assert!(refused.to_string().contains("between 0 and 65535"));
//! # Ok::<(), tollgate::config::OptionError>(())
//! ```

mod args;
mod error;
mod file;
mod kind;
mod list;
mod table;
mod value;

pub use args::{Start, read_args};
pub use error::{LiveError, OptionError, Remedy};
pub use kind::ValueError;
pub use table::{Change, Config, OPTIONS, OptionSpec};
pub use value::{
    Allowed, BindAddress, FsyncPolicy, LogLevel, NotifyFlags, OutputBufferLimit,
    OutputBufferLimits, Password,
};

impl Config {
    /// Sets one option before the server starts. The name may be in any case.
    ///
    /// # Errors
    /// An unknown option or a value that it does not take; nothing has changed
    /// then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let option = OptionSpec::find(name).ok_or_else(|| OptionError::Unknown {
            name: name.to_owned(),
            closest: OptionSpec::closest(name).map(|option| option.name),
        })?;
        (option.parse)(self, value).map_err(|why| OptionError::Refused {
            option,
            value: value.to_owned(),
            why,
        })
    }

    /// Sets options while the server runs: CONFIG SET. All of them or none.
    ///
    /// # Errors
    /// The first pair whose option is unknown, fixed or repeated; otherwise the
    /// first whose value is refused. That is Redis's order.
    pub fn set_live(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), LiveError> {
        let mut options: Vec<&OptionSpec> = Vec::new();
        for (written, _) in pairs {
            let name = String::from_utf8_lossy(written).into_owned();
            let Some(option) = OptionSpec::find(&name) else {
                return Err(LiveError::Unknown { name });
            };
            match option.change {
                Change::Immutable => return Err(LiveError::Immutable { name }),
                Change::Protected => return Err(LiveError::Protected { name }),
                Change::Live => {}
            }
            // Without repetitions the list is no longer than the table.
            if options.iter().any(|earlier| earlier.name == option.name) {
                return Err(LiveError::Duplicate { name });
            }
            options.push(option);
        }
        let mut changed = self.clone();
        for (option, (_, value)) in options.into_iter().zip(pairs) {
            let refused = match std::str::from_utf8(value) {
                Ok(value) => (option.parse)(&mut changed, value).err(),
                // No number and no name holds a replacement character, so such
                // options give their own refusal; free text takes it, and is
                // refused here because it would be stored altered.
                Err(_) => (option.parse)(&mut changed, "\u{fffd}")
                    .err()
                    .or(Some(ValueError::Text("argument must be UTF-8 text"))),
            };
            if let Some(why) = refused {
                return Err(LiveError::Refused { name: option.name, why });
            }
        }
        *self = changed;
        Ok(())
    }

    /// The value of the option called `name`, in any case, as CONFIG GET shows
    /// it.
    pub fn value(&self, name: &str) -> Option<String> {
        OptionSpec::find(name).map(|option| (option.print)(self))
    }

    /// Every option with its value as CONFIG GET shows it, the password
    /// included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        OPTIONS.iter().map(|option| (option.name, (option.print)(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_live(config: &mut Config, words: &str) -> Result<(), String> {
        let words: Vec<&[u8]> = words.split('|').map(str::as_bytes).collect();
        let pairs: Vec<(&[u8], &[u8])> = words.chunks(2).map(|p| (p[0], p[1])).collect();
        config.set_live(&pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_as_promised() {
        let config = Config::default();
        for (name, value) in [
            ("port", "6379"),
            ("bind", "127.0.0.1"),
            ("tcp-backlog", "511"),
            ("maxclients", "20000"),
            ("requirepass", ""),
            ("save", ""),
            ("appendonly", "no"),
            ("loglevel", "notice"),
            ("proto-max-bulk-len", "536870912"),
            ("latency-tracking-info-percentiles", "50 99 99.9"),
            ("notify-keyspace-events", ""),
            (
                "client-output-buffer-limit",
                "normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
        ] {
            assert_eq!(config.value(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(config.iter().count(), OPTIONS.len());
        assert_eq!(config.value("nosuch"), None);
    }

    /// Each reply is what Redis 7.0.15 gives to the same CONFIG SET.
    #[test]
    fn set_live_refuses_as_redis_does() {
        let failed = |name: &str, why: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
        };
        let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'xyz'";
        let immutable = "can't set immutable config";
        let not_integer = "argument couldn't be parsed into an integer";
        for (words, reply) in [
            ("xyz|1", unknown.to_owned()),
            ("timeout|abc|xyz|2", unknown.to_owned()),
            ("daemonize|yes", failed("daemonize", immutable)),
            ("DataBases|2", failed("DataBases", immutable)),
            ("databases|2|xyz|1", failed("databases", immutable)),
            ("timeout|x|databases|2", failed("databases", immutable)),
            ("timeout|1|databases|2|timeout|x", failed("databases", immutable)),
            ("dir|/", failed("dir", "can't set protected config")),
            ("timeout|1|TIMEOUT|2", failed("TIMEOUT", "duplicate parameter")),
            ("timeout|abc|timeout|1", failed("timeout", "duplicate parameter")),
            ("Timeout|x", failed("timeout", not_integer)),
            ("timeout|", failed("timeout", not_integer)),
            ("requirepass|foo|timeout|abc", failed("timeout", not_integer)),
            (
                "timeout|-1",
                failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
            ),
            (
                "maxclients|0",
                failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
            ),
            (
                "slowlog-log-slower-than|-2",
                failed(
                    "slowlog-log-slower-than",
                    "argument must be between -1 and 9223372036854775807 inclusive",
                ),
            ),
            (
                "proto-max-bulk-len|99999999999999999999",
                failed(
                    "proto-max-bulk-len",
                    "argument must be between 1048576 and 9223372036854775807 inclusive",
                ),
            ),
            (
                "proto-max-bulk-len|abc",
                failed("proto-max-bulk-len", "argument must be a memory value"),
            ),
            (
                "latency-tracking|maybe",
                failed("latency-tracking", "argument must be 'yes' or 'no'"),
            ),
            (
                "notify-keyspace-events|Kq",
                failed(
                    "notify-keyspace-events",
                    "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
                ),
            ),
            (
                "appendfsync|sometimes",
                failed(
                    "appendfsync",
                    "argument(s) must be one of the following: everysec, always, no",
                ),
            ),
            (
                "maxmemory-policy|foo",
                failed(
                    "maxmemory-policy",
                    "argument(s) must be one of the following: volatile-lru, volatile-lfu, \
                     volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, \
                     noeviction",
                ),
            ),
        ] {
            let mut config = Config::default();
            assert_eq!(set_live(&mut config, words), Err(reply), "{words}");
            assert_eq!(config, Config::default(), "{words}");
        }
    }

    #[test]
    fn set_live_sets_all_or_nothing() {
        let mut config = Config::default();
        set_live(&mut config, "timeout|5|LogLevel|DEBUG|hz|0|bind-|1").unwrap_err();
        assert_eq!(config, Config::default());
        set_live(&mut config, "timeout|5|LogLevel|DEBUG|hz|0").unwrap();
        assert_eq!((config.timeout, config.loglevel, config.hz), (5, LogLevel::Debug, 1));
        set_live(&mut config, "timeout|6|maxclients|abc").unwrap_err();
        assert_eq!(config.timeout, 5);
        set_live(&mut config, "maxmemory|0|maxmemory-policy|NoEviction|save|").unwrap();
        assert!(set_live(&mut config, "save|900 1").unwrap_err().contains("SAVE and BGSAVE only"));
        assert!(set_live(&mut config, "maxmemory|1gb").unwrap_err().contains("evicted"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let mut config = Config::default();
        for name in ["timeout", "latency-tracking", "requirepass", "notify-keyspace-events"] {
            assert!(config.set_live(&[(name.as_bytes(), b"\xff")]).is_err(), "{name}");
        }
        let error = config.set_live(&[(b"a\xffb", b"1")]).unwrap_err();
        assert!(matches!(error, LiveError::Unknown { .. }));
    }

    #[test]
    fn what_is_not_there_yet_is_said() {
        let mut config = Config::default();
        for (name, accepted, refused, why) in [
            ("save", "", "3600 1", "SAVE and BGSAVE only"),
            ("aof-use-rdb-preamble", "no", "yes", "of RESP commands"),
            ("no-appendfsync-on-rewrite", "no", "yes", "nothing waits for it"),
            ("maxmemory", "0", "1gb", "memory limit is not there yet"),
            ("daemonize", "no", "yes", "foreground"),
            ("supervised", "no", "systemd", "supervisor"),
        ] {
            config.set(name, accepted).unwrap();
            let error = config.set(name, refused).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(refused), "{error}");
            assert!(error.contains(why) && error.contains("allowed: only"), "{error}");
        }
    }

    #[test]
    fn errors_never_show_the_password() {
        let mut config = Config::default();
        config.set("requirepass", "open sesame").unwrap();
        assert!(!format!("{config:?}").contains("sesame"));
        let refused = OptionError::Refused {
            option: OptionSpec::find("requirepass").unwrap(),
            value: "open sesame".to_owned(),
            why: ValueError::Text("too short"),
        };
        assert!(!refused.to_string().contains("sesame"));
    }
}
