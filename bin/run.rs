//! Run folders: `config.toml`, `metrics.jsonl`, `checkpoint.safetensors`, `best.safetensors`, and a lock.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::write_atomically;

use crate::data::{CLASSES, Derived, VOCABULARY};
use crate::recipe::Recipe;
use crate::state::{Best, Checkpoint, Identity, State, Which};

const CONFIG: &str = "config.toml";
pub(crate) const LOCK: &str = "lock";
const CHECKPOINT: &str = "checkpoint.safetensors";
const BEST: &str = "best.safetensors";

/// A folder that holds all of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
}

impl Run {
    /// Makes the folder of a new run: `out`, in which nothing may be but what a run leaves that was ended before it had begun; or the
    /// first free `runs/RECIPE-NNN`.
    pub(crate) fn create(out: Option<&Path>, recipe: &str) -> Result<Self> {
        let folder = match out {
            Some(out) if out.join(CONFIG).exists() => bail!(
                "{} holds a run already: continue it with --resume {0}, or name another folder with --out",
                out.display()
            ),
            Some(out) => {
                let context = || out.display().to_string();
                fs::create_dir_all(out).with_context(context)?;
                for entry in fs::read_dir(out).with_context(context)? {
                    let name = entry.with_context(context)?.file_name();
                    let name = name.to_string_lossy();
                    let begun = [LOCK, CLASSES, VOCABULARY, CONFIG];
                    if !begun.contains(&name.strip_suffix(".tmp").unwrap_or(&name)) {
                        bail!(
                            "{} is no run's folder and not empty (it holds {name}): name another folder with --out",
                            out.display()
                        );
                    }
                }
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
        self.put(CONFIG, config.as_bytes())
    }

    /// Opens the folder of a run.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Recipe)> {
        let text = Self::config(folder)?;
        let recipe = Recipe::of_run(&folder.join(CONFIG).display().to_string(), &text)?;
        Ok((Self { folder: folder.to_owned() }, recipe))
    }

    /// The config of the run in a folder, in TOML.
    pub(crate) fn config(folder: &Path) -> Result<String> {
        let path = folder.join(CONFIG);
        if !path.exists() {
            let found =
                if folder.is_dir() { "it has no config.toml" } else { "there is no such folder" };
            bail!("{}: the folder of a run expected; {found}", folder.display());
        }
        Ok(datasets::read_text(&path)?)
    }

    /// The run's name: that of its folder, however it was typed.
    pub(crate) fn name(&self) -> String {
        let real = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let name = real.file_name().unwrap_or(real.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Writes a file of the folder in one step.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(file);
        write_atomically(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Writes `checkpoint.safetensors`, replacing the old one in one step, and keeps the last `keep` of them as
    /// `checkpoint-STEP.safetensors`.
    pub(crate) fn save(
        &self,
        state: &State,
        identity: &Identity,
        derived: &Derived,
        keep: usize,
    ) -> Result<()> {
        let path = self.folder.join(CHECKPOINT);
        state
            .write(&path, identity, derived)
            .context("no checkpoint could be written; one that was there is as it was")?;
        self.keep(state.counts.step, keep)
    }

    /// Reads `checkpoint.safetensors` or `best.safetensors`, which must have been made with this recipe.
    pub(crate) fn checkpoint(&self, which: Which, recipe: &Recipe) -> Result<Checkpoint> {
        let path = self.folder.join(if which == Which::Last { CHECKPOINT } else { BEST });
        let mut checkpoint = Checkpoint::read(&path, which)?;
        checkpoint.check_recipe(recipe)?;
        if checkpoint.past.derived.is_none() {
            checkpoint.past.derived = Derived::of_folder(self, recipe)?;
        }
        Ok(checkpoint)
    }

    /// The last checkpoint of a run that goes on, if it has one yet. Without one it begins again, unless it has been further.
    pub(crate) fn last_checkpoint(&self, recipe: &Recipe) -> Result<Option<Checkpoint>> {
        let path = self.folder.join(CHECKPOINT);
        if path.try_exists().with_context(|| path.display().to_string())? {
            return self.checkpoint(Which::Last, recipe).map(Some);
        }
        let log = fs::metadata(self.folder.join("metrics.jsonl"));
        if log.is_ok_and(|log| log.len() > 0) {
            bail!("{}: a checkpoint expected, for metrics.jsonl tells of steps", path.display());
        }
        Ok(None)
    }

    /// Links the checkpoint to a name of its own, and takes away all but the last `keep` of those.
    pub(crate) fn keep(&self, step: u64, keep: usize) -> Result<()> {
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
    pub(crate) fn save_best(
        &self,
        state: &State,
        metric: &str,
        best: Best,
        identity: &Identity,
        derived: &Derived,
    ) -> Result<()> {
        state.write_best(&self.folder.join(BEST), metric, best, identity, derived)
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
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
        }
    }
    unreachable!("some number is free")
}

/// Holds the folder against a second process: locks that the system frees when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// The folder itself, where the system can lock one: the file may be deleted while a run goes.
    _folder: Option<File>,
}

impl Lock {
    /// Locks a folder in which a process `works`.
    ///
    /// # Errors
    /// If another process has it.
    pub(crate) fn take(folder: &Path, works: &str) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let itself = File::open(folder).ok();
        match (file.try_lock(), itself.as_ref().map(File::try_lock)) {
            (Err(fs::TryLockError::WouldBlock), _)
            | (_, Some(Err(fs::TryLockError::WouldBlock))) => {
                bail!("{}: another process {works}", folder.display())
            }
            (Err(fs::TryLockError::Error(error)), _) => {
                return Err(error).with_context(|| path.display().to_string());
            }
            _ => {}
        }
        Ok(Self { _file: file, _folder: itself })
    }
}
