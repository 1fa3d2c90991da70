//! The file: one JSON object per line. The whole file is checked before anything is sent.

use std::{
    collections::HashMap,
    fmt::{self, Display},
    fs, io,
    path::Path,
};

use serde::Deserialize;

/// The longest text that StoreMessage accepts.
const TEXT_BYTES_MAX: usize = 32_768;
/// With a prefix, the id must fit into a conversation id of 100 characters.
const ID_CHARS_MAX: usize = 80;
/// Restaurant and city together form the venue's name of at most 200 characters.
const NAME_CHARS_MAX: usize = 198;
const PROBLEMS_SHOWN: usize = 20;

/// The speaker of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    User,
    Assistant,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Turn {
    pub role: Speaker,
    pub text: String,
    /// From 0, very negative, to 1, very positive.
    pub emotion: Option<f64>,
}

/// The reservation as the file has it: the plan parses its date and time.
#[derive(Debug, Clone, Deserialize)]
pub struct Reservation {
    pub restaurant: String,
    pub city: String,
    pub date: String,
    pub time: String,
    pub party_size: i32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Dialogue {
    pub dialogue_id: String,
    pub turns: Vec<Turn>,
    pub reservation: Reservation,
    /// The index of the turn, one of the assistant's, at which the reservation is made.
    pub reserved_at_turn: usize,
}

/// The file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path} cannot be read: {}", error.kind())]
    Unreadable { path: String, error: io::Error },
    #[error("{path} has no dialogue in it")]
    Empty { path: String },
    #[error("{path} cannot be played:\n{problems}")]
    Wrong { path: String, problems: Problems },
}

/// The problems by line. They never contain text of the file.
#[derive(Debug, Default)]
pub struct Problems(Vec<(usize, String)>);

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, problem) in self.0.iter().take(PROBLEMS_SHOWN) {
            writeln!(f, "  line {line}: {problem}")?;
        }
        match self.0.len().checked_sub(PROBLEMS_SHOWN) {
            Some(more @ 1..) => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Reads the first `limit` dialogues of a file.
///
/// # Errors
/// [`FileError`], with the numbers of the lines that are wrong.
pub fn read(path: &Path, limit: usize) -> Result<Vec<Dialogue>, FileError> {
    let shown = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| FileError::Unreadable { path: shown(), error })?;
    let dialogues = parse(&text, limit).map_err(|problems| FileError::Wrong { path: shown(), problems })?;
    if dialogues.is_empty() { Err(FileError::Empty { path: shown() }) } else { Ok(dialogues) }
}

fn parse(text: &str, limit: usize) -> Result<Vec<Dialogue>, Problems> {
    let mut problems = Problems::default();
    let mut dialogues = Vec::new();
    let mut lines_by_id = HashMap::new();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines.take(limit) {
        match parse_line(line) {
            Ok(dialogue) => {
                if let Some(earlier) = lines_by_id.insert(dialogue.dialogue_id.clone(), number) {
                    problems.0.push((number, format!("dialogue_id is also in line {earlier}")));
                }
                dialogues.push(dialogue);
            }
            Err(problem) => problems.0.push((number, problem)),
        }
    }
    if problems.0.is_empty() { Ok(dialogues) } else { Err(problems) }
}

fn parse_line(line: &str) -> Result<Dialogue, String> {
    let dialogue: Dialogue = serde_json::from_str(line).map_err(|error| explain(&error))?;
    check(&dialogue).map(|()| dialogue)
}

/// The problem of a line, without its text: the parser's own message may quote it.
fn explain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if message.starts_with("missing field") {
        // The message names a field of the format, and contains no text of the line.
        return message.split(" at line").next().unwrap_or_default().to_owned();
    }
    let kind = if error.is_data() { "a field is of the wrong type or value" } else { "this is not a JSON object" };
    format!("{kind}, at column {}", error.column())
}

fn check(dialogue: &Dialogue) -> Result<(), String> {
    let id = &dialogue.dialogue_id;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if !(1..=ID_CHARS_MAX).contains(&id.len()) || !id.chars().all(plain) {
        return Err(format!("dialogue_id must be 1 to {ID_CHARS_MAX} of the characters A-Z a-z 0-9 . _ : -"));
    }
    for (index, turn) in dialogue.turns.iter().enumerate() {
        check_turn(turn).map_err(|problem| format!("turns[{index}].{problem}"))?;
    }
    match dialogue.turns.get(dialogue.reserved_at_turn) {
        Some(turn) if turn.role == Speaker::Assistant => {}
        Some(_) => return Err("reserved_at_turn must be a turn of the assistant".to_owned()),
        None => return Err("reserved_at_turn must be one of the turns, from 0".to_owned()),
    }
    check_reservation(&dialogue.reservation).map_err(|problem| format!("reservation.{problem}"))
}

fn check_turn(turn: &Turn) -> Result<(), String> {
    if !(1..=TEXT_BYTES_MAX).contains(&turn.text.len()) {
        return Err(format!("text must be 1 to {TEXT_BYTES_MAX} bytes"));
    }
    match turn.emotion {
        Some(score) if !(0.0..=1.0).contains(&score) => Err("emotion must be 0 to 1".to_owned()),
        _ => Ok(()),
    }
}

fn check_reservation(reservation: &Reservation) -> Result<(), String> {
    let name = reservation.restaurant.trim();
    if name.is_empty() || name.chars().count() + reservation.city.chars().count() > NAME_CHARS_MAX {
        return Err(format!("restaurant must be given, with the city at most {NAME_CHARS_MAX} characters"));
    }
    if !(1..=50).contains(&reservation.party_size) {
        return Err("party_size must be 1 to 50".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"dialogue_id": "own-1", "turns": [
        {"role": "user", "text": "A table, please.", "emotion": 0.7}, {"role": "assistant", "text": "Done."}],
        "reservation": {"restaurant": "Teppan Garden", "city": "Berlin", "date": "2026-05-01", "time": "18:00",
        "party_size": 2}, "reserved_at_turn": 1}"#;

    fn lines(change: impl Fn(&str) -> String) -> String {
        let line = LINE.replace('\n', " ");
        format!("{line}\n\n{}\n", change(&line.replace("own-1", "own-2")))
    }

    fn problem(change: impl Fn(&str) -> String) -> String {
        parse(&lines(change), usize::MAX).expect_err("something is wrong").to_string()
    }

    #[test]
    fn good_lines_are_read_and_empty_ones_skipped() {
        let dialogues = parse(&lines(str::to_owned), usize::MAX).expect("both lines are valid");
        assert_eq!(dialogues.len(), 2);
        assert_eq!(dialogues[0].turns[0].emotion, Some(0.7));
        assert_eq!(parse(&lines(str::to_owned), 1).expect("the line is valid").len(), 1);
    }

    #[test]
    fn problems_are_reported_with_their_line() {
        assert!(problem(|_| "{".to_owned()).starts_with("  line 3: this is not a JSON object"));
        assert!(problem(|line| line.replace("\"city\"", "\"town\"")).contains("line 3: missing field `city`"));
        assert!(problem(|line| line.replace("0.7", "1.7")).contains("line 3: turns[0].emotion"));
        assert!(
            problem(|line| line.replace("\"reserved_at_turn\": 1", "\"reserved_at_turn\": 0")).contains("assistant")
        );
        assert!(problem(|line| line.replace("\"party_size\": 2", "\"party_size\": 51")).contains("party_size"));
        assert!(problem(|line| line.replace("own-2", "own-1")).contains("line 3: dialogue_id is also in line 1"));
    }

    #[test]
    fn problems_do_not_quote_the_line() {
        let problem = problem(|line| line.replace("\"role\": \"user\"", "\"role\": \"secret\""));
        assert!(problem.contains("line 3") && !problem.contains("secret"), "{problem}");
    }
}
