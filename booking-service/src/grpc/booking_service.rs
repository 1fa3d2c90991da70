use std::sync::Arc;

use futures::StreamExt as _;
use teppan_shared::{
    contract::booking::v1::{
        AssignTablesRequest, AssignTablesResponse, CancelBookingRequest, CancelBookingResponse, CompleteBookingRequest,
        CompleteBookingResponse, ConfirmBookingRequest, ConfirmBookingResponse, CreateBookingRequest,
        CreateBookingResponse, GetBookingRequest, GetBookingResponse, JoinWaitlistRequest, JoinWaitlistResponse,
        LeaveWaitlistRequest, LeaveWaitlistResponse, ListBookingsRequest, ListBookingsResponse, ListFloorRequest,
        ListFloorResponse, ListWaitlistRequest, ListWaitlistResponse, MarkNoShowRequest, MarkNoShowResponse,
        QuoteBookingRequest, QuoteBookingResponse, ReinstateBookingRequest, ReinstateBookingResponse,
        RescheduleBookingRequest, RescheduleBookingResponse, SeatBookingRequest, SeatBookingResponse,
        StreamBookingEventsRequest, StreamBookingEventsResponse, SuggestSlotsRequest, SuggestSlotsResponse,
        UpdateBookingRequest, UpdateBookingResponse, booking_service_server::BookingService,
    },
    server::Bounds,
    server::answer,
};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{
    Grpc, assign_tables, cancel_booking, change_booking, create_booking, encode, encode_waitlist_entry::waitlist_entry,
    get_booking, join_waitlist, leave_waitlist, list_bookings, list_floor, list_waitlist, quote_booking,
    reschedule_booking, status, stream_booking_events, suggest_slots, update_booking,
};

#[tonic::async_trait]
impl BookingService for Grpc {
    async fn create_booking(
        &self,
        request: Request<CreateBookingRequest>,
    ) -> Result<Response<CreateBookingResponse>, Status> {
        let reply_by = Bounds::of(&request)?.ends_at();
        let new = create_booking::decode(request.into_inner())?;
        let created = match self.bookings.create_booking(&new, reply_by).await {
            Ok(created) => created,
            Err(error) => return Err(self.refuse_creation(&error, new.slot, new.party_size, new.is_walk_in()).await),
        };
        let mut booking = encode::booking(created.booking);
        if new.validate_only && !created.replayed {
            encode::clear_ids(&mut booking);
        }
        let booking = Some(booking);
        Ok(answer(CreateBookingResponse { booking, replayed: created.replayed }, created.replayed))
    }

    async fn quote_booking(
        &self,
        request: Request<QuoteBookingRequest>,
    ) -> Result<Response<QuoteBookingResponse>, Status> {
        let wish = quote_booking::decode(request.into_inner())?;
        match self.bookings.quote_booking(wish.wish()).await {
            Ok(quote) => Ok(Response::new(quote_booking::encode(quote))),
            Err(error) => Err(self.refuse_creation(&error, wish.slot, wish.party_size, false).await),
        }
    }

    async fn get_booking(&self, request: Request<GetBookingRequest>) -> Result<Response<GetBookingResponse>, Status> {
        let request = request.into_inner();
        let name = get_booking::decode(&request)?;
        let booking = self.bookings.get_booking(&name).await.map_err(|error| status::get_booking(&error, &request))?;
        Ok(Response::new(GetBookingResponse { booking: Some(encode::booking(booking)) }))
    }

    async fn list_bookings(
        &self,
        request: Request<ListBookingsRequest>,
    ) -> Result<Response<ListBookingsResponse>, Status> {
        let request = request.into_inner();
        let (query, page_size) = list_bookings::decode(&request)?;
        let found = self.bookings.list_bookings(&query, page_size).await;
        let found = found.map_err(|error| status::list_bookings(&error, &request))?;
        Ok(Response::new(list_bookings::encode(&request, found)))
    }

    async fn confirm_booking(
        &self,
        request: Request<ConfirmBookingRequest>,
    ) -> Result<Response<ConfirmBookingResponse>, Status> {
        let request = request.into_inner();
        let target = change_booking::decode(&request.booking_id, request.etag, request.validate_only)?;
        let confirmed = if request.confirmed_by_guest {
            self.bookings.confirm_by_guest(&target).await
        } else {
            self.bookings.confirm_booking(&target).await
        };
        let booking = confirmed.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(ConfirmBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn cancel_booking(
        &self,
        request: Request<CancelBookingRequest>,
    ) -> Result<Response<CancelBookingResponse>, Status> {
        let (target, cancelled_by) = cancel_booking::decode(request.into_inner())?;
        let cancelled = self.bookings.cancel_booking(&target, cancelled_by).await;
        let booking = cancelled.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(CancelBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn reschedule_booking(
        &self,
        request: Request<RescheduleBookingRequest>,
    ) -> Result<Response<RescheduleBookingResponse>, Status> {
        let wish = reschedule_booking::decode(request.into_inner())?;
        let booking = match self.bookings.reschedule_booking(&wish).await {
            Ok(booking) => booking,
            Err(error) => return Err(self.refuse_reschedule(&error, &wish).await),
        };
        Ok(Response::new(RescheduleBookingResponse {
            booking: Some(encode::changed(booking, wish.target.validate_only)),
        }))
    }

    async fn complete_booking(
        &self,
        request: Request<CompleteBookingRequest>,
    ) -> Result<Response<CompleteBookingResponse>, Status> {
        let request = request.into_inner();
        let target = change_booking::decode(&request.booking_id, request.etag, request.validate_only)?;
        let booking =
            self.bookings.complete_booking(&target).await.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(CompleteBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn mark_no_show(&self, request: Request<MarkNoShowRequest>) -> Result<Response<MarkNoShowResponse>, Status> {
        let request = request.into_inner();
        let target = change_booking::decode(&request.booking_id, request.etag, request.validate_only)?;
        let marked = self.bookings.mark_no_show(&target, request.waive_fee).await;
        let booking = marked.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(MarkNoShowResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn update_booking(
        &self,
        request: Request<UpdateBookingRequest>,
    ) -> Result<Response<UpdateBookingResponse>, Status> {
        let (target, change) = update_booking::decode(request.into_inner())?;
        let booking = self.bookings.update_booking(&target, &change).await;
        let booking = booking.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(UpdateBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn reinstate_booking(
        &self,
        request: Request<ReinstateBookingRequest>,
    ) -> Result<Response<ReinstateBookingResponse>, Status> {
        let request = request.into_inner();
        let target = change_booking::decode(&request.booking_id, request.etag, request.validate_only)?;
        let booking =
            self.bookings.reinstate_booking(&target).await.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(ReinstateBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn assign_tables(
        &self,
        request: Request<AssignTablesRequest>,
    ) -> Result<Response<AssignTablesResponse>, Status> {
        let (target, wish) = assign_tables::decode(request.into_inner())?;
        let booking = self.bookings.assign_tables(&target, &wish).await;
        let booking = booking.map_err(|error| assign_tables::refused(&error, &target, &wish))?;
        Ok(Response::new(AssignTablesResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn seat_booking(
        &self,
        request: Request<SeatBookingRequest>,
    ) -> Result<Response<SeatBookingResponse>, Status> {
        let request = request.into_inner();
        let target = change_booking::decode(&request.booking_id, request.etag, request.validate_only)?;
        let booking = self.bookings.seat_booking(&target, request.undo).await;
        let booking = booking.map_err(|error| status::change_booking(&error, &target))?;
        Ok(Response::new(SeatBookingResponse { booking: Some(encode::changed(booking, target.validate_only)) }))
    }

    async fn list_floor(&self, request: Request<ListFloorRequest>) -> Result<Response<ListFloorResponse>, Status> {
        let request = request.into_inner();
        let query = list_floor::decode(&request)?;
        let found = self.bookings.list_floor(&query).await;
        let found = found.map_err(|error| status::read(&error, status::VENUE, &request.venue_id))?;
        Ok(Response::new(list_floor::encode(found)))
    }

    async fn join_waitlist(
        &self,
        request: Request<JoinWaitlistRequest>,
    ) -> Result<Response<JoinWaitlistResponse>, Status> {
        let new = join_waitlist::decode(request.into_inner())?;
        let joined = self.waitlist.join_waitlist(&new).await.map_err(|error| status::join_waitlist(&error, &new))?;
        let mut entry = waitlist_entry(joined.entry);
        if new.validate_only && !joined.replayed && !joined.already_waiting {
            // A validated entry has no ids.
            (entry.waitlist_entry_id, entry.customer_id) = (String::new(), String::new());
        }
        let entry = Some(entry);
        let already_waiting = joined.already_waiting;
        Ok(answer(JoinWaitlistResponse { entry, replayed: joined.replayed, already_waiting }, joined.replayed))
    }

    async fn leave_waitlist(
        &self,
        request: Request<LeaveWaitlistRequest>,
    ) -> Result<Response<LeaveWaitlistResponse>, Status> {
        let request = request.into_inner();
        let id = leave_waitlist::decode(&request)?;
        let entry = self
            .waitlist
            .leave_waitlist(id, request.validate_only)
            .await
            .map_err(|error| status::leave_waitlist(&error, id))?;
        Ok(Response::new(LeaveWaitlistResponse { entry: Some(waitlist_entry(entry)) }))
    }

    async fn list_waitlist(
        &self,
        request: Request<ListWaitlistRequest>,
    ) -> Result<Response<ListWaitlistResponse>, Status> {
        let request = request.into_inner();
        let (query, page_size) = list_waitlist::decode(&request)?;
        let found = self.waitlist.list_waitlist(&query, page_size).await;
        let found = found.map_err(|error| status::read(&error, status::WAITLIST_ENTRY, ""))?;
        Ok(Response::new(list_waitlist::encode(&request, found)))
    }

    async fn suggest_slots(
        &self,
        request: Request<SuggestSlotsRequest>,
    ) -> Result<Response<SuggestSlotsResponse>, Status> {
        let (venues, wish) = suggest_slots::decode(&request.into_inner())?;
        let found = self.slots.suggest_slots(&venues, &wish).await;
        let found = found.map_err(|error| status::read(&error, status::VENUE, ""))?;
        Ok(Response::new(suggest_slots::encode(&found)))
    }

    async fn stream_booking_events(
        &self,
        request: Request<StreamBookingEventsRequest>,
    ) -> Result<Response<BoxStream<StreamBookingEventsResponse>>, Status> {
        let request = stream_booking_events::decode(request.into_inner())?;
        let steps = Arc::clone(&self.events).stream_booking_events(request).await;
        let steps = steps.map_err(|error| status::stream(&error))?;
        let steps = steps.map(|step| step.map(stream_booking_events::encode).map_err(|error| status::stream(&error)));
        Ok(Response::new(Box::pin(steps)))
    }
}
