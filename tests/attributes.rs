//! Extended attributes on a real mount, with the tools people have: what can be set, what it becomes on the drive,
//! what is refused with which errno, and the commands for those without attr tools.
//!
//! | file | what it tries |
//! |---|---|
//! | `setting.rs` | each settable attribute, by getfattr, setfattr, attr and Python, before close, after it, after a remount |
//! | `command.rs` | `pdsfs attr` and `pdsfs find` |
//! | `slow.rs` | how many requests and bytes it takes to look at ten thousand photos |
//! | `recipes.rs` | the README's recipes |
//! | `refusing.rs` | each errno of a set, a get and a remove |

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[path = "attributes/command.rs"]
mod command;
#[path = "attributes/recipes.rs"]
mod recipes;
#[path = "attributes/refusing.rs"]
mod refusing;
#[allow(dead_code)]
mod server_support;
#[path = "attributes/setting.rs"]
mod setting;
#[path = "attributes/slow.rs"]
mod slow;
mod support;
