//! Generated cases: sizes, layouts, values and uses of the inputs, all from one seed, and simpler cases of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tensor::{Shape, Tensor};

use super::layout::Layout;
use super::spec::{Axis, Bounds, Domain, Factor, Spec};

/// Sizes that axes have; more often small.
const SIZES: [usize; 10] = [1, 1, 2, 2, 2, 3, 3, 4, 5, 7];
/// Numbers of axes of a run.
const RUNS: [usize; 6] = [0, 1, 1, 2, 2, 3];
/// Longer than any vector register of a kernel's inner loop, and no multiple of one.
const LONG: usize = 37;
/// A row so long that a sum of its numbers, one by one, loses digits.
const ROW: usize = 4095;
/// Scales of values in every other case: what is right from −2 to 2 may be wrong beyond.
const SCALES: [f64; 3] = [1.0 / 64.0, 8.0, 64.0];

/// One input of a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Operand {
    layout: Layout,
    /// Leading axes of the run that are missing, and a bit for each axis of the run that is 1; for `~*` only.
    missing: usize,
    ones: usize,
}

/// Everything that a check of an op depends on. A case is data: the same case gives the same tensors, in every process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    seed: u64,
    sizes: BTreeMap<String, usize>,
    run: Vec<usize>,
    operands: Vec<Operand>,
    /// What values are multiplied by, as far as their domain allows.
    scale: f64,
    /// Values are small round numbers.
    round: bool,
    /// Inputs of one shape and domain are one variable, used several times.
    pub(crate) shared: bool,
    /// The op is applied twice to the same variables, and both results count.
    pub(crate) twice: bool,
}

/// As text that can be read back, such as `seed=17 sizes=k:2,m:1 run=3 layouts=permuted,narrowed/1/2 round`: of a
/// broadcast input, the layout is followed by how many axes are missing and by the bits of those that are 1.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}", self.seed)?;
        let list = |f: &mut fmt::Formatter<'_>, name: &str, items: Vec<String>| {
            if items.is_empty() { Ok(()) } else { write!(f, " {name}={}", items.join(",")) }
        };
        list(f, "sizes", self.sizes.iter().map(|(name, size)| format!("{name}:{size}")).collect())?;
        list(f, "run", self.run.iter().map(usize::to_string).collect())?;
        let operand = |&Operand { layout, missing, ones }: &Operand| match (missing, ones) {
            (0, 0) => layout.to_string(),
            _ => format!("{layout}/{missing}/{ones}"),
        };
        list(f, "layouts", self.operands.iter().map(operand).collect())?;
        if self.scale != 1.0 {
            write!(f, " scale={}", self.scale)?;
        }
        let flags = [(self.round, " round"), (self.shared, " shared"), (self.twice, " twice")];
        flags.iter().filter(|(on, _)| *on).try_for_each(|(_, word)| f.write_str(word))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text:?}: no number"));
        let mut case = Self {
            seed: 0,
            sizes: BTreeMap::new(),
            run: Vec::new(),
            operands: Vec::new(),
            scale: 1.0,
            round: false,
            shared: false,
            twice: false,
        };
        for token in text.split_whitespace() {
            let (key, value) = token.split_once('=').unwrap_or((token, ""));
            let items = || value.split(',');
            match key {
                "seed" => case.seed = value.parse().map_err(|_| format!("{value:?}: no seed"))?,
                "sizes" => {
                    for item in items() {
                        let (name, size) =
                            item.split_once(':').ok_or(format!("{item:?}: name:size expected"))?;
                        case.sizes.insert(name.to_owned(), number(size)?);
                    }
                }
                "run" => case.run = items().map(number).collect::<Result<_, _>>()?,
                "layouts" => {
                    for item in items() {
                        let mut parts = item.split('/');
                        let layout = parts.next().unwrap_or_default();
                        let layout =
                            Layout::ALL.into_iter().find(|known| known.to_string() == layout);
                        let layout = layout.ok_or(format!("{item:?}: no layout"))?;
                        let mut next = || parts.next().map_or(Ok(0), number);
                        case.operands.push(Operand { layout, missing: next()?, ones: next()? });
                    }
                }
                "scale" => {
                    case.scale = value.parse().map_err(|_| format!("{value:?}: no scale"))?;
                }
                "round" => case.round = true,
                "shared" => case.shared = true,
                "twice" => case.twice = true,
                _ => return Err(format!("{token:?}: no part of a case")),
            }
        }
        Ok(case)
    }
}

impl Case {
    /// Draws a case for a specification.
    pub fn draw(spec: &Spec, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut size = |bounds: Bounds| bounds.clamp(SIZES[rng.random_range(0..SIZES.len())]);
        let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
        for (name, &bounds) in spec.bounds.iter().filter(|(name, _)| *name != "*") {
            sizes.insert(name.clone(), size(bounds));
        }
        let mut run: Vec<usize> = (0..3).map(|_| size(spec.bounds("*"))).collect();
        let has_run = spec.bounds.contains_key("*");
        run.truncate(if has_run { RUNS[rng.random_range(0..RUNS.len())] } else { 0 });
        // Of eight seeds in a row, one makes an empty case, and one a long axis.
        let special = match seed % 8 {
            3 => Some(0),
            6 => Some(LONG),
            _ => None,
        };
        if let Some(special) = special {
            let named = sizes.iter_mut().map(|(name, size)| (spec.bounds(name), size));
            let free = run.iter_mut().map(|size| (spec.bounds("*"), size));
            let allowed = |(bounds, _): &(Bounds, _)| bounds.clamp(special) == special;
            let mut all: Vec<_> = named.chain(free).filter(allowed).collect();
            if !all.is_empty() {
                let which = rng.random_range(0..all.len());
                *all[which].1 = special;
            }
        }
        let mut operand = |input: &super::spec::Input| {
            let layouts = if input.domain == Domain::Distinct { 3 } else { 4 }; // expanded values are ties
            let layout = Layout::ALL[rng.random_range(0..layouts)];
            let (missing, ones) = (rng.random_range(0..3usize), rng.random_range(0..8usize));
            Operand {
                layout,
                missing: missing.saturating_sub(1),
                ones: ones & rng.random_range(0..8),
            }
        };
        let operands = spec.inputs.iter().map(&mut operand).collect();
        let (shared, twice) = (rng.random_ratio(1, 4), rng.random_ratio(1, 4));
        let scale = if rng.random() { 1.0 } else { SCALES[rng.random_range(0..SCALES.len())] };
        Self { seed, sizes, run, operands, scale, round: false, shared, twice }
    }

    /// The same case with these sizes instead of its own, as far as they are allowed: one for all names, and the axes of
    /// the run.
    pub fn resized(mut self, spec: &Spec, named: usize, run: &[usize]) -> Self {
        self.sizes.iter_mut().for_each(|(name, size)| *size = spec.bounds(name).clamp(named));
        if spec.bounds.contains_key("*") {
            self.run = run.iter().map(|&size| spec.bounds("*").clamp(size)).collect();
        }
        self
    }

    /// The same case with values from −2 to 2, or what else their domain says.
    pub fn unscaled(self) -> Self {
        Self { scale: 1.0, ..self }
    }

    /// The same case with values of many digits, around 1.
    pub(crate) fn with_all_digits(self) -> Self {
        Self { round: false, ..self.unscaled() }
    }

    /// Whether values are larger or smaller than usual.
    pub(crate) fn is_scaled(&self) -> bool {
        self.scale != 1.0
    }

    /// The same case with one long axis, wherever the bounds allow one, and short ones else.
    pub(crate) fn lengthened(&self, spec: &Spec) -> Self {
        let mut case = self.clone().resized(spec, 2, &[2]);
        let allowed = |name: &str| spec.bounds(name).clamp(ROW) == ROW;
        let mut names: Vec<&str> = self.sizes.keys().map(String::as_str).collect();
        names.extend(spec.bounds.contains_key("*").then_some("*"));
        names.retain(|name| allowed(name));
        if names.is_empty() {
            return self.clone();
        }
        match names[(self.seed >> 4) as usize % names.len()] {
            "*" => case.run = vec![ROW],
            name => *case.sizes.get_mut(name).expect("one of them") = ROW,
        }
        case.operands.iter_mut().for_each(|operand| (operand.missing, operand.ones) = (0, 0));
        case
    }

    /// The same case with a variable of its own for each input.
    pub fn unshared(self) -> Self {
        Self { shared: false, ..self }
    }

    /// The seed that it was drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The size of a name of the specification.
    ///
    /// # Panics
    /// If there is no such name.
    #[track_caller]
    pub fn size(&self, name: &str) -> usize {
        *self.sizes.get(name).unwrap_or_else(|| panic!("case: no axis is named {name:?}"))
    }

    /// The sizes of all names.
    pub fn sizes(&self) -> &BTreeMap<String, usize> {
        &self.sizes
    }

    /// The axes of the run.
    pub fn run(&self) -> &[usize] {
        &self.run
    }

    /// The layout of each input.
    pub fn layouts(&self) -> Vec<Layout> {
        self.operands.iter().map(|operand| operand.layout).collect()
    }

    /// The shape that `axes` have in this case.
    pub(crate) fn shape(&self, axes: &[Axis], input: usize) -> Shape {
        let factor = |factor: &Factor| match factor {
            Factor::Name(name) => self.size(name),
            Factor::Number(number) => *number,
        };
        let mut dims = Vec::new();
        for axis in axes {
            match axis {
                Axis::Run => dims.extend(&self.run),
                Axis::BroadcastRun => {
                    let Operand { missing, ones, .. } = self.operands[input];
                    let size =
                        |(i, &size): (usize, &usize)| if ones >> i & 1 == 1 { 1 } else { size };
                    dims.extend(self.run.iter().enumerate().map(size).skip(missing));
                }
                Axis::Size(sum) => {
                    let product =
                        |product: &Vec<Factor>| product.iter().map(factor).product::<usize>();
                    dims.push(sum.iter().map(product).sum());
                }
            }
        }
        Shape::new(&dims)
    }

    /// The inputs. Their values are representable in single precision, so that both precisions see the same.
    pub fn tensors(&self, spec: &Spec) -> Vec<Tensor<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed);
        let inputs = spec.inputs.iter().zip(&self.operands).enumerate();
        inputs
            .map(|(i, (input, operand))| {
                let shape = self.shape(&input.axes, i);
                let scale = if input.traits.moderate { 1.0 } else { self.scale };
                let values = values(input.domain, shape.elements(), i, scale, self.round, &mut rng);
                operand.layout.lay_out(&Tensor::from_vec(shape, values))
            })
            .collect()
    }

    /// Cases that differ in one thing and are simpler, the greatest simplification first: fewer axes, smaller sizes,
    /// contiguous layouts, one use, round values. All of them are valid.
    pub fn simpler(&self, spec: &Spec) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut with = |change: &dyn Fn(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            if case != *self {
                cases.push(case);
            }
        };
        for axis in 0..self.run.len() {
            with(&|case| {
                case.run.remove(axis);
            });
        }
        let least = |name: &str| spec.bounds(name).least.max(1);
        for (name, &size) in &self.sizes {
            smaller(size, least(name)).for_each(|size| {
                with(&|case| {
                    case.sizes.insert(name.clone(), size);
                });
            });
        }
        for (axis, &size) in self.run.iter().enumerate() {
            smaller(size, least("*")).for_each(|size| with(&|case| case.run[axis] = size));
        }
        for i in 0..self.operands.len() {
            with(&|case| case.operands[i].layout = Layout::Contiguous);
            with(&|case| (case.operands[i].missing, case.operands[i].ones) = (0, 0));
        }
        with(&|case| case.shared = false);
        with(&|case| case.twice = false);
        with(&|case| case.scale = 1.0);
        with(&|case| case.round = true);
        cases
    }
}

/// Smaller sizes to try: the least, the half, one less. Size 0 is a case of its own and is not approached.
fn smaller(size: usize, least: usize) -> impl Iterator<Item = usize> {
    [least, size / 2, size.saturating_sub(1)]
        .into_iter()
        .filter(move |&next| least <= next && next < size)
}

/// `count` values of a domain for input number `input`.
fn values(
    domain: Domain,
    count: usize,
    input: usize,
    scale: f64,
    round: bool,
    rng: &mut ChaCha8Rng,
) -> Vec<f64> {
    let mut places: Vec<usize> = (0..count).collect();
    if domain == Domain::Distinct {
        (1..count).for_each(|i| places.swap(i, rng.random_range(0..=i)));
    }
    // The last three domains keep their distances, so only larger scales are for them, and in steps of ½.
    let large = scale.max(1.0);
    let mut value = |place: usize| {
        let sign = if rng.random() { 1.0 } else { -1.0 };
        let (whole, fraction) = (f64::from(rng.random_range(1..3)), rng.random_range(0.0..1.0));
        let halves = matches!(domain, Domain::OffHalves | Domain::AtHalves);
        let whole = if halves { whole * large } else { whole };
        let exact = match domain {
            Domain::Any if round => scale * sign * whole,
            Domain::Any => scale * sign * 2.0 * fraction,
            Domain::Positive if round => scale * whole,
            Domain::Positive => scale * (0.5 + 2.0 * fraction),
            Domain::Nonzero if round => scale * sign * whole,
            Domain::Nonzero => scale * sign * (0.5 + 1.5 * fraction),
            Domain::OffHalves if round => sign * (whole / 2.0 - 0.25),
            Domain::OffHalves => sign * (whole / 2.0 - 0.25 + 0.3 * (fraction - 0.5)),
            Domain::AtHalves if round => sign * whole / 2.0,
            Domain::AtHalves if fraction < 0.25 => sign * whole / 2.0 - 0.5,
            Domain::AtHalves => {
                sign * whole / 2.0 + sign * 10f64.powf(-16.0 * (fraction - 0.25) - 0.5)
            }
            Domain::Distinct => {
                let jitter = if round { 0.0 } else { 0.02 * (fraction - 0.5) };
                large
                    * (0.25 * (place as f64 - (count / 2) as f64) + 0.0625 * input as f64 + jitter)
            }
        };
        f64::from(exact as f32)
    };
    places.into_iter().map(&mut value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_and_all_simpler_ones_fit_the_specification_and_shrinking_ends() {
        let spec = Spec::new("x: ~* n>1, rhs: * 2*n in distinct");
        for seed in 0..200 {
            let mut case = Case::draw(&spec, seed);
            for _ in 0..60 {
                assert_eq!(case.to_string().parse(), Ok(case.clone()), "{case}");
                let tensors = case.tensors(&spec);
                assert_eq!(tensors[1].dim(-1), 2 * tensors[0].dim(-1));
                assert!(tensors[0].dim(-1) > 1);
                let lead = |x: &Tensor<f64>| Shape::new(&x.dims()[..x.rank() - 1]);
                let run = lead(&tensors[1]);
                assert_eq!(run.broadcast(lead(&tensors[0])), Some(run));
                let simpler = case.simpler(&spec);
                let Some(next) = simpler.into_iter().next() else { break };
                case = next;
            }
            assert!(case.simpler(&spec).is_empty());
        }
    }

    #[test]
    fn a_text_that_is_no_case_is_refused() {
        for text in ["seed=x", "sizes=n", "layouts=round", "twice thrice"] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }

    #[test]
    fn scalars_empty_tensors_and_every_layout_are_drawn() {
        let spec = Spec::new("*");
        let cases: Vec<Case> = (0..200).map(|seed| Case::draw(&spec, seed)).collect();
        assert!(cases.iter().any(|case| case.run.is_empty()));
        assert!(cases.iter().any(|case| case.run.contains(&0)));
        assert!(cases.iter().any(|case| case.run.contains(&LONG)));
        for layout in Layout::ALL {
            assert!(cases.iter().any(|case| case.operands[0].layout == layout));
        }
    }
}
