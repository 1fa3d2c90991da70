use std::io::{self, Write};

use serde_json::Value;

/// Writes one JSON object piece by piece, so that its size does not matter.
pub struct JsonStream<W> {
    out: W,
    /// Whether the next field or item is preceded by a comma.
    is_next: bool,
}

impl<W: Write> JsonStream<W> {
    pub fn new(out: W) -> Self {
        Self { out, is_next: false }
    }

    pub fn begin(&mut self) -> io::Result<()> {
        self.separate()?;
        self.is_next = false;
        write!(self.out, "{{")
    }

    pub fn end(&mut self) -> io::Result<()> {
        self.is_next = true;
        writeln!(self.out, "}}")?;
        self.out.flush()
    }

    pub fn field(&mut self, name: &str, value: &Value) -> io::Result<()> {
        self.separate()?;
        self.is_next = true;
        write!(self.out, "\n\"{name}\": {value}")
    }

    pub fn begin_list(&mut self, name: &str) -> io::Result<()> {
        self.separate()?;
        self.is_next = false;
        write!(self.out, "\n\"{name}\": [")
    }

    pub fn item(&mut self, value: &Value) -> io::Result<()> {
        self.separate()?;
        self.is_next = true;
        write!(self.out, "\n{value}")
    }

    pub fn end_list(&mut self) -> io::Result<()> {
        self.is_next = true;
        write!(self.out, "]")
    }

    fn separate(&mut self) -> io::Result<()> {
        if self.is_next { write!(self.out, ",") } else { Ok(()) }
    }
}
