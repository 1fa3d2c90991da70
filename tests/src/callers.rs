//! Callers with credentials, and services that require them.

use std::{fs, path::PathBuf};

use http::uri::PathAndQuery;
use strum::VariantArray as _;
use tempfile::TempDir;
use teppan_shared::{
    config::CommonSettings,
    identity::{Role, Token},
};
use tonic::{Request, Status, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

/// A credentials file with one caller for each role, named after the role.
pub struct Callers {
    folder: TempDir,
    tokens: Vec<(Role, Token)>,
}

impl Default for Callers {
    fn default() -> Self {
        let callers = Self {
            folder: tempfile::tempdir().expect("a folder"),
            tokens: Role::VARIANTS.iter().map(|&role| (role, Token::random())).collect(),
        };
        callers.write("");
        callers
    }
}

impl Callers {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("credentials.toml")
    }

    /// Makes a service require these credentials.
    pub fn guard(&self, settings: &mut CommonSettings) {
        settings.server.identity.credentials_file = Some(self.path());
    }

    pub fn token(&self, role: Role) -> &str {
        self.tokens.iter().find(|(of, _)| *of == role).expect("each role has a caller").1.expose()
    }

    /// Rewrites the file, with more entries at its end.
    pub fn write(&self, more: &str) {
        let entries = self.tokens.iter().map(|(role, token)| entry(role.into_str(), *role, token));
        let text: String = entries.chain([more.to_owned()]).collect();
        fs::write(self.path().with_extension("new"), text).expect("written");
        fs::rename(self.path().with_extension("new"), self.path()).expect("moved");
    }
}

/// An entry of the credentials file.
pub fn entry(name: &str, role: Role, token: &Token) -> String {
    format!("[[credentials]]\nname = {name:?}\nroles = [{:?}]\ntoken_sha256 = \"{}\"\n", role.into_str(), token.hash())
}

/// A request with a bearer token.
pub fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let authorization = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", authorization);
    request
}

/// Calls a method, such as `teppan.booking.v1.BookingService/GetBooking`, with an empty message.
pub async fn call(channel: &Channel, method: &str, token: Option<&str>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let request = token.map_or_else(|| Request::new(()), |token| with_token(token, ()));
    let path: PathAndQuery = format!("/{method}").parse().expect("a path");
    // The server has accepted the caller when the call ends within the stream.
    client.server_streaming(request, path, ProstCodec::<(), ()>::default()).await.map(|_| ())
}

/// The reason of a failure, with what is wrong or missing.
pub fn reason(failed: &Result<(), Status>) -> (String, String) {
    let Err(status) = failed else { return ("OK".to_owned(), String::new()) };
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    let detail = info.metadata.get("problem").or(info.metadata.get("roles")).cloned().unwrap_or_default();
    (info.reason, detail)
}
