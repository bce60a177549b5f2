//! What a client does with its own connection: databases, transactions, WATCH.

use super::args::{integer, parse};
use super::expect::{Expect, bulk, error, int, ok, simple};
use super::{Answer, Client, Model, Ran, Transaction};
use crate::support::resp::Reply;

impl Model {
    /// `None`: it is no command of a session.
    pub(super) fn session_command(
        &mut self,
        me: usize,
        name: &str,
        request: &[String],
    ) -> Option<Answer> {
        Some(match name {
            "PING" => Ok(match request.get(1) {
                Some(text) => Expect::Is(bulk(text)),
                None => simple("PONG"),
            }),
            "ECHO" => Ok(Expect::Is(bulk(&request[1]))),
            "HELLO" => {
                self.state(me).resp3 = request[1] == "3";
                Ok(Expect::Any)
            }
            "SELECT" => self.database(&request[1]).map(|db| {
                self.state(me).db = db;
                ok()
            }),
            "CLIENT" => self.client(me, request),
            "MULTI" => self.multi(me),
            "DISCARD" => match self.state(me).transaction.take() {
                None => Err(error("ERR DISCARD without MULTI")),
                Some(_) => {
                    self.state(me).unwatch();
                    Ok(ok())
                }
            },
            "WATCH" => self.watch(me, &request[1..]),
            "UNWATCH" => {
                self.state(me).unwatch();
                Ok(ok())
            }
            _ => return None,
        })
    }

    /// The number of a database that there is.
    pub(super) fn database(&self, text: &str) -> Result<usize, Expect> {
        let number = integer(text)?;
        match usize::try_from(number) {
            Ok(db) if db < self.dbs.len() => Ok(db),
            _ => Err(error("ERR DB index is out of range")),
        }
    }

    fn client(&mut self, me: usize, request: &[String]) -> Answer {
        match request[1].to_uppercase().as_str() {
            "ID" => Ok(int(self.clients[&me].id)),
            "KILL" => {
                let id = parse(&request[3]);
                let found = self.clients.iter_mut().find(|(_, client)| Some(client.id) == id);
                match found {
                    Some((&other, client)) if other != me && !client.is_closing => {
                        client.is_closing = true;
                        // What has waited stays in its queue until somebody looks.
                        client.pending.clear();
                        Ok(int(1))
                    }
                    _ => Ok(int(0)),
                }
            }
            "UNBLOCK" => {
                let with_error = request.get(3).is_some_and(|word| word == "ERROR");
                let id = parse(&request[2]);
                let found = self.clients.iter().find(|(_, client)| Some(client.id) == id);
                let Some((&client, _)) = found else { return Ok(int(0)) };
                Ok(int(i64::from(self.unblock(client, with_error))))
            }
            other => panic!("the model does not know CLIENT {other}"),
        }
    }

    fn multi(&mut self, me: usize) -> Answer {
        if self.clients[&me].transaction.is_some() {
            return Err(error("ERR MULTI calls can not be nested"));
        }
        self.state(me).transaction = Some(Transaction::default());
        Ok(ok())
    }

    fn watch(&mut self, me: usize, keys: &[String]) -> Answer {
        let client = self.state(me);
        if client.transaction.is_some() {
            return Err(error("ERR WATCH inside MULTI is not allowed"));
        }
        for key in keys {
            client.watched.push((client.db, key.clone()));
        }
        Ok(ok())
    }

    pub(super) fn exec(&mut self, me: usize) -> Expect {
        let Some(transaction) = self.state(me).transaction.take() else {
            return error("ERR EXEC without MULTI");
        };
        let changed = self.state(me).watch_failed;
        self.state(me).unwatch();
        if transaction.refused {
            return error("EXECABORT Transaction discarded because of previous errors.");
        }
        if changed {
            return Expect::Is(Reply::NullArray);
        }
        let mut replies = Vec::new();
        for request in &transaction.queued {
            match self.run(me, request, true) {
                Ran::Reply(reply) => replies.push(reply),
                Ran::Wait(_) => panic!("nothing waits inside EXEC"),
            }
        }
        Expect::Each(replies)
    }

    /// Databases were exchanged or emptied: keys that were there have changed.
    pub(super) fn watched_databases_change(&mut self, databases: &[usize]) {
        for client in self.clients.values_mut() {
            let touched = client.watched.iter().any(|(db, key)| {
                databases.contains(db)
                    && databases.iter().any(|other| self.dbs[*other].keys.contains_key(key))
            });
            client.watch_failed |= touched;
        }
    }
}

impl Client {
    fn unwatch(&mut self) {
        self.watched.clear();
        self.watch_failed = false;
    }
}
