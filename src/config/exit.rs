//! How a command ends: one number for programs, one or two lines for a person.
//!
//! [`Exit`] is the table of README "Exit codes". The number of an error follows from its kind; the few
//! places that know better (a mountpoint that cannot be used, a machine without FUSE, data that stayed on
//! this machine) say so with [`Failure::at`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed that has no number of its own.
    Other = 1,
    /// The command line or an option makes no sense.
    Usage = 2,
    /// The drive, file or folder does not exist.
    NotFound = 3,
    /// The service wants a (better) token.
    Auth = 4,
    /// Network or service trouble: the same command may work later.
    Temporary = 5,
    /// Something written is on this machine but not yet on the drive.
    NotDurable = 6,
    /// The mountpoint is busy, occupied, stale, or not a directory.
    Mountpoint = 7,
    /// There is no FUSE here, or no right to use it.
    Fuse = 8,
    /// Stopped by Ctrl-C before it was done.
    Interrupted = 130,
}

impl Exit {
    /// Every way to end with what it means, for `--help`.
    pub const TABLE: &'static [(Exit, &'static str)] = &[
        (Exit::Ok, "done"),
        (Exit::Other, "another error"),
        (Exit::Usage, "usage or configuration"),
        (Exit::NotFound, "drive, file or folder not found"),
        (Exit::Auth, "sign-in needed or refused"),
        (Exit::Temporary, "network or service trouble; trying again makes sense"),
        (Exit::NotDurable, "some data is still only on this machine"),
        (Exit::Mountpoint, "mountpoint busy, occupied or not a directory"),
        (Exit::Fuse, "FUSE is missing or not permitted"),
        (Exit::Interrupted, "interrupted"),
    ];

    /// The process's exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The meaning of an exit code; numbers that are not ours are [`Exit::Other`].
    pub fn from_code(code: u8) -> Self {
        Self::TABLE.iter().map(|(exit, _)| *exit).find(|exit| exit.code() == code).unwrap_or(Exit::Other)
    }

    /// How a command ends that fails with an error of this kind and knows nothing more about it.
    pub fn of(kind: Kind) -> Self {
        Exit::from_code(kind.exit_code())
    }
}

/// A command that failed: the number and the words. Also what the background process tells the command
/// that started it, so that both ways of running end the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code, one of [`Exit::TABLE`].
    code: u8,
    /// One or two lines, without the leading `pdsfs: `.
    message: String,
}

impl Failure {
    /// A failure in the words of `message`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { code: exit.code(), message: message.into() }
    }

    /// The failure of an error that ends with another code than its kind suggests.
    pub fn at(exit: Exit, error: &Error) -> Self {
        Failure::new(exit, error.to_string())
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        Exit::from_code(self.code)
    }

    /// The lines for a person.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::at(Exit::of(error.kind()), &error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_code_once() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]);
        for code in codes {
            assert_eq!(Exit::from_code(code).code(), code);
        }
        assert_eq!(Exit::from_code(77), Exit::Other);
    }

    #[test]
    fn the_kind_of_an_error_decides_unless_the_place_knows_better() {
        let error = Error::new(Kind::Unauthenticated, "drive/get", "the token is refused");
        assert_eq!(Failure::from(error.clone()).exit(), Exit::Auth);
        assert_eq!(Failure::at(Exit::Fuse, &error).exit(), Exit::Fuse);
        assert_eq!(Failure::from(Error::new(Kind::Unavailable, "x", "y")).exit(), Exit::Temporary);
        assert_eq!(Failure::from(Error::new(Kind::Invalid, "x", "y")).exit(), Exit::Usage);
        assert_eq!(Failure::from(Error::new(Kind::NotFound, "x", "y")).exit(), Exit::NotFound);
        assert_eq!(Failure::from(Error::new(Kind::Busy, "x", "y")).exit(), Exit::Mountpoint);
        assert_eq!(Failure::from(Error::new(Kind::Corrupt, "x", "y")).exit(), Exit::Other);
    }
}
