//! The tensors of a PyTorch checkpoint (`.bin`, `.pt`): a zip of raw numbers and a pickle that says
//! where each tensor lies.
//!
//! Pickle is a program. This reads it as data: the few instructions that a state dict is made of,
//! and calls of four named functions whose meaning is known here. Whatever else a file asks for is
//! refused by name, and nothing is run, so a hostile file can do no more than be refused.
//! `candle_core::pickle` does not run code either, but it indexes lists without looking and copies
//! what it remembers, which a small file can make endless.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::shards::Place;
use proact::error::{Error, Result};

/// Bytes of a pickle at most; an 8B model's has 40 KiB.
const PICKLE_BYTES_MAX: u64 = 64 << 20;
/// Values within values at most.
const DEPTH_MAX: usize = 64;
/// Nested names (`{"model": {"state_dict": …}}`) that lead to the tensors.
const WRAPPERS: &[&str] = &["state_dict", "model", "module"];

/// A value, as far as a state dict needs any.
#[derive(Clone)]
enum Item {
    /// Numbers with a fraction, and whatever else is never looked at.
    Other,
    Integer(i64),
    Text(Rc<str>),
    Global(Rc<str>),
    Tuple(Rc<[Item]>, usize),
    List(usize),
    Dict(Rc<RefCell<Vec<(Item, Item)>>>),
    Storage(Rc<Storage>),
    Tensor(Rc<StoredTensor>),
    Mark,
}

struct Storage {
    dtype: Dtype,
    key: Rc<str>,
    values: usize,
}

struct StoredTensor {
    storage: Rc<Storage>,
    offset: usize,
    shape: Vec<usize>,
}

/// Where each tensor's bytes lie in the file.
///
/// # Errors
/// The file is no checkpoint of PyTorch 1.6 or later; its pickle asks for anything but tensors; a
/// tensor lies outside of its storage, or not row by row.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Place>> {
    let fail = |why: String| Error::format(path, why);
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| {
        fail(format!(
            "{e}: expected a checkpoint of PyTorch 1.6 or later, which is a zip file"
        ))
    })?;
    let mut entries: HashMap<String, (u64, u64)> = HashMap::new();
    let mut program = None;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|e| fail(e.to_string()))?;
        let name = entry.name().map_err(|e| fail(e.to_string()))?.into_owned();
        if name.ends_with("/data.pkl") || name == "data.pkl" {
            if program.is_some() || entry.size() > PICKLE_BYTES_MAX {
                return Err(fail(format!(
                    "{name}: {} bytes, expected one such entry of at most {PICKLE_BYTES_MAX}",
                    entry.size()
                )));
            }
            let mut bytes = Vec::new();
            (&mut entry)
                .take(PICKLE_BYTES_MAX)
                .read_to_end(&mut bytes)
                .map_err(Error::io(path))?;
            program = Some((name.trim_end_matches("data.pkl").to_owned(), bytes));
        } else if name.ends_with("/byteorder") {
            let mut order = String::new();
            (&mut entry)
                .take(16)
                .read_to_string(&mut order)
                .map_err(Error::io(path))?;
            if order != "little" {
                return Err(fail(format!("{name}: found {order:?}, expected little")));
            }
        } else if name.contains("data/") {
            if entry.compression() != CompressionMethod::Stored {
                return Err(fail(format!(
                    "{name}: compressed, expected stored as PyTorch writes it"
                )));
            }
            let start = entry
                .data_start()
                .ok_or_else(|| fail(format!("{name}: has no data")))?;
            entries.insert(name, (start, entry.size()));
        }
    }
    let (folder, program) = program
        .ok_or_else(|| fail("found no data.pkl, expected a checkpoint of PyTorch".into()))?;
    let tensors = Machine {
        bytes: &program,
        at: 0,
        stack: Vec::new(),
        memo: HashMap::new(),
    }
    .run()
    .map_err(&fail)?;
    let place = |(name, found): (String, Rc<StoredTensor>)| {
        let key = format!("{folder}data/{}", found.storage.key);
        let &(start, length) = entries
            .get(&key)
            .ok_or_else(|| format!("tensor `{name}`: found no {key}"))?;
        let place = locate(&found, start, length).ok_or_else(|| {
            format!(
                "tensor `{name}`: {:?} from {} on does not fit {key} of {length} bytes",
                found.shape, found.offset
            )
        })?;
        Ok::<_, String>((name, place))
    };
    tensors
        .into_iter()
        .map(place)
        .collect::<Result<_, _>>()
        .map_err(fail)
}

/// Bytes of a tensor within its storage.
fn locate(found: &StoredTensor, start: u64, length: u64) -> Option<Place> {
    let size = found.storage.dtype.bitsize() as u64 / 8;
    let values = found
        .shape
        .iter()
        .try_fold(1u64, |n, &d| n.checked_mul(d as u64))?;
    let first = (found.offset as u64).checked_mul(size)?;
    let bytes = values.checked_mul(size)?;
    let end = first.checked_add(bytes)?;
    if end > length || end > (found.storage.values as u64).checked_mul(size)? {
        return None;
    }
    Some(Place {
        file: 0,
        shape: found.shape.clone(),
        dtype: found.storage.dtype,
        start: start.checked_add(first)?,
        bytes,
    })
}

/// Reads the instructions.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    memo: HashMap<usize, Item>,
}

type Step<T> = std::result::Result<T, String>;

impl Machine<'_> {
    fn run(mut self) -> Step<BTreeMap<String, Rc<StoredTensor>>> {
        loop {
            let at = self.at;
            let code = self.take(1)?[0];
            if code == b'.' {
                let top = self.pop()?;
                return tensors_of(top);
            }
            self.step(code)
                .map_err(|why| format!("data.pkl: byte {at}: {why}"))?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        let item = match code {
            0x80 => return self.take(1).map(|_| ()), // version
            0x95 => return self.take(8).map(|_| ()), // frame
            b'(' => Item::Mark,
            b'N' | 0x88 | 0x89 => Item::Other,
            b'G' => self.take(8).map(|_| Item::Other)?,
            b'K' => Item::Integer(self.number(1)? as i64),
            b'M' => Item::Integer(self.number(2)? as i64),
            b'J' => Item::Integer(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b'c' => Item::Global(format!("{}.{}", self.line()?, self.line()?).into()),
            0x93 => match (self.pop()?, self.pop()?) {
                (Item::Text(name), Item::Text(module)) => {
                    Item::Global(format!("{module}.{name}").into())
                }
                _ => return Err("a name of something that is no text".into()),
            },
            b'q' | b'r' | 0x94 => return self.remember(code),
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b')' => tuple(Vec::new())?,
            0x85 => self.tuple_of(1)?,
            0x86 => self.tuple_of(2)?,
            0x87 => self.tuple_of(3)?,
            b't' => {
                let items = self.down_to_mark()?;
                tuple(items)?
            }
            b']' => Item::List(0),
            b'}' => Item::Dict(Rc::default()),
            b'a' => return self.append(1),
            b'e' => {
                let count = self.down_to_mark()?.len();
                return self.append_count(count);
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set(vec![key, value]);
            }
            b'u' => {
                let items = self.down_to_mark()?;
                return self.set(items);
            }
            b'd' => {
                let items = self.down_to_mark()?;
                self.stack.push(Item::Dict(Rc::default()));
                return self.set(items);
            }
            b'Q' => storage(&self.pop()?)?,
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                call(&function, &arguments)?
            }
            // What is built onto an ordered dict: `_metadata`, versions of modules.
            b'b' => return self.pop().map(|_| ()),
            other => {
                return Err(format!(
                    "instruction {other:#04x}, which no state dict needs"
                ));
            }
        };
        self.stack.push(item);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self
            .at
            .checked_add(count)
            .filter(|&end| end <= self.bytes.len())
            .ok_or("data.pkl ends early")?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, count: usize) -> Step<u64> {
        Ok(self
            .take(count)?
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// A signed integer of up to 8 bytes.
    fn long(&mut self) -> Step<Item> {
        let count = self.number(1)? as usize;
        if count > 8 {
            return Err(format!("an integer of {count} bytes"));
        }
        let value = self.number(count)?;
        let unused = 64 - 8 * count as u32;
        Ok(Item::Integer(if count == 0 {
            0
        } else {
            (value << unused) as i64 >> unused
        }))
    }

    fn text(&mut self, width: usize) -> Step<Item> {
        let count = usize::try_from(self.number(width)?).map_err(|e| e.to_string())?;
        let text = std::str::from_utf8(self.take(count)?).map_err(|e| e.to_string())?;
        Ok(Item::Text(text.into()))
    }

    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or("a name without an end")?;
        let line = std::str::from_utf8(&rest[..end])
            .map_err(|e| e.to_string())?
            .to_owned();
        self.at += end + 1;
        Ok(line)
    }

    fn pop(&mut self) -> Step<Item> {
        self.stack
            .pop()
            .ok_or_else(|| "takes more than there is".into())
    }

    fn down_to_mark(&mut self) -> Step<Vec<Item>> {
        let mark = self
            .stack
            .iter()
            .rposition(|item| matches!(item, Item::Mark))
            .ok_or("a list without a beginning")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn tuple_of(&mut self, count: usize) -> Step<Item> {
        let from = self
            .stack
            .len()
            .checked_sub(count)
            .ok_or("takes more than there is")?;
        tuple(self.stack.split_off(from))
    }

    fn remember(&mut self, code: u8) -> Step<()> {
        let key = match code {
            b'q' => self.number(1)? as usize,
            b'r' => self.number(4)? as usize,
            _ => self.memo.len(),
        };
        let top = self.stack.last().ok_or("remembers nothing")?.clone();
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, width: usize) -> Step<Item> {
        let key = self.number(width)? as usize;
        self.memo
            .get(&key)
            .cloned()
            .ok_or_else(|| format!("recalls {key}, which was never remembered"))
    }

    fn append(&mut self, count: usize) -> Step<()> {
        for _ in 0..count {
            self.pop()?;
        }
        self.append_count(count)
    }

    /// Lists are only counted: none is part of a tensor.
    fn append_count(&mut self, count: usize) -> Step<()> {
        match self.stack.last_mut() {
            Some(Item::List(length)) => *length += count,
            _ => return Err("appends to something that is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Item>) -> Step<()> {
        let Some(Item::Dict(dict)) = self.stack.last() else {
            return Err("sets a key of something that is no dict".into());
        };
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if matches!(value, Item::Dict(_)) && depth_of(&value, 0) >= DEPTH_MAX {
                return Err(format!("more than {DEPTH_MAX} dicts within dicts"));
            }
            dict.borrow_mut().push((key, value));
        }
        Ok(())
    }
}

/// How deep dicts lie in a dict; stops at the bound, so that one within itself ends too.
fn depth_of(item: &Item, from: usize) -> usize {
    let Item::Dict(dict) = item else { return from };
    if from >= DEPTH_MAX {
        return from;
    }
    let Ok(dict) = dict.try_borrow() else {
        return DEPTH_MAX;
    };
    // Only wrappers hold dicts, a few at most; the first is as good as any.
    dict.iter()
        .find(|(_, value)| matches!(value, Item::Dict(_)))
        .map_or(from, |(_, value)| depth_of(value, from + 1))
}

fn tuple(items: Vec<Item>) -> Step<Item> {
    let depth = items
        .iter()
        .map(|item| {
            if let Item::Tuple(_, depth) = item {
                *depth
            } else {
                0
            }
        })
        .max()
        .unwrap_or(0)
        + 1;
    match depth > DEPTH_MAX {
        true => Err(format!("more than {DEPTH_MAX} tuples within tuples")),
        false => Ok(Item::Tuple(items.into(), depth)),
    }
}

/// `('storage', torch.FloatStorage, key, device, values)`.
fn storage(id: &Item) -> Step<Item> {
    let parts: &[Item] = match id {
        Item::Tuple(parts, _) => parts,
        _ => &[],
    };
    let [
        Item::Text(_),
        Item::Global(kind),
        Item::Text(key),
        _,
        Item::Integer(values),
    ] = parts
    else {
        return Err("a storage that is not described as PyTorch does".into());
    };
    let dtype = match &**kind {
        "torch.FloatStorage" => Dtype::F32,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::BF16,
        "torch.DoubleStorage" => Dtype::F64,
        "torch.LongStorage" => Dtype::I64,
        other => return Err(format!("found {other}, expected a storage of floats")),
    };
    let values = usize::try_from(*values).map_err(|e| e.to_string())?;
    Ok(Item::Storage(Rc::new(Storage {
        dtype,
        key: key.clone(),
        values,
    })))
}

/// The calls whose meaning is known; none is made.
fn call(function: &Item, arguments: &Item) -> Step<Item> {
    let (Item::Global(name), Item::Tuple(arguments, _)) = (function, arguments) else {
        return Err("calls something that has no name".into());
    };
    match (&**name, &arguments[..]) {
        ("collections.OrderedDict", []) => Ok(Item::Dict(Rc::default())),
        (
            "torch._utils._rebuild_tensor_v2",
            [
                Item::Storage(storage),
                Item::Integer(offset),
                shape,
                strides,
                ..,
            ],
        ) => {
            let (shape, strides) = (sizes(shape)?, sizes(strides)?);
            let mut expected = 1usize;
            for (&size, &stride) in shape.iter().zip(&strides).rev() {
                if size != 1 && stride != expected {
                    return Err(format!(
                        "a tensor {shape:?} with strides {strides:?}, expected one row after the other"
                    ));
                }
                expected = expected
                    .checked_mul(size)
                    .ok_or("a tensor that no memory holds")?;
            }
            let offset = usize::try_from(*offset).map_err(|e| e.to_string())?;
            if shape.len() != strides.len() {
                return Err("a tensor with more sizes than strides, or fewer".into());
            }
            Ok(Item::Tensor(Rc::new(StoredTensor {
                storage: storage.clone(),
                offset,
                shape,
            })))
        }
        ("torch._utils._rebuild_parameter", [tensor @ Item::Tensor(_), ..]) => Ok(tensor.clone()),
        ("torch._tensor._rebuild_from_type_v2", [function, _, arguments, ..]) => {
            call(function, arguments)
        }
        (other, _) => Err(format!(
            "calls {other}, expected only tensors; nothing was run"
        )),
    }
}

fn sizes(item: &Item) -> Step<Vec<usize>> {
    let Item::Tuple(items, _) = item else {
        return Err("sizes that are no tuple".into());
    };
    let size = |item: &Item| match item {
        Item::Integer(n) => usize::try_from(*n).map_err(|e| e.to_string()),
        _ => Err("a size that is no integer".into()),
    };
    items.iter().map(size).collect()
}

/// The tensors of the dict, or of the one dict in it that holds them.
fn tensors_of(top: Item) -> Step<BTreeMap<String, Rc<StoredTensor>>> {
    let Item::Dict(dict) = top else {
        return Err("data.pkl: found no dict, expected a state dict".into());
    };
    let mut dict = dict;
    for _ in 0..DEPTH_MAX {
        let inner = dict
            .borrow()
            .iter()
            .find_map(|(key, value)| match (key, value) {
                (Item::Text(key), Item::Dict(inner)) if WRAPPERS.contains(&&**key) => {
                    Some(inner.clone())
                }
                _ => None,
            });
        match inner {
            Some(inner) => dict = inner,
            None => break,
        }
    }
    let mut tensors = BTreeMap::new();
    for (key, value) in dict.borrow().iter() {
        let (Item::Text(name), Item::Tensor(found)) = (key, value) else {
            let name = if let Item::Text(name) = key {
                name
            } else {
                "?"
            };
            return Err(format!(
                "data.pkl: {name:?} is no tensor, expected a state dict"
            ));
        };
        if tensors.insert(name.to_string(), found.clone()).is_some() {
            return Err(format!("data.pkl: tensor `{name}` stands there twice"));
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    /// A checkpoint of one pickle and one storage of eight f32.
    fn checkpoint(program: &[u8]) -> Result<BTreeMap<String, Place>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", stored).unwrap();
        zip.write_all(program).unwrap();
        zip.start_file("archive/data/0", stored).unwrap();
        zip.write_all(&[0; 32]).unwrap();
        zip.finish().unwrap();
        read(&path)
    }

    /// `{name: tensor}` as torch.save writes it: offset, sizes and strides of one byte each.
    fn state(name: &str, offset: u8, sizes: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
        let text = |t: &str| [b"X", &(t.len() as u32).to_le_bytes()[..], t.as_bytes()].concat();
        let pair = |p: [u8; 2]| vec![b'K', p[0], b'K', p[1], 0x86];
        let mut out = vec![0x80, 2, b'}'];
        out.extend(text(name));
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        out.extend(text("storage"));
        out.extend(b"ctorch\nFloatStorage\n");
        out.extend(
            [
                text("0"),
                text("cpu"),
                vec![b'K', 8, b't', b'Q', b'K', offset],
                pair(sizes),
                pair(strides),
            ]
            .concat(),
        );
        out.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
        out
    }

    fn refused(program: &[u8], words: &[&str]) {
        let why = checkpoint(program).unwrap_err().to_string();
        assert!(
            words.iter().all(|word| why.contains(word)),
            "{why:?} does not say {words:?}"
        );
    }

    #[test]
    fn tensors_are_found_where_they_lie() {
        let found = checkpoint(&state("a.weight", 2, [2, 3], [3, 1])).unwrap();
        let place = &found["a.weight"];
        assert_eq!(
            (place.shape.as_slice(), place.dtype, place.bytes),
            (&[2, 3][..], Dtype::F32, 24)
        );
    }

    /// tests/data/make_pickled.py: types, a parameter, a view into a shared storage.
    #[test]
    fn what_pytorch_saved_is_read_as_it_was() {
        let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/data");
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            data.join("pickled.bin"),
            folder.path().join("pytorch_model.bin"),
        )
        .unwrap();
        let shards = super::super::shards::Shards::open(folder.path(), "model").unwrap();
        let truth = std::fs::read_to_string(data.join("pickled.json")).unwrap();
        let truth: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&truth).unwrap();
        assert_eq!(shards.names().count(), truth.len());
        for (name, expected) in &truth {
            let shape: Vec<usize> = expected["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d.as_u64().unwrap() as usize)
                .collect();
            assert_eq!(shards.info(name).unwrap().0, shape, "{name}");
            let values: Vec<f32> = expected["values"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap() as f32)
                .collect();
            assert_eq!(shards.whole(name).unwrap(), values, "{name}");
        }
    }

    #[test]
    fn nothing_is_run_and_what_is_asked_for_is_named() {
        refused(
            b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.",
            &["os.system", "nothing was run"],
        );
        refused(
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            &["builtins.eval", "nothing was run"],
        );
        refused(b"(cos\nsystem\no.", &["instruction 0x6f"]);
        refused(
            b"\x80\x02}X\x01\0\0\0akcos\nsystem\n.",
            &["instruction 0x6b"],
        );
        refused(b"\x80\x02K\x01.", &["expected a state dict"]);
        refused(b"\x80\x02}X\x01\0\0\0aK\x01s.", &["\"a\" is no tensor"]);
    }

    #[test]
    fn tensors_outside_of_their_storage_are_refused() {
        refused(
            &state("a", 3, [2, 3], [3, 1]),
            &["tensor `a`", "does not fit"],
        );
        refused(
            &state("a", 0, [255, 255], [255, 1]),
            &["tensor `a`", "does not fit"],
        );
        refused(&state("a", 0, [3, 2], [1, 3]), &["strides"]);
    }

    #[test]
    fn endless_and_broken_programs_end_with_an_error() {
        // Tuples within tuples; what is remembered, doubled again and again; a dict within itself.
        refused(
            &[vec![b')'], vec![0x85; 1 << 20], vec![b'.']].concat(),
            &["tuples within tuples"],
        );
        let doubled = [
            vec![b')', b'q', 0],
            [b'h', 0, b'h', 0, 0x86, b'q', 0].repeat(1000),
            vec![b'.'],
        ]
        .concat();
        refused(&doubled, &["tuples within tuples"]);
        refused(b"}q\0X\x05\0\0\0modelh\0s.", &["\"model\" is no tensor"]);
        let sound = state("a.weight", 2, [2, 3], [3, 1]);
        for at in 0..sound.len() {
            let _ = checkpoint(&sound[..at]);
            for byte in [0, 0x7f, 0xff, b'R', b'h', b't'] {
                let mut bytes = sound.clone();
                bytes[at] = byte;
                let _ = checkpoint(&bytes);
            }
        }
    }
}
