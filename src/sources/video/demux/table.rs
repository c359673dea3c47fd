//! The sample table of a track: where each access unit lies, and when it is shown.

use super::Unplayable;
use super::boxes::{Cursor, find, need};

/// Most samples in one track: 19 hours at 60 pictures a second.
pub(super) const SAMPLES_MAX: usize = 1 << 22;

/// One access unit, in decoding order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u32,
    /// Composition time in units of the track's time scale, before the edit list.
    pub composition: i64,
    /// Decoding can start here.
    pub sync: bool,
}

impl Sample {
    /// Whether it ends within the first `file_bytes` bytes of the file.
    pub fn ends_within(&self, file_bytes: u64) -> bool {
        let end = self.offset.checked_add(u64::from(self.size));
        end.is_some_and(|end| end <= file_bytes)
    }
}

/// Reads the box `stbl` into samples in decoding order.
pub(super) fn samples(stbl: &[u8]) -> Result<Vec<Sample>, Unplayable> {
    let sizes = sizes(stbl)?;
    let mut samples = Vec::with_capacity(sizes.len());
    let mut decode_time = 0i64;
    let mut durations = runs(need(stbl, b"stts")?, "stts")?;
    let mut offsets = match find(stbl, b"ctts")? {
        Some(ctts) => runs(ctts, "ctts")?,
        None => Runs::constant(0),
    };
    let sync = sync_samples(stbl)?;
    let mut next_sync = 0;
    let mut places = Places::new(stbl)?;
    for (i, size) in sizes.into_iter().enumerate() {
        let offset = places.next(size)?;
        let duration = durations.next("stts", i)?;
        // In practice tables of version 0 hold signed offsets as well; ffmpeg reads both as signed.
        let shift = i64::from(offsets.next("ctts", i)?.cast_signed());
        let is_sync = sync.as_ref().is_none_or(|s| {
            while s.get(next_sync).is_some_and(|n| (*n as usize) < i + 1) {
                next_sync += 1;
            }
            s.get(next_sync).is_some_and(|n| *n as usize == i + 1)
        });
        samples.push(Sample {
            offset,
            size,
            composition: decode_time + shift,
            sync: is_sync,
        });
        // The sum fits: there are at most 2^22 samples of at most 2^32 units each.
        decode_time += i64::from(duration);
    }
    Ok(samples)
}

fn broken(table: &str) -> Unplayable {
    Unplayable::Broken(format!("box `{table}` is shorter than it says"))
}

fn sizes(stbl: &[u8]) -> Result<Vec<u32>, Unplayable> {
    let Some(stsz) = find(stbl, b"stsz")? else {
        return match find(stbl, b"stz2")? {
            Some(_) => Err(Unplayable::Unsupported(
                "compact sample sizes (box `stz2`)".into(),
            )),
            None => Err(Unplayable::Broken("box `stsz` is missing".into())),
        };
    };
    let mut cursor = Cursor(stsz);
    cursor.version_flags().ok_or_else(|| broken("stsz"))?;
    let fixed = cursor.u32().ok_or_else(|| broken("stsz"))?;
    let count = if fixed == 0 {
        cursor.table_len(4)
    } else {
        cursor.u32().map(|n| n as usize)
    };
    let count = count.ok_or_else(|| broken("stsz"))?;
    if count > SAMPLES_MAX {
        return Err(Unplayable::Broken(format!(
            "box `stsz` lists {count} samples; at most {SAMPLES_MAX}"
        )));
    }
    if fixed != 0 {
        return Ok(vec![fixed; count]);
    }
    (0..count)
        .map(|_| cursor.u32().ok_or_else(|| broken("stsz")))
        .collect()
}

/// The numbers (from 1) of the samples at which decoding can start; `None` where it can start at
/// every sample.
fn sync_samples(stbl: &[u8]) -> Result<Option<Vec<u32>>, Unplayable> {
    let Some(stss) = find(stbl, b"stss")? else {
        return Ok(None);
    };
    let mut cursor = Cursor(stss);
    cursor.version_flags().ok_or_else(|| broken("stss"))?;
    let count = cursor.table_len(4).ok_or_else(|| broken("stss"))?;
    let numbers: Option<Vec<u32>> = (0..count).map(|_| cursor.u32()).collect();
    Ok(Some(numbers.ok_or_else(|| broken("stss"))?))
}

/// A run-length table: each entry holds a number of samples and their value.
struct Runs {
    runs: Vec<(u32, u32)>,
    at: usize,
    used: u32,
}

impl Runs {
    fn constant(value: u32) -> Self {
        Self {
            runs: vec![(u32::MAX, value)],
            at: 0,
            used: 0,
        }
    }

    fn next(&mut self, table: &str, sample: usize) -> Result<u32, Unplayable> {
        loop {
            let Some((count, value)) = self.runs.get(self.at) else {
                return Err(Unplayable::Broken(format!(
                    "box `{table}` ends before sample {}",
                    sample + 1
                )));
            };
            if self.used < *count {
                self.used += 1;
                return Ok(*value);
            }
            self.at += 1;
            self.used = 0;
        }
    }
}

fn runs(payload: &[u8], table: &str) -> Result<Runs, Unplayable> {
    let mut cursor = Cursor(payload);
    cursor.version_flags().ok_or_else(|| broken(table))?;
    let count = cursor.table_len(8).ok_or_else(|| broken(table))?;
    let runs: Option<Vec<_>> = (0..count)
        .map(|_| Some((cursor.u32()?, cursor.u32()?)))
        .collect();
    Ok(Runs {
        runs: runs.ok_or_else(|| broken(table))?,
        at: 0,
        used: 0,
    })
}

/// Walks the chunks and finds the offset of each sample.
struct Places {
    chunks: Vec<u64>,
    /// For each run of chunks, the first one (from 0) and the number of samples in each.
    runs: Vec<(usize, u32)>,
    run: usize,
    chunk: usize,
    in_chunk: u32,
    offset: u64,
}

impl Places {
    fn new(stbl: &[u8]) -> Result<Self, Unplayable> {
        let chunks = chunk_offsets(stbl)?;
        let mut cursor = Cursor(need(stbl, b"stsc")?);
        cursor.version_flags().ok_or_else(|| broken("stsc"))?;
        let count = cursor.table_len(12).ok_or_else(|| broken("stsc"))?;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let (Some(first), Some(samples), Some(description)) =
                (cursor.u32(), cursor.u32(), cursor.u32())
            else {
                return Err(broken("stsc"));
            };
            let after_last = runs
                .last()
                .map_or(first == 1, |(last, _)| first as usize > last + 1);
            if !after_last || samples == 0 {
                return Err(Unplayable::Broken(format!(
                    "box `stsc`: a run of {samples} samples from chunk {first} is out of order"
                )));
            }
            if description != 1 {
                return Err(Unplayable::Unsupported(
                    "several sample descriptions in one track".into(),
                ));
            }
            runs.push((first as usize - 1, samples));
        }
        let offset = chunks.first().copied().unwrap_or(0);
        Ok(Self {
            chunks,
            runs,
            run: 0,
            chunk: 0,
            in_chunk: 0,
            offset,
        })
    }

    fn next(&mut self, size: u32) -> Result<u64, Unplayable> {
        let short =
            || Unplayable::Broken("boxes `stsc` and `stco` hold fewer samples than `stsz`".into());
        let (_, samples) = *self.runs.get(self.run).ok_or_else(short)?;
        if self.in_chunk == samples {
            self.chunk += 1;
            self.in_chunk = 0;
            self.offset = *self.chunks.get(self.chunk).ok_or_else(short)?;
            if self
                .runs
                .get(self.run + 1)
                .is_some_and(|(first, _)| *first == self.chunk)
            {
                self.run += 1;
            }
        }
        if self.chunk >= self.chunks.len() {
            return Err(short());
        }
        let offset = self.offset;
        self.in_chunk += 1;
        self.offset = offset
            .checked_add(u64::from(size))
            .ok_or_else(|| Unplayable::Broken("a chunk's offset overflows".into()))?;
        Ok(offset)
    }
}

fn chunk_offsets(stbl: &[u8]) -> Result<Vec<u64>, Unplayable> {
    let (payload, wide) = match (find(stbl, b"stco")?, find(stbl, b"co64")?) {
        (Some(stco), _) => (stco, false),
        (None, Some(co64)) => (co64, true),
        (None, None) => {
            return Err(Unplayable::Broken(
                "boxes `stco` and `co64` are both missing".into(),
            ));
        }
    };
    let mut cursor = Cursor(payload);
    cursor.version_flags().ok_or_else(|| broken("stco"))?;
    let count = cursor
        .table_len(if wide { 8 } else { 4 })
        .ok_or_else(|| broken("stco"))?;
    let offsets: Option<Vec<u64>> = (0..count)
        .map(|_| {
            if wide {
                cursor.u64()
            } else {
                cursor.u32().map(u64::from)
            }
        })
        .collect();
    offsets.ok_or_else(|| broken("stco"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(name: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let mut bytes = ((8 + words.len() * 4) as u32).to_be_bytes().to_vec();
        bytes.extend(name);
        bytes.extend(words.iter().flat_map(|w| w.to_be_bytes()));
        bytes
    }

    fn stbl(parts: &[(&[u8; 4], &[u32])]) -> Vec<u8> {
        parts
            .iter()
            .flat_map(|(name, words)| atom(name, words))
            .collect()
    }

    #[test]
    fn tables_of_runs_and_chunks_become_samples() {
        let bytes = stbl(&[
            (b"stsz", &[0, 0, 4, 10, 20, 30, 40]),
            (b"stts", &[0, 2, 3, 100, 1, 50]),
            (b"ctts", &[0, 3, 1, 100, 1, (-100i32).cast_unsigned(), 2, 0]),
            (b"stsc", &[0, 2, 1, 2, 1, 2, 1, 1]),
            (b"stco", &[0, 3, 1000, 2000, 3000]),
            (b"stss", &[0, 2, 1, 4]),
        ]);
        let got: Vec<_> = samples(&bytes)
            .unwrap()
            .iter()
            .map(|s| (s.offset, s.size, s.composition, s.sync))
            .collect();
        assert_eq!(
            got,
            [
                (1000, 10, 100, true),
                (1010, 20, 0, false),
                (2000, 30, 200, false),
                (3000, 40, 300, true)
            ]
        );
    }

    #[test]
    fn tables_that_contradict_each_other_are_errors() {
        let good: [(&[u8; 4], &[u32]); 4] = [
            (b"stsz", &[0, 0, 2, 10, 20]),
            (b"stts", &[0, 1, 2, 1]),
            (b"stsc", &[0, 1, 1, 2, 1]),
            (b"stco", &[0, 1, 9]),
        ];
        assert_eq!(samples(&stbl(&good)).unwrap().len(), 2);
        let bad: [(usize, &[u32]); 10] = [
            (0, &[0, 0, 3, 10, 20]),
            (0, &[0, 7, u32::MAX]),
            (0, &[0]),
            (1, &[0, 1, 1, 1]),
            (1, &[0, u32::MAX, 1, 1]),
            (2, &[0, 0]),
            (2, &[0, 1, 2, 2, 1]),
            (2, &[0, 1, 1, 0, 1]),
            (2, &[0, 1, 1, 2, 2]),
            (3, &[0, 0]),
        ];
        for (which, words) in bad {
            let mut parts = good;
            parts[which].1 = words;
            assert!(samples(&stbl(&parts)).is_err(), "{parts:?}");
        }
    }
}
