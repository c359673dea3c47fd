//! Which recordings a step learns from: recorded tasks and invented ones, in a fixed mix however
//! many there are of each.

use proact::dialogue::annotation::INVENTED_DATASET;
use proact::rng::Rng;

/// Numbers of recordings, by where they come from.
#[derive(Debug, Default)]
pub struct Origins {
    recorded: Vec<usize>,
    invented: Vec<usize>,
}

impl Origins {
    /// Sorts recordings by the name of their dataset.
    pub fn of<'a>(datasets: impl Iterator<Item = &'a str>) -> Self {
        let mut origins = Self::default();
        for (number, dataset) in datasets.enumerate() {
            let list = if dataset == INVENTED_DATASET {
                &mut origins.invented
            } else {
                &mut origins.recorded
            };
            list.push(number);
        }
        origins
    }

    /// A recording: an invented one in this share of the draws, or whatever there is if there are
    /// only ones of one kind.
    pub fn draw(&self, invented_share: f32, rng: &mut Rng) -> usize {
        let invented = rng.unit() < invented_share;
        let (first, other) = if invented {
            (&self.invented, &self.recorded)
        } else {
            (&self.recorded, &self.invented)
        };
        let list = if first.is_empty() { other } else { first };
        list.get(rng.below(list.len())).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_does_not_depend_on_how_many_there_are() {
        let origins =
            Origins::of(["a", INVENTED_DATASET, INVENTED_DATASET, INVENTED_DATASET].into_iter());
        let mut rng = Rng::of(&[1]);
        let drawn: Vec<usize> = (0..2000).map(|_| origins.draw(0.25, &mut rng)).collect();
        let recorded = drawn.iter().filter(|d| **d == 0).count();
        assert!((1400..1600).contains(&recorded), "{recorded}");
        assert!((1..4).all(|n| drawn.contains(&n)));
    }

    #[test]
    fn one_kind_alone_is_enough() {
        let mut rng = Rng::of(&[2]);
        for datasets in [vec!["a", "b"], vec![INVENTED_DATASET; 2]] {
            let origins = Origins::of(datasets.into_iter());
            assert!((0..50).all(|_| origins.draw(0.5, &mut rng) < 2));
        }
    }
}
