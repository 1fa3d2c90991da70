use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::bounded_text;

/// The emotion that the client found in a message. It has at least one of the three parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Emotion {
    score: Option<EmotionScore>,
    label: Option<EmotionLabel>,
    detected: DetectedEmotions,
}

impl Emotion {
    /// `None` if all parts are empty.
    pub fn new(score: Option<EmotionScore>, label: Option<EmotionLabel>, detected: DetectedEmotions) -> Option<Self> {
        let something = score.is_some() || label.is_some() || !detected.0.is_empty();
        something.then_some(Self { score, label, detected })
    }

    pub fn score(&self) -> Option<EmotionScore> {
        self.score
    }

    /// Whether the statistics count it, by score or label.
    pub fn is_counted(&self) -> bool {
        self.score.is_some() || self.label.is_some()
    }

    /// The leading emotion in one word.
    pub fn label(&self) -> Option<&EmotionLabel> {
        self.label.as_ref()
    }

    /// The label and the detected emotions, encoded to be sealed. `None` when there are neither.
    pub fn names(&self) -> Option<Vec<u8>> {
        let names = Names {
            label: self.label().map(|label| label.as_str().into()),
            detected: self.detected().iter().map(|label| label.as_str().into()).collect(),
        };
        let has_names = names.label.is_some() || !names.detected.is_empty();
        has_names.then(|| serde_json::to_vec(&names).unwrap_or_default())
    }

    /// The emotion of a score and encoded names. `None` if there is neither.
    pub fn read(score: Option<EmotionScore>, names: Option<&[u8]>) -> Result<Option<Self>, Unreadable> {
        let names = match names {
            Some(names) => serde_json::from_slice(names).map_err(|_| Unreadable)?,
            None => Names::default(),
        };
        let label = |name: Cow<'_, str>| EmotionLabel::parse(name.into_owned()).map_err(|_| Unreadable);
        let detected = names.detected.into_iter().map(label).collect::<Result<_, _>>()?;
        let detected = DetectedEmotions::parse(detected).map_err(|_| Unreadable)?;
        Ok(Self::new(score, names.label.map(label).transpose()?, detected))
    }

    /// Every emotion that was found.
    pub fn detected(&self) -> &[EmotionLabel] {
        &self.detected.0
    }
}

/// The names of a message's emotions cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The encoding of the names.
#[derive(Default, Serialize, Deserialize)]
struct Names<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    label: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    detected: Vec<Cow<'a, str>>,
}

/// From 0 (very negative) to 1 (very positive), both included.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::Type)]
#[sqlx(transparent)]
pub struct EmotionScore(f64);

impl EmotionScore {
    pub fn parse(raw: f64) -> Result<Self, &'static str> {
        // NaN is in no range. -0 is in this range; adding 0 makes it 0.
        if (0.0..=1.0).contains(&raw) { Ok(Self(raw + 0.0)) } else { Err("must be a number from 0 to 1") }
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

bounded_text!(
    /// The name of an emotion: 1 to 20 characters.
    EmotionLabel, 1..=20, "must be 1 to 20 characters"
);

/// At most 10 emotions, in the order in which the client named them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetectedEmotions(Vec<EmotionLabel>);

impl DetectedEmotions {
    pub const COUNT_MAX: usize = 10;
    pub const MUST: &str = "must have at most 10 entries";

    pub fn parse(labels: Vec<EmotionLabel>) -> Result<Self, &'static str> {
        if labels.len() <= Self::COUNT_MAX { Ok(Self(labels)) } else { Err(Self::MUST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_from_zero_to_one_are_scores() {
        for good in [0.0, f64::MIN_POSITIVE, 0.5, 1.0] {
            assert_eq!(EmotionScore::parse(good).map(|score| score.get().to_bits()), Ok(good.to_bits()));
        }
        assert_eq!(EmotionScore::parse(-0.0).map(|score| score.get().to_bits()), Ok(0.0_f64.to_bits()));
    }

    #[test]
    fn a_number_outside_0_to_1_is_not_a_score() {
        for bad in [-f64::MIN_POSITIVE, -0.1, 1.0 + f64::EPSILON, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(EmotionScore::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_length_of_a_label_is_limited_in_characters() {
        assert!(EmotionLabel::parse("喜".repeat(20)).is_ok());
        for bad in ["", &"喜".repeat(21), "joy\0"] {
            assert!(EmotionLabel::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn at_most_10_emotions_are_detected() {
        let joy = || EmotionLabel::parse("joy".to_owned()).expect("a label");
        assert!(DetectedEmotions::parse(vec![joy(); 10]).is_ok());
        assert!(DetectedEmotions::parse(vec![joy(); 11]).is_err());
    }

    #[test]
    fn names_are_read_as_they_were_encoded_and_other_bytes_are_refused() {
        let label = |name: &str| EmotionLabel::parse(name.to_owned()).expect("a label");
        let detected = DetectedEmotions::parse(vec![label("joy"), label("\"喜\"\n")]).expect("few");
        let score = EmotionScore::parse(0.5).ok();
        for emotion in [
            Emotion::new(score, Some(label("joy")), detected.clone()),
            Emotion::new(None, None, detected),
            Emotion::new(score, Some(label("calm")), DetectedEmotions::default()),
        ] {
            let names = emotion.as_ref().and_then(Emotion::names).expect("has names");
            assert_eq!(Emotion::read(emotion.as_ref().and_then(Emotion::score), Some(&names)), Ok(emotion));
        }
        let scored = Emotion::new(score, None, DetectedEmotions::default());
        assert_eq!(scored.as_ref().and_then(Emotion::names), None);
        assert_eq!(Emotion::read(score, None), Ok(scored));
        let long = format!(r#"{{"label":"{}"}}"#, "x".repeat(21));
        for bad in [b"".as_slice(), b"[]", b"\xff", long.as_bytes()] {
            assert_eq!(Emotion::read(score, Some(bad)), Err(Unreadable));
        }
    }

    #[test]
    fn an_empty_emotion_is_none_and_a_score_of_0_is_an_emotion() {
        let none = || DetectedEmotions::parse(Vec::new()).expect("few");
        assert_eq!(Emotion::new(None, None, none()), None);
        assert!(Emotion::new(EmotionScore::parse(0.0).ok(), None, none()).is_some());
    }
}
