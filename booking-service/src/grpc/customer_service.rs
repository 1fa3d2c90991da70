use teppan_shared::{
    contract::booking::v1::{
        FindCustomerRequest, FindCustomerResponse, GetCustomerRequest, GetCustomerResponse,
        customer_service_server::CustomerService,
    },
    status::Violations,
};
use tonic::{Request, Response, Status};

use super::{Grpc, encode, status};
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
        let mut violations = Violations::default();
        let email = violations.check("email", Email::parse(&request.into_inner().email));
        let Some(email) = email else { return Err(violations.into_status()) };
        let customer = self
            .customers
            .find_customer(&CustomerLookup::Email(email))
            .await
            // The error names no customer: the name would be the e-mail address, and errors contain no personal data.
            .map_err(|error| status::read(&error, status::CUSTOMER, ""))?;
        Ok(Response::new(FindCustomerResponse { customer: Some(encode::customer(customer)) }))
    }
}
