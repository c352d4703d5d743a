//! Runs that are killed, interrupted, or fail, and go on: they end with the bits of a run that nothing happened to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image::{GrayImage, Luma};
use nn::checkpoint::TensorFile;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tensor::Tensor;

/// A tiny run: a recipe, and what is changed in it. `DATA` stands for a folder of small pictures.
type Tiny = (&'static str, &'static [&'static str]);

/// Every task, with what has a state of its own switched on: averages, dropout, checkpoints that are kept, accumulation.
const TINY: [Tiny; 4] = [
    (
        "vit-sample",
        &[
            "model.dim=8",
            "model.depth=2",
            "model.heads=2",
            "model.mlp_dim=8",
            "model.patch_size=14",
            "model.dropout=0.1",
            "model.position=lff-mlp",
            "train.epochs=5",
            "train.batch_size=750",
            "train.eval_steps=3",
            "train.ema=0.9",
            "train.save_every=1",
            "train.keep=2",
        ],
    ),
    (
        "igpt-sample",
        &[
            "data.kind=grey-folder",
            "data.dir=DATA",
            "model.image_size=8",
            "model.dim=8",
            "model.depth=2",
            "model.heads=2",
            "model.mlp_dim=8",
            "train.epochs=10",
            "train.batch_size=4",
            "train.accumulate=2",
            "train.eval_steps=2",
            "train.save_every=3",
            "train.patience=9",
        ],
    ),
    (
        "detr-scenes",
        &[
            "data.scenes={ objects = \"sample\", train = 48, test = 4, max_objects = 3, sides = [8, 14] }",
            "model.image_size=[32, 32]",
            "model.backbone={ kind = \"residual\", channels = [4, 4], blocks = 1 }",
            "model.dim=8",
            "model.heads=2",
            "model.mlp_dim=8",
            "model.encoder_depth=1",
            "model.decoder_depth=1",
            "model.queries=4",
            "model.position=lff-mlp",
            "train.epochs=5",
            "train.batch_size=6",
            "train.eval_every=2",
            "train.eval_steps=3",
            "train.ema=0.9",
            "train.save_every=1",
        ],
    ),
    (
        "caption-web",
        &[
            "data.dir=datasets/tests/fixtures/screens",
            "data.screens={}",
            "model.dim=8",
            "model.heads=2",
            "model.mlp_dim=8",
            "model.encoder_depth=1",
            "model.decoder_depth=1",
            "model.pixels=[4, 8]",
            "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
            "train.epochs=80",
            "train.batch_size=1",
            "train.eval_steps=1",
            "train.ema=0.9",
            "train.save_every=3",
        ],
    ),
];

/// Times that each of them is killed.
const KILLS: usize = 7;

fn wavetape(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavetape"));
    command.args(args).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("started")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The command that begins a tiny run in the folder `out`.
fn begin(tiny: Tiny, data: &Path, out: &Path) -> Command {
    begin_with(tiny, &[], data, out)
}

/// The same with more changes, which take the place of its own.
fn begin_with((recipe, set): Tiny, more: &[&str], data: &Path, out: &Path) -> Command {
    let mut command = wavetape(&["train", recipe, "--json", "--quiet", "--out", text(out)]);
    let key = |pair: &str| pair.split('=').next().map(str::to_owned);
    let own = set.iter().filter(|pair| !more.iter().any(|other| key(other) == key(pair)));
    for pair in own.chain(more).chain(&["train.log_every=1"]) {
        command.args(["--set", &pair.replace("DATA", text(data))]);
    }
    command
}

fn resume(out: &Path) -> Command {
    wavetape(&["train", "--json", "--quiet", "--resume", text(out)])
}

fn succeeded(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Pictures of noise: 52 to train on, 8 to test.
fn pictures(folder: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (split, count) in [("train", 26), ("test", 4)] {
        for class in ["a", "b"] {
            let folder = folder.join(split).join(class);
            fs::create_dir_all(&folder).expect("a folder");
            for number in 0..count {
                let picture = GrayImage::from_fn(8, 8, |_, _| Luma([rng.random_range(0..64)]));
                picture.save(folder.join(format!("{number}.png"))).expect("written");
            }
        }
    }
}

/// The tensors of a file, and what it says of its progress, but for the time.
fn tensors(path: &Path) -> (BTreeMap<String, Vec<u32>>, Option<Value>) {
    let file = TensorFile::read(path).expect("written");
    let bits = |name: String| {
        let tensor: Tensor = file.tensor(&name).expect("listed");
        (name, tensor.to_vec().into_iter().map(f32::to_bits).collect())
    };
    let progress = file.metadata().get("progress").map(|text| {
        let mut progress: Value = serde_json::from_str(text).expect("JSON");
        progress.as_object_mut().expect("an object").remove("seconds").expect("seconds");
        progress["epoch"].as_object_mut().expect("an object").remove("seconds").expect("seconds");
        progress
    });
    (file.names().into_iter().map(bits).collect(), progress)
}

/// The lines of the log, without what the clock and the machine decide.
fn metrics(folder: &Path) -> Vec<Value> {
    let log = fs::read_to_string(folder.join("metrics.jsonl")).expect("a log");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|key, _| !["seconds", "img_s", "rss_mb"].contains(&key.as_str()));
        line
    };
    log.lines().map(line).collect()
}

/// All that two runs of the same commands have in common.
fn assert_same(whole: &Path, parts: &Path) {
    assert_eq!(metrics(whole), metrics(parts));
    let files = |folder: &Path| -> Vec<String> {
        let names = fs::read_dir(folder).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut names: Vec<_> = names.map(|name| name.expect("UTF-8")).collect();
        names.retain(|name| name.ends_with(".safetensors"));
        names.sort();
        names
    };
    let samples = |folder: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(folder.join("samples")).expect("samples");
        let paths = files.map(|entry| entry.expect("an entry").path());
        paths
            .map(|path| (path.file_name().expect("a name").into(), fs::read(path).expect("read")))
            .collect()
    };
    assert_eq!(samples(whole), samples(parts));
    let names = files(whole);
    assert_eq!(names, files(parts));
    assert!(names.iter().any(|name| name == "checkpoint.safetensors"));
    assert!(names.iter().any(|name| name == "best.safetensors"));
    for name in names {
        assert_eq!(tensors(&whole.join(&name)), tensors(&parts.join(&name)), "{name}");
    }
}

/// Lines of the log so far.
fn lines(folder: &Path) -> usize {
    fs::read(folder.join("metrics.jsonl"))
        .map_or(0, |log| log.iter().filter(|&&byte| byte == b'\n').count())
}

/// Kills a process at a random moment: while it starts, or after it has logged some more.
fn kill(mut child: Child, folder: &Path, rng: &mut ChaCha8Rng) -> bool {
    let (before, more) = (lines(folder), rng.random_range(0..4));
    let start = Instant::now();
    while more > 0 && lines(folder) < before + more && start.elapsed() < Duration::from_secs(5) {
        if child.try_wait().expect("a child").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let longest = if more == 0 { 60_000 } else { 8_000 };
    std::thread::sleep(Duration::from_micros(rng.random_range(0..longest)));
    child.kill().expect("SIGKILL");
    !child.wait().expect("a child").success()
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    pictures(&data);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut killed = 0;
    for tiny in TINY {
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        let last = succeeded(&output(&mut begin(tiny, &data, &whole)));
        for _ in 0..KILLS {
            // Killed before it had said what it is, a run begins again.
            let mut command = match parts.join("config.toml").exists() {
                true => resume(&parts),
                false => begin(tiny, &data, &parts),
            };
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            killed += usize::from(kill(child.expect("started"), &parts, &mut rng));
        }
        let resumed = succeeded(&output(&mut resume(&parts)));
        assert_eq!((&last["value"], &last["best"]), (&resumed["value"], &resumed["best"]));
        assert_same(&whole, &parts);
        let events = |name: &str| name.starts_with("events.out.tfevents.");
        let names = fs::read_dir(&parts).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string());
        assert!(names.filter(|name| events(name.as_ref().expect("UTF-8"))).count() > 2);
        [whole, parts].iter().for_each(|run| fs::remove_dir_all(run).expect("removed"));
    }
    assert!(killed >= 20, "{killed} of {} were killed before they had ended", TINY.len() * KILLS);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_tells_the_command_that_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("it's a run"));
    let begin = |out: &Path| begin_with(TINY[0], &["train.save_every=0"], folder.path(), out);
    succeeded(&output(&mut begin(&whole)));
    let child = begin(&parts).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("started");
    while lines(&parts) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let signal = |pid: u32| Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status();
    assert!(signal(child.id()).expect("sh").success());
    let interrupted = child.wait_with_output().expect("ended");
    let told = stderr(&interrupted);
    assert_eq!(interrupted.status.code(), Some(0), "{told}");
    let report: Value = serde_json::from_slice(&interrupted.stdout).expect("one JSON object");
    assert_eq!((&report["finished"], &report["value"]), (&false.into(), &Value::Null), "{report}");
    let step = tensors(&parts.join("checkpoint.safetensors")).1.expect("progress");
    assert!(step["step"].as_u64() >= Some(3), "{step}");
    let (_, command) = told.split_once("continue with: ").expect("a command");
    let going_on = output(Command::new("sh").args(["-c", command.trim()]));
    assert!(going_on.status.success(), "{}", stderr(&going_on));
    assert_same(&whole, &parts);
}

/// The terminal of a run: the side of the person, and that of the program.
#[cfg(target_os = "linux")]
fn terminal() -> (fs::File, fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&person).expect("granted");
    unlockpt(&person).expect("unlocked");
    let name = ptsname(&person, Vec::new()).expect("a name");
    let mut options = fs::OpenOptions::new();
    let program = options.read(true).write(true).open(name.to_str().expect("UTF-8"));
    (person.into(), program.expect("opened"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_terminal_is_closed_saves_ends_and_can_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let set = ["train.save_every=0", "train.steps=0", "train.epochs=40", "train.eval_every=40"];
    let begin = |out: &Path| begin_with(TINY[0], &set, folder.path(), out);
    succeeded(&output(&mut begin(&whole)));
    let (mut person, program) = terminal();
    let stream = || Stdio::from(program.try_clone().expect("one more"));
    let quiet = begin(&parts);
    let arguments = quiet.get_args().filter(|arg| *arg != "--quiet" && *arg != "--json");
    let mut run = Command::new(quiet.get_program());
    run.args(arguments).arg("--tui").env("TERM", "xterm");
    run.stdin(stream()).stdout(stream()).stderr(stream());
    let mut child = run.spawn().expect("started");
    drop((run, program));
    // A person reads until there are some lines of the log, and goes away.
    let mut screen = vec![0; 1 << 12];
    let mut seen = 0;
    while lines(&parts) < 3 {
        seen += std::io::Read::read(&mut person, &mut screen).expect("drawn");
    }
    assert!(seen > 0, "a screen");
    drop(person);
    child.wait().expect("ended");
    let step = tensors(&parts.join("checkpoint.safetensors")).1.expect("progress");
    assert!(step["step"].as_u64() >= Some(3), "{step}");
    succeeded(&output(&mut resume(&parts)));
    assert_same(&whole, &parts);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_a_run_that_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let begin = |out: &Path| begin(TINY[0], folder.path(), out);
    succeeded(&output(&mut begin(&whole)));
    succeeded(&output(begin(&parts).args(["--stop-after", "5"])));
    let checkpoint = parts.join("checkpoint.safetensors");
    let before = fs::read(&checkpoint).expect("written");
    // What is written to the temporary file goes to a device without room.
    std::os::unix::fs::symlink("/dev/full", parts.join("checkpoint.safetensors.tmp"))
        .expect("linked");
    let full = output(&mut resume(&parts));
    assert_eq!(full.status.code(), Some(1));
    assert!(
        stderr(&full)
            .contains("checkpoint.safetensors: cannot be written: No space left on device"),
        "{}",
        stderr(&full)
    );
    assert_eq!(fs::read(&checkpoint).expect("there"), before);
    succeeded(&output(&mut resume(&parts)));
    assert_same(&whole, &parts);

    // A folder that is gone is not made again behind anybody's back.
    let gone = folder.path().join("gone");
    let mut endless = begin_with(TINY[0], &["train.epochs=1000000"], folder.path(), &gone);
    endless.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = endless.spawn().expect("started");
    while lines(&gone) < 3 && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::rename(&gone, folder.path().join("elsewhere")).expect("moved");
    let ended = child.wait_with_output().expect("ended");
    assert_eq!(ended.status.code(), Some(1), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("No such file or directory"), "{}", stderr(&ended));
    assert!(!gone.exists());
}

#[test]
fn only_the_run_of_a_checkpoint_can_go_on_from_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    succeeded(&output(begin(TINY[0], folder.path(), &out).args(["--stop-after", "2"])));
    let (config, checkpoint) = (out.join("config.toml"), out.join("checkpoint.safetensors"));
    let recipe = fs::read_to_string(&config).expect("written");
    let bytes = fs::read(&checkpoint).expect("written");
    let refused = |told: &str| {
        let output = output(&mut resume(&out));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    };
    let changed = recipe.replace("rate = 0.002", "rate = 0.001").replace("depth = 2", "depth = 3");
    fs::write(&config, changed).expect("written");
    refused("model.depth: 2 expected, found 3; optimizer.rate: 0.002 expected, found 0.001");
    assert_eq!(fs::read(&checkpoint).expect("there"), bytes);
    fs::write(&config, &recipe).expect("written");

    let file = TensorFile::read(&checkpoint).expect("whole");
    let tensor = |name: String| (name.clone(), file.tensor::<f32>(&name).expect("listed"));
    let mut metadata = file.metadata().clone();
    let newer = metadata["progress"].replace("\"format\":2", "\"format\":9");
    metadata.insert("progress".to_owned(), newer);
    nn::checkpoint::write(&checkpoint, file.names().into_iter().map(tensor), metadata)
        .expect("written");
    refused("a checkpoint of format 1 to 2 expected, found 9, written by wavetape 0.1.0");
    let mut flipped = bytes.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    fs::write(&checkpoint, flipped).expect("written");
    refused("checkpoint.safetensors: is damaged: its checksum is not that of its contents");
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).expect("written");
    refused("checkpoint.safetensors: not a safetensors file");
    fs::remove_file(&checkpoint).expect("removed");
    refused("checkpoint.safetensors: a checkpoint expected, for metrics.jsonl tells of steps");

    // How often it is saved is nobody's business; one that was kept takes its place.
    let changed = recipe.replace("save_every = 1", "save_every = 2");
    fs::write(&config, changed).expect("written");
    fs::copy(out.join("checkpoint-1.safetensors"), &checkpoint).expect("kept");
    assert_eq!(succeeded(&output(&mut resume(&out)))["step"], 40);
}

#[test]
fn the_batches_of_a_step_are_one_batch_to_the_bit_if_shards_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    pictures(&data);
    let run = |name: &str, set: &[&str]| {
        let out = folder.path().join(name);
        let all = ["augment.flip=0.5", "train.micro_batch=5", "model.dropout=0.1"];
        let mut command = begin_with(TINY[1], &[&all, set].concat(), &data, &out);
        command.args(["--steps", "3"]); // 52 images are 3 steps of 16
        succeeded(&output(&mut command));
        (tensors(&out.join("checkpoint.safetensors")).0, metrics(&out))
    };
    let one = run("one", &["train.batch_size=16", "train.accumulate=1"]);
    let norms = |lines: &[Value]| -> Vec<Value> {
        lines.iter().map(|line| line["grad_norm"].clone()).collect()
    };
    for cut in [["8", "2"], ["4", "4"]] {
        let [batch, accumulate] =
            [format!("train.batch_size={}", cut[0]), format!("train.accumulate={}", cut[1])];
        let other = run(cut[1], &[&batch, &accumulate]);
        assert_eq!((&one.0, norms(&one.1)), (&other.0, norms(&other.1)), "{cut:?}");
    }
}

#[test]
fn training_ends_when_scores_get_no_better_and_the_best_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    // So high a rate that no score is better than the first ones.
    let more = [
        "optimizer.rate=0.5",
        "optimizer.warmup=0.0",
        "train.ema=0.0",
        "train.patience=2",
        "train.epochs=100",
    ];
    let mut command = begin_with(TINY[0], &more, folder.path(), &out);
    let ended = succeeded(&output(&mut command));
    assert_eq!(ended["finished"], true);
    let scores: Vec<(u64, f64)> = metrics(&out)
        .iter()
        .filter_map(|line| Some((line["step"].as_u64()?, line["test_accuracy"].as_f64()?)))
        .collect();
    assert!(scores.len() < 100, "{scores:?}");
    let best = scores.iter().fold((0, f64::MIN), |best, &at| if at.1 > best.1 { at } else { best });
    assert_eq!(
        (ended["best"]["step"].as_u64(), ended["best"]["value"].as_f64()),
        (Some(best.0), Some(best.1))
    );
    assert_eq!(scores.iter().position(|at| *at == best), Some(scores.len() - 3));
    // It stays ended.
    assert_eq!(succeeded(&output(&mut resume(&out)))["step"], ended["step"]);
    let scored = succeeded(&output(&mut wavetape(&["eval", "--json", "--best", text(&out)])));
    assert_eq!(
        (&scored["value"], &scored["step"]),
        (&ended["best"]["value"], &ended["best"]["step"])
    );
}

#[test]
fn parameters_that_get_no_gradient_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for split in ["train", "test"] {
        let folder = data.join(split).join("black");
        fs::create_dir_all(&folder).expect("a folder");
        for number in 0..8 {
            let path = folder.join(format!("{number}.png"));
            GrayImage::new(28, 28).save(path).expect("written");
        }
    }
    let out = folder.path().join("run");
    let more = ["data.kind=grey-folder", "train.batch_size=2", "train.epochs=2", "augment={}"];
    let mut command = begin_with(TINY[0], &more, folder.path(), &out);
    command.args(["--data", text(&data)]);
    let output = output(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = "warning: after 4 steps 1 of ";
    assert_eq!(stderr(&output).matches(told).count(), 1, "{}", stderr(&output));
    let warned = metrics(&out).into_iter().filter(|line| line.get("warning").is_some());
    let warned: Vec<Value> = warned.collect();
    let expected = serde_json::json!({
        "step": 4, "warning": "parameters without gradient", "parameters": ["patch_embed.proj.weight"],
    });
    assert_eq!(warned, [expected]);
}
