//! Who may do what: users, roles, and the drives they own (pds-api.md 7).
//!
//! Rows are the truth; [`Drives`] keeps what each request asks of its drive in memory, and changes after the
//! commit of whoever changes a row.

pub mod assertion;
pub mod key;
pub mod register;
pub mod session;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::reply::{ApiError, ApiResult};

/// The user of a server to which no others were told, and of its first drive.
pub const LOCAL_USER: &str = "local";

/// What a user may do beyond their own drives (4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Their own drives and what others share with them.
    User,
    /// Everyone's drives.
    Admin,
    /// The same; the service itself and its access keys.
    SuperAdmin,
}

impl Role {
    /// The role of this name.
    pub fn parse(name: &str) -> Option<Role> {
        [Role::User, Role::Admin, Role::SuperAdmin].into_iter().find(|role| role.name() == name)
    }

    /// As the service spells it.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Admin => "admin",
            Role::SuperAdmin => "superadmin",
        }
    }
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user; empty for the service itself (access keys, service tokens), which names users explicitly (2.3).
    pub user_id: String,
    /// What they may do.
    pub role: Role,
}

impl Caller {
    /// Nobody in particular, who may use what needs no token.
    pub fn anonymous() -> Self {
        Caller { user_id: String::new(), role: Role::User }
    }

    /// The service itself: AccessKeys and service tokens.
    pub fn service() -> Self {
        Caller { user_id: String::new(), role: Role::SuperAdmin }
    }

    /// Whether they may use drives they do not own.
    pub fn is_admin(&self) -> bool {
        self.role >= Role::Admin
    }
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// 1 to 64 characters.
    pub id: String,
    /// Login name.
    pub name: String,
    /// The name shown.
    pub nick_name: String,
    /// May be empty.
    pub email: String,
    /// May be empty.
    pub phone: String,
    /// Free text.
    pub description: String,
    /// What they may do.
    pub role: Role,
    /// Disabled users get no token.
    pub enabled: bool,
    /// Their first drive.
    pub default_drive: Option<i64>,
    /// Who made them.
    pub creator: String,
    /// A map of strings.
    pub data: Value,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

const USER_COLUMNS: &str = "id, name, nick_name, email, phone, description, role, enabled, default_drive, \
     creator, data_json, created_at, updated_at";

impl User {
    /// A user of this id with nothing else said.
    pub fn new(id: &str, role: Role, creator: &str, now: i64) -> User {
        User {
            id: id.to_owned(),
            name: id.to_owned(),
            nick_name: id.to_owned(),
            email: String::new(),
            phone: String::new(),
            description: String::new(),
            role,
            enabled: true,
            default_drive: None,
            creator: creator.to_owned(),
            data: Value::Object(serde_json::Map::new()),
            created_at: now,
            updated_at: now,
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<User> {
        let (role, data): (String, String) = (row.get(6)?, row.get(10)?);
        Ok(User {
            id: row.get(0)?,
            name: row.get(1)?,
            nick_name: row.get(2)?,
            email: row.get(3)?,
            phone: row.get(4)?,
            description: row.get(5)?,
            role: Role::parse(&role).unwrap_or(Role::User),
            enabled: row.get(7)?,
            default_drive: row.get(8)?,
            creator: row.get(9)?,
            data: serde_json::from_str(&data).unwrap_or_default(),
            created_at: row.get(11)?,
            updated_at: row.get(12)?,
        })
    }

    /// Inserts it, or replaces what is known of it.
    pub fn save(&self, c: &Connection) -> ApiResult<()> {
        let sql = format!(
            "INSERT INTO user ({USER_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET name = ?2, nick_name = ?3, email = ?4, phone = ?5, description = ?6,
                role = ?7, enabled = ?8, default_drive = ?9, data_json = ?11, updated_at = ?13"
        );
        c.prepare_cached(&sql)?.execute(params![
            self.id,
            self.name,
            self.nick_name,
            self.email,
            self.phone,
            self.description,
            self.role.name(),
            self.enabled,
            self.default_drive,
            self.creator,
            self.data.to_string(),
            self.created_at,
            self.updated_at,
        ])?;
        Ok(())
    }
}

/// The user with this id.
pub fn find_user(c: &Connection, id: &str) -> ApiResult<Option<User>> {
    let sql = format!("SELECT {USER_COLUMNS} FROM user WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([id], User::from_row).optional()?)
}

/// The user with this id, or `NotFound.User`.
pub fn user(c: &Connection, id: &str) -> ApiResult<User> {
    find_user(c, id)?.ok_or_else(|| ApiError::not_found("User"))
}

/// Inserts or updates a user, and makes the default drive of one that has none. Gives that drive when it is new;
/// the caller tells [`Drives`] after the commit.
pub fn settle_user(c: &Connection, user: &mut User, total_bytes: i64) -> ApiResult<Option<i64>> {
    let mut made = None;
    if user.default_drive.is_none() {
        let new = NewDrive { total_bytes, ..NewDrive::of("Default", &user.id, user.updated_at) };
        made = Some(make_drive(c, None, &new)?);
        user.default_drive = made;
    }
    user.save(c)?;
    Ok(made)
}

/// Whether two secrets are the same, in time that tells nothing about them but their length.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(a.len() ^ b.len(), |all, (a, b)| all | usize::from(a ^ b));
    differences == 0
}

/// What a request asks of its drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveFacts {
    /// The user it belongs to.
    pub owner: String,
    /// Disabled drives refuse every file call.
    pub enabled: bool,
}

/// The drives of the domain.
#[derive(Debug, Default)]
pub struct Drives {
    known: RwLock<HashMap<i64, DriveFacts>>,
}

impl Drives {
    /// Reads them.
    pub fn load(c: &Connection) -> ApiResult<Drives> {
        let mut statement = c.prepare("SELECT id, owner, enabled FROM drive")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, DriveFacts { owner: row.get(1)?, enabled: row.get(2)? }))
        })?;
        Ok(Drives { known: RwLock::new(rows.collect::<rusqlite::Result<_>>()?) })
    }

    /// The drive with this id.
    pub fn get(&self, id: i64) -> Option<DriveFacts> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The user whose files are in a drive.
    pub fn owner(&self, id: i64) -> String {
        self.get(id).map_or(String::new(), |drive| drive.owner)
    }

    /// Every drive's number.
    pub fn ids(&self) -> Vec<i64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Takes in a drive that was made, changed or (`None`) removed.
    pub fn set(&self, id: i64, facts: Option<DriveFacts>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match facts {
            Some(facts) => known.insert(id, facts),
            None => known.remove(&id),
        };
    }
}

/// A drive about to be made.
pub struct NewDrive<'a> {
    /// 1 to 128 characters.
    pub name: &'a str,
    /// The user it belongs to.
    pub owner: &'a str,
    /// Free text.
    pub description: &'a str,
    /// Size in bytes; -1 for no limit.
    pub total_bytes: i64,
    /// Who makes it.
    pub creator: &'a str,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl<'a> NewDrive<'a> {
    /// A drive without a limit, made by the server.
    pub fn of(name: &'a str, owner: &'a str, now: i64) -> Self {
        NewDrive { name, owner, description: "", total_bytes: -1, creator: "system", now }
    }
}

/// Makes a drive with its root; `id` fixes its number. The caller tells [`Drives`] after the commit.
pub fn make_drive(c: &Connection, id: Option<i64>, new: &NewDrive<'_>) -> ApiResult<i64> {
    let sql = "INSERT INTO drive (id, name, total_bytes, owner, description, creator, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    c.prepare_cached(sql)?.execute(params![
        id,
        new.name,
        new.total_bytes,
        new.owner,
        new.description,
        new.creator,
        new.now
    ])?;
    let id = c.last_insert_rowid();
    let sql = "INSERT INTO entry (drive, file_id, parent, name, folder, created_at, updated_at)
        VALUES (?1, 'root', 0, ?2, 1, ?3, ?3)";
    c.prepare_cached(sql)?.execute(params![id, new.name, new.now])?;
    Ok(id)
}
