//! Run folders: `config.toml`, `metrics.jsonl`, `checkpoint.safetensors`, `best.safetensors`, and a lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::write_atomically;

use crate::recipe::Recipe;
use crate::state::{Best, Identity, State};

const CHECKPOINT: &str = "checkpoint.safetensors";
const BEST: &str = "best.safetensors";

/// A folder that holds all of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
}

impl Run {
    /// Makes the folder of a new run: `out`, which must not hold a run yet, or the first free `runs/RECIPE-NNN`.
    pub(crate) fn create(out: Option<&Path>, recipe: &str) -> Result<Self> {
        let folder = match out {
            Some(out) if out.join("config.toml").exists() => bail!(
                "{} holds a run already: continue it with --resume {0}, or name another folder with --out",
                out.display()
            ),
            Some(out) => {
                fs::create_dir_all(out).with_context(|| out.display().to_string())?;
                out.to_owned()
            }
            None => free_folder(recipe)?,
        };
        Ok(Self { folder })
    }

    /// Writes `config.toml`: with it the folder is that of a run, which can go on.
    pub(crate) fn write_config(&self, recipe: &Recipe) -> Result<()> {
        let config = format!(
            "# wavetape {}: this run, resolved. `wavetape train --recipe config.toml` repeats it.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            toml::to_string(recipe)?
        );
        self.put("config.toml", config.as_bytes())
    }

    /// Opens the folder of a run.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Recipe)> {
        let config = folder.join("config.toml");
        let text = fs::read_to_string(&config)
            .with_context(|| format!("{}: the folder of a run expected", config.display()))?;
        let recipe = Recipe::of_run(&config.display().to_string(), &text)?;
        Ok((Self { folder: folder.to_owned() }, recipe))
    }

    /// The run's name: that of its folder.
    pub(crate) fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or(self.folder.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Writes a file of the folder in one step.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(file);
        write_atomically(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Writes `checkpoint.safetensors`, replacing the old one in one step, and keeps the last `keep` of them as
    /// `checkpoint-STEP.safetensors`.
    pub(crate) fn save(&self, state: &State, identity: &Identity, keep: usize) -> Result<()> {
        let path = self.folder.join(CHECKPOINT);
        state
            .write(&path, identity)
            .context("no checkpoint could be written; one that was there is as it was")?;
        self.keep(state.counts.step, keep)
    }

    /// Reads `checkpoint.safetensors` into a fresh state of the same recipe.
    pub(crate) fn restore(&self, state: &mut State) -> Result<()> {
        state.read(&self.folder.join(CHECKPOINT), None)
    }

    /// The same for a run that goes on, if it has a checkpoint yet. Without one it begins again, unless it has been further.
    pub(crate) fn go_on(
        &self,
        state: &mut State,
        identity: &Identity,
        keep: usize,
    ) -> Result<bool> {
        let path = self.folder.join(CHECKPOINT);
        if path.try_exists().with_context(|| path.display().to_string())? {
            state.read(&path, Some(identity))?;
            // A crash may have come between the two.
            self.keep(state.counts.step, keep)?;
            return Ok(true);
        }
        let log = fs::metadata(self.folder.join("metrics.jsonl"));
        if log.is_ok_and(|log| log.len() > 0) {
            bail!("{}: a checkpoint expected, for metrics.jsonl tells of steps", path.display());
        }
        Ok(false)
    }

    /// Links the checkpoint to a name of its own, and takes away all but the last `keep` of those.
    fn keep(&self, step: u64, keep: usize) -> Result<()> {
        if keep == 0 {
            return Ok(());
        }
        let (path, kept) = (self.folder.join(CHECKPOINT), self.folder.join(kept_name(step)));
        let context = || kept.display().to_string();
        // The new link goes to a name of its own first, so that the old one is replaced in one step.
        let new = self.folder.join("checkpoint.link.tmp");
        let _ = fs::remove_file(&new);
        if fs::hard_link(&path, &new).is_err() {
            fs::copy(&path, &new).with_context(context)?; // a file system without links
        }
        fs::rename(&new, &kept).with_context(context)?;
        // Where both are one file already, renaming does nothing.
        let _ = fs::remove_file(&new);
        let mut steps = Vec::new();
        for entry in
            fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())?
        {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| {
                name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok()
            });
            // Those of a run that went back in time are left for it to replace.
            steps.extend(number.filter(|number: &u64| *number <= step));
        }
        steps.sort_unstable();
        for old in steps.iter().rev().skip(keep) {
            let path = self.folder.join(kept_name(*old));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| path.display().to_string());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes `best.safetensors`: the parameters that were evaluated, and their score.
    pub(crate) fn save_best(&self, state: &State, metric: &str, best: Best) -> Result<()> {
        state.write_best(&self.folder.join(BEST), metric, best)
    }

    /// Reads `best.safetensors` into a state of the same recipe.
    pub(crate) fn restore_best(&self, state: &mut State) -> Result<()> {
        state.read_best(&self.folder.join(BEST))
    }
}

fn kept_name(step: u64) -> String {
    format!("checkpoint-{step}.safetensors")
}

fn free_folder(name: &str) -> Result<PathBuf> {
    for number in 1.. {
        let folder = Path::new("runs").join(format!("{name}-{number:03}"));
        fs::create_dir_all("runs").context("runs")?;
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
        }
    }
    unreachable!("some number is free")
}

/// Holds the folder against a second process: a lock that the system frees when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(run: &Run) -> Result<Self> {
        let path = run.folder.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("{}: another process trains this run", run.folder.display())
            }
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| path.display().to_string())
            }
        }
    }
}
