use teppan_shared::contract::events::v1 as wire;

use super::{
    booking::OpenBooking,
    change::{BookingTarget, ChangeBookingError, NoChange, allow},
    decision::{Decision, Occasion},
    event_data::{EventData, timestamp},
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    domain::{
        Area, AreaKey, BookingChange, ChangeRefusal, Etag, FloorState, Occupancy, Refusal, Sitting, TableKey,
        TableRefusal,
    },
};

/// The tables that a booking is to have.
#[derive(Debug, Clone, Default)]
pub struct TableWish {
    /// `None`: the area in which the booking is.
    pub area: Option<AreaKey>,
    /// Empty: the first free set that fits the party.
    pub tables: Vec<TableKey>,
}

impl Bookings {
    /// Gives a booking the wished tables of its venue's floor, also if they are too many or too few for the party. Of
    /// several calls for one table, one gets it: the commit looks at the locked row of the day.
    ///
    /// # Errors
    /// [`ChangeBookingError`].
    pub async fn assign_tables(
        &self,
        target: &BookingTarget,
        wish: &TableWish,
    ) -> Result<OpenBooking, ChangeBookingError> {
        let occasion = Occasion::of_call(self.clock.now());
        let assign = |loaded: &Loaded| decide(loaded, target.etag, wish, &occasion);
        self.change(BookingChange::AssignTables, target, &occasion, Wanted::default(), assign).await
    }
}

pub fn decide(
    loaded: &Loaded,
    etag: Option<Etag>,
    wish: &TableWish,
    occasion: &Occasion,
) -> Result<Decision, NoChange> {
    let booking = &loaded.booking;
    if has_already(loaded, wish) {
        return Err(NoChange::Unchanged);
    }
    allow(booking, etag, BookingChange::AssignTables)?;
    let no_area = NoChange::Refused(ChangeRefusal::Slot(booking.slot(), Refusal::AreaNotFound));
    let wanted = wish.area.as_ref().map(AreaKey::as_str).or(booking.area.as_deref());
    let floor = loaded.floor.as_ref().ok_or(no_area)?;
    let area = floor.floor.area(wanted).ok_or(no_area)?;
    let free = floor.after(&booking.occupancy(), -booking.party_size);
    // A booking without an area is counted in the first one.
    let is_elsewhere = floor.floor.area(booking.area.as_deref()).is_none_or(|own| own.area != area.area);
    let tables = choose(loaded, &free, area, &wish.tables, is_elsewhere).map_err(NoChange::Refused)?;
    let mut decision = Decision::about(booking, occasion);
    decision.free_seats();
    decision.apply(EventData::BookingTablesAssigned(wire::BookingTablesAssigned {
        area: area.area.as_str().to_owned(),
        tables,
        occupied_until: timestamp(booking.occupancy().until),
        ..Default::default()
    }))?;
    if is_elsewhere {
        decision.retake_seats();
    } else {
        // The guests are counted in this area already, although it may have fewer seats by now.
        decision.keep_seats();
    }
    Ok(decision)
}

/// Whether the booking is as wished: it has these tables, or any if none are named.
fn has_already(loaded: &Loaded, wish: &TableWish) -> bool {
    let booking = &loaded.booking;
    let is_there = wish.area.as_ref().is_none_or(|area| booking.area.as_deref() == Some(area.as_str()));
    let has = |own: &Vec<String>| {
        wish.tables.is_empty()
            || own.len() == wish.tables.len() && wish.tables.iter().all(|it| own.iter().any(|own| own == it.as_str()))
    };
    is_there && booking.tables.as_ref().is_some_and(has)
}

/// The keys of the tables, in the order of the area. The floor is that without the booking itself.
fn choose(
    loaded: &Loaded,
    floor: &FloorState,
    area: &Area,
    wished: &[TableKey],
    is_elsewhere: bool,
) -> Result<Vec<String>, ChangeRefusal> {
    let booking = &loaded.booking;
    let own = Occupancy { area: Some(area.area.as_str().to_owned()), tables: Vec::new(), ..booking.occupancy() };
    if area.tables.is_empty() {
        return Err(ChangeRefusal::Tables(TableRefusal::NoTables));
    }
    if wished.is_empty() {
        let sitting = Sitting { starts_at: own.since, ends_at: booking.ends_at, occupied_until: own.until };
        let place = floor.place(Some(&area.area), &sitting, booking.party_size, &[]);
        return place.map(|place| place.tables).map_err(|refusal| ChangeRefusal::Slot(booking.slot(), refusal));
    }
    let with = |tables: &[TableKey]| Occupancy {
        tables: tables.iter().map(|table| table.as_str().to_owned()).collect(),
        ..own.clone()
    };
    let positions = |is_refused: &dyn Fn(&TableKey) -> bool| {
        let refused = wished.iter().enumerate().filter(|(_, table)| is_refused(table));
        refused.fold(0, |positions, (n, _)| positions | 1 << n)
    };
    let unknown = positions(&|table| area.tables.iter().all(|it| it.table != *table));
    if unknown != 0 {
        return Err(ChangeRefusal::Tables(TableRefusal::NotFound { positions: unknown }));
    }
    let taken = positions(&|table| !floor.has_room(&with(std::slice::from_ref(table)), 0));
    if taken != 0 {
        return Err(ChangeRefusal::Tables(TableRefusal::Taken { positions: taken }));
    }
    if is_elsewhere && !floor.has_room(&own, booking.party_size) {
        return Err(ChangeRefusal::Slot(booking.slot(), Refusal::AreaFull { open_seats: 0 }));
    }
    let is_wished = |key: &str| wished.iter().any(|it| it.as_str() == key);
    let keys = area.tables.iter().map(|it| it.table.as_str());
    Ok(keys.filter(|key| is_wished(key)).map(str::to_owned).collect())
}
