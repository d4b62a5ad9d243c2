//! Which attributes `listxattr` names.
//!
//! Copy tools write every listed attribute to the other side, so the list is kept small: no value over
//! 512 bytes and 3,000 bytes of names and values in all, because a 4 KiB inode is all that ext4 gives
//! attributes and `cp` and `rsync` fail beyond it. The table's order says who comes first; one that does
//! not fit is skipped and smaller ones after it still get in. Attributes of other programs are somebody's
//! data and are listed whatever their size, first in the budget.

use super::flatten::Attribute;
use super::table::{Meant, Show};
use super::{ListPolicy, Local, MAX_VALUE_BYTES, foreign};

/// The longest value that is listed under `auto` and `user`.
pub const MAX_LISTED_VALUE_BYTES: usize = 512;

/// Names and values that are listed together under `auto` and `user`.
pub const BUDGET_BYTES: usize = 3_000;

/// The longest list the kernel takes.
pub const MAX_LIST_BYTES: usize = 65_536;

/// The names to list, most important first.
pub fn select(mut attributes: Vec<Attribute>, local: &Local<'_>, policy: ListPolicy) -> Vec<String> {
    attributes.retain(|attribute| is_candidate(attribute, local, policy));
    attributes.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
    let mut budget =
        Budget { left: BUDGET_BYTES, list_left: MAX_LIST_BYTES, bounded: policy != ListPolicy::All };
    let theirs: Vec<bool> = attributes
        .iter()
        .map(|attribute| foreign::is_foreign(&attribute.name) && budget.take_always(attribute))
        .collect();
    let names = attributes.into_iter().zip(theirs);
    names
        .filter(|(attribute, theirs)| {
            *theirs || (!foreign::is_foreign(&attribute.name) && budget.take(attribute))
        })
        .map(|(attribute, _)| attribute.name)
        .collect()
}

fn is_candidate(attribute: &Attribute, local: &Local<'_>, policy: ListPolicy) -> bool {
    if attribute.value.len() > MAX_VALUE_BYTES || attribute.show == Show::Link {
        return false;
    }
    if !local.committed && policy != ListPolicy::None {
        // Only what setting really changed: tools remove listed attributes that their source lacks.
        return attribute.is_attached() && attribute.show == Show::Listed;
    }
    match policy {
        ListPolicy::None => false,
        ListPolicy::All => true,
        ListPolicy::Auto => attribute.show == Show::Listed,
        ListPolicy::User => attribute.show == Show::Listed && attribute.meant == Meant::Person,
    }
}

struct Budget {
    left: usize,
    list_left: usize,
    bounded: bool,
}

impl Budget {
    fn take(&mut self, attribute: &Attribute) -> bool {
        let cost = attribute.name.len() + attribute.value.len();
        if self.bounded && (attribute.value.len() > MAX_LISTED_VALUE_BYTES || cost > self.left) {
            return false;
        }
        self.take_always(attribute)
    }

    fn take_always(&mut self, attribute: &Attribute) -> bool {
        let Some(list_left) = self.list_left.checked_sub(attribute.name.len() + 1) else {
            return false;
        };
        self.list_left = list_left;
        self.left = self.left.saturating_sub(attribute.name.len() + attribute.value.len());
        true
    }
}
