use teppan_shared::contract::conversation::v1::{
    GetContextWindowRequest, GetConversationRequest, RedactMessageRequest,
};
use teppan_tests::{fixtures, harness::Conversation, proxy::Proxy};
use tonic::Status;

use super::{answering, batch, calling, plain, summary};

const TRIES: usize = 10;
/// Background work asks too, now and then.
const DISTURBED_MAX: usize = 3;

async fn count<T>(proxy: &Proxy, call: impl Future<Output = Result<T, Status>>) -> u64 {
    let before = proxy.round_trips_of_calls();
    call.await.expect("answered");
    proxy.round_trips_of_calls() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_call_about_messages_costs_one_round_trip() {
    // With one connection the first calls warm up all there is.
    let (proxy, service) = Conversation::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let mut client = service.client.clone();
    let chat = fixtures::conversation_id();
    let mut counts = [const { Vec::new() }; 7];
    for n in 0..=TRIES {
        let call_id = format!("call-{n}");
        let messages: Vec<_> = (0..10).map(|n| plain(&chat, &format!("{n}"))).collect();
        let redact = RedactMessageRequest { conversation_id: chat.clone(), message_id: messages[0].message_id.clone() };
        let messages = batch(&chat, messages);
        let window = GetContextWindowRequest { conversation_id: chat.clone(), ..Default::default() };
        let get = GetConversationRequest { conversation_id: chat.clone() };
        counts[0].push(count(&proxy, client.store_messages(messages.clone())).await);
        counts[1].push(count(&proxy, client.store_messages(messages)).await);
        counts[2].push(count(&proxy, client.store_message(calling(&chat, &call_id))).await);
        client.store_message(answering(&chat, &call_id)).await.expect("stored");
        counts[3].push(count(&proxy, client.get_context_window(window)).await);
        counts[4].push(count(&proxy, client.set_summary(summary(&chat, 1, "They want a table."))).await);
        counts[5].push(count(&proxy, client.get_conversation(get)).await);
        counts[6].push(count(&proxy, client.redact_message(redact)).await);
    }
    for counts in counts {
        // The statements are prepared when they are first used.
        let more = counts[1..].iter().filter(|count| **count != 1).count();
        assert!(more <= DISTURBED_MAX, "{counts:?}");
    }
}
