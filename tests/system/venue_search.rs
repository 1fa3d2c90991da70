//! ListVenues with filters.

use prost_types::FieldMask;
use sqlx::AssertSqlSafe;
use teppan_shared::contract::booking::v1::{ListVenuesRequest, UpdateVenueRequest, Venue};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
};
use tonic_types::StatusExt as _;

const SEARCH: &str = include_str!("../../booking-service/src/venues/search.sql");

/// The ids of all pages of two.
async fn listed(clients: &mut BookingClients, request: &ListVenuesRequest) -> Vec<String> {
    let mut request = ListVenuesRequest { page_size: 2, ..request.clone() };
    let mut ids = Vec::new();
    loop {
        let page = clients.schedule.list_venues(request.clone()).await.expect("listed").into_inner();
        assert!(page.venues.len() <= 2);
        ids.extend(page.venues.into_iter().map(|venue| venue.venue_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

async fn made(clients: &mut BookingClients, name: &str, zone: &str, place: &str, tags: &[&str]) -> String {
    let venue = fixtures::venue_with(clients, 4, |venue| {
        (venue.name, venue.time_zone, venue.place) = (name.to_owned(), zone.to_owned(), place.to_owned());
        venue.tags = texts(tags);
    });
    venue.await.expect("a venue").venue_id
}

#[tokio::test(flavor = "multi_thread")]
async fn venues_are_found_by_the_beginning_of_the_name_tags_place_and_time_zone_page_by_page() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let garden = made(clients, "Teppan Garden", "Europe/Berlin", "Berlin", &["vegan", "terrace"]).await;
    let corner = made(clients, "TEPPAN Corner", "Europe/Berlin", "Potsdam", &["terrace"]).await;
    let tower = made(clients, "teppan tower", "Asia/Tokyo", "東京", &["vegan", "terrace", "bar"]).await;
    let other = made(clients, "The Teppan", "Europe/Berlin", "berlin", &[]).await;
    let any = ListVenuesRequest::default();
    let prefix = |text: &str| ListVenuesRequest { name_prefix: text.to_owned(), ..any.clone() };
    let tagged = |tags: &[&str]| ListVenuesRequest { tags: texts(tags), ..any.clone() };
    let at = |place: &str| ListVenuesRequest { place: place.to_owned(), ..any.clone() };
    let zoned = |zone: &str| ListVenuesRequest { time_zone: zone.to_owned(), ..any.clone() };
    let named = ListVenuesRequest { name: "Teppan Garden".to_owned(), ..tagged(&["bar"]) };
    for (request, expected) in [
        (any.clone(), vec![&garden, &corner, &tower, &other]),
        (prefix("teppan"), vec![&garden, &corner, &tower]),
        (prefix("Teppan T"), vec![&tower]),
        (prefix("eppan"), vec![]),
        (prefix("teppan_"), vec![]),
        (prefix("%"), vec![]),
        (tagged(&["terrace"]), vec![&garden, &corner, &tower]),
        (tagged(&["terrace", "vegan"]), vec![&garden, &tower]),
        (tagged(&["sushi"]), vec![]),
        (at("BERLIN"), vec![&garden, &other]),
        (at("東京"), vec![&tower]),
        (zoned("Europe/Berlin"), vec![&garden, &corner, &other]),
        (ListVenuesRequest { tags: texts(&["vegan"]), ..prefix("teppan") }, vec![&garden, &tower]),
        (ListVenuesRequest { time_zone: "Europe/Berlin".to_owned(), ..tagged(&["vegan"]) }, vec![&garden]),
        (named, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().cloned().collect();
        assert_eq!(listed(clients, &request).await, expected, "{request:?}");
    }
    let first = clients.schedule.list_venues(ListVenuesRequest { page_size: 1, ..prefix("teppan") }).await;
    let page_token = first.expect("listed").into_inner().next_page_token;
    let wrong = ListVenuesRequest { page_token, ..prefix("tepp") };
    let refused = clients.schedule.list_venues(wrong).await.expect_err("refused");
    let fields = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    assert_eq!(fields[0].field, "page_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_place_are_changed_by_their_mask_only() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue_id = made(clients, "Teppan Garden", "Europe/Berlin", "Berlin", &["vegan", "bar"]).await;
    let update = |tags: &[&str], place: &str, paths: &[&str]| UpdateVenueRequest {
        venue: Some(Venue {
            venue_id: venue_id.clone(),
            tags: texts(tags),
            place: place.to_owned(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: texts(paths) }),
        etag: String::new(),
    };
    for (request, tags, place) in [
        (update(&["x"], "Potsdam", &["hold_minutes"]), None, None),
        (update(&["x"], "Potsdam", &["place"]), Some(&["bar", "vegan"][..]), Some("Potsdam")),
        (update(&["sushi"], "", &["tags"]), Some(&["sushi"]), Some("Potsdam")),
        (update(&[], "", &["tags", "place"]), Some(&[]), Some("")),
    ] {
        let answer = clients.schedule.update_venue(request).await;
        let Some((tags, place)) = tags.zip(place) else {
            answer.expect_err("hold_minutes is 0");
            continue;
        };
        let venue = answer.expect("updated").into_inner().venue.expect("a venue");
        assert_eq!((venue.tags, venue.place.as_str()), (texts(tags), place));
    }
    let wrong = clients.schedule.update_venue(update(&["Upper"], &"x".repeat(101), &["tags", "place"])).await;
    let fields = wrong.expect_err("refused").get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["venue.tags", "venue.place"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_search_of_venues_reads_a_range_of_the_index_of_its_filter() {
    let mut service = Booking::start().await.ready().await;
    made(&mut service.clients, "Teppan Garden", "Europe/Berlin", "Berlin", &["terrace"]).await;
    let mut connection = harness::connect(&service.url).await;
    let copies = "
        SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
        INSERT INTO venues
        SELECT (jsonb_populate_record(v, jsonb_build_object('venue_id', gen_random_uuid(), 'name', 'Other ' || n,
            'place', 'Place ' || n, 'time_zone', 'Zone ' || n, 'tags', jsonb_build_array('tag' || n)))).*
        FROM venues v, generate_series(1, 5000) AS n; ANALYZE venues";
    sqlx::raw_sql(copies).execute(&mut connection).await.expect("copied");
    let prepare =
        format!("PREPARE search (timestamptz, uuid, bigint, text, text, text, text[], text, text) AS {SEARCH}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.expect("prepared");
    let start = "'1970-01-01', '00000000-0000-0000-0000-000000000000', 51";
    for (filters, index) in [
        ("'Teppan Garden', NULL, NULL, NULL, NULL, 'name'", "venues_name"),
        ("NULL, 'teppan', NULL, NULL, NULL, 'name_prefix'", "venues_name_prefix"),
        ("NULL, NULL, 'berlin', NULL, NULL, 'place'", "venues_place"),
        ("NULL, NULL, NULL, '{terrace}', NULL, 'tags'", "venues_tags"),
        ("NULL, NULL, NULL, NULL, 'Europe/Berlin', 'time_zone'", "venues_time_zone"),
    ] {
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE search ({start}, {filters})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.expect("a plan");
        let plan = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n");
        let is_used = |line: &str| line.contains(&format!("{index} ")) && !line.contains("never executed");
        assert!(plan.lines().any(is_used), "{index}\n{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("venues_created"), "{index}\n{plan}");
        let buffers = plan.split("Buffers: shared hit=").nth(1).and_then(|rest| rest.split([' ', '\n']).next());
        let buffers: u32 = buffers.expect("buffers").parse().expect("a number");
        assert!(buffers < 40, "{index}\n{plan}");
    }
}
