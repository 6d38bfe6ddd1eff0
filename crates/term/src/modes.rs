//! What a remote program has set in the terminal.

/// Watches what is printed on a terminal and remembers what programs have set there and not reset: the alternate
/// screen, a hidden cursor, mouse reports, bracketed paste, colours. When the connection is lost under such a
/// program, [`undo`](ScreenModes::undo) is what it can no longer say itself.
///
/// ```
/// let mut modes = thither_term::ScreenModes::default();
/// modes.observe(b"\x1b[?1049h\x1b[2J");
/// assert_eq!(modes.undo(), b"\x1b[?1049l");
/// assert_eq!(modes.undo(), b"");
/// ```
///
/// The sequences and defaults are those of "XTerm Control Sequences" (`ctlseqs`, by Moy, Gildea and Dickey), in
/// their 7-bit form; UTF-8 terminals don't know the 8-bit form. Its state has a fixed size whatever is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScreenModes {
    parser: Parser,
    /// Bit n: `MODES[n]` is not as it is by default.
    changed: u32,
    /// Which of 47, 1047 and 1049 switched to the alternate screen.
    alternate: Option<u16>,
    /// Application keypad: of `ESC =` (DECKPAM) and `ESC >` (DECKPNM), the first came last.
    keypad: bool,
    /// Bit n: the attribute numbered n by [`attribute`] is set.
    attributes: u32,
}

/// The DEC private modes (DECSET, DECRST) that are followed, and the final byte that puts each back.
const MODES: [(u16, u8); 17] = [
    (1, b'l'),    // application cursor keys
    (5, b'l'),    // reverse video
    (6, b'l'),    // origin mode
    (7, b'h'),    // auto-wrap
    (9, b'l'),    // mouse: X10
    (25, b'h'),   // cursor shown
    (1000, b'l'), // mouse: press and release
    (1001, b'l'), // mouse: highlight
    (1002, b'l'), // mouse: drag
    (1003, b'l'), // mouse: motion
    (1004, b'l'), // focus
    (1005, b'l'), // mouse: UTF-8 coordinates
    (1006, b'l'), // mouse: SGR coordinates
    (1015, b'l'), // mouse: urxvt coordinates
    (1016, b'l'), // mouse: SGR coordinates in pixels
    (2004, b'l'), // bracketed paste
    (2026, b'l'), // synchronized output
];

/// What DECSTR (`CSI ! p`) resets of these, besides keypad and attributes.
const SOFT_RESET: [u16; 4] = [1, 6, 7, 25];

/// How many parameters of a sequence are kept: as many as xterm has room for. Further ones are ignored.
const PARAMETERS: usize = 30;

const ESC: u8 = 0x1b;

/// Where in a control sequence the output is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Parser {
    #[default]
    Text,
    /// After `ESC`.
    Escape,
    /// After `ESC` and an intermediate byte: the next final byte means something else, which isn't followed.
    EscapeIntermediate,
    /// After `CSI`, `ESC [`.
    Csi(Box<Csi>),
}

/// A control sequence, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Csi {
    /// The private marker (`<`, `=`, `>`, `?`) and the intermediate byte; 0 where there is none.
    marker: u8,
    intermediate: u8,
    parameters: [Parameter; PARAMETERS],
    /// The index of the parameter that the next digit belongs to; `PARAMETERS` when there is no room.
    last: usize,
}

/// A parameter, as in `38`, and the first of its sub-parameters, as in `4:3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameter {
    value: u16,
    sub: Option<u16>,
    /// Whether the next digits are of a further sub-parameter.
    over: bool,
}

impl ScreenModes {
    /// Takes notice of what is printed. Sequences may be split anywhere between calls.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        loop {
            // Text is by far the most of it: only an ESC can end it.
            if self.parser == Parser::Text {
                let Some(at) = bytes.iter().position(|&byte| byte == ESC) else { return };
                bytes = &bytes[at..];
            }
            let [byte, rest @ ..] = bytes else { return };
            self.step(*byte);
            bytes = rest;
        }
    }

    /// What puts the terminal back as it was: for each thing that is still set one sequence, to be written to the
    /// terminal as it is. Nothing, when nothing is set. Afterwards nothing is.
    #[must_use = "it has to be written to the terminal"]
    pub fn undo(&mut self) -> Vec<u8> {
        let ScreenModes { changed, alternate, keypad, attributes, .. } = std::mem::take(self);
        let mut undo = String::new();
        // The first: 1049 also brings back the attributes that were saved with the cursor.
        if let Some(mode) = alternate {
            undo += &format!("\x1b[?{mode}l");
        }
        if attributes != 0 {
            undo += "\x1b[0m";
        }
        if keypad {
            undo += "\x1b>";
        }
        for (_, (mode, back)) in (0..).zip(MODES).filter(|(bit, _)| changed & (1 << bit) != 0) {
            undo += &format!("\x1b[?{mode}{}", char::from(back));
        }
        undo.into_bytes()
    }

    fn step(&mut self, byte: u8) {
        match (&mut self.parser, byte) {
            (parser, ESC) => *parser = Parser::Escape,
            // CAN and SUB end a sequence; other control characters act within it, and DEL is nothing.
            (parser, 0x18 | 0x1a) => *parser = Parser::Text,
            (_, 0..0x20 | 0x7f) => {}
            (Parser::Text, _) => {}
            (parser @ Parser::Escape, b'[') => *parser = Parser::Csi(Box::default()),
            (parser @ Parser::Escape, 0x20..=0x2f) => *parser = Parser::EscapeIntermediate,
            (Parser::Escape, _) => match byte {
                b'c' => *self = ScreenModes::default(),
                _ => {
                    match byte {
                        b'=' => self.keypad = true,
                        b'>' => self.keypad = false,
                        _ => {}
                    }
                    self.parser = Parser::Text;
                }
            },
            (Parser::EscapeIntermediate, 0x20..=0x2f) => {}
            (parser @ Parser::EscapeIntermediate, _) => *parser = Parser::Text,
            (Parser::Csi(csi), 0x20..=0x3f) => csi.add(byte),
            (Parser::Csi(_), _) => {
                if let Parser::Csi(csi) = std::mem::take(&mut self.parser) {
                    self.obey(&csi, byte);
                }
            }
        }
    }

    fn obey(&mut self, csi: &Csi, last: u8) {
        let parameters = &csi.parameters[..PARAMETERS.min(csi.last + 1)];
        match (csi.marker, csi.intermediate, last) {
            (b'?', 0, b'h' | b'l') => {
                for parameter in parameters {
                    self.set_mode(parameter.value, last);
                }
            }
            (0, b'!', b'p') => {
                for mode in SOFT_RESET {
                    self.changed &= !bit_of(mode);
                }
                (self.keypad, self.attributes) = (false, 0);
            }
            (0, 0, b'm') => self.set_attributes(parameters),
            _ => {}
        }
    }

    /// `last` is `h` for set and `l` for reset.
    fn set_mode(&mut self, mode: u16, last: u8) {
        match mode {
            47 | 1047 | 1049 => self.alternate = (last == b'h').then_some(mode),
            // DECNKM, the same as `ESC =` and `ESC >`.
            66 => self.keypad = last == b'h',
            _ => match MODES.iter().find(|(known, _)| *known == mode) {
                Some((_, back)) if *back == last => self.changed &= !bit_of(mode),
                Some(_) => self.changed |= bit_of(mode),
                None => {}
            },
        }
    }

    fn set_attributes(&mut self, parameters: &[Parameter]) {
        let mut parameters = parameters.iter();
        while let Some(&Parameter { value, sub, .. }) = parameters.next() {
            match (value, sub) {
                (0, None) => self.attributes = 0,
                // No underline, in its form with a sub-parameter.
                (4, Some(0)) => self.attributes &= !attribute(24).1,
                _ => {
                    let (set, bits) = attribute(value);
                    match set {
                        true => self.attributes |= bits,
                        false => self.attributes &= !bits,
                    }
                }
            }
            // An indexed colour has one more parameter, a direct one has three: none of them is an attribute.
            if matches!((value, sub), (38 | 48 | 58, None)) {
                match parameters.next().map(|kind| kind.value) {
                    Some(5) => drop(parameters.next()),
                    Some(2) => drop(parameters.nth(2)),
                    _ => {}
                }
            }
        }
    }
}

impl Csi {
    fn add(&mut self, byte: u8) {
        match byte {
            b'<'..=b'?' => self.marker = byte,
            b';' => self.last = PARAMETERS.min(self.last + 1),
            0x20..=0x2f => self.intermediate = byte,
            _ => {
                if let Some(parameter) = self.parameters.get_mut(self.last) {
                    parameter.add(byte);
                }
            }
        }
    }
}

impl Parameter {
    /// A digit or a colon. Numbers end at 65535, which means nothing.
    fn add(&mut self, byte: u8) {
        let number = match &mut self.sub {
            _ if self.over => return,
            None if byte == b':' => return self.sub = Some(0),
            Some(_) if byte == b':' => return self.over = true,
            None => &mut self.value,
            Some(sub) => sub,
        };
        *number = number.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
    }
}

/// The bit of a mode in `changed`.
fn bit_of(mode: u16) -> u32 {
    MODES.iter().position(|(known, _)| *known == mode).map_or(0, |bit| 1 << bit)
}

/// The attributes that a parameter of SGR (`CSI Pm m`, ECMA-48 8.3.117 and `ctlseqs`) sets (true) or resets.
fn attribute(value: u16) -> (bool, u32) {
    const BOLD: u32 = 1;
    const FAINT: u32 = 1 << 1;
    const ITALIC: u32 = 1 << 2;
    const UNDERLINED: u32 = 1 << 3;
    const BLINKING: u32 = 1 << 4;
    const INVERSE: u32 = 1 << 5;
    const HIDDEN: u32 = 1 << 6;
    const CROSSED_OUT: u32 = 1 << 7;
    const FONT: u32 = 1 << 8;
    const FOREGROUND: u32 = 1 << 9;
    const BACKGROUND: u32 = 1 << 10;
    const FRAMED: u32 = 1 << 11;
    const OVERLINED: u32 = 1 << 12;
    const UNDERLINE_COLOUR: u32 = 1 << 13;
    const RAISED: u32 = 1 << 14;
    match value {
        1 => (true, BOLD),
        2 => (true, FAINT),
        22 => (false, BOLD | FAINT),
        3 | 20 => (true, ITALIC),
        23 => (false, ITALIC),
        4 | 21 => (true, UNDERLINED),
        24 => (false, UNDERLINED),
        5 | 6 => (true, BLINKING),
        25 => (false, BLINKING),
        7 => (true, INVERSE),
        27 => (false, INVERSE),
        8 => (true, HIDDEN),
        28 => (false, HIDDEN),
        9 => (true, CROSSED_OUT),
        29 => (false, CROSSED_OUT),
        11..=19 => (true, FONT),
        10 => (false, FONT),
        30..=38 | 90..=97 => (true, FOREGROUND),
        39 => (false, FOREGROUND),
        40..=48 | 100..=107 => (true, BACKGROUND),
        49 => (false, BACKGROUND),
        51 | 52 => (true, FRAMED),
        54 => (false, FRAMED),
        53 => (true, OVERLINED),
        55 => (false, OVERLINED),
        58 => (true, UNDERLINE_COLOUR),
        59 => (false, UNDERLINE_COLOUR),
        73 | 74 => (true, RAISED),
        75 => (false, RAISED),
        _ => (false, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(printed: &str, undo: &str) {
        let mut modes = ScreenModes::default();
        modes.observe(printed.as_bytes());
        assert_eq!(String::from_utf8(modes.undo()).unwrap(), undo, "after {printed:?}");
        assert_eq!(modes, ScreenModes::default());
    }

    #[test]
    fn text_sets_nothing() {
        check("", "");
        check("hello\r\n[?25l ?1049h", "");
        check("\x1b[2J\x1b[1;1H\x1b[K\x1b]0;title\x07\x1b(0\x1b)B", "");
    }

    #[test]
    fn private_modes() {
        check("\x1b[?1h", "\x1b[?1l");
        check("\x1b[?1h\x1b[?1l", "");
        check("\x1b[?25l", "\x1b[?25h");
        check("\x1b[?25h", "");
        check("\x1b[?7l", "\x1b[?7h");
        check("\x1b[?1000;1006;2004h", "\x1b[?1000l\x1b[?1006l\x1b[?2004l");
        check("\x1b[?1000;1006;2004h\x1b[?1006l", "\x1b[?1000l\x1b[?2004l");
        check("\x1b[?12h\x1b[?h\x1b[?65536h\x1b[?99999999999h", "");
        // Not private, a query, another marker.
        check("\x1b[25l\x1b[?25$p\x1b[>25l", "");
    }

    #[test]
    fn the_alternate_screen_is_left_as_it_was_entered() {
        check("\x1b[?47h", "\x1b[?47l");
        check("\x1b[?1047h", "\x1b[?1047l");
        check("\x1b[?1049h", "\x1b[?1049l");
        check("\x1b[?1049h\x1b[?47l", "");
        check("\x1b[?25;1l\x1b[31m\x1b[?1049h", "\x1b[?1049l\x1b[0m\x1b[?25h");
    }

    #[test]
    fn keypad_and_resets() {
        check("\x1b=", "\x1b>");
        check("\x1b=\x1b>", "");
        check("\x1b[?66h", "\x1b>");
        check("\x1b[?1049;25h\x1b=\x1b[1mx\x1bc", "");
        check("\x1b[?1049;1;2004h\x1b[?25l\x1b=\x1b[1m\x1b[!p", "\x1b[?1049l\x1b[?2004l");
        // `ESC ( c` names a character set, and doesn't reset.
        check("\x1b=\x1b(c", "\x1b>");
    }

    #[test]
    fn attributes() {
        check("\x1b[1m", "\x1b[0m");
        check("\x1b[1;31mred\x1b[m", "");
        check("\x1b[1m\x1b[0m", "");
        check("\x1b[0;1m", "\x1b[0m");
        check("\x1b[1;3;4m\x1b[22;23;24m", "");
        check("\x1b[1;3m\x1b[22m", "\x1b[0m");
        // The 0, 1 and 39 belong to a colour.
        check("\x1b[38;5;0m", "\x1b[0m");
        check("\x1b[38;2;0;1;39m\x1b[39m", "");
        check("\x1b[48;5;1m\x1b[49m", "");
        check("\x1b[38:2::1:2:3m\x1b[39m", "");
        check("\x1b[4:3m", "\x1b[0m");
        check("\x1b[4:3m\x1b[4:0m", "");
        // modifyOtherKeys, no attribute.
        check("\x1b[>4;2m", "");
    }

    #[test]
    fn sequences_that_are_broken_off() {
        check("\x1b[?25\x18l", "");
        check("\x1b[?25\x1b[?1h", "\x1b[?1l");
        check("\x1b\x1b[?1h", "\x1b[?1l");
        // Control characters act within a sequence without ending it.
        check("\x1b[?2\r\n5l", "\x1b[?25h");
    }

    #[test]
    fn parameters_beyond_the_last_are_ignored() {
        let many = "3;".repeat(PARAMETERS - 1);
        check(&format!("\x1b[?{many}1h"), "\x1b[?1l");
        check(&format!("\x1b[?{many};1h"), "");
    }

    /// Bytes in which sequences are likely.
    fn output() -> impl Strategy<Value = Vec<u8>> {
        let modes = MODES.map(|(mode, _)| mode.to_string());
        let piece = prop_oneof![
            proptest::sample::select(modes.to_vec()).prop_map(String::into_bytes),
            proptest::sample::select(vec!["\x1b", "\x1b[", "\x1b[?", ";", ":", "h", "l", "m", "c"])
                .prop_map(|text| text.as_bytes().to_vec()),
            proptest::sample::select(vec!["\x1b[?1049h", "\x1b[?25l", "\x1b[38;5;0m", "\x1b[!p"])
                .prop_map(|text| text.as_bytes().to_vec()),
            any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(bytes in output(), cuts in proptest::collection::vec(0..200_usize, 0..5)) {
            let mut whole = ScreenModes::default();
            whole.observe(&bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut split = ScreenModes::default();
            for pair in cuts.windows(2) {
                split.observe(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(whole, split);
        }

        #[test]
        fn what_is_undone_is_undone(bytes in output()) {
            let mut modes = ScreenModes::default();
            modes.observe(&bytes);
            let undo = modes.clone().undo();
            prop_assert!(undo.len() < 300);
            modes.observe(&undo);
            prop_assert_eq!(modes.undo(), b"");
        }
    }
}
