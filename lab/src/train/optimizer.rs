//! AdamW, and Muon for matrices, with gradient clipping and a cosine schedule; saved and taken up
//! again to the bit.

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::parallel::each;
use proact::error::Result;

/// Settings of the optimizer (Loshchilov and Hutter 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Share of the learning rate that is left at the end of the cosine.
    pub final_rate_share: f64,
    /// Steps over which the rate rises from 0.
    pub warmup_steps: usize,
    /// Decay of weights with two or more dimensions, per unit of learning rate.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Largest norm of the whole gradient; larger ones are scaled down to it.
    pub gradient_norm_max: f64,
    /// Matrices between hidden states move by Muon (Jordan et al. 2024), with the step size of Liu
    /// et al. 2025, section 2.2, that makes AdamW's learning rate and decay fit; everything else,
    /// and without it all, by AdamW.
    pub muon: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            final_rate_share: 0.05,
            warmup_steps: 50,
            weight_decay: 0.02,
            beta1: 0.9,
            beta2: 0.98,
            gradient_norm_max: 1.0,
            muon: false,
        }
    }
}

impl OptimizerConfig {
    /// Learning rate at a step of `steps`: linear warm-up, then a cosine.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let done = (step - self.warmup_steps) as f64
            / steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let share = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.learning_rate * (self.final_rate_share + (1.0 - self.final_rate_share) * share)
    }
}

const EPSILON: f64 = 1e-8;
/// Momentum of Muon.
const MUON_MOMENTUM: f64 = 0.95;
/// Root mean square of a Muon step per unit of learning rate: AdamW's is about that.
const MUON_RMS: f64 = 0.2;
/// Matrices with a side below this are left to AdamW: there is little to make orthogonal.
const MUON_SIDE_MIN: usize = 16;
/// Coefficients and rounds of the Newton-Schulz iteration (Jordan et al. 2024).
const NEWTON_SCHULZ: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
const NEWTON_SCHULZ_ROUNDS: usize = 5;

/// One variable with its moments.
struct TrainedVariable {
    name: String,
    var: Var,
    first: Tensor,
    second: Tensor,
    muon: bool,
}

/// The optimizer over named variables.
pub struct Optimizer {
    config: OptimizerConfig,
    variables: Vec<TrainedVariable>,
    threads: usize,
}

/// What one step has for every variable.
struct Move {
    /// Scales gradients to the largest norm.
    scale: f64,
    step: usize,
    rate: f64,
}

impl TrainedVariable {
    fn advance(&mut self, gradient: &Tensor, config: &OptimizerConfig, now: &Move) -> Result<()> {
        let g = (gradient.detach() * now.scale)?;
        let move_ = if self.muon {
            self.muon(&g)?
        } else {
            self.adam(&g, config, now.step)?
        };
        let decay = if self.var.rank() >= 2 {
            1.0 - now.rate * config.weight_decay
        } else {
            1.0
        };
        Ok(self
            .var
            .set(&((self.var.as_tensor().detach() * decay)? - (move_ * now.rate)?)?)?)
    }

    fn adam(&mut self, g: &Tensor, config: &OptimizerConfig, step: usize) -> Result<Tensor> {
        let (b1, b2, t) = (config.beta1, config.beta2, (step + 1) as i32);
        self.first = ((&self.first * b1)? + (g * (1.0 - b1))?)?;
        self.second = ((&self.second * b2)? + (g.sqr()? * (1.0 - b2))?)?;
        let first = (&self.first / (1.0 - b1.powi(t)))?;
        let second = (&self.second / (1.0 - b2.powi(t)))?;
        Ok((first / (second.sqrt()? + EPSILON)?)?)
    }

    /// Nesterov momentum, made orthogonal.
    fn muon(&mut self, g: &Tensor) -> Result<Tensor> {
        self.first = ((&self.first * MUON_MOMENTUM)? + g)?;
        let (rows, columns) = g.dims2()?;
        let size = MUON_RMS * (rows.max(columns) as f64).sqrt();
        Ok((orthogonal(&(g + (&self.first * MUON_MOMENTUM)?)?)? * size)?)
    }
}

/// The matrix nearest to `x` whose singular values are all about 1 (0.7 to 1.2), by Newton-Schulz;
/// zero stays zero.
fn orthogonal(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let tall = rows > columns;
    let x = if tall {
        x.t()?.contiguous()?
    } else {
        x.clone()
    };
    let norm = f64::from(x.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let mut x = (x / (norm + EPSILON))?;
    let (a, b, c) = NEWTON_SCHULZ;
    for _ in 0..NEWTON_SCHULZ_ROUNDS {
        let square = x.matmul(&x.t()?)?;
        let mixed = ((&square * b)? + (square.matmul(&square)? * c)?)?;
        x = ((&x * a)? + mixed.matmul(&x)?)?;
    }
    Ok(if tall { x.t()?.contiguous()? } else { x })
}

/// A matrix between hidden states: no table of tokens or positions, no output over the vocabulary,
/// no decision head.
fn between_hidden_states(name: &str, var: &Var) -> bool {
    var.rank() == 2
        && var.dims().iter().all(|side| *side >= MUON_SIDE_MIN)
        && !name.contains("embd")
        && name != "output.weight"
}

impl Optimizer {
    /// Moments at zero. `threads` share the variables among them; results do not depend on it.
    ///
    /// # Errors
    /// The device has no room for the moments.
    pub fn new(config: OptimizerConfig, vars: &[(String, Var)], threads: usize) -> Result<Self> {
        let variables = vars
            .iter()
            .map(|(name, var)| {
                let zeros = Tensor::zeros(var.shape(), DType::F32, var.device())?;
                let muon = config.muon && between_hidden_states(name, var);
                Ok(TrainedVariable {
                    name: name.clone(),
                    var: var.clone(),
                    first: zeros.clone(),
                    second: zeros,
                    muon,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            config,
            variables,
            threads,
        })
    }

    /// The variables, in their order.
    pub fn vars(&self) -> Vec<Var> {
        self.variables.iter().map(|s| s.var.clone()).collect()
    }

    /// One update from gradients in the order of [`Optimizer::vars`]; `None` stands for "no
    /// gradient". Gives the norm of the gradient before clipping.
    ///
    /// # Errors
    /// Shapes differ or the gradient is not finite.
    pub fn step(&mut self, gradients: &[Option<Tensor>], step: usize, steps: usize) -> Result<f64> {
        let mut square = 0.0f64;
        for gradient in gradients.iter().flatten() {
            square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Err(proact::error::Error::Invalid(format!(
                "step {step}: the gradient is not finite; lower learning_rate"
            )));
        }
        let scale = if norm > self.config.gradient_norm_max {
            self.config.gradient_norm_max / norm
        } else {
            1.0
        };
        let now = Move {
            scale,
            step,
            rate: self.config.rate(step, steps),
        };
        let config = &self.config;
        let work: Vec<(&mut TrainedVariable, &Tensor)> = self
            .variables
            .iter_mut()
            .zip(gradients)
            .filter_map(|(variable, gradient)| Some((variable, gradient.as_ref()?)))
            .collect();
        each(self.threads, work, |(variable, gradient)| {
            variable.advance(gradient, config, &now)
        })?;
        Ok(norm)
    }

    /// Weights and moments by name, for a checkpoint.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.variables
            .iter()
            .flat_map(|s| {
                [
                    (s.name.clone(), s.var.as_tensor().clone()),
                    (format!("optimizer.first.{}", s.name), s.first.clone()),
                    (format!("optimizer.second.{}", s.name), s.second.clone()),
                ]
            })
            .collect()
    }

    /// Takes up weights and moments from [`Optimizer::state`].
    ///
    /// # Errors
    /// A tensor is missing or has another shape; names the tensor.
    pub fn restore(&mut self, get: &dyn Fn(&str) -> Option<Tensor>) -> Result<()> {
        for variable in &mut self.variables {
            let named = |name: String| {
                let tensor = get(&name).filter(|t| t.shape() == variable.var.shape());
                tensor.ok_or_else(|| {
                    proact::error::Error::Model(format!(
                        "checkpoint: {name} is missing or has another shape"
                    ))
                })
            };
            let first = named(format!("optimizer.first.{}", variable.name))?;
            let second = named(format!("optimizer.second.{}", variable.name))?;
            variable.var.set(&named(variable.name.clone())?)?;
            (variable.first, variable.second) = (first, second);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Two steps of torch.optim.AdamW (lr 0.1, betas 0.9/0.98, weight_decay 0.02) on w = [[1, -2]],
    /// g = [[0.5, 0.1]], worked by hand: the first move is lr * sign(g), as is the second for an
    /// equal gradient.
    #[test]
    fn two_steps_worked_by_hand() {
        let var = Var::from_slice(&[1.0f32, -2.0], (1, 2), &Device::Cpu).unwrap();
        let config = OptimizerConfig {
            learning_rate: 0.1,
            warmup_steps: 0,
            final_rate_share: 1.0,
            ..OptimizerConfig::default()
        };
        let mut opt = Optimizer::new(config, &[("w".into(), var.clone())], 2).unwrap();
        let g = Some(Tensor::from_slice(&[0.5f32, 0.1], (1, 2), &Device::Cpu).unwrap());
        for step in 0..2 {
            opt.step(std::slice::from_ref(&g), step, 2).unwrap();
        }
        let w = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let by_hand = |w: f32| ((w * 0.998 - 0.1) * 0.998) - 0.1;
        assert!(
            (w[0] - by_hand(1.0)).abs() < 1e-5 && (w[1] - by_hand(-2.0)).abs() < 1e-5,
            "{w:?}"
        );
    }

    #[test]
    fn a_large_gradient_is_clipped_and_an_infinite_one_refused() {
        let var = Var::from_slice(&[0.0f32], 1, &Device::Cpu).unwrap();
        let mut opt = Optimizer::new(OptimizerConfig::default(), &[("w".into(), var)], 1).unwrap();
        let g = |v: f32| [Some(Tensor::from_slice(&[v], 1, &Device::Cpu).unwrap())];
        assert!((opt.step(&g(30.0), 0, 10).unwrap() - 30.0).abs() < 1e-4);
        let first = opt.variables[0].first.to_vec1::<f32>().unwrap()[0];
        assert!((first - 0.1).abs() < 1e-6, "{first}"); // (1 - beta1) * the clipped gradient 1
        assert!(opt.step(&g(f32::INFINITY), 1, 10).is_err());
    }

    #[test]
    fn a_step_of_muon_is_nearly_orthogonal_whatever_the_gradient() {
        for (rows, columns) in [(16usize, 48usize), (48, 16), (20, 20)] {
            let values: Vec<f32> = (0..rows * columns)
                .map(|i| ((i * i * 7919 + i * 31) % 1009) as f32 - 504.0)
                .collect();
            let g = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
            let var = Var::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
            let config = OptimizerConfig {
                muon: true,
                learning_rate: 1.0,
                warmup_steps: 0,
                final_rate_share: 1.0,
                ..OptimizerConfig::default()
            };
            let mut opt =
                Optimizer::new(config, &[("blk.0.attn_q.weight".into(), var.clone())], 1).unwrap();
            opt.step(&[Some(g)], 0, 2).unwrap();
            let moved = (var.as_tensor()
                / -(MUON_RMS * 48f64.max(rows.max(columns) as f64).sqrt()))
            .unwrap();
            let moved = if rows.max(columns) == 48 {
                moved
            } else {
                (moved * (48f64 / 20.0).sqrt()).unwrap()
            };
            let small = if rows <= columns {
                moved.matmul(&moved.t().unwrap())
            } else {
                moved.t().unwrap().contiguous().unwrap().matmul(&moved)
            };
            // Squares of singular values between 0.5 and 1.5: the diagonal holds their weighted
            // means.
            let small = small.unwrap().to_vec2::<f32>().unwrap();
            for (i, row) in small.iter().enumerate() {
                assert!((0.4..1.6).contains(&row[i]), "{rows}x{columns}: {}", row[i]);
                let rest: f32 = row
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(_, v)| v * v)
                    .sum();
                assert!(rest < 0.25, "{rows}x{columns}: off the diagonal {rest}");
            }
        }
    }

    #[test]
    fn tables_heads_and_norms_are_left_to_adam() {
        let matrix = Var::zeros((32, 32), DType::F32, &Device::Cpu).unwrap();
        let head = Var::zeros((1, 32), DType::F32, &Device::Cpu).unwrap();
        assert!(
            between_hidden_states("blk.3.ffn_up.weight", &matrix)
                && between_hidden_states("mm.0.weight", &matrix)
        );
        assert!(
            !between_hidden_states("token_embd.weight", &matrix)
                && !between_hidden_states("output.weight", &matrix)
        );
        assert!(!between_hidden_states("dst_update_head.weight", &head));
    }

    #[test]
    fn the_rate_rises_then_falls_to_its_share() {
        let config = OptimizerConfig {
            warmup_steps: 10,
            learning_rate: 1.0,
            final_rate_share: 0.1,
            ..OptimizerConfig::default()
        };
        assert!((config.rate(0, 100) - 0.1).abs() < 1e-9);
        assert!((config.rate(10, 100) - 1.0).abs() < 1e-9);
        assert!((config.rate(100, 100) - 0.1).abs() < 1e-9);
    }
}
