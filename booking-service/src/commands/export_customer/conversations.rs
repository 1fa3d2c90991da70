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
    status,
};
use tonic::{Code, Request, Response, Status, transport::Channel};

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

    /// Writes a conversation with its messages and follow-ups, and returns its user, if it is known. What cannot be
    /// read is named in `unreadable`.
    pub async fn export(
        &self,
        id: &str,
        out: &mut JsonStream<impl io::Write>,
        unreadable: &mut Vec<String>,
    ) -> Result<Option<String>, ExportFailed> {
        let get = self.request(GetConversationRequest { conversation_id: id.to_owned() });
        let mut has_messages = true;
        let conversation = match self.conversations.clone().get_conversation(get).await {
            Ok(found) => found.into_inner().conversation,
            // Follow-ups can wait for a conversation that does not exist yet.
            Err(status) if status.code() == Code::NotFound => {
                has_messages = false;
                None
            }
            Err(status) if is_corrupted(&status) => {
                unreadable.push(format!("conversation {id} and the memories of its user cannot be read"));
                None
            }
            Err(status) => return Err(ExportFailed::Conversations(status)),
        };
        out.begin()?;
        out.field("conversation_id", &id.into())?;
        if let Some(conversation) = &conversation {
            out.field("conversation", &to_json("teppan.conversation.v1.Conversation", conversation))?;
        }
        if has_messages {
            self.export_messages(id, out, unreadable).await?;
        }
        self.export_follow_ups(id, out, unreadable).await?;
        out.end()?;
        Ok(conversation.map(|it| it.user_id).filter(|user_id| !user_id.is_empty()))
    }

    /// Writes what is remembered about a user.
    pub async fn export_memories(
        &self,
        user_id: &str,
        out: &mut JsonStream<impl io::Write>,
        unreadable: &mut Vec<String>,
    ) -> Result<(), ExportFailed> {
        let mut pages = Pages::default();
        while let Some((page_size, page_token)) = pages.next() {
            let list = ListMemoriesRequest { user_id: user_id.to_owned(), page_size, page_token };
            let page = self.conversations.clone().list_memories(self.request(list)).await;
            let Some(page) = pages.read(page)? else { continue };
            for memory in &page.memories {
                out.item(&to_json("teppan.conversation.v1.Memory", memory))?;
            }
            pages.after(page.next_page_token);
        }
        unreadable.extend(pages.ended_early(&format!("memories of user {user_id}")));
        Ok(())
    }

    async fn export_messages(
        &self,
        id: &str,
        out: &mut JsonStream<impl io::Write>,
        unreadable: &mut Vec<String>,
    ) -> Result<(), ExportFailed> {
        out.begin_list("messages")?;
        let mut after_sequence = 0;
        loop {
            let mut pages = Pages::default();
            while let Some((page_size, page_token)) = pages.next() {
                let list = ListMessagesRequest {
                    conversation_id: id.to_owned(),
                    page_size,
                    page_token,
                    after_sequence,
                    ..Default::default()
                };
                let page = self.conversations.clone().list_messages(self.request(list)).await;
                let Some(page) = pages.read(page)? else { continue };
                for message in &page.messages {
                    out.item(&to_json("teppan.conversation.v1.Message", message))?;
                }
                pages.last_sequence = page.messages.last().map_or(pages.last_sequence, |message| message.sequence);
                pages.after(page.next_page_token);
            }
            if !pages.is_cut_off {
                return Ok(out.end_list()?);
            }
            // Sequences have no gaps.
            after_sequence = after_sequence.max(pages.last_sequence) + 1;
            unreadable.push(format!("message {after_sequence} of conversation {id} cannot be read"));
        }
    }

    async fn export_follow_ups(
        &self,
        id: &str,
        out: &mut JsonStream<impl io::Write>,
        unreadable: &mut Vec<String>,
    ) -> Result<(), ExportFailed> {
        out.begin_list("follow_ups")?;
        let mut pages = Pages::default();
        while let Some((page_size, page_token)) = pages.next() {
            let list =
                ListFollowUpsRequest { conversation_id: id.to_owned(), page_size, page_token, ..Default::default() };
            let page = self.follow_ups.clone().list_follow_ups(self.request(list)).await;
            let Some(page) = pages.read(page)? else { continue };
            for follow_up in &page.follow_ups {
                out.item(&to_json("teppan.conversation.v1.FollowUp", follow_up))?;
            }
            pages.after(page.next_page_token);
        }
        unreadable.extend(pages.ended_early(&format!("follow-ups of conversation {id}")));
        Ok(out.end_list()?)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.authorization());
        }
        request
    }
}

/// Walks over the pages of a list. When a page contains something that cannot be read, the walk goes on with one item a
/// page, up to that item.
struct Pages {
    page_size: i32,
    /// `None`: the list has ended.
    page_token: Option<String>,
    is_cut_off: bool,
    /// Of messages: the last one that was read.
    last_sequence: i64,
}

impl Default for Pages {
    fn default() -> Self {
        Self { page_size: PAGE_SIZE, page_token: Some(String::new()), is_cut_off: false, last_sequence: 0 }
    }
}

impl Pages {
    /// The size and the token of the next page.
    fn next(&self) -> Option<(i32, String)> {
        Some((self.page_size, self.page_token.clone()?))
    }

    /// `None`: the page cannot be read.
    fn read<T>(&mut self, answer: Result<Response<T>, Status>) -> Result<Option<T>, ExportFailed> {
        match answer {
            Ok(page) => Ok(Some(page.into_inner())),
            Err(status) if is_corrupted(&status) => {
                if self.page_size == 1 {
                    (self.page_token, self.is_cut_off) = (None, true);
                }
                self.page_size = 1;
                Ok(None)
            }
            Err(status) => Err(ExportFailed::Conversations(status)),
        }
    }

    fn after(&mut self, token: String) {
        self.page_token = Some(token).filter(|token| !token.is_empty());
    }

    fn ended_early(self, what: &str) -> Option<String> {
        self.is_cut_off.then(|| format!("{what}: one cannot be read, and the list ends before it"))
    }
}

fn is_corrupted(status: &Status) -> bool {
    status::reason(status) == "DATA_CORRUPTED"
}
