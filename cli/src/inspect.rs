//! `proact inspect`: what is in a model, feature file or event log, after checking it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use safetensors::SafeTensors;
use serde_json::Value;

use super::locate;

use proact::files;
use proact::model::calibration::{Calibration, CurvePoint};
use proact::model::config::{AssistantConfig, VisionConfig};
use proact::model::gguf::{self, GgufFile, MetaValue};
use proact::model::metadata::{ASSISTANT_ARCHITECTURE, VISION_ARCHITECTURE};
use proact_lab::quant::sides;

/// Characters of a metadata value that are shown.
const SHOWN_CHARS: usize = 72;
/// Items of an array that are shown.
const SHOWN_ITEMS: usize = 4;
/// Bytes of a line of an event log.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Bytes that tell the kinds of files apart.
const HEAD_BYTES: usize = 16;

/// Show what is in a model, feature file or event log, and check it
///
/// The kind is told by the content. A GGUF file goes through the strict header pass first: sizes,
/// alignment, offsets, names. For models of this project the hyper-parameters are checked as well.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A .gguf, .safetensors or .jsonl file, or the name of a manifest models/NAME.toml
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// List every tensor with its shape, type and hash
    #[arg(long)]
    tensors: bool,
}

/// Runs the verb.
///
/// # Errors
/// The file is of no known kind, or breaks the rules of its kind.
pub fn run(args: Args) -> anyhow::Result<()> {
    print!(
        "{}",
        describe(&locate::named(args.file)?.model, args.tensors)?
    );
    Ok(())
}

/// The whole output.
fn describe(path: &Path, tensors: bool) -> anyhow::Result<String> {
    let mut head = Vec::new();
    let file = File::open(path).with_context(|| path.display().to_string())?;
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .with_context(|| path.display().to_string())?;
    // A safetensors file begins with the length of its JSON header.
    const JSON_AT: usize = 8;
    match &head[..] {
        head if gguf::has_magic(head) => describe_gguf(path, tensors),
        head if head.get(JSON_AT) == Some(&b'{') => describe_safetensors(path),
        head if head.first() == Some(&b'{') => describe_log(path),
        _ => bail!(
            "{}: expected a GGUF file, a safetensors file or an event log (JSONL)",
            path.display()
        ),
    }
}

fn describe_gguf(path: &Path, all_tensors: bool) -> anyhow::Result<String> {
    let file = GgufFile::open(path)?;
    let header = file.header();
    let mut out = String::new();
    writeln!(
        out,
        "{}: GGUF v{}, {} bytes, sha256 {}",
        path.display(),
        header.version,
        file.byte_len(),
        file.sha256()
    )?;
    writeln!(
        out,
        "the header holds to every rule\n\nmetadata ({} keys)",
        header.metadata.len()
    )?;
    for (key, value) in &header.metadata {
        writeln!(out, "  {key} = {}", shown(&json(value)))?;
    }
    describe_tensors(&mut out, &file, all_tensors)?;
    let look_up = |key: &str| file.metadata(key).cloned();
    let architecture = match file.metadata("general.architecture") {
        Some(MetaValue::String(name)) => Some(name.as_str()),
        _ => None,
    };
    match architecture {
        Some(ASSISTANT_ARCHITECTURE) => {
            describe_assistant(&mut out, &AssistantConfig::from_metadata(&look_up)?)?
        }
        Some(VISION_ARCHITECTURE) if file.metadata("clip.vision.pool_head").is_some() => {
            let config = VisionConfig::from_metadata(&look_up)?;
            writeln!(
                out,
                "\nvision: {0}x{0} pixels, {1} tokens of width {2} a frame",
                config.image_size,
                config.tokens_per_frame(),
                config.embedding_length
            )?;
        }
        _ => writeln!(
            out,
            "\nnot a model of this project: hyper-parameters were not checked"
        )?,
    }
    Ok(out)
}

fn describe_tensors(out: &mut String, file: &GgufFile, all: bool) -> anyhow::Result<()> {
    let mut by_type: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    for tensor in file.tensors() {
        let (count, weights, bytes) = by_type.entry(tensor.ty.name()).or_default();
        *count += 1;
        *weights += tensor.shape.iter().map(|&d| d as u64).product::<u64>();
        *bytes += tensor.len as u64;
    }
    writeln!(out, "\ntensors ({})", file.tensors().len())?;
    if all {
        let width = file
            .tensors()
            .iter()
            .map(|t| t.name.len())
            .max()
            .unwrap_or(0);
        for t in file.tensors() {
            let shape = sides(&t.shape);
            let hash = files::sha256_of_bytes(file.bytes(&t.name)?.1);
            writeln!(
                out,
                "  {:width$}  {:5}  {shape:>16}  {:>11} bytes  sha256 {hash}",
                t.name, t.ty, t.len
            )?;
        }
    }
    for (name, (count, weights, bytes)) in by_type {
        writeln!(
            out,
            "  {name:5}  {count:>5} tensors  {weights:>12} weights  {bytes:>12} bytes"
        )?;
    }
    Ok(())
}

fn describe_assistant(out: &mut String, config: &AssistantConfig) -> anyhow::Result<()> {
    let b = &config.backbone;
    writeln!(
        out,
        "\nassistant: {} blocks of width {}, {} tokens of context, {} vision tokens of width {} a frame, layout {}",
        b.block_count,
        b.embedding_length,
        b.context_length,
        config.tokens_per_frame,
        config.vision_length,
        config.layout.word()
    )?;
    out.push_str(&gates(config));
    match &config.vision {
        Some(vision) => writeln!(out, "sees with {} (sha256 {})", vision.file, vision.sha256)?,
        None => writeln!(out, "names no vision file")?,
    }
    Ok(())
}

/// Both gates' settings, and the curves that they come from.
pub fn gates(config: &AssistantConfig) -> String {
    let mut out = String::new();
    let calibration = config.calibration.as_ref();
    let curves = calibration.map(|c| (&c.speak, &c.dst_update));
    for (name, gate, curve) in [
        ("speak", config.gates.speak, curves.map(|(speak, _)| speak)),
        (
            "dst_update",
            config.gates.dst_update,
            curves.map(|(_, update)| update),
        ),
    ] {
        let (kind, at, rest_s) = (gate.kind, gate.threshold.0, gate.refractory_s);
        let _ = writeln!(
            out,
            "gate {name}: {kind:?} at {at}, hysteresis {}, rests {rest_s} s",
            gate.hysteresis
        );
        for point in curve.into_iter().flatten() {
            let _ = writeln!(out, "{}", curve_line(point, at));
        }
    }
    if let Some(Calibration {
        metric, recordings, ..
    }) = calibration
    {
        let _ = writeln!(
            out,
            "curves: threshold, {}, precision and recall over {recordings} recordings; ◆ chosen",
            shown(&Value::String(metric.clone()))
        );
    }
    out
}

/// Columns of the bar of a score of 1.
const BAR_COLUMNS: f32 = 40.0;

/// A point of a curve: threshold, bar, score, precision, recall.
fn curve_line(point: &CurvePoint, chosen: f32) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (point.score * BAR_COLUMNS * 8.0).round() as usize;
    let bar = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    let mark = if point.threshold == chosen {
        '◆'
    } else {
        ' '
    };
    let share = |value: Option<f32>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let (precision, recall) = (share(point.precision), share(point.recall));
    format!(
        "  {mark} {:<5} {bar:<40} {:.3}  P {precision:<5}  R {recall}",
        point.threshold, point.score
    )
}

/// A metadata value as JSON; what is no finite number is null.
fn json(value: &MetaValue) -> Value {
    match value {
        MetaValue::U8(v) => (*v).into(),
        MetaValue::I8(v) => (*v).into(),
        MetaValue::U16(v) => (*v).into(),
        MetaValue::I16(v) => (*v).into(),
        MetaValue::U32(v) => (*v).into(),
        MetaValue::I32(v) => (*v).into(),
        MetaValue::U64(v) => (*v).into(),
        MetaValue::I64(v) => (*v).into(),
        MetaValue::F32(v) => (*v).into(),
        MetaValue::F64(v) => (*v).into(),
        MetaValue::Bool(v) => (*v).into(),
        MetaValue::String(v) => v.as_str().into(),
        MetaValue::Array(items) => items.iter().map(json).collect(),
    }
}

/// A value on one line, cut to a readable length; control characters escaped, for the file is not
/// trusted.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let first = items
                .iter()
                .take(SHOWN_ITEMS)
                .map(shown)
                .collect::<Vec<_>>()
                .join(", ");
            let more = if items.len() > SHOWN_ITEMS {
                ", …"
            } else {
                ""
            };
            format!("[{first}{more}] ({} items)", items.len())
        }
        Value::String(text) => {
            let cut: String = text.chars().take(SHOWN_CHARS).collect();
            let more = if cut.len() < text.len() {
                format!("… ({} bytes)", text.len())
            } else {
                String::new()
            };
            format!("{cut:?}{more}")
        }
        other => other.to_string(),
    }
}

fn describe_safetensors(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path)?;
    // SAFETY: private and read-only; the file must not be shortened while it is looked at.
    let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| path.display().to_string())?;
    let (_, metadata) =
        SafeTensors::read_metadata(&map).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let mut out = format!("{}: safetensors, {} bytes\n", path.display(), map.len());
    let own: BTreeMap<_, _> = metadata.metadata().iter().flatten().collect();
    writeln!(out, "\nmetadata ({} keys)", own.len())?;
    for (key, value) in own {
        writeln!(out, "  {key} = {}", shown(&Value::String(value.clone())))?;
    }
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    writeln!(out, "\ntensors ({})", tensors.len())?;
    for (name, info) in tensors {
        writeln!(
            out,
            "  {name:?}  {:?}  {:?}  {} bytes",
            info.dtype,
            info.shape,
            info.data_offsets.1 - info.data_offsets.0
        )?;
    }
    Ok(out)
}

/// Counts an event log's lines by type, and shows its first and last time.
fn describe_log(path: &Path) -> anyhow::Result<String> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut first, mut last) = (None, None);
    for number in 1usize.. {
        let mut line = String::new();
        let mut bounded: Take<&mut BufReader<File>> = (&mut reader).take(LINE_BYTES_MAX);
        let read = bounded
            .read_line(&mut line)
            .with_context(|| format!("{}: line {number}", path.display()))?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_BYTES_MAX {
            bail!(
                "{}: line {number}: longer than {LINE_BYTES_MAX} bytes",
                path.display()
            );
        }
        let event: Value = serde_json::from_str(&line)
            .with_context(|| format!("{}: line {number}", path.display()))?;
        let Some(kind) = event["type"].as_str() else {
            bail!(
                "{}: line {number}: no `type`; expected an event log",
                path.display()
            );
        };
        *counts.entry(kind.to_owned()).or_default() += 1;
        if let Some(at) = event["at"].as_f64() {
            first = first.or(Some(at));
            last = Some(at);
        }
    }
    let mut out = format!("{}: event log\n", path.display());
    if let (Some(first), Some(last)) = (first, last) {
        writeln!(out, "from {first:.1} s to {last:.1} s")?;
    }
    for (kind, count) in counts {
        writeln!(out, "  {kind:?}  {count}")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        describe(&path, true)
    }

    #[test]
    fn kinds_are_told_by_content() {
        let log = "{\"type\":\"frame\",\"frame\":0,\"at\":0.5}\n{\"type\":\"frame\",\"frame\":1,\"at\":1.0}\n{\"type\":\"end\"}\n";
        let text = of("a.bin", log.as_bytes()).unwrap();
        assert!(
            text.contains("event log\nfrom 0.5 s to 1.0 s\n  \"end\"  1\n  \"frame\"  2"),
            "{text}"
        );
        assert!(
            of("b", b"{\"a\":1}")
                .unwrap_err()
                .to_string()
                .contains("line 1: no `type`")
        );
        assert!(
            of("c", b"hello")
                .unwrap_err()
                .to_string()
                .contains("expected a GGUF file")
        );
        assert!(of("d", b"").is_err());
        assert!(
            of("e", b"GGUF")
                .unwrap_err()
                .to_string()
                .contains("version")
        );
        let json = br#"{"__metadata__":{"fps":"2"},"cls":{"dtype":"F16","shape":[3,1,2],"data_offsets":[0,12]}}"#;
        let bytes = [&(json.len() as u64).to_le_bytes()[..], json, &[0; 12]].concat();
        let text = of("f", &bytes).unwrap();
        assert!(
            text.contains("fps = \"2\"") && text.contains("\"cls\"  F16  [3, 1, 2]  12 bytes"),
            "{text}"
        );
    }

    #[test]
    fn a_curve_is_drawn_and_what_was_chosen_is_marked() {
        let point = CurvePoint {
            threshold: 0.9,
            score: 0.488,
            precision: Some(1.0),
            recall: None,
        };
        let bar = format!("{}▌{}", "█".repeat(19), " ".repeat(20));
        assert_eq!(
            curve_line(&point, 0.9),
            format!("  ◆ 0.9   {bar} 0.488  P 1.000  R -")
        );
        assert!(
            curve_line(
                &CurvePoint {
                    score: 1.0,
                    ..point
                },
                0.5
            )
            .starts_with(&format!("    0.9   {}", "█".repeat(40)))
        );
    }

    #[test]
    fn values_of_untrusted_files_cannot_steer_the_terminal() {
        assert_eq!(
            shown(&Value::String("a\u{1b}[2Jb".into())),
            "\"a\\u{1b}[2Jb\""
        );
    }
}
