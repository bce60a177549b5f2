//! What a client's command runs with.

use super::Engine;
use crate::clients::{Client, ClientKey, Wake};
use crate::commands::Context;
use crate::keyspace::KnownHash;
use crate::protocol::{OutBuffer, Reply, Version};

/// What a command has to know of its client from the start: a copy, which is right
/// until a command changes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    db: usize,
    version: Version,
    no_touch: bool,
    /// The longest reply, in bytes.
    pub(super) reply_bytes_max: usize,
    /// Replies wait until what they say is durable.
    pub(super) holds_replies: bool,
}

impl Session {
    /// The same for replies that are written behind `bytes` of others' replies.
    #[inline]
    pub(super) fn behind(self, bytes: usize) -> Session {
        Session { reply_bytes_max: self.reply_bytes_max.saturating_add(bytes), ..self }
    }
}

impl Engine {
    #[inline]
    pub(super) fn session(&self, client: &Client) -> Session {
        Session {
            db: client.db(),
            version: client.version,
            no_touch: client.no_touch,
            reply_bytes_max: self.clients.output_limit(client).hard_bytes_max(),
            holds_replies: self.holds_replies(),
        }
    }

    /// The context of a client's command, of which the hash of a key may be known.
    #[inline(always)]
    pub(super) fn context<'a>(
        &'a mut self,
        key: ClientKey,
        session: Session,
        known: Option<KnownHash<'a>>,
        wake: Wake,
        out: &'a mut OutBuffer,
    ) -> Context<'a> {
        self.keyspace.no_touch = session.no_touch;
        Context {
            now: self.now,
            db: self.keyspace.db(session.db).with_known(known),
            reply: Reply::over(out, session.version).with_limit(session.reply_bytes_max),
            clients: &mut self.clients,
            me: key,
            config: &mut self.config,
            server: &mut self.server,
            wake,
            in_transaction: false,
        }
    }
}
