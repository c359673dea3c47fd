//! Reads numbers and texts of a GGUF header without ever leaving its bytes.

use super::broken_rule::{Result, Rule, broken};
use super::header::METADATA_BYTES_MAX;

/// A cursor that never leaves its bytes.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Where the metadata budget ends.
    pub(super) budget_end: usize,
    /// Items that arrays may still have.
    pub(super) items_left: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn remaining(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    pub(super) fn take(&mut self, count: u64, place: &str) -> Result<&'a [u8]> {
        if count > self.remaining() {
            let found = format!("{count} bytes at {}", self.at);
            let expected = format!("at most the {} that remain", self.remaining());
            return broken(Rule::Truncated, place, found, expected);
        }
        if count > self.budget_end.saturating_sub(self.at) as u64 {
            let expected = format!("at most {METADATA_BYTES_MAX} bytes of metadata in all");
            return broken(
                Rule::Budget,
                place,
                format!("{count} bytes at {}", self.at),
                expected,
            );
        }
        let taken = &self.bytes[self.at..][..count as usize];
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, place: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, place)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, place: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(place)?))
    }

    pub(super) fn u64(&mut self, place: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(place)?))
    }

    pub(super) fn bool(&mut self, place: &str) -> Result<bool> {
        match self.array::<1>(place)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => broken(Rule::Bool, place, other, "0 or 1"),
        }
    }

    pub(super) fn text(&mut self, length: u64, place: &str) -> Result<String> {
        let raw = self.take(length, place)?;
        match std::str::from_utf8(raw) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => broken(
                Rule::Utf8,
                place,
                format!("a bad byte at {} of the text", e.valid_up_to()),
                "UTF-8",
            ),
        }
    }
}
