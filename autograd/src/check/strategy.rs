//! Cases as a proptest strategy, and checks as its property tests.

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use rand::Rng;

use super::case::Case;
use super::entry::Entry;
use super::report::Verdict;
use super::spec::Spec;

impl Entry {
    /// Checks the gradients as a property test: as many cases as `config` says (or the variable `PROPTEST_CASES`), from a
    /// new seed each time. With [`Config::with_source_file`] the seed of a failure is kept in `proptest-regressions`, and
    /// runs first from then on. Inconclusive cases are rejected, of which there may be a tenth.
    ///
    /// ```no_run
    /// # use proptest::prelude::ProptestConfig;
    /// #[test]
    /// fn gradient_of_swish() {
    ///     let swish = autograd::check_op!("swish", "* -> *", |[x], _| x * &x.sigmoid());
    ///     swish.property(ProptestConfig::with_source_file(file!()));
    /// }
    /// ```
    ///
    /// # Panics
    /// With the report of the simplest case that fails, or if too many are inconclusive.
    #[track_caller]
    pub fn property(&self, config: Config) {
        let max_global_rejects = (config.cases / 10).max(1);
        // What makes a case simpler here keeps to the kind of failure, which proptest cannot know.
        let mut runner =
            TestRunner::new(Config { max_global_rejects, max_shrink_iters: 0, ..config });
        let outcome = runner.run(&Cases { spec: self.spec().clone() }, |case| {
            let report = self.check(&case);
            match report.verdict {
                Verdict::Pass => Ok(()),
                Verdict::Inconclusive => Err(TestCaseError::reject("inconclusive")),
                _ => Err(TestCaseError::fail(report.verdict.to_string())),
            }
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(_, case)) => {
                let report = self.check(&case);
                panic!("{}", self.shrink(case, report))
            }
            Err(TestError::Abort(reason)) => panic!("{}: {reason}", self.name()),
        }
    }
}

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
    use super::super::run::catching;
    use super::*;
    use crate::{Op, check_op};

    #[test]
    fn a_property_holds_or_fails_with_the_report_of_a_simple_case_and_keeps_its_seed() {
        let right = check_op!("swish", "* -> *", |[x], _| x * &x.sigmoid());
        let rng_seed = proptest::test_runner::RngSeed::Fixed(1);
        let config = Config { failure_persistence: None, cases: 64, rng_seed, ..Config::default() };
        right.property(config.clone());
        let wrong = check_op!("square", "m n", |[x], _| {
            let saved = x.value().clone();
            Op::new("square", saved.square()).wrt(x, move |g| g * &saved).record()
        });
        let file = std::env::temp_dir().join(format!("regressions-{}", std::process::id()));
        let path: &'static str = file.to_str().expect("a path in Unicode").to_owned().leak();
        let seeds = proptest::test_runner::FileFailurePersistence::Direct(path);
        let config = Config { failure_persistence: Some(Box::new(seeds)), ..config };
        let failure = catching(|| wrong.property(config)).expect_err("a factor is missing");
        let kept = std::fs::read_to_string(&file).expect("the seed is kept");
        std::fs::remove_file(&file).expect("just read");
        assert!(kept.lines().any(|line| line.starts_with("cc ")), "{kept}");
        assert!(failure.starts_with("square: gradient of x wrong at [0, 0]"), "{failure}");
        assert!(failure.contains("0.5 times the right one everywhere; x ["), "{failure}");
    }

    #[test]
    fn a_property_that_is_mostly_inconclusive_fails() {
        let kinks = check_op!("clamp", "* in at_halves", |[x], _| x.clamp(-E::ONE, E::ONE));
        let rng_seed = proptest::test_runner::RngSeed::Fixed(1);
        let config = Config { failure_persistence: None, rng_seed, ..Config::default() };
        let failure = catching(|| kinks.property(config)).expect_err("kinks at many places");
        assert!(failure.starts_with("clamp: Too many global rejects"), "{failure}");
    }

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
