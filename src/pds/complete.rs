//! The end of an upload: complete, and knowing whether it happened (8.6, 8.10).
//!
//! Success is reported only for a file whose size and checksums are the ones expected. A complete whose
//! reply got lost is settled by looking at the file: the upload dies with it, so asking again says
//! "unknown upload" also when all went well.

use super::metadata::set;
use super::model::{File, FileId, RevisionId, text_of};
use super::transport::Call;
use super::upload::UploadKey;
use super::{Pds, code};
use crate::error::{Error, Kind, Result};

/// What a completed file must be.
#[derive(Clone, Debug)]
pub struct Expect {
    /// CRC-64/XZ of all bytes; sent, and compared with the reply.
    pub crc64: u64,
    /// Bytes; compared with the reply.
    pub size: u64,
    /// Hex SHA-1 of all bytes when known; compared with the reply.
    pub sha1: Option<String>,
    /// The revision being replaced: as long as the file still has it, the upload is not complete.
    pub base_revision: Option<RevisionId>,
}

impl Pds {
    /// Turns the parts into the file's content (8.6) and compares size, CRC-64 and, where both are known,
    /// SHA-1 of the result with `expect`.
    ///
    /// Takes up to `stall_timeout + op_timeout`, because the service reads the whole content. A reply that
    /// is lost, or the news that the upload is unknown, is settled by looking at the file (8.10).
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the service has other bytes; [`Kind::Quota`];
    /// [`code::UPLOAD_NOT_FOUND`] when the upload is gone and the file is not
    /// what it should be: start again.
    pub async fn complete(&self, upload: &UploadKey, expect: Expect) -> Result<File> {
        const OP: &str = "complete";
        let mut body = self.upload_body(upload);
        set(&mut body, "crc64_hash", Some(expect.crc64.to_string()));
        let call = Call {
            reply_within: Some(self.transport.options.stall_timeout),
            ..Call::new(OP, upload.file.as_str(), "file/complete", body)
        };
        let (error, lost) = match self.transport.call(call).await {
            Ok(reply) => match File::from_value(reply.value) {
                Ok(file) => return verified(file, &expect),
                Err(error) => (error.on(&upload.file), true),
            },
            Err(failure) => (failure.error, failure.lost),
        };
        if !lost && error.code() != code::UPLOAD_NOT_FOUND {
            return Err(error);
        }
        match self.file(&upload.file).await {
            Ok(file) if is_result(&file, &expect) => Ok(file),
            Ok(_) | Err(_) => Err(error),
        }
    }
}

impl Pds {
    /// The file that the service made from bytes it had (8.8), compared with `expect` as [`Pds::complete`] does.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when it has other bytes.
    pub async fn verify(&self, file: &FileId, expect: Expect) -> Result<File> {
        verified(self.file(file).await?, &expect)
    }
}

/// The completed file, if it is what it should be.
fn verified(file: File, expect: &Expect) -> Result<File> {
    let why = if file.size != expect.size {
        format!("the file has {} bytes on the drive, {} were sent", file.size, expect.size)
    } else if file.crc64.is_some_and(|crc| crc != expect.crc64) {
        "the file has other bytes on the drive than were sent (the CRC-64 differs)".to_owned()
    } else if !sha1_agrees(&file, expect) {
        "the file has other bytes on the drive than were sent (the SHA-1 differs)".to_owned()
    } else {
        return Ok(file);
    };
    Err(Error::new(Kind::Corrupt, "complete", why).on(&file.name))
}

fn sha1_agrees(file: &File, expect: &Expect) -> bool {
    match (&file.sha1, &expect.sha1) {
        (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours),
        _ => true,
    }
}

/// Whether a file found after a lost reply is what the upload was to become. Without a CRC there is no
/// telling, and the revision that was to be replaced is not it, whatever its bytes.
fn is_result(file: &File, expect: &Expect) -> bool {
    let status = file.json().get("status").and_then(text_of).unwrap_or_default();
    (status.is_empty() || status == "available")
        && file.size == expect.size
        && file.crc64 == Some(expect.crc64)
        && sha1_agrees(file, expect)
        && expect.base_revision.as_ref() != Some(&file.revision)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn expect() -> Expect {
        Expect { crc64: 7, size: 3, sha1: Some("ab".into()), base_revision: Some(RevisionId::from("old")) }
    }

    fn file(change: Value) -> File {
        let mut file = json!({"file_id": "f", "type": "file", "status": "available", "size": 3,
            "crc64_hash": "7", "content_hash": "AB", "revision_id": "new"});
        if let (Value::Object(file), Value::Object(change)) = (&mut file, change) {
            file.extend(change);
        }
        File::from_value(file).unwrap()
    }

    #[test]
    fn a_completed_file_is_compared_with_what_was_sent() {
        assert!(verified(file(json!({})), &expect()).is_ok());
        assert!(verified(file(json!({"crc64_hash": null, "content_hash": ""})), &expect()).is_ok());
        for wrong in [json!({"size": 4}), json!({"crc64_hash": 8}), json!({"content_hash": "CD"})] {
            assert_eq!(
                verified(file(wrong.clone()), &expect()).unwrap_err().kind(),
                Kind::Corrupt,
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_file_found_after_a_lost_reply_must_be_the_very_one() {
        assert!(is_result(&file(json!({})), &expect()));
        let others = [
            json!({"size": 4}),
            json!({"crc64_hash": 8}),
            json!({"crc64_hash": null}),
            json!({"content_hash": "CD"}),
            json!({"status": "uploading"}),
            json!({"revision_id": "old"}),
        ];
        for other in others {
            assert!(!is_result(&file(other.clone()), &expect()), "{other}");
        }
    }
}
