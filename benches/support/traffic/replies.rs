//! Counts replies without keeping them: what arrives is skipped over as it comes,
//! in pieces of any size, and nothing is allocated.

/// What has been counted so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) replies: u64,
    /// Error replies, also those inside an array.
    pub(crate) errors: u64,
    /// The text of the first error, cut off where it is long.
    first_error: Vec<u8>,
}

impl Tally {
    /// The first error reply, for people.
    pub(crate) fn first_error(&self) -> String {
        String::from_utf8_lossy(&self.first_error).trim_end().to_owned()
    }
}

/// A byte that no reply has at this place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) u8);

/// No more than this of an error is kept.
const ERROR_TEXT_MAX: usize = 200;

/// A length or a count has no more digits than this.
const DIGITS_MAX: u32 = 15;

/// Where one connection's replies have been skipped to.
#[derive(Default)]
pub(crate) struct Skipper {
    state: State,
    /// Elements that the reply still needs, itself included: an array needs those in
    /// it, however deep they stand. 0 is between replies.
    elements: u64,
}

#[derive(Default, Clone, Copy)]
enum State {
    /// Before the byte that says what follows.
    #[default]
    Kind,
    /// In a line of text.
    Text,
    /// In an error's line.
    Error,
    /// In a line that is a number, which says how much follows.
    Number { kind: u8, value: u64, digits: u32, is_null: bool },
    /// In the bytes of a bulk string, so many before its end.
    Bulk(u64),
}

impl Skipper {
    /// Skips over `input`, which is what has arrived next.
    pub(crate) fn skip(&mut self, mut input: &[u8], tally: &mut Tally) -> Result<(), Malformed> {
        while let Some(&byte) = input.first() {
            let skipped = match &mut self.state {
                State::Kind => {
                    self.state = state_after(byte)?;
                    // An element of an array has been counted with the array.
                    self.elements = self.elements.max(1);
                    1
                }
                State::Text => match input.iter().position(|byte| *byte == b'\n') {
                    Some(at) => {
                        self.finish_element(tally);
                        at + 1
                    }
                    None => input.len(),
                },
                State::Error => {
                    let end = input.iter().position(|byte| *byte == b'\n');
                    let length = end.map_or(input.len(), |at| at + 1);
                    if tally.errors == 0 {
                        let room = ERROR_TEXT_MAX - tally.first_error.len();
                        tally.first_error.extend_from_slice(&input[..length.min(room)]);
                    }
                    if end.is_some() {
                        tally.errors += 1;
                        self.finish_element(tally);
                    }
                    length
                }
                State::Number { value, digits, is_null, .. } => {
                    match byte {
                        b'0'..=b'9' if *digits < DIGITS_MAX => {
                            *value = *value * 10 + u64::from(byte - b'0');
                            *digits += 1;
                        }
                        // -1 is a null, where it is not a length.
                        b'-' if *digits == 0 => *is_null = true,
                        b'\r' => {}
                        b'\n' => self.finish_number(tally),
                        _ => return Err(Malformed(byte)),
                    }
                    1
                }
                State::Bulk(left) => {
                    let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= length as u64;
                    if *left == 0 {
                        self.finish_element(tally);
                    }
                    length
                }
            };
            input = &input[skipped..];
        }
        Ok(())
    }

    fn finish_number(&mut self, tally: &mut Tally) {
        let State::Number { kind, value, is_null, .. } = self.state else { return };
        if kind == b'!' {
            tally.errors += 1;
        }
        match kind {
            _ if is_null => self.finish_element(tally),
            // With the end of its line.
            b'$' | b'=' | b'!' => self.state = State::Bulk(value + 2),
            b'%' => self.finish_head(2 * value, tally),
            _ => self.finish_head(value, tally),
        }
    }

    /// The head of an array is an element of its own.
    fn finish_head(&mut self, elements: u64, tally: &mut Tally) {
        self.elements = self.elements.saturating_add(elements);
        self.finish_element(tally);
    }

    fn finish_element(&mut self, tally: &mut Tally) {
        self.state = State::Kind;
        self.elements -= 1;
        if self.elements == 0 {
            tally.replies += 1;
        }
    }
}

fn state_after(kind: u8) -> Result<State, Malformed> {
    match kind {
        b'+' | b':' | b',' | b'#' | b'_' | b'(' => Ok(State::Text),
        b'-' => Ok(State::Error),
        b'$' | b'*' | b'=' | b'!' | b'%' | b'~' | b'>' => {
            Ok(State::Number { kind, value: 0, digits: 0, is_null: false })
        }
        other => Err(Malformed(other)),
    }
}
