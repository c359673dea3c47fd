//! Reads a track from the box `moov`: codec, parameter sets, times by the edit list, rotation.

use super::boxes::{Cursor, Name, boxes, find, need, show};
use super::table::{self, Sample};
use super::{Headers, Unplayable, fragments};
use crate::sources::picture::{ColourMatrix, Turn};
use crate::sources::video::h264::AvcConfig;

/// Length of the fixed part of a visual sample entry, which stands before its boxes, in bytes.
const VISUAL_ENTRY_BYTES: usize = 78;
/// Longest recording, in seconds: ten years.
const SECONDS_MAX: f64 = 315_360_000.0;
/// Where there is no edit list, a first picture that comes later than this (as in a piece of a live
/// stream) is moved to time 0. In seconds.
const START_MAX_S: f64 = 10.0;

/// What the headers say about an H.264 track.
#[derive(Debug)]
pub(crate) struct TrackInfo {
    /// Access units in decoding order.
    pub samples: Vec<Sample>,
    /// When each sample is shown, in seconds; `None` for one that the edit list cuts away.
    pub shown_at_s: Vec<Option<f64>>,
    /// When the last picture ends, in seconds.
    pub duration_s: f64,
    /// Parameter sets.
    pub avc: AvcConfig,
    /// How a picture has to be turned to stand upright.
    pub turn: Turn,
    /// Colour matrix and full range by the container (`colr`), for a stream that names none.
    pub colour: Option<(ColourMatrix, bool)>,
}

fn broken(name: &str) -> Unplayable {
    Unplayable::Broken(format!("box `{name}` is shorter than it says"))
}

/// Finds the first video track and reads what is needed to play it.
pub(super) fn parse(headers: &Headers) -> Result<TrackInfo, Unplayable> {
    let moov = headers.moov.as_deref().ok_or_else(|| {
        Unplayable::Broken(
            "box `moov` is missing: the recording was cut short or is still being written".into(),
        )
    })?;
    let mvhd =
        header_scale_and_matrix(need(moov, b"mvhd")?, false).ok_or_else(|| broken("mvhd"))?;
    for entry in boxes(moov) {
        let (name, trak) = entry?;
        if name != *b"trak" {
            continue;
        }
        let mdia = need(trak, b"mdia")?;
        let handler = need(mdia, b"hdlr")?.get(8..12);
        if handler == Some(b"vide") {
            return video_track(headers, moov, trak, mdia, mvhd);
        }
    }
    Err(Unplayable::Broken("there is no video track".into()))
}

fn video_track(
    headers: &Headers,
    moov: &[u8],
    trak: &[u8],
    mdia: &[u8],
    mvhd: (u32, [i32; 4]),
) -> Result<TrackInfo, Unplayable> {
    let stbl = need(need(mdia, b"minf")?, b"stbl")?;
    let (avc, colour) = sample_entry(need(stbl, b"stsd")?)?;
    let (track_id, matrix) =
        track_id_and_matrix(need(trak, b"tkhd")?).ok_or_else(|| broken("tkhd"))?;
    let turn = turn_of(matrix, mvhd.1)?;
    let (timescale, _) =
        header_scale_and_matrix(need(mdia, b"mdhd")?, true).ok_or_else(|| broken("mdhd"))?;
    if timescale == 0 || mvhd.0 == 0 {
        return Err(Unplayable::Broken("a time scale of 0".into()));
    }
    let mut samples = table::samples(stbl)?;
    if let Some(mvex) = find(moov, b"mvex")? {
        fragments::append(&mut samples, mvex, &headers.moofs, track_id)?;
    }
    if samples.is_empty() {
        return Err(Unplayable::Broken(
            "the video track holds no pictures".into(),
        ));
    }
    let edit = match find(trak, b"edts")?
        .map(|edts| find(edts, b"elst"))
        .transpose()?
        .flatten()
    {
        Some(elst) => edit(elst)?,
        None => Edit::default(),
    };
    let (shown_at_s, duration_s) = edit.apply(&samples, timescale, mvhd.0)?;
    Ok(TrackInfo {
        samples,
        shown_at_s,
        duration_s,
        avc,
        turn,
        colour,
    })
}

/// The time scale of `mvhd` or `mdhd`, and the matrix of `mvhd` (zeros for `mdhd`, which has none).
fn header_scale_and_matrix(payload: &[u8], media: bool) -> Option<(u32, [i32; 4])> {
    let mut cursor = Cursor(payload);
    let (version, _) = cursor.version_flags()?;
    cursor.take(if version == 1 { 16 } else { 8 })?;
    let timescale = cursor.u32()?;
    if media {
        return Some((timescale, [0; 4]));
    }
    cursor.take(if version == 1 { 8 } else { 4 })?;
    cursor.take(16)?;
    Some((timescale, matrix(&mut cursor)?))
}

fn track_id_and_matrix(tkhd: &[u8]) -> Option<(u32, [i32; 4])> {
    let mut cursor = Cursor(tkhd);
    let (version, _) = cursor.version_flags()?;
    cursor.take(if version == 1 { 16 } else { 8 })?;
    let id = cursor.u32()?;
    cursor.take(if version == 1 { 12 } else { 8 })?;
    cursor.take(16)?;
    Some((id, matrix(&mut cursor)?))
}

/// `a b c d` of the transformation `x' = a x + c y, y' = b x + d y`, in 16.16.
fn matrix(cursor: &mut Cursor<'_>) -> Option<[i32; 4]> {
    let (a, b, _u, c, d) = (
        cursor.i32()?,
        cursor.i32()?,
        cursor.i32()?,
        cursor.i32()?,
        cursor.i32()?,
    );
    Some([a, b, c, d])
}

/// The turn that a track's and the movie's matrix make together.
fn turn_of(track: [i32; 4], movie: [i32; 4]) -> Result<Turn, Unplayable> {
    // Some writers leave the matrix empty and mean that the picture stands upright.
    let sign = |m: [i32; 4]| {
        if m == [0; 4] {
            [1, 0, 0, 1]
        } else {
            m.map(i32::signum)
        }
    };
    let ([a, b, c, d], [e, f, g, h]) = (sign(track), sign(movie));
    match [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h] {
        [1, 0, 0, 1] => Ok(Turn::None),
        [0, 1, -1, 0] => Ok(Turn::Right),
        [-1, 0, 0, -1] => Ok(Turn::Half),
        [0, -1, 1, 0] => Ok(Turn::Left),
        _ => Err(Unplayable::Unsupported(format!(
            "a mirrored or slanted picture (matrix {track:?})"
        ))),
    }
}

/// Codec configuration and colour by the first sample entry.
fn sample_entry(stsd: &[u8]) -> Result<(AvcConfig, Option<(ColourMatrix, bool)>), Unplayable> {
    let entries = stsd.get(8..).ok_or_else(|| broken("stsd"))?;
    let (name, entry): (Name, &[u8]) = boxes(entries)
        .next()
        .ok_or_else(|| Unplayable::Broken("box `stsd` is empty".into()))??;
    match &name {
        b"avc1" | b"avc3" => {}
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => {
            return Err(Unplayable::Unsupported("H.265 (HEVC) video".into()));
        }
        b"av01" => return Err(Unplayable::Unsupported("AV1 video".into())),
        b"vp08" | b"vp09" => return Err(Unplayable::Unsupported("VP8/VP9 video".into())),
        b"encv" => return Err(Unplayable::Unsupported("encrypted video".into())),
        _ => {
            return Err(Unplayable::Unsupported(format!(
                "video of type `{}`",
                show(name)
            )));
        }
    }
    let inner = entry
        .get(VISUAL_ENTRY_BYTES..)
        .ok_or_else(|| broken("avc1"))?;
    let avc = AvcConfig::parse(need(inner, b"avcC")?)?;
    let colour = find(inner, b"colr")?.and_then(|colr| {
        let mut cursor = Cursor(colr);
        let kind = cursor.take(4)?;
        cursor.take(4)?;
        let matrix = cursor.u16()?;
        let full = kind == b"nclx" && cursor.u8()? & 0x80 != 0;
        matches!(kind, b"nclx" | b"nclc")
            .then(|| ColourMatrix::from_code(u32::from(matrix)).map(|m| (m, full)))?
    });
    Ok((avc, colour))
}

/// The part of an edit list that matters here.
#[derive(Debug, Default, PartialEq)]
struct Edit {
    /// Delay before the first picture, in the movie's time scale.
    delay: u64,
    /// The composition time that is shown first, and for how long, in the movie's time scale (0: to
    /// the end).
    media: Option<(i64, u64)>,
}

fn edit(elst: &[u8]) -> Result<Edit, Unplayable> {
    let mut cursor = Cursor(elst);
    let (version, _) = cursor.version_flags().ok_or_else(|| broken("elst"))?;
    let count = cursor
        .table_len(if version == 1 { 20 } else { 12 })
        .ok_or_else(|| broken("elst"))?;
    let mut edit = Edit::default();
    for _ in 0..count {
        let (duration, media_time) = match version {
            1 => (cursor.u64(), cursor.u64().map(u64::cast_signed)),
            _ => (cursor.u32().map(u64::from), cursor.i32().map(i64::from)),
        };
        let (Some(duration), Some(media_time), Some(rate)) = (duration, media_time, cursor.i32())
        else {
            return Err(broken("elst"));
        };
        match (media_time, edit.media) {
            (-1, None) => edit.delay = edit.delay.saturating_add(duration),
            // It delays nothing, as only one media edit is allowed.
            (-1, Some(_)) => {}
            (start, None) if start >= 0 && rate == 0x1_0000 => edit.media = Some((start, duration)),
            (start, None) if start >= 0 => {
                return Err(Unplayable::Unsupported(
                    "an edit list that changes the speed".into(),
                ));
            }
            (start, Some(_)) if start >= 0 => {
                return Err(Unplayable::Unsupported(
                    "an edit list with several cuts".into(),
                ));
            }
            _ => {
                return Err(Unplayable::Broken(format!(
                    "box `elst`: media time {media_time}"
                )));
            }
        }
    }
    Ok(edit)
}

impl Edit {
    /// When each sample is shown, in seconds, and when the last picture ends.
    fn apply(
        &self,
        samples: &[Sample],
        timescale: u32,
        movie_timescale: u32,
    ) -> Result<(Vec<Option<f64>>, f64), Unplayable> {
        let (scale, movie_scale) = (f64::from(timescale), f64::from(movie_timescale));
        // Where there is no edit list, players show a picture at its composition time.
        let first = samples.iter().map(|s| s.composition).min().unwrap_or(0);
        let moved = !(0.0..=START_MAX_S).contains(&(first as f64 / scale));
        let (start, length) = self.media.unwrap_or((if moved { first } else { 0 }, 0));
        let delay_s = self.delay as f64 / movie_scale;
        let length_s = if length == 0 {
            f64::INFINITY
        } else {
            length as f64 / movie_scale
        };
        // The movie's time scale is often coarse: times that differ by half a unit are the same
        // moment.
        let slack_s = 0.5 / movie_scale;
        let shown: Vec<Option<f64>> = samples
            .iter()
            .map(|s| (s.composition.saturating_sub(start)) as f64 / scale)
            .map(|at_s| (at_s >= 0.0 && at_s < length_s - slack_s).then_some(at_s + delay_s))
            .collect();
        let mut times: Vec<f64> = shown.iter().flatten().copied().collect();
        times.sort_by(f64::total_cmp);
        let Some(last) = times.last() else {
            return Err(Unplayable::Broken(
                "box `elst` cuts every picture away".into(),
            ));
        };
        if *last > SECONDS_MAX {
            return Err(Unplayable::Broken(format!("a picture at {last} s")));
        }
        // The last picture is assumed to last as long as the one before it.
        let step = times.len().checked_sub(2).map_or(0.0, |i| last - times[i]);
        Ok((shown, (last + step).min(delay_s + length_s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(composition: i64) -> Sample {
        Sample {
            offset: 0,
            size: 1,
            composition,
            sync: false,
        }
    }

    #[test]
    fn edits_delay_and_cut() {
        let samples: Vec<Sample> = [200, 400, 300, 500].map(at).into();
        let plain = Edit::default().apply(&samples, 100, 1000).unwrap();
        assert_eq!(plain.0, [Some(2.0), Some(4.0), Some(3.0), Some(5.0)]);
        assert_eq!(plain.1, 6.0);
        let live: Vec<Sample> = [99_000, 99_100].map(at).into();
        assert_eq!(
            Edit::default().apply(&live, 100, 1000).unwrap().0,
            [Some(0.0), Some(1.0)]
        );
        assert_eq!(
            Edit::default()
                .apply(&[at(-100), at(0)], 100, 1000)
                .unwrap()
                .0,
            [Some(0.0), Some(1.0)]
        );
        let cut = Edit {
            delay: 500,
            media: Some((300, 2000)),
        }
        .apply(&samples, 100, 1000)
        .unwrap();
        assert_eq!(cut.0, [None, Some(1.5), Some(0.5), None]);
        assert_eq!(cut.1, 2.5);
        assert!(
            Edit {
                delay: 0,
                media: Some((900, 0))
            }
            .apply(&samples, 100, 1000)
            .is_err()
        );
    }

    #[test]
    fn matrices_become_turns() {
        const ONE: i32 = 0x1_0000;
        let up = [ONE, 0, 0, ONE];
        assert_eq!(turn_of(up, up), Ok(Turn::None));
        assert_eq!(turn_of([0, ONE, -ONE, 0], up), Ok(Turn::Right));
        assert_eq!(
            turn_of([0, ONE, -ONE, 0], [0, ONE, -ONE, 0]),
            Ok(Turn::Half)
        );
        assert_eq!(turn_of([0, -ONE, ONE, 0], [0; 4]), Ok(Turn::Left));
        assert!(matches!(
            turn_of([-ONE, 0, 0, ONE], up),
            Err(Unplayable::Unsupported(_))
        ));
        assert!(matches!(
            turn_of([ONE, ONE, 0, ONE], up),
            Err(Unplayable::Unsupported(_))
        ));
    }
}
