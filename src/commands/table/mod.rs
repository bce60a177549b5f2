//! All commands, by name.

mod list;
mod spec;
pub(super) mod syntax;

use crate::protocol::Args;
pub(super) use list::ALL;
pub use spec::{FindKeys, Group, KeySpec, Spec, flags};

/// A command as the table knows it: its spec, and a small number that indexes
/// per-command statistics.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Position in the table, subcommands included.
    pub id: usize,
    /// What it is.
    pub spec: &'static Spec,
    /// The container, if this is a subcommand.
    pub parent: Option<&'static Spec>,
}

impl Command {
    /// Whether it, or the container that it belongs to, has any of these
    /// [`flags`].
    pub fn has_with_parent(&self, flags: u32) -> bool {
        self.spec.has(flags) || self.parent.is_some_and(|parent| parent.has(flags))
    }

    /// The name as COMMAND and INFO print it: `get`, `client|id`.
    pub fn full_name(&self) -> String {
        match self.parent {
            Some(parent) => format!("{}|{}", parent.name, self.spec.name),
            None => self.spec.name.to_owned(),
        }
    }
}

/// Why a request names no command that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such command.
    UnknownCommand,
    /// The container exists, the subcommand does not.
    UnknownSubcommand,
}

/// The longest name of a command or subcommand, in bytes: what fits the
/// packed form that look-ups compare.
const NAME_BYTES_MAX: usize = 16;

/// Slots of the open-addressed index; a power of two, several times the number
/// of commands, so that most look-ups end at the first slot.
const SLOTS: usize = 1024;

/// Finds commands by name, ignoring case, in constant time.
#[derive(Debug)]
pub struct Table {
    commands: Vec<Command>,
    /// For each command the ids of its subcommands, in the spec's order.
    subcommands: Vec<Vec<usize>>,
    slots: Vec<(Packed, u16)>,
}

const FREE: u16 = u16::MAX;

/// A name as look-ups compare it: its first eight bytes and its last.
type Packed = (u64, u64);

impl Table {
    /// Builds the index over `specs`, subcommands included.
    ///
    /// # Panics
    /// If a name is longer than 16 bytes or appears twice: both are faults of
    /// the table itself, which `tests/table.rs` walks.
    pub fn new(specs: &[&'static Spec]) -> Table {
        let mut table = Table {
            commands: Vec::new(),
            subcommands: Vec::new(),
            slots: vec![((0, 0), FREE); SLOTS],
        };
        for spec in specs {
            let id = table.push(spec, None);
            table.index(spec.name, id);
            for sub in spec.subcommands {
                let sub = table.push(sub, Some(spec));
                table.subcommands[id].push(sub);
            }
        }
        table
    }

    /// The command that a request asks for, its subcommand resolved.
    #[inline]
    pub fn resolve(&self, args: Args<'_>) -> Result<&Command, LookupError> {
        let command = self.find(&args[0]).ok_or(LookupError::UnknownCommand)?;
        if command.spec.subcommands.is_empty() || args.len() < 2 {
            return Ok(command);
        }
        self.subcommand(command, &args[1]).ok_or(LookupError::UnknownSubcommand)
    }

    /// The command of this name, in any case; not a subcommand.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Command> {
        let packed = pack(name)?;
        let mut slot = slot_of(packed);
        loop {
            let (found, id) = self.slots[slot];
            if id == FREE {
                return None;
            }
            if found == packed {
                // A zero byte looks like padding.
                let command = &self.commands[id as usize];
                return (command.spec.name.len() == name.len()).then_some(command);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The subcommand of this name, in any case.
    pub fn subcommand(&self, container: &Command, name: &[u8]) -> Option<&Command> {
        self.subcommands(container).find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, container: &Command) -> impl Iterator<Item = &Command> {
        self.subcommands[container.id].iter().map(|&id| &self.commands[id])
    }

    /// All commands, subcommands included, each behind its container.
    pub fn all(&self) -> &[Command] {
        &self.commands
    }

    /// The commands without the subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(|command| command.parent.is_none())
    }

    fn push(&mut self, spec: &'static Spec, parent: Option<&'static Spec>) -> usize {
        let id = self.commands.len();
        self.commands.push(Command { id, spec, parent });
        self.subcommands.push(Vec::new());
        id
    }

    fn index(&mut self, name: &'static str, id: usize) {
        assert!(self.find(name.as_bytes()).is_none(), "command {name} is in the table twice");
        assert!(self.commands.len() < SLOTS / 2, "the index must stay sparse");
        let packed = pack(name.as_bytes()).expect("a command's name fits 16 bytes");
        let mut slot = slot_of(packed);
        while self.slots[slot].1 != FREE {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = (packed, u16::try_from(id).expect("far fewer than 65,535 commands"));
    }
}

/// The name in lower case, zero-padded, as two numbers: comparing two names is then
/// two comparisons, and a copy of so few bytes would cost more than the look-up.
/// `None` when it is longer than any command's.
#[inline]
fn pack(name: &[u8]) -> Option<Packed> {
    let len = name.len();
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        // What the last eight bytes have beyond the first.
        return match len {
            8 => Some((lowercase(first), 0)),
            9..=NAME_BYTES_MAX => Some((lowercase(first), lowercase(last >> (8 * (16 - len))))),
            _ => None,
        };
    }
    // What stands in both is the same in both.
    let packed = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u64::from(first) | u64::from(last) << (8 * (len - 4))
    } else {
        let (&first, &last) = (name.first()?, name.last()?);
        let middle = u64::from(name[len / 2]) << (8 * (len / 2));
        u64::from(first) | middle | u64::from(last) << (8 * (len - 1))
    };
    Some((lowercase(packed), 0))
}

/// Eight bytes at once, ASCII capitals made small.
#[inline]
fn lowercase(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Seven bits of a byte and a number added: the eighth bit tells whether it is at
    // least `A`, or beyond `Z`. It was no letter if its own eighth bit was set.
    let low = bytes & !HIGH;
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let beyond_z = low + ONES * (0x7f - b'Z' as u64);
    let capital = (from_a ^ beyond_z) & HIGH & !bytes;
    bytes | capital >> 2
}

#[inline]
fn slot_of((first, last): Packed) -> usize {
    ((first ^ last).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_made_small_as_ascii_says() {
        for byte in 0..=u8::MAX {
            let bytes: [u8; 8] = std::array::from_fn(|at| byte.wrapping_add(at as u8));
            let small = bytes.map(|byte| byte.to_ascii_lowercase());
            assert_eq!(lowercase(u64::from_le_bytes(bytes)), u64::from_le_bytes(small));
        }
    }

    #[test]
    fn a_zero_byte_is_no_padding() {
        let table = Table::new(ALL);
        assert_eq!(table.find(b"gEt").map(|command| command.spec.name), Some("get"));
        for name in [&b"get\0"[..], b"\0get", b"", b"get ", b"getgetgetgetgetget"] {
            assert!(table.find(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_name_is_packed_byte_by_byte() {
        let letters = b"abcdefghijklmnopqr";
        for len in 1..=NAME_BYTES_MAX {
            let mut padded = [0; NAME_BYTES_MAX];
            padded[..len].copy_from_slice(&letters[..len]);
            let [first, last] = [0, 8]
                .map(|at| u64::from_le_bytes(padded[at..at + 8].try_into().expect("eight bytes")));
            assert_eq!(pack(&letters[..len]), Some((first, last)));
        }
        assert_eq!((pack(b""), pack(&letters[..17])), (None, None));
    }
}
