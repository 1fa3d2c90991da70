//! The floors of the venues in a model test.

use teppan_shared::contract::booking::v1::{Area, Floor, SittingRule, Table, TableCombination};

/// The areas and tables that requests name. Floors have some of them.
pub const AREAS: [&str; 3] = ["main", "terrace", "roof"];
pub const TABLES: [&str; 4] = ["T1", "T2", "T3", "T4"];

/// One of a few floors. The first one is none; the next ones have no tables.
pub fn floor(variant: u8, venue_id: &str) -> Floor {
    let (areas, sittings, turn_minutes, tick_minutes) = match variant {
        // In the evening, the second start falls into the visits of the first one.
        1 => (vec![seats("main", 7), seats("terrace", 4)], vec![pairs(90), others(150)], 0, 0),
        2 => (vec![seats("terrace", 5), seats("main", 5)], vec![early(60), others(120)], 15, 30),
        3 => {
            let tables = vec![table("T1", 1, 2), table("T2", 1, 4), table("T3", 1, 4)];
            (
                vec![with(seats("main", 9), tables, vec![join(&["T3", "T2"], 5, 8)]), seats("terrace", 4)],
                vec![pairs(90), others(150)],
                10,
                15,
            )
        }
        // Both areas have tables of the same names.
        4 => {
            let main = with(seats("main", 12), vec![table("T2", 3, 6), table("T1", 1, 2)], vec![]);
            let joined = vec![join(&["T1", "T2"], 2, 4), join(&["T1", "T2", "T3"], 3, 6)];
            let terrace =
                with(seats("terrace", 8), vec![table("T1", 1, 2), table("T2", 1, 2), table("T3", 1, 2)], joined);
            (vec![main, terrace], vec![others(135)], 0, 20)
        }
        // An area of one table, and fewer seats than before.
        5 => (
            vec![with(seats("main", 5), vec![table("T1", 1, 3)], vec![]), seats("terrace", 3)],
            vec![others(100)],
            5,
            5,
        ),
        _ => (Vec::new(), Vec::new(), 0, 0),
    };
    Floor { venue_id: venue_id.to_owned(), areas, sittings, turn_minutes, tick_minutes, ..Default::default() }
}

fn seats(area: &str, seats: i32) -> Area {
    Area { area: area.to_owned(), seats: Some(seats), ..Default::default() }
}

fn with(area: Area, tables: Vec<Table>, combinations: Vec<TableCombination>) -> Area {
    Area { name: "With tables".to_owned(), tables, combinations, ..area }
}

fn table(table: &str, min_party_size: i32, max_party_size: i32) -> Table {
    Table { table: table.to_owned(), min_party_size, max_party_size }
}

fn join(tables: &[&str], min_party_size: i32, max_party_size: i32) -> TableCombination {
    let tables = tables.iter().map(|&table| table.to_owned()).collect();
    TableCombination { tables, min_party_size, max_party_size }
}

fn pairs(minutes: i32) -> SittingRule {
    SittingRule { max_party_size: 2, minutes, ..Default::default() }
}

fn early(minutes: i32) -> SittingRule {
    SittingRule { until_time: "18:30".to_owned(), minutes, ..Default::default() }
}

fn others(minutes: i32) -> SittingRule {
    SittingRule { minutes, ..Default::default() }
}
