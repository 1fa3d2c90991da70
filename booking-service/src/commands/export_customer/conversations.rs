use std::io;

use teppan_shared::{
    contract::{
        conversation::v1::{
            GetConversationRequest, ListFollowUpsRequest, ListMemoriesRequest, ListMessagesRequest,
            conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
        },
        json::to_json,
    },
    identity::OutgoingToken,
    service::StartError,
};
use tonic::{Code, Request, transport::Channel};

use super::{ExportFailed, json_stream::JsonStream};
use crate::{app::conversation_service_tls, outbox::OutboxSettings, outbox::conversation_service};

/// Messages, follow-ups or memories of one page.
const PAGE_SIZE: i32 = 200;

/// Reads conversations from conversation-service.
pub struct Conversations {
    conversations: ConversationServiceClient<Channel>,
    follow_ups: FollowUpServiceClient<Channel>,
    token: Option<OutgoingToken>,
}

impl Conversations {
    /// With the address, the certificates and the token of the outbox.
    pub fn connect(settings: &OutboxSettings) -> Result<Self, StartError> {
        let tls = conversation_service_tls(settings)?;
        let channel = conversation_service::connect(settings.conversation_service_url.clone(), tls);
        Ok(Self {
            conversations: ConversationServiceClient::new(channel.clone()),
            follow_ups: FollowUpServiceClient::new(channel),
            token: settings.conversation_service_token.clone(),
        })
    }

    /// Writes a conversation with its messages and follow-ups, and returns its user, if it is known.
    pub async fn export(&self, id: &str, out: &mut JsonStream<impl io::Write>) -> Result<Option<String>, ExportFailed> {
        let get = self.request(GetConversationRequest { conversation_id: id.to_owned() });
        let conversation = match self.conversations.clone().get_conversation(get).await {
            Ok(found) => found.into_inner().conversation,
            // Follow-ups can wait for a conversation that does not exist yet.
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => return Err(ExportFailed::Conversations(status)),
        };
        out.begin()?;
        out.field("conversation_id", &id.into())?;
        if let Some(conversation) = &conversation {
            out.field("conversation", &to_json("teppan.conversation.v1.Conversation", conversation))?;
            self.export_messages(id, out).await?;
        }
        self.export_follow_ups(id, out).await?;
        out.end()?;
        Ok(conversation.map(|it| it.user_id).filter(|user_id| !user_id.is_empty()))
    }

    /// Writes what is remembered about a user.
    pub async fn export_memories(
        &self,
        user_id: &str,
        out: &mut JsonStream<impl io::Write>,
    ) -> Result<(), ExportFailed> {
        let mut list = ListMemoriesRequest { user_id: user_id.to_owned(), page_size: PAGE_SIZE, ..Default::default() };
        loop {
            let page = self.conversations.clone().list_memories(self.request(list.clone())).await;
            let page = page.map_err(ExportFailed::Conversations)?.into_inner();
            for memory in &page.memories {
                out.item(&to_json("teppan.conversation.v1.Memory", memory))?;
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            list.page_token = page.next_page_token;
        }
    }

    async fn export_messages(&self, id: &str, out: &mut JsonStream<impl io::Write>) -> Result<(), ExportFailed> {
        let mut list =
            ListMessagesRequest { conversation_id: id.to_owned(), page_size: PAGE_SIZE, ..Default::default() };
        out.begin_list("messages")?;
        loop {
            let page = self.conversations.clone().list_messages(self.request(list.clone())).await;
            let page = page.map_err(ExportFailed::Conversations)?.into_inner();
            for message in &page.messages {
                out.item(&to_json("teppan.conversation.v1.Message", message))?;
            }
            if page.next_page_token.is_empty() {
                return Ok(out.end_list()?);
            }
            list.page_token = page.next_page_token;
        }
    }

    async fn export_follow_ups(&self, id: &str, out: &mut JsonStream<impl io::Write>) -> Result<(), ExportFailed> {
        let mut list =
            ListFollowUpsRequest { conversation_id: id.to_owned(), page_size: PAGE_SIZE, ..Default::default() };
        out.begin_list("follow_ups")?;
        loop {
            let page = self.follow_ups.clone().list_follow_ups(self.request(list.clone())).await;
            let page = page.map_err(ExportFailed::Conversations)?.into_inner();
            for follow_up in &page.follow_ups {
                out.item(&to_json("teppan.conversation.v1.FollowUp", follow_up))?;
            }
            if page.next_page_token.is_empty() {
                return Ok(out.end_list()?);
            }
            list.page_token = page.next_page_token;
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.authorization());
        }
        request
    }
}
