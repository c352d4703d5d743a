//! Cases as a proptest strategy, for property tests of your own.

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::Rng;

use super::case::Case;
use super::spec::Spec;

/// Cases of a specification; see [`cases`].
#[derive(Clone, Debug)]
pub struct Cases {
    spec: Spec,
}

/// Generated cases of a specification, which shrink as [`Case::simpler`] says: number of axes, sizes, layouts, values.
///
/// # Panics
/// If the specification cannot be read.
#[track_caller]
pub fn cases(spec: &str) -> Cases {
    Cases { spec: Spec::new(spec) }
}

impl Strategy for Cases {
    type Tree = CaseTree;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let current = Case::draw(&self.spec, runner.rng().next_u64());
        Ok(CaseTree { spec: self.spec.clone(), current, rest: None })
    }
}

/// A case on its way to a simpler one.
#[derive(Clone, Debug)]
pub struct CaseTree {
    spec: Spec,
    current: Case,
    /// The case that failed last, and the simpler ones not yet tried.
    rest: Option<(Case, std::vec::IntoIter<Case>)>,
}

impl ValueTree for CaseTree {
    type Value = Case;

    fn current(&self) -> Case {
        self.current.clone()
    }

    /// The current case fails: tries simpler ones of it.
    fn simplify(&mut self) -> bool {
        let simpler = self.current.simpler(&self.spec).into_iter();
        self.rest = Some((self.current.clone(), simpler));
        self.complicate()
    }

    /// The current case does not fail: tries the next of the last one that does, or goes back to it.
    fn complicate(&mut self) -> bool {
        let Some((failing, simpler)) = &mut self.rest else { return false };
        let next = simpler.next();
        self.current = next.clone().unwrap_or_else(|| failing.clone());
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::{Config, TestError};

    use super::*;

    #[test]
    fn a_failing_case_shrinks_to_the_simplest_that_fails() {
        let mut runner = TestRunner::new_with_rng(
            Config { failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let fails_at_three_columns = |case: Case| {
            proptest::prop_assert!(case.size("n") < 3);
            Ok(())
        };
        let Err(TestError::Fail(_, case)) = runner.run(&cases("x: * n"), fails_at_three_columns)
        else {
            panic!("some case has three columns")
        };
        assert_eq!((case.run(), case.size("n")), (&[][..], 3));
        assert_eq!(case.layouts(), [crate::check::Layout::Contiguous]);
    }
}
