//! `wavetape generate`: draws images from a trained generator.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use indicatif::{ProgressBar, ProgressStyle};
use models::{ImageGptConfig, Sampler};
use nn::Params;
use serde::Serialize;
use tensor::Tensor;

use crate::args;
use crate::config::Bounds;
use crate::generator::Generator;
use crate::output::{self, counted};
use crate::picture::planes;
use crate::recipe::DataConfig;
use crate::task::Task;
use crate::trained::Trained;
use crate::written::Target;

/// Draw images from the checkpoint of a run, or complete given ones, and write them side by side into one PNG file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape generate runs/igpt-fashion-001 --count 36 --out samples.png
  wavetape generate runs/igpt-fashion-001 --temperature 0.9 --top-p 0.95 --seed 7
  wavetape generate runs/igpt-fashion-001 --complete shoe.png shirt.png --count 4
  wavetape generate runs/igpt-fashion-001 --size 32 32")]
pub(crate) struct GenerateArgs {
    /// Folder of the run.
    run: PathBuf,
    /// Images to draw; with --complete, completions of each.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = args::whole::<usize>(1..=4096))]
    count: usize,
    /// Pictures of which the upper part is kept and the rest is drawn.
    #[arg(long, num_args = 1.., value_name = "IMAGE")]
    complete: Vec<PathBuf>,
    /// The part that --complete keeps, as a fraction of the rows.
    #[arg(long, default_value_t = 0.5, value_name = "F", requires = "complete", value_parser = args::number(args::FRACTION))]
    keep: f64,
    /// Class to draw, by number; all of them in turn, unless given. For models with classes.
    #[arg(long, value_name = "CLASS")]
    class: Option<usize>,
    /// Divides the logits; 0 takes the most likely value of each token.
    #[arg(long, default_value_t = 1.0, value_name = "T", value_parser = args::number(Bounds::new(0.0, 1e6)))]
    temperature: f64,
    /// Only so many of the most likely values are considered; 0 for all.
    #[arg(long, default_value_t = 0, value_name = "K", value_parser = args::whole::<usize>(0..=1 << 16))]
    top_k: usize,
    /// Only the most likely values that together have this probability are considered.
    #[arg(long, default_value_t = 1.0, value_name = "P", value_parser = args::number(Bounds::new(1e-9, 1.0)))]
    top_p: f64,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Height and width of the images, if other than trained on.
    #[arg(long, num_args = 2, value_names = ["H", "W"], value_parser = args::whole::<usize>(1..=512))]
    size: Option<Vec<usize>>,
    /// Images in a row; a square, unless given.
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(1..=4096))]
    columns: Option<usize>,
    /// Pixels of the file for each pixel.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = args::whole::<u32>(1..=64))]
    scale: u32,
    /// The file.
    #[arg(long, default_value = "samples.png", value_name = "FILE.png")]
    out: PathBuf,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// Tokens of an image at most.
pub(crate) const MOST_TOKENS: usize = 1 << 14;
/// Bytes of keys and values at most.
const MOST_BYTES: u64 = 8 << 30;

#[derive(Serialize)]
struct Report {
    run: String,
    images: usize,
    tokens: usize,
    seconds: f64,
    img_s: f64,
    out: String,
}

/// Draws, and writes the file.
pub(crate) fn run(args: &GenerateArgs) -> Result<()> {
    let target = Target::new(&args.out)?;
    let trained = Trained::open(&args.run)?;
    let Task::Generate(generator) = &trained.task else { return Err(trained.other("generator")) };
    let (run, state) = (&trained.run, &trained.state);
    let model = &generator.model;
    let config = model.config();
    let size = match args.size.as_deref() {
        Some(&[height, width]) => [height, width],
        _ => [config.image_size; 2],
    };
    // Keys and values of every token, and a bias that may take a number for each pair of them, are held at once.
    let tokens = size[0] * size[1] * config.channels;
    let images = args.count * args.complete.len().max(1);
    let cache = images as u64 * cache_bytes(config, tokens);
    if tokens > MOST_TOKENS || cache > MOST_BYTES {
        bail!(
            "{images} images of {tokens} tokens: at most {MOST_TOKENS} tokens each expected, and {} GiB of keys and values, not {:.1}",
            MOST_BYTES >> 30,
            cache as f64 / f64::from(1 << 30)
        );
    }
    let class = |i: usize| match args.class {
        Some(class) if class < config.classes => Ok(class),
        Some(class) if config.classes == 0 => {
            bail!("--class {class}: this model was trained without classes")
        }
        Some(class) => {
            bail!(
                "--class {class}: must be at most {}, the last of its classes",
                config.classes - 1
            )
        }
        None => Ok(if config.classes > 0 { i % config.classes } else { 0 }),
    };

    let params = state.evaluated();
    let pictures = pictures(args, generator, params, size, &trained.recipe.data)?;
    let kept = kept(args, size);
    let each = args.count;
    let prompts: Vec<Vec<usize>> = match pictures.is_empty() {
        true => vec![Vec::new(); each],
        false => {
            let prompt =
                |picture: &Vec<usize>| picture[..kept * size[1] * config.channels].to_vec();
            pictures.iter().flat_map(|picture| vec![prompt(picture); each]).collect()
        }
    };
    let classes = (0..prompts.len()).map(class).collect::<Result<Vec<_>>>()?;
    let sampler = Sampler {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        seed: args.seed,
    };
    let start = Instant::now();
    let bar = progress(tokens, args.json);
    let drawn = model.generate(params, &prompts, &classes, size, &sampler, |at| {
        bar.set_position(at as u64);
    });
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();

    let picture = |tokens: &[usize]| to_picture(generator, params, tokens, size);
    let (shown, columns) = match pictures.is_empty() {
        true => {
            let columns = args.columns.unwrap_or(square(each));
            (drawn.iter().map(|tokens| picture(tokens)).collect(), columns)
        }
        false => {
            let rows = pictures.iter().zip(drawn.chunks(each)).flat_map(|(given, drawn)| {
                let given = picture(given);
                let first = [given.clone(), hidden(given, kept)];
                first.into_iter().chain(drawn.iter().map(|tokens| picture(tokens)))
            });
            (rows.collect::<Vec<_>>(), args.columns.unwrap_or(each + 2))
        }
    };
    let grid = grid(&shown, columns, args.scale);
    target.write(&grid)?;
    let report = Report {
        run: run.name(),
        images: drawn.len(),
        tokens,
        seconds,
        img_s: drawn.len() as f64 / seconds,
        out: args.out.display().to_string(),
    };
    let mut out = output::stdout();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string(&report)?)?,
        false => writeln!(
            out,
            "{} of {tokens} tokens in {seconds:.1} s → {}",
            counted(report.images, "image"),
            report.out
        )?,
    }
    Ok(())
}

fn progress(tokens: usize, quiet: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} tokens  ETA {eta}");
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(tokens as u64) };
    bar.with_style(style.expect("a valid template"))
}

/// Rows that a completion keeps.
fn kept(args: &GenerateArgs, [height, _]: [usize; 2]) -> usize {
    (args.keep * height as f64).round() as usize
}

/// The pictures to complete, as tokens.
fn pictures(
    args: &GenerateArgs,
    generator: &Generator,
    params: &Params,
    size: [usize; 2],
    data: &DataConfig,
) -> Result<Vec<Vec<usize>>> {
    let config = generator.model.config();
    let channels = if config.palette > 0 { config.palette } else { config.channels };
    let read = |path: &PathBuf| -> Result<Vec<usize>> {
        let bytes = planes(path, channels, data.fitted(size))?;
        let bytes = bytes.into_iter().map(f32::from).collect();
        let pixels = Tensor::from_vec([1, channels, size[0], size[1]], bytes);
        Ok(generator.tokens(params, &pixels))
    };
    args.complete.iter().map(read).collect()
}

/// Bytes of keys and values of an image of so many tokens.
pub(crate) fn cache_bytes(config: &ImageGptConfig, tokens: usize) -> u64 {
    tokens as u64 * (8 * config.dim * config.depth) as u64
}

/// A square of images drawn from nothing, of the classes in turn if there are any, at temperature 1 and from seed 0.
///
/// # Errors
/// If an image has more than [`MOST_TOKENS`] tokens.
pub(crate) fn samples(generator: &Generator, params: &Params, count: usize) -> Result<RgbImage> {
    let (model, config) = (&generator.model, generator.model.config());
    if config.tokens() > MOST_TOKENS {
        bail!("images of {} tokens: at most {MOST_TOKENS} expected", config.tokens());
    }
    let class = |i: usize| if config.classes > 0 { i % config.classes } else { 0 };
    let (prompts, classes) = (vec![Vec::new(); count], (0..count).map(class).collect::<Vec<_>>());
    let size = [config.image_size; 2];
    let sampler = Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };
    let drawn = model.generate(params, &prompts, &classes, size, &sampler, |_| {});
    let pictures: Vec<_> =
        drawn.iter().map(|tokens| to_picture(generator, params, tokens, size)).collect();
    Ok(grid(&pictures, square(count), 2))
}

/// Columns of a grid that is a square.
pub(crate) fn square(count: usize) -> usize {
    (count as f64).sqrt().ceil() as usize
}

/// A picture whose rows from `kept` on are grey: what a completion is given.
fn hidden(mut picture: RgbImage, kept: usize) -> RgbImage {
    let rows = picture.enumerate_rows_mut().skip(kept);
    rows.flat_map(|(_, row)| row).for_each(|(_, _, pixel)| *pixel = Rgb([128; 3]));
    picture
}

/// Tokens as pixels.
fn to_picture(
    generator: &Generator,
    params: &Params,
    tokens: &[usize],
    [height, width]: [usize; 2],
) -> RgbImage {
    let pixels = generator.pixels(params, tokens);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb(pixels[y as usize * width + x as usize])
    })
}

/// Pictures in rows, white between them; each has as much room as the largest.
pub(crate) fn grid(pictures: &[RgbImage], columns: usize, scale: u32) -> RgbImage {
    const GAP: u32 = 2;
    let most = |side: fn(&RgbImage) -> u32| pictures.iter().map(side).max().unwrap_or(1);
    let (width, height) = (most(RgbImage::width), most(RgbImage::height));
    let columns = columns.min(pictures.len()).max(1) as u32;
    let rows = (pictures.len() as u32).div_ceil(columns);
    let (step_x, step_y) = (width * scale + GAP, height * scale + GAP);
    let mut grid = RgbImage::from_pixel(columns * step_x + GAP, rows * step_y + GAP, Rgb([255; 3]));
    for (i, picture) in pictures.iter().enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        let (wide, high) = (picture.width() * scale, picture.height() * scale);
        let large = resize(picture, wide, high, FilterType::Nearest);
        let (x, y) = (column * step_x + GAP, row * step_y + GAP);
        image::imageops::replace(&mut grid, &large, i64::from(x), i64::from(y));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_shows_grey_where_it_was_given_nothing() {
        let picture = RgbImage::from_pixel(2, 3, Rgb([9, 8, 7]));
        let shown = hidden(picture, 1);
        let rows: Vec<_> = shown.rows().map(|row| row.copied().collect::<Vec<_>>()).collect();
        assert_eq!(rows, [vec![Rgb([9, 8, 7]); 2], vec![Rgb([128; 3]); 2], vec![Rgb([128; 3]); 2]]);
    }
}
