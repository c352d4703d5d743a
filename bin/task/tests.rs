//! Laws of a step and of a score, over all tasks.

use std::fs;
use std::path::Path;

use datasets::{detection, screens};

use super::*;
use crate::data::Parts;
use crate::recipe::Changes;
use crate::state::Past;
use crate::trainer::Trainer;

/// A run of a recipe with values changed, at its start.
fn begun(recipe: &str, data: Option<&Path>, set: &[&str]) -> (Trainer, crate::state::State) {
    let set: Vec<String> = set.iter().map(|&pair| pair.to_owned()).collect();
    let changes = Changes { data, set: &set, ..Changes::default() };
    let text = Recipe::text(recipe).expect("a recipe");
    let recipe = Recipe::resolve(recipe, &text, &changes).expect("a recipe");
    Trainer::new(recipe, Asked::default(), &Past::default(), Parts::All).expect("a run")
}

/// Four screens to train on, with one, one, two and two widgets, and one to score.
fn screens(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/tests/fixtures/screens");
    for part in ["combined", "split"] {
        fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    let copied = [("14", "14"), ("14", "15"), ("291", "291"), ("32", "32"), ("1006", "1006")];
    for (id, name) in copied {
        for end in ["json", "jpg"] {
            let [from, to] = [(&*from, id), (folder, name)]
                .map(|(folder, id)| folder.join(format!("combined/{id}.{end}")));
            fs::copy(from, to).expect("copied");
        }
    }
    let captions = fs::read_to_string(from.join("widget_captions.csv")).expect("read");
    let captions = captions + "rc,15,0.2.3,submit\n";
    fs::write(folder.join("widget_captions.csv"), captions).expect("written");
    for (part, ids) in [("train", "14\n291\n32\n1006\n"), ("dev", "15\n"), ("test", "15\n")] {
        fs::write(folder.join(format!("split/{part}.txt")), ids).expect("written");
    }
}

const CLASSIFIER: [&str; 8] = [
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.patch_size=14",
    "model.drop_path=0",
    "model.position={ kind = \"lff-mlp\", features = 8 }",
    "train.label_smoothing=0.1",
];
const GENERATOR: [&str; 4] = ["model.dim=8", "model.depth=1", "model.heads=2", "model.mlp_dim=8"];
const DETECTOR: [&str; 8] = [
    "model.image_size=[32, 32]",
    "model.backbone={ kind = \"residual\", channels = [8, 8, 16], blocks = 1 }",
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.queries=6",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "data.scenes={ objects = \"sample\", train = 8, test = 6, max_objects = 4, sides = [8, 16] }",
];
const CAPTIONER: [&str; 9] = [
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.encoder_depth=1",
    "model.decoder_depth=1",
    "model.pixels=[4, 8]",
    "model.dropout=0",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "data.screens={ eval = \"train\" }",
];

/// All recipes, so small that they take no time.
fn recipes(screens: &Path) -> [(&'static str, Option<&Path>, &'static [&'static str]); 4] {
    [
        ("vit-sample", None, &CLASSIFIER),
        ("igpt-sample", None, &GENERATOR),
        ("detr-scenes", None, &DETECTOR),
        ("caption-web", Some(screens), &CAPTIONER),
    ]
}

#[test]
fn a_step_has_the_same_gradient_however_its_images_are_cut_into_batches_and_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    screens(folder.path());
    for (recipe, data, set) in recipes(folder.path()) {
        // Batch size, batches of a step, images of a shard.
        let step = |[batch, accumulate, shard]: [usize; 3]| {
            let cut = [
                format!("train.batch_size={batch}"),
                format!("train.accumulate={accumulate}"),
                format!("train.micro_batch={shard}"),
            ];
            let set: Vec<&str> = set.iter().copied().chain(cut.iter().map(|s| &**s)).collect();
            let (trainer, state) = begun(recipe, data, &set);
            let mut batches = trainer.train().expect("read").epoch(0, 0);
            let batch = batches.next().expect("images of a step").expect("sound");
            trainer.task.differentiate(&state.params, &batch, 0)
        };
        let whole = step([4, 1, 4]);
        assert!((whole.tally.mean() / whole.loss - 1.0).abs() < 1e-6, "{recipe}: {whole:?}");
        let norm = whole.grads.norm();
        for cut in [[4, 1, 1], [4, 1, 3], [2, 2, 2], [2, 2, 1], [1, 4, 1], [1, 4, 0]] {
            let other = step(cut);
            let mut far = 0.0f64;
            for (a, b) in whole.grads.iter().zip(other.grads.iter()) {
                let Some((a, b)) = a.zip(b) else {
                    assert!(a.is_none() && b.is_none(), "{recipe} {cut:?}");
                    continue;
                };
                far += (a - b).to_vec().into_iter().map(|x| f64::from(x).powi(2)).sum::<f64>();
            }
            let far = far.sqrt() / norm;
            assert!(far < 1e-5, "{recipe} {cut:?}: {far} of the gradient");
            assert!((other.loss / whole.loss - 1.0).abs() < 1e-6, "{recipe} {cut:?}");
            assert!((other.tally.mean() / whole.loss - 1.0).abs() < 1e-6, "{recipe} {cut:?}");
            assert_eq!((other.right, other.counted), (whole.right, whole.counted), "{recipe}");
        }
    }
}

#[test]
fn losses_of_several_steps_and_of_a_score_are_those_of_all_their_words_and_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    screens(folder.path());
    for (recipe, data, set) in recipes(folder.path()) {
        let set = [set, &["train.batch_size=4", "train.micro_batch=2"]].concat();
        let (trainer, state) = begun(recipe, data, &set);
        let Trainer { task, eval, .. } = &trainer;
        let train = trainer.train().expect("read");
        let of_batches = |size: usize| {
            let step = |batch: Result<Batch>| {
                task.differentiate(&state.params, &batch.expect("sound"), 0).tally
            };
            let mut sum = Tally::default();
            let batches = in_batches(train, size).epoch(0, 0).take(4 / size);
            batches.for_each(|batch| sum += step(batch));
            sum.mean()
        };
        let scored = |size: usize| {
            let eval = in_batches(eval, size);
            task.score(&state.params, &eval).expect("a score").loss
        };
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-5;
        let (one, two, all) = (of_batches(1), of_batches(2), of_batches(4));
        assert!(close(one, all) && close(two, all), "{recipe}: {one}, {two}, {all}");
        let (three, all) = (scored(3), scored(64));
        assert!(close(three, all), "{recipe}: {three}, {all}");
    }
}

/// The same images in batches of another size.
fn in_batches(source: &Source, batch_size: usize) -> Source {
    match source {
        Source::Images(loader) => {
            let few: Vec<usize> = (0..loader.images().len().min(8)).collect();
            let options = datasets::Options { batch_size, ..loader.options().clone() };
            let few = loader.images().subset(&few).into();
            Source::Images(datasets::Loader::new(few, options).expect("a loader"))
        }
        Source::Boxes(loader) => {
            let options = detection::Options { batch_size, ..loader.options().clone() };
            let source = loader.source().clone();
            Source::Boxes(detection::Loader::new(source, options).expect("a loader"))
        }
        Source::Screens(loader) => {
            let options = screens::Options { batch_size, ..loader.options().clone() };
            let (screens, words) = (loader.screens().clone(), loader.vocabulary().clone());
            Source::Screens(screens::Loader::new(screens, words, options).expect("a loader"))
        }
    }
}

#[test]
fn what_dropout_makes_infinite_is_traced_to_dropout() {
    let set = ["model.dropout=0.5", "model.depth=1", "model.dim=8", "model.heads=2"];
    let set = [&set[..], &["model.mlp_dim=8", "train.batch_size=8"]].concat();
    let (trainer, mut state) = begun("vit-sample", None, &set);
    // What is kept is doubled, and then too large.
    let bias = state.params.iter_mut().find(|param| param.name == "blocks.0.attn.proj.bias");
    let bias = bias.expect("a parameter");
    bias.value = tensor::Tensor::full(bias.value.shape(), 2e38);
    let batch = trainer.train().expect("read").epoch(0, 0).next().expect("a batch").expect("sound");
    let step = trainer.task.differentiate(&state.params, &batch, 3);
    assert!(!step.grads.norm().is_finite());
    let told = trainer.task.diagnose(&state.params, &batch, 3);
    let (op, near) = ("value of mask [8, ", "`blocks.0.attn.proj.weight`");
    assert!(told.starts_with(op) && told.contains(near), "{told}");
}

#[test]
fn a_model_whose_answers_are_not_finite_has_no_score() {
    let folder = tempfile::tempdir().expect("a folder");
    screens(folder.path());
    for (recipe, data, set) in recipes(folder.path()) {
        let set = [set, &["train.batch_size=4"]].concat();
        let (trainer, mut state) = begun(recipe, data, &set);
        state.ema = None;
        // Each number is finite, and their sums are not.
        for param in state.params.iter_mut() {
            let numbers = (0..param.value.len()).map(|i| if i % 3 == 0 { -3e38 } else { 3e38 });
            param.value = tensor::Tensor::from_vec(param.value.shape(), numbers.collect());
        }
        let error = format!("{:#}", trainer.score(&state).expect_err("no score"));
        let told = error.starts_with("this model cannot be scored: the loss of images [0, ");
        assert!(told && error.ends_with(": a finite number expected"), "{recipe}: {error}");
    }
}

#[test]
fn the_score_of_one_image_has_no_standard_error() {
    let (trainer, state) = begun("igpt-sample", None, &["model.depth=1", "model.dim=16"]);
    let score = |count: usize| {
        let Source::Images(loader) = &trainer.eval else { panic!("images") };
        let some: Vec<usize> = (0..count).collect();
        let images = loader.images().subset(&some).into();
        let loader = datasets::Loader::new(images, loader.options().clone()).expect("a loader");
        trainer.task.score(&state.params, &Source::Images(loader)).expect("a score")
    };
    assert_eq!(score(1).error, None);
    let (one, two) = (score(1).value.expect("bits"), score(2));
    let other = 2.0 * two.value.expect("bits") - one;
    let error = two.error.expect("of two");
    assert!((error / ((one - other).abs() / 2.0) - 1.0).abs() < 1e-4, "{error} {one} {other}");
}
