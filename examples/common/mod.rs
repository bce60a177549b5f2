//! What the small examples share: a server, clients that start at once, and a
//! claim that is checked.

use std::error::Error;
use std::sync::Barrier;
use std::thread;

use redis::{Client, Connection};
use tollgate::server::Handle;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The server whose address is the first argument, or one of our own.
pub(crate) struct Server {
    client: Client,
    _own: Option<Handle>,
}

impl Server {
    pub(crate) fn from_args() -> Result<Server> {
        let (address, own) = match std::env::args().nth(1) {
            Some(option) if option.starts_with('-') => {
                println!("[HOST:PORT]  a server to use; without it, one is started here");
                std::process::exit(i32::from(option != "--help"));
            }
            Some(address) => (address, None),
            None => {
                let server = tollgate::Server::builder().port(0).start()?;
                (server.addr().to_string(), Some(server))
            }
        };
        Ok(Server { client: Client::open(format!("redis://{address}/"))?, _own: own })
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        Ok(self.client.get_connection()?)
    }

    /// Lets so many clients, numbered from 0, run in the same moment; answers
    /// what each came to.
    pub(crate) fn at_once<T: Send>(
        &self,
        clients: usize,
        run: impl Fn(usize, &mut Connection) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let start = Barrier::new(clients);
        let client = |number| {
            // One that cannot connect still has to come to the start, since the
            // others wait for everyone.
            let connection = self.connect();
            start.wait();
            run(number, &mut connection?)
        };
        thread::scope(|scope| {
            let started: Vec<_> =
                (0..clients).map(|number| scope.spawn(move || client(number))).collect();
            started.into_iter().map(|it| it.join().expect("a client does not panic")).collect()
        })
    }
}

/// Says what holds; if it does not, the example ends with 1.
pub(crate) fn claim(holds: bool, what: &str) -> Result<()> {
    if !holds {
        return Err(format!("it does not hold that {what}").into());
    }
    println!("So {what}.");
    Ok(())
}
