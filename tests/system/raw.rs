//! gRPC calls with bytes that no client library would send.

use std::net::SocketAddr;

use tonic::Status;

/// The server's error for a message of these bytes, from a client without a timeout of its own.
pub async fn call(server: SocketAddr, method: &str, message: &[u8], header: Option<(&str, &str)>) -> Status {
    exchange(server, method, message, header).await.expect("an error")
}

/// The server's error for a message of these bytes; `None` when it has begun another answer.
pub async fn answer(server: SocketAddr, method: &str, message: &[u8]) -> Option<Status> {
    exchange(server, method, message, Some(("grpc-timeout", "5S"))).await
}

async fn exchange(server: SocketAddr, method: &str, message: &[u8], header: Option<(&str, &str)>) -> Option<Status> {
    let stream = tokio::net::TcpStream::connect(server).await.expect("connected");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let call = async {
        let mut request = http::Request::post(format!("http://{server}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(()).expect("a request");
        let (response, mut body) =
            client.ready().await.expect("ready").send_request(request, false).expect("the request is sent");
        let length = u32::try_from(message.len()).expect("a short message");
        let frame = [&[0][..], &length.to_be_bytes(), message].concat(); // not compressed, then the length
        body.send_data(frame.into(), true).expect("the message is sent");
        let response = response.await.expect("an answer");
        Status::from_header_map(response.headers())
    };
    tokio::select! {
        status = call => status,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}
