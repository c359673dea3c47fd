//! The losses: cross-entropy on text, a balanced binary loss for each head, the step pointer, and
//! SigLIP's sigmoid loss.

use candle_core::{D, DType, Tensor};

use proact::error::Result;

/// Mean cross-entropy of `logits [N, C]` against the classes `targets` (N of them).
///
/// # Errors
/// N differs or a class is out of range.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let log_p = log_softmax(logits)?;
    let index = Tensor::from_slice(targets, (targets.len(), 1), logits.device())?;
    Ok(log_p.gather(&index, 1)?.mean_all()?.neg()?)
}

/// `x - log(sum(exp(x)))` over the last dimension, of basic operations that pass gradients on.
fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
}

/// `-log(sigmoid(x))` for each element, as `m + log(exp(-m) + exp(-x - m))` with the constant `m =
/// max(-x, 0)`: no overflow, and a gradient that is right at 0 too.
fn neg_log_sigmoid(x: &Tensor) -> Result<Tensor> {
    let m = x.neg()?.relu()?.detach();
    let sum = (m.neg()?.exp()? + (x.neg()? - &m)?.exp()?)?;
    Ok((m + sum.log()?)?)
}

/// Binary cross-entropy of `logits [N]`: the mean over positives and the mean over negatives,
/// averaged when both are there (ProAssist `modeling_proact.py`, binary head). `None` when there is
/// nothing to learn from.
///
/// # Errors
/// N differs.
pub fn balanced_binary(logits: &Tensor, positive: &[bool]) -> Result<Option<Tensor>> {
    let positives = positive.iter().filter(|p| **p).count();
    let negatives = positive.len() - positives;
    if positive.is_empty() {
        return Ok(None);
    }
    let kinds = f32::from(u8::from(positives > 0) + u8::from(negatives > 0));
    let weight = |count: usize| 1.0 / (count as f32 * kinds);
    let sign: Vec<f32> = positive
        .iter()
        .map(|p| if *p { 1.0 } else { -1.0 })
        .collect();
    let weights: Vec<f32> = positive
        .iter()
        .map(|p| weight(if *p { positives } else { negatives }))
        .collect();
    let n = positive.len();
    let sign = Tensor::from_vec(sign, n, logits.device())?;
    let weights = Tensor::from_vec(weights, n, logits.device())?;
    Ok(Some(
        (neg_log_sigmoid(&(logits * sign)?)? * weights)?.sum_all()?,
    ))
}

/// SigLIP's loss (Zhai et al. 2023, equation 1) on pair logits `[B,U]` (scale times cosine plus
/// bias): `-1/B * sum_ij log sigmoid(z_ij * logit_ij)`, `z = 1` where `captions[i]` has j, else -1.
///
/// # Errors
/// Shapes differ.
pub fn sigmoid_pairs(logits: &Tensor, captions: &[Vec<usize>]) -> Result<Tensor> {
    let (b, u) = logits.dims2()?;
    let z: Vec<f32> = captions
        .iter()
        .flat_map(|own| (0..u).map(|j| if own.contains(&j) { 1.0 } else { -1.0 }))
        .collect();
    let z = Tensor::from_vec(z, (b, u), logits.device())?;
    Ok((neg_log_sigmoid(&(logits * z)?)?.sum_all()? / b as f64)?)
}

/// Rows scaled to unit length: `x [N,D]`.
///
/// # Errors
/// The device failed.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    Ok(x.broadcast_div(&norm)?)
}

/// A scalar tensor as a number.
///
/// # Errors
/// It is no scalar.
pub fn number(x: &Tensor) -> Result<f64> {
    Ok(f64::from(x.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn tensor(v: &[f32], shape: (usize, usize)) -> Tensor {
        Tensor::from_slice(v, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn cross_entropy_worked_by_hand() {
        // Two classes at logits (0, ln 3): p = (1/4, 3/4). Targets 1 and 0: (ln(4/3) + ln 4) / 2.
        let x = tensor(&[0.0, 3f32.ln(), 0.0, 3f32.ln()], (2, 2));
        let want = ((4.0f64 / 3.0).ln() + 4f64.ln()) / 2.0;
        assert!((number(&cross_entropy(&x, &[1, 0]).unwrap()).unwrap() - want).abs() < 1e-6);
    }

    #[test]
    fn balanced_binary_weighs_one_positive_like_three_negatives() {
        let x = Var::from_slice(&[0.0f32, 0.0, 2.0, -2.0], 4, &Device::Cpu).unwrap();
        let loss = balanced_binary(&x, &[true, false, false, false])
            .unwrap()
            .unwrap();
        let sp = |x: f64| (1.0 + x.exp()).ln();
        let want = (sp(0.0) + (sp(0.0) + sp(2.0) + sp(-2.0)) / 3.0) / 2.0;
        assert!((number(&loss).unwrap() - want).abs() < 1e-6);
        let grads = loss.backward().unwrap();
        let g = grads.get(&x).unwrap().to_vec1::<f32>().unwrap();
        assert!(
            (g[0] + 0.25).abs() < 1e-6 && (g[1] - 0.5 / 6.0).abs() < 1e-6,
            "{g:?}"
        );
        // One kind only: its plain mean. Nothing: no loss.
        let one = balanced_binary(&x, &[false; 4]).unwrap().unwrap();
        assert!((number(&one).unwrap() - (2.0 * sp(0.0) + sp(2.0) + sp(-2.0)) / 4.0).abs() < 1e-6);
        assert!(
            balanced_binary(&Tensor::zeros(0, DType::F32, &Device::Cpu).unwrap(), &[])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn sigmoid_pairs_worked_by_hand_and_finite_at_extremes() {
        // Logits 0 (image 0, its caption) and -1 (image 1, not its caption).
        let loss = sigmoid_pairs(&tensor(&[0.0, -1.0], (2, 1)), &[vec![0], vec![]]).unwrap();
        let want = (2f64.ln() + (1.0 + (-1f64).exp()).ln()) / 2.0;
        assert!((number(&loss).unwrap() - want).abs() < 1e-6);
        let far = sigmoid_pairs(&tensor(&[-500.0, 9e3], (2, 1)), &[vec![0], vec![0]]).unwrap();
        assert!(number(&far).unwrap().is_finite());
    }
}
