//! What a GGUF header can break, and the error that says where.

use std::fmt;

/// Which rule a file breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The first four bytes.
    Magic,
    /// The version.
    Version,
    /// Something ends behind the end of the file.
    Truncated,
    /// More pairs or tensors than the file can hold.
    Count,
    /// The length or the characters of a key.
    Key,
    /// Two values for a key.
    DuplicateKey,
    /// The type of a value.
    ValueType,
    /// A truth value that is neither 0 nor 1.
    Bool,
    /// A text that is not UTF-8.
    Utf8,
    /// An array that is too long.
    ArrayLength,
    /// Arrays too deep in arrays.
    Nesting,
    /// Metadata too large in all.
    Budget,
    /// The alignment.
    Alignment,
    /// The length or the characters of a tensor's name.
    Name,
    /// Two tensors of one name.
    DuplicateTensor,
    /// The number of dimensions, or one that is 0.
    Dims,
    /// A number of values or bytes that does not exist.
    Size,
    /// A block format nobody knows.
    TensorType,
    /// A row that is not whole blocks.
    Row,
    /// A tensor that does not begin at a multiple of the alignment.
    Misaligned,
    /// A tensor that ends behind the end of the file.
    Range,
    /// Two tensors on the same bytes.
    Overlap,
    /// Bytes behind the last tensor.
    Trailing,
}

/// What is wrong with a header: where, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRule {
    /// The broken rule.
    pub rule: Rule,
    /// Key, tensor or part of the header.
    pub place: String,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}, expected {}",
            self.place, self.found, self.expected
        )
    }
}

impl std::error::Error for BrokenRule {}

/// Result of this pass.
pub type Result<T, E = BrokenRule> = std::result::Result<T, E>;

/// The error of a broken rule.
pub(super) fn broken<T>(
    rule: Rule,
    place: impl Into<String>,
    found: impl fmt::Display,
    expected: impl fmt::Display,
) -> Result<T> {
    Err(BrokenRule {
        rule,
        place: place.into(),
        found: found.to_string(),
        expected: expected.to_string(),
    })
}
