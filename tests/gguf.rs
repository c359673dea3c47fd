//! GGUF at the door: hostile files get the right fault, sound ones come back as they were written.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file;
use proact::error::Error;
use proact::model::gguf::header::{self, BrokenRule, Rule};
use proact::model::gguf::{GgmlType, GgufFile, Header, MetaValue};
use proact::model::weights::Stored;
use proact_lab::quant::write::{Planned, Writer};
use proact_lab::quant::{Recipe, set_metadata};
use proptest::prelude::*;

// ---------------------------------------------------------------------------------------------------------------------
// Crafting files byte by byte.

const U8: u32 = 0;
const U32: u32 = 4;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;
const F32: u32 = 0;
const Q4_0: u32 = 2;
const Q4_K: u32 = 12;

/// A file in the making; every field can be a lie.
#[derive(Clone)]
struct Crafted {
    magic: [u8; 4],
    version: u32,
    tensor_count: Option<u64>,
    pair_count: Option<u64>,
    pairs: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
    data_bytes: usize,
    trailing: usize,
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

fn pair(key: &[u8], ty: u32, value: &[u8]) -> Vec<u8> {
    [&text(key)[..], &ty.to_le_bytes(), value].concat()
}

fn array(item: u32, count: u64, items: &[u8]) -> Vec<u8> {
    [&item.to_le_bytes()[..], &count.to_le_bytes(), items].concat()
}

/// `dims` in the file's order: the length of a row first.
fn record(name: &[u8], dims: &[u64], ty: u32, offset: u64) -> Vec<u8> {
    let mut out = text(name);
    out.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
    out.extend(ty.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out
}

impl Crafted {
    /// Two small tensors and a few keys: sound.
    fn sound() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            pair_count: None,
            pairs: vec![
                pair(b"general.architecture", STRING, &text(b"dstproact")),
                pair(b"some.flag", BOOL, &[1]),
                pair(
                    b"some.numbers",
                    ARRAY,
                    &array(U32, 3, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]),
                ),
            ],
            records: vec![
                record(b"a", &[4, 2], F32, 0),
                record(b"b", &[32, 2], Q4_0, 32),
            ],
            data_bytes: 32 + 36,
            trailing: 0,
        }
    }

    fn pairs(mut self, pairs: Vec<Vec<u8>>) -> Self {
        self.pairs = pairs;
        self
    }

    fn records(mut self, records: Vec<Vec<u8>>) -> Self {
        self.records = records;
        self
    }

    fn data(mut self, bytes: usize) -> Self {
        self.data_bytes = bytes;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(
            self.tensor_count
                .unwrap_or(self.records.len() as u64)
                .to_le_bytes(),
        );
        out.extend(
            self.pair_count
                .unwrap_or(self.pairs.len() as u64)
                .to_le_bytes(),
        );
        out.extend(self.pairs.concat());
        out.extend(self.records.concat());
        out.resize(out.len().next_multiple_of(32), 0);
        out.resize(out.len() + self.data_bytes, 0x3c);
        out.resize(out.len() + self.trailing, 0xff);
        out
    }
}

fn rule_of(bytes: &[u8]) -> Option<Rule> {
    Header::parse(bytes)
        .err()
        .map(|broken: BrokenRule| broken.rule)
}

// ---------------------------------------------------------------------------------------------------------------------
// Hostile files.

#[test]
fn the_sound_file_is_read() {
    let bytes = Crafted::sound().bytes();
    let header = Header::parse(&bytes).unwrap();
    assert_eq!(
        (header.version, header.alignment, header.tensors.len()),
        (3, 32, 2)
    );
    let (_, numbers) = &header.metadata[2];
    assert_eq!(
        *numbers,
        MetaValue::Array(vec![
            MetaValue::U32(1),
            MetaValue::U32(2),
            MetaValue::U32(3)
        ])
    );
    let (a, b) = (&header.tensors[0], &header.tensors[1]);
    assert_eq!(
        (a.shape.as_slice(), a.len),
        (&[2, 4][..], 32),
        "row-major: reversed"
    );
    assert_eq!((b.ty, b.len, b.start), (GgmlType::Q4_0, 36, a.start + 32));
    assert_eq!(b.start + b.len, bytes.len());
    let second = Crafted {
        version: 2,
        ..Crafted::sound()
    };
    assert_eq!(
        Header::parse(&second.bytes()).unwrap().tensors,
        header.tensors,
        "version 2 has the same layout"
    );
}

/// One row a lie: what it is called, the file, the rule that must catch it.
#[test]
fn every_lie_is_caught_by_its_rule() {
    let sound = Crafted::sound;
    let alignment = |value: u32| vec![pair(b"general.alignment", U32, &value.to_le_bytes())];
    let one = |dims: &[u64], ty, offset| {
        sound()
            .records(vec![record(b"t", dims, ty, offset)])
            .data(64)
    };
    let key = |bytes: Vec<u8>| sound().pairs(vec![bytes]);
    let nested = |depth: usize| {
        let mut value = array(U8, 1, &[7]);
        (1..depth).for_each(|_| value = array(ARRAY, 1, &value));
        key(pair(b"k", ARRAY, &value))
    };
    let huge = u64::MAX;
    let cases: Vec<(&str, Crafted, Rule)> = vec![
        (
            "other magic",
            Crafted {
                magic: *b"GGJT",
                ..sound()
            },
            Rule::Magic,
        ),
        (
            "big-endian magic",
            Crafted {
                magic: *b"FUGG",
                ..sound()
            },
            Rule::Magic,
        ),
        (
            "version 0",
            Crafted {
                version: 0,
                ..sound()
            },
            Rule::Version,
        ),
        (
            "version 1 counts in 32 bits",
            Crafted {
                version: 1,
                ..sound()
            },
            Rule::Version,
        ),
        (
            "version 4 is not known",
            Crafted {
                version: 4,
                ..sound()
            },
            Rule::Version,
        ),
        (
            "version 3 in big-endian order",
            Crafted {
                version: 3u32.swap_bytes(),
                ..sound()
            },
            Rule::Version,
        ),
        (
            "2^64 - 1 tensors",
            Crafted {
                tensor_count: Some(huge),
                ..sound()
            },
            Rule::Count,
        ),
        (
            "2^64 - 1 keys (CVE-2024-23605)",
            Crafted {
                pair_count: Some(huge),
                ..sound()
            },
            Rule::Count,
        ),
        (
            "one tensor too many",
            Crafted {
                tensor_count: Some(3),
                ..sound()
            },
            Rule::Name,
        ),
        (
            "key without characters",
            key(pair(b"", BOOL, &[1])),
            Rule::Key,
        ),
        (
            "key with a line break",
            key(pair(b"a\nb", BOOL, &[1])),
            Rule::Key,
        ),
        (
            "key of 65536 bytes",
            key(pair(&[b'k'; 65_536], BOOL, &[1])),
            Rule::Key,
        ),
        (
            "key of 2^63 bytes",
            key([&(1u64 << 63).to_le_bytes()[..], b"k"].concat()),
            Rule::Key,
        ),
        (
            "key that is not UTF-8",
            key(pair(b"a\xffb", BOOL, &[1])),
            Rule::Utf8,
        ),
        (
            "two values for a key",
            sound().pairs(vec![pair(b"k", BOOL, &[1]), pair(b"k", BOOL, &[1])]),
            Rule::DuplicateKey,
        ),
        (
            "value type 13",
            key(pair(b"k", 13, &[0; 8])),
            Rule::ValueType,
        ),
        (
            "array of value type 99",
            key(pair(b"k", ARRAY, &array(99, 1, &[0; 8]))),
            Rule::ValueType,
        ),
        ("truth of 2", key(pair(b"k", BOOL, &[2])), Rule::Bool),
        (
            "text that is not UTF-8",
            key(pair(b"k", STRING, &text(b"\xc3\x28"))),
            Rule::Utf8,
        ),
        (
            "text of 2^64 - 1 bytes",
            key(pair(b"k", STRING, &huge.to_le_bytes())),
            Rule::Truncated,
        ),
        (
            "text of 2^40 bytes",
            key(pair(b"k", STRING, &(1u64 << 40).to_le_bytes())),
            Rule::Truncated,
        ),
        (
            "array of 2^64 - 1 texts",
            key(pair(b"k", ARRAY, &array(STRING, huge, &[]))),
            Rule::ArrayLength,
        ),
        (
            "array of 2^61 u64, bytes wrap",
            key(pair(b"k", ARRAY, &array(U64, 1 << 61, &[]))),
            Rule::ArrayLength,
        ),
        (
            "array of 2^60 arrays",
            key(pair(b"k", ARRAY, &array(ARRAY, 1 << 60, &[]))),
            Rule::ArrayLength,
        ),
        (
            "u8 array of a mebibyte and one",
            key(pair(
                b"k",
                ARRAY,
                &array(U8, (1 << 20) + 1, &vec![0; (1 << 20) + 1]),
            )),
            Rule::ArrayLength,
        ),
        (
            "bool array of a mebibyte and one",
            key(pair(
                b"k",
                ARRAY,
                &array(BOOL, (1 << 20) + 1, &vec![0; (1 << 20) + 1]),
            )),
            Rule::ArrayLength,
        ),
        ("arrays five deep", nested(5), Rule::Nesting),
        ("arrays a thousand deep", nested(1000), Rule::Nesting),
        ("alignment 0", sound().pairs(alignment(0)), Rule::Alignment),
        ("alignment 4", sound().pairs(alignment(4)), Rule::Alignment),
        (
            "alignment 48",
            sound().pairs(alignment(48)),
            Rule::Alignment,
        ),
        (
            "alignment 2^31",
            sound().pairs(alignment(0x8000_0000)),
            Rule::Alignment,
        ),
        (
            "alignment 2^32 - 1",
            sound().pairs(alignment(u32::MAX)),
            Rule::Alignment,
        ),
        (
            "alignment as u64",
            sound().pairs(vec![pair(b"general.alignment", U64, &32u64.to_le_bytes())]),
            Rule::Alignment,
        ),
        (
            "alignment as text",
            sound().pairs(vec![pair(b"general.alignment", STRING, &text(b"32"))]),
            Rule::Alignment,
        ),
        (
            "tensor without a name",
            sound().records(vec![record(b"", &[4], F32, 0)]),
            Rule::Name,
        ),
        (
            "tensor name of 65 bytes",
            sound().records(vec![record(&[b'n'; 65], &[4], F32, 0)]),
            Rule::Name,
        ),
        (
            "tensor name with a NUL",
            sound().records(vec![record(b"a\0b", &[4], F32, 0)]),
            Rule::Name,
        ),
        (
            "tensor name that is not UTF-8",
            sound().records(vec![record(b"\x80", &[4], F32, 0)]),
            Rule::Utf8,
        ),
        (
            "two tensors of one name",
            sound()
                .records(vec![
                    record(b"a", &[8], F32, 0),
                    record(b"a", &[8], F32, 32),
                ])
                .data(64),
            Rule::DuplicateTensor,
        ),
        ("no dimensions", one(&[], F32, 0), Rule::Dims),
        ("five dimensions", one(&[1, 1, 1, 1, 1], F32, 0), Rule::Dims),
        ("a dimension of 0", one(&[4, 0], F32, 0), Rule::Dims),
        (
            "2^33 x 2^33 wraps to 0 values (CVE-2026-33298)",
            one(&[1 << 33, 1 << 33], F32, 0),
            Rule::Size,
        ),
        (
            "2^62 values, bytes wrap to 0",
            one(&[1 << 62], F32, 0),
            Rule::Size,
        ),
        (
            "2^32 x 2^31 x 2 values of Q4_K",
            one(&[1 << 32, 1 << 31, 2], Q4_K, 0),
            Rule::Size,
        ),
        (
            "SIZE_MAX/4 values: padding overflows (CVE-2025-53630)",
            one(&[u64::MAX / 4], F32, 0),
            Rule::Size,
        ),
        (
            "SIZE_MAX/4 + 1 values: bytes wrap to 0",
            one(&[u64::MAX / 4 + 1], F32, 0),
            Rule::Size,
        ),
        (
            "2^61 + 8 values: bytes beyond i64",
            one(&[(1 << 61) + 8], F32, 0),
            Rule::Size,
        ),
        (
            "2^40 values in 64 bytes",
            one(&[1 << 40], F32, 0),
            Rule::Range,
        ),
        (
            "type 4, which ggml withdrew",
            one(&[32], 4, 0),
            Rule::TensorType,
        ),
        (
            "type 40, which is no block format",
            one(&[32], 40, 0),
            Rule::TensorType,
        ),
        ("type 2^32 - 1", one(&[32], u32::MAX, 0), Rule::TensorType),
        ("row of 31 in Q4_0", one(&[31], Q4_0, 0), Rule::Row),
        (
            "rows of 128 in Q4_K, 2 rows make a block",
            one(&[128, 2], Q4_K, 0),
            Rule::Row,
        ),
        ("offset 1", one(&[4], F32, 1), Rule::Misaligned),
        ("offset 16", one(&[4], F32, 16), Rule::Misaligned),
        ("offset behind the end", one(&[16], F32, 32), Rule::Range),
        (
            "offset 2^64 - 32: the sum wraps",
            one(&[16], F32, huge - 31),
            Rule::Range,
        ),
        ("offset 2^64 - 1", one(&[16], F32, huge), Rule::Misaligned),
        (
            "two tensors on the same bytes",
            sound()
                .records(vec![
                    record(b"a", &[16], F32, 0),
                    record(b"b", &[8], F32, 32),
                ])
                .data(64),
            Rule::Overlap,
        ),
        (
            "the same, later tensor first",
            sound()
                .records(vec![
                    record(b"b", &[8], F32, 32),
                    record(b"a", &[16], F32, 0),
                ])
                .data(64),
            Rule::Overlap,
        ),
        (
            "one tensor within the other",
            sound()
                .records(vec![
                    record(b"a", &[64], F32, 0),
                    record(b"b", &[8], F32, 64),
                ])
                .data(256),
            Rule::Overlap,
        ),
        (
            "a second file behind the first",
            Crafted {
                trailing: 64,
                ..sound()
            },
            Rule::Trailing,
        ),
    ];
    for (name, crafted, rule) in cases {
        match Header::parse(&crafted.bytes()) {
            Ok(_) => panic!("{name}: accepted"),
            Err(fault) => assert_eq!(fault.rule, rule, "{name}: {fault}"),
        }
    }
}

#[test]
fn dimension_count_of_2_32_is_caught() {
    let mut lie = record(b"t", &[4], F32, 0);
    lie[9..13].copy_from_slice(&u32::MAX.to_le_bytes()); // behind the name of one byte
    assert_eq!(
        rule_of(&Crafted::sound().records(vec![lie]).bytes()),
        Some(Rule::Dims)
    );
}

#[test]
fn limits_themselves_are_within() {
    let key = |bytes: Vec<u8>| Crafted::sound().pairs(vec![bytes]).bytes();
    assert_eq!(rule_of(&key(pair(&[b'k'; 65_535], BOOL, &[1]))), None);
    assert_eq!(
        rule_of(&key(pair(
            b"k",
            ARRAY,
            &array(U8, 1 << 20, &vec![0; 1 << 20])
        ))),
        None
    );
    let four_deep = array(
        ARRAY,
        1,
        &array(ARRAY, 1, &array(ARRAY, 1, &array(U8, 1, &[7]))),
    );
    assert_eq!(rule_of(&key(pair(b"k", ARRAY, &four_deep))), None);
    let long_name = Crafted::sound()
        .records(vec![record(&[b'n'; 64], &[1, 2, 3, 4], F32, 0)])
        .data(96);
    assert_eq!(rule_of(&long_name.bytes()), None);
}

#[test]
fn the_metadata_budget_holds_for_few_large_and_for_many_small_values() {
    let large = vec![b'x'; 33 << 20];
    let two = vec![
        pair(b"a", STRING, &text(&large)),
        pair(b"b", STRING, &text(&large)),
    ];
    assert_eq!(
        rule_of(&Crafted::sound().pairs(two).bytes()),
        Some(Rule::Budget)
    );
    let half = header::ITEMS_MAX / 2 + 1;
    let items = array(STRING, half, &vec![0; half as usize * 8]);
    let many = vec![pair(b"a", ARRAY, &items), pair(b"b", ARRAY, &items)];
    assert_eq!(
        rule_of(&Crafted::sound().pairs(many).bytes()),
        Some(Rule::ArrayLength)
    );
    let keys = (0..65_537u32)
        .map(|i| pair(&i.to_le_bytes().map(|b| b'0' + b % 64), BOOL, &[1]))
        .collect();
    assert_eq!(
        rule_of(&Crafted::sound().pairs(keys).bytes()),
        Some(Rule::Count)
    );
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = Crafted::sound().bytes();
    for end in 0..bytes.len() {
        assert!(
            rule_of(&bytes[..end]).is_some(),
            "cut at {end} of {}",
            bytes.len()
        );
    }
}

#[test]
fn any_single_flipped_bit_is_survived() {
    let mut bytes = Crafted::sound().bytes();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(header) = Header::parse(&bytes) {
            for tensor in &header.tensors {
                assert!(tensor.start + tensor.len <= bytes.len());
            }
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Several bytes overwritten: a fault, or a header whose tensors lie in the file, and a load
    /// that does not panic.
    #[test]
    fn damaged_files_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = Crafted::sound().bytes();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(header) = Header::parse(&bytes) {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("damaged.gguf");
            std::fs::write(&path, &bytes)?;
            let file = GgufFile::open(&path).unwrap();
            for tensor in header.tensors {
                // Types that cannot be computed with are an error, not a panic.
                let _ = file.load(&tensor.name);
            }
        }
    }

    /// Any bytes behind a sound beginning.
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [b"GGUF\x03\0\0\0", &noise[..]].concat();
        prop_assert!(Header::parse(&bytes).is_err() || noise[..16] == [0; 16]);
    }
}

#[test]
fn errors_name_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = GgufFile::open(&path).unwrap_err();
        assert!(
            matches!(&error, Error::Format { path: p, .. } if *p == path),
            "{error}"
        );
        error.to_string()
    };
    let misaligned = Crafted::sound().records(vec![record(b"blk.0.attn_q.weight", &[4], F32, 1)]);
    let message = open("a.gguf", &misaligned.bytes());
    assert!(
        message.ends_with(
            "a.gguf: tensor `blk.0.attn_q.weight`: found offset 1, expected a multiple of 32"
        ),
        "{message}"
    );
    assert!(open("b.gguf", b"").contains("found an empty file"));
    assert!(open("c.gguf", b"GG").contains("magic"));
    assert!(matches!(
        GgufFile::open(folder.path().join("none")),
        Err(Error::Io { .. })
    ));
}

// ---------------------------------------------------------------------------------------------------------------------
// Round trips.

fn all_kinds() -> Vec<(String, MetaValue)> {
    let strings = ["", "a", "ä → ö"].map(|text| MetaValue::String(text.into()));
    [
        (
            "general.architecture",
            MetaValue::String("dstproact".into()),
        ),
        ("k.u8", MetaValue::U8(255)),
        ("k.i8", MetaValue::I8(-128)),
        ("k.u16", MetaValue::U16(65_535)),
        ("k.i16", MetaValue::I16(-32_768)),
        ("k.u32", MetaValue::U32(u32::MAX)),
        ("k.i32", MetaValue::I32(i32::MIN)),
        ("k.u64", MetaValue::U64(u64::MAX)),
        ("k.i64", MetaValue::I64(i64::MIN)),
        ("k.f32", MetaValue::F32(1.5e-6)),
        ("k.f64", MetaValue::F64(std::f64::consts::PI)),
        ("k.bool", MetaValue::Bool(true)),
        ("k.text", MetaValue::String("Zeile\nzwei".into())),
        ("k.texts", MetaValue::Array(strings.to_vec())),
        ("k.floats", MetaValue::Array(vec![MetaValue::F32(0.5); 3])),
        (
            "k.flags",
            MetaValue::Array(vec![MetaValue::Bool(true), MetaValue::Bool(false)]),
        ),
        (
            "k.nested",
            MetaValue::Array(vec![MetaValue::Array(vec![MetaValue::I16(-3)]); 2]),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn planned(name: &str, shape: &[usize], ty: GgmlType) -> Planned {
    Planned {
        name: name.into(),
        shape: shape.into(),
        ty,
    }
}

/// Writes one tensor of each type, blocks filled with a pattern.
fn write_all_types(path: &Path, metadata: &[(String, MetaValue)]) -> Vec<(Planned, Vec<u8>)> {
    let types = [
        GgmlType::F32,
        GgmlType::F16,
        GgmlType::BF16,
        GgmlType::Q8_0,
        GgmlType::Q4_0,
        GgmlType::Q4_1,
        GgmlType::Q5_0,
        GgmlType::Q5_1,
        GgmlType::Q4_K,
        GgmlType::Q5_K,
        GgmlType::Q6_K,
    ];
    let tensors: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(i, ty)| {
            let shape = [[3, 256].to_vec(), [2, 1, 3, 256].to_vec(), [512].to_vec()][i % 3].clone();
            let tensor = planned(&format!("t.{ty}"), &shape, *ty);
            let bytes = (0..tensor.byte_len().unwrap())
                .map(|b| (b * 7 + i as u64) as u8 & 0x3f)
                .collect::<Vec<u8>>();
            (tensor, bytes)
        })
        .collect();
    let mut writer = Writer::create(
        path,
        metadata,
        tensors.iter().map(|(t, _)| t.clone()).collect(),
    )
    .unwrap();
    for (tensor, bytes) in &tensors {
        writer.tensor(&tensor.name, bytes).unwrap();
    }
    writer.finish().unwrap();
    tensors
}

fn scratch(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

#[test]
fn what_is_written_is_read_back_bit_for_bit() {
    let (_folder, path) = scratch("all.gguf");
    let tensors = write_all_types(&path, &all_kinds());
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.header().version, 3);
    assert_eq!(
        file.header().metadata,
        all_kinds(),
        "values, types and order"
    );
    for (tensor, bytes) in &tensors {
        let (info, read) = file.bytes(&tensor.name).unwrap();
        assert_eq!(
            (&info.shape, info.ty, read),
            (&tensor.shape, tensor.ty, &bytes[..])
        );
        let shape = match file.load(&tensor.name).unwrap() {
            Stored::Dense(tensor) => tensor.dims().to_vec(),
            Stored::Quantized(blocks) => {
                assert_eq!(blocks.data().unwrap(), &bytes[..]);
                blocks.shape().dims().to_vec()
            }
        };
        assert_eq!(shape, tensor.shape);
    }
    assert!(
        file.load("t.none")
            .unwrap_err()
            .to_string()
            .contains("tensor `t.none`")
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_and_hash() {
    let (_folder, path) = scratch("a.gguf");
    write_all_types(&path, &all_kinds());
    let first = std::fs::read(&path).unwrap();
    let hash = GgufFile::open(&path).unwrap().sha256();
    write_all_types(&path, &all_kinds());
    assert_eq!(std::fs::read(&path).unwrap(), first);
    assert_eq!(GgufFile::open(&path).unwrap().sha256(), hash);
    set_metadata(&path, &[("k.u8", Some(MetaValue::U8(1)))]).unwrap();
    assert_ne!(GgufFile::open(&path).unwrap().sha256(), hash);
}

#[test]
fn candle_reads_what_is_written() {
    let (_folder, path) = scratch("all.gguf");
    let tensors = write_all_types(&path, &all_kinds());
    let mut bytes = std::io::Cursor::new(std::fs::read(&path).unwrap());
    let content = gguf_file::Content::read(&mut bytes).unwrap();
    assert_eq!(content.metadata.len(), all_kinds().len());
    assert_eq!(
        content.metadata["k.text"].to_string().unwrap(),
        "Zeile\nzwei"
    );
    assert_eq!(content.metadata["k.u64"].to_u64().unwrap(), u64::MAX);
    let texts = content.metadata["k.texts"].to_vec().unwrap();
    assert_eq!(texts[2].to_string().unwrap(), "ä → ö");
    assert_eq!(content.tensor_infos.len(), tensors.len());
    let file = GgufFile::open(&path).unwrap();
    for (tensor, bytes) in &tensors {
        let theirs = &content.tensor_infos[&tensor.name];
        assert_eq!(theirs.shape.dims(), tensor.shape);
        let plain = |name: &str| name.replace('_', "");
        let name = format!("{:?}", theirs.ggml_dtype);
        assert_eq!(plain(&name), plain(tensor.ty.name()));
        let ours = file.tensor(&tensor.name).unwrap();
        assert_eq!(
            content.tensor_data_offset + theirs.offset,
            ours.start as u64
        );
        let blocks = theirs.shape.elem_count() / theirs.ggml_dtype.block_size();
        assert_eq!(blocks * theirs.ggml_dtype.type_size(), bytes.len());
    }
}

#[test]
fn set_metadata_replaces_removes_and_appends_and_leaves_tensors_alone() {
    let (_folder, path) = scratch("a.gguf");
    let tensors = write_all_types(&path, &all_kinds());
    let changes = [
        ("k.f32", Some(MetaValue::F32(0.25))),
        ("k.bool", None),
        ("k.none", None),
        ("k.new", Some(MetaValue::String("later".into()))),
    ];
    set_metadata(&path, &changes).unwrap();
    let file = GgufFile::open(&path).unwrap();
    let keys: Vec<&str> = file
        .header()
        .metadata
        .iter()
        .map(|(key, _)| key.as_str())
        .collect();
    let mut expected: Vec<String> = all_kinds()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| key != "k.bool")
        .collect();
    expected.push("k.new".into());
    assert_eq!(keys, expected);
    assert_eq!(file.metadata("k.f32"), Some(&MetaValue::F32(0.25)));
    for (tensor, bytes) in &tensors {
        assert_eq!(file.bytes(&tensor.name).unwrap().1, &bytes[..]);
    }
}

#[test]
fn an_unfinished_or_failing_write_leaves_the_old_file_and_nothing_else() {
    let (folder, path) = scratch("a.gguf");
    std::fs::write(&path, b"before").unwrap();
    let plan = || {
        vec![
            planned("a", &[4], GgmlType::F32),
            planned("b", &[4], GgmlType::F32),
        ]
    };
    let mut writer = Writer::create(&path, &[], plan()).unwrap();
    writer.tensor("a", &[0; 16]).unwrap();
    assert!(
        writer
            .tensor("a", &[0; 16])
            .unwrap_err()
            .to_string()
            .contains("`b` is due")
    );
    assert!(
        writer
            .tensor("b", &[0; 15])
            .unwrap_err()
            .to_string()
            .contains("15 bytes written, 16 expected")
    );
    assert!(
        writer
            .finish()
            .unwrap_err()
            .to_string()
            .contains("tensor `b` was planned")
    );
    drop(Writer::create(&path, &[], plan()).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    let (folder, path) = scratch("a.gguf");
    let write = |metadata: &[(&str, MetaValue)], plan: Vec<Planned>| {
        let metadata: Vec<_> = metadata
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        let mut writer = Writer::create(&path, &metadata, plan.clone())?;
        plan.iter()
            .try_for_each(|t| writer.tensor(&t.name, &vec![0; t.byte_len()? as usize]))?;
        writer.finish()
    };
    let one = |name: &str, shape: &[usize], ty| vec![planned(name, shape, ty)];
    let mixed = MetaValue::Array(vec![MetaValue::U8(1), MetaValue::I8(1)]);
    for (part, result) in [
        (
            "a name of 64 bytes",
            write(&[], one(&"n".repeat(64), &[4], GgmlType::F32)),
        ),
        (
            "cannot be written as Q8_0",
            write(&[], one("t", &[33], GgmlType::Q8_0)),
        ),
        (
            "found 5 dimensions",
            write(&[], one("t", &[1; 5], GgmlType::F32)),
        ),
        (
            "no dimension of 0",
            write(&[], one("t", &[0], GgmlType::F32)),
        ),
        (
            "records 0 and 1",
            write(
                &[],
                [one("t", &[4], GgmlType::F32), one("t", &[4], GgmlType::F32)].concat(),
            ),
        ),
        (
            "pairs 0 and 1",
            write(&[("k", MetaValue::U8(1)), ("k", MetaValue::U8(2))], vec![]),
        ),
        ("items of different types", write(&[("k", mixed)], vec![])),
        (
            "always aligns to 32",
            write(&[("general.alignment", MetaValue::U32(64))], vec![]),
        ),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn recipes_in_the_folder_are_the_ones_built_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("quantize");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort();
    let mut built_in: Vec<&str> = Recipe::built_in().collect();
    built_in.sort_unstable();
    assert_eq!(files, built_in);
}
