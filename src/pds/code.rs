//! The codes callers decide on, compared with [`Error::code`](crate::error::Error::code).
//!
//! Everything else is decided on the [`Kind`](crate::error::Kind).

/// Ours: a signed URL has run out (8.4, 12.2). Get a new one and repeat.
pub const EXPIRED: &str = "Expired";
/// Serial mode: the part is stored already, perhaps shorter than sent (8.4). Compare sizes with
/// [`Pds::uploaded_parts`](super::Pds::uploaded_parts).
pub const PART_ALREADY_EXIST: &str = "PartAlreadyExist";
/// Serial mode: an earlier part is missing (8.4).
pub const PART_NOT_SEQUENTIAL: &str = "PartNotSequential";
/// The data side no longer knows the upload (8.4): completed, abandoned or older than 10 days.
pub const NO_SUCH_UPLOAD: &str = "NoSuchUpload";
/// The object behind a download URL is gone (12.2).
pub const NO_SUCH_KEY: &str = "NoSuchKey";
/// The API no longer knows the upload (8.6): completed, abandoned or older than 10 days.
pub const UPLOAD_NOT_FOUND: &str = "NotFound.UploadId";
/// The feed no longer knows the cursor (11.2): take a new one and look at everything again.
pub const CURSOR_NOT_FOUND: &str = "NotFound.Cursor";
/// This drive has no parallel mode (8.7): create again with `parallel: false`.
pub const PARALLEL_REFUSED: &str = "InvalidParameterNotSupported.ParallelUpload";
