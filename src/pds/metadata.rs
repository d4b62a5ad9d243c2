//! Reading: drives, listings, files, the change feed (7.3, 9, 11), download URLs (12.1).
//!
//! All of it may be repeated at will.

use std::time::Instant;

use serde_json::{Value, json};

use super::Pds;
use super::lease::{self, DownloadUrl};
use super::model::{Drive, File, FileId, RevisionId, number_of, text_of};
use super::transport::Call;
use crate::error::{Error, Kind, Result};

/// A slice of a folder's listing (9.3).
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of names.
    pub files: Vec<File>,
    /// The marker of the next page; `None` at the end.
    pub next: Option<String>,
}

/// What happened to a file (11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeltaOp {
    /// It is new.
    Create,
    /// It has a new revision.
    Overwrite,
    /// It is gone for good.
    Delete,
    /// Its metadata changed.
    Update,
    /// It is in another folder.
    Move,
    /// It is in the recycle bin.
    Trash,
    /// It is back from the recycle bin.
    Restore,
    /// It has another name.
    Rename,
    /// Something this client does not know: look at the file.
    Other,
}

/// One change (11.2).
#[derive(Clone, Debug)]
pub struct DeltaItem {
    /// What changed.
    pub file_id: FileId,
    /// How.
    pub op: DeltaOp,
    /// The file after the change, when the service sent more than its ids.
    pub file: Option<File>,
}

/// A slice of the change feed (11.2).
#[derive(Clone, Debug)]
pub struct DeltaPage {
    /// Oldest first.
    pub items: Vec<DeltaItem>,
    /// Whether to ask again at once.
    pub has_more: bool,
    /// Where to go on; keep it also when there are no items.
    pub cursor: String,
}

/// Files per page: more is refused by some deployments (section 20).
const PAGE: u32 = 100;
/// Pages of drives that are read before something must be wrong.
const MAX_DRIVE_PAGES: usize = 100;
/// Asked-for life of a download URL (12.1): long enough that a large file needs few, short enough that a
/// leaked one is soon useless.
const DOWNLOAD_URL_SECONDS: u32 = 3600;

impl Pds {
    /// The drive of this client (7.3).
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such drive, [`Kind::Denied`] when it is someone else's.
    pub async fn drive(&self) -> Result<Drive> {
        let id = self.drive_id();
        let value =
            self.read("get drive", id.as_str(), "drive/get", json!({ "drive_id": id.as_str() })).await?;
        Drive::from_value(&value)
    }

    /// The caller's own drives (7.3), at most 10,000.
    pub async fn my_drives(&self) -> Result<Vec<Drive>> {
        const OP: &str = "list drives";
        let (mut drives, mut marker) = (Vec::new(), String::new());
        for _ in 0..MAX_DRIVE_PAGES {
            let body = json!({ "limit": PAGE, "marker": marker });
            let value = self.read(OP, "", "drive/list_my_drives", body).await?;
            for item in items(OP, &value)? {
                drives.push(Drive::from_value(item)?);
            }
            match next_marker(OP, &value, &marker)? {
                Some(next) => marker = next,
                None => return Ok(drives),
            }
        }
        Err(Error::new(Kind::Protocol, OP, "the list of drives does not end"))
    }

    /// A page of a folder's listing, in the order of names, with every field (9.3). `marker` is `""` for
    /// the first page.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the folder is gone or in the recycle bin.
    pub async fn list(&self, parent: &FileId, marker: &str) -> Result<Page> {
        const OP: &str = "list";
        let body = json!({
            "drive_id": self.drive_id().as_str(), "parent_file_id": parent.as_str(), "limit": PAGE,
            "marker": marker, "order_by": "name", "order_direction": "ASC", "fields": "*",
        });
        let mut value = self.read(OP, parent.as_str(), "file/list", body).await?;
        let next = next_marker(OP, &value, marker)?;
        let files = take_items(OP, &mut value)?.into_iter().map(File::from_value).collect::<Result<_>>()?;
        Ok(Page { files, next })
    }

    /// A page of the files and folders that match a query (9.4), by name. `marker` is `""` for the first page.
    /// What was written a moment ago may be missing.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in the service's words when the query is none.
    pub async fn search(&self, query: &str, marker: &str) -> Result<Page> {
        const OP: &str = "search";
        let body = json!({
            "drive_id": self.drive_id().as_str(), "query": query, "limit": PAGE, "marker": marker,
            "order_by": "name ASC", "fields": "*",
        });
        let mut value = self.read(OP, "", "file/search", body).await?;
        let next = next_marker(OP, &value, marker)?;
        let files = take_items(OP, &mut value)?.into_iter().map(File::from_value).collect::<Result<_>>()?;
        Ok(Page { files, next })
    }

    /// A page of the recycle bin (10.5). `marker` is `""` for the first page.
    pub async fn bin(&self, marker: &str) -> Result<Page> {
        const OP: &str = "list the recycle bin";
        let body = json!({
            "drive_id": self.drive_id().as_str(), "limit": PAGE, "marker": marker, "fields": "*",
        });
        let mut value = self.read(OP, "", "recyclebin/list", body).await?;
        let next = next_marker(OP, &value, marker)?;
        let files = take_items(OP, &mut value)?.into_iter().map(File::from_value).collect::<Result<_>>()?;
        Ok(Page { files, next })
    }

    /// A file or folder with every field the service has (9.1).
    ///
    /// # Errors
    /// [`Kind::NotFound`] also for a file whose upload is not complete.
    pub async fn file(&self, id: &FileId) -> Result<File> {
        let body = json!({ "drive_id": self.drive_id().as_str(), "file_id": id.as_str(), "fields": "*" });
        File::from_value(self.read("get", id.as_str(), "file/get", body).await?)
    }

    /// A URL to read a revision with (12.1); with an empty revision, the newest.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the file or the revision is gone, [`Kind::IsDirectory`] for folders.
    pub async fn download_url(&self, id: &FileId, revision: &RevisionId) -> Result<DownloadUrl> {
        const OP: &str = "get download URL";
        let mut body = json!({
            "drive_id": self.drive_id().as_str(), "file_id": id.as_str(), "expire_sec": DOWNLOAD_URL_SECONDS,
        });
        set(&mut body, "revision_id", Some(revision.as_str()).filter(|revision| !revision.is_empty()));
        let call = Call::new(OP, id.as_str(), "file/get_download_url", body);
        let reply = self.transport.call(call).await?;
        let url = lease::parse(OP, &text(&reply.value, "url")).map_err(|error| error.on(id))?;
        Ok(DownloadUrl {
            expires_at: lease::expires_at(&url, Instant::now(), reply.server_now),
            size: reply.value.get("size").and_then(number_of),
            crc64: reply.value.get("crc64_hash").and_then(number_of),
            url,
        })
    }

    /// Where the change feed stands now (11.1). Take it before looking at anything.
    pub async fn last_cursor(&self) -> Result<String> {
        const OP: &str = "get cursor";
        let body = json!({ "drive_id": self.drive_id().as_str() });
        let value = self.read(OP, self.drive_id().as_str(), "file/get_last_cursor", body).await?;
        some_text(OP, &value, "cursor")
    }

    /// What happened after `cursor` (11.2).
    ///
    /// # Errors
    /// [`super::code::CURSOR_NOT_FOUND`] when the feed no longer goes back that far.
    pub async fn delta(&self, cursor: &str) -> Result<DeltaPage> {
        const OP: &str = "read the change feed";
        let body = json!({ "drive_id": self.drive_id().as_str(), "cursor": cursor, "limit": PAGE });
        let mut value = self.read(OP, self.drive_id().as_str(), "file/list_delta", body).await?;
        let has_more = value.get("has_more").and_then(Value::as_bool).unwrap_or(false);
        let next = some_text(OP, &value, "cursor")?;
        if has_more && next == cursor {
            return Err(Error::new(Kind::Protocol, OP, "the change feed does not move on"));
        }
        let items = take_items(OP, &mut value)?.into_iter().filter_map(delta_item).collect();
        Ok(DeltaPage { items, has_more, cursor: next })
    }

    /// Makes a call that only reads, and gives its JSON.
    pub(super) async fn read(
        &self,
        op: &'static str,
        subject: &str,
        path: &'static str,
        body: Value,
    ) -> Result<Value> {
        Ok(self.transport.call(Call::new(op, subject, path, body)).await?.value)
    }
}

/// Adds a field to a request when there is a value for it.
pub(super) fn set(body: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let (Value::Object(map), Some(value)) = (body, value) {
        map.insert(key.to_owned(), value.into());
    }
}

/// A field as text; empty when absent.
pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(text_of).unwrap_or_default()
}

/// A field without which the reply makes no sense.
pub(super) fn some_text(op: &'static str, value: &Value, key: &str) -> Result<String> {
    match text(value, key) {
        text if text.is_empty() => Err(Error::new(Kind::Protocol, op, format!("the reply has no {key}"))),
        text => Ok(text),
    }
}

/// `items`, which may be absent or null when there are none (9.3).
fn items<'a>(op: &'static str, value: &'a Value) -> Result<&'a [Value]> {
    match value.get("items") {
        Some(Value::Array(items)) => Ok(items),
        None | Some(Value::Null) if value.is_object() => Ok(&[]),
        _ => Err(Error::new(Kind::Protocol, op, "the reply is not a list")),
    }
}

/// [`items`], taken out.
pub(super) fn take_items(op: &'static str, value: &mut Value) -> Result<Vec<Value>> {
    items(op, value)?;
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// The next page, unless it is this one again.
pub(super) fn next_marker(op: &'static str, value: &Value, marker: &str) -> Result<Option<String>> {
    let next = text(value, "next_marker");
    if next.is_empty() {
        return Ok(None);
    }
    if next == marker {
        return Err(Error::new(Kind::Protocol, op, "the list does not move on"));
    }
    Ok(Some(next))
}

/// A change, unless it does not say of what. `file` may be absent or hold nothing but ids (11.2).
fn delta_item(mut item: Value) -> Option<DeltaItem> {
    let mut file = item.get_mut("file").map(Value::take).unwrap_or(Value::Null);
    let id =
        Some(text(&item, "file_id")).filter(|id| !id.is_empty()).unwrap_or_else(|| text(&file, "file_id"));
    if id.is_empty() {
        tracing::warn!("the change feed has an item without file_id");
        return None;
    }
    set(&mut file, "file_id", Some(id.as_str()));
    let described = !text(&file, "name").is_empty() && !text(&file, "type").is_empty();
    Some(DeltaItem {
        file_id: FileId::from(&*id),
        op: delta_op(&text(&item, "op")),
        file: described.then(|| File::from_value(file).ok()).flatten(),
    })
}

fn delta_op(op: &str) -> DeltaOp {
    match op {
        "create" => DeltaOp::Create,
        "overwrite" => DeltaOp::Overwrite,
        "delete" => DeltaOp::Delete,
        "update" => DeltaOp::Update,
        "move" => DeltaOp::Move,
        "trash" => DeltaOp::Trash,
        "restore" => DeltaOp::Restore,
        "rename" => DeltaOp::Rename,
        _ => DeltaOp::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_may_lack_its_file_but_not_its_id() {
        let bare = delta_item(json!({"file_id": "a", "op": "trash", "file": {"file_id": "a"}})).unwrap();
        assert_eq!((bare.file_id.as_str(), bare.op, bare.file), ("a", DeltaOp::Trash, None));
        let gone = delta_item(json!({"file_id": "a", "op": "delete"})).unwrap();
        assert_eq!((gone.op, gone.file), (DeltaOp::Delete, None));
        let full = json!({"op": "paint", "file": {"file_id": "b", "name": "n", "type": "file"}});
        let full = delta_item(full).unwrap();
        assert_eq!((full.file_id.as_str(), full.op), ("b", DeltaOp::Other));
        assert_eq!(&*full.file.unwrap().name, "n");
        assert!(delta_item(json!({"op": "create"})).is_none());
        assert!(delta_item(json!(7)).is_none());
    }

    #[test]
    fn lists_may_be_absent_but_nothing_else() {
        assert!(items("list", &json!({})).unwrap().is_empty());
        assert!(items("list", &json!({"items": null})).unwrap().is_empty());
        for wrong in [json!(null), json!([]), json!({"items": {}}), json!({"items": "x"})] {
            assert_eq!(items("list", &wrong).unwrap_err().kind(), Kind::Protocol, "{wrong}");
        }
    }

    #[test]
    fn a_list_that_stands_still_is_refused() {
        assert_eq!(next_marker("list", &json!({"next_marker": "b"}), "a").unwrap().as_deref(), Some("b"));
        assert_eq!(next_marker("list", &json!({"next_marker": ""}), "a").unwrap(), None);
        assert!(next_marker("list", &json!({"next_marker": "a"}), "a").is_err());
    }
}
