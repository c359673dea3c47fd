//! AdamW with gradient clipping and a cosine schedule; its state can be saved and taken up again to the bit.

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::error::Result;

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
        }
    }
}

impl OptimizerConfig {
    /// Learning rate at a step of `steps`: linear warm-up, then a cosine.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let done = (step - self.warmup_steps) as f64 / steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let share = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        self.learning_rate * (self.final_rate_share + (1.0 - self.final_rate_share) * share)
    }
}

const EPSILON: f64 = 1e-8;

/// One variable with its moments.
struct Slot {
    name: String,
    var: Var,
    first: Tensor,
    second: Tensor,
}

/// The optimizer over named variables.
pub struct AdamW {
    config: OptimizerConfig,
    slots: Vec<Slot>,
}

impl AdamW {
    /// Moments at zero.
    ///
    /// # Errors
    /// The device has no room for the moments.
    pub fn new(config: OptimizerConfig, vars: &[(String, Var)]) -> Result<Self> {
        let slots = vars
            .iter()
            .map(|(name, var)| {
                let zeros = Tensor::zeros(var.shape(), DType::F32, var.device())?;
                Ok(Slot { name: name.clone(), var: var.clone(), first: zeros.clone(), second: zeros })
            })
            .collect::<Result<_>>()?;
        Ok(Self { config, slots })
    }

    /// The variables, in their order.
    pub fn vars(&self) -> Vec<Var> {
        self.slots.iter().map(|s| s.var.clone()).collect()
    }

    /// One update from gradients in the order of [`AdamW::vars`]; `None` stands for "no gradient".
    /// Gives the norm of the gradient before clipping.
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
            return Err(crate::error::Error::Invalid(format!("step {step}: the gradient is not finite; lower learning_rate")));
        }
        let scale = if norm > self.config.gradient_norm_max { self.config.gradient_norm_max / norm } else { 1.0 };
        let (b1, b2) = (self.config.beta1, self.config.beta2);
        let t = (step + 1) as i32;
        let rate = self.config.rate(step, steps);
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let g = (gradient.detach() * scale)?;
            slot.first = ((&slot.first * b1)? + (&g * (1.0 - b1))?)?;
            slot.second = ((&slot.second * b2)? + (g.sqr()? * (1.0 - b2))?)?;
            let first = (&slot.first / (1.0 - b1.powi(t)))?;
            let second = (&slot.second / (1.0 - b2.powi(t)))?;
            let move_ = (first / (second.sqrt()? + EPSILON)?)?;
            let decay = if slot.var.rank() >= 2 { 1.0 - rate * self.config.weight_decay } else { 1.0 };
            let value = ((slot.var.as_tensor().detach() * decay)? - (move_ * rate)?)?;
            slot.var.set(&value)?;
        }
        Ok(norm)
    }

    /// Weights and moments by name, for a checkpoint.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.slots
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

    /// Takes up weights and moments from [`AdamW::state`].
    ///
    /// # Errors
    /// A tensor is missing or has another shape; names the tensor.
    pub fn restore(&mut self, get: &dyn Fn(&str) -> Option<Tensor>) -> Result<()> {
        for slot in &mut self.slots {
            let named = |name: String| {
                let tensor = get(&name).filter(|t| t.shape() == slot.var.shape());
                tensor.ok_or_else(|| crate::error::Error::Model(format!("checkpoint: {name} is missing or has another shape")))
            };
            let first = named(format!("optimizer.first.{}", slot.name))?;
            let second = named(format!("optimizer.second.{}", slot.name))?;
            slot.var.set(&named(slot.name.clone())?)?;
            (slot.first, slot.second) = (first, second);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Two steps of torch.optim.AdamW (lr 0.1, betas 0.9/0.98, weight_decay 0.02) on w = [[1, -2]], g = [[0.5, 0.1]],
    /// worked by hand: the first move is lr * sign(g), as is the second for an equal gradient.
    #[test]
    fn two_steps_worked_by_hand() {
        let var = Var::from_slice(&[1.0f32, -2.0], (1, 2), &Device::Cpu).unwrap();
        let config = OptimizerConfig { learning_rate: 0.1, warmup_steps: 0, final_rate_share: 1.0, ..OptimizerConfig::default() };
        let mut opt = AdamW::new(config, &[("w".into(), var.clone())]).unwrap();
        let g = Some(Tensor::from_slice(&[0.5f32, 0.1], (1, 2), &Device::Cpu).unwrap());
        for step in 0..2 {
            opt.step(std::slice::from_ref(&g), step, 2).unwrap();
        }
        let w = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let by_hand = |w: f32| ((w * 0.998 - 0.1) * 0.998) - 0.1;
        assert!((w[0] - by_hand(1.0)).abs() < 1e-5 && (w[1] - by_hand(-2.0)).abs() < 1e-5, "{w:?}");
    }

    #[test]
    fn a_large_gradient_is_clipped_and_an_infinite_one_refused() {
        let var = Var::from_slice(&[0.0f32], 1, &Device::Cpu).unwrap();
        let mut opt = AdamW::new(OptimizerConfig::default(), &[("w".into(), var)]).unwrap();
        let g = |v: f32| [Some(Tensor::from_slice(&[v], 1, &Device::Cpu).unwrap())];
        assert!((opt.step(&g(30.0), 0, 10).unwrap() - 30.0).abs() < 1e-4);
        let first = opt.slots[0].first.to_vec1::<f32>().unwrap()[0];
        assert!((first - 0.1).abs() < 1e-6, "{first}"); // (1 - beta1) * the clipped gradient 1
        assert!(opt.step(&g(f32::INFINITY), 1, 10).is_err());
    }

    #[test]
    fn the_rate_rises_then_falls_to_its_share() {
        let config = OptimizerConfig { warmup_steps: 10, learning_rate: 1.0, final_rate_share: 0.1, ..OptimizerConfig::default() };
        assert!((config.rate(0, 100) - 0.1).abs() < 1e-9);
        assert!((config.rate(10, 100) - 1.0).abs() < 1e-9);
        assert!((config.rate(100, 100) - 0.1).abs() < 1e-9);
    }
}
