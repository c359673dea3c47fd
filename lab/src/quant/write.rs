//! Writes GGUF version 3: metadata in the order given, tensors aligned, all of it or nothing.
//!
//! The bytes go to a draft in the target's folder; [`Writer::finish`] makes them durable, checks
//! them with the reader's own strict pass and puts them in the target's place. A writer that is
//! dropped before leaves the target as it was. No time and no path goes into the file: the same
//! input gives the same bytes.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use proact::error::{Error, Result};
use proact::files::{Draft, hex, sha256_of};
use proact::model::gguf::header::{self, tag};
use proact::model::gguf::{GgmlType, GgufFile, MetaValue};

/// The version that is written.
const VERSION: u32 = 3;
/// Multiple of which each tensor's first byte is.
const ALIGNMENT: u64 = header::ALIGNMENT_DEFAULT;
/// llama.cpp's buffer for a name is 64 bytes with the zero behind it.
const NAME_BYTES_MAX: usize = 63;

/// A tensor that is going to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Its block format.
    pub ty: GgmlType,
}

impl Planned {
    /// Bytes of its blocks.
    ///
    /// # Errors
    /// Rows are not whole blocks, or the number does not exist.
    pub fn byte_len(&self) -> Result<u64> {
        let shape: Vec<u64> = self.shape.iter().map(|&d| d as u64).collect();
        self.ty.byte_len(&shape).ok_or_else(|| {
            Error::Invalid(format!(
                "tensor `{}`: shape {:?} cannot be written as {}",
                self.name, self.shape, self.ty
            ))
        })
    }
}

/// A GGUF file in the making.
#[derive(Debug)]
pub struct Writer {
    target: PathBuf,
    draft: Draft,
    planned: Vec<Planned>,
    written: usize,
    /// Bytes of the tensor that is being written.
    current: u64,
    hash: Sha256,
}

impl Writer {
    /// Begins a file: header first, for which all tensors must be known by name, shape and type.
    ///
    /// # Errors
    /// Something that no reader would take (names, shapes, keys); the system refuses the file.
    pub fn create(
        target: impl AsRef<Path>,
        metadata: &[(String, MetaValue)],
        planned: Vec<Planned>,
    ) -> Result<Self> {
        let target = target.as_ref().to_path_buf();
        let header = encode_header(metadata, &planned)?;
        let mut writer = Self {
            draft: Draft::create(&target)?,
            target,
            planned,
            written: 0,
            current: 0,
            hash: Sha256::new(),
        };
        writer.put(&header)?;
        Ok(writer)
    }

    /// Writes the next planned tensor's blocks.
    ///
    /// # Errors
    /// Another tensor is next; the number of bytes differs from the plan; the system refuses the
    /// write.
    pub fn tensor(&mut self, name: &str, blocks: &[u8]) -> Result<()> {
        self.begin(name)?;
        self.piece(blocks)?;
        self.end()
    }

    /// Begins the next planned tensor.
    ///
    /// # Errors
    /// Another tensor is next.
    pub fn begin(&mut self, name: &str) -> Result<()> {
        self.current = 0;
        match self.planned.get(self.written) {
            Some(next) if next.name == name => Ok(()),
            next => {
                let expected = next.map_or("none", |next| next.name.as_str()).to_owned();
                Err(Error::format(
                    &self.target,
                    format!("tensor `{name}` written where `{expected}` is due"),
                ))
            }
        }
    }

    /// Writes the next of its blocks.
    ///
    /// # Errors
    /// The system refuses the write.
    pub fn piece(&mut self, blocks: &[u8]) -> Result<()> {
        self.current += blocks.len() as u64;
        self.put(blocks)
    }

    /// Ends the tensor.
    ///
    /// # Errors
    /// The number of bytes differs from the plan; the system refuses the write.
    pub fn end(&mut self) -> Result<()> {
        let Some(planned) = self.planned.get(self.written) else {
            return Err(Error::format(
                &self.target,
                "a tensor ended that was not planned",
            ));
        };
        let expected = planned.byte_len()?;
        if self.current != expected {
            let why = format!(
                "tensor `{}`: {} bytes written, {expected} expected",
                planned.name, self.current
            );
            return Err(Error::format(&self.target, why));
        }
        let padding = expected.next_multiple_of(ALIGNMENT) - expected;
        self.put(&[0; ALIGNMENT as usize][..padding as usize])?;
        self.written += 1;
        Ok(())
    }

    /// Reads back what was written, checks it by its hash and with the reader's strict pass, makes
    /// it durable and puts it in the target's place. Gives the file's SHA-256 in hex.
    ///
    /// # Errors
    /// A planned tensor is missing; the disk gives other bytes than it was given; the strict pass
    /// refuses the file; the system refuses.
    pub fn finish(mut self) -> Result<String> {
        if let Some(missing) = self.planned.get(self.written) {
            return Err(Error::format(
                &self.target,
                format!("tensor `{}` was planned but not written", missing.name),
            ));
        }
        self.draft.sync()?;
        let written = hex(self.hash);
        let found = sha256_of(self.draft.path())?;
        if found != written {
            return Err(Error::format(
                &self.target,
                format!(
                    "read back: found SHA-256 {found}, expected {written}: the disk changed it"
                ),
            ));
        }
        GgufFile::open(self.draft.path())?;
        self.draft.publish()?;
        Ok(written)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.draft.write(bytes)
    }
}

/// The header with its padding.
fn encode_header(metadata: &[(String, MetaValue)], planned: &[Planned]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(header::MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend((planned.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        if key == header::ALIGNMENT_KEY {
            return Err(Error::Invalid(format!(
                "key `{key}`: the writer always aligns to {ALIGNMENT}"
            )));
        }
        put_text(&mut out, key);
        out.extend(tag_of(value).to_le_bytes());
        put_value(&mut out, key, value)?;
    }
    let mut offset = 0u64;
    for tensor in planned {
        if tensor.name.len() > NAME_BYTES_MAX {
            let why = format!(
                "tensor `{}`: a name of {} bytes, at most {NAME_BYTES_MAX}",
                tensor.name,
                tensor.name.len()
            );
            return Err(Error::Invalid(why));
        }
        put_text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for &d in tensor.shape.iter().rev() {
            out.extend((d as u64).to_le_bytes());
        }
        out.extend(tensor.ty.id().to_le_bytes());
        out.extend(offset.to_le_bytes());
        let end = offset
            .checked_add(tensor.byte_len()?)
            .and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        offset = end.ok_or_else(|| {
            Error::Invalid(format!(
                "tensor `{}`: the file would be too large",
                tensor.name
            ))
        })?;
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
    Ok(out)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn tag_of(value: &MetaValue) -> u32 {
    match value {
        MetaValue::U8(_) => tag::U8,
        MetaValue::I8(_) => tag::I8,
        MetaValue::U16(_) => tag::U16,
        MetaValue::I16(_) => tag::I16,
        MetaValue::U32(_) => tag::U32,
        MetaValue::I32(_) => tag::I32,
        MetaValue::U64(_) => tag::U64,
        MetaValue::I64(_) => tag::I64,
        MetaValue::F32(_) => tag::F32,
        MetaValue::F64(_) => tag::F64,
        MetaValue::Bool(_) => tag::BOOL,
        MetaValue::String(_) => tag::STRING,
        MetaValue::Array(_) => tag::ARRAY,
    }
}

/// A value without its type.
fn put_value(out: &mut Vec<u8>, key: &str, value: &MetaValue) -> Result<()> {
    match value {
        MetaValue::U8(v) => out.extend(v.to_le_bytes()),
        MetaValue::I8(v) => out.extend(v.to_le_bytes()),
        MetaValue::U16(v) => out.extend(v.to_le_bytes()),
        MetaValue::I16(v) => out.extend(v.to_le_bytes()),
        MetaValue::U32(v) => out.extend(v.to_le_bytes()),
        MetaValue::I32(v) => out.extend(v.to_le_bytes()),
        MetaValue::U64(v) => out.extend(v.to_le_bytes()),
        MetaValue::I64(v) => out.extend(v.to_le_bytes()),
        MetaValue::F32(v) => out.extend(v.to_le_bytes()),
        MetaValue::F64(v) => out.extend(v.to_le_bytes()),
        MetaValue::Bool(v) => out.push(u8::from(*v)),
        MetaValue::String(v) => put_text(out, v),
        MetaValue::Array(items) => {
            // An empty array has lost the type of its items; any will do.
            let item = items.first().map_or(tag::U32, tag_of);
            if items.iter().any(|other| tag_of(other) != item) {
                return Err(Error::Invalid(format!(
                    "key `{key}`: an array with items of different types"
                )));
            }
            out.extend(item.to_le_bytes());
            out.extend((items.len() as u64).to_le_bytes());
            items
                .iter()
                .try_for_each(|inner| put_value(out, key, inner))?;
        }
    }
    Ok(())
}

/// Rewrites a GGUF file with changed metadata; its tensors stay bit for bit. A change of a key that
/// exists keeps its place, others are appended; `None` removes a key. The tensors' alignment
/// becomes the writer's.
///
/// # Errors
/// The file is no sound GGUF file; a change that no reader would take; the system refuses the new
/// file.
pub fn set_metadata(path: impl AsRef<Path>, changes: &[(&str, Option<MetaValue>)]) -> Result<()> {
    let path = path.as_ref();
    let file = GgufFile::open(path)?;
    let mut metadata: Vec<(String, MetaValue)> = file.header().metadata.clone();
    metadata.retain(|(key, _)| key != header::ALIGNMENT_KEY); // the writer's own is the default
    for (key, value) in changes {
        let place = metadata.iter().position(|(k, _)| k == key);
        match (place, value) {
            (Some(i), Some(value)) => metadata[i].1 = value.clone(),
            (Some(i), None) => drop(metadata.remove(i)),
            (None, Some(value)) => metadata.push(((*key).to_owned(), value.clone())),
            (None, None) => {}
        }
    }
    let planned = file.tensors().iter();
    let planned = planned
        .map(|t| Planned {
            name: t.name.clone(),
            shape: t.shape.clone(),
            ty: t.ty,
        })
        .collect();
    let mut writer = Writer::create(path, &metadata, planned)?;
    for tensor in file.tensors() {
        writer.tensor(&tensor.name, file.bytes(&tensor.name)?.1)?;
    }
    writer.finish().map(|_| ())
}
