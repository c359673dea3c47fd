//! Weights in (HF folder, checkpoint, GGUF), recipe, GGUF out, and the error of each tensor.
//!
//! [`Source::open`] tells what a path holds and lists its tensors under their GGUF names;
//! [`quantize`] packs them as a [`Recipe`] says and writes the file in one step; the [`Report`]
//! tells the loss of each tensor.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use proact::error::{Error, Result};
use proact::model::gguf::{GgmlType, GgufFile, MetaValue};

mod adapter;
mod backbone;
mod encode;
mod folder;
mod llama;
mod names;
mod pickle;
pub mod recipe;
pub mod report;
mod shards;
mod siglip;
pub mod source;
mod vocabulary;
pub mod write;

pub use backbone::{VisionTokens, backbone_alone};
pub use folder::Inputs;
pub use recipe::Recipe;
pub use report::{Report, TensorReport, sides};
pub use source::{Entry, Source};
pub use write::set_metadata;

/// Version of the block formats: `general.quantization_version`, which files with quantized tensors
/// must have.
const QUANTIZATION_VERSION: u32 = 2;
/// Values that are packed at once on a thread.
const PIECE_VALUES: usize = 1 << 21;

/// What the caller adds to a file.
#[derive(Default)]
pub struct Options<'a> {
    /// Metadata that replaces or extends the source's: `general.name`, `general.license`, gates
    /// found in training, ….
    pub metadata: Vec<(String, MetaValue)>,
    /// The vision file that an assistant belongs to: its bare name and hash go into the metadata.
    pub vision: Option<&'a Path>,
    /// Told of each tensor as it is written.
    pub progress: Option<&'a dyn Fn(&TensorReport)>,
}

/// Writes a source as a GGUF file, each tensor in the format that the recipe chooses.
///
/// Tensors that already have that format are copied bit for bit. The target appears whole or not at
/// all.
///
/// # Errors
/// A weight is not finite or does not fit its format; the recipe has no pattern for a tensor;
/// reading or writing fails.
pub fn quantize(
    source: &Source,
    recipe: &Recipe,
    out: &Path,
    options: &Options<'_>,
) -> Result<Report> {
    let mut planned = Vec::with_capacity(source.entries.len());
    let mut wanted = Vec::with_capacity(source.entries.len());
    for entry in &source.entries {
        let choice = recipe.choose(&entry.name, &entry.shape, source.has_type(entry))?;
        wanted.push(choice.wanted);
        planned.push(write::Planned {
            name: entry.name.clone(),
            shape: entry.shape.clone(),
            ty: choice.ty,
        });
    }
    let metadata = final_metadata(source, &planned, options)?;
    let types: Vec<GgmlType> = planned.iter().map(|p| p.ty).collect();
    let mut writer = write::Writer::create(out, &metadata, planned)?;
    let mut report = Report::default();
    for (index, entry) in source.entries.iter().enumerate() {
        let tensor = stream(source, entry, wanted[index], types[index], &mut writer)?;
        if let Some(progress) = options.progress {
            progress(&tensor);
        }
        report.tensors.push(tensor);
    }
    report.sha256 = writer.finish()?;
    Ok(report)
}

/// What [`quantize`] would write, without reading a weight: errors are not known yet.
///
/// # Errors
/// The recipe has no pattern for a tensor, or its rows fit nothing that it allows.
pub fn plan(source: &Source, recipe: &Recipe) -> Result<Report> {
    let tensor = |entry: &Entry| {
        let choice = recipe.choose(&entry.name, &entry.shape, source.has_type(entry))?;
        let planned = write::Planned {
            name: entry.name.clone(),
            shape: entry.shape.clone(),
            ty: choice.ty,
        };
        Ok(TensorReport {
            bytes: planned.byte_len()?,
            from: entry.stored_as.clone(),
            wanted: choice.wanted,
            ty: choice.ty,
            name: planned.name,
            shape: planned.shape,
            rms_relative: 0.0,
            max_abs: 0.0,
        })
    };
    Ok(Report {
        tensors: source.entries.iter().map(tensor).collect::<Result<_>>()?,
        sha256: String::new(),
    })
}

/// Packs a tensor piece by piece, a handful of pieces at a time in parallel, and writes them in
/// order.
fn stream(
    source: &Source,
    entry: &Entry,
    wanted: GgmlType,
    ty: GgmlType,
    writer: &mut write::Writer,
) -> Result<TensorReport> {
    let rows = (PIECE_VALUES / entry.row_width().max(1)).max(1);
    let cut = |part: Range<usize>| {
        part.clone()
            .step_by(rows)
            .map(move |start| start..part.end.min(start + rows))
    };
    let pieces: Vec<_> = cut(0..entry.boundary())
        .chain(cut(entry.boundary()..entry.row_count()))
        .collect();
    let (mut sums, mut bytes) = (report::Sums::default(), 0);
    writer.begin(&entry.name)?;
    for batch in pieces.chunks(rayon::current_num_threads().max(1)) {
        let packed: Result<Vec<_>> = batch
            .par_iter()
            .map(|rows| pack(source, entry, rows, ty))
            .collect();
        for (blocks, piece) in packed? {
            writer.piece(&blocks)?;
            bytes += blocks.len() as u64;
            sums.add(&piece);
        }
    }
    writer.end()?;
    let (rms_relative, max_abs) = sums.error();
    Ok(TensorReport {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        from: entry.stored_as.clone(),
        wanted,
        ty,
        bytes,
        rms_relative,
        max_abs,
    })
}

/// Blocks of some rows, and what packing them lost.
fn pack(
    source: &Source,
    entry: &Entry,
    rows: &Range<usize>,
    ty: GgmlType,
) -> Result<(Vec<u8>, report::Sums)> {
    if source.has_type(entry) == Some(ty)
        && let Some(blocks) = source.blocks(entry, rows)?
    {
        return Ok((blocks, report::Sums::default()));
    }
    let values = source.rows(entry, rows.clone())?;
    let last = entry
        .shape
        .last()
        .copied()
        .filter(|_| entry.shape.len() > 1)
        .unwrap_or(values.len())
        .max(1);
    let encoded = encode::encode(&entry.name, &values, &[values.len() / last, last], ty)?;
    let sums = report::Sums::of(&values, &encoded.values);
    Ok((encoded.blocks, sums))
}

/// The source's metadata, the caller's, and what follows from the types.
fn final_metadata(
    source: &Source,
    planned: &[write::Planned],
    options: &Options<'_>,
) -> Result<Vec<(String, MetaValue)>> {
    let mut metadata = source.metadata.clone();
    // The writer aligns by its own measure.
    metadata.retain(|(key, _)| key != proact::model::gguf::header::ALIGNMENT_KEY);
    let mut changes = options.metadata.clone();
    if let Some(path) = options.vision {
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| Error::format(path, "the name of a vision file must be UTF-8"))?;
        changes.push((
            "dstproact.vision.file".into(),
            MetaValue::String(name.into()),
        ));
        changes.push((
            "dstproact.vision.sha256".into(),
            MetaValue::String(GgufFile::open(path)?.sha256()),
        ));
    }
    changes.push((
        "general.file_type".into(),
        MetaValue::U32(file_type(planned)),
    ));
    if planned.iter().any(|p| p.ty.block_values() > 1) {
        changes.push((
            "general.quantization_version".into(),
            MetaValue::U32(QUANTIZATION_VERSION),
        ));
    } else {
        metadata.retain(|(key, _)| key != "general.quantization_version");
    }
    for (key, value) in changes {
        put(&mut metadata, &key, value);
    }
    Ok(metadata)
}

/// Sets a key: in its place when it exists, else at the end.
fn put(metadata: &mut Vec<(String, MetaValue)>, key: &str, value: MetaValue) {
    match metadata.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => metadata.push((key.to_owned(), value)),
    }
}

/// llama.cpp's `general.file_type`: the format that most bytes have. Source: `LlamaFileType` of
/// gguf-py.
fn file_type(planned: &[write::Planned]) -> u32 {
    const FILE_TYPES: &[(GgmlType, u32)] = &[
        (GgmlType::F32, 0),
        (GgmlType::F16, 1),
        (GgmlType::BF16, 32),
        (GgmlType::Q4_0, 2),
        (GgmlType::Q4_1, 3),
        (GgmlType::Q8_0, 7),
        (GgmlType::Q4_K, 15),
        (GgmlType::Q5_K, 17),
        (GgmlType::Q6_K, 18),
    ];
    let weights = |ty: GgmlType| -> u64 {
        let of_type = planned.iter().filter(|p| p.ty == ty);
        of_type
            .map(|p| p.shape.iter().map(|&d| d as u64).product::<u64>())
            .sum()
    };
    FILE_TYPES
        .iter()
        .max_by_key(|(ty, _)| weights(*ty))
        .map_or(0, |&(_, id)| id)
}
