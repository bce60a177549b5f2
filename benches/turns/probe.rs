//! A second client that keeps asking PING: what it waits longer than usual, the
//! server was busy with something else.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between an answer and the next request.
const PAUSE: Duration = Duration::from_micros(200);

/// Longer than any stall; it only turns a hang into an error.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer: when its request was sent, and how long it took.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
}

/// The client, at work in a thread of its own.
pub(crate) struct Probe {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Vec<Answer>>>>,
}

impl Probe {
    pub(crate) fn start(address: SocketAddr) -> io::Result<Probe> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stops = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stops);
        let thread = thread::spawn(move || {
            let mut answers = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let sent = Instant::now();
                stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
                stream.read_exact(&mut [0; 7])?;
                answers.push(Answer { sent, took: sent.elapsed() });
                thread::sleep(PAUSE);
            }
            Ok(answers)
        });
        Ok(Probe { stops, thread: Some(thread) })
    }

    /// All answers, in the order in which they came.
    pub(crate) fn stop(mut self) -> io::Result<Vec<Answer>> {
        self.stops.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here only");
        thread.join().expect("it does not panic")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}
