//! Finds the settings of a model's gates on recordings that it was not trained on.

pub mod free_run;
pub mod recordings;
pub mod search;
