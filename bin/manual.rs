//! `wavetape completions` and `wavetape man`: the command line, described for shells and for `man`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::config::KEYS;
use crate::output::{self, counted};
use crate::recipe::RECIPES;
use crate::suggest;

/// Print a script that completes commands and options in a shell; in Bash and Zsh recipes too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape completions bash > ~/.local/share/bash-completion/completions/wavetape
  wavetape completions zsh > ~/.zfunc/_wavetape      (a folder that $fpath names, before compinit)
  wavetape completions fish > ~/.config/fish/completions/wavetape.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Print the manual page of the program or of a subcommand, or write all pages into a folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape man | man -l -
  wavetape man train | man -l -
  wavetape man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The subcommand; the program itself, unless given.
    #[arg(conflicts_with = "out")]
    subcommand: Option<String>,
    /// Write wavetape.1, and wavetape-SUBCOMMAND.1 for each subcommand, into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the script. Names of recipes are completed too; at run time other names are refused with more words.
pub(crate) fn completions(args: &CompletionsArgs, program: Command) -> Result<()> {
    let names = || PossibleValuesParser::new(RECIPES.map(|(name, _)| name));
    let takes_recipe =
        |command: &Command| command.get_arguments().any(|arg| arg.get_id() == "recipe");
    let takers: Vec<String> = program
        .get_subcommands()
        .filter(|command| takes_recipe(command))
        .map(|command| command.get_name().to_owned())
        .collect();
    let mut program = takers.into_iter().fold(program, |program, name| {
        program.mut_subcommand(name, |command| {
            command.mut_arg("recipe", |arg| arg.value_parser(names()))
        })
    });
    // `--set` and `--grid` begin with a key.
    let paths: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    let keys = || PossibleValuesParser::new(paths.iter().copied());
    let names: Vec<String> =
        program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        program = program.mut_subcommand(name, |command| {
            command.mut_args(|arg| match arg.get_id().as_str() {
                "set" | "grid" => arg.value_parser(keys()),
                _ => arg,
            })
        });
    }
    let mut script = Vec::new(); // the generator panics where a write fails, as into a closed pipe
    clap_complete::generate(args.shell, &mut program, "wavetape", &mut script);
    Ok(output::stdout().write_all(&script)?)
}

/// Prints a page, or writes all.
pub(crate) fn man(args: &ManArgs, mut program: Command) -> Result<()> {
    program.build();
    let Some(out) = &args.out else {
        let page = match &args.subcommand {
            None => program,
            Some(name) => match program.find_subcommand(name) {
                Some(command) => command.clone(),
                None => {
                    let known: Vec<&str> =
                        program.get_subcommands().map(Command::get_name).collect();
                    bail!("{}", suggest::unknown("subcommand", name, &known))
                }
            },
        };
        return Ok(output::stdout().write_all(&render(page)?)?);
    };
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let mut pages = vec![("wavetape.1".to_owned(), program.clone())];
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        pages.push((format!("wavetape-{}.1", command.get_name()), command.clone()));
    }
    for (name, page) in &pages {
        let path = out.join(name);
        std::fs::write(&path, render(page.clone())?).with_context(|| path.display().to_string())?;
    }
    Ok(writeln!(output::stdout(), "{} → {}", counted(pages.len(), "page"), out.display())?)
}

/// A page in roff. That of a subcommand is titled as git does it: `wavetape-train`.
fn render(command: Command) -> Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command).title(name).render(&mut page)?;
    Ok(page)
}
