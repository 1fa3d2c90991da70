//! Clients that authenticate with a certificate instead of a token.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use teppan_shared::{
    identity::{Authenticator, IdentitySettings, Proof, Refused, Role},
    reloaded::FileFault,
    tasks::Tasks,
    tls::{ClientCertificates, PeerCertificate},
};
use teppan_tests::{
    authority::{Authority, Issued, Mounted},
    callers::{Callers, call, reason},
};
use tonic::transport::Endpoint;

use super::*;

const ENTRY: &str = "[[credentials]]\nname = \"by-certificate\"\nroles = [\"venue\"]\n\
                     certificates = [\"spiffe://example.org/venue\", \"venue.example.org\", \"venue\"]\n";

fn authenticator(callers: &Callers) -> Result<Arc<Authenticator>, FileFault> {
    callers.write(ENTRY);
    let settings = IdentitySettings { credentials_file: Some(callers.path()), ..IdentitySettings::default() };
    Authenticator::start(&settings, Duration::from_secs(10), &Tasks::default())
}

fn certificate(common_name: Option<&str>, dns_names: &[&str], uris: &[&str]) -> PeerCertificate {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    PeerCertificate { common_name: common_name.map(ToOwned::to_owned), dns_names: owned(dns_names), uris: owned(uris) }
}

#[tokio::test]
async fn a_certificate_is_identified_by_any_alternative_name_or_without_those_by_its_common_name() {
    let callers = Callers::default();
    let authenticator = authenticator(&callers).expect("the credentials file is valid");
    let by =
        async |certificate| authenticator.authenticate(&HeaderMap::new(), Some(&certificate)).await.map(|it| it.proof);
    assert_eq!(by(certificate(None, &["venue.example.org"], &[])).await, Ok(Proof::Certificate));
    assert_eq!(by(certificate(Some("x"), &["x"], &["spiffe://example.org/venue"])).await, Ok(Proof::Certificate));
    assert_eq!(by(certificate(Some("venue"), &[], &[])).await, Ok(Proof::Certificate));
    let unknown = Err(Refused::Invalid("unknown certificate"));
    assert_eq!(by(certificate(Some("venue"), &["other.example.org"], &[])).await, unknown);
    assert_eq!(by(certificate(None, &[], &[])).await, unknown);
}

#[tokio::test]
async fn a_token_takes_precedence_over_the_certificate() {
    let callers = Callers::default();
    let authenticator = authenticator(&callers).expect("the credentials file is valid");
    let certificate = certificate(None, &["venue.example.org"], &[]);
    let mut headers = HeaderMap::new();
    let token = callers.token(Role::Sender);
    headers.insert("authorization", format!("bearer {token}").parse().expect("a value"));
    let identity = authenticator.authenticate(&headers, Some(&certificate)).await.expect("known");
    assert_eq!((&*identity.name, identity.proof), ("sender", Proof::Token));
    headers.insert("authorization", "Bearer made-up".parse().expect("a value"));
    let refused = authenticator.authenticate(&headers, Some(&certificate)).await;
    assert_eq!(refused, Err(Refused::Invalid("unknown token")), "the certificate does not replace an invalid token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_authenticated_by_the_certificate_of_its_tls_connection() {
    let authority = Authority::new("test authority");
    let mounted = Mounted::new(&authority.server(), &authority.pem());
    let callers = Callers::default();
    callers.write(ENTRY);
    let service = booking(|settings| {
        callers.guard(settings);
        settings.server.tls = Some(mounted.server_tls(Some(ClientCertificates::Optional)));
    })
    .await;
    let connect = async |certificate: Option<&Issued>| {
        let endpoint = Endpoint::from_shared(format!("https://{}", service.service.server.grpc_addr)).expect("a URL");
        let endpoint = endpoint.tls_config(authority.client_tls(certificate)).expect("TLS");
        endpoint.connect().await.expect("connected")
    };
    // The certificate has the URI spiffe://example.org/venue.
    let known = connect(Some(&authority.client("venue"))).await;
    assert_eq!(reason(&call(&known, LIST_VENUES, None).await).0, "OK");
    let get_customer = "teppan.booking.v1.CustomerService/GetCustomer";
    assert_eq!(reason(&call(&known, get_customer, None).await).0, "ROLE_MISSING");
    assert_eq!(reason(&call(&known, get_customer, Some(callers.token(Role::Privacy))).await).0, "INVALID_FIELDS");
    let unknown = connect(Some(&authority.client("unknown"))).await;
    let refused = ("CREDENTIALS_INVALID".to_owned(), "unknown certificate".to_owned());
    assert_eq!(reason(&call(&unknown, LIST_VENUES, None).await), refused);
    let none = connect(None).await;
    assert_eq!(reason(&call(&none, LIST_VENUES, None).await).0, "CREDENTIALS_MISSING");
}
