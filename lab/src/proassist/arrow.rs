//! ProAssist's feature files: an Arrow IPC stream, one row a frame.
//!
//! Columns `cls` `[1,Dv]` or `[Dv]` and `2x2`, `3x3`, `5x5` as nested lists, in f16 or f32, as
//! Hugging Face's `ArrowWriter` writes them. Other columns are passed by.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::{
    Field, MessageHeader, Precision, RecordBatch as BatchHeader, Type, root_as_message,
};
use arrow_schema::{DataType, Schema};

use proact::error::{Error, Result};
use proact::features::{
    BYTES_MAX, DIM_MAX, ENCODER, FPS, FRAMES_MAX, FeatureFile, Grid, PREPROCESS,
};

/// Largest header of one message.
const HEADER_BYTES_MAX: u32 = 16 << 20;
/// Deepest nesting of lists.
const DEPTH_MAX: usize = 4;

/// Reads a feature file; `fps` stands in for files that do not name their rate.
///
/// # Errors
/// Unreadable, or broken; names the column.
pub fn read(path: &Path, fps: f64) -> Result<FeatureFile> {
    parse(BufReader::new(open(path)?), fps).map_err(|why| Error::format(path, why))
}

/// Checks the structure of a stream, so that reading it cannot fail badly, and gives the names of
/// its columns.
///
/// # Errors
/// Unreadable, or no stream of plain and nested columns.
pub fn columns(path: &Path) -> Result<Vec<String>> {
    let reader = StreamReader::try_new(BufReader::new(open(path)?), None);
    let reader = reader.map_err(|e| Error::format(path, format!("not an Arrow stream: {e}")))?;
    Ok(reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect())
}

/// Opens a stream whose messages are sound.
fn open(path: &Path) -> Result<File> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let bytes = file.metadata().map_err(Error::io(path))?.len();
    check_messages(&mut file, bytes).map_err(|why| Error::format(path, why))?;
    file.seek(SeekFrom::Start(0)).map_err(Error::io(path))?;
    Ok(file)
}

/// Walks the messages without decoding them: every length has to fit the file, before the reader
/// allocates anything for it, and every buffer has to lie in its message.
fn check_messages(file: &mut (impl Read + Seek), bytes: u64) -> Result<(), String> {
    let mut at = 0u64;
    let mut word = [0u8; 4];
    let mut expected = None;
    loop {
        if bytes - at < 4 {
            return Ok(());
        }
        let mut read = |into: &mut [u8]| {
            file.read_exact(into)
                .map_err(|_| "the file was cut short".to_owned())
        };
        read(&mut word)?;
        at += 4;
        if word == [0xff; 4] {
            read(&mut word)?;
            at += 4;
        }
        let header_bytes = u32::from_le_bytes(word);
        if header_bytes == 0 {
            return Ok(());
        }
        if header_bytes > HEADER_BYTES_MAX || u64::from(header_bytes) > bytes - at.min(bytes) {
            return Err(format!(
                "a message header of {header_bytes} bytes at byte {at} does not fit"
            ));
        }
        let mut header = vec![0; header_bytes as usize];
        read(&mut header)?;
        at += u64::from(header_bytes);
        let body = check_message(&header, &mut expected)
            .map_err(|why| format!("message at byte {at}: {why}"))?;
        if body > bytes - at {
            return Err(format!(
                "a message body of {body} bytes at byte {at} does not fit; the file was cut short"
            ));
        }
        at += body;
        file.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
    }
}

/// Length of a message's body. The first message is the schema; `expected` is what it says of the
/// others.
fn check_message(header: &[u8], expected: &mut Option<Layout>) -> Result<u64, String> {
    let message = root_as_message(header).map_err(|e| format!("not Arrow: {e}"))?;
    let body =
        u64::try_from(message.bodyLength()).map_err(|_| "a negative body length".to_owned())?;
    match (message.header_type(), &expected) {
        (MessageHeader::Schema, None) => {
            let schema = message.header_as_schema().ok_or("an empty schema")?;
            let mut layout = Layout::default();
            for field in schema.fields().ok_or("a schema without fields")? {
                layout.add(field, DEPTH_MAX)?;
            }
            let sound = schema
                .custom_metadata()
                .into_iter()
                .flatten()
                .all(|kv| kv.key().is_some() && kv.value().is_some());
            *expected = sound.then_some(layout);
            expected
                .as_ref()
                .map(|_| body)
                .ok_or_else(|| "metadata without a key or value".into())
        }
        (MessageHeader::RecordBatch, Some(layout)) => {
            layout.check(
                message
                    .header_as_record_batch()
                    .ok_or("an empty record batch")?,
                body,
            )?;
            Ok(body)
        }
        (MessageHeader::DictionaryBatch, _) => {
            Err("dictionaries are not expected in a feature file".into())
        }
        _ => Err("a message that does not belong here".into()),
    }
}

/// How many columns (nested ones counted) and buffers a schema demands of each batch.
#[derive(Default)]
struct Layout {
    nodes: usize,
    /// Width of each buffer's elements in bytes: a buffer's length is a multiple of it.
    widths: Vec<i64>,
    /// Bitmaps: which node, which buffer, and whether it is there even without empty values.
    bitmaps: Vec<(usize, usize, bool)>,
}

impl Layout {
    /// Adds a field. Only types whose reading cannot fail badly are let through; the reader of the
    /// arrow crate panics on several contradictions in a schema.
    fn add(&mut self, field: Field<'_>, depth: usize) -> Result<(), String> {
        let name = field.name().ok_or("a column without a name")?;
        let refuse =
            || format!("column `{name}` is of a type that is not expected in a feature file");
        if field.dictionary().is_some() || depth == 0 {
            return Err(refuse());
        }
        const BITMAP: i64 = 1;
        let (widths, lists): (Option<Vec<i64>>, bool) = match field.type_type() {
            Type::FloatingPoint => {
                let width = match field
                    .type_as_floating_point()
                    .ok_or_else(refuse)?
                    .precision()
                {
                    Precision::HALF => Some(2),
                    Precision::SINGLE => Some(4),
                    Precision::DOUBLE => Some(8),
                    _ => None,
                };
                (width.map(|w| vec![BITMAP, w]), false)
            }
            Type::Int => {
                let bits = field
                    .type_as_int()
                    .map(|int| int.bitWidth())
                    .filter(|bits| matches!(bits, 8 | 16 | 32 | 64));
                (bits.map(|bits| vec![BITMAP, i64::from(bits) / 8]), false)
            }
            Type::Bool => (Some(vec![BITMAP, BITMAP]), false),
            Type::Utf8 | Type::Binary => (Some(vec![BITMAP, 4, 1]), false),
            Type::LargeUtf8 | Type::LargeBinary => (Some(vec![BITMAP, 8, 1]), false),
            Type::List => (Some(vec![BITMAP, 4]), true),
            Type::LargeList => (Some(vec![BITMAP, 8]), true),
            Type::FixedSizeList => (
                field
                    .type_as_fixed_size_list()
                    .filter(|l| l.listSize() > 0)
                    .map(|_| vec![BITMAP]),
                true,
            ),
            _ => (None, false),
        };
        self.bitmaps.push((self.nodes, self.widths.len(), false));
        if field.type_type() == Type::Bool {
            self.bitmaps.push((self.nodes, self.widths.len() + 1, true));
        }
        self.nodes += 1;
        self.widths.extend(widths.ok_or_else(refuse)?);
        let children = field.children();
        match (lists, children) {
            (true, Some(children)) if children.len() == 1 => self.add(children.get(0), depth - 1),
            (false, children) if children.is_none_or(|c| c.is_empty()) => Ok(()),
            _ => Err(refuse()),
        }
    }

    fn check(&self, batch: BatchHeader<'_>, body: u64) -> Result<(), String> {
        let nodes = batch.nodes().ok_or("a record batch without columns")?;
        let buffers = batch.buffers().ok_or("a record batch without buffers")?;
        if nodes.len() != self.nodes || buffers.len() != self.widths.len() {
            return Err("a record batch does not fit the schema".into());
        }
        if batch.compression().is_some()
            || batch.variadicBufferCounts().is_some_and(|v| !v.is_empty())
        {
            return Err("compressed buffers are not expected in a feature file".into());
        }
        if usize::try_from(batch.length())
            .ok()
            .is_none_or(|n| n > FRAMES_MAX)
        {
            return Err(format!("{} rows; at most {FRAMES_MAX}", batch.length()));
        }
        for node in nodes {
            let longest = body.saturating_mul(8).min(i64::MAX as u64).cast_signed();
            if !(0..=longest).contains(&node.length())
                || !(0..=node.length()).contains(&node.null_count())
            {
                return Err("a column's length does not fit its buffers".into());
            }
        }
        for (buffer, width) in buffers.into_iter().zip(&self.widths) {
            let end = u64::try_from(buffer.offset())
                .ok()
                .zip(u64::try_from(buffer.length()).ok())
                .and_then(|(o, l)| o.checked_add(l));
            // The format aligns buffers to 8 bytes (columnar format, "Buffer Alignment and
            // Padding").
            if end.is_none_or(|end| end > body)
                || buffer.offset() % 8 != 0
                || buffer.length() % width != 0
            {
                return Err("a buffer lies outside its message or is not aligned".into());
            }
        }
        for (node, buffer, always) in &self.bitmaps {
            let node = nodes.get(*node);
            if (*always || node.null_count() > 0)
                && buffers.get(*buffer).length() < (node.length() + 7) / 8
            {
                return Err("a bitmap is shorter than its column".into());
            }
        }
        Ok(())
    }
}

fn parse(input: impl Read, fps: f64) -> Result<FeatureFile, String> {
    let reader =
        StreamReader::try_new(input, None).map_err(|e| format!("not an Arrow stream: {e}"))?;
    check_schema(&reader.schema())?;
    let schema = reader.schema();
    let word = |key: &str| schema.metadata().get(key).cloned();
    // Files that proact wrote say where they are from; ProAssist's do not.
    let fps = match word(FPS) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("metadata `{FPS}` is `{text}`: expected a number"))?,
        None => fps,
    };
    let mut file = FeatureFile {
        encoder_sha256: word(ENCODER).unwrap_or_default(),
        preprocess: word(PREPROCESS).unwrap_or_default(),
        fps,
        ..FeatureFile::default()
    };
    for batch in reader {
        append(
            &mut file,
            &batch.map_err(|e| format!("a broken record batch: {e}"))?,
        )?;
    }
    if file.dim == 0 {
        return Err("no frames".into());
    }
    file.check()?;
    Ok(file)
}

fn check_schema(schema: &Schema) -> Result<(), String> {
    let mut seen = false;
    for field in schema.fields() {
        let ours = field.name() == "cls" || Grid::ALL.iter().any(|g| g.name() == field.name());
        seen |= field.name() == "cls";
        if ours && !is_numbers(field.data_type(), DEPTH_MAX) {
            return Err(format!(
                "column `{}` is of type {}: expected (lists of) f16 or f32",
                field.name(),
                field.data_type()
            ));
        }
    }
    if seen {
        Ok(())
    } else {
        Err("column `cls` is missing: not a feature file".into())
    }
}

fn is_numbers(kind: &DataType, depth: usize) -> bool {
    match kind {
        DataType::Float16 | DataType::Float32 => true,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
            depth > 0 && is_numbers(f.data_type(), depth - 1)
        }
        _ => false,
    }
}

fn append(file: &mut FeatureFile, batch: &RecordBatch) -> Result<(), String> {
    let frames = file.frames();
    if frames + batch.num_rows() > FRAMES_MAX {
        return Err(format!("more than {FRAMES_MAX} frames"));
    }
    let mut row_values = Vec::new();
    let grids = Grid::ALL.map(|grid| (grid.name(), grid.vectors(), Some(grid)));
    for (name, vectors, grid) in [("cls", 1, None)].into_iter().chain(grids) {
        let Some(column) = batch.column_by_name(name) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            row_values.clear();
            flatten(&column.slice(row, 1), &mut row_values)
                .map_err(|why| format!("{name}: frame {}: {why}", frames + row))?;
            if file.dim == 0 {
                file.dim = row_values.len();
            }
            if row_values.len() != vectors * file.dim || row_values.is_empty() {
                return Err(format!(
                    "{name}: frame {}: {} numbers, expected {vectors} x {}",
                    frames + row,
                    row_values.len(),
                    file.dim
                ));
            }
            let values = match grid {
                None => &mut file.cls,
                Some(grid) => file.grids.entry(grid).or_default(),
            };
            if (values.len() as u64).saturating_mul(4) > BYTES_MAX {
                return Err(format!("{name}: more than {BYTES_MAX} bytes"));
            }
            values.extend_from_slice(&row_values);
        }
    }
    Ok(())
}

/// Appends every number of an array of (lists of) floats.
fn flatten(array: &dyn Array, out: &mut Vec<f32>) -> Result<(), String> {
    if array.null_count() > 0 {
        return Err("an empty value".into());
    }
    if out.len() > DIM_MAX * Grid::Five.vectors() {
        return Err("too many numbers".into());
    }
    match array.data_type() {
        DataType::Float16 => out.extend(
            array
                .as_primitive::<Float16Type>()
                .values()
                .iter()
                .map(|v| v.to_f32()),
        ),
        DataType::Float32 => out.extend(array.as_primitive::<Float32Type>().values().iter()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (0..list.len()).try_for_each(|i| flatten(&list.value(i), out))?;
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            (0..list.len()).try_for_each(|i| flatten(&list.value(i), out))?;
        }
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list();
            (0..list.len()).try_for_each(|i| flatten(&list.value(i), out))?;
        }
        other => return Err(format!("type {other}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow_array::builder::{FixedSizeListBuilder, Float16Builder, Float32Builder, ListBuilder};
    use arrow_array::{ArrayRef, BooleanArray, StringArray};
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::Field as SchemaField;
    use half::f16;

    use super::*;

    fn value(frame: usize, vector: usize, i: usize) -> f32 {
        ((frame * 31 + vector * 7 + i) % 32) as f32 / 4.0
    }

    fn stream(batches: &[Vec<(&str, ArrayRef)>]) -> Vec<u8> {
        let fields: Vec<SchemaField> = batches[0]
            .iter()
            .map(|(n, a)| SchemaField::new(*n, a.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        for batch in batches {
            let columns = batch.iter().map(|(_, a)| a.clone()).collect();
            writer
                .write(&RecordBatch::try_new(schema.clone(), columns).unwrap())
                .unwrap();
        }
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    /// ProAssist's column: a list (rows) of lists (vectors) of f16.
    fn nested(frames: std::ops::Range<usize>, vectors: usize, dim: usize) -> ArrayRef {
        let mut rows = ListBuilder::new(ListBuilder::new(Float16Builder::new()));
        for frame in frames {
            for vector in 0..vectors {
                (0..dim).for_each(|i| {
                    rows.values()
                        .values()
                        .append_value(f16::from_f32(value(frame, vector, i)))
                });
                rows.values().append(true);
            }
            rows.append(true);
        }
        Arc::new(rows.finish())
    }

    /// Hugging Face's `Array2D`-free variant of the FK files: one list of f32 a row.
    fn flat(frames: usize, dim: usize) -> ArrayRef {
        let mut rows = FixedSizeListBuilder::new(Float32Builder::new(), dim as i32);
        for frame in 0..frames {
            (0..dim).for_each(|i| rows.values().append_value(value(frame, 0, i)));
            rows.append(true);
        }
        Arc::new(rows.finish())
    }

    fn parse_bytes(bytes: &[u8]) -> Result<FeatureFile, String> {
        check_messages(&mut Cursor::new(bytes), bytes.len() as u64)?;
        parse(bytes, 2.0)
    }

    #[test]
    fn proassist_streams_are_read_over_several_batches() {
        let batch = |frames: std::ops::Range<usize>| {
            let names: ArrayRef = Arc::new(StringArray::from_iter_values(
                frames.clone().map(|k| k.to_string()),
            ));
            vec![
                ("name", names),
                ("cls", nested(frames.clone(), 1, 6)),
                ("2x2", nested(frames, 4, 6)),
            ]
        };
        let file = parse_bytes(&stream(&[batch(0..3), batch(3..5)])).unwrap();
        assert_eq!((file.frames(), file.dim, file.fps), (5, 6, 2.0));
        let tokens = file
            .tokens(4, proact::features::TokenLayout(Some(Grid::Two)))
            .unwrap();
        let expected: Vec<f32> = (0..6)
            .map(|i| value(4, 0, i))
            .chain((0..4).flat_map(|v| (0..6).map(move |i| value(4, v, i))))
            .collect();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn the_flat_float_variant_is_read() {
        let file = parse_bytes(&stream(&[vec![("cls", flat(3, 5))]])).unwrap();
        assert_eq!((file.frames(), file.dim), (3, 5));
        assert_eq!(
            file.cls[5..10],
            (0..5).map(|i| value(1, 0, i)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn wrong_columns_are_named() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert!(
            parse_bytes(&stream(&[vec![("x", names.clone())]]))
                .unwrap_err()
                .contains("`cls` is missing")
        );
        assert!(
            parse_bytes(&stream(&[vec![("cls", names)]]))
                .unwrap_err()
                .contains("`cls`")
        );
        let why = parse_bytes(&stream(&[vec![
            ("cls", nested(0..2, 1, 4)),
            ("2x2", nested(0..2, 3, 4)),
        ]]))
        .unwrap_err();
        assert!(why.contains("2x2: frame 0"), "{why}");
    }

    #[test]
    fn a_stream_cut_short_is_an_error_or_whole() {
        let good = stream(&[vec![
            ("cls", nested(0..3, 1, 4)),
            ("2x2", nested(0..3, 4, 4)),
        ]]);
        for n in 0..good.len() {
            // Only the end mark may be missing.
            if let Ok(file) = parse_bytes(&good[..n]) {
                assert_eq!(file.frames(), 3, "cut at {n}");
            }
        }
    }

    #[test]
    fn hostile_streams_are_errors_or_sound() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let goods = [
            stream(&[vec![
                ("cls", nested(0..3, 1, 4)),
                ("2x2", nested(0..3, 4, 4)),
            ]]),
            stream(&[vec![("cls", flat(3, 5)), ("name", names), ("flag", flags)]]),
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % below
        };
        let mut sound = 0;
        for run in 0..40_000 {
            let mut bytes = goods[run % 2].clone();
            for _ in 0..1 + random(4) {
                let i = random(bytes.len());
                bytes[i] = [0, 0xff, bytes[i].wrapping_add(1), random(256) as u8][random(4)];
            }
            if let Ok(file) = parse_bytes(&bytes) {
                assert!(file.check().is_ok());
                sound += 1;
            }
        }
        assert!(
            (1_000..39_000).contains(&sound),
            "{sound} of 40000 were let through"
        );
    }
}
