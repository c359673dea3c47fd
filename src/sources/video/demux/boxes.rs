//! The boxes of an MP4 file (ISO/IEC 14496-12) in memory. Every read is checked against the bytes
//! that are there.

/// A box's four-letter name.
pub(super) type Name = [u8; 4];

/// Reads big-endian numbers from a slice. Past its end every read gives `None`.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Reads version and flags, with which a "full" box begins.
    pub fn version_flags(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// Reads the number of entries of a table. Returns it only if so many entries of `entry_bytes`
    /// bytes are left.
    pub fn table_len(&mut self, entry_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(entry_bytes)? <= self.0.len()).then_some(count)
    }
}

/// Walks the boxes of a slice, each with its name and payload. The first box that does not fit is
/// an error, and the last item.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = Result<(Name, &[u8]), String>> {
    const HEADER: usize = 8;
    const LARGE_HEADER: usize = 16;
    std::iter::from_fn(move || {
        // QuickTime ends some containers with four zero bytes.
        if bytes.len() < HEADER {
            return None;
        }
        let mut cursor = Cursor(bytes);
        let size = cursor.u32()? as usize;
        let name: Name = cursor.array()?;
        let (header, size) = match size {
            0 => (HEADER, bytes.len()),
            1 => match cursor.u64().map(usize::try_from) {
                Some(Ok(size)) => (LARGE_HEADER, size),
                _ => (LARGE_HEADER, usize::MAX),
            },
            size => (HEADER, size),
        };
        let left = bytes.len();
        if size < header || size > left {
            bytes = &[];
            return Some(Err(format!(
                "box `{}` claims {size} bytes where {left} are left",
                show(name)
            )));
        }
        let (this, rest) = bytes.split_at(size);
        bytes = rest;
        Some(Ok((name, &this[header..])))
    })
}

/// The first box of that name, if there is one.
pub(super) fn find<'a>(bytes: &'a [u8], name: &Name) -> Result<Option<&'a [u8]>, String> {
    for entry in boxes(bytes) {
        let (found, payload) = entry?;
        if found == *name {
            return Ok(Some(payload));
        }
    }
    Ok(None)
}

/// The first box of that name.
pub(super) fn need<'a>(bytes: &'a [u8], name: &Name) -> Result<&'a [u8], String> {
    find(bytes, name)?.ok_or_else(|| format!("box `{}` is missing", show(*name)))
}

/// The name of a box for a message, with `?` for bytes that cannot be printed.
pub(super) fn show(name: Name) -> String {
    name.iter()
        .map(|b| {
            if b.is_ascii_graphic() {
                char::from(*b)
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_walked_and_a_box_too_large_is_an_error() {
        let bytes = b"\0\0\0\x0aaaaahi\0\0\0\x01bbbb\0\0\0\0\0\0\0\x11!\0\0\0\0cccc...";
        let found: Vec<_> = boxes(bytes).map(Result::unwrap).collect();
        assert_eq!(
            found,
            [(*b"aaaa", &b"hi"[..]), (*b"bbbb", b"!"), (*b"cccc", b"...")]
        );
        assert!(boxes(b"\0\0\0\x0aaaaah").next().unwrap().is_err());
        assert!(boxes(b"\0\0\0\x07aaaahi").next().unwrap().is_err());
        assert!(
            boxes(b"\0\0\0\x01aaaa\xff\xff\xff\xff\xff\xff\xff\xff")
                .next()
                .unwrap()
                .is_err()
        );
        assert!(boxes(b"\0\0\0\x01aaaa").next().unwrap().is_err());
        assert!(boxes(b"\0\0\0\0").next().is_none());
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        assert_eq!(Cursor(b"\0\0\0\x02xxxxxxxx").table_len(4), Some(2));
        assert_eq!(Cursor(b"\0\0\0\x03xxxxxxxx").table_len(4), None);
        assert_eq!(Cursor(b"\xff\xff\xff\xffxxxxxxxx").table_len(8), None);
    }
}
