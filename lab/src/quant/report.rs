//! What quantization did to each tensor: type, size and error, as data and as a table.

use std::fmt;

use proact::model::gguf::GgmlType;

/// One tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Type in the source, by its own name for it.
    pub from: String,
    /// What the recipe asked for.
    pub wanted: GgmlType,
    /// What was written.
    pub ty: GgmlType,
    /// Bytes written.
    pub bytes: u64,
    /// Root mean square of the error over root mean square of the weights; 0 for a tensor of zeros
    /// kept so.
    pub rms_relative: f64,
    /// Largest difference of a weight.
    pub max_abs: f64,
}

/// All tensors, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One entry a tensor.
    pub tensors: Vec<TensorReport>,
    /// SHA-256 of the file, in hex; empty for a plan.
    pub sha256: String,
}

/// A tensor's shape for the person, `576x576`.
pub fn sides(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    sides.join("x")
}

impl Report {
    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.bytes).sum()
    }

    /// Weights of all tensors.
    pub fn weights(&self) -> u64 {
        self.tensors
            .iter()
            .map(|t| t.shape.iter().map(|&d| d as u64).product::<u64>())
            .sum()
    }

    /// Bits a weight, on average.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes() as f64 * 8.0 / self.weights().max(1) as f64
    }

    /// The same as a plan, in which nothing is known of errors.
    pub fn as_plan(&self) -> String {
        let lines = self.tensors.iter().map(|t| {
            let shape = sides(&t.shape);
            format!(
                "{:40}  {shape:>16}  {:>4} -> {:5} {:>12}\n",
                t.name, t.from, t.ty, t.bytes
            )
        });
        lines.collect::<String>() + &self.total()
    }

    fn total(&self) -> String {
        format!(
            "{} tensors, {} weights, {} bytes, {:.2} bits a weight, {} fell back",
            self.tensors.len(),
            self.weights(),
            self.bytes(),
            self.bits_per_weight(),
            self.fallbacks().count()
        )
    }

    /// Tensors that did not get what the recipe asked for.
    pub fn fallbacks(&self) -> impl Iterator<Item = &TensorReport> {
        self.tensors.iter().filter(|t| t.ty != t.wanted)
    }
}

/// Sums over a tensor's pieces that its error follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    error: f64,
    power: f64,
    max: f64,
}

impl Sums {
    /// Of one piece: what its values were, and what a reader gets.
    pub fn of(truth: &[f32], got: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&a, &b) in truth.iter().zip(got) {
            let (a, b) = (f64::from(a), f64::from(b));
            sums.error += (a - b) * (a - b);
            sums.power += a * a;
            sums.max = sums.max.max((a - b).abs());
        }
        sums
    }

    /// Takes another piece in.
    pub fn add(&mut self, other: &Self) {
        self.error += other.error;
        self.power += other.power;
        self.max = self.max.max(other.max);
    }

    /// Relative RMS and largest difference.
    pub fn error(&self) -> (f64, f64) {
        let relative = if self.error == 0.0 {
            0.0
        } else {
            (self.error / self.power).sqrt()
        };
        (relative, self.max)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .tensors
            .iter()
            .map(|t| t.name.len())
            .max()
            .unwrap_or(0)
            .max("tensor".len());
        writeln!(
            f,
            "{:width$}  {:>16}  {:>4}    {:5} {:>10}  {:>9}  {:>9}",
            "tensor", "shape", "from", "to", "bytes", "rms err", "max err"
        )?;
        for t in &self.tensors {
            let shape = sides(&t.shape);
            write!(
                f,
                "{:width$}  {shape:>16}  {:>4} -> {:5} {:>10}  {:>9.2e}  {:>9.2e}",
                t.name, t.from, t.ty, t.bytes, t.rms_relative, t.max_abs
            )?;
            if t.ty != t.wanted {
                let row = t.shape.last().copied().unwrap_or(0);
                write!(f, "  rows of {row} do not fit {}", t.wanted)?;
            }
            writeln!(f)?;
        }
        f.write_str(&self.total())
    }
}
