//! The filesystem without the kernel: what each operation means.

pub mod xattr;
