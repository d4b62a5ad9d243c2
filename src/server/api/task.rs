//! Background tasks: how far one is, and archives, which only they make (pds-api.md 12.5, 14.1).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::entry;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::task::{self, Work};
use super::call::Call;

/// Files and folders of one archive; what is below the folders is not counted.
const MAX_FILES: usize = 1000;

/// `async_task/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let id = call.args.required("async_task_id")?;
    call.service.store.read(|c| {
        let task = task::find(c, id)?.ok_or_else(|| ApiError::not_found("AsyncTaskId"))?;
        if task.user != call.caller.user_id && !call.caller.is_admin() {
            return Err(ApiError::forbidden("AsyncTask"));
        }
        Ok(Reply::ok(task.describe(&call.service, c)?))
    })
}

/// `file/archive_files`.
pub fn archive_files(call: &Call) -> ApiResult<Reply> {
    let (service, user) = (call.service.clone(), call.caller.user_id.clone());
    let (drive, files) = (call.drive()?, file_ids(call)?);
    let name = match call.args.text("name")? {
        None | Some("") => "archive.zip",
        Some(_) => call.args.name("name")?,
    };
    let is_zip = name.to_ascii_lowercase().ends_with(".zip");
    let name = if is_zip { name.to_owned() } else { format!("{name}.zip") };
    let task = service.clone().store.write(move |c| {
        for id in &files {
            entry::live(c, drive, id)?;
        }
        task::start(&service, c, &user, &Work::Archive { drive, files, name })
    })?;
    call.service.wake_tasks();
    Ok(Reply { status: 202, body: Some(json!({"async_task_id": task})) })
}

/// `files: [{file_id}]`, or the `file_ids` of the 2022 model; each once.
fn file_ids(call: &Call) -> ApiResult<Vec<String>> {
    let (field, list) = match call.args.array("file_ids")? {
        [] => ("files", call.args.array("files")?),
        list => ("file_ids", list),
    };
    let id = |item: &Value| match item {
        Value::String(id) if field == "file_ids" => Some(id.clone()),
        Value::Object(file) if field == "files" => file.get("file_id")?.as_str().map(str::to_owned),
        _ => None,
    };
    let ids: Option<BTreeSet<String>> = list.iter().map(id).collect();
    let ids = ids.ok_or_else(|| ApiError::invalid(field, "Each entry names a file."))?;
    match ids.len() {
        0 => Err(ApiError::missing("files")),
        len if len > MAX_FILES => Err(ApiError::invalid(field, "It has more than 1000 entries.")),
        _ => Ok(ids.into_iter().collect()),
    }
}
