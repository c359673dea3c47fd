//! `eval --html`: the page, with small pictures from the videos that lie beside the annotations.

use crate::proassist::open::open;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage, imageops};

use super::systems::System;
use crate::eval::page::{Run, Thumbnail, render};
use crate::eval::speech::Similarity;
use crate::eval::{Options, Reference, Report};
use proact::sources::OpenOptions;
use proact::stream::{Content, Input, Picture, Poll};

/// Columns of a picture.
const WIDTH: u32 = 160;
/// JPEG quality of a picture: about 3 kB each.
const QUALITY: u8 = 60;

/// What the page is of.
pub struct Scored<'a> {
    /// The systems with their logs.
    pub systems: &'a [System],
    /// The scores of each.
    pub reports: &'a [(&'a str, Report)],
    /// What they were scored against.
    pub references: &'a [Reference],
    /// How.
    pub options: &'a Options,
}

/// Writes the page of scored systems; at most `pictures` a recording.
///
/// # Errors
/// The page cannot be made or written. A video that cannot be read is told, and its recording has
/// no pictures.
pub fn write(
    path: &Path,
    scored: &Scored<'_>,
    similarity: &dyn Similarity,
    pictures: usize,
) -> anyhow::Result<()> {
    let Scored {
        systems,
        reports,
        references,
        options,
    } = *scored;
    let mut runs = Vec::with_capacity(systems.len());
    for (system, (name, report)) in systems.iter().zip(reports) {
        let pairs = system
            .logs
            .iter()
            .map(|(i, log)| (log, &references[*i]))
            .collect();
        runs.push(Run {
            name,
            report,
            pairs,
        });
    }
    let look = |id: &str| {
        let reference = references.iter().find(|r| r.id == id);
        let Some((reference, video)) = reference.and_then(|r| Some((r, r.video.as_deref()?)))
        else {
            return Vec::new();
        };
        thumbnails(video, reference.duration_s(), pictures).unwrap_or_else(|why| {
            eprintln!("note: no pictures of recording `{id}`: {why:#}");
            Vec::new()
        })
    };
    let page = render(&runs, options, similarity, &look)?;
    std::fs::write(path, page).with_context(|| path.display().to_string())
}

/// Pictures of a video, `count` of them over its length.
fn thumbnails(video: &Path, duration_s: f64, count: usize) -> anyhow::Result<Vec<Thumbnail>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let fps = count as f64 / duration_s;
    let mut source = open(video, &OpenOptions::at(fps))?;
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        match source.next()? {
            Poll::Ready(Input::Frame(frame)) => {
                let Content::Picture(picture) = &frame.content else {
                    bail!("{}: no pictures", video.display())
                };
                all.push(Thumbnail {
                    at_s: frame.at.seconds(),
                    url: url(picture)?,
                });
            }
            Poll::Ready(_) | Poll::Pending => {}
            Poll::End => break,
        }
    }
    Ok(all)
}

/// A picture as a `data:` URL.
fn url(picture: &Picture) -> anyhow::Result<String> {
    let whole = RgbImage::from_raw(picture.width, picture.height, picture.rgb.to_vec())
        .context("a picture of another size than it says")?;
    let height = (picture.height * WIDTH / picture.width.max(1)).clamp(1, WIDTH * 4);
    let small = imageops::thumbnail(&whole, WIDTH, height);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode(
        &small,
        WIDTH,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}
