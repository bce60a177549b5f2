//! What has happened to keys, on its way to those who want to know.

use crate::clients::{ClientKey, Clients};
use crate::config::{Config, NotifyFlags};
use crate::keyspace::{Change, Keyspace};

/// How many keys are removed after a command that stored one with a deadline in
/// the past. The earliest deadlines go first, so that it is among them; and a
/// client that sends such commands by the thousand while many keys are due does
/// not multiply the turn's slice.
const STORED_DUE_KEYS_MAX: usize = 16;

/// Publishes what has happened to keys since the last call. Once after each
/// command, those inside EXEC included, so that events and other messages come
/// in the order of what caused them. A key that was stored with a deadline in
/// the past is removed first: the next command does not find it. `running` is
/// the client whose command it was, if one has run.
#[inline]
pub(crate) fn deliver(
    keyspace: &mut Keyspace,
    clients: &mut Clients,
    config: &Config,
    running: Option<ClientKey>,
) {
    if keyspace.take_stored_due() {
        keyspace.expire_slice(STORED_DUE_KEYS_MAX);
    }
    if let Some(changes) = keyspace.take_changes() {
        invalidate(clients, &changes, running);
    }
    let classes = config.notify_keyspace_events;
    let Some(notifications) = keyspace.take_notifications() else { return };
    for notification in notifications {
        let db = notification.db;
        if classes.contains(NotifyFlags::KEYSPACE) {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(&notification.key);
            clients.publish(&channel, notification.event.as_bytes());
        }
        if classes.contains(NotifyFlags::KEYEVENT) {
            let channel = format!("__keyevent@{db}__:{}", notification.event);
            clients.publish(channel.as_bytes(), &notification.key);
        }
    }
}

/// Tells those who keep copies of keys which are no longer good. As in Redis it
/// comes before the events of the same change.
#[cold]
fn invalidate(clients: &mut Clients, changes: &[Change], running: Option<ClientKey>) {
    for change in changes {
        match change {
            Change::Key { name, by_command } => clients.invalidate(name, running, *by_command),
            Change::Flush => clients.invalidate_all(running),
        }
    }
}
