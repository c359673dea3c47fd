//! The cheapest assignment of each row to a column of its own, where a row can reach only a window
//! of columns.
//!
//! Shortest augmenting paths with potentials (Kuhn 1955, Munkres 1957; the O(n^3) form of Jonker
//! and Volgenant 1987). Only the columns that the rows on the path can reach are looked at, so
//! narrow windows cost little.

/// A row of the cost matrix: costs of the columns from `first` on. `+inf` forbids a pair, as does
/// any other column.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Column of `costs[0]`.
    pub first: usize,
    /// Costs; never NaN.
    pub costs: Vec<f64>,
}

impl Row {
    fn cost(&self, column: usize) -> f64 {
        column
            .checked_sub(self.first)
            .and_then(|i| self.costs.get(i))
            .copied()
            .unwrap_or(f64::INFINITY)
    }

    fn end(&self) -> usize {
        self.first + self.costs.len()
    }
}

/// The column of each row in a cheapest full assignment; `None` when some row must stay without a
/// column. Rows may be no more than `columns`, and their windows must lie within them.
pub fn assign(rows: &[Row], columns: usize) -> Option<Vec<usize>> {
    let mut search = Search {
        rows,
        row_price: vec![0.0; rows.len()],
        column_price: vec![0.0; columns],
        row_of: vec![None; columns],
        slack: vec![f64::INFINITY; columns],
        came_from: vec![None; columns],
        reached: vec![false; columns],
    };
    for row in 0..rows.len() {
        search.place(row)?;
    }
    let mut column_of = vec![0; rows.len()];
    for (column, row) in search.row_of.iter().enumerate() {
        if let Some(row) = row {
            column_of[*row] = column;
        }
    }
    Some(column_of)
}

struct Search<'a> {
    rows: &'a [Row],
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    /// Row that holds a column.
    row_of: Vec<Option<usize>>,
    /// Cheapest way found so far into a column, beyond the prices.
    slack: Vec<f64>,
    /// Column before it on that way; `None` from the new row itself.
    came_from: Vec<Option<usize>>,
    reached: Vec<bool>,
}

impl Search<'_> {
    /// Finds a column for `new`, moving earlier rows along the cheapest path.
    fn place(&mut self, new: usize) -> Option<()> {
        let (mut low, mut high) = (usize::MAX, 0);
        let mut row = new;
        let mut at: Option<usize> = None;
        let free = loop {
            let window = &self.rows[row];
            for column in window.first..window.end().min(self.slack.len()) {
                if !self.reached[column] {
                    let slack =
                        window.cost(column) - self.row_price[row] - self.column_price[column];
                    if slack < self.slack[column] {
                        self.slack[column] = slack;
                        self.came_from[column] = at;
                    }
                }
            }
            (low, high) = (
                low.min(window.first),
                high.max(window.end().min(self.slack.len())),
            );
            let next = (low..high)
                .filter(|&c| !self.reached[c] && self.slack[c] < f64::INFINITY)
                .min_by(|&a, &b| self.slack[a].total_cmp(&self.slack[b]))?;
            self.reprice(new, low..high, self.slack[next]);
            self.reached[next] = true;
            at = Some(next);
            match self.row_of[next] {
                Some(holder) => row = holder,
                None => break next,
            }
        };
        let mut column = free;
        while let Some(before) = self.came_from[column] {
            self.row_of[column] = self.row_of[before];
            column = before;
        }
        self.row_of[column] = Some(new);
        for column in low..high {
            (
                self.slack[column],
                self.came_from[column],
                self.reached[column],
            ) = (f64::INFINITY, None, false);
        }
        Some(())
    }

    /// Moves the prices along the reached tree by `step`, so that the next column costs nothing
    /// beyond them.
    fn reprice(&mut self, new: usize, columns: std::ops::Range<usize>, step: f64) {
        self.row_price[new] += step;
        for column in columns {
            if self.reached[column] {
                self.column_price[column] -= step;
                if let Some(row) = self.row_of[column] {
                    self.row_price[row] += step;
                }
            } else {
                self.slack[column] -= step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(rows: &[Row], columns: &[usize]) -> f64 {
        rows.iter().zip(columns).map(|(r, &c)| r.cost(c)).sum()
    }

    fn brute(rows: &[Row], used: &mut Vec<bool>) -> f64 {
        let Some((row, rest)) = rows.split_first() else {
            return 0.0;
        };
        let mut best = f64::INFINITY;
        for column in 0..used.len() {
            if !used[column] && row.cost(column).is_finite() {
                used[column] = true;
                best = best.min(row.cost(column) + brute(rest, used));
                used[column] = false;
            }
        }
        best
    }

    #[test]
    fn a_hand_worked_assignment() {
        // Greedy takes 1 then 9 (10); 2 + 3 = 5 is cheapest.
        let rows = [
            Row {
                first: 0,
                costs: vec![1.0, 2.0],
            },
            Row {
                first: 0,
                costs: vec![3.0, 9.0],
            },
        ];
        assert_eq!(assign(&rows, 2), Some(vec![1, 0]));
        assert_eq!(assign(&[], 5), Some(vec![]));
        assert_eq!(assign(&[], 0), Some(vec![]));
        // Two rows that can only reach one column.
        let narrow = Row {
            first: 1,
            costs: vec![0.0],
        };
        assert_eq!(assign(&[narrow.clone(), narrow], 3), None);
        assert_eq!(
            assign(
                &[Row {
                    first: 0,
                    costs: vec![f64::INFINITY]
                }],
                1
            ),
            None
        );
    }

    fn matrix() -> impl Strategy<Value = (usize, Vec<Row>)> {
        (1usize..8).prop_flat_map(|columns| {
            let cost = prop_oneof![3 => (0u8..12).prop_map(f64::from), 1 => Just(f64::INFINITY)];
            let row = (0..columns).prop_flat_map(move |first| {
                prop::collection::vec(cost.clone(), 0..=(columns - first))
                    .prop_map(move |costs| Row { first, costs })
            });
            (
                Just(columns),
                prop::collection::vec(row, 0..=columns.min(6)),
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_equals_trying_all((columns, rows) in matrix()) {
            let best = brute(&rows, &mut vec![false; columns]);
            match assign(&rows, columns) {
                None => prop_assert!(best.is_infinite()),
                Some(got) => {
                    let mut seen = got.clone();
                    seen.sort_unstable();
                    seen.dedup();
                    prop_assert_eq!(seen.len(), rows.len());
                    prop_assert_eq!(total(&rows, &got), best);
                }
            }
        }
    }
}
