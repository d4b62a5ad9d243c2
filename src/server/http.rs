//! Connections: how many, for how long, and how a reply is withheld.
//!
//! Bounds: [`MAX_CONNECTIONS`] at once (more wait in the kernel's queue), [`HEADER_WAIT`] for a request's head
//! (and for the next request on an idle connection), [`MAX_HEADER_BYTES`] of it. Bodies have their own
//! deadlines where they are read. A response that carries [`Cut`] is not sent: the connection closes instead.

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

/// Open connections; a mount uses a few dozen.
const MAX_CONNECTIONS: usize = 512;
/// Longer than the 90 s for which clients commonly keep idle connections, so that it is the client who closes.
const HEADER_WAIT: Duration = Duration::from_secs(120);
/// A signed URL is the largest thing in a head, at about 5 KiB.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Reads and writes of bodies move in pieces of up to this size.
const BUFFER_BYTES: usize = 512 << 10;
/// Rest after `accept` failed for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// In a response's extensions: close the connection instead of answering.
#[derive(Clone, Copy)]
pub struct Cut;

/// Serves until shutdown, then gives open requests a moment.
pub async fn serve(listener: std::net::TcpListener, router: Router, shutdown: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot serve: {error}"),
    };
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
                    connection(stream, peer, router, shutdown).await;
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

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
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
        .header_read_timeout(HEADER_WAIT)
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
