//! One error for the whole crate: what it means, what was being done, to what, and why.
//!
//! A [`Kind`] is the meaning and the only thing decisions are made on. [`Kind::errno`] and
//! [`Kind::exit_code`] are the only places where a meaning becomes a number. Nothing here ever holds a
//! token or a signed URL: whoever builds an error leaves them out, because errors reach logs, status and
//! people's terminals.

use std::fmt;
use std::sync::Arc;

/// Shorthand used throughout the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The file, folder, drive or upload does not exist.
    NotFound,
    /// The name is taken.
    Exists,
    /// A folder is needed.
    NotDirectory,
    /// A file is needed.
    IsDirectory,
    /// The folder has entries.
    NotEmpty,
    /// The caller has no right to do this on the drive.
    Denied,
    /// The service does not accept who we say we are, also after a refresh.
    Unauthenticated,
    /// This filesystem never does that to this object (hard links, read-only attributes).
    NotPermitted,
    /// The mount is read-only.
    ReadOnly,
    /// The drive is full.
    Quota,
    /// The local disk is full.
    NoSpace,
    /// The service asks us to slow down, and kept asking.
    Throttled,
    /// A deadline passed.
    Timeout,
    /// The service or the network cannot be reached, or answers with a server error.
    Unavailable,
    /// Bytes or checksums do not agree.
    Corrupt,
    /// What the handle refers to is gone from the drive.
    Stale,
    /// Someone else is using it.
    Busy,
    /// An argument makes no sense.
    Invalid,
    /// A name longer than 1,024 bytes.
    NameTooLong,
    /// A name that is not UTF-8.
    NotUnicode,
    /// A size or offset beyond what the service can hold.
    TooLarge,
    /// No data, or no hole, at or behind the offset.
    PastEnd,
    /// A value too long for its attribute.
    OutOfRange,
    /// A list too long for its place: more than 100 labels, an attribute over 64 KiB.
    TooMany,
    /// The extended attribute does not exist.
    NoAttribute,
    /// The operation or namespace is not supported.
    Unsupported,
    /// A handle opened for the other direction.
    BadHandle,
    /// Between two drives or two local disks.
    CrossDevice,
    /// The service broke its own protocol: not JSON, missing fields, cut body.
    Protocol,
    /// A local system call failed with this errno, and nothing above says it better.
    Local(i32),
}

impl Kind {
    /// The errno a program gets. This is the table; there is no other.
    pub fn errno(self) -> i32 {
        match self {
            Kind::NotFound => libc::ENOENT,
            Kind::Exists => libc::EEXIST,
            Kind::NotDirectory => libc::ENOTDIR,
            Kind::IsDirectory => libc::EISDIR,
            Kind::NotEmpty => libc::ENOTEMPTY,
            Kind::Denied | Kind::Unauthenticated => libc::EACCES,
            Kind::NotPermitted => libc::EPERM,
            Kind::ReadOnly => libc::EROFS,
            Kind::Quota => libc::EDQUOT,
            Kind::NoSpace => libc::ENOSPC,
            Kind::Timeout => libc::ETIMEDOUT,
            Kind::Throttled | Kind::Unavailable | Kind::Corrupt | Kind::Protocol => libc::EIO,
            Kind::Stale => libc::ESTALE,
            Kind::Busy => libc::EBUSY,
            Kind::Invalid => libc::EINVAL,
            Kind::NameTooLong => libc::ENAMETOOLONG,
            Kind::NotUnicode => libc::EILSEQ,
            Kind::TooLarge => libc::EFBIG,
            Kind::PastEnd => libc::ENXIO,
            Kind::OutOfRange => libc::ERANGE,
            Kind::TooMany => libc::E2BIG,
            Kind::NoAttribute => libc::ENODATA,
            Kind::Unsupported => libc::EOPNOTSUPP,
            Kind::BadHandle => libc::EBADF,
            Kind::CrossDevice => libc::EXDEV,
            Kind::Local(errno) => errno,
        }
    }

    /// The exit code of a command that ends with this error; README "Exit codes" lists them.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Invalid | Kind::NameTooLong | Kind::NotUnicode => 2,
            Kind::NotFound => 3,
            Kind::Denied | Kind::Unauthenticated => 4,
            Kind::Throttled | Kind::Timeout | Kind::Unavailable => 5,
            Kind::Busy | Kind::NotDirectory => 7,
            Kind::Exists
            | Kind::IsDirectory
            | Kind::NotEmpty
            | Kind::NotPermitted
            | Kind::ReadOnly
            | Kind::Quota
            | Kind::NoSpace
            | Kind::Corrupt
            | Kind::Stale
            | Kind::TooLarge
            | Kind::PastEnd
            | Kind::OutOfRange
            | Kind::TooMany
            | Kind::NoAttribute
            | Kind::Unsupported
            | Kind::BadHandle
            | Kind::CrossDevice
            | Kind::Protocol
            | Kind::Local(_) => 1,
        }
    }

    /// Whether the same request may succeed later without anyone changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Kind::Throttled | Kind::Timeout | Kind::Unavailable | Kind::Protocol)
    }
}

/// An error with its story: `complete "a.jpg": the drive is full (QuotaExhausted.Drive)`.
///
/// Cheap to clone, because a failed upload gives the same answer to everyone who asks.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    /// The operation, as a verb phrase of ours: `"complete"`, `"read directory"`.
    op: &'static str,
    /// What it was done to: a name or a path, never a URL. Empty when there is nothing to name.
    subject: Box<str>,
    /// One sentence for a person: what is wrong and, where we know, what to do.
    message: Box<str>,
    /// The service's own code (`NotFound.FileId`), empty for errors of ours.
    code: Box<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind in the words of `message`.
    pub fn new(kind: Kind, op: &'static str, message: impl Into<String>) -> Self {
        Error {
            kind,
            op,
            subject: Box::default(),
            message: message.into().into_boxed_str(),
            code: Box::default(),
            source: None,
        }
    }

    /// The error of a failed local system call. ENOSPC and EDQUOT of the local disk become
    /// [`Kind::NoSpace`]: the drive is not what is full.
    pub fn io(op: &'static str, error: std::io::Error) -> Self {
        let kind = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Kind::NoSpace,
            Some(libc::EFBIG) => Kind::TooLarge,
            Some(libc::EXDEV) => Kind::CrossDevice,
            Some(errno) => Kind::Local(errno),
            None => Kind::Local(libc::EIO),
        };
        Error::new(kind, op, error.to_string()).caused_by(error)
    }

    /// Names what the operation was done to.
    #[must_use]
    pub fn on(mut self, subject: impl fmt::Display) -> Self {
        self.subject = subject.to_string().into_boxed_str();
        self
    }

    /// Records the service's own error code.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = code.into();
        self
    }

    /// Records the error underneath, for logs.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What the error means.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The service's own code, or `""`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for a person, without operation and subject.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// See [`Kind::errno`].
    pub fn errno(&self) -> i32 {
        self.kind.errno()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        if !self.subject.is_empty() {
            write!(f, " {:?}", &*self.subject)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        let mut cause = self.source.as_ref().map(|source| &**source as &dyn std::error::Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_operation_subject_message_and_code() {
        let error = Error::new(Kind::Quota, "complete", "the drive is full")
            .on("a \"b\".jpg")
            .with_code("QuotaExhausted.Drive");
        assert_eq!(error.to_string(), r#"complete "a \"b\".jpg": the drive is full (QuotaExhausted.Drive)"#);
        assert_eq!(error.errno(), libc::EDQUOT);
    }

    #[test]
    fn a_full_local_disk_is_not_a_full_drive() {
        let error = Error::io("write", std::io::Error::from_raw_os_error(libc::EDQUOT));
        assert_eq!(error.kind(), Kind::NoSpace);
        assert_eq!(error.errno(), libc::ENOSPC);
    }
}
