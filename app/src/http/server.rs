//! The accept loop.
//!
//! `axum::serve` knows no TLS and sets no timer, without which hyper waits for ever for a request's head; the version
//! detection of `hyper_util` waits for ever for its first byte. Here ALPN decides the version, and every wait ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest time for a request's head to arrive, and longest pause between two requests of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head in bytes (HTTP/1 buffer, HTTP/2 header list).
const LARGEST_HEAD: usize = 16 * 1024;
/// Open connections; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 100;

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
    mut stop: watch::Receiver<bool>,
    drain: Duration,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
        let (app, watcher) = (app.clone(), graceful.watcher());
        tokio::spawn(async move {
            connection(stream, peer, tls, app, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    // Connections that are still open after this are cut when the process ends.
    drop(tokio::time::timeout(drain, graceful.shutdown()).await);
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

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    watcher: Watcher,
) {
    // Answers are small; waiting for more to send would only delay them.
    drop(stream.set_nodelay(true));
    match tls {
        None => requests(stream, false, peer, app, watcher).await,
        Some(acceptor) => {
            // Scanners and lost clients are no event worth a line.
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                requests(stream, http2, peer, app, watcher).await;
            }
        }
    }
}

async fn requests<S>(stream: S, http2: bool, peer: SocketAddr, app: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let began = Arc::new(AtomicBool::new(false));
    let seen = began.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
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
        drive(watcher, connection, &began).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(stream, service);
        drive(watcher, connection, &began).await;
    }
}

/// Runs a connection to its end. One that never begins a request is cut: HTTP/2 has no limit of its own for that.
async fn drive<C: GracefulConnection>(watcher: Watcher, connection: C, began: &AtomicBool) {
    let connection = watcher.watch(connection);
    tokio::pin!(connection);
    let first = tokio::time::timeout(HEAD, &mut connection).await;
    if first.is_err() && began.load(Ordering::Relaxed) {
        // How a client's connection ends is the client's affair.
        drop(connection.await);
    }
}
