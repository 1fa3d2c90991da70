use teppan_shared::contract::conversation::v1::follow_up_service_server::FollowUpService;

use super::Grpc;

#[tonic::async_trait]
impl FollowUpService for Grpc {}
