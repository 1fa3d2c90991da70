//! The emotions of the conversations, aggregated in the background.

use teppan_shared::contract::conversation::v1::{EmotionStatistics, GetConversationRequest};

use super::{conversations::Talk, wait::until_shown};
use crate::{
    journal::{Failed, say},
    stage::Stage,
};

const CALL: &str = "GetConversation";

pub async fn play(stage: &mut Stage, talks: &[Talk]) -> Result<(), Failed> {
    stage.journal.open_act("Emotions", "The emotions of the conversations, aggregated in the background");
    for talk in talks {
        let statistics = until_shown(CALL, async || counted(stage, talk).await).await?;
        show(stage, talk, &statistics);
    }
    Ok(())
}

/// The statistics, once they include every scored message.
async fn counted(stage: &mut Stage, talk: &Talk) -> Result<Option<EmotionStatistics>, Failed> {
    let get = GetConversationRequest { conversation_id: talk.conversation_id.clone() };
    let answer = stage.clients.conversations.get_conversation(talk.trace.carry(get));
    let (found, _) = stage.journal.call(CALL, answer).await?;
    let statistics = found.conversation.and_then(|conversation| conversation.emotion_statistics);
    Ok(statistics.filter(|it| it.aggregated_through >= it.newest_scored_sequence))
}

fn show(stage: &Stage, talk: &Talk, statistics: &EmotionStatistics) {
    let screen = stage.journal.screen;
    let short = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_lowercase();
    let level = short(statistics.level().as_str_name(), "EMOTION_LEVEL_");
    let trend = short(statistics.trend().as_str_name(), "EMOTION_TREND_");
    let trend = if trend == "unspecified" { "too few scores for a trend".to_owned() } else { trend };
    say(format!(
        "    {:<24} {} scores, {:.2} to {:.2}, mean {}; lately {level}, {trend}  {}",
        talk.conversation_id,
        statistics.score_count,
        statistics.minimum_score(),
        statistics.maximum_score(),
        screen.bold(format!("{:.2}", statistics.mean_score())),
        screen.dim(format!("through message {}", statistics.aggregated_through)),
    ));
}
