//! The tollgate server program.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_long};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use env_logger::{Builder, Target};
use libmimalloc_sys as mimalloc;
use log::LevelFilter;
use tollgate::config::{Config, Start, read_args};
use tollgate::server::LogLevelSource;

/// The program's allocator; one that embeds the library chooses its own.
///
/// The one of glibc puts small blocks aside when they are freed and joins all of
/// them at the next large request, in one go: after millions of keys have
/// expired, that stops the loop for a second. With jemalloc a key of 16 bytes and a value of
/// 32 take 79 bytes, with this one 69, at the same speed. What this one does later for what is
/// freed now, [`start_purging`] takes from the loop.
///
/// The crate of this name asks for every block with an alignment, and mimalloc
/// answers that with up to so many bytes more, which for a key is one in seven. Here
/// only what needs more than a word's alignment is asked for so.
#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

struct Mimalloc;

/// The alignment that every block has: they are words.
const WORD_ALIGN: usize = align_of::<usize>();

// SAFETY: mimalloc does as the trait demands; it never unwinds, and answers null
// when there is no memory. Each block is freed by what has allocated it.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size is allowed.
        unsafe {
            if layout.align() <= WORD_ALIGN {
                mimalloc::mi_malloc(layout.size()).cast()
            } else {
                mimalloc::mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= WORD_ALIGN {
                mimalloc::mi_zalloc(layout.size()).cast()
            } else {
                mimalloc::mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller gives back what it got from here.
        unsafe { mimalloc::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= WORD_ALIGN {
                mimalloc::mi_realloc(block.cast(), size).cast()
            } else {
                mimalloc::mi_realloc_aligned(block.cast(), size, layout.align()).cast()
            }
        }
    }
}

/// mimalloc's option of that name. The crate does not name it; version 3 has it at
/// the same place as version 2.
const PURGE_DELAY: c_int = 15;

/// Lets a thread of its own give memory back to the system.
///
/// mimalloc only notes what has become free. A second later, whoever frees a page of
/// small blocks next gives all of it back, at 0.1 ms a MiB and in one go: that is a
/// SET that stops the loop for 40 ms after a value of 500 MB has gone, whoever has
/// freed that, and for 30 ms after FLUSHALL of 3 million keys. So that delay is made
/// one of weeks, and this thread does not wait for it.
fn start_purging() {
    // SAFETY: any thread may ask for it at any time.
    let purge = || unsafe { mimalloc::mi_collect(true) };
    match tollgate::server::purge_beside_the_loop(purge) {
        // SAFETY: as above.
        Ok(()) => unsafe { mimalloc::mi_option_set(PURGE_DELAY, c_long::from(i32::MAX)) },
        Err(error) => log::warn!("the loop gives memory back itself: no thread for it: {error}"),
    }
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tollgate: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    let config = match read_args(std::env::args_os()).map_err(|error| error.to_string())? {
        Start::Run(config) => *config,
        Start::Print(text) => {
            // A reader that has seen enough (`--help | head`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return Ok(());
        }
        Start::Check { paths, fix } => return check(&paths, fix),
    };
    change_directory(&config)?;
    let log_level = start_log(&config)?;
    start_purging();
    tollgate::server::run(config, log_level).map_err(|error| error.to_string())
}

/// `tollgate check`: files that are not whole are a failure, unless they were mended. One
/// that cannot be looked through does not keep the others from it.
fn check(paths: &[PathBuf], fix: bool) -> Result<(), String> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(tollgate::server::files_to_check(path).map_err(|why| why.to_string())?);
    }
    let mut bad = Vec::new();
    for file in &files {
        if let Err(why) = check_file(file, fix) {
            bad.push(why);
        }
    }
    match bad.len() {
        0 if files.len() > 1 => {
            let _ = writeln!(std::io::stdout(), "all {} files are whole", files.len());
            Ok(())
        }
        0 => Ok(()),
        _ if files.len() == 1 => Err(bad.remove(0)),
        count => Err(format!("{count} of {} files: {}", files.len(), bad.join("; "))),
    }
}

fn check_file(path: &Path, fix: bool) -> Result<(), String> {
    // Only for somebody who watches.
    let shows_progress = std::io::stderr().is_terminal();
    let checked = tollgate::server::check_file(path, fix, &mut |done, total| {
        if shows_progress {
            let _ = write!(std::io::stderr(), "\r{} %", done * 100 / total.max(1));
        }
    });
    if shows_progress {
        let _ = write!(std::io::stderr(), "\r     \r");
    }
    let checked = checked.map_err(|why| why.to_string())?;
    let _ = writeln!(std::io::stdout(), "{}", checked.text);
    if checked.is_whole { Ok(()) } else { Err(format!("{} is not whole", path.display())) }
}

/// Relative paths of the log and the data are meant from `dir`.
fn change_directory(config: &Config) -> Result<(), String> {
    std::env::set_current_dir(&config.dir)
        .map_err(|why| format!("option 'dir': can't change to '{}': {why}", config.dir))
}

/// Sends the log to standard error, or to `logfile`. RUST_LOG, when given, says
/// how much of it until the end.
fn start_log(config: &Config) -> Result<LogLevelSource, String> {
    let mut builder = Builder::new();
    let rust_log = std::env::var_os("RUST_LOG").is_some_and(|value| !value.is_empty());
    if rust_log {
        builder.parse_default_env();
    } else {
        // The logger lets everything of ours pass: the level is the global one
        // of `log`, which CONFIG SET loglevel can raise as well as lower.
        builder.filter_level(LevelFilter::Trace).filter_module("mio", LevelFilter::Warn);
    }
    if !config.logfile.is_empty() {
        let file = OpenOptions::new().create(true).append(true).open(&config.logfile);
        let file = file
            .map_err(|why| format!("option 'logfile': can't open '{}': {why}", config.logfile))?;
        builder.target(Target::Pipe(Box::new(file)));
    }
    let pid = std::process::id();
    builder.format(move |out, record| {
        let (time, level) = (out.timestamp_millis(), record.level());
        let style = out.default_level_style(level);
        writeln!(out, "{pid} {time} {style}{level}{style:#} {}", record.args())
    });
    builder.init();
    if rust_log {
        return Ok(LogLevelSource::Program);
    }
    log::set_max_level(config.loglevel.filter());
    Ok(LogLevelSource::Config)
}
