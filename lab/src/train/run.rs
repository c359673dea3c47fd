//! The loop that both trainings share: steps, records, checkpoints, stopping and taking up again.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};

use crate::train::checkpoint::Checkpoint;
use crate::train::optimizer::Optimizer;
use proact::error::Result;

/// Sees every record and may ask for a stop. The command line shows progress and keeps the JSONL
/// with it.
pub trait Observer {
    /// Takes one record: `stage`, `step`, `steps` and the numbers of that step.
    ///
    /// # Errors
    /// The record could not be kept.
    fn record(&mut self, record: &Map<String, Value>) -> Result<()>;
    /// `true` when the person wants to stop; the run saves a checkpoint first.
    fn stopped(&self) -> bool;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Stopped on request; a checkpoint lies ready to go on from.
    Stopped,
}

/// What one step gives: gradients in the order of the optimizer's variables, and numbers to log.
pub struct StepResult {
    /// One a variable.
    pub gradients: Vec<Option<Tensor>>,
    /// For the record.
    pub numbers: Map<String, Value>,
}

/// A run over `steps` steps.
pub struct Run<'a> {
    /// Name of the stage in records.
    pub stage: &'a str,
    /// Where the checkpoint lies.
    pub checkpoint: &'a Path,
    /// Steps in all.
    pub steps: usize,
    /// Steps between two checkpoints.
    pub save_every_steps: usize,
    /// Steps between two evaluations.
    pub eval_every_steps: usize,
}

impl Run<'_> {
    /// Runs from the checkpoint, or from the start, to the end or to a stop.
    ///
    /// `step` gives the gradients of a step (its draws must follow from the step's number alone);
    /// `eval` gives numbers on validation data and is called now and then and at the end.
    ///
    /// # Errors
    /// A step failed, or the disk refused a checkpoint.
    pub fn go(
        &self,
        optimizer: &mut Optimizer,
        device: &Device,
        observer: &mut dyn Observer,
        step: &dyn Fn(usize) -> Result<StepResult>,
        eval: &dyn Fn() -> Result<Map<String, Value>>,
    ) -> Result<Outcome> {
        let mut at = 0;
        if let Some(saved) = Checkpoint::load(self.checkpoint, device)? {
            optimizer.restore(&|name| saved.tensors.get(name).cloned())?;
            at = saved.step.min(self.steps);
        }
        while at < self.steps {
            if observer.stopped() {
                Checkpoint::save(self.checkpoint, at, &optimizer.state())?;
                return Ok(Outcome::Stopped);
            }
            let result = step(at)?;
            let norm = optimizer.step(&result.gradients, at, self.steps)?;
            let mut record = self.head(at + 1);
            record.extend(result.numbers);
            record.insert("gradient_norm".into(), number(norm));
            at += 1;
            if at % self.eval_every_steps == 0 || at == self.steps {
                record.extend(eval()?);
            }
            observer.record(&record)?;
            if at % self.save_every_steps == 0 || at == self.steps {
                Checkpoint::save(self.checkpoint, at, &optimizer.state())?;
            }
        }
        Ok(Outcome::Finished)
    }

    fn head(&self, at: usize) -> Map<String, Value> {
        let mut record = Map::new();
        record.insert("stage".into(), self.stage.into());
        record.insert("step".into(), at.into());
        record.insert("steps".into(), self.steps.into());
        record
    }
}

/// A number for a record, rounded to five digits behind the point.
pub fn number(value: f64) -> Value {
    const DIGITS: f64 = 1e5;
    let rounded = (value * DIGITS).round() / DIGITS;
    serde_json::Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::train::optimizer::OptimizerConfig;
    use proact::rng::Rng;

    struct Until(usize, Vec<usize>);

    impl Observer for Until {
        fn record(&mut self, record: &Map<String, Value>) -> Result<()> {
            self.1.push(record["step"].as_u64().unwrap() as usize);
            Ok(())
        }
        fn stopped(&self) -> bool {
            self.1.len() >= self.0
        }
    }

    /// A quadratic with noise from the step's number; interrupted anywhere, the end is the same to
    /// the bit.
    #[test]
    fn a_resumed_run_ends_as_an_uninterrupted_one() {
        let run_to_end = |stops: &[usize]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("c.safetensors");
            let run = Run {
                stage: "test",
                checkpoint: &path,
                steps: 20,
                save_every_steps: 7,
                eval_every_steps: 5,
            };
            for stop in stops.iter().copied().chain([usize::MAX]) {
                let w = Var::from_slice(&[1.0f32, -3.0], 2, &Device::Cpu).unwrap();
                let mut optimizer =
                    Optimizer::new(OptimizerConfig::default(), &[("w".into(), w.clone())], 1)
                        .unwrap();
                let mut observer = Until(stop, Vec::new());
                let step = |at: usize| {
                    let noise = f64::from(Rng::of(&[3, at as u64]).unit());
                    let loss = (w.as_tensor() - noise)?.sqr()?.sum_all()?;
                    let gradients = vec![loss.backward()?.get(&w).cloned()];
                    Ok(StepResult {
                        gradients,
                        numbers: Map::new(),
                    })
                };
                let outcome = run
                    .go(&mut optimizer, &Device::Cpu, &mut observer, &step, &|| {
                        Ok(Map::new())
                    })
                    .unwrap();
                assert_eq!(outcome == Outcome::Finished, stop == usize::MAX);
                if outcome == Outcome::Finished {
                    return w
                        .to_vec1::<f32>()
                        .unwrap()
                        .iter()
                        .map(|v| v.to_bits())
                        .collect::<Vec<_>>();
                }
            }
            unreachable!("the last run has no stop");
        };
        assert_eq!(run_to_end(&[]), run_to_end(&[3, 9]));
    }
}
