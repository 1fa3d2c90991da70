use std::collections::BTreeSet;

use teppan_shared::{
    contract::booking::v1::AssignTablesRequest,
    status::{Failure, Violations},
    wire::given,
};
use tonic::Status;

use super::{change_booking, status};
use crate::{
    bookings::{
        assign_tables::TableWish,
        change::{BookingTarget, ChangeBookingError},
    },
    domain::{AreaKey, ChangeRefusal, TABLES_MAX, TableKey, TableRefusal},
};

/// Decodes the request, or returns every violation.
pub fn decode(request: AssignTablesRequest) -> Result<(BookingTarget, TableWish), Status> {
    let mut violations = Violations::default();
    let target = change_booking::target(&request.booking_id, request.etag, request.validate_only, &mut violations);
    let area = violations.check_optional("area", given(request.area).map(|area| AreaKey::parse(&area)));
    if request.tables.len() > TABLES_MAX {
        violations.add("tables", format_args!("must be at most {TABLES_MAX}"));
    }
    let (mut tables, mut named) = (Vec::new(), BTreeSet::new());
    for (index, raw) in request.tables.iter().take(TABLES_MAX).enumerate() {
        let at = format!("tables[{index}]");
        tables.extend(violations.check(at.clone(), TableKey::parse(raw)));
        if !named.insert(raw) {
            violations.add(at, "must be named only once");
        }
    }
    let (Some(target), Some(area)) = (target, area) else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok((target, TableWish { area, tables }))
}

pub fn refused(error: &ChangeBookingError, target: &BookingTarget, wish: &TableWish) -> Status {
    let ChangeBookingError::Refused { refusal: ChangeRefusal::Tables(refusal), .. } = error else {
        return status::change_booking(error, target);
    };
    let named = |positions: u64| {
        let named = wish.tables.iter().enumerate().filter(|(n, _)| positions & (1 << n) != 0);
        named.map(|(_, table)| table.as_str()).collect::<Vec<_>>().join(",")
    };
    let booking = format!("bookings/{}", target.booking_id);
    match *refusal {
        TableRefusal::NotFound { positions } => Failure::not_found("TABLE_NOT_FOUND", "table", named(positions))
            .with_message("The area has no such table: GetFloor lists the tables of each area.")
            .with("tables", named(positions))
            .into(),
        TableRefusal::Taken { positions } => {
            let message = "Another booking has a table during the visit: choose other tables, or assign that booking \
                           others first.";
            Failure::precondition("TABLE_TAKEN", booking, message).with("tables", named(positions)).into()
        }
        TableRefusal::NoTables => {
            let message = "The area has no tables: name an area that has, or set tables with SetFloor.";
            Failure::precondition("AREA_HAS_NO_TABLES", booking, message).into()
        }
    }
}
