//! The accept loop.
//!
//! `axum::serve` knows no TLS and sets no timer, without which hyper waits for ever for a request's head; the version
//! detection of `hyper_util` waits for ever for its first byte. Here ALPN decides the version, and every wait ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::client_certificate::VerifiedClient;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time for a request's head to arrive, and longest pause between two requests of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head in bytes (HTTP/1 buffer, HTTP/2 header list).
const LARGEST_HEAD: usize = 16 * 1024;
/// Open connections; further ones wait in the kernel's queue.
const CONNECTIONS: u32 = 4096;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 100;

/// Longest wait for the first request of a connection when the program ends.
const FIRST_REQUEST: Duration = Duration::from_secs(2);

/// Becomes true when the program ends.
type Stop = watch::Receiver<bool>;

/// How a listener protects its connections.
pub enum Protection {
    /// TLS with the newest configuration.
    Tls(watch::Receiver<Arc<ServerConfig>>),
    /// None.
    Plain,
}

/// Serves until `stop` becomes true, then lets open requests end for at most `drain`.
pub async fn serve(
    listener: TcpListener,
    protection: Protection,
    app: Router,
    mut stop: Stop,
    drain: Duration,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let tls = match &protection {
            Protection::Tls(config) => Some(TlsAcceptor::from(config.borrow().clone())),
            Protection::Plain => None,
        };
        let (app, stop) = (app.clone(), stop.clone());
        tokio::spawn(async move {
            connection(stream, peer, tls, app, stop).await;
            drop(place);
        });
    }
    drop(listener);
    // All places are free when all connections have ended. Those that are still open later are cut with the process.
    drop(tokio::time::timeout(drain, places.acquire_many(CONNECTIONS)).await);
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(error = %error, "a connection was not accepted");
            // Out of file descriptors, most likely: trying again at once would only burn the processor.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, app: Router, stop: Stop) {
    // Answers are small; waiting for more to send would only delay them.
    drop(stream.set_nodelay(true));
    match tls {
        None => requests(stream, false, peer, None, app, stop).await,
        Some(acceptor) => {
            // Scanners and lost clients are no event worth a line.
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let session = stream.get_ref().1;
                let http2 = session.alpn_protocol() == Some(b"h2");
                let client = session
                    .peer_certificates()
                    .and_then(|chain| VerifiedClient::of(chain.first()?));
                requests(stream, http2, peer, client, app, stop).await;
            }
        }
    }
}

async fn requests<S>(
    stream: S,
    http2: bool,
    peer: SocketAddr,
    client: Option<VerifiedClient>,
    app: Router,
    stop: Stop,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (begins, begun) = watch::channel(false);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        begins.send_replace(true);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(client) = client.clone() {
            request.extensions_mut().insert(client);
        }
        app.clone().oneshot(request)
    });
    let stream = TokioIo::new(stream);
    if http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD)
            .keep_alive_timeout(HANDSHAKE)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
            .serve_connection(stream, service);
        drive(connection, stop, begun).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(stream, service);
        drive(connection, stop, begun).await;
    }
}

/// Runs a connection to its end.
///
/// One that never begins a request is cut: HTTP/2 has no limit of its own for that. When the program ends, one that
/// was just opened gets the time to send its first request, which may be on its way.
async fn drive<C: GracefulConnection>(connection: C, mut stop: Stop, mut begun: watch::Receiver<bool>) {
    tokio::pin!(connection);
    let mut first = begun.clone();
    let never_begins = async {
        if tokio::time::timeout(HEAD, first.wait_for(|begun| *begun))
            .await
            .is_ok()
        {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // How a client's connection ends is the client's affair.
        _ = connection.as_mut() => return,
        () = never_begins => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = tokio::time::timeout(FIRST_REQUEST, begun.wait_for(|begun| *begun)) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(connection.await);
}
