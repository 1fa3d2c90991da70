//! Generates operations on floors, at tables and at the door.

use proptest::{option, prelude::*, sample::subsequence};

use super::operations::{Operation, Wish};

/// Mostly any area; sometimes one that the floor has, or not.
pub fn area() -> impl Strategy<Value = Option<u8>> {
    option::weighted(0.15, prop_oneof![6 => 0_u8..2, 1 => Just(2_u8)])
}

/// The end of a part of a day.
pub fn latest() -> impl Strategy<Value = Option<u8>> {
    option::weighted(0.5, 0_u8..5)
}

/// Mostly none; sometimes one or two, also one that the floor does not have.
pub fn areas() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => Just(Vec::new()),
        1 => subsequence(vec![0_u8, 1], 1..=2),
        1 => Just(vec![1, 0]),
        1 => subsequence(vec![0_u8, 1, 2], 1),
    ]
}

pub fn tables() -> impl Strategy<Value = Wish> {
    let area = option::weighted(0.3, 0_u8..3);
    (area, subsequence(vec![0_u8, 1, 2, 3], 0..=2)).prop_map(|(area, tables)| Wish::Tables { area, tables })
}

/// Mostly half an hour to three hours after the start.
pub fn leaves() -> impl Strategy<Value = Wish> {
    prop_oneof![6 => 30_i64..=180, 1 => 0_i64..=1445].prop_map(|minutes| Wish::Leaves { minutes })
}

pub fn seat() -> impl Strategy<Value = Wish> {
    prop::bool::weighted(0.3).prop_map(|undo| Wish::Seat { undo })
}

pub fn set_floor() -> impl Strategy<Value = Operation> {
    (0_u8..2, 0_u8..6).prop_map(|(venue, variant)| Operation::SetFloor { venue, variant })
}

pub fn list_floor() -> impl Strategy<Value = Operation> {
    let window = prop_oneof![1 => Just(0), 2 => 1_i32..=1440];
    (0_u8..2, window).prop_map(|(venue, window_minutes)| Operation::ListFloor { venue, window_minutes })
}
