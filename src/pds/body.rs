//! A part on its way: bytes of a local file, streamed with an exact length.
//!
//! ```text
//!   content file --pread, CRC--> buffer (256 KiB) --slices of 64 KiB--> HTTP connection
//!                                  ^ the next one is read while this one is sent
//! ```
//!
//! Reading happens on the blocking pool, once per buffer. The HTTP connection takes slices as its socket
//! drains, so each slice taken is a sign of life for the stall deadline. One body holds at most four buffers:
//! one being read, one being cut up, and what the connection has queued (about 400 KiB). They come from and
//! go back to a pool, because fresh memory for every part costs more than copying into it.

use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::rate::Rate;

/// Bytes per read of the file.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes handed to the connection at once.
const SLICE_BYTES: usize = 64 * 1024;

/// `len` bytes of an open local file from `offset`. Can be sent again at will.
///
/// The bytes must not change while they are sent; if they do, the CRC of the service and of the caller
/// disagree, and the upload fails rather than store a mixture.
#[derive(Clone, Debug)]
pub struct PartBody {
    /// Open for reading; its position is not used.
    pub file: Arc<std::fs::File>,
    /// First byte.
    pub offset: u64,
    /// Bytes; 0 for the one part of an empty file.
    pub len: u64,
}

/// Buffers waiting to be used again, at most as many as the client was built for.
pub(super) struct Buffers {
    idle: Mutex<Vec<Box<[u8]>>>,
    max_idle: usize,
}

impl Buffers {
    pub(super) fn new(max_idle: usize) -> Self {
        Buffers { idle: Mutex::new(Vec::new()), max_idle }
    }

    fn take(self: &Arc<Self>) -> Buffer {
        let bytes = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = bytes.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Buffer { bytes, len: 0, home: Arc::clone(self) }
    }
}

/// A buffer that goes back to its pool when the last slice of it is dropped.
struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.home.max_idle {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// What became of a body, for whoever waits for the reply.
pub(super) struct Progress {
    began_at: Instant,
    /// Milliseconds after `began_at` of the last sign of life.
    moved_ms: AtomicU64,
    /// CRC of all bytes once the last one has been taken, or why the file could not be read.
    outcome: Mutex<Option<io::Result<u64>>>,
}

impl Progress {
    fn new() -> Self {
        Progress { began_at: Instant::now(), moved_ms: AtomicU64::new(0), outcome: Mutex::new(None) }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(millis, Ordering::Relaxed);
    }

    fn end(&self, outcome: io::Result<u64>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// The last time a byte was taken.
    pub(super) fn moved_at(&self) -> Instant {
        self.began_at + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// The CRC of everything sent; `None` while there is more to send.
    pub(super) fn outcome(&self) -> Option<io::Result<u64>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads the file, a buffer at a time, and keeps the CRC of what it read.
struct Reader {
    part: PartBody,
    done: u64,
    crc: crc64fast::Digest,
    buffers: Arc<Buffers>,
}

impl Reader {
    /// The next buffer; blocking.
    fn read(&mut self) -> io::Result<Bytes> {
        let mut buffer = self.buffers.take();
        let left = self.part.len - self.done;
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        let (bytes, _) = buffer.bytes.split_at_mut(want);
        self.part.file.read_exact_at(bytes, self.part.offset + self.done)?;
        self.crc.write(bytes);
        self.done += want as u64;
        buffer.len = want;
        Ok(Bytes::from_owner(buffer))
    }
}

/// Where a [`FileBody`] is with its file.
enum Reading {
    /// The next buffer is on its way.
    Busy(JoinHandle<(Reader, io::Result<Bytes>)>),
    /// Every byte has been read, with this CRC; or there is nothing more to get after an error.
    Ended,
}

/// A [`PartBody`] as the body of a request.
pub(super) struct FileBody {
    left: u64,
    current: Bytes,
    reading: Reading,
    /// CRC of the whole, known when the last buffer has been read.
    crc: u64,
    progress: Arc<Progress>,
    rate: Option<Arc<Rate>>,
    /// Until when the next slice waits for its turn; `None` when it has none yet.
    turn: Option<Pin<Box<Sleep>>>,
}

impl FileBody {
    /// Starts reading. Must be called on the runtime.
    pub(super) fn new(
        part: PartBody,
        buffers: Arc<Buffers>,
        rate: Option<Arc<Rate>>,
    ) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::new());
        let left = part.len;
        let reader = Reader { part, done: 0, crc: crc64fast::Digest::new(), buffers };
        let crc = reader.crc.sum64();
        let reading = next(reader);
        if left == 0 {
            progress.end(Ok(crc));
        }
        let (current, told) = (Bytes::new(), Arc::clone(&progress));
        (FileBody { left, current, reading, crc, progress: told, rate, turn: None }, progress)
    }

    /// Waits for the turn of the next `len` bytes where uploads are slowed down.
    fn poll_turn(&mut self, len: usize, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rate) = &self.rate else { return Poll::Ready(()) };
        let turn = self.turn.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(rate.take(len as u64, Instant::now()).into()))
        });
        ready!(turn.as_mut().poll(cx));
        self.turn = None;
        Poll::Ready(())
    }

    /// Takes the buffer being read as the current one and starts reading the next.
    fn poll_buffer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Reading::Busy(reading) = &mut self.reading else {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        };
        let joined = ready!(Pin::new(reading).poll(cx));
        self.reading = Reading::Ended;
        let (reader, read) = joined.map_err(io::Error::other)?;
        self.current = read?;
        self.crc = reader.crc.sum64();
        self.reading = next(reader);
        Poll::Ready(Ok(()))
    }
}

/// Reads the next buffer on the blocking pool, if there is one. A body dropped meanwhile lets this one
/// `pread` end by itself; nobody waits for it.
fn next(mut reader: Reader) -> Reading {
    if reader.done == reader.part.len {
        return Reading::Ended;
    }
    Reading::Busy(tokio::task::spawn_blocking(move || {
        let read = reader.read();
        (reader, read)
    }))
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.current.is_empty()
            && let Err(error) = ready!(self.poll_buffer(cx))
        {
            let told = io::Error::new(error.kind(), "the local file cannot be read");
            self.progress.end(Err(error));
            return Poll::Ready(Some(Err(told)));
        }
        let len = self.current.len().min(SLICE_BYTES);
        ready!(self.poll_turn(len, cx));
        let slice = self.current.split_to(len);
        self.left -= len as u64;
        self.progress.moved();
        if self.left == 0 {
            self.progress.end(Ok(self.crc));
        }
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> Arc<std::fs::File> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Arc::new(file)
    }

    async fn drain(mut body: FileBody) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let data = frame?.into_data().unwrap();
            assert!(data.len() <= SLICE_BYTES);
            all.extend_from_slice(&data);
        }
        assert!(body.is_end_stream());
        Ok(all)
    }

    fn crc(bytes: &[u8]) -> u64 {
        let mut digest = crc64fast::Digest::new();
        digest.write(bytes);
        digest.sum64()
    }

    #[tokio::test]
    async fn exactly_the_bytes_asked_for_are_sent_and_summed() {
        let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = file_of(&bytes);
        let buffers = Arc::new(Buffers::new(3));
        for (offset, len) in [(0, 1_000_003), (5, 1), (100, BUFFER_BYTES), (7, SLICE_BYTES + 1), (9, 0)] {
            let part = PartBody { file: Arc::clone(&file), offset: offset as u64, len: len as u64 };
            let (body, progress) = FileBody::new(part, Arc::clone(&buffers), None);
            assert_eq!(body.size_hint().exact(), Some(len as u64));
            assert_eq!(drain(body).await.unwrap(), &bytes[offset..offset + len]);
            assert_eq!(progress.outcome().unwrap().unwrap(), crc(&bytes[offset..offset + len]));
        }
        assert!(buffers.idle.lock().unwrap().len() <= 3);
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_a_local_error() {
        let part = PartBody { file: file_of(&[1; 100]), offset: 50, len: 51 };
        let (body, progress) = FileBody::new(part, Arc::new(Buffers::new(1)), None);
        assert!(drain(body).await.is_err());
        assert_eq!(progress.outcome().unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_crc_is_the_services() {
        assert_eq!(crc(b""), 0);
        assert_eq!(crc(b"123456789"), 11_051_210_869_376_104_954);
    }
}
