//! The server's door: whether connections are taken, with which certificate, and what ends those inside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How the door stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Connections are taken.
    Yes,
    /// Nobody listens: connections are refused.
    No,
    /// Connections are taken by somebody with another certificate.
    Stranger,
}

/// What ends a connection.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// It ends when the request under way is answered.
    pub leave: CancellationToken,
    /// It ends at once.
    pub cut: CancellationToken,
}

#[derive(Debug)]
struct State {
    open: Open,
    ends: Ends,
    changes: u64,
}

/// The door.
#[derive(Debug)]
pub struct Door {
    state: Mutex<State>,
    told: watch::Sender<Open>,
}

impl Default for Door {
    fn default() -> Self {
        let state = State {
            open: Open::Yes,
            ends: Ends::default(),
            changes: 0,
        };
        Self {
            state: Mutex::new(state),
            told: watch::Sender::new(Open::Yes),
        }
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands now, and what will end a connection that comes in.
    #[must_use]
    pub fn enter(&self) -> (Open, Ends) {
        let state = self.state();
        (state.open, state.ends.clone())
    }

    /// Sets it. Those inside leave when they are answered, or are cut off at once. The number tells this change from later ones.
    pub fn set(&self, open: Open, at_once: bool) -> u64 {
        let mut state = self.state();
        state.open = open;
        state.changes += 1;
        let before = std::mem::take(&mut state.ends);
        before.leave.cancel();
        if at_once {
            before.cut.cancel();
        }
        self.told.send_replace(open);
        state.changes
    }

    /// Sets it for so long, or for good.
    pub fn set_for(self: &Arc<Self>, open: Open, at_once: bool, time: Option<Duration>) {
        let change = self.set(open, at_once);
        let Some(time) = time else { return };
        let door = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if door.state().changes == change {
                door.set(Open::Yes, false);
            }
        });
    }
}

/// Listens as a door says.
pub struct Listening {
    door: Arc<Door>,
    told: watch::Receiver<Open>,
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// Keeps the port while nobody listens.
    kept: Option<TcpSocket>,
}

impl Listening {
    /// Listens with this listener while the door is open.
    #[must_use]
    pub fn new(door: Arc<Door>, address: SocketAddr, listener: TcpListener) -> Self {
        let told = door.told.subscribe();
        Self {
            door,
            told,
            address,
            listener: Some(listener),
            kept: None,
        }
    }

    /// The next connection that comes in, how the door stood then, and what ends it.
    pub async fn next(&mut self) -> (TcpStream, Open, Ends) {
        loop {
            let open = *self.told.borrow_and_update();
            self.follow(open).await;
            tokio::select! {
                biased;
                _ = self.told.changed() => {}
                accepted = accept(self.listener.as_ref()) => {
                    let (open, ends) = self.door.enter();
                    // Whoever comes in at the moment of closing is not let in.
                    if let (Ok((stream, _)), true) = (accepted, open != Open::No) {
                        return (stream, open, ends);
                    }
                }
            }
        }
    }

    /// Listens, or does not. Given up half-way it is simply begun again.
    async fn follow(&mut self, open: Open) {
        if open == Open::No {
            if self.listener.take().is_some() {
                self.kept = bound(self.address).ok();
            }
            return;
        }
        while self.listener.is_none() {
            let socket = match self.kept.take() {
                Some(socket) => Ok(socket),
                None => bound(self.address),
            };
            self.listener = socket.and_then(|socket| socket.listen(1024)).ok();
            if self.listener.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// A socket that has the address and does not listen: whoever connects to it is refused.
fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
