//! Gradients of several examples at a time, added up in the order of the examples.

use candle_core::{Tensor, Var};

use crate::parallel::each;
use proact::error::Result;

/// A loss with what should be logged of it.
pub struct Scored<S> {
    /// Scalar to descend on.
    pub loss: Tensor,
    /// Anything worth telling.
    pub stats: S,
}

/// Sum of gradients over the examples, in the order of `vars` (`None`: no example reached the
/// variable), and the examples' statistics in their order. An example may have nothing to learn
/// from (`None`).
///
/// # Errors
/// The first example's error, in their order.
pub fn gradients<E: Sync, S: Send>(
    examples: &[E],
    vars: &[Var],
    threads: usize,
    score: impl Fn(&E) -> Result<Option<Scored<S>>> + Sync,
) -> Result<(Vec<Option<Tensor>>, Vec<S>)> {
    let results = each(
        threads,
        examples,
        |example| -> Result<Option<(Vec<Option<Tensor>>, S)>> {
            let Some(Scored { loss, stats }) = score(example)? else {
                return Ok(None);
            };
            let store = loss.backward()?;
            Ok(Some((
                vars.iter().map(|v| store.get(v).cloned()).collect(),
                stats,
            )))
        },
    )?;
    let mut total: Vec<Option<Tensor>> = vec![None; vars.len()];
    let mut all = Vec::with_capacity(examples.len());
    for (gradients, stats) in results.into_iter().flatten() {
        all.push(stats);
        for (sum, gradient) in total.iter_mut().zip(gradients) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
    }
    Ok((total, all))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use proact::error::Error;

    #[test]
    fn sums_are_the_same_for_any_number_of_threads() {
        let w = Var::from_slice(&[0.3f32, -0.7], 2, &Device::Cpu).unwrap();
        let unused = Var::from_slice(&[1.0f32], 1, &Device::Cpu).unwrap();
        let examples: Vec<f64> = (1..20).map(f64::from).collect();
        let run = |threads| {
            let (g, stats) = gradients(&examples, &[w.clone(), unused.clone()], threads, |x| {
                if *x == 5.0 {
                    return Ok(None);
                }
                let loss = (w.as_tensor() * (*x * 0.1))?.sin()?.sum_all()?;
                Ok(Some(Scored { loss, stats: *x }))
            })
            .unwrap();
            assert!(g[1].is_none());
            assert_eq!(stats.len(), 18);
            g[0].as_ref()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(7));
        let failed = gradients(&examples, std::slice::from_ref(&w), 2, |x| {
            if *x > 3.0 {
                Err(Error::Invalid(format!("{x}")))
            } else {
                Ok(None::<Scored<()>>)
            }
        });
        assert_eq!(failed.err().unwrap().to_string(), "4");
    }
}
