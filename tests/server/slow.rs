//! Senders that take their time: each is answered or closed within its bound, and holds up nobody else.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::server_support::{Bed, target};

/// Within this the server must have done what its own bound, of a second, tells it to.
const PATIENCE: Duration = Duration::from_secs(60);
/// No bound of the server ends while a test runs.
const FOREVER: Duration = Duration::from_secs(3600);
/// A bound that ends soon.
const SOON: Duration = Duration::from_secs(1);

fn connect(bed: &Bed, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(bed.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// The head of a call whose body is yet to come.
fn head(method: &str, target: &str, len: usize) -> String {
    // A signed URL and a token do not go together.
    let token = if method == "POST" { "authorization: Bearer secret\r\n" } else { "" };
    format!("{method} {target} HTTP/1.1\r\nhost: x\r\n{token}content-length: {len}\r\n\r\n")
}

/// Sends a byte now and then until the server closes; gives what it said before that.
fn drip(mut stream: TcpStream, byte: Option<u8>) -> String {
    let (mut said, until) = (Vec::new(), Instant::now() + PATIENCE);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => said.extend_from_slice(&buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(Instant::now() < until, "the server neither answers nor closes");
        if let Some(byte) = byte {
            // It may have closed by now; the next read tells.
            let _ = stream.write_all(&[byte]);
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let bed = Bed::with(|options| options.limits.head = SOON);
    drip(connect(&bed, ""), None);
    drip(connect(&bed, "POST /v2/file/get HTTP/1.1\r\nx: "), None);
    drip(connect(&bed, "POST /v2/file/get HTTP/1.1\r\nx: "), Some(b'x'));
    assert_eq!(bed.file("root")["type"], "folder");
}

#[test]
fn the_body_of_a_call_has_a_deadline_as_a_whole() {
    let bed = Bed::with(|options| options.limits.body = SOON);
    for byte in [None, Some(b' ')] {
        let said = drip(connect(&bed, &head("POST", "/v2/file/get", 1_000_000)), byte);
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("\"RequestTimeout\""), "{byte:?}: {said}");
    }
    assert_eq!(bed.file("root")["type"], "folder");
}

#[test]
fn a_part_must_go_on() {
    let bed = Bed::with(|options| options.limits.progress = SOON);
    let upload = bed.create("root", "part", 1);
    for byte in [None, Some(b'x')] {
        let said = drip(connect(&bed, &head("PUT", target(&upload.urls[0]), 1_000_000)), byte);
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("RequestTimeout"), "{byte:?}: {said}");
    }
    assert_eq!(bed.put(&upload.urls[0], &[], b"all of it").status, 200);
}

#[test]
fn bodies_that_do_not_come_hold_up_nobody() {
    let bed = Bed::with(|options| options.limits.body = FOREVER);
    let mut waiting: Vec<TcpStream> =
        (0..100).map(|_| connect(&bed, &head("POST", "/v2/file/get", 100))).collect();
    let large = head("POST", "/v2/file/get", 1_000_000) + &" ".repeat(100_000);
    waiting.extend((0..40).map(|_| connect(&bed, &large)));
    assert_eq!(bed.file("root")["type"], "folder");
    assert_eq!(waiting.len(), 140);
}

#[test]
fn connections_beyond_the_bound_wait_for_one_that_ends() {
    let bed = Bed::with(|options| {
        options.limits.connections = 4;
        options.limits.head = FOREVER;
    });
    let idle: Vec<TcpStream> = (0..4).map(|_| connect(&bed, "")).collect();
    let mut next = connect(&bed, &(head("POST", "/v2/file/get", 2) + "{}"));
    let mut start = [0; 12];
    assert!(next.read_exact(&mut start).is_err(), "served beyond the bound");
    drop(idle);
    next.set_read_timeout(Some(PATIENCE)).unwrap();
    next.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 400");
}
