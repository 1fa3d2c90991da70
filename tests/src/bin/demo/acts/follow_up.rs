//! The day after the visit: the follow-up of the booking is sent.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use teppan_shared::contract::conversation::v1::{
    ClaimDueFollowUpsRequest, ClaimedFollowUp, CompleteFollowUpRequest, FollowUp, ListFollowUpsRequest,
    follow_up_service_client::FollowUpServiceClient,
};
use teppan_tests::{
    clients,
    launch::{Process, Shown, Which},
    tool::wait_until_serving,
};
use tonic::transport::Channel;

use super::{conversations::Talk, wait::until_shown};
use crate::{
    journal::{Failed, say},
    show,
    stage::Stage,
};

/// A minute after the follow-up is due.
const LATER_SECONDS: i64 = 60;

pub async fn play(stage: &mut Stage, talk: &Talk) -> Result<(), Failed> {
    const SCHEDULED: &str = "ListFollowUps";
    stage.journal.open_act("Follow-up", "The day after");
    let scheduled = until_shown(SCHEDULED, async || scheduled(stage, talk).await).await?;
    let due = show::clock(scheduled.due_at, &scheduled.time_zone);
    let screen = stage.journal.screen;
    say(format!("    {}  a message to {} is due on {due}", screen.good("scheduled"), talk.conversation_id));

    let ahead = scheduled.due_at.unwrap_or_default().seconds - Utc::now().timestamp() + LATER_SECONDS;
    say(screen.dim(format!("    one more conversation-service starts, its clock {} days ahead ...", ahead / 86_400)));
    let process = start_ahead(ahead).await?;
    let sent = send(stage, talk, &scheduled, FollowUpServiceClient::new(clients::channel(process.grpc)), ahead).await;
    if !process.stop().await {
        return Err(Failed::new("Follow-up", "the service with the other clock did not exit with code 0"));
    }
    sent
}

async fn scheduled(stage: &mut Stage, talk: &Talk) -> Result<Option<FollowUp>, Failed> {
    let list = ListFollowUpsRequest { conversation_id: talk.conversation_id.clone(), ..Default::default() };
    let answer = stage.clients.follow_ups.list_follow_ups(talk.trace.carry(list));
    let (found, _) = stage.journal.call("ListFollowUps", answer).await?;
    Ok(found.follow_ups.into_iter().next())
}

async fn start_ahead(seconds: i64) -> Result<Process, Failed> {
    let failed = |why: String| Failed::new("Follow-up", why);
    let environment = [("CLOCK_AHEAD_SECONDS", seconds.to_string()), ("SHUTDOWN_PAUSE_MS", "0".to_owned())];
    let environment: HashMap<_, _> = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let process = Process::start_showing(Which::Conversation, &environment, Shown::Errors);
    let process = process.await.map_err(|error| failed(error.to_string()))?;
    let serving = wait_until_serving(Which::Conversation.binary(), process.grpc).await;
    serving.map_err(|error| failed(error.to_string()))?;
    Ok(process)
}

/// Claims the follow-up, "sends" it and completes it, as an assistant does through its own channel.
async fn send(
    stage: &mut Stage,
    talk: &Talk,
    scheduled: &FollowUp,
    mut client: FollowUpServiceClient<Channel>,
    ahead: i64,
) -> Result<(), Failed> {
    const COMPLETE: &str = "CompleteFollowUp";
    let claimed = until_shown("ClaimDueFollowUps", async || claim(stage, &mut client, scheduled).await).await?;
    let follow_up = claimed.follow_up.unwrap_or_default();
    let screen = stage.journal.screen;
    let text = show::wrapped(&follow_up.content, 15);
    say(format!(
        "    {}    {text} {}",
        screen.good("claimed"),
        screen.dim(format!("(attempt {})", follow_up.attempts))
    ));

    let complete = CompleteFollowUpRequest {
        follow_up_id: follow_up.follow_up_id,
        claim_token: claimed.claim_token,
        ..Default::default()
    };
    let answer = client.complete_follow_up(talk.trace.carry(complete));
    let (completed, _) = stage.journal.call(COMPLETE, answer).await?;
    let message = completed.message.unwrap_or_default();
    let last = i64::try_from(talk.messages.len()).unwrap_or(i64::MAX);
    if message.sequence != last + 1 || message.content != follow_up.content {
        return Err(Failed::new(COMPLETE, "its message is not the next one of the conversation"));
    }
    let at = DateTime::from_timestamp(Utc::now().timestamp() + ahead, 0).unwrap_or_default();
    say(format!(
        "    {}  stored as message {} of the conversation, on {}",
        screen.good("completed"),
        message.sequence,
        at.format("%-d %B"),
    ));
    Ok(())
}

/// The claim of this follow-up. Others may be due too, from interrupted runs.
async fn claim(
    stage: &mut Stage,
    client: &mut FollowUpServiceClient<Channel>,
    scheduled: &FollowUp,
) -> Result<Option<ClaimedFollowUp>, Failed> {
    let claim = ClaimDueFollowUpsRequest {
        claimant: format!("demo-{}", stage.run),
        batch_size: 100,
        lease_seconds: 5,
        wait_seconds: 2,
        ..Default::default()
    };
    let (claimed, _) = stage.journal.call("ClaimDueFollowUps", client.claim_due_follow_ups(claim)).await?;
    let is_it = |claimed: &ClaimedFollowUp| {
        claimed.follow_up.as_ref().is_some_and(|follow_up| follow_up.follow_up_id == scheduled.follow_up_id)
    };
    Ok(claimed.follow_ups.into_iter().find(is_it))
}
