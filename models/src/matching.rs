//! The assignment problem: one column for each row, so that the sum of costs is the smallest.

/// Costs beyond this could overflow when they are added along a path.
const LARGEST: f64 = 1e100;

/// The pairs (row, column) of the cheapest assignment, by ascending row. Each row and each column is in at most one pair, and
/// there are min(rows, columns) pairs. Of several assignments with the same cost the result is always the same one.
///
/// `costs` are `[rows, columns]`, row by row.
///
/// Shortest augmenting paths with potentials, O(r²·c) where r is the smaller of the numbers of rows and columns and c the
/// larger. Rows are assigned one by one: from a new row the cheapest path over assigned columns to a free one is found by
/// Dijkstra's algorithm on the reduced costs c(i, j) − u(i) − v(j) ≥ 0, and the assignment is changed along it.
///
/// Source: Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Trans. AES 52(4), 2016, after Jonker and
/// Volgenant 1987; SciPy's `linear_sum_assignment` gives the same costs.
///
/// # Panics
/// If there are not rows · columns costs, or if one is not a number or beyond ±10¹⁰⁰. A forbidden pair gets a cost that is
/// larger than the sum of all others.
#[track_caller]
pub fn assign(costs: &[f64], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    assert!(
        rows.checked_mul(columns) == Some(costs.len()),
        "assign: {} costs for {rows} × {columns}",
        costs.len()
    );
    let is_sound = |cost: &f64| cost.abs() <= LARGEST; // NaN is not
    if let Some(i) = costs.iter().position(|cost| !is_sound(cost)) {
        let (row, column) = (i / columns, i % columns);
        panic!("assign: the cost of row {row} and column {column} is {}", costs[i]);
    }
    if rows <= columns {
        return wide(costs, rows, columns);
    }
    let transposed: Vec<f64> =
        (0..costs.len()).map(|i| costs[i % rows * columns + i / rows]).collect();
    let mut pairs = wide(&transposed, columns, rows);
    pairs.iter_mut().for_each(|(a, b)| std::mem::swap(a, b));
    pairs.sort_unstable();
    pairs
}

/// [`assign`] with no more rows than columns.
fn wide(costs: &[f64], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let (mut u, mut v) = (vec![0.0; rows], vec![0.0; columns]);
    let mut row_of: Vec<Option<usize>> = vec![None; columns];
    let mut column_of = vec![0; rows];
    // Of the shortest path to each column: its length, the row before the column, whether it is final.
    let mut length = vec![0.0; columns];
    let mut before = vec![0; columns];
    let mut done = vec![false; columns];
    for new in 0..rows {
        length.fill(f64::INFINITY);
        done.fill(false);
        let (mut row, mut least) = (new, 0.0);
        let end = loop {
            let mut nearest = 0;
            let mut next = f64::INFINITY;
            for j in (0..columns).filter(|&j| !done[j]) {
                let through = least + costs[row * columns + j] - u[row] - v[j];
                if through < length[j] {
                    (length[j], before[j]) = (through, row);
                }
                // Among equally near columns the first free one ends the search.
                let is_better = row_of[j].is_none() && row_of[nearest].is_some();
                if length[j] < next || (length[j] == next && is_better) {
                    (nearest, next) = (j, length[j]);
                }
            }
            least = next;
            done[nearest] = true;
            match row_of[nearest] {
                None => break nearest,
                Some(assigned) => row = assigned,
            }
        };
        u[new] += least;
        for j in (0..columns).filter(|&j| done[j]) {
            if let Some(row) = row_of[j] {
                u[row] += least - length[j];
            }
            v[j] -= least - length[j];
        }
        let mut column = end;
        loop {
            let row = before[column];
            row_of[column] = Some(row);
            std::mem::swap(&mut column_of[row], &mut column);
            if row == new {
                break;
            }
        }
    }
    column_of.into_iter().enumerate().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_pairs_are_found_in_both_orientations() {
        let costs = [4.0, 1.0, 3.5, 2.0, 0.0, 5.0];
        assert_eq!(assign(&costs, 2, 3), [(0, 1), (1, 0)]); // 3; greedy takes 0 and then 3.5
        assert_eq!(assign(&costs, 3, 2), [(0, 1), (2, 0)]); // 1
        assert_eq!(assign(&[-1.0], 1, 1), [(0, 0)]);
    }

    #[test]
    fn nothing_is_assigned_where_there_is_nothing() {
        assert_eq!(assign(&[], 0, 0), []);
        assert_eq!(assign(&[], 3, 0), []);
        assert_eq!(assign(&[], 0, 3), []);
    }

    #[test]
    fn equal_costs_give_the_same_pairs_each_time() {
        assert_eq!(assign(&[1.0; 12], 3, 4), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(assign(&[1.0; 12], 4, 3), [(0, 0), (1, 1), (2, 2)]);
    }

    #[test]
    #[should_panic(expected = "assign: the cost of row 1 and column 0 is NaN")]
    fn a_cost_that_is_not_a_number_is_refused() {
        assign(&[0.0, 1.0, f64::NAN, 2.0], 2, 2);
    }

    #[test]
    #[should_panic(expected = "assign: the cost of row 0 and column 1 is inf")]
    fn an_infinite_cost_is_refused() {
        assign(&[0.0, f64::INFINITY], 1, 2);
    }

    #[test]
    #[should_panic(expected = "assign: 3 costs for 2 × 2")]
    fn missing_costs_are_refused() {
        assign(&[0.0; 3], 2, 2);
    }
}
