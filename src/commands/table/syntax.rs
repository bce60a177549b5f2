//! The notation that [`Spec::syntax`](super::Spec::syntax) is written in, read
//! into the tree of arguments that COMMAND DOCS gives.
//!
//! ```text
//! sequence    = item { " " item }
//! item        = choice | "[" sequence [ " ..." ] "]"
//! choice      = unit { "|" unit } [ "|[" rest of the sequence ]
//! unit        = TOKEN | TOKEN " " value | TOKEN " " choice | value
//! ```
//!
//! Words in capitals are tokens, others values. A bracket that ends with `...`
//! and repeats what stands before it says that this may come several times.

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Kind {
    /// A name of a key.
    Key,
    /// Any bytes.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A floating point number.
    Double,
    /// A glob.
    Pattern,
    /// A moment in Unix time.
    UnixTime,
    /// Only a token.
    PureToken,
    /// One of the parts.
    OneOf,
    /// All of the parts, in order.
    Block,
}

impl Kind {
    /// As COMMAND DOCS calls it.
    pub(in crate::commands) const fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Text => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }
}

/// One argument, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Argument {
    pub(in crate::commands) name: String,
    pub(in crate::commands) kind: Kind,
    /// The word that stands before it, or that it is.
    pub(in crate::commands) token: Option<String>,
    pub(in crate::commands) is_optional: bool,
    pub(in crate::commands) is_multiple: bool,
    pub(in crate::commands) parts: Vec<Argument>,
}

/// Reads a command's notation. What does not follow the notation is read as
/// far as it goes; a test over the table holds it to the rules.
pub(in crate::commands) fn parse(text: &str) -> Vec<Argument> {
    let mut reader = Reader { rest: text };
    let arguments = reader.sequence();
    debug_assert!(reader.rest.is_empty(), "not in the notation: {text:?}");
    arguments
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Items up to the closing bracket, to `...` or to the end.
    fn sequence(&mut self) -> Vec<Argument> {
        let mut items: Vec<Argument> = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(']') || self.rest.starts_with("...") {
                return items;
            }
            if self.take("[") {
                let inner = self.sequence();
                let repeats = self.take("...");
                self.rest = self.rest.trim_start();
                self.take("]");
                push_bracket(&mut items, inner, repeats);
                continue;
            }
            match self.choice() {
                Some(argument) => items.push(argument),
                None => return items,
            }
        }
    }

    fn choice(&mut self) -> Option<Argument> {
        let mut units = vec![self.unit()?];
        while self.take("|") {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('[') {
                // All that follows is the last alternative.
                units.push(together(self.sequence()));
                break;
            }
            units.push(self.unit()?);
        }
        Some(one_of(units))
    }

    fn unit(&mut self) -> Option<Argument> {
        let word = self.word()?;
        if !is_token(word) {
            return Some(value(word, None));
        }
        if !self.rest.starts_with(' ') {
            return Some(pure_token(word));
        }
        let next = first_word(&self.rest[1..]);
        let behind_next = &self.rest[1 + next.len()..];
        if is_value(next) {
            self.rest = behind_next;
            let mut values = vec![value(next, Some(word))];
            // Values that are alternatives share the token before the first.
            while let Some(rest) = self.rest.strip_prefix('|')
                && is_value(first_word(rest))
            {
                let word = first_word(rest);
                self.rest = &rest[word.len()..];
                values.push(value(word, None));
            }
            return Some(under_token(word, values));
        }
        // Likewise tokens: `TYPE NORMAL|MASTER`, `FILTERBY MODULE name|...`.
        let is_choice = is_token(next) && {
            let mut ahead = Reader { rest: &self.rest[1..] };
            ahead.unit().is_some() && ahead.rest.starts_with('|')
        };
        if is_choice {
            self.rest = &self.rest[1..];
            let choice = self.choice()?;
            return Some(under_token(word, choice.parts));
        }
        Some(pure_token(word))
    }

    fn word(&mut self) -> Option<&'a str> {
        let word = first_word(self.rest);
        self.rest = &self.rest[word.len()..];
        (!word.is_empty()).then_some(word)
    }

    fn take(&mut self, mark: &str) -> bool {
        let rest = if mark == "..." { self.rest.trim_start() } else { self.rest };
        match rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn first_word(text: &str) -> &str {
    let end = text.find([' ', '|', '[', ']']).unwrap_or(text.len());
    &text[..end]
}

fn is_token(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && !word.contains(|c: char| c.is_ascii_lowercase())
}

fn is_value(word: &str) -> bool {
    !word.is_empty() && word != "..." && !is_token(word)
}

fn push_bracket(items: &mut Vec<Argument>, mut inner: Vec<Argument>, repeats: bool) {
    if inner.is_empty() {
        return;
    }
    if repeats {
        let names = |arguments: &[Argument]| -> Vec<String> {
            arguments.iter().map(|argument| argument.name.clone()).collect()
        };
        let before = items.len().checked_sub(inner.len());
        if let Some(start) = before.filter(|&start| names(&items[start..]) == names(&inner)) {
            let repeated: Vec<Argument> = items.drain(start..).collect();
            items.push(Argument { is_multiple: true, ..together(repeated) });
            return;
        }
    }
    // A lone choice in brackets is itself what is optional.
    let mut argument = if inner.len() == 1 { inner.remove(0) } else { together(inner) };
    argument.is_optional = true;
    argument.is_multiple |= repeats;
    items.push(argument);
}

/// One argument as it is, several as a block.
fn together(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 {
        return arguments.remove(0);
    }
    group(joined(&arguments), Kind::Block, None, arguments)
}

fn one_of(mut units: Vec<Argument>) -> Argument {
    if units.len() == 1 {
        return units.remove(0);
    }
    let tokens = || units.iter().filter_map(|unit| unit.token.as_deref());
    // The names that Redis gives to the groups that many commands share.
    let name = if tokens().any(|token| matches!(token, "EX" | "PX" | "EXAT" | "PXAT")) {
        "expiration".to_owned()
    } else if tokens().any(|token| matches!(token, "NX" | "XX" | "IFEQ")) {
        "condition".to_owned()
    } else {
        joined(&units)
    };
    group(name, Kind::OneOf, None, units)
}

fn under_token(token: &str, mut alternatives: Vec<Argument>) -> Argument {
    if alternatives.len() == 1 {
        return alternatives.remove(0);
    }
    for alternative in &mut alternatives {
        if alternative.token.as_deref() == Some(token) {
            alternative.token = None;
        }
    }
    group(token.to_ascii_lowercase(), Kind::OneOf, Some(token.to_owned()), alternatives)
}

fn joined(arguments: &[Argument]) -> String {
    let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    names.join("_")
}

fn group(name: String, kind: Kind, token: Option<String>, parts: Vec<Argument>) -> Argument {
    Argument { name, kind, token, is_optional: false, is_multiple: false, parts }
}

fn pure_token(word: &str) -> Argument {
    group(word.to_ascii_lowercase(), Kind::PureToken, Some(word.to_owned()), Vec::new())
}

fn value(name: &str, token: Option<&str>) -> Argument {
    let kind = match token {
        Some(token) if token.contains("FLOAT") => Kind::Double,
        _ => kind_of(name),
    };
    group(name.to_owned(), kind, token.map(str::to_owned), Vec::new())
}

/// What a value is, by its name: names are chosen so that this is enough.
fn kind_of(name: &str) -> Kind {
    match name {
        "key" | "newkey" | "source" | "destination" => Kind::Key,
        "pattern" => Kind::Pattern,
        _ if name.starts_with("unix-time") => Kind::UnixTime,
        "seconds" | "milliseconds" | "count" | "increment" | "decrement" | "offset" | "start"
        | "end" | "index" | "index1" | "index2" | "db" | "destination-db" | "numkeys"
        | "percent" | "timeout" | "cursor" | "client-id" | "numreplicas" | "protover"
        | "maxage" => Kind::Integer,
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line: `name:kind`, the token before it, `?` for
    /// optional, `*` for multiple, parts in parentheses.
    fn shown(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let token = argument.token.as_ref().map_or(String::new(), |token| format!("{token}="));
            let parts = match argument.parts.as_slice() {
                [] => String::new(),
                parts => format!("({})", shown(parts)),
            };
            let optional = if argument.is_optional { "?" } else { "" };
            let multiple = if argument.is_multiple { "*" } else { "" };
            let (name, kind) = (&argument.name, argument.kind.name());
            format!("{token}{name}:{kind}{optional}{multiple}{parts}")
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(&parse(text)), expected, "{text}");
    }

    #[test]
    fn values_have_the_type_of_their_name() {
        check("", "");
        check("key seconds value", "key:key seconds:integer value:string");
        check("key unix-time-seconds", "key:key unix-time-seconds:unix-time");
        check("source newkey pattern", "source:key newkey:key pattern:pattern");
    }

    #[test]
    fn brackets_are_optional_and_repetitions_multiple() {
        check("[message]", "message:string?");
        check("key [key ...]", "key:key*");
        check("[section ...]", "section:string?*");
        check(
            "numkeys key value [key value ...] [REPLACE]",
            "numkeys:integer key_value:block*(key:key value:string) REPLACE=replace:pure-token?",
        );
        check("[LIMIT offset count]", "offset_count:block?(LIMIT=offset:integer count:integer)");
        check("[ID client-id [client-id ...]]", "ID=client-id:integer?*");
    }

    #[test]
    fn bars_are_choices() {
        check("ON|OFF", "on_off:oneof(ON=on:pure-token OFF=off:pure-token)");
        check(
            "key [NX|XX] [EX seconds|KEEPTTL]",
            "key:key condition:oneof?(NX=nx:pure-token XX=xx:pure-token) \
             expiration:oneof?(EX=seconds:integer KEEPTTL=keepttl:pure-token)",
        );
        check(
            "[BYINT increment|BYFLOAT increment]",
            "increment_increment:oneof?(BYINT=increment:integer BYFLOAT=increment:double)",
        );
        check(
            "[FILTERBY MODULE module-name|PATTERN pattern]",
            "FILTERBY=filterby:oneof?(MODULE=module-name:string PATTERN=pattern:pattern)",
        );
        check(
            "[TYPE NORMAL|PUBSUB]",
            "TYPE=type:oneof?(NORMAL=normal:pure-token PUBSUB=pubsub:pure-token)",
        );
        check(
            "ip:port|[ID client-id] [SKIPME yes]",
            "ip:port_client-id_yes:oneof(ip:port:string \
             client-id_yes:block(ID=client-id:integer? SKIPME=yes:string?))",
        );
        check("[TYPE normal|pubsub]", "TYPE=type:oneof?(normal:string pubsub:string)");
    }
}
