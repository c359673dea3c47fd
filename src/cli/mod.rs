//! (in work)
pub mod eval;
