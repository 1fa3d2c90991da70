use teppan_shared::{
    contract::booking::v1::{
        EraseCustomerRequest, EraseCustomerResponse, ExportCustomerRequest, ExportCustomerResponse,
        FindCustomerRequest, FindCustomerResponse, GetCustomerRequest, GetCustomerResponse, MergeCustomersRequest,
        MergeCustomersResponse, SetConsentRequest, SetConsentResponse, UpdateCustomerRequest, UpdateCustomerResponse,
        customer_service_server::CustomerService,
    },
    server::Bounds,
    status::Violations,
    wire::timestamp,
};
use tonic::{Request, Response, Status};

use super::{Grpc, decode_phone, encode, export_customer, merge_customers, set_consent, status, update_customer};
use crate::{
    customers::find::CustomerLookup,
    domain::{CustomerId, Email},
};

#[tonic::async_trait]
impl CustomerService for Grpc {
    async fn get_customer(
        &self,
        request: Request<GetCustomerRequest>,
    ) -> Result<Response<GetCustomerResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let id = violations.check("customer_id", CustomerId::parse(&request.customer_id));
        let Some(id) = id else { return Err(violations.into_status()) };
        let customer = self
            .customers
            .find_customer(&CustomerLookup::Id(id))
            .await
            .map_err(|error| status::read(&error, status::CUSTOMER, &request.customer_id))?;
        Ok(Response::new(GetCustomerResponse { customer: Some(encode::customer(customer)) }))
    }

    async fn find_customer(
        &self,
        request: Request<FindCustomerRequest>,
    ) -> Result<Response<FindCustomerResponse>, Status> {
        let lookup = decode_lookup(request.into_inner())?;
        let customer = self
            .customers
            .find_customer(&lookup)
            .await
            // The error names no customer: the name would be personal data, and errors contain none.
            .map_err(|error| status::read(&error, status::CUSTOMER, ""))?;
        Ok(Response::new(FindCustomerResponse { customer: Some(encode::customer(customer)) }))
    }

    async fn update_customer(
        &self,
        request: Request<UpdateCustomerRequest>,
    ) -> Result<Response<UpdateCustomerResponse>, Status> {
        let update = update_customer::decode(request.into_inner())?;
        let customer = self
            .customers
            .update_customer(update.id, &update.change, update.version)
            .await
            .map_err(|error| status::update_customer(&error, update.id))?;
        Ok(Response::new(UpdateCustomerResponse { customer: Some(encode::customer(customer)) }))
    }

    async fn merge_customers(
        &self,
        request: Request<MergeCustomersRequest>,
    ) -> Result<Response<MergeCustomersResponse>, Status> {
        let merge = merge_customers::decode(request.into_inner())?;
        let customer =
            self.merges.merge_customers(&merge).await.map_err(|error| status::merge_customers(&error, &merge))?;
        Ok(Response::new(MergeCustomersResponse { customer: Some(encode::customer(customer)) }))
    }

    async fn set_consent(&self, request: Request<SetConsentRequest>) -> Result<Response<SetConsentResponse>, Status> {
        let bounds = Bounds::of(&request)?;
        let requested = set_consent::decode(request.into_inner())?;
        let customer = self
            .customers
            .set_consent(requested.id, &requested.consent, requested.version, bounds.caller())
            .await
            .map_err(|error| status::set_consent(&error, requested.id))?;
        Ok(Response::new(set_consent::encode(customer)))
    }

    async fn export_customer(
        &self,
        request: Request<ExportCustomerRequest>,
    ) -> Result<Response<ExportCustomerResponse>, Status> {
        let request = request.into_inner();
        let export = export_customer::decode(&request)?;
        let page = self
            .exports
            .export_page(export.id, export.after, export.page_size)
            .await
            .map_err(|error| status::export_customer(&error, &request))?;
        Ok(Response::new(export_customer::encode(&request, page, self.bookings.clock.now())))
    }

    async fn erase_customer(
        &self,
        request: Request<EraseCustomerRequest>,
    ) -> Result<Response<EraseCustomerResponse>, Status> {
        let mut violations = Violations::default();
        let id = violations.check("customer_id", CustomerId::parse(&request.into_inner().customer_id));
        let Some(id) = id else { return Err(violations.into_status()) };
        let erased = self.customers.erase_customer(id).await.map_err(|error| status::erase_customer(&error, id))?;
        Ok(Response::new(EraseCustomerResponse {
            customer_id: id.to_string(),
            erased_at: Some(timestamp(erased.erased_at)),
            bookings_kept: erased.bookings_kept,
            conversation_ids: erased.conversation_ids,
        }))
    }
}

/// Decodes the request, or returns every violation.
fn decode_lookup(request: FindCustomerRequest) -> Result<CustomerLookup, Status> {
    let mut violations = Violations::default();
    let region = decode_phone::decode_region(request.phone_region, &mut violations);
    let lookup = match (request.email.as_str(), request.phone.as_str()) {
        (email, "") => violations.check("email", Email::parse(email)).map(CustomerLookup::Email),
        ("", phone) => decode_phone::decode(phone, region, &mut violations).map(CustomerLookup::Phone),
        _ => {
            violations.add("phone", "must not be given together with email");
            None
        }
    };
    match lookup.filter(|_| region.is_some()) {
        Some(lookup) => Ok(lookup),
        None => Err(violations.into_status()),
    }
}
