//! Revisions of a file (13): what there is, keeping one, going back to one.

use serde_json::{Value, json};

use super::Pds;
use super::metadata::{next_marker, set, some_text, take_items, text};
use super::model::{FileId, RevisionId, number_of};
use super::transport::Call;
use crate::error::Result;

/// Revisions per page: the service's own default (13).
const PAGE: u32 = 50;

/// One revision of a file (13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its id.
    pub id: RevisionId,
    /// Counted from 1; 0 when the service does not say.
    pub version: u64,
    /// Bytes.
    pub size: u64,
    /// When it was made, ISO 8601 UTC; empty when the service does not say.
    pub created_at: String,
    /// The file as it is now.
    pub is_latest: bool,
    /// Not dropped to make room for newer ones.
    pub is_kept: bool,
    /// What somebody wrote about it.
    pub description: String,
    /// CRC-64/XZ of its bytes, when the service says so.
    pub crc64: Option<u64>,
}

/// A slice of a file's revisions (13).
#[derive(Clone, Debug)]
pub struct RevisionPage {
    /// Newest first.
    pub revisions: Vec<Revision>,
    /// The marker of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Pds {
    /// A page of a file's revisions, newest first. `marker` is `""` for the first page. One of the last seconds
    /// may be missing.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when the file is gone.
    pub async fn revisions(&self, id: &FileId, marker: &str) -> Result<RevisionPage> {
        const OP: &str = "list revisions";
        let body = json!({
            "drive_id": self.drive_id().as_str(), "file_id": id.as_str(), "limit": PAGE, "marker": marker,
        });
        let mut value = self.read(OP, id.as_str(), "file/revision/list", body).await?;
        let next = next_marker(OP, &value, marker)?;
        let revisions = take_items(OP, &mut value)?.iter().map(parse).collect::<Result<_>>()?;
        Ok(RevisionPage { revisions, next })
    }

    /// Makes the bytes of an older revision a new one, the newest. A try that is repeated because its reply was
    /// lost adds one more of the same bytes.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when the file or the revision is gone; what the service says for the newest.
    pub async fn restore_revision(&self, id: &FileId, revision: &RevisionId) -> Result<()> {
        let call =
            Call::new("restore revision", id.as_str(), "file/revision/restore", self.named(id, revision));
        self.transport.call(call).await?;
        Ok(())
    }

    /// Keeps a revision for good, or no longer, and with a description writes that to it (at most 1,024 characters).
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when it is gone; what the service says when 50 are kept already.
    pub async fn keep_revision(
        &self,
        id: &FileId,
        revision: &RevisionId,
        keep: bool,
        description: Option<&str>,
    ) -> Result<()> {
        let mut body = self.named(id, revision);
        set(&mut body, "keep_forever", Some(keep));
        set(&mut body, "revision_description", description);
        self.transport.call(Call::new("keep revision", id.as_str(), "file/revision/update", body)).await?;
        Ok(())
    }

    fn named(&self, id: &FileId, revision: &RevisionId) -> Value {
        json!({
            "drive_id": self.drive_id().as_str(), "file_id": id.as_str(), "revision_id": revision.as_str(),
        })
    }
}

fn parse(value: &Value) -> Result<Revision> {
    let number = |key: &str| value.get(key).and_then(number_of);
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    Ok(Revision {
        id: RevisionId::from(&*some_text("list revisions", value, "revision_id")?),
        version: number("revision_version").unwrap_or(0),
        size: number("size").unwrap_or(0),
        created_at: text(value, "created_at"),
        is_latest: flag("is_latest_version"),
        is_kept: flag("keep_forever"),
        description: text(value, "revision_description"),
        crc64: number("crc64_hash"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_texts_and_only_the_id_is_needed() {
        let full = json!({
            "revision_id": "r", "revision_version": 3, "size": 5, "created_at": "2026-01-01T00:00:00.000Z",
            "is_latest_version": true, "keep_forever": true, "revision_description": "good",
            "crc64_hash": "18446744073709551615",
        });
        let full = parse(&full).unwrap();
        assert_eq!((full.version, full.size, full.crc64), (3, 5, Some(u64::MAX)));
        assert!(full.is_latest && full.is_kept && full.description == "good");
        let bare = parse(&json!({"revision_id": "r", "crc64_hash": 7})).unwrap();
        assert_eq!((bare.version, bare.crc64, bare.is_latest), (0, Some(7), false));
        assert!(parse(&json!({"size": 5})).is_err());
    }
}
