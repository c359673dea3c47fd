//! Pure rules of the dialogue: the task and its states, the update grammar, annotations, the
//! token layout and the gates. No candle, no clock, no I/O beyond reading a task or annotation.

pub mod annotation;
pub mod grammar;
pub mod layout;
pub mod note;
pub mod policy;
pub mod task;
