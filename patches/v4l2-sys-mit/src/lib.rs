//! The kernel's V4L2 interface as the crate `v4l` expects it, generated once by `../generate.sh`.
//!
//! The published crate runs bindgen at every build, and bindgen needs libclang. The interface is the kernel's ABI: it
//! does not change. It is the whole header, 138 types and 1519 constants, as the published crate has it;
//! it is generated and never edited, so its length is nobody's reading. Types follow the target (`c_long`, pointers); `tests/vivid_vm.sh` runs them against a kernel.

#![allow(clippy::all, non_camel_case_types, non_snake_case, non_upper_case_globals, missing_docs)]

mod bindings;

pub use bindings::*;
