//! Passes bytes on, each piece after its delay.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{ReadHalf, WriteHalf},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Mode, Shared};

/// The maximum number of pieces that are delayed in one direction.
const ON_THE_WAY_MAX: usize = 1024;

/// What to do with bytes.
pub enum Passing {
    On,
    Nothing,
    /// Drop these and all later bytes: the connection closes.
    End,
}

impl Shared {
    pub fn one_way(&self) -> Duration {
        Duration::from_micros(self.one_way_us.load(Ordering::SeqCst))
    }

    /// Passes bytes on, each piece after its delay.
    pub async fn pump(
        &self,
        number: u64,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        mut passing: impl FnMut(&[u8]) -> Passing,
        held_back: &AtomicU64,
        led: watch::Receiver<u64>,
    ) -> io::Result<()> {
        let (on_the_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>, Held)>(ON_THE_WAY_MAX);
        // Delayed bytes still arrive after the sender has closed.
        let take = async move {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = from.read(&mut buffer).await?;
                if length == 0 {
                    return io::Result::Ok(());
                }
                let piece = buffer[..length].to_vec();
                let held = Held::back(held_back, length as u64);
                let _ = on_the_way.send((Instant::now() + self.one_way(), piece, held)).await;
            }
        };
        let mut mode = self.mode.subscribe();
        let pass_on = async {
            while let Some((arrives, piece, held)) = arriving.recv().await {
                sleep_until(arrives).await;
                if mode.wait_for(|mode| *mode == Mode::Pass).await.is_err() {
                    return Ok(());
                }
                // The server hangs: its connections stay open.
                if led.has_changed().unwrap_or(true) {
                    std::future::pending::<()>().await;
                }
                drop(held);
                if number <= self.dropped_up_to.load(Ordering::SeqCst) {
                    continue;
                }
                match passing(&piece) {
                    Passing::On => to.write_all(&piece).await?,
                    Passing::Nothing => {}
                    Passing::End => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
            Ok(())
        };
        tokio::try_join!(take, pass_on).map(|_| ())
    }
}

/// Bytes that wait to be passed on.
struct Held<'a>(&'a AtomicU64, u64);

impl<'a> Held<'a> {
    fn back(count: &'a AtomicU64, bytes: u64) -> Self {
        count.fetch_add(bytes, Ordering::SeqCst);
        Self(count, bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}
