//! One metadata call: permit, token, deadline, retries, bounded reply.

use super::PdsOptions;
use super::auth::Auth;
use crate::error::Result;

pub(super) struct Transport {
    pub(super) options: PdsOptions,
    #[allow(dead_code)]
    auth: Auth,
}

impl Transport {
    pub(super) fn new(options: PdsOptions) -> Result<Self> {
        let auth = Auth::new(options.credentials.clone())?;
        Ok(Transport { options, auth })
    }
}
