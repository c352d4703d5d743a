//! What position encodings promise whatever their parameters are.

use autograd::{Var, rotate};
use nn::{Context, Init, Params, Places, Position, PositionConfig, PositionShape, Reading};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tensor::Tensor;

const DIM: usize = 24;
const HEADS: usize = 2;

fn shape(sizes: &[usize], groups: usize) -> PositionShape {
    PositionShape { sizes: sizes.to_vec(), groups, extra: 0, dim: DIM, heads: HEADS, depth: 2 }
}

/// An encoder, and its parameters moved off their first values.
fn encoder(config: &PositionConfig, shape: PositionShape) -> (Position, Params<f64>) {
    let mut params = Params::new();
    let position = Position::new(&mut Init::new(&mut params, 3), config, shape);
    (position, params.cast())
}

fn embed(position: &Position, params: &Params<f64>, places: &Places) -> Option<Tensor<f64>> {
    position.embed(&Context::eval(params), places).0.map(Var::into_value)
}

fn largest(x: &Tensor<f64>) -> f64 {
    x.to_vec().into_iter().fold(0.0, |max: f64, x| max.max(x.abs()))
}

fn assert_close(what: &str, a: &Tensor<f64>, b: &Tensor<f64>, tolerance: f64) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    let apart = largest(&(a - b));
    assert!(apart <= tolerance * largest(b).max(1.0), "{what}: {apart:e} apart");
}

/// Positions [n, groups, 2] from 0 to 1.
fn positions(n: usize, groups: usize) -> impl Strategy<Value = Tensor<f64>> {
    let values = prop::collection::vec(0.0..1.0f64, n * groups * 2);
    values.prop_map(move |values| Tensor::from_vec([n, groups, 2], values))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    })]

    #[test]
    fn places_in_another_order_have_their_rows_in_that_order(at in positions(7, 1)) {
        let order = [3, 0, 6, 1, 5, 2, 4];
        for config in PositionConfig::all(0.3) {
            let (position, params) = encoder(&config, shape(&[5, 4], 1));
            let rows = embed(&position, &params, &Places::new(at.clone(), &[5, 4]));
            let other = embed(&position, &params, &Places::new(at.gather(0, &order), &[5, 4]));
            if let (Some(rows), Some(other)) = (rows, other) {
                assert_close(config.name(), &other, &rows.gather(0, &order), 1e-12);
            }
        }
    }

    #[test]
    fn relative_encodings_see_differences_only(at in positions(5, 1), by in prop::array::uniform2(-0.5..0.5f64)) {
        let shift = Tensor::from_vec([2], by.to_vec());
        let (here, there) = (Places::new(at.clone(), &[8, 8]), Places::new(&at + &shift, &[8, 8]));
        let content: Tensor<f64> = Tensor::from_fn([HEADS, 5, DIM / HEADS], |i| ((i * 7) as f64).sin());
        let mut relative = 0;
        for config in PositionConfig::all(0.3) {
            let (position, params) = encoder(&config, shape(&[8, 8], 1));
            let cx = Context::eval(&params);
            for layer in 0..2 {
                let [a, b] = [&here, &there].map(|places| position.sight(&cx, places, false).of(layer).clone());
                if let (Some(a), Some(b)) = (&a.mask, &b.mask) {
                    assert_close(config.name(), a.value(), b.value(), 1e-9);
                    relative += 1;
                }
                if let (Some([a, _]), Some([b, _])) = (&a.angles, &b.angles) {
                    // q·k after turning both, for all pairs.
                    let scores = |angles: &Var<f64>| {
                        let turned = rotate(&Var::constant(content.clone()), angles).into_value();
                        turned.matmul(&turned.transpose(-2, -1))
                    };
                    assert_close(config.name(), &scores(a), &scores(b), 1e-9);
                    relative += 1;
                }
            }
        }
        prop_assert_eq!(relative, 10); // five kinds, two layers
    }

    #[test]
    fn kernels_of_sines_see_differences_only(at in positions(5, 1), by in prop::array::uniform2(-0.5..0.5f64)) {
        let shift = Tensor::from_vec([2], by.to_vec());
        let kinds = PositionConfig::all(0.3).into_iter();
        for config in kinds.filter(|kind| ["lff", "fixed-fourier", "sine-2d"].contains(&kind.name())) {
            let (position, params) = encoder(&config, shape(&[8, 8], 1));
            let kernel = |at: &Tensor<f64>| {
                let rows = embed(&position, &params, &Places::new(at.clone(), &[8, 8])).expect("absolute");
                rows.matmul(&rows.transpose(0, 1))
            };
            assert_close(config.name(), &kernel(&at), &kernel(&(&at + &shift)), 1e-9);
        }
    }

    #[test]
    fn groups_share_weights(at in positions(4, 2)) {
        let swapped = Tensor::concat(&[&at.narrow(1, 1, 1), &at.narrow(1, 0, 1)], 1);
        let mut served = 0;
        for config in PositionConfig::all(0.3) {
            if config.validate(&shape(&[5, 4], 2)).is_err() {
                continue;
            }
            let (position, params) = encoder(&config, shape(&[5, 4], 2));
            let rows = embed(&position, &params, &Places::new(at.clone(), &[5, 4]));
            let other = embed(&position, &params, &Places::new(swapped.clone(), &[5, 4]));
            if let (Some(rows), Some(other)) = (rows, other) {
                let half = |x: &Tensor<f64>, i| x.narrow(1, i * DIM / 2, DIM / 2);
                assert_close(config.name(), &half(&other, 0), &half(&rows, 1), 1e-12);
                served += 1;
            }
        }
        prop_assert_eq!(served, 9);
    }

    #[test]
    fn unseen_positions_and_sizes_give_finite_values(at in positions(6, 1), h in 1..40usize, w in 1..40usize) {
        for config in PositionConfig::all(0.3) {
            let (position, params) = encoder(&config, shape(&[5, 4], 1));
            let cx = Context::eval(&params);
            for places in [Places::grid(h, w), Places::new(&at * 3.0, &[5, 4])] {
                if h * w > 400 && places.len() == h * w {
                    continue;
                }
                if let Some(rows) = embed(&position, &params, &places) {
                    prop_assert_eq!(rows.dims(), [places.len(), DIM]);
                    prop_assert!(rows.to_vec().iter().all(|x| x.is_finite()), "{}", config.name());
                }
                let sight = position.sight(&cx, &places, false);
                let finite = |x: &Var<f64>| x.value().to_vec().iter().all(|x| x.is_finite());
                prop_assert!(sight.of(1).mask.iter().all(finite), "{}", config.name());
                prop_assert!(sight.of(1).angles.iter().flatten().all(finite), "{}", config.name());
            }
        }
    }

    #[test]
    fn readings_agree_bit_for_bit_at_the_size_trained_on(at in positions(6, 1)) {
        for config in PositionConfig::all(0.3) {
            for places in [Places::grid(5, 4), Places::new(at.clone(), &[5, 4])] {
                let [own, dense, farther] = Reading::ALL.map(|reading| seen(&config, &[5, 4], reading, &places));
                prop_assert_eq!(&own, &dense, "{}", config.name());
                prop_assert_eq!(&own, &farther, "{}", config.name());
            }
        }
    }

    #[test]
    fn a_grid_twice_as_dense_has_the_encodings_trained_on_in_every_second_row_and_column(
        h in 1..6usize, w in 1..6usize
    ) {
        for config in PositionConfig::all(0.3) {
            let trained = seen(&config, &[h, w], Reading::Dense, &Places::grid(h, w));
            let denser = seen(&config, &[h, w], Reading::Dense, &Places::grid(2 * h, 2 * w));
            let first = match config.name() {
                "embed-1d" | "embed-2d" => continue, // interpolated in between
                "sine-2d" | "sine-mlp" => 1, // read the far end of a place
                _ => 0,
            };
            let every_second: Vec<usize> = (0..h * w)
                .map(|i| (2 * (i / w) + first) * 2 * w + 2 * (i % w) + first)
                .collect();
            denser.at(&every_second).assert_close(config.name(), &trained);
        }
    }

    #[test]
    fn a_grid_that_goes_farther_has_the_encodings_trained_on_at_its_start(
        h in 1..6usize, w in 1..6usize, more in prop::array::uniform2(0..5usize)
    ) {
        for config in PositionConfig::all(0.3) {
            // One index for all coordinates means another place if rows are longer.
            let [rows, columns] = [h + more[0], if config.name() == "sine-1d" { w } else { w + more[1] }];
            let trained = seen(&config, &[h, w], Reading::Farther, &Places::grid(h, w));
            let farther = seen(&config, &[h, w], Reading::Farther, &Places::grid(rows, columns));
            let start: Vec<usize> = (0..h * w).map(|i| i / w * columns + i % w).collect();
            farther.at(&start).assert_close(config.name(), &trained);
        }
    }
}

/// What an encoder made for these sizes says of places: what it adds to them, and for each layer how they see each other.
#[derive(Debug, PartialEq)]
struct Seen {
    rows: Option<Tensor<f64>>,
    angles: Vec<Tensor<f64>>,
    biases: Vec<Tensor<f64>>,
}

fn seen(config: &PositionConfig, sizes: &[usize], reading: Reading, places: &Places) -> Seen {
    let (mut position, params) = encoder(config, shape(sizes, 1));
    position.set_reading(reading);
    let sight = position.sight(&Context::eval(&params), places, false);
    let layers: Vec<_> = (0..2).map(|layer| sight.of(layer)).collect();
    let angles = layers.iter().filter_map(|layer| Some(layer.angles.as_ref()?[0].value().clone()));
    let biases = layers.iter().filter_map(|layer| Some(layer.mask.as_ref()?.value().clone()));
    Seen {
        rows: embed(&position, &params, places),
        angles: angles.collect(),
        biases: biases.collect(),
    }
}

impl Seen {
    /// Of some of the places only.
    fn at(&self, places: &[usize]) -> Self {
        let pairs = |bias: &Tensor<f64>| bias.gather(1, places).gather(2, places);
        Self {
            rows: self.rows.as_ref().map(|rows| rows.gather(0, places)),
            angles: self.angles.iter().map(|angles| angles.gather(-2, places)).collect(),
            biases: self.biases.iter().map(pairs).collect(),
        }
    }

    fn assert_close(&self, what: &str, expected: &Self) {
        let all = |seen: &Self| -> Vec<Tensor<f64>> {
            seen.rows.iter().chain(&seen.angles).chain(&seen.biases).cloned().collect()
        };
        let (found, expected) = (all(self), all(expected));
        assert_eq!(found.len(), expected.len(), "{what}");
        found.iter().zip(&expected).for_each(|(a, b)| assert_close(what, a, b, 1e-9));
    }
}

#[test]
fn tables_give_the_rows_of_their_indices() {
    let places = Places::grid(3, 4);
    let of = |config: PositionConfig| {
        let (position, params) = encoder(&config, shape(&[3, 4], 1));
        let rows = embed(&position, &params, &places).expect("absolute");
        let tables = params.iter().map(|param| param.value.clone()).collect::<Vec<_>>();
        (rows, tables)
    };
    let (rows, tables) = of(PositionConfig::Embed1d { std: 0.02 });
    assert_eq!(rows, tables[0].squeeze(0));
    let place = 7; // row 1, column 3
    let (rows, tables) = of(PositionConfig::Embed2d { std: 0.02 });
    let expected = [tables[0].narrow(0, 1, 1).to_vec(), tables[1].narrow(0, 3, 1).to_vec()];
    assert_eq!(rows.narrow(0, place, 1).to_vec(), expected.concat());
    let (rows, tables) = of(PositionConfig::Factorized { std: 0.02 });
    let expected = &tables[0].narrow(0, 1, 1) + &tables[1].narrow(0, 3, 1);
    assert_eq!(rows.narrow(0, place, 1), expected);
}

#[test]
fn the_numbers_of_parameters_are_those_of_the_docs() {
    let expected = [
        ("none", 0),
        ("embed-1d", 20 * DIM),
        ("embed-2d", (5 + 4) * DIM / 2),
        ("sine-1d", 0),
        ("sine-2d", 0),
        ("sine-mlp", DIM * 32 + 32 + 32 * DIM + DIM),
        ("mlp", 3 * 32 + 33 * DIM),
        ("lff", 2 * DIM / 2),
        ("lff-mlp", DIM + DIM * 32 + 32 + 32 * DIM + DIM),
        ("fixed-fourier", 0),
        ("fixed-fourier-mlp", DIM * 32 + 32 + 32 * DIM + DIM),
        ("factorized", (5 + 4) * DIM),
        ("rope-axial", 0),
        ("rope-mixed", 2 * DIM / 2 * 2),
        ("alibi", 0),
        ("relative-mlp", 3 * 32 + 33 * HEADS),
        ("relative-lff", DIM + DIM * 32 + 32 + 33 * HEADS),
    ];
    let found = PositionConfig::all(0.3).into_iter().map(|config| {
        let (_, params) = encoder(&config, shape(&[5, 4], 1));
        let trained = params.iter().filter(|param| param.trainable);
        (config.name(), trained.map(|param| param.value.len()).sum())
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn what_encoders_do_by_themselves_is_the_reading_of_the_docs() {
    let expected = [
        ("none", "either"),
        ("embed-1d", "dense"),
        ("embed-2d", "dense"),
        ("sine-1d", "farther"),
        ("sine-2d", "dense"),
        ("sine-mlp", "dense"),
        ("mlp", "dense"),
        ("lff", "dense"),
        ("lff-mlp", "dense"),
        ("fixed-fourier", "dense"),
        ("fixed-fourier-mlp", "dense"),
        ("factorized", "dense"),
        ("rope-axial", "farther"),
        ("rope-mixed", "farther"),
        ("alibi", "farther"),
        ("relative-mlp", "dense"),
        ("relative-lff", "dense"),
    ];
    let places = Places::grid(7, 9);
    let found = PositionConfig::all(0.3).into_iter().map(|config| {
        let [own, dense, farther] =
            Reading::ALL.map(|reading| seen(&config, &[5, 4], reading, &places));
        let own = match (own == dense, own == farther) {
            (true, true) => "either",
            (true, false) => "dense",
            (false, true) => "farther",
            (false, false) => "neither",
        };
        (config.name(), own)
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn beyond_its_end_a_table_has_its_last_row_and_between_two_rows_an_index_is_no_whole_one() {
    let farther = |config: &PositionConfig, places: &Places| {
        seen(config, &[3, 4], Reading::Farther, places).rows.expect("absolute")
    };
    for config in [
        PositionConfig::Embed1d { std: 0.02 },
        PositionConfig::Embed2d { std: 0.02 },
        PositionConfig::Factorized { std: 0.02 },
    ] {
        let trained = farther(&config, &Places::grid(3, 4));
        let found = farther(&config, &Places::grid(6, 7)); // row 4, column 2; row 5, column 6
        assert_eq!(found.gather(0, &[4 * 7 + 2, 5 * 7 + 6]), trained.gather(0, &[2 * 4 + 2, 11]));
    }
    let sine = PositionConfig::Sine1d { temperature: 10_000.0 };
    let found = seen(&sine, &[3, 4], Reading::Dense, &Places::grid(6, 8)).rows.expect("absolute");
    let first = found.gather(0, &[3 * 8 + 5]).to_vec()[0]; // row 1½, column 2½ of 3 × 4 places
    assert!((first - 8.5f64.sin()).abs() < 1e-12, "{first}");
}

#[test]
fn a_head_of_rope_axial_turns_one_coordinate_with_each_half() {
    let (position, params) =
        encoder(&PositionConfig::RopeAxial { temperature: 100.0 }, shape(&[3, 4], 1));
    let sight = position.sight(&Context::eval(&params), &Places::grid(3, 4), false);
    let angles = sight.of(0).angles.as_ref().expect("turned")[0].value().clone();
    let place = angles.narrow(0, 7, 1).to_vec(); // row 1, column 3; three pairs a coordinate
    let third = 100f64.powf(-1.0 / 3.0);
    let expected = [1.0, third, third * third, 3.0, 3.0 * third, 3.0 * third * third];
    assert!(place.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{place:?}");
}

#[test]
fn alibi_falls_with_the_euclidean_distance_and_halves_its_slope_from_head_to_head() {
    let (position, params) = encoder(&PositionConfig::Alibi {}, shape(&[3, 4], 1));
    let sight = position.sight(&Context::eval(&params), &Places::grid(3, 4), false);
    let bias = sight.of(0).mask.as_ref().expect("biased").value().clone();
    assert_eq!(bias.dims(), [HEADS, 12, 12]);
    let between = |head: usize, a: usize, b: usize| bias.get(&[head, a, b]);
    assert!((between(0, 0, 10) + 8f64.sqrt() / 16.0).abs() < 1e-12); // (0, 0) to (2, 2), slope 2⁻⁴
    assert!((between(1, 0, 10) + 8f64.sqrt() / 256.0).abs() < 1e-12);
    assert_eq!(between(0, 5, 5), 0.0);
}

#[test]
fn a_class_token_is_neither_turned_nor_biased() {
    for config in PositionConfig::all(0.3) {
        let shape = PositionShape { extra: 1, ..shape(&[3, 3], 1) };
        let (position, params) = encoder(&config, shape);
        let cx = Context::eval(&params);
        let sight = position.sight(&cx, &Places::grid(3, 3), false);
        if let Some(mask) = &sight.of(0).mask {
            assert_eq!(mask.dims(), [HEADS, 10, 10]);
            assert_eq!(largest(&mask.value().narrow(1, 0, 1)), 0.0);
            assert_eq!(largest(&mask.value().narrow(2, 0, 1)), 0.0);
        }
        if let Some([angles, _]) = &sight.of(0).angles {
            assert_eq!(largest(&angles.value().narrow(-2, 0, 1)), 0.0);
        }
    }
}

#[test]
fn tables_start_at_the_scale_of_the_config() {
    use PositionConfig::{Embed1d, Embed2d, Factorized};
    let first = |config: &PositionConfig| {
        let mut params = Params::new();
        Position::new(&mut Init::new(&mut params, 3), config, shape(&[5, 4], 1));
        params.iter().flat_map(|param| param.value.to_vec()).collect::<Vec<_>>()
    };
    for of in [|std| Embed1d { std }, |std| Embed2d { std }, |std| Factorized { std }] {
        let (usual, large) = (first(&of(0.02)), first(&of(0.5)));
        let all = usual.iter().zip(&large).all(|(a, b)| (25.0 * a - b).abs() < 1e-6);
        assert!(all && large.iter().any(|x| x.abs() > 0.5), "{:?}", of(0.5));
        let refused = of(0.0).validate(&shape(&[5, 4], 1)).expect_err("no scale");
        assert_eq!(refused, "position.std = 0: a positive number expected");
    }
}

#[test]
fn fixed_frequencies_are_not_trained() {
    let kinds = PositionConfig::all(0.3).into_iter();
    for config in kinds.filter(|kind| kind.name().starts_with("fixed")) {
        let (_, params) = encoder(&config, shape(&[5, 4], 1));
        assert!(!params.by_name("pe.wr").expect("made").trainable);
    }
}

#[test]
fn an_encoder_that_cannot_serve_a_model_is_refused_with_those_that_can() {
    let boxes = PositionShape { sizes: vec![100; 4], ..shape(&[], 1) };
    let refused =
        PositionConfig::Embed1d { std: 0.02 }.validate(&boxes).expect_err("four coordinates");
    assert!(
        refused.contains("position.kind = \"embed-1d\" counts places in row-major order"),
        "{refused}"
    );
    assert!(
        refused.contains("these can: none, embed-2d, sine-2d, sine-mlp, mlp, lff, lff-mlp"),
        "{refused}"
    );
    assert!(!refused.contains("sine-1d,"), "{refused}");
    let narrow = PositionShape { dim: 6, heads: 3, ..shape(&[4, 4], 1) };
    let refused =
        PositionConfig::RopeAxial { temperature: 100.0 }.validate(&narrow).expect_err("2 a head");
    assert!(refused.contains("turns pairs of features, at least 2 a head"), "{refused}");
}
