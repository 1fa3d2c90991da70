//! A link to the database that takes time: threads that pass bytes on, those of the answers a given time after they came.
//!
//! Tokio's timer counts whole milliseconds, which is too coarse for a database that is 1 ms away. A thread sleeps to
//! some 60 µs. The whole time of a round trip is on the way back: who waits for an answer cannot tell, and a round trip
//! wakes three threads instead of four.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// More bytes than one statement or its answer.
const CHUNK_BYTES: usize = 64 * 1024;

/// Listens on a free port of loopback for the rest of the process, and passes everything on to `target` and back so
/// that a round trip takes this much longer.
pub fn open(target: SocketAddr, round_trip: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client whose server is gone reads the end of its stream.
            let _ = join(&client, target, round_trip);
        }
    });
    Ok(address)
}

fn join(client: &TcpStream, target: SocketAddr, round_trip: Duration) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client.try_clone()?, server.try_clone()?);
    if round_trip.is_zero() {
        pass(server, client.try_clone()?);
    } else {
        pass_later(server, client.try_clone()?, round_trip);
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // Already closed, perhaps.
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Two threads, so that what comes while a chunk waits is not late itself.
fn pass_later(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // Already closed, perhaps.
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_takes_as_much_longer_as_asked() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a client");
            let mut bytes = [0; 4];
            while stream.read_exact(&mut bytes).is_ok() {
                stream.write_all(&bytes).expect("the client reads");
            }
        });
        let round_trip = Duration::from_millis(3);
        let mut client = TcpStream::connect(open(address, round_trip).expect("a port")).expect("it listens");
        for _ in 0..5 {
            let asked = Instant::now();
            client.write_all(b"ping").expect("sent");
            let mut answer = [0; 4];
            client.read_exact(&mut answer).expect("answered");
            assert_eq!(&answer, b"ping");
            assert!(asked.elapsed() >= round_trip);
        }
    }
}
