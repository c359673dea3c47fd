//! The strict pass over a GGUF header: every number is checked before anything is allocated or
//! touched.
//!
//! A GGUF file is hostile until this pass went through it. What it holds to:
//!
//! - versions 2 and 3, little endian (both have one layout; version 1 counts in 32 bits and is gone
//!   from use);
//! - counts and lengths lie within the bytes that remain, so memory is bounded by the size of the
//!   file;
//! - metadata takes at most [`METADATA_BYTES_MAX`], an array of one-byte items at most
//!   [`BYTE_ARRAY_MAX`], all arrays together [`ITEMS_MAX`] items, arrays nest at most
//!   [`NESTING_MAX`] deep, keys and tensor names are unique;
//! - the alignment is a power of two in [`ALIGNMENT_MIN`]..=[`ALIGNMENT_MAX`];
//! - a tensor has 1 to [`DIMS_MAX`] dimensions, none of them 0, whose product and byte size exist;
//!   its rows are whole blocks; its offset is aligned; its bytes lie in the file and in no other
//!   tensor;
//! - nothing but padding stands behind the last tensor.
//!
//! Nothing of candle runs before this pass. Sources: the GGUF specification (ggml
//! `docs/gguf.md`) and the published failures of other readers (CVE-2024-23605, CVE-2025-53630,
//! CVE-2026-27940, CVE-2026-33298).

use std::collections::HashMap;

use super::MetaValue;
use super::broken_rule::broken;
pub use super::broken_rule::{BrokenRule, Result, Rule};
use super::reader::Reader;
use super::types::GgmlType;

/// First bytes of the file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// Versions with the layout that is read here.
pub const VERSIONS: [u32; 2] = [2, 3];
/// Bytes of all keys and values.
pub const METADATA_BYTES_MAX: u64 = 64 << 20;
/// Items of an array of u8, i8 or bool.
pub const BYTE_ARRAY_MAX: u64 = 1 << 20;
/// Bytes of a key.
pub const KEY_BYTES_MAX: u64 = 65_535;
/// Items of all arrays together: a vocabulary of a million tokens has room, and memory stays under
/// about 100 MB.
pub const ITEMS_MAX: u64 = 1 << 22;
/// Depth of arrays in arrays.
pub const NESTING_MAX: u32 = 4;
/// Bytes of a tensor's name.
pub const NAME_BYTES_MAX: u64 = 64;
/// Dimensions of a tensor.
pub const DIMS_MAX: u32 = 4;
/// Smallest alignment.
pub const ALIGNMENT_MIN: u64 = 8;
/// Largest alignment.
pub const ALIGNMENT_MAX: u64 = 4096;
/// Alignment of a file that does not name one.
pub const ALIGNMENT_DEFAULT: u64 = 32;
/// The key that names the alignment.
pub const ALIGNMENT_KEY: &str = "general.alignment";

/// Key-value pairs.
pub const PAIRS_MAX: u64 = 65_536;
/// Tensors.
pub const TENSORS_MAX: u64 = 65_536;

/// Smallest key-value pair: length of the key, one byte of it, type, one byte of value.
const PAIR_BYTES_MIN: u64 = 8 + 1 + 4 + 1;
/// Smallest tensor record: length of the name, one byte of it, dimensions, one of them, type,
/// offset.
const RECORD_BYTES_MIN: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// One tensor's record, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Row-major shape, as candle has it: the reverse of the order in the file.
    pub shape: Vec<usize>,
    /// Its block format.
    pub ty: GgmlType,
    /// First byte, from the start of the file.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// A header that holds to every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Metadata, in the file's order.
    pub metadata: Vec<(String, MetaValue)>,
    /// Tensors, in the file's order.
    pub tensors: Vec<TensorInfo>,
    /// Alignment of the tensors' first bytes.
    pub alignment: u64,
}

impl Header {
    /// Reads and checks the header of a whole file.
    ///
    /// # Errors
    /// The first rule that the file breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader {
            bytes,
            at: 0,
            budget_end: usize::MAX,
            items_left: ITEMS_MAX,
        };
        let version = preamble(&mut reader)?;
        let tensor_count = reader.u64("tensor count")?;
        let pair_count = reader.u64("metadata count")?;
        bound_count(
            "tensor count",
            tensor_count,
            TENSORS_MAX.min(reader.remaining() / RECORD_BYTES_MIN),
        )?;
        bound_count(
            "metadata count",
            pair_count,
            PAIRS_MAX.min(reader.remaining() / PAIR_BYTES_MIN),
        )?;
        let metadata = read_metadata(&mut reader, pair_count)?;
        let alignment = alignment_of(&metadata)?;
        let records = read_records(&mut reader, tensor_count)?;
        let tensors = place_tensors(records, reader.at as u64, alignment, bytes.len() as u64)?;
        Ok(Self {
            version,
            metadata,
            tensors,
            alignment,
        })
    }
}

fn preamble(reader: &mut Reader<'_>) -> Result<u32> {
    let magic = reader.take(4, "magic")?;
    if magic != MAGIC {
        return broken(
            Rule::Magic,
            "magic",
            format!("{:?}", magic.escape_ascii().to_string()),
            "\"GGUF\"",
        );
    }
    let version = reader.u32("version")?;
    if VERSIONS.contains(&version) {
        return Ok(version);
    }
    let found = match VERSIONS.contains(&version.swap_bytes()) {
        true => format!("{} in big-endian order", version.swap_bytes()),
        false => version.to_string(),
    };
    broken(Rule::Version, "version", found, "2 or 3, little endian")
}

fn bound_count(place: &str, found: u64, limit: u64) -> Result<()> {
    if found > limit {
        return broken(Rule::Count, place, found, format!("at most {limit}"));
    }
    Ok(())
}

fn read_metadata(reader: &mut Reader<'_>, count: u64) -> Result<Vec<(String, MetaValue)>> {
    reader.budget_end = reader.at.saturating_add(METADATA_BYTES_MAX as usize);
    let mut metadata: Vec<(String, MetaValue)> = Vec::new();
    let mut seen = HashMap::new();
    for index in 0..count {
        let key = read_key(reader, index)?;
        if let Some(first) = seen.insert(key.clone(), index) {
            return broken(
                Rule::DuplicateKey,
                format!("key `{key}`"),
                format!("pairs {first} and {index}"),
                "one pair",
            );
        }
        let value = read_value(reader, &key)?;
        metadata.push((key, value));
    }
    reader.budget_end = usize::MAX;
    Ok(metadata)
}

fn read_key(reader: &mut Reader<'_>, index: u64) -> Result<String> {
    let place = format!("key of pair {index}");
    let length = reader.u64(&place)?;
    if length == 0 || length > KEY_BYTES_MAX {
        return broken(
            Rule::Key,
            place,
            format!("{length} bytes"),
            format!("1 to {KEY_BYTES_MAX} bytes"),
        );
    }
    let key = reader.text(length, &place)?;
    if key.chars().any(char::is_control) {
        return broken(
            Rule::Key,
            place,
            format!("{key:?}"),
            "no control characters",
        );
    }
    Ok(key)
}

/// Numbers of the value types in the file; the writer uses them as well.
pub mod tag {
    /// `u8`.
    pub const U8: u32 = 0;
    /// `i8`.
    pub const I8: u32 = 1;
    /// `u16`.
    pub const U16: u32 = 2;
    /// `i16`.
    pub const I16: u32 = 3;
    /// `u32`.
    pub const U32: u32 = 4;
    /// `i32`.
    pub const I32: u32 = 5;
    /// `f32`.
    pub const F32: u32 = 6;
    /// `bool`.
    pub const BOOL: u32 = 7;
    /// `string`.
    pub const STRING: u32 = 8;
    /// `array`.
    pub const ARRAY: u32 = 9;
    /// `u64`.
    pub const U64: u32 = 10;
    /// `i64`.
    pub const I64: u32 = 11;
    /// `f64`.
    pub const F64: u32 = 12;
}

fn read_value(reader: &mut Reader<'_>, key: &str) -> Result<MetaValue> {
    let place = format!("key `{key}`");
    let ty = reader.u32(&place)?;
    read_typed(reader, ty, &place, 0)
}

/// Reads a value of a given type; `depth` is the number of arrays around it.
fn read_typed(reader: &mut Reader<'_>, ty: u32, place: &str, depth: u32) -> Result<MetaValue> {
    Ok(match ty {
        tag::U8 => MetaValue::U8(u8::from_le_bytes(reader.array(place)?)),
        tag::I8 => MetaValue::I8(i8::from_le_bytes(reader.array(place)?)),
        tag::U16 => MetaValue::U16(u16::from_le_bytes(reader.array(place)?)),
        tag::I16 => MetaValue::I16(i16::from_le_bytes(reader.array(place)?)),
        tag::U32 => MetaValue::U32(u32::from_le_bytes(reader.array(place)?)),
        tag::I32 => MetaValue::I32(i32::from_le_bytes(reader.array(place)?)),
        tag::F32 => MetaValue::F32(f32::from_le_bytes(reader.array(place)?)),
        tag::BOOL => MetaValue::Bool(reader.bool(place)?),
        tag::STRING => {
            let length = reader.u64(place)?;
            MetaValue::String(reader.text(length, place)?)
        }
        tag::ARRAY => MetaValue::Array(read_array(reader, place, depth + 1)?),
        tag::U64 => MetaValue::U64(u64::from_le_bytes(reader.array(place)?)),
        tag::I64 => MetaValue::I64(i64::from_le_bytes(reader.array(place)?)),
        tag::F64 => MetaValue::F64(f64::from_le_bytes(reader.array(place)?)),
        other => {
            return broken(
                Rule::ValueType,
                place,
                format!("value type {other}"),
                "0 to 12",
            );
        }
    })
}

/// Fewest bytes an item of this type takes in the file.
fn item_bytes_min(item: u32) -> Option<u64> {
    Some(match item {
        tag::U8 | tag::I8 | tag::BOOL => 1,
        tag::U16 | tag::I16 => 2,
        tag::U32 | tag::I32 | tag::F32 => 4,
        tag::U64 | tag::I64 | tag::F64 | tag::STRING => 8,
        tag::ARRAY => 4 + 8,
        _ => return None,
    })
}

fn read_array(reader: &mut Reader<'_>, place: &str, depth: u32) -> Result<Vec<MetaValue>> {
    if depth > NESTING_MAX {
        return broken(
            Rule::Nesting,
            place,
            format!("arrays {depth} deep"),
            format!("at most {NESTING_MAX}"),
        );
    }
    let item = reader.u32(place)?;
    let Some(item_bytes) = item_bytes_min(item) else {
        return broken(
            Rule::ValueType,
            place,
            format!("array of value type {item}"),
            "0 to 12",
        );
    };
    let count = reader.u64(place)?;
    if item_bytes == 1 && count > BYTE_ARRAY_MAX {
        let expected = format!("at most {BYTE_ARRAY_MAX}");
        return broken(
            Rule::ArrayLength,
            place,
            format!("{count} one-byte items"),
            expected,
        );
    }
    let room = reader.items_left.min(reader.remaining() / item_bytes);
    if count > room {
        let expected = format!(
            "at most {room}, what the file and the limit of {ITEMS_MAX} items in all leave"
        );
        return broken(Rule::ArrayLength, place, format!("{count} items"), expected);
    }
    reader.items_left -= count;
    (0..count)
        .map(|_| read_typed(reader, item, place, depth))
        .collect()
}

fn alignment_of(metadata: &[(String, MetaValue)]) -> Result<u64> {
    let Some((_, value)) = metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    let place = format!("key `{ALIGNMENT_KEY}`");
    let MetaValue::U32(alignment) = *value else {
        return broken(Rule::Alignment, place, value.kind(), "a u32");
    };
    let alignment = u64::from(alignment);
    if !alignment.is_power_of_two() || !(ALIGNMENT_MIN..=ALIGNMENT_MAX).contains(&alignment) {
        let expected = format!("a power of two from {ALIGNMENT_MIN} to {ALIGNMENT_MAX}");
        return broken(Rule::Alignment, place, alignment, expected);
    }
    Ok(alignment)
}

/// A tensor record whose own numbers are checked, but not its place in the file.
struct Record {
    name: String,
    shape: Vec<usize>,
    ty: GgmlType,
    offset: u64,
    len: u64,
}

fn read_records(reader: &mut Reader<'_>, count: u64) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut seen = HashMap::new();
    for index in 0..count {
        let record = read_record(reader, index)?;
        if let Some(first) = seen.insert(record.name.clone(), index) {
            let place = format!("tensor `{}`", record.name);
            return broken(
                Rule::DuplicateTensor,
                place,
                format!("records {first} and {index}"),
                "one record",
            );
        }
        records.push(record);
    }
    Ok(records)
}

fn read_record(reader: &mut Reader<'_>, index: u64) -> Result<Record> {
    let place = format!("name of tensor {index}");
    let length = reader.u64(&place)?;
    if length == 0 || length > NAME_BYTES_MAX {
        return broken(
            Rule::Name,
            place,
            format!("{length} bytes"),
            format!("1 to {NAME_BYTES_MAX} bytes"),
        );
    }
    let name = reader.text(length, &place)?;
    if name.chars().any(char::is_control) {
        return broken(
            Rule::Name,
            place,
            format!("{name:?}"),
            "no control characters",
        );
    }
    let place = format!("tensor `{name}`");
    let rank = reader.u32(&place)?;
    if rank == 0 || rank > DIMS_MAX {
        return broken(
            Rule::Dims,
            place,
            format!("{rank} dimensions"),
            format!("1 to {DIMS_MAX}"),
        );
    }
    // The file counts the length of a row first; shapes here are row-major.
    let mut shape = Vec::with_capacity(rank as usize);
    for _ in 0..rank {
        shape.insert(0, reader.u64(&place)?);
    }
    let ty = reader.u32(&place)?;
    let offset = reader.u64(&place)?;
    let Some(ty) = GgmlType::from_id(ty) else {
        return broken(
            Rule::TensorType,
            place,
            format!("type {ty}"),
            "a known ggml type",
        );
    };
    let len = tensor_bytes(&place, &shape, ty)?;
    let shape = shape
        .into_iter()
        .map(usize::try_from)
        .collect::<Result<_, _>>();
    let Ok(shape) = shape else {
        return broken(
            Rule::Size,
            place,
            "a dimension beyond the address space",
            "one within it",
        );
    };
    Ok(Record {
        name,
        shape,
        ty,
        offset,
        len,
    })
}

fn tensor_bytes(place: &str, shape: &[u64], ty: GgmlType) -> Result<u64> {
    if shape.contains(&0) {
        return broken(
            Rule::Dims,
            place,
            format!("shape {shape:?}"),
            "no dimension of 0",
        );
    }
    let row = shape.last().copied().unwrap_or(0);
    if !row.is_multiple_of(ty.block_values()) {
        let expected = format!("a multiple of {}, a block of {ty}", ty.block_values());
        return broken(Rule::Row, place, format!("rows of {row}"), expected);
    }
    // ggml counts in i64: a larger number wraps in other readers even where it fits here.
    match ty.byte_len(shape) {
        Some(len) if i64::try_from(len).is_ok() => Ok(len),
        _ => broken(
            Rule::Size,
            place,
            format!("shape {shape:?} of {ty}"),
            "fewer than 2^63 bytes",
        ),
    }
}

fn place_tensors(
    records: Vec<Record>,
    end: u64,
    alignment: u64,
    file: u64,
) -> Result<Vec<TensorInfo>> {
    // `end` and `file` are lengths of a slice in memory and `alignment` is small: this cannot wrap.
    let data = end.next_multiple_of(alignment);
    let room = file.saturating_sub(data);
    let mut tensors = Vec::with_capacity(records.len());
    for record in records {
        let place = || format!("tensor `{}`", record.name);
        if !record.offset.is_multiple_of(alignment) {
            return broken(
                Rule::Misaligned,
                place(),
                format!("offset {}", record.offset),
                format!("a multiple of {alignment}"),
            );
        }
        match record.offset.checked_add(record.len) {
            Some(last) if last <= room => {}
            _ => {
                let found = format!("{} bytes at offset {}", record.len, record.offset);
                return broken(
                    Rule::Range,
                    place(),
                    found,
                    format!("an end within the {room} bytes of data"),
                );
            }
        }
        tensors.push(TensorInfo {
            name: record.name,
            shape: record.shape,
            ty: record.ty,
            start: (data + record.offset) as usize, // within a slice in memory, as is `len`
            len: record.len as usize,
        });
    }
    check_disjoint(&tensors)?;
    let last = tensors
        .iter()
        .map(|t| t.start + t.len)
        .max()
        .unwrap_or(end as usize) as u64;
    let padded = last.next_multiple_of(alignment);
    if file > padded {
        return broken(
            Rule::Trailing,
            "end of file",
            format!("{} bytes behind the last tensor", file - last),
            "padding only",
        );
    }
    Ok(tensors)
}

fn check_disjoint(tensors: &[TensorInfo]) -> Result<()> {
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_by_key(|t| t.start);
    for pair in order.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        if a.start + a.len > b.start {
            let found = format!("bytes from {}, within tensor `{}`", b.start, a.name);
            return broken(
                Rule::Overlap,
                format!("tensor `{}`", b.name),
                found,
                "bytes of its own",
            );
        }
    }
    Ok(())
}
