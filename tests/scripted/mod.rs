//! A scripted peer: a real socket that answers requests with exactly the bytes a test wants, in order.
//!
//! The embedded server behaves; this one misbehaves on demand. Steps are taken in the order requests
//! arrive, over whatever connections the client opens. A request beyond the script gets a 400 that no test
//! expects, and [`Scripted::finish`] demands that every step was used.

#![allow(dead_code)] // Each test binary uses its own part.
#![allow(clippy::unwrap_used)] // Only tests use this.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use pdsfs::pds::model::DriveId;
use pdsfs::pds::{Credentials, Pds, PdsOptions, Secret};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to one request.
pub enum Step {
    /// These bytes; the connection stays open.
    Answer(Vec<u8>),
    /// These bytes, then the connection is closed.
    Cut(Vec<u8>),
    /// These bytes, then silence on an open connection.
    Stall(Vec<u8>),
    /// These bytes before the body of the request has been read.
    Early(Vec<u8>),
    /// Nothing, not even reading the body of the request.
    Deaf,
    /// Something is done once the request is here, then the step is taken.
    Meanwhile(Box<dyn FnOnce() + Send>, Box<Step>),
}

/// A request as it came in.
#[derive(Clone)]
pub struct Request {
    /// Everything before the empty line, as sent.
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// `POST /v2/file/get`.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

struct State {
    steps: Mutex<VecDeque<Step>>,
    requests: Mutex<Vec<Request>>,
}

/// The peer. Dropping it closes every connection.
pub struct Scripted {
    pub base: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Listens; `script` gets the address, for signed URLs in replies.
    pub async fn start(script: impl FnOnce(&str) -> Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { steps: Mutex::new(script(&base).into()), requests: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Scripted { base, state, task }
    }

    /// Options with short deadlines and few retries.
    pub fn options(&self) -> PdsOptions {
        PdsOptions {
            op_timeout: std::time::Duration::from_secs(20),
            stall_timeout: std::time::Duration::from_secs(20),
            retries: 3,
            connections: 4,
            ..PdsOptions::new(&*self.base, DriveId::from("1"), Credentials::Token(Secret::from("token-1")))
        }
    }

    pub fn client(&self) -> Pds {
        Pds::new(self.options()).unwrap()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The requests, after checking that the script was played to its end and no further.
    pub fn finish(self) -> Vec<Request> {
        let requests = self.requests();
        let lines: Vec<_> = requests.iter().map(|request| request.line().to_owned()).collect();
        assert_eq!(self.state.steps.lock().unwrap().len(), 0, "steps left after {lines:?}");
        requests
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer).await {
        let mut request = Request { head, body: Vec::new() };
        let step = state.steps.lock().unwrap().pop_front();
        if let Some(Step::Early(bytes)) = &step {
            let _ = stream.write_all(bytes).await;
        }
        if let Some(Step::Deaf) = &step {
            std::future::pending().await
        }
        let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
        while buffer.len() < len {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        request.body = buffer.drain(..len).collect();
        state.requests.lock().unwrap().push(request);
        let step = match step {
            Some(Step::Meanwhile(act, step)) => {
                act();
                Some(*step)
            }
            step => step,
        };
        match step {
            Some(Step::Answer(bytes)) => stream.write_all(&bytes).await.unwrap(),
            Some(Step::Cut(bytes)) => return stream.write_all(&bytes).await.unwrap(),
            Some(Step::Stall(bytes)) => {
                stream.write_all(&bytes).await.unwrap();
                std::future::pending().await
            }
            Some(Step::Early(_) | Step::Deaf | Step::Meanwhile(..)) => {}
            None => stream.write_all(&bytes(400, "{\"code\":\"ScriptEnded\"}")).await.unwrap(),
        }
    }
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return Some(String::from_utf8(head[..end].to_vec()).unwrap());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A response with its length.
pub fn bytes(status: u16, body: &str) -> Vec<u8> {
    with_headers(status, &[("Content-Type", "application/json")], body.as_bytes())
}

/// A response with these headers and its length.
pub fn with_headers(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        response += &format!("{name}: {value}\r\n");
    }
    let mut response = (response + "\r\n").into_bytes();
    response.extend_from_slice(body);
    response
}

/// 200 with JSON.
pub fn ok(value: Value) -> Step {
    Step::Answer(bytes(200, &value.to_string()))
}

/// An error of the API.
pub fn refuse(status: u16, code: &str) -> Step {
    Step::Answer(bytes(status, &serde_json::json!({"code": code, "message": "scripted"}).to_string()))
}

/// An error of the data side.
pub fn refuse_xml(status: u16, code: &str, message: &str) -> Step {
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<Error>\n  <Code>{code}</Code>\n  <Message>{message}</Message>\n</Error>"
    );
    Step::Answer(with_headers(status, &[("Content-Type", "application/xml")], xml.as_bytes()))
}

/// The request is taken and the connection closed without a word: the reply is lost.
pub fn lost() -> Step {
    Step::Cut(Vec::new())
}

/// The API asks for a pause of one millisecond.
pub fn slow_down() -> Step {
    Step::Answer(with_headers(429, &[("x-retry-after", "1")], b"{\"code\":\"TooManyRequests\"}"))
}
