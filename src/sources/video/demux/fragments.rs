//! Fragmented MP4 (`moof`), which is written by recorders whose files must survive a power cut.

use super::Unplayable;
use super::boxes::{Cursor, boxes, find, need};
use super::table::{SAMPLES_MAX, Sample};

/// `sample_is_non_sync_sample` in sample flags (ISO/IEC 14496-12, 8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

fn broken(name: &str) -> Unplayable {
    Unplayable::Broken(format!("box `{name}` is shorter than it says"))
}

/// Defaults for what a run of samples leaves out.
#[derive(Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// Adds the samples of every fragment that belongs to the track.
pub(super) fn append(
    samples: &mut Vec<Sample>,
    mvex: &[u8],
    moofs: &[(u64, Vec<u8>)],
    track_id: u32,
) -> Result<(), Unplayable> {
    let trex = track_defaults(mvex, track_id)?;
    let mut decode_time = 0i64;
    for (at, moof) in moofs {
        for entry in boxes(moof) {
            let (name, traf) = entry?;
            if name == *b"traf" {
                track_fragment(samples, traf, *at, track_id, trex, &mut decode_time)?;
            }
        }
    }
    Ok(())
}

fn track_defaults(mvex: &[u8], track_id: u32) -> Result<Defaults, Unplayable> {
    for entry in boxes(mvex) {
        let (name, trex) = entry?;
        let mut cursor = Cursor(trex);
        if name != *b"trex" || cursor.version_flags().is_none() || cursor.u32() != Some(track_id) {
            continue;
        }
        let _description = cursor.u32();
        let (Some(duration), Some(size), Some(flags)) = (cursor.u32(), cursor.u32(), cursor.u32())
        else {
            return Err(broken("trex"));
        };
        return Ok(Defaults {
            duration,
            size,
            flags,
        });
    }
    Ok(Defaults::default())
}

fn track_fragment(
    samples: &mut Vec<Sample>,
    traf: &[u8],
    moof_at: u64,
    track_id: u32,
    trex: Defaults,
    decode_time: &mut i64,
) -> Result<(), Unplayable> {
    let mut tfhd = Cursor(need(traf, b"tfhd")?);
    let (_, flags) = tfhd.version_flags().ok_or_else(|| broken("tfhd"))?;
    if tfhd.u32().ok_or_else(|| broken("tfhd"))? != track_id {
        return Ok(());
    }
    let base = if flags & 1 != 0 {
        tfhd.u64().ok_or_else(|| broken("tfhd"))?
    } else {
        moof_at
    };
    let mut optional = |bit: u32, default: u32| match flags & bit {
        0 => Ok(default),
        _ => tfhd.u32().ok_or_else(|| broken("tfhd")),
    };
    let _description = optional(2, 0)?;
    let defaults = Defaults {
        duration: optional(8, trex.duration)?,
        size: optional(0x10, trex.size)?,
        flags: optional(0x20, trex.flags)?,
    };
    if let Some(tfdt) = find(traf, b"tfdt")? {
        let mut cursor = Cursor(tfdt);
        let (version, _) = cursor.version_flags().ok_or_else(|| broken("tfdt"))?;
        let time = if version == 1 {
            cursor.u64()
        } else {
            cursor.u32().map(u64::from)
        };
        let time = time.ok_or_else(|| broken("tfdt"))?;
        *decode_time = i64::try_from(time)
            .ok()
            .filter(|t| *t < i64::MAX / 2)
            .ok_or_else(|| broken("tfdt"))?;
    }
    let mut offset = base;
    for entry in boxes(traf) {
        let (name, trun) = entry?;
        if name == *b"trun" {
            run(samples, trun, base, &mut offset, defaults, decode_time)?;
        }
    }
    Ok(())
}

fn run(
    samples: &mut Vec<Sample>,
    trun: &[u8],
    base: u64,
    offset: &mut u64,
    defaults: Defaults,
    decode_time: &mut i64,
) -> Result<(), Unplayable> {
    let short = || broken("trun");
    let mut cursor = Cursor(trun);
    let (_, flags) = cursor.version_flags().ok_or_else(short)?;
    let count = cursor.u32().ok_or_else(short)? as usize;
    if flags & 1 != 0 {
        let shift = cursor.i32().ok_or_else(short)?;
        *offset = base
            .checked_add_signed(i64::from(shift))
            .ok_or_else(short)?;
    }
    let mut first_flags = if flags & 4 != 0 {
        Some(cursor.u32().ok_or_else(short)?)
    } else {
        None
    };
    let fields = [0x100, 0x200, 0x400, 0x800]
        .into_iter()
        .filter(|bit| flags & bit != 0)
        .count();
    if cursor.0.len() / 4 < count.checked_mul(fields).ok_or_else(short)?
        || samples.len() + count > SAMPLES_MAX
    {
        return Err(short());
    }
    for _ in 0..count {
        let mut field = |bit: u32, default: u32| {
            if flags & bit != 0 {
                cursor.u32()
            } else {
                Some(default)
            }
        };
        let duration = field(0x100, defaults.duration).ok_or_else(short)?;
        let size = field(0x200, defaults.size).ok_or_else(short)?;
        let own_flags = field(0x400, first_flags.unwrap_or(defaults.flags)).ok_or_else(short)?;
        let shift = field(0x800, 0).ok_or_else(short)?.cast_signed();
        first_flags = None;
        let composition = decode_time
            .checked_add(i64::from(shift))
            .ok_or_else(short)?;
        samples.push(Sample {
            offset: *offset,
            size,
            composition,
            sync: own_flags & NON_SYNC == 0,
        });
        *offset = offset.checked_add(u64::from(size)).ok_or_else(short)?;
        *decode_time = decode_time
            .checked_add(i64::from(duration))
            .ok_or_else(short)?;
    }
    Ok(())
}
