//! Connections: how many, for how long, and how a reply is withheld.
//!
//! Bounds: [`Limits`] on connections and on how long senders take, [`MAX_HEADER_BYTES`] of a request's head.
//! Bodies are held to their deadlines where they are read. A response that carries [`Cut`] is not sent: the connection closes instead.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::SHUTDOWN_WAIT;

/// A signed URL is the largest thing in a head, at about 5 KiB.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Reads and writes of bodies move in pieces of up to this size.
const BUFFER_BYTES: usize = 512 << 10;
/// Rest after `accept` failed for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a sender may use up. Who takes longer is answered or closed; others are served meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; more wait in the kernel's queue.
    pub connections: usize,
    /// For a request's head, and for the next request on an idle connection.
    pub head: Duration,
    /// For the whole body of a call of the API.
    pub body: Duration,
    /// For the next [`Limits::PROGRESS_BYTES`] of a part: a large part may take long, but not stand still.
    pub progress: Duration,
}

impl Limits {
    /// Of a part's body at least this much comes in each [`Limits::progress`], until it ends.
    pub const PROGRESS_BYTES: usize = 4 << 10;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // A mount uses a few dozen.
            connections: 512,
            // Clients commonly keep idle connections for 90 s: it is better that they close.
            head: Duration::from_secs(120),
            body: Duration::from_secs(30),
            progress: Duration::from_secs(30),
        }
    }
}

/// In a response's extensions: close the connection instead of answering.
#[derive(Clone, Copy)]
pub struct Cut;

/// Serves until shutdown, then gives open requests a moment.
pub async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot serve: {error}"),
    };
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            Ok(permit) = permits.clone().acquire_owned() => permit,
        };
        let accepted = loop {
            tokio::select! {
                () = shutdown.cancelled() => break None,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => break Some(accepted),
            }
        };
        match accepted {
            None => break,
            Some(Ok((stream, peer))) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, peer, router, limits, shutdown).await;
                    drop(permit);
                });
            }
            Some(Err(error)) => {
                tracing::warn!("accept: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let handler = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let reply = handler.call(request);
        async move {
            match reply.await {
                Ok(response) if response.extensions().get::<Cut>().is_some() => {
                    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut as ordered"))
                }
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(SHUTDOWN_WAIT, connection).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("connection: {error}");
    }
}
