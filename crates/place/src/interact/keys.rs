//! The keys that are for us and not for the program: detach keys, and `~.` at the start of a line.
//!
//! A first key that may begin such a sequence is held for [`HOLD`] only, which nobody notices; then it is passed
//! on. The rest of the sequence counts all the same for [`ARMED`], so that slow fingers detach too; the program
//! has then had the first key.

use std::time::{Duration, Instant};

/// How long a key is held back.
pub(super) const HOLD: Duration = Duration::from_millis(40);

/// How long the next key of a sequence may take.
pub(super) const ARMED: Duration = Duration::from_secs(1);

/// What the user asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The detach keys.
    Detach,
    /// `~.`
    Leave,
    /// `~^Z`
    Suspend,
    /// `~?`
    Help,
}

/// What `~?` prints; raw mode wants carriage returns.
pub(super) const HELP: &str =
    "\r\n~. leaves, ~^Z suspends, ~~ types one ~, ~? prints this; at the start of a line\r\n";

/// Watches what the user types.
#[derive(Debug)]
pub(super) struct Keys {
    detach: Vec<u8>,
    escape: bool,
    /// The keys that match the beginning of a sequence.
    held: Vec<u8>,
    /// How many of them have been passed on already.
    passed: usize,
    /// Whether they began at the start of a line.
    held_at_line_start: bool,
    line_start: bool,
    report: Report,
    since: Instant,
}

/// What the terminal says by itself, among the keys: where the cursor is, say, which shells ask at every prompt
/// (ECMA-48, 5.4; xterm's ctlseqs). It leaves the start of a line what it is.
#[derive(Clone, Copy, Debug)]
enum Report {
    /// No escape sequence.
    None,
    /// ESC. In all of these: whether it began at the start of a line.
    Escape(bool),
    /// ESC `[`: a control sequence.
    Control(bool),
    /// ESC `]`, `P`, `_` or `^`: a string, which BEL or ESC `\\` ends.
    Text(bool),
    /// ESC in such a string.
    TextEscape(bool),
}

impl Report {
    /// Takes the next key, and says whether the start of a line is behind it.
    fn next(&mut self, key: u8, line_start: bool) -> bool {
        /// Cursor, attributes, status, focus in and out, window, modes.
        const REPORTS: &[u8] = b"RcnIOty";
        let (next, line_start) = match (*self, key) {
            (Report::None, 0x1b) => (Report::Escape(line_start), false),
            (Report::Escape(before), b'[') => (Report::Control(before), false),
            (Report::Escape(before), b']' | b'P' | b'_' | b'^') => (Report::Text(before), false),
            (Report::Control(before), 0x20..=0x3f) => (Report::Control(before), false),
            (Report::Control(before), key) => {
                (Report::None, if REPORTS.contains(&key) { before } else { ends_line(key) })
            }
            (Report::Text(before), 0x07) | (Report::TextEscape(before), b'\\') => {
                (Report::None, before)
            }
            (Report::Text(before) | Report::TextEscape(before), 0x1b) => {
                (Report::TextEscape(before), false)
            }
            (Report::Text(before), _) => (Report::Text(before), false),
            (_, key) => (Report::None, ends_line(key)),
        };
        *self = next;
        line_start
    }
}

fn ends_line(key: u8) -> bool {
    matches!(key, b'\r' | b'\n')
}

enum Match {
    None,
    Beginning,
    Tilde,
    Whole(Action),
}

impl Keys {
    pub(super) fn new(detach: Option<&[u8]>, escape: bool, now: Instant) -> Keys {
        Keys {
            detach: detach.unwrap_or_default().to_vec(),
            escape,
            held: Vec::new(),
            passed: 0,
            held_at_line_start: true,
            line_start: true,
            report: Report::None,
            since: now,
        }
    }

    /// Takes what was typed and appends to `out` what is for the program. On an action the rest of `typed` is
    /// dropped: it was meant for whatever comes after us.
    pub(super) fn feed(&mut self, typed: &[u8], now: Instant, out: &mut Vec<u8>) -> Option<Action> {
        if !self.held.is_empty() && now.duration_since(self.since) > ARMED {
            self.give_up(out);
        }
        // Without a sequence to look for all of it passes at once.
        if self.detach.is_empty() && !self.escape {
            out.extend_from_slice(typed);
            return None;
        }
        typed.iter().find_map(|&key| self.key(key, now, out))
    }

    /// When [`release`](Keys::release) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.passed < self.held.len()).then(|| self.since + HOLD)
    }

    /// Passes on what was held for long enough. The sequence may still go on.
    pub(super) fn release(&mut self, now: Instant, out: &mut Vec<u8>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            out.extend_from_slice(&self.held[self.passed..]);
            self.passed = self.held.len();
        }
    }

    fn key(&mut self, key: u8, now: Instant, out: &mut Vec<u8>) -> Option<Action> {
        if self.held.is_empty() {
            self.held_at_line_start = self.line_start;
        }
        self.held.push(key);
        loop {
            match self.matched() {
                Match::Beginning => {
                    self.since = now;
                    return None;
                }
                Match::Whole(action) => {
                    self.clear();
                    return Some(action);
                }
                Match::Tilde => {
                    // The second one is swallowed: one of them has been or is now passed on.
                    self.held.pop();
                    self.give_up(out);
                    return None;
                }
                Match::None => {
                    self.pass_first(out);
                    if self.held.is_empty() {
                        return None;
                    }
                }
            }
        }
    }

    fn matched(&self) -> Match {
        let held = self.held.as_slice();
        if !self.detach.is_empty() && self.detach.starts_with(held) {
            return match held.len() == self.detach.len() {
                true => Match::Whole(Action::Detach),
                false => Match::Beginning,
            };
        }
        match held {
            _ if !self.escape || !self.held_at_line_start => Match::None,
            b"~" => Match::Beginning,
            b"~." => Match::Whole(Action::Leave),
            b"~\x1a" => Match::Whole(Action::Suspend),
            b"~?" => Match::Whole(Action::Help),
            b"~~" => Match::Tilde,
            _ => Match::None,
        }
    }

    /// The first held key is the program's; what follows may begin another sequence.
    fn pass_first(&mut self, out: &mut Vec<u8>) {
        let key = self.held.remove(0);
        match self.passed {
            0 => out.push(key),
            _ => self.passed -= 1,
        }
        self.line_start = self.report.next(key, self.line_start);
        self.held_at_line_start = self.line_start;
    }

    fn give_up(&mut self, out: &mut Vec<u8>) {
        while !self.held.is_empty() {
            self.pass_first(out);
        }
    }

    fn clear(&mut self) {
        self.held.clear();
        self.passed = 0;
        self.line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys typed one after the other; `|` stands for a pause past HOLD, `_` for one past ARMED.
    #[track_caller]
    fn check(detach: &[u8], typed: &[u8], expected: &[u8], action: Option<Action>) {
        let mut now = Instant::now();
        let mut keys = Keys::new(Some(detach), true, now);
        let (mut out, mut found) = (Vec::new(), None);
        for &key in typed {
            match key {
                b'|' => {
                    now += HOLD;
                    keys.release(now, &mut out);
                    assert_eq!(keys.deadline(), None);
                }
                b'_' => now += ARMED * 2,
                key => found = found.or(keys.feed(&[key], now, &mut out)),
            }
        }
        assert_eq!((out.as_slice(), found), (expected, action));
        // In one piece, pauses left out, at most the holding differs.
        if !typed.iter().any(|key| b"|_".contains(key)) {
            let mut keys = Keys::new(Some(detach), true, now);
            let mut out = Vec::new();
            assert_eq!(keys.feed(typed, now, &mut out), action);
            assert_eq!(out, expected);
        }
    }

    const PQ: &[u8] = b"\x10\x11";

    #[test]
    fn detach_keys() {
        check(PQ, b"ab\x10\x11", b"ab", Some(Action::Detach));
        check(PQ, b"\x10x", b"\x10x", None);
        check(PQ, b"\x10\x10\x11", b"\x10", Some(Action::Detach));
        check(b"aab", b"aaab", b"a", Some(Action::Detach));
        check(b"", b"\x10\x11", b"\x10\x11", None);
    }

    #[test]
    fn a_prefix_key_is_passed_on_soon_and_still_counts_for_a_while() {
        check(PQ, b"\x10", b"", None);
        check(PQ, b"\x10|", b"\x10", None);
        check(PQ, b"\x10|\x11", b"\x10", Some(Action::Detach));
        check(PQ, b"\x10|x", b"\x10x", None);
        check(PQ, b"\x10|_\x11", b"\x10\x11", None);
        check(PQ, b"\x10_\x11", b"\x10\x11", None);
    }

    #[test]
    fn escapes_at_the_start_of_a_line() {
        check(b"", b"~.", b"", Some(Action::Leave));
        check(b"", b"ls\r~.", b"ls\r", Some(Action::Leave));
        check(b"", b"ls ~.", b"ls ~.", None);
        check(b"", b"~/x\n~?", b"~/x\n", Some(Action::Help));
        check(b"", b"~\x1a", b"", Some(Action::Suspend));
        check(b"", b"~|.", b"~", Some(Action::Leave));
    }

    #[test]
    fn what_the_terminal_says_leaves_the_start_of_a_line() {
        let leaves = |typed: &[u8]| {
            let before = &typed[..typed.len() - 2];
            check(b"", typed, before, Some(Action::Leave));
        };
        leaves(b"\r\x1b[24;80R~.");
        leaves(b"\x1b[?1;2c\x1b[I~.");
        leaves(b"\r\x1b]11;rgb:0000/0000/0000\x07~.");
        leaves(b"\r\x1bP1$r0m\x1b\\\x1b[O~.");
        for typed in
            [&b"a\x1b[24;80R~."[..], b"\r\x1b[A~.", b"\r\x1bOP~.", b"\r\x1b~.", b"\r\x1b]~."]
        {
            check(b"", typed, typed, None);
        }
    }

    #[test]
    fn two_tildes_are_one() {
        check(b"", b"~~.", b"~.", None);
        check(b"", b"~|~.", b"~.", None);
        check(b"", b"~~~.", b"~~.", None);
    }

    #[test]
    fn both_at_once() {
        check(b"~q", b"~q", b"", Some(Action::Detach));
        check(b"~q", b"~.", b"", Some(Action::Leave));
        check(b"~q", b"a~q", b"a", Some(Action::Detach));
    }

    #[test]
    fn without_escapes_every_byte_passes() {
        let now = Instant::now();
        let (mut keys, mut out) = (Keys::new(None, false, now), Vec::new());
        assert_eq!(keys.feed(b"~.\r~.", now, &mut out), None);
        assert_eq!(out, b"~.\r~.");
    }
}
