use teppan_shared::{
    contract::booking::v1::{
        BatchCheckAvailabilityRequest, BatchCheckAvailabilityResponse, CreateVenueRequest, CreateVenueResponse,
        DeleteSpecialDaysRequest, DeleteSpecialDaysResponse, GetFloorRequest, GetFloorResponse, GetVenueRequest,
        GetVenueResponse, ListAvailabilityRequest, ListAvailabilityResponse, ListSpecialDaysRequest,
        ListSpecialDaysResponse, ListVenuesRequest, ListVenuesResponse, SetFloorRequest, SetFloorResponse,
        SetSpecialDaysRequest, SetSpecialDaysResponse, SetWeeklyScheduleRequest, SetWeeklyScheduleResponse,
        UpdateSlotRequest, UpdateSlotResponse, UpdateVenueRequest, UpdateVenueResponse,
        schedule_service_server::ScheduleService,
    },
    server::answer,
    status::Violations,
};
use tonic::{Request, Response, Status};

use super::{
    Grpc, batch_check_availability, create_venue, encode, list_availability, list_venues, set_floor,
    set_weekly_schedule, special_days, status, update_slot, update_venue,
};
use crate::{domain::VenueId, slots::special_days::SpecialDaysChange};

#[tonic::async_trait]
impl ScheduleService for Grpc {
    async fn create_venue(
        &self,
        request: Request<CreateVenueRequest>,
    ) -> Result<Response<CreateVenueResponse>, Status> {
        let new = create_venue::decode(request.into_inner())?;
        let created = self.venues.create_venue(&new).await.map_err(|error| status::create_venue(&error))?;
        let venue = Some(encode::venue(created.venue));
        Ok(answer(CreateVenueResponse { venue, replayed: created.replayed }, created.replayed))
    }

    async fn update_venue(
        &self,
        request: Request<UpdateVenueRequest>,
    ) -> Result<Response<UpdateVenueResponse>, Status> {
        let update = update_venue::decode(request.into_inner())?;
        let venue = self
            .venues
            .update_venue(update.venue_id, &update.change, update.version)
            .await
            .map_err(|error| status::update_venue(&error, &update))?;
        Ok(Response::new(UpdateVenueResponse { venue: Some(encode::venue(venue)) }))
    }

    async fn get_venue(&self, request: Request<GetVenueRequest>) -> Result<Response<GetVenueResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let id = violations.check("venue_id", VenueId::parse(&request.venue_id));
        let Some(id) = id else { return Err(violations.into_status()) };
        let found =
            self.venues.get_venue(id).await.map_err(|error| status::read(&error, status::VENUE, &request.venue_id))?;
        Ok(Response::new(GetVenueResponse {
            venue: Some(encode::venue(found.venue)),
            schedule: found.schedule.as_ref().map(encode::schedule),
        }))
    }

    async fn list_venues(&self, request: Request<ListVenuesRequest>) -> Result<Response<ListVenuesResponse>, Status> {
        let page = list_venues::decode(request.into_inner())?;
        let found =
            self.venues.list_venues(&page.search, page.after, page.size).await.map_err(|error| error.to_failure())?;
        Ok(Response::new(list_venues::encode(&page, found)))
    }

    async fn set_weekly_schedule(
        &self,
        request: Request<SetWeeklyScheduleRequest>,
    ) -> Result<Response<SetWeeklyScheduleResponse>, Status> {
        let request = request.into_inner();
        let (venue_id, schedule) = set_weekly_schedule::decode(&request)?;
        let done = self
            .slots
            .set_weekly_schedule(venue_id, &schedule)
            .await
            .map_err(|error| status::set_schedule(&error, &request.venue_id))?;
        Ok(Response::new(set_weekly_schedule::encode(&done)))
    }

    async fn set_special_days(
        &self,
        request: Request<SetSpecialDaysRequest>,
    ) -> Result<Response<SetSpecialDaysResponse>, Status> {
        let request = request.into_inner();
        let (venue_id, special_days) = special_days::decode_set(&request, self.slots.clock.now())?;
        let changed = self
            .slots
            .change_special_days(venue_id, &SpecialDaysChange::Set(special_days), request.validate_only)
            .await
            .map_err(|error| status::change_special_days(&error, &request.venue_id))?;
        Ok(Response::new(special_days::encode_set(changed)))
    }

    async fn list_special_days(
        &self,
        request: Request<ListSpecialDaysRequest>,
    ) -> Result<Response<ListSpecialDaysResponse>, Status> {
        let request = request.into_inner();
        let page = special_days::decode_list(&request)?;
        let found = self
            .slots
            .list_special_days(&page.query, page.after, page.size)
            .await
            .map_err(|error| status::read(&error, status::VENUE, &request.venue_id))?;
        Ok(Response::new(special_days::encode_list(&request, found)))
    }

    async fn delete_special_days(
        &self,
        request: Request<DeleteSpecialDaysRequest>,
    ) -> Result<Response<DeleteSpecialDaysResponse>, Status> {
        let request = request.into_inner();
        let (venue_id, id) = special_days::decode_delete(&request)?;
        let changed = self
            .slots
            .change_special_days(venue_id, &SpecialDaysChange::Delete(id), request.validate_only)
            .await
            .map_err(|error| status::change_special_days(&error, &request.venue_id))?;
        Ok(Response::new(special_days::encode_delete(changed)))
    }

    async fn update_slot(&self, request: Request<UpdateSlotRequest>) -> Result<Response<UpdateSlotResponse>, Status> {
        let (key, change) = update_slot::decode(request.into_inner())?;
        let slot = self.slots.update_slot(key, change).await.map_err(|error| status::update_slot(&error, key))?;
        Ok(Response::new(UpdateSlotResponse { slot: Some(encode::slot(&slot)) }))
    }

    async fn set_floor(&self, request: Request<SetFloorRequest>) -> Result<Response<SetFloorResponse>, Status> {
        let new = set_floor::decode(request.into_inner())?;
        let set = self.venues.set_floor(&new).await.map_err(|error| status::set_floor(&error, new.venue_id))?;
        Ok(Response::new(set_floor::encode_set(set, new.venue_id, new.validate_only)))
    }

    async fn get_floor(&self, request: Request<GetFloorRequest>) -> Result<Response<GetFloorResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let id = violations.check("venue_id", VenueId::parse(&request.venue_id));
        let Some(id) = id else { return Err(violations.into_status()) };
        let floor =
            self.venues.get_floor(id).await.map_err(|error| status::read(&error, status::VENUE, &request.venue_id))?;
        Ok(Response::new(GetFloorResponse { floor: Some(set_floor::encode(floor, id)) }))
    }

    async fn list_availability(
        &self,
        request: Request<ListAvailabilityRequest>,
    ) -> Result<Response<ListAvailabilityResponse>, Status> {
        let request = request.into_inner();
        let page = list_availability::decode(&request)?;
        let found = self
            .slots
            .list_availability(&page.query, page.after, page.size)
            .await
            .map_err(|error| status::read(&error, status::VENUE, &request.venue_id))?;
        Ok(Response::new(list_availability::encode(&request, found)))
    }

    async fn batch_check_availability(
        &self,
        request: Request<BatchCheckAvailabilityRequest>,
    ) -> Result<Response<BatchCheckAvailabilityResponse>, Status> {
        let request = request.into_inner();
        let queries = batch_check_availability::decode(&request)?;
        let checks = self
            .slots
            .batch_check_availability(&queries)
            .await
            .map_err(|error| status::read(&error, status::VENUE, ""))?;
        Ok(Response::new(batch_check_availability::encode(request, checks)))
    }
}
