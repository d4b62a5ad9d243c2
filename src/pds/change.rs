//! Changing what is there: update, move, copy, trash, delete, tags (section 10), and waiting for the
//! service's background tasks (14.1).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::failure;
use super::metadata::{set, some_text, text};
use super::model::{File, FileId};
use super::transport::Call;
use super::upload::exists;
use super::{Annotations, Pds};
use crate::error::{Error, Kind, Result};

/// What to change about a file or folder (10.1). `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// A new name in the same folder.
    pub name: Option<String>,
    /// What is attached to it.
    pub annotations: Annotations,
    /// Modification time, ISO 8601 UTC (4.3).
    pub local_modified_at: Option<String>,
}

/// What a change of name or place led to.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It is done; the file after it.
    Done(File),
    /// The name is taken by this entry; nothing was changed.
    Exists {
        /// Who has the name.
        id: FileId,
    },
}

/// The first look at a background task; the next come after twice as long each.
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(50);
/// How far apart two looks get; the official SDK looks every 5 s (14.1).
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A background task may take this many times `op_timeout`: 10 minutes by default.
const TASK_TIMEOUTS: u32 = 20;

impl Pds {
    /// Changes metadata, also the name (10.1). The file comes back as the reply describes it, which may
    /// lack fields that [`Pds::file`] asks for.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Invalid`] for a value the service refuses.
    pub async fn update(&self, id: &FileId, change: &Update) -> Result<Changed> {
        const OP: &str = "update";
        let call = Call::new(OP, id.as_str(), "file/update", self.update_body(id, change));
        let failure = match self.transport.call(call).await {
            Ok(reply) if exists(&reply.value) => return self.exists(OP, id, &reply.value).await,
            Ok(reply) if is_described(&reply.value) => {
                return File::from_value(reply.value).map(Changed::Done);
            }
            Ok(_) => return self.file(id).await.map(Changed::Done),
            Err(failure) => failure,
        };
        if !failure.lost && failure.error.kind() != Kind::Exists {
            return Err(failure.error);
        }
        let Ok(file) = self.file(id).await else { return Err(failure.error) };
        if failure.lost && change.is_made_in(&file) {
            return Ok(Changed::Done(file));
        }
        match (failure.error.kind(), &file.parent, &change.name) {
            (Kind::Exists, Some(parent), Some(name)) => {
                self.name_taken(parent, name, &file, failure.error).await
            }
            _ => Err(failure.error),
        }
    }

    /// Moves into another folder, under another name if given (10.2), and says what the file is then.
    ///
    /// Where the service does not rename while moving, this takes two calls; when the second fails because
    /// the name is taken, the file is moved back.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the file or the folder is gone.
    pub async fn move_file(
        &self,
        id: &FileId,
        to_parent: &FileId,
        new_name: Option<&str>,
    ) -> Result<Changed> {
        // As long as nobody has seen this service rename while moving, know the way back.
        let origin = match new_name {
            Some(_) if !self.transport.renames_on_move.load(Ordering::Relaxed) => Some(self.file(id).await?),
            _ => None,
        };
        let changed = self.move_once(id, to_parent, new_name).await?;
        let (Some(new_name), Some(origin)) = (new_name, origin) else { return Ok(changed) };
        match changed {
            Changed::Done(file) if *file.name == *new_name => {
                if file.name != origin.name {
                    self.transport.renames_on_move.store(true, Ordering::Relaxed);
                }
                Ok(Changed::Done(file))
            }
            Changed::Done(_) => self.rename_after_move(&origin, new_name).await,
            // The name that was checked may have been the old one: then this is not who has the new one.
            Changed::Exists { id: other } if *self.file(&other).await?.name == *new_name => {
                Ok(Changed::Exists { id: other })
            }
            Changed::Exists { .. } => {
                let why = "the service cannot move and rename at once, and the old name is taken there";
                Err(Error::new(Kind::Unsupported, "move", why).on(&origin.name))
            }
        }
    }

    async fn move_once(&self, id: &FileId, to_parent: &FileId, new_name: Option<&str>) -> Result<Changed> {
        const OP: &str = "move";
        let mut body = self.file_body(id);
        set(&mut body, "to_parent_file_id", Some(to_parent.as_str()));
        set(&mut body, "check_name_mode", Some("refuse"));
        set(&mut body, "new_name", new_name);
        let failure = match self.transport.call(Call::new(OP, id.as_str(), "file/move", body)).await {
            Ok(reply) if exists(&reply.value) => return self.exists(OP, id, &reply.value).await,
            Ok(reply) => {
                self.await_task(OP, id, &reply.value).await?;
                return self.file(id).await.map(Changed::Done);
            }
            Err(failure) => failure,
        };
        if !failure.lost && failure.error.kind() != Kind::Exists {
            return Err(failure.error);
        }
        let Ok(file) = self.file(id).await else { return Err(failure.error) };
        let name = new_name.unwrap_or(&file.name);
        if failure.lost && file.parent.as_ref() == Some(to_parent) && *file.name == *name {
            return Ok(Changed::Done(file));
        }
        if failure.error.kind() != Kind::Exists {
            return Err(failure.error);
        }
        self.name_taken(to_parent, name, &file, failure.error).await
    }

    /// The second half of a move under another name, or the way back.
    async fn rename_after_move(&self, origin: &File, new_name: &str) -> Result<Changed> {
        let rename = Update { name: Some(new_name.to_owned()), ..Update::default() };
        let renamed = self.update(&origin.id, &rename).await;
        if let (Ok(Changed::Exists { .. }) | Err(_), Some(back)) = (&renamed, &origin.parent)
            && let Err(error) = self.move_once(&origin.id, back, None).await
        {
            tracing::warn!(file = %origin.name, %error, "moved but not renamed, and the way back failed");
        }
        renamed
    }

    /// Copies on the server (10.3) and says the id of the copy, which is a new entry. Sent once: a copy
    /// whose reply is lost is an error although the copy may be there.
    ///
    /// # Errors
    /// [`Kind::Exists`] when the name is taken, as far as the service says so.
    pub async fn copy(&self, id: &FileId, to_parent: &FileId, new_name: Option<&str>) -> Result<FileId> {
        const OP: &str = "copy";
        let mut body = self.file_body(id);
        set(&mut body, "to_parent_file_id", Some(to_parent.as_str()));
        set(&mut body, "auto_rename", Some(false));
        set(&mut body, "new_name", new_name);
        let call = Call { repeatable: false, ..Call::new(OP, id.as_str(), "file/copy", body) };
        let value = self.transport.call(call).await?.value;
        if exists(&value) {
            return Err(Error::new(Kind::Exists, OP, "the name is taken").on(id));
        }
        self.await_task(OP, id, &value).await?;
        let copy = some_text(OP, &value, "file_id")?;
        if copy == id.as_str() {
            return Err(Error::new(Kind::Protocol, OP, "the service does not say what the copy is").on(id));
        }
        let copy = FileId::from(&*copy);
        if let Some(name) = new_name
            && *self.file(&copy).await?.name != *name
        {
            let rename = Update { name: Some(name.to_owned()), ..Update::default() };
            if let Changed::Exists { .. } = self.update(&copy, &rename).await? {
                self.trash(&copy).await?;
                return Err(Error::new(Kind::Exists, OP, "the name is taken").on(name));
            }
        }
        Ok(copy)
    }

    /// Moves to the recycle bin, a folder with everything in it (10.5), and returns when it is there.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was gone before the first try.
    pub async fn trash(&self, id: &FileId) -> Result<()> {
        self.remove("trash", id, "recyclebin/trash", self.file_body(id)).await
    }

    /// Deletes for good, a folder with everything in it (10.4), and returns when it is gone.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it was gone before the first try.
    pub async fn delete(&self, id: &FileId) -> Result<()> {
        let mut body = self.file_body(id);
        set(&mut body, "permanently", Some(true));
        self.remove("delete", id, "file/delete", body).await
    }

    /// Brings back from the recycle bin, to where it was (10.5), and returns when it is there.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is gone for good.
    pub async fn restore(&self, id: &FileId) -> Result<()> {
        self.remove("restore", id, "recyclebin/restore", self.file_body(id)).await
    }

    async fn remove(&self, op: &'static str, id: &FileId, path: &'static str, body: Value) -> Result<()> {
        match self.transport.call(Call::new(op, id.as_str(), path, body)).await {
            Ok(reply) => self.await_task(op, id, &reply.value).await,
            // An earlier try did it.
            Err(failure) if failure.lost && failure.error.kind() == Kind::NotFound => Ok(()),
            Err(failure) => Err(failure.error),
        }
    }

    /// Adds or replaces tags, keeping the others (10.6). At most 1,000.
    pub async fn put_tags(&self, id: &FileId, tags: &BTreeMap<String, String>) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let tags = tags.iter().map(|(key, value)| json!({ "key": key, "value": value }));
        let mut body = self.file_body(id);
        set(&mut body, "user_tags", Some(tags.collect::<Value>()));
        self.transport.call(Call::new("put tags", id.as_str(), "file/put_usertags", body)).await?;
        Ok(())
    }

    /// Removes tags (10.6). At most 1,000; those that are not there are no error.
    pub async fn delete_tags(&self, id: &FileId, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut body = self.file_body(id);
        set(&mut body, "key_list", Some(keys.to_vec()));
        self.transport.call(Call::new("delete tags", id.as_str(), "file/delete_usertags", body)).await?;
        Ok(())
    }

    fn file_body(&self, id: &FileId) -> Value {
        json!({ "drive_id": self.drive_id().as_str(), "file_id": id.as_str() })
    }

    fn update_body(&self, id: &FileId, change: &Update) -> Value {
        let mut body = self.file_body(id);
        set(&mut body, "name", change.name.as_deref());
        set(&mut body, "check_name_mode", change.name.as_ref().map(|_| "refuse"));
        for (key, value) in change.fields() {
            set(&mut body, &key, Some(value));
        }
        body
    }

    /// The entry that a reply with `exist` describes; the file itself is not in its own way.
    async fn exists(&self, op: &'static str, id: &FileId, value: &Value) -> Result<Changed> {
        let other = FileId::from(&*some_text(op, value, "file_id")?);
        if other == *id {
            return self.file(id).await.map(Changed::Done);
        }
        Ok(Changed::Exists { id: other })
    }

    /// Who has the name, after an error that says no more than that.
    async fn name_taken(&self, parent: &FileId, name: &str, file: &File, error: Error) -> Result<Changed> {
        match self.sibling(parent, name, file.kind).await {
            Ok(Some(other)) => Ok(Changed::Exists { id: other.id }),
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Waits for the background task that a reply names, if it names one (14.1).
    async fn await_task(&self, op: &'static str, id: &FileId, reply: &Value) -> Result<()> {
        let task = text(reply, "async_task_id");
        if task.is_empty() {
            return Ok(());
        }
        let ends_at = Instant::now() + self.transport.options.op_timeout * TASK_TIMEOUTS;
        let mut pause = FIRST_LOOK_AFTER;
        while Instant::now() < ends_at {
            let value =
                self.read(op, id.as_str(), "async_task/get", json!({ "async_task_id": task })).await?;
            match task_state(&value) {
                TaskState::Running => sleep(pause).await,
                TaskState::Done => return Ok(()),
                TaskState::Failed => {
                    let said = text(&value, "error_message");
                    return Err(failure::from_task(op, &text(&value, "error_code"), &said).on(id));
                }
            }
            pause = (pause * 2).min(LOOK_EVERY);
        }
        Err(Error::new(Kind::Timeout, op, "the service has not finished it; it may still do so").on(id))
    }
}

impl Update {
    /// Everything but the name, as the service spells it.
    fn fields(&self) -> Map<String, Value> {
        let mut fields = self.annotations.fields();
        if let Some(time) = &self.local_modified_at {
            fields.insert("local_modified_at".to_owned(), time.as_str().into());
        }
        fields
    }

    /// Whether the file is as it would be after this change.
    fn is_made_in(&self, file: &File) -> bool {
        let Value::Object(fields) = file.json() else { return false };
        self.name.as_deref().is_none_or(|name| name == &*file.name)
            && self.local_modified_at.as_deref().is_none_or(|time| time == &*file.local_modified_at)
            && self.annotations.are_in(&fields)
    }
}

/// Whether a reply describes a file well enough to be shown.
fn is_described(value: &Value) -> bool {
    ["file_id", "name", "type"].iter().all(|key| !text(value, key).is_empty())
}

#[derive(Debug, PartialEq, Eq)]
enum TaskState {
    Running,
    Done,
    Failed,
}

/// `state`, or its deprecated twin `status`, in any case (4.6).
fn task_state(value: &Value) -> TaskState {
    let state = Some(text(value, "state")).filter(|state| !state.is_empty());
    match state.unwrap_or_else(|| text(value, "status")).to_ascii_lowercase().as_str() {
        "succeed" | "success" | "succeeded" => TaskState::Done,
        "failed" | "partialsucceed" => TaskState::Failed,
        _ => TaskState::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_recognised_in_the_file() {
        let file = File::from_value(json!({"file_id": "f", "name": "n", "type": "file", "starred": true,
            "local_modified_at": "2026-01-02T03:04:05.000Z"}))
        .unwrap();
        let starred = |starred| Annotations { starred: Some(starred), ..Annotations::default() };
        let made = Update {
            name: Some("n".into()),
            local_modified_at: Some("2026-01-02T03:04:05.000Z".into()),
            annotations: starred(true),
        };
        assert!(made.is_made_in(&file));
        for other in [
            Update { name: Some("m".into()), ..Update::default() },
            Update { local_modified_at: Some("2026-01-02T03:04:06.000Z".into()), ..Update::default() },
            Update { annotations: starred(false), ..Update::default() },
        ] {
            assert!(!other.is_made_in(&file), "{other:?}");
        }
    }

    #[test]
    fn a_task_is_done_failed_or_running() {
        for (value, state) in [
            (json!({"state": "Succeed"}), TaskState::Done),
            (json!({"status": "success"}), TaskState::Done),
            (json!({"state": "PartialSucceed"}), TaskState::Failed),
            (json!({"state": "Failed", "status": "success"}), TaskState::Failed),
            (json!({"state": "Running"}), TaskState::Running),
            (json!({}), TaskState::Running),
        ] {
            assert_eq!(task_state(&value), state, "{value}");
        }
    }
}
