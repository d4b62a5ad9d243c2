//! A client that sends exactly what a test says: one connection per request, no retries, no cleverness.

// Helpers of tests: a panic is how they say that the server is wrong.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use pdsfs::server::{Server, ServerOptions};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Status and code of an API error.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Status and code of a data URL's error.
    pub fn xml_error(&self) -> (u16, String) {
        let text = self.text();
        let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
        (self.status, code.unwrap_or_default().to_owned())
    }
}

/// Sends bytes, reads until the server closes; `None` when it closes without a whole head.
pub fn raw(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // A server that refuses may close before it has everything.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": ").or_else(|| line.split_once(':')))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.iter().any(|(key, value)| key.eq_ignore_ascii_case("transfer-encoding") && value == "chunked")
    {
        body = unchunk(&body);
    }
    Some(Answer { status, headers, body })
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let start = end + 2;
        if len == 0 || start + len > bytes.len() {
            break;
        }
        body.extend_from_slice(&bytes[start..start + len]);
        bytes = &bytes[(start + len + 2).min(bytes.len())..];
    }
    body
}

/// One request with a body of known length.
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if !body.is_empty() || method == "PUT" || method == "POST" {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (key, value) in headers {
        request.push_str(&format!("{key}: {value}\r\n"));
    }
    request.push_str("\r\n");
    raw(address, &[request.as_bytes(), body].concat())
}

/// Path and query of a URL.
pub fn target(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    &rest[rest.find('/').unwrap()..]
}

/// A server on a directory of its own, and shorthand to talk to it.
pub struct Bed {
    pub server: Server,
    pub dir: tempfile::TempDir,
}

impl Bed {
    pub fn new() -> Bed {
        Bed::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ServerOptions)) -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let mut options = ServerOptions::new(dir.path());
        options.access_token = Some("secret".into());
        change(&mut options);
        Bed { server: Server::start(options).unwrap(), dir }
    }

    /// A server on data that exists.
    pub fn on(dir: tempfile::TempDir) -> Bed {
        let mut options = ServerOptions::new(dir.path());
        options.access_token = Some("secret".into());
        Bed { server: Server::start(options).unwrap(), dir }
    }

    /// Stops the server and starts another on the same data.
    pub fn restart(self) -> Bed {
        let Bed { server, dir } = self;
        server.stop();
        Bed::on(dir)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// An API call that may go unanswered.
    pub fn try_call(&self, path: &str, body: &str) -> Option<Answer> {
        let token = format!("Bearer {}", self.server.access_token());
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        send(self.address(), "POST", path, &headers, body.as_bytes())
    }

    /// An API call as JSON.
    pub fn call(&self, path: &str, body: &Value) -> Answer {
        self.try_call(path, &body.to_string()).expect("an answer")
    }

    /// An API call on drive 1 that succeeds with this status.
    pub fn expect(&self, status: u16, path: &str, mut body: Value) -> Value {
        body["drive_id"] = "1".into();
        let answer = self.call(path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// An API call on drive 1 that fails; gives status and code.
    pub fn refused(&self, path: &str, mut body: Value) -> (u16, String) {
        body["drive_id"] = "1".into();
        self.call(path, &body).error()
    }

    /// Waits for the task of a 202; gives its end.
    pub fn finish(&self, accepted: &Value) -> Value {
        let task = accepted["async_task_id"].as_str().unwrap().to_owned();
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.call("/v2/async_task/get", &json!({"async_task_id": task})).json();
            if state["state"] != "Running" {
                return state;
            }
            assert!(Instant::now() < until, "a task that does not end: {state}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn put(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        send(self.address(), "PUT", target(url), headers, body).expect("an answer")
    }

    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        send(self.address(), "GET", target(url), headers, b"").expect("an answer")
    }

    pub fn mkdir(&self, parent: &str, name: &str) -> String {
        let body =
            json!({"parent_file_id": parent, "name": name, "type": "folder", "check_name_mode": "refuse"});
        id(&self.expect(201, "/v2/file/create", body))
    }

    /// Starts a serial upload with so many part URLs.
    pub fn create(&self, parent: &str, name: &str, parts: u32) -> Upload {
        let list: Vec<Value> = (1..=parts).map(|number| json!({"part_number": number})).collect();
        self.create_as(json!({"parent_file_id": parent, "name": name, "part_info_list": list}))
    }

    /// Starts an upload as the body says.
    pub fn create_as(&self, mut body: Value) -> Upload {
        body["type"] = "file".into();
        Upload::of(&self.expect(201, "/v2/file/create", body))
    }

    /// A whole file in one part; gives the File.
    pub fn write(&self, parent: &str, name: &str, bytes: &[u8]) -> Value {
        self.write_as(json!({"parent_file_id": parent, "name": name}), bytes)
    }

    /// A whole file in one part, created as the body says.
    pub fn write_as(&self, body: Value, bytes: &[u8]) -> Value {
        let upload = self.create_as(body);
        assert_eq!(self.put(&upload.urls[0], &[], bytes).status, 200);
        self.expect(200, "/v2/file/complete", upload.body())
    }

    pub fn file(&self, id: &str) -> Value {
        self.expect(200, "/v2/file/get", json!({"file_id": id, "fields": "*"}))
    }

    pub fn download_url(&self, id: &str) -> String {
        let reply = self.expect(200, "/v2/file/get_download_url", json!({"file_id": id}));
        reply["url"].as_str().unwrap().to_owned()
    }

    pub fn read(&self, id: &str) -> Vec<u8> {
        let answer = self.get(&self.download_url(id), &[]);
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// The names in a folder, in order of name.
    pub fn names(&self, parent: &str) -> Vec<String> {
        let body = json!({"parent_file_id": parent, "order_by": "name", "limit": 200});
        let page = self.expect(200, "/v2/file/list", body);
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// An upload as `create` describes it.
#[derive(Clone, Debug)]
pub struct Upload {
    pub file_id: String,
    pub upload_id: String,
    pub urls: Vec<String>,
}

impl Upload {
    pub fn of(reply: &Value) -> Upload {
        Upload {
            file_id: id(reply),
            upload_id: reply["upload_id"].as_str().unwrap_or_default().into(),
            urls: urls(reply),
        }
    }

    /// The body that names it, as complete and list_uploaded_parts want it.
    pub fn body(&self) -> Value {
        json!({"file_id": self.file_id, "upload_id": self.upload_id})
    }

    pub fn body_with(&self, key: &str, value: impl Into<Value>) -> Value {
        let mut body = self.body();
        body[key] = value.into();
        body
    }
}

pub fn urls(reply: &Value) -> Vec<String> {
    let parts = reply["part_info_list"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().map(|part| part["upload_url"].as_str().unwrap().to_owned()).collect()
}

pub fn id(reply: &Value) -> String {
    reply["file_id"].as_str().unwrap().to_owned()
}

pub fn crc(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast::Digest::new();
    digest.write(bytes);
    digest.sum64()
}

pub fn sha1(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

pub fn md5(bytes: &[u8]) -> String {
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The context after these bytes, by the compression function alone; a multiple of 64 of them.
pub fn context(bytes: &[u8]) -> Value {
    let mut h = [0x67452301u32, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0];
    let blocks: Vec<[u8; 64]> = bytes.chunks_exact(64).map(|block| block.try_into().unwrap()).collect();
    sha1::block_api::compress(&mut h, &blocks);
    json!({"h": h, "part_offset": bytes.len()})
}

/// Bytes that differ everywhere, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
