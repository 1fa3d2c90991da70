use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use tonic::Status;
use tonic_types::StatusExt as _;

/// Prints a line. A write error, as after the terminal was closed, does not end the tool, which must still stop its
/// services.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Standard output, with colours only where they are shown and wanted.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// Colours where standard output is a terminal and `NO_COLOR` (no-color.org) is unset or empty.
    pub fn detect() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: !unwanted && std::io::stdout().is_terminal() }
    }

    pub fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    pub fn dim(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    pub fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    pub fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    pub fn accent(self, text: impl Display) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// A duration in milliseconds, to a tenth.
pub fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

/// A refused call in one line: its code, reason and message.
pub fn describe_status(status: &Status) -> String {
    let reason = status.get_details_error_info().map(|info| format!(" {}", info.reason)).unwrap_or_default();
    format!("{:?}{reason}: {}", status.code(), status.message())
}
