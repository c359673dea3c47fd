//! Ends of a run that are not its failure: the person stopped it, or the options make no sense.

/// The person stopped the run by a signal; everything was flushed.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// A combination of options makes no sense; the text says which, and what does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
