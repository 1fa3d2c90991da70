//! An HTTP/2 client without a gRPC library, for behaviour that well-behaved clients never show.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use prost::Message;
use tokio::net::TcpStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::Status;

/// A window larger than any answer.
const WIDE_WINDOW: u32 = 64 << 20;

/// A connection. It ends when this is dropped.
pub struct RawClient {
    server: SocketAddr,
    requests: SendRequest<Bytes>,
    driver: AbortOnDropHandle<Result<(), h2::Error>>,
}

/// An HTTP/2 connection that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl RawClient {
    /// Connects, with room for any answer.
    pub async fn connect(server: SocketAddr) -> Result<Self, RawError> {
        Self::with_window(server, WIDE_WINDOW).await
    }

    /// Connects, and accepts only this many bytes of each answer until the caller releases more.
    pub async fn with_window(server: SocketAddr, window_bytes: u32) -> Result<Self, RawError> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = Builder::new()
            .initial_window_size(window_bytes)
            .initial_connection_window_size(WIDE_WINDOW)
            .handshake(stream)
            .await?;
        let driver = AbortOnDropHandle::new(TaskTracker::new().spawn(connection));
        Ok(Self { server, requests, driver })
    }

    /// The number of concurrent calls that the server has announced.
    pub fn calls_max(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Begins a call without sending its message.
    pub async fn begin(&mut self, method: &str) -> Result<(ResponseFuture, SendStream<Bytes>), RawError> {
        self.begin_with(method, &[]).await
    }

    /// [`RawClient::begin`], with metadata.
    pub async fn begin_with(
        &mut self,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<(ResponseFuture, SendStream<Bytes>), RawError> {
        let request = http::Request::post(format!("http://{}{method}", self.server))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = metadata.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).expect("a method makes a request");
        let mut requests = self.requests.clone().ready().await?;
        Ok(requests.send_request(request, false)?)
    }

    /// Makes a call, with its whole message.
    pub async fn call(&mut self, method: &str, message: &impl Message) -> Result<ResponseFuture, RawError> {
        let (answer, mut body) = self.begin(method).await?;
        body.send_data(framed(message), true)?;
        Ok(answer)
    }

    /// Waits until the connection ends, and returns whether the server sent GOAWAY without an error before.
    pub async fn ended(self) -> bool {
        let _ = self.driver.await;
        self.requests.ready().await.is_err_and(|error| error.is_go_away() && error.reason() == Some(Reason::NO_ERROR))
    }

    pub fn has_ended(&self) -> bool {
        self.driver.is_finished()
    }
}

/// A message as gRPC sends it, not compressed.
pub fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a message is small");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

/// Reads the answer of a call to its end, and returns the status.
pub async fn status(answer: ResponseFuture) -> Result<Status, RawError> {
    status_of(answer.await?).await
}

/// [`status`], of an answer that has begun.
pub async fn status_of(answer: http::Response<RecvStream>) -> Result<Status, RawError> {
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Ok(status);
    }
    let mut body = answer.into_body();
    take(&mut body).await?;
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(Status::from_header_map(&trailers).unwrap_or_else(|| Status::unknown("no status")))
}

/// Reads the rest of an answer, and returns its length in bytes.
pub async fn take(body: &mut RecvStream) -> Result<usize, RawError> {
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let length = data?.len();
        bytes += length;
        body.flow_control().release_capacity(length)?;
    }
    Ok(bytes)
}
