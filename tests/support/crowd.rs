//! Many clients in one process, each known by its number: whoever is answered is
//! heard, in the order in which the answers come.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use super::resp::{self, Reply};
use super::target::encode;

/// Long enough for any machine; it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Open files that the two processes need apart from the clients' sockets.
const OTHER_FILES: u64 = 100;

/// As many clients as the open-file limit allows, up to `wanted`.
pub(crate) fn fitting(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("the soft limit may be raised to the hard one");
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    let fitting = usize::try_from(most).unwrap_or(wanted).min(wanted);
    if fitting < wanted {
        println!("only {fitting} clients instead of {wanted}: the open-file limit is {most}");
    }
    fitting
}

/// The clients.
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    members: Vec<Option<Member>>,
    /// Answers that nobody has asked for yet.
    heard: VecDeque<(usize, Reply)>,
}

struct Member {
    stream: mio::net::TcpStream,
    input: Vec<u8>,
}

impl Crowd {
    pub(crate) fn connect(address: SocketAddr, size: usize) -> Crowd {
        let poll = Poll::new().expect("the system has epoll");
        let member = |number: usize| {
            let stream = TcpStream::connect(address)
                .unwrap_or_else(|error| panic!("client {number} cannot connect: {error}"));
            stream.set_nodelay(true).expect("it is connected");
            stream.set_nonblocking(true).expect("it is connected");
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(number), Interest::READABLE)
                .expect("it is registered once");
            Some(Member { stream, input: Vec::new() })
        };
        let members = (0..size).map(member).collect();
        Crowd { poll, events: Events::with_capacity(1_024), members, heard: VecDeque::new() }
    }

    /// Sends one request.
    pub(crate) fn send(&mut self, who: usize, args: &[&str]) {
        self.send_all(who, &[args]);
    }

    /// Sends several requests at once.
    pub(crate) fn send_all(&mut self, who: usize, requests: &[&[&str]]) {
        let raw: Vec<u8> = requests.iter().flat_map(|args| encode(args)).collect();
        let member = self.members[who].as_mut().expect("it has not been killed");
        let sent = member.stream.write(&raw).expect("the server takes input");
        // Nobody here sends more than a socket holds.
        assert_eq!(sent, raw.len());
    }

    /// Ends a connection the way a process that is killed with unread input does:
    /// with a reset. What it was answered and nobody has asked for is forgotten.
    pub(crate) fn kill(&mut self, who: usize) {
        let member = self.members[who].take().expect("it has not been killed");
        SockRef::from(&member.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(member);
        self.heard.retain(|(other, _)| *other != who);
    }

    /// The next answer, whoever gets it.
    pub(crate) fn next(&mut self) -> (usize, Reply) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            assert!(Instant::now() < end, "nobody is answered");
            self.listen(PATIENCE);
        }
    }

    /// The next answer to one of them.
    pub(crate) fn next_of(&mut self, who: usize) -> Reply {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard.iter().position(|(other, _)| *other == who) {
                return self.heard.remove(at).expect("it was found there").1;
            }
            assert!(Instant::now() < end, "client {who} is not answered");
            self.listen(PATIENCE);
        }
    }

    /// Fails if there is an answer that nobody has asked for.
    pub(crate) fn assert_silence(&mut self) {
        self.listen(Duration::ZERO);
        assert_eq!(self.heard, [], "somebody else is answered");
    }

    fn listen(&mut self, timeout: Duration) {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            result => result.expect("the system has epoll"),
        }
        for event in &self.events {
            let Token(who) = event.token();
            // Killed after the event.
            let Some(member) = &mut self.members[who] else { continue };
            let mut chunk = [0; 4_096];
            loop {
                match member.stream.read(&mut chunk) {
                    Ok(0) => panic!("the server has closed client {who}"),
                    Ok(length) => member.input.extend_from_slice(&chunk[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("client {who}: {error}"),
                }
            }
            while let Some((reply, length)) =
                resp::decode(&member.input).expect("the server follows the protocol")
            {
                member.input.drain(..length);
                self.heard.push_back((who, reply));
            }
        }
    }
}
