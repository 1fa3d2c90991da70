//! The texts of follow-ups that were scheduled without one.

use std::{collections::BTreeMap, fmt};

use strum::VariantArray as _;
use toml::{Table, Value};

use super::FollowUpTrigger;
use crate::domain::Content;

/// The tone of a text, by the mean of the customer's last ten scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::AsRefStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Mood {
    Warm,
    Neutral,
    Apologetic,
}

impl Mood {
    /// Warm from 0.7, apologetic below 0.4, otherwise neutral. Without a mean it is neutral.
    pub fn of(recent_mean: Option<f64>) -> Self {
        match recent_mean {
            Some(mean) if mean >= 0.7 => Self::Warm,
            Some(mean) if mean < 0.4 => Self::Apologetic,
            _ => Self::Neutral,
        }
    }
}

/// The triggers with templates, and their names in the file. A custom follow-up has its own text.
const TRIGGER_NAMES: [(FollowUpTrigger, &str); 4] = [
    (FollowUpTrigger::PostEvent, "post_event"),
    (FollowUpTrigger::Reengagement, "reengagement"),
    (FollowUpTrigger::EmotionBased, "emotion_based"),
    (FollowUpTrigger::Reminder, REMINDER),
];

/// Files of version 0.1.0 have no texts of reminders: those that are built in are used.
const REMINDER: &str = "reminder";
pub const BUILT_IN: &str = include_str!("../../templates/follow_ups.toml");

/// The wordings for each trigger and mood, in order of preference. The first one whose placeholders all have a value is
/// used. The last one has no placeholders.
#[derive(Clone)]
pub struct Templates(Vec<(FollowUpTrigger, Mood, Vec<Wording>)>);

impl Templates {
    /// Parses TOML in the format of `templates/follow_ups.toml`.
    ///
    /// # Errors
    /// All faults, with the names of the entries.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| vec![not_toml(text, &error)])?;
        let built_in = if table.contains_key(REMINDER) { Table::new() } else { BUILT_IN.parse().unwrap_or_default() };
        let mut faults = unknown_entries(&table);
        let mut read = Vec::new();
        for (trigger, name) in TRIGGER_NAMES {
            let moods =
                table.get(name).or_else(|| built_in.get(name).filter(|_| name == REMINDER)).and_then(Value::as_table);
            for mood in Mood::VARIANTS {
                match parse_wordings(moods.and_then(|moods| moods.get(mood.as_ref()))) {
                    Ok(wordings) => read.push((trigger, *mood, wordings)),
                    Err(fault) => faults.push(format!("{name}.{} {fault}", mood.as_ref())),
                }
            }
        }
        if faults.is_empty() { Ok(Self(read)) } else { Err(faults) }
    }

    /// The text for a follow-up. `None` for a custom one, which has its own.
    pub fn render(&self, trigger: FollowUpTrigger, mood: Mood, values: &BTreeMap<String, String>) -> Option<Content> {
        let entry = self.0.iter().find(|(of, with, _)| *of == trigger && *with == mood);
        let (_, _, wordings) = entry?;
        wordings.iter().filter_map(|wording| wording.fill(values)).find_map(|text| Content::parse(text).ok())
    }
}

/// Hides the texts, because they may contain personal data and must not appear in logs.
impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Templates({} entries)", self.0.len())
    }
}

/// The line of the syntax error. The parser's message would quote the file.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {} is not TOML", before.matches('\n').count() + 1)
}

/// The faults of misspelt entries, which would otherwise be ignored.
fn unknown_entries(table: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, moods) in table {
        if !TRIGGER_NAMES.iter().any(|(_, known)| known == name) {
            faults.push("has an entry that is none of post_event, reengagement, emotion_based and reminder".to_owned());
            continue;
        }
        let known = |mood: &&String| Mood::VARIANTS.iter().any(|known| known.as_ref() == *mood);
        if moods.as_table().is_some_and(|moods| moods.keys().any(|mood| !known(&mood))) {
            faults.push(format!("{name} has an entry that is none of warm, neutral and apologetic"));
        }
    }
    faults
}

fn parse_wordings(entry: Option<&Value>) -> Result<Vec<Wording>, &'static str> {
    let texts = entry.and_then(Value::as_array).filter(|texts| !texts.is_empty());
    let texts = texts.ok_or("must be a list of one or more texts")?;
    let parse = |text: &Value| Wording::parse(text.as_str().ok_or("must hold only texts")?);
    let wordings: Vec<_> = texts.iter().map(parse).collect::<Result<_, _>>()?;
    let plain = wordings.last().is_some_and(|last| last.0.iter().all(|part| matches!(part, Part::Text(_))));
    if plain { Ok(wordings) } else { Err("must end with a text without placeholders, for when values are missing") }
}

/// A text with placeholders.
#[derive(Clone)]
struct Wording(Vec<Part>);

#[derive(Clone)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl Wording {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Content::parse(text.trim().to_owned()).map_err(|_| "must hold only texts of 1 to 32,768 bytes")?;
        let mut pieces = text.trim().split("{{");
        let mut parts = vec![Part::Text(pieces.next().unwrap_or_default().to_owned())];
        for piece in pieces {
            let (name, rest) = piece.split_once("}}").ok_or("has a {{ without }}")?;
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err("has a placeholder that is not like {{venue_name}}");
            }
            parts.extend([Part::Placeholder(name.to_owned()), Part::Text(rest.to_owned())]);
        }
        let stray = parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains("}}")));
        if stray { Err("has a }} without {{") } else { Ok(Self(parts)) }
    }

    /// `None` when a value is missing.
    fn fill(&self, values: &BTreeMap<String, String>) -> Option<String> {
        let fill = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Placeholder(name) => values.get(name).cloned(),
        };
        self.0.iter().map(fill).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = BUILT_IN;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_mood_follows_the_recent_mean() {
        assert_eq!(Mood::of(None), Mood::Neutral);
        for (mean, mood) in [
            (0.0, Mood::Apologetic),
            (0.399, Mood::Apologetic),
            (0.4, Mood::Neutral),
            (0.699, Mood::Neutral),
            (0.7, Mood::Warm),
        ] {
            assert_eq!(Mood::of(Some(mean)), mood, "{mean}");
        }
    }

    #[test]
    fn the_default_file_has_a_complete_text_for_every_trigger_and_mood() {
        let templates = Templates::parse(DEFAULT).expect("it is sound");
        for values in [values(&[]), values(&[("venue_name", "Teppan Garden")])] {
            for (trigger, _) in TRIGGER_NAMES {
                for mood in Mood::VARIANTS {
                    let text = templates.render(trigger, *mood, &values).expect("a text").into_string();
                    assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
                }
            }
        }
        assert!(templates.render(FollowUpTrigger::Custom, Mood::Warm, &values(&[])).is_none());
    }

    #[test]
    fn a_wording_with_a_missing_value_is_skipped() {
        let text = DEFAULT.replace("neutral = [", "neutral = [\n\"{{ a }} and {{b}}.\", \"Only {{b}}.\",");
        let templates = Templates::parse(&text).expect("it is sound");
        let word = |pairs: &[_]| {
            templates.render(FollowUpTrigger::PostEvent, Mood::Neutral, &values(pairs)).expect("a text").into_string()
        };
        assert_eq!(word(&[("a", "{{b}}"), ("b", "2")]), "{{b}} and 2.", "placeholders in values are not replaced");
        assert_eq!(word(&[("b", "2")]), "Only 2.");
        assert!(!word(&[("a", "1")]).contains('1'));
    }

    #[test]
    fn a_file_without_texts_of_reminders_uses_those_that_are_built_in() {
        let (older, _) = DEFAULT.split_once("[reminder]").expect("the last section");
        let text = |templates: &Templates| {
            let values = values(&[("event_date", "2026-12-05"), ("event_time", "18:00")]);
            templates.render(FollowUpTrigger::Reminder, Mood::Neutral, &values).expect("a text").into_string()
        };
        let built_in = text(&Templates::parse(older).expect("it is sound"));
        assert_eq!(built_in, text(&Templates::parse(DEFAULT).expect("it is sound")));
        assert!(built_in.contains("18:00"), "{built_in}");
    }

    #[test]
    fn all_faults_are_reported_together_without_the_text() {
        let text = "
            hunter2 = 1
            [post_event]
            warm = []
            neutral = ['hunter2 {{']
            apologetic = ['{{hunter2}}']
            hunter2 = ['x']
            [reengagement]
            warm = ['}}']
            neutral = ['{{a b}}', 'x']
            apologetic = ['', 'x']";
        let faults = Templates::parse(text).expect_err("it is wrong");
        assert_eq!(faults.len(), 11, "{faults:?}");
        assert!(!faults.concat().contains("hunter2"), "{faults:?}");
        let faults = Templates::parse("[post_event]\nhunter2").expect_err("it is wrong");
        assert_eq!(faults, ["line 2 is not TOML"]);
    }
}
