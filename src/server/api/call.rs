//! One request as a handler sees it: who calls, with which arguments, on which service.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::Service;
use super::super::account::{Caller, DriveFacts};
use super::super::clock::iso;
use super::super::fault::Quirk;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::args::{Args, drive_number};
use super::proof::ProofSeed;

/// A call of an endpoint.
pub struct Call {
    /// What handlers work with.
    pub service: Arc<Service>,
    /// Who calls, resolved once per request.
    pub caller: Caller,
    /// The fields of the body.
    pub args: Args,
    /// What the access token makes of a proof of possession.
    pub proof: ProofSeed,
    /// What is ordered to go wrong with it.
    pub quirk: Option<Quirk>,
}

impl Call {
    /// The same caller's call with other arguments: a child of a batch.
    pub fn child(&self, args: Args) -> Call {
        Call {
            service: self.service.clone(),
            caller: self.caller.clone(),
            args,
            proof: self.proof,
            quirk: self.quirk,
        }
    }

    /// So long before now, in milliseconds since 1970.
    pub fn ago(&self, by: Duration) -> i64 {
        self.service.clock.now_ms().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
    }

    /// What is ordered to be refused that usually is not.
    pub fn refuse(&self) -> ApiResult<()> {
        match self.quirk {
            Some(Quirk::NoParallel) if self.args.flag("parallel_upload")? => Err(ApiError::new(
                400,
                "InvalidParameterNotSupported.ParallelUpload",
                "The input parameter parallel_upload is not supported.",
            )),
            Some(Quirk::SizeRequired) if self.args.text("type")? == Some("file") => {
                self.args.number("size")?.map(|_| ()).ok_or_else(|| ApiError::missing("size"))
            }
            _ => Ok(()),
        }
    }

    /// A reply as it is ordered to look: without what was made too recently.
    pub fn blur(&self, mut reply: Reply) -> Reply {
        let Some(Quirk::Stale(by)) = self.quirk else { return reply };
        let limit = iso(self.ago(by));
        let items = reply.body.as_mut().and_then(|body| body.get_mut("items")?.as_array_mut());
        if let Some(items) = items {
            items.retain(|item| item["created_at"].as_str().is_none_or(|at| at <= limit.as_str()));
        }
        reply
    }

    /// `drive_id`, as text or number, of a drive that exists and that the caller may use.
    pub fn drive(&self) -> ApiResult<i64> {
        self.drive_of("drive_id")
    }

    /// The drive in another field.
    pub fn drive_of(&self, key: &str) -> ApiResult<i64> {
        self.usable(self.args.drive_number(key)?)
    }

    /// The drive in a list.
    pub fn drive_in(&self, key: &str, value: &Value) -> ApiResult<i64> {
        self.usable(drive_number(key, value)?)
    }

    /// The drives of the caller; of everyone for the service itself.
    pub fn own_drives(&self) -> ApiResult<Vec<i64>> {
        let drives = &self.service.drives;
        let mut own = drives.ids();
        own.retain(|id| drives.get(*id).is_some_and(|drive| drive.enabled));
        own.retain(|id| self.caller.user_id.is_empty() || drives.owner(*id) == self.caller.user_id);
        own.sort_unstable();
        Ok(own)
    }

    fn usable(&self, id: i64) -> ApiResult<i64> {
        if !self.known(id)?.enabled {
            return Err(ApiError::new(403, "ForbiddenDriveNotValid", "The drive is disabled."));
        }
        Ok(id)
    }

    /// The drive in a field, also when it is disabled.
    pub fn any_drive(&self, key: &str) -> ApiResult<(i64, DriveFacts)> {
        let id = self.args.drive_number(key)?;
        Ok((id, self.known(id)?))
    }

    fn known(&self, id: i64) -> ApiResult<DriveFacts> {
        let drive = self.service.drives.get(id).ok_or_else(|| ApiError::not_found("DriveId"))?;
        if !self.caller.is_admin() && drive.owner != self.caller.user_id {
            return Err(ApiError::forbidden("Drive"));
        }
        Ok(drive)
    }

    /// Refuses everyone but administrators.
    pub fn require_admin(&self) -> ApiResult<()> {
        match self.caller.is_admin() {
            true => Ok(()),
            false => Err(ApiError::new(403, "Forbidden", "Only administrators may use this API.")),
        }
    }

    /// The user a request is about: `user_id`, else the caller. Others than administrators ask about themselves.
    pub fn user_id(&self) -> ApiResult<String> {
        match self.args.text("user_id")?.filter(|user| !user.is_empty()) {
            None if self.caller.user_id.is_empty() => Err(ApiError::missing("user_id")),
            None => Ok(self.caller.user_id.clone()),
            Some(user) if user == self.caller.user_id || self.caller.is_admin() => Ok(user.to_owned()),
            Some(_) => Err(ApiError::forbidden("User")),
        }
    }
}
