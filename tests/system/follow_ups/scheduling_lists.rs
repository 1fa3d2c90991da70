use chrono::{DateTime, TimeDelta, Utc};
use teppan_shared::{
    contract::conversation::v1::{
        FollowUp, FollowUpOrder, FollowUpStatus, FollowUpTrigger, ListFollowUpsRequest, ScheduleFollowUpRequest,
    },
    wire::timestamp,
};
use teppan_tests::{fixtures, harness::Conversation};
use tonic::Code;

use super::scheduling::{finish, request, scheduled};

/// The follow-ups of all pages of a list.
async fn listed(service: &Conversation, mut request: ListFollowUpsRequest) -> Vec<FollowUp> {
    let mut all = Vec::new();
    loop {
        let page = service.follow_ups.clone().list_follow_ups(request.clone()).await.expect("listed").into_inner();
        assert!(page.follow_ups.len() <= 3 || request.page_size != 3);
        all.extend(page.follow_ups);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

fn noon(day: i64) -> DateTime<Utc> {
    "2030-01-01T12:00:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::days(day)
}

/// Schedules follow-ups of three conversations, all triggers, three subjects and four states, due on nine days.
async fn schedule_many(service: &Conversation) -> Vec<FollowUp> {
    let chats: Vec<_> = (0..3).map(|_| fixtures::conversation_id()).collect();
    let triggers = [
        FollowUpTrigger::PostEvent,
        FollowUpTrigger::Reengagement,
        FollowUpTrigger::EmotionBased,
        FollowUpTrigger::Custom,
    ];
    // The unfinished ones come last, because they prevent further follow-ups with the same key.
    let ends = ["COMPLETED", "CANCELLED", "MISSED", ""];
    let mut all = Vec::new();
    for n in 0..48 {
        let end = ends[n / 12];
        let wanted = ScheduleFollowUpRequest {
            trigger: triggers[n % 4].into(),
            subject: ["", "order", "visit"][n % 12 / 4].to_owned(),
            due_at: Some(timestamp(noon(i64::try_from(n * 7 % 9).expect("small")))),
            content: format!("text {n}"),
            ..request(&chats[n % 3])
        };
        let mut made = scheduled(service, wanted).await;
        if !end.is_empty() {
            finish(service, &made.follow_up_id, end, "0 s").await;
            let status = FollowUpStatus::from_str_name(&format!("FOLLOW_UP_STATUS_{end}")).expect("a status");
            made.status = status.into();
        }
        all.push(made);
    }
    all.sort_by_key(position);
    all
}

fn position(follow_up: &FollowUp) -> (i64, String) {
    (follow_up.due_at.expect("a time").seconds, follow_up.follow_up_id.clone())
}

fn ids(follow_ups: &[FollowUp]) -> Vec<&str> {
    follow_ups.iter().map(|follow_up| follow_up.follow_up_id.as_str()).collect()
}

fn matches(filter: &ListFollowUpsRequest, follow_up: &FollowUp) -> bool {
    let due_at = follow_up.due_at.expect("a time").seconds;
    (filter.conversation_id.is_empty() || filter.conversation_id == follow_up.conversation_id)
        && (filter.trigger == 0 || filter.trigger == follow_up.trigger)
        && (filter.subject.is_empty() || filter.subject == follow_up.subject)
        && (filter.statuses.is_empty() || filter.statuses.contains(&follow_up.status))
        && filter.due_from.is_none_or(|from| due_at >= from.seconds)
        && filter.due_before.is_none_or(|before| due_at < before.seconds)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_follow_ups_works_page_by_page_in_both_directions() {
    let service = Conversation::start().await.ready().await;
    let all = schedule_many(&service).await;
    let (pending, cancelled) = (FollowUpStatus::Pending.into(), FollowUpStatus::Cancelled.into());
    let mut found = 0;
    for combination in 0..32 {
        let with = |bit: i32| combination >> bit & 1 == 1;
        let filter = ListFollowUpsRequest {
            page_size: 3,
            conversation_id: if with(0) { all[7].conversation_id.clone() } else { String::new() },
            trigger: if with(1) { FollowUpTrigger::Custom.into() } else { 0 },
            subject: if with(2) { "order".to_owned() } else { String::new() },
            statuses: if with(3) { vec![cancelled, pending, pending] } else { Vec::new() },
            due_from: with(4).then(|| timestamp(noon(2))),
            due_before: with(4).then(|| timestamp(noon(7))),
            ..Default::default()
        };
        let mut expected: Vec<_> = all.iter().filter(|it| matches(&filter, it)).cloned().collect();
        let earliest = listed(&service, filter.clone()).await;
        assert_eq!(ids(&earliest), ids(&expected), "{filter:?}");
        for (listed, expected) in earliest.iter().zip(&expected) {
            assert_eq!((&listed.content, listed.status), (&expected.content, expected.status));
        }
        expected.reverse();
        let latest = ListFollowUpsRequest { order: FollowUpOrder::LatestFirst.into(), ..filter.clone() };
        assert_eq!(ids(&listed(&service, latest).await), ids(&expected), "{filter:?}, the latest first");
        found += expected.len();
    }
    assert!(found > 150, "the filters match many follow-ups: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_belongs_to_its_filters_and_its_order() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for _ in 0..3 {
        scheduled(&service, request(&chat)).await;
    }
    let first = ListFollowUpsRequest {
        page_size: 1,
        statuses: vec![FollowUpStatus::Pending.into(), FollowUpStatus::Cancelled.into()],
        ..Default::default()
    };
    let page = service.follow_ups.clone().list_follow_ups(first.clone()).await.expect("listed").into_inner();
    let next = ListFollowUpsRequest { page_token: page.next_page_token, ..first };
    let same_list =
        ListFollowUpsRequest { page_size: 2, statuses: next.statuses.iter().rev().copied().collect(), ..next.clone() };
    service.follow_ups.clone().list_follow_ups(same_list).await.expect("the same states, another page size");
    let bound = Some(timestamp(noon(0)));
    for wrong in [
        ListFollowUpsRequest { conversation_id: chat.clone(), ..next.clone() },
        ListFollowUpsRequest { trigger: FollowUpTrigger::Custom.into(), ..next.clone() },
        ListFollowUpsRequest { subject: "order".to_owned(), ..next.clone() },
        ListFollowUpsRequest { statuses: Vec::new(), ..next.clone() },
        ListFollowUpsRequest { due_from: bound, ..next.clone() },
        ListFollowUpsRequest { due_before: bound, ..next.clone() },
        ListFollowUpsRequest { order: FollowUpOrder::LatestFirst.into(), ..next.clone() },
    ] {
        let status = service.follow_ups.clone().list_follow_ups(wrong.clone()).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_follow_ups_with_long_texts_stays_below_the_clients_limit() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for _ in 0..150 {
        let long = ScheduleFollowUpRequest { content: "x".repeat(32_768), ..request(&chat) };
        scheduled(&service, long).await;
    }
    for order in [FollowUpOrder::EarliestFirst, FollowUpOrder::LatestFirst] {
        let all = ListFollowUpsRequest { page_size: 1000, order: order.into(), ..Default::default() };
        // The call fails if a page exceeds the client's own limit of 4 MiB.
        let mut listed = listed(&service, all).await;
        if order == FollowUpOrder::LatestFirst {
            listed.reverse();
        }
        assert_eq!(listed.len(), 150);
        assert!(listed.is_sorted_by_key(position));
    }
}
