//! A TCP proxy in front of PostgreSQL whose connections can fall silent, as after the loss of a node: nothing is sent any
//! more, not even a farewell. New connections work.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The proxy; it ends with its runtime.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    silence: Arc<watch::Sender<u64>>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (silence, _) = watch::channel(0_u64);
        let silence = Arc::new(silence);
        let announced = silence.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, port, announced.subscribe()));
            }
        });
        Self { port: own, silence }
    }

    /// Makes every present connection silent for good.
    pub(crate) fn fall_silent(&self) {
        self.silence.send_modify(|times| *times += 1);
    }
}

async fn forward(mut client: TcpStream, port: u16, mut silence: watch::Receiver<u64>) {
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        // How a connection ends is its ends' affair.
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = silence.changed() => {
            // Both sockets stay open, and nobody reads from them.
            std::future::pending::<()>().await;
        }
    }
}
