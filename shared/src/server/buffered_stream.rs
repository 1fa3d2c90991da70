use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use super::transport::Transport;

/// Room for a full HTTP/2 frame of 16 KiB and for the frames that h2 has buffered before it.
const CAPACITY: usize = 32 * 1024;

/// A connection that sends an answer of up to 1 KiB in one packet.
///
/// With vectored writes, h2 does not copy payloads of more than 256 bytes, and sends the frame after them (the status
/// of the call) in a packet of its own. That packet costs both sides about as much as the answer. Without vectored
/// writes the bound is 1 KiB. The head and the payload of a larger answer would then be separate packets; the buffer
/// here joins them. The status of a larger answer still is a packet of its own.
pub struct BufferedStream(BufWriter<Transport>);

impl BufferedStream {
    pub fn new(transport: Transport) -> Self {
        Self(BufWriter::with_capacity(CAPACITY, transport))
    }
}

impl AsyncRead for BufferedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for BufferedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_util::sync::CancellationToken;

    use super::{
        super::{connection::Connection, transport::Socket},
        *,
    };

    #[tokio::test]
    async fn bytes_are_sent_on_flush_and_vectored_writes_are_disabled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut client, (stream, peer)) = (client.unwrap(), accepted.unwrap());
        let connection = Arc::new(Connection::new(peer, CancellationToken::new()));
        let mut server = BufferedStream::new(Transport::plain(Socket::new(stream, Duration::from_secs(1)), connection));
        assert!(!server.is_write_vectored());
        server.write_all(b"head").await.unwrap();
        server.write_all(b"payload").await.unwrap();
        assert_eq!(client.try_read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        server.flush().await.unwrap();
        let mut arrived = [0; 11];
        client.read_exact(&mut arrived).await.unwrap();
        assert_eq!(&arrived, b"headpayload");
    }
}
