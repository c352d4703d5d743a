//! The table of what can stand in a recipe.
//!
//! It is the one place where a key's type, bounds and reach are said: the parser, messages, `wavetape config` and CONFIG.md have
//! them from here.
//!
//! A meaning is the doc comment of the field that it describes, links taken out: tests hold the two, the fields and the defaults
//! equal.

use super::takes::{Bounds, Takes, above, below, number, whole};

/// A value of a recipe.
#[derive(Debug)]
pub(crate) struct Key {
    /// Dotted, as `--set` takes it.
    pub(crate) path: &'static str,
    /// The kinds (of model, position, backbone) that have it; empty if all do.
    pub(crate) of: &'static str,
    /// What is expected.
    pub(crate) takes: Takes,
    /// As it would stand in TOML; or [`REQUIRED`], or [`NONE`].
    pub(crate) default: &'static str,
    pub(super) meaning: &'static str,
}

/// In place of a default: the key must be given.
pub(crate) const REQUIRED: &str = "required";
/// In place of a default: the key may be left out.
pub(crate) const NONE: &str = "none";

/// A word that a key with such words takes.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) path: &'static str,
    pub(crate) word: &'static str,
    pub(super) meaning: &'static str,
}

const fn key(
    path: &'static str,
    of: &'static str,
    takes: Takes,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { path, of, takes, default, meaning }
}

const fn choice(path: &'static str, word: &'static str, meaning: &'static str) -> Choice {
    Choice { path, word, meaning }
}

/// Keys that have an effect under one condition only: a key or a section, and the values that another key must have. Where the other
/// key is absent, the condition says nothing.
pub(crate) const PLACES: &[(&str, &str, &[&str])] = &[
    ("data.dir", "data.kind", &STORED),
    ("data.dir", "data.scenes.objects", &["fashion-mnist", "mnist"]),
    ("data.hold_out", "data.kind", &HELD_OUT),
    ("data.resize", "data.kind", &["grey-folder", "colour-folder"]),
    ("data.fit", "data.kind", &["grey-folder", "colour-folder"]),
    ("data.test_share", "data.kind", &["grey-folder", "colour-folder", "voc", "coco", "yolo"]),
    ("data.cache_mb", "data.kind", &["grey-folder", "colour-folder", "voc", "coco", "yolo"]),
    ("data.splits", "data.kind", &["voc", "coco", "yolo"]),
    ("data.scenes", "data.kind", &["scenes"]),
    ("data.screens", "data.kind", &["screens"]),
    ("model.backbone", "model.kind", &["detr"]),
    ("model.head_bias", "model.tie", &["false"]),
    ("train.label_smoothing", "model.kind", &["vit"]),
    ("augment.crop_padding", "data.kind", &LABELLED),
    ("augment.flip", "data.kind", &LABELLED),
    ("augment.erase", "data.kind", &LABELLED),
    ("augment.boxes", "data.kind", &["scenes", "voc", "coco", "yolo"]),
    ("criterion", "model.kind", &["detr"]),
    ("decoding", "model.kind", &["captioner"]),
];

/// Whether a key is this one, or in this section.
pub(crate) fn is_within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Data in a folder.
const STORED: [&str; 10] = [
    "fashion-mnist",
    "mnist",
    "cifar10",
    "grey-folder",
    "colour-folder",
    "scenes",
    "voc",
    "coco",
    "yolo",
    "screens",
];

/// Images with a label each.
const LABELLED: [&str; 6] =
    ["sample", "fashion-mnist", "mnist", "cifar10", "grey-folder", "colour-folder"];

/// Data of which a part can be held out.
const HELD_OUT: [&str; 7] =
    ["sample", "fashion-mnist", "mnist", "cifar10", "grey-folder", "colour-folder", "scenes"];

/// The largest size of a model.
const SIZE: i64 = 1 << 16;
/// The largest number of images, steps or epochs.
const COUNT: i64 = 1_000_000_000;
/// The largest batch.
const BATCH: i64 = 1 << 20;
const FRACTION: Bounds = Bounds::new(0.0, 1.0);

/// All keys, by section.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("name", "", Takes::Text, "required", "Name of the recipe."),
    key("seed", "", whole(0, i64::MAX), "0", "Seed of everything random."),
    key("data.kind", "", Takes::Choice, "required", "Format of the data."),
    key("data.dir", "", Takes::Folder, "none", "Folder of the data; not used by the sample."),
    key("data.hold_out", "", whole(0, COUNT), "0", "Images held out of the training set; if not 0, evaluation uses them instead of the test set. Of scenes: images of objects, of which other scenes are made."),
    key("data.resize", "", whole(1, 8192), "none", "Height and width to which pictures of an image folder are resized."),
    key("data.fit", "", Takes::Choice, "\"stretch\"", "What becomes of the sides of a picture whose ratio is not that of the size it is resized to."),
    key("data.test_share", "", number(0.0, 1.0), "0.2", "Share of the pictures that are the test set where a folder has neither that nor a validation set. A hash of a picture's file decides, so that it is always on the same side, with all its copies; a class with two pictures has one on each."),
    key("data.cache_mb", "", whole(0, 1 << 20), "1024", "MiB of pixels of pictures in files that are kept in memory; what is beyond is read again in each epoch. More than 10,000 pictures are not decoded before training, but when they are needed."),
    key("data.skip_broken", "", Takes::Flag, "false", "Whether pictures that cannot be read are left out, counted and named, instead of being an error."),
    key("data.splits", "", Takes::Texts(2), "none", "Parts of a data set with boxes: that to train on, and that to evaluate on. By default `train`, and `test` (VOC) or `val` (COCO, YOLO), or whichever of the two there is. `val`, `valid`, `validation` and `dev` are a validation set; `eval --test` scores on `test` then."),
    key("data.scenes.objects", "", Takes::Choice, "required", "Images of which objects are cut: `sample`, `fashion-mnist` or `mnist`."),
    key("data.scenes.train", "", whole(1, 10_000_000), "required", "Scenes of an epoch; each epoch has others."),
    key("data.scenes.test", "", whole(1, 1_000_000), "required", "Scenes to evaluate on, always the same."),
    key("data.scenes.max_objects", "", whole(1, 1000), "required", "Most objects of a scene."),
    key("data.scenes.sides", "", Takes::Numbers(Bounds::new(1.0, 8192.0), 2), "required", "Least and greatest longer side of an object, in pixels."),
    key("data.screens.eval", "", Takes::Choice, "\"test\"", "Part to evaluate on."),
    key("data.screens.words", "", whole(1, 65_532), "10000", "Words of the vocabulary at most."),
    key("data.screens.min_count", "", whole(1, COUNT), "1", "How often a word must be in the training captions to be known."),
    key("data.screens.max_nodes", "", whole(1, SIZE), "512", "Nodes of a training screen at most."),
    key("data.screens.band.top", "", number(0.0, 1.0), "required", "The upper edge, from 0 to 1."),
    key("data.screens.band.bottom", "", number(0.0, 1.0), "required", "The lower edge, from `top` to 1."),
    key("model.kind", "", Takes::Choice, "required", "A model and its sizes."),
    key("model.image_size", "vit, image-gpt", whole(1, SIZE), "required", "Height and width of the images, in pixels."),
    key("model.patch_size", "vit", whole(1, SIZE), "required", "Height and width of a patch, in pixels."),
    key("model.channels", "vit, detr", whole(1, SIZE), "required", "Channels of the images."),
    key("model.dim", "vit, image-gpt, detr", whole(1, SIZE), "required", "Features of a token."),
    key("model.depth", "vit, image-gpt", whole(1, 1024), "required", "Number of blocks."),
    key("model.heads", "vit, image-gpt", whole(1, 1024), "required", "Attention heads of a block."),
    key("model.mlp_dim", "vit, image-gpt", whole(1, SIZE), "required", "Hidden features of a block's MLP."),
    key("model.classes", "vit", whole(1, SIZE), "required", "Number of classes."),
    key("model.pool", "vit", Takes::Choice, "\"cls\"", "How tokens become one vector."),
    key("model.class_token", "vit", Takes::Flag, "true", "Whether a learned token goes in front of the patches."),
    key("model.eps", "vit", number(0.0, 1.0), "1e-6", "eps of the norms."),
    key("model.qkv_bias", "vit", Takes::Flag, "true", "Whether queries, keys and values have a bias."),
    key("model.fc_norm", "vit", Takes::Flag, "false", "Whether the last norm comes after pooling, as `fc_norm`, instead of before it."),
    key("model.pre_norm", "vit", Takes::Flag, "false", "Whether tokens with positions are normalised before the first block and patches are embedded without a bias, as in CLIP (Radford et al. 2021)."),
    key("model.dropout", "vit, image-gpt", below(0.0, 1.0), "0.0", "Dropout in the blocks."),
    key("model.drop_path", "vit", below(0.0, 1.0), "0.0", "Probability of skipping a residual branch, growing linearly from 0 at the first block to this at the last."),
    key("model.channels", "image-gpt", whole(1, 4), "required", "Tokens of a pixel: 1 for grey images and colour clusters, 3 for the bytes of red, green and blue."),
    key("model.palette", "image-gpt", whole(0, 4), "0", "If a token is a colour of a palette: numbers of a colour (1 for grey, 3 for red, green and blue). 0 if tokens are bytes."),
    key("model.vocab", "image-gpt", whole(1, SIZE), "256", "Values of a token: 256 for bytes, or the number of colours of the palette."),
    key("model.classes", "image-gpt", whole(0, 65_535), "0", "Classes that images are conditioned on; 0 for none."),
    key("model.tie", "image-gpt", Takes::Flag, "false", "Whether the head's matrix is that of the token embedding."),
    key("model.norm", "image-gpt", Takes::Choice, "\"layer\"", "Which normalisation."),
    key("model.activation", "vit, image-gpt", Takes::Choice, "\"gelu\"", "Between the layers of the MLPs."),
    key("model.head_bias", "image-gpt", Takes::Flag, "true", "Whether a head of its own has a bias."),
    key("model.eps", "image-gpt", number(0.0, 1.0), "none", "eps of the norms; unless given, 1e-6 of layer norms and 1e-5 of those without a mean."),
    key("model.image_size", "detr", Takes::Wholes(1, SIZE, [2, 2]), "required", "Height and width that position tables are made for, in pixels; images of any size can be read."),
    key("model.heads", "detr", whole(1, 1024), "required", "Attention heads of a layer."),
    key("model.mlp_dim", "detr", whole(1, SIZE), "required", "Hidden features of a layer's MLP."),
    key("model.encoder_depth", "detr", whole(1, 1024), "required", "Layers of the encoder."),
    key("model.decoder_depth", "detr", whole(1, 1024), "required", "Layers of the decoder."),
    key("model.queries", "detr", whole(1, SIZE), "required", "Objects that can be found in an image."),
    key("model.classes", "detr", whole(1, SIZE), "required", "Classes, without that of no object."),
    key("model.anchors", "detr", Takes::Flag, "false", "Whether each query has a fixed point of the image, whose encoding is added to it and from which its box is measured, as in Anchor DETR (Wang et al. 2022), instead of a trained vector alone."),
    key("model.scale_positions", "detr", Takes::Flag, "false", "Whether encodings are scaled to a mean square of 1 at each place, which is that of tokens after a norm, so that none starts too faint to be seen beside them."),
    key("model.order", "detr", Takes::Choice, "\"post\"", "Where layers normalise; DETR after, pre-norm has one more norm behind the encoder."),
    key("model.dropout", "detr", below(0.0, 1.0), "0.0", "Dropout after each attention and in the MLPs."),
    key("model.padding", "detr", Takes::Choice, "\"features\"", "What happens to smaller images of a batch."),
    key("model.vocabulary", "captioner", whole(0, SIZE), "0", "Words, the four special ones counted too; what knows the data sets it."),
    key("model.dim", "captioner", whole(1, SIZE), "128", "Features of a node and of a word."),
    key("model.heads", "captioner", whole(1, 1024), "4", "Attention heads of a layer."),
    key("model.mlp_dim", "captioner", whole(1, SIZE), "256", "Hidden features of a layer's MLP."),
    key("model.encoder_depth", "captioner", whole(1, 1024), "2", "Layers of the encoder of nodes."),
    key("model.decoder_depth", "captioner", whole(1, 1024), "2", "Layers of the decoder of words."),
    key("model.dropout", "captioner", below(0.0, 1.0), "0.1", "Dropout of nodes, of the widget's token, of words, and in the layers."),
    key("model.pixels", "captioner", Takes::Wholes(1, SIZE, [1, 6]), "[8, 16, 32, 64]", "Channels of each stage of residual blocks that reads a widget's pixels; each halves height and width."),
    key("model.max_words", "captioner", whole(1, 1024), "10", "Words of a caption at most, without the one that ends it."),
    key("model.grouping", "captioner", Takes::Choice, "\"2x2\"", "The groups of a box's numbers."),
    key("model.scale_positions", "captioner", Takes::Flag, "false", "Whether encodings are scaled to a mean square of 1, which is that of the other features of a node at first."),
    key("model.tie", "captioner", Takes::Flag, "false", "Whether the matrix that reads words out is the table that they are looked up in."),
    key("model.order", "captioner", Takes::Choice, "\"pre\"", "Where layers normalise."),
    key("model.position.kind", "vit, image-gpt, detr", Takes::Choice, "required", "The position encoding."),
    key("model.position.kind", "captioner", Takes::Choice, "\"lff-mlp\"", "The encoding of boxes: absolute ones are a feature of a node, relative ones change the encoder's self-attention."),
    key("model.position.std", "embed-1d, embed-2d, factorized", above(0.0, 1e3), "0.02", "Standard deviation of the first values."),
    key("model.position.temperature", "sine-1d, sine-2d, sine-mlp", above(0.0, 1e9), "10000.0", "The longest wavelength is 2π times this."),
    key("model.position.hidden", "sine-mlp, mlp, lff-mlp, fixed-fourier-mlp, relative-mlp, relative-lff", whole(1, SIZE), "32", "Hidden features |H| of the MLP."),
    key("model.position.gamma", "lff, lff-mlp, relative-lff", above(0.0, 1e6), "0.2", "Width γ of the first kernel, in fractions of the image."),
    key("model.position.features", "lff-mlp, fixed-fourier-mlp, relative-lff", whole(0, SIZE), "0", "Number |F| of Fourier features; 0 stands for the model's width."),
    key("model.position.gamma", "fixed-fourier, fixed-fourier-mlp", above(0.0, 1e6), "0.2", "Width γ of the kernel, in fractions of the image."),
    key("model.position.temperature", "rope-axial", above(0.0, 1e9), "100.0", "The slowest pair turns at about 1/temperature a place."),
    key("model.position.temperature", "rope-mixed", above(0.0, 1e9), "10.0", "The slowest pair turns at about 1/temperature a place at first."),
    key("model.backbone.kind", "", Takes::Choice, "required", "Convolutions in front."),
    key("model.backbone.channels", "stem", Takes::Wholes(1, SIZE, [1, 12]), "required", "Channels after each convolution."),
    key("model.backbone.channels", "residual", Takes::Wholes(1, SIZE, [1, 12]), "required", "Channels of each stage."),
    key("model.backbone.blocks", "residual", whole(1, 1024), "required", "Residual blocks of a stage."),
    key("model.backbone.dilated", "resnet-18, resnet-50", Takes::Flag, "false", "Whether the last stage is dilated instead of strided (DC5): stride 16."),
    key("model.backbone.channels", "resnet-18, resnet-50", Takes::Wholes(1, SIZE, [4, 4]), "[64, 128, 256, 512]", "Channels of the four stages, those of the 3×3 convolutions."),
    key("train.epochs", "", whole(1, COUNT), "required", "Passes over the training set."),
    key("train.extra_epochs", "", whole(0, COUNT), "0", "Passes after those of the schedule, at its last learning rate; `train --resume RUN --epochs N` sets it."),
    key("train.steps", "", whole(0, COUNT), "0", "Steps after which training ends, if before the last epoch; 0 for no such limit."),
    key("train.log_every", "", whole(0, COUNT), "0", "Steps between lines of the log inside of an epoch; 0 for none."),
    key("train.eval_every", "", whole(1, COUNT), "1", "Epochs between scores; the last epoch is always scored."),
    key("train.eval_steps", "", whole(0, COUNT), "0", "Steps between scores inside of an epoch; 0 for none."),
    key("train.batch_size", "", whole(1, BATCH), "required", "Images of a batch."),
    key("train.accumulate", "", whole(1, BATCH), "1", "Batches of a step, which are one batch but for the size of a shard. Those left over at the end of an epoch are left out."),
    key("train.micro_batch", "", whole(0, BATCH), "0", "Images of a shard; 0 for the rule of `nn::micro_batch`."),
    key("train.from", "", Takes::Folder, "none", "Run or safetensors file whose parameters it starts from, as far as they fit; `train --from` sets it."),
    key("train.freeze", "", Takes::Texts(0), "[]", "Parameters that stay as they are, by their names, in which `*` stands for any letters: `[\"blocks.0.*\"]`."),
    key("train.taken_rate", "", number(0.0, 1.0), "1.0", "By what the learning rate is multiplied for the parameters that were taken from `train.from`."),
    key("train.label_smoothing", "", below(0.0, 1.0), "0.0", "Label smoothing ε."),
    key("train.clip_norm", "", number(0.0, 1e12), "0.0", "Largest norm of a step's gradient; 0 for no clipping."),
    key("train.ema", "", below(0.0, 1.0), "0.0", "Decay of the average of parameters that is evaluated in place of the parameters; 0 for none."),
    key("train.patience", "", whole(0, COUNT), "0", "Scores in a row that are no better than the best one, after which training ends; 0 for no such end."),
    key("train.save_every", "", whole(0, COUNT), "0", "Steps between checkpoints; 0 for none by steps. There is always one at the start, before an epoch is scored, after it, and when training stops."),
    key("train.save_minutes", "", number(0.0, 1e6), "5.0", "Minutes after which there is a checkpoint in any case; 0 for none by time."),
    key("train.keep", "", whole(0, COUNT), "0", "Checkpoints that are kept under a name with their step, the newest ones; 0 for none."),
    key("train.samples", "", whole(0, 256), "16", "Samples of what the model does, in the folder `samples` of the run after each score: images that it draws, or of what it is scored on images with their classes, pictures with boxes (at most 4) or widgets with captions; 0 for none."),
    key("augment.crop_padding", "", whole(0, 1024), "0", "Zero padding around the image before it is cropped at a random place, in pixels."),
    key("augment.flip", "", number(0.0, 1.0), "0.0", "Probability of a horizontal flip."),
    key("augment.erase", "", number(0.0, 1.0), "0.0", "Probability that a rectangle is erased."),
    key("augment.boxes.flip", "", number(0.0, 1.0), "0.0", "The probability of a reflection that exchanges left and right."),
    key("augment.boxes.flip_vertical", "", number(0.0, 1.0), "0.0", "The probability of a reflection that exchanges top and bottom."),
    key("augment.boxes.crop", "", number(0.0, 1.0), "0.0", "The probability that only a part of the picture is shown."),
    key("augment.boxes.crop_size", "", Takes::Numbers(FRACTION, 2), "[0.6, 1.0]", "The least and the greatest height of that part as fractions of the picture's, and likewise, drawn apart, of its width."),
    key("augment.boxes.rescale", "", number(0.0, 1.0), "0.0", "The probability that what is shown does not fill the canvas as far as its shape allows."),
    key("augment.boxes.scale", "", Takes::Numbers(FRACTION, 2), "[0.6, 1.0]", "The least and the greatest size then, as fractions of the size that fills the canvas."),
    key("augment.boxes.brightness", "", number(0.0, 1.0), "0.0", "Colours are multiplied by a factor up to this far from 1."),
    key("augment.boxes.contrast", "", number(0.0, 1.0), "0.0", "Differences to the mean grey of the picture are multiplied by a factor up to this far from 1."),
    key("augment.boxes.saturation", "", number(0.0, 1.0), "0.0", "Differences to the grey of the same pixel are multiplied by a factor up to this far from 1."),
    key("criterion.class_cost", "", number(0.0, 1e6), "1.0", "Weight of the class's probability in matching."),
    key("criterion.box_cost", "", number(0.0, 1e6), "5.0", "Weight of the boxes' L1 distance in matching."),
    key("criterion.giou_cost", "", number(0.0, 1e6), "2.0", "Weight of GIoU in matching."),
    key("criterion.class_weight", "", number(0.0, 1e6), "1.0", "Weight of the cross-entropy in the loss."),
    key("criterion.box_weight", "", number(0.0, 1e6), "5.0", "Weight of the boxes' L1 distance in the loss."),
    key("criterion.giou_weight", "", number(0.0, 1e6), "2.0", "Weight of 1 − GIoU in the loss."),
    key("criterion.no_object", "", above(0.0, 1e3), "0.1", "How much a query without an object counts in the cross-entropy."),
    key("decoding.beam", "", whole(1, 1024), "4", "Beginnings that are kept; 1 takes the most probable word each time."),
    key("decoding.length_penalty", "", number(0.0, 10.0), "0.6", "α: the larger, the longer the captions."),
    key("decoding.max_words", "", whole(1, 1024), "10", "Words of a caption at most."),
    key("optimizer.rate", "", above(0.0, 1e38), "required", "Largest learning rate."),
    key("optimizer.floor", "", number(0.0, 1.0), "0.0", "Learning rate at the end, as a fraction of the largest."),
    key("optimizer.warmup", "", below(0.0, 1.0), "0.0", "Warm-up, as a fraction of all steps."),
    key("optimizer.adamw.beta1", "", below(0.0, 1.0), "0.9", "Decay β₁ of the mean of gradients."),
    key("optimizer.adamw.beta2", "", below(0.0, 1.0), "0.999", "Decay β₂ of the mean of squared gradients."),
    key("optimizer.adamw.eps", "", number(1e-30, 1.0), "1e-8", "ε, added to √v̂."),
    key("optimizer.adamw.weight_decay", "", number(0.0, 1e3), "0.05", "Weight decay λ, of parameters that decay."),
];

/// All words of the keys that take one of several.
#[rustfmt::skip]
pub(crate) const CHOICES: &[Choice] = &[
    choice("data.kind", "sample", "The part of Fashion-MNIST inside the program."),
    choice("data.kind", "fashion-mnist", "IDX files of Fashion-MNIST."),
    choice("data.kind", "mnist", "IDX files of MNIST."),
    choice("data.kind", "cifar10", "CIFAR-10's binary files."),
    choice("data.kind", "grey-folder", "Labelled pictures, read in grey: in `train/CLASS`, and in `val/CLASS` (or `valid`, `validation`, `dev`), `test/CLASS` or both, of which `test` is for `eval --test`; in `CLASS` alone (see `data.test_share`); or in a CSV or JSON Lines file of files and labels."),
    choice("data.kind", "colour-folder", "The same in colour."),
    choice("data.kind", "scenes", "Made-up scenes with boxes; see `data.scenes`."),
    choice("data.kind", "voc", "Pascal VOC: `Annotations`, `JPEGImages` and `ImageSets/Main/SPLIT.txt`."),
    choice("data.kind", "coco", "COCO: `annotations/instances_SPLIT.json`, and pictures in `SPLIT`; `SPLIT/_annotations.coco.json`; or one JSON file."),
    choice("data.kind", "yolo", "YOLO: `images/SPLIT` and `labels/SPLIT`, or `SPLIT/images` and `SPLIT/labels`."),
    choice("data.kind", "screens", "Rico with captions of widgets: `combined`, `split` and `widget_captions.csv`."),
    choice("data.fit", "stretch", "All of it is shown, stretched."),
    choice("data.fit", "crop", "The largest part in the middle that has the ratio is shown."),
    choice("data.scenes.objects", "sample", "The part of Fashion-MNIST inside the program."),
    choice("data.scenes.objects", "fashion-mnist", "IDX files of Fashion-MNIST."),
    choice("data.scenes.objects", "mnist", "IDX files of MNIST."),
    choice("data.screens.eval", "train", "For learning."),
    choice("data.screens.eval", "dev", "For choosing between models."),
    choice("data.screens.eval", "test", "For the final measurement."),
    choice("model.kind", "vit", "A vision transformer."),
    choice("model.pool", "cls", "The class token."),
    choice("model.pool", "mean", "The mean of the patches' tokens; a class token does not count."),
    choice("model.pool", "max", "The largest of each feature over the patches' tokens; a class token does not count."),
    choice("model.kind", "image-gpt", "A causal transformer over pixels."),
    choice("model.norm", "layer", "Layer norm: `LayerNorm`."),
    choice("model.norm", "rms", "Without mean and bias: `RmsNorm`."),
    choice("model.activation", "gelu", "x·Φ(x) (Hendrycks and Gimpel 2016)."),
    choice("model.activation", "gelu-tanh", "x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), an approximation of it that is within 5e-4."),
    choice("model.activation", "quick-gelu", "x·σ(1.702·x), another one, within 0.021."),
    choice("model.activation", "relu", "max(x, 0)."),
    choice("model.kind", "detr", "A detector of boxes."),
    choice("model.order", "pre", "x + f(norm(x)), as in ViT and GPT."),
    choice("model.order", "post", "norm(x + f(x)), as in the first transformer and DETR."),
    choice("model.padding", "features", "Each image goes through the backbone by itself, and features are padded: an image's boxes do not depend on what else is in the batch."),
    choice("model.padding", "pixels", "Images are padded with 0, and the padding goes through the backbone too, as in DETR."),
    choice("model.kind", "captioner", "A captioner of widgets."),
    choice("model.grouping", "1x4", "One group: (left, top, right, bottom)."),
    choice("model.grouping", "2x2", "Two points: (left, top) and (right, bottom)."),
    choice("model.grouping", "4x1", "Four numbers by themselves: left, top, right, bottom."),
    choice("model.position.kind", "none", "No positions: a control. No parameters."),
    choice("model.position.kind", "embed-1d", "A trained vector for each index in row-major order, as in ViT (Dosovitskiy et al. 2021). One group. N·D parameters. Elsewhere: bicubic interpolation of the table."),
    choice("model.position.kind", "embed-2d", "A trained vector for each index along each coordinate, side by side, as in DETR's learned positions (Carion et al. 2020). Σ sizes·D/C parameters. Elsewhere: cubic interpolation of each table."),
    choice("model.position.kind", "sine-1d", "Sines and cosines of the index in row-major order (Vaswani et al. 2017). One group. No parameters. Elsewhere: goes on."),
    choice("model.position.kind", "sine-2d", "Sines and cosines of 2π·fraction of each coordinate, side by side, as in DETR (Carion et al. 2020). No parameters. Elsewhere: a larger image is a denser sampling of the same range."),
    choice("model.position.kind", "sine-mlp", "The same, and an MLP."),
    choice("model.position.kind", "mlp", "An MLP of the fractions themselves. (M + 1)|H| + (|H| + 1)D/G parameters. Elsewhere: goes on."),
    choice("model.position.kind", "lff", "Learnable Fourier features alone (Li et al. 2021, Eq. 2), |F| = D/G. M·D/(2G) parameters. Elsewhere: goes on."),
    choice("model.position.kind", "lff-mlp", "Learnable Fourier features with MLP (Li et al. 2021): see `LearnableFourier`."),
    choice("model.position.kind", "fixed-fourier", "Fourier features of frequencies that stay as they were drawn (Rahimi and Recht 2007). No trained parameters."),
    choice("model.position.kind", "fixed-fourier-mlp", "The same with an MLP (Tancik et al. 2020)."),
    choice("model.position.kind", "factorized", "The sum of a trained vector for each coordinate, found by fraction, as in NaViT (Dehghani et al. 2023). Σ sizes·D/G parameters. Elsewhere: the row at the same fraction."),
    choice("model.position.kind", "rope-axial", "Queries and keys turned by indices, pairs shared out among coordinates (Heo et al. 2024). No parameters. Elsewhere: goes on, with differences that training has not shown."),
    choice("model.position.kind", "rope-mixed", "The same with trained frequencies for each layer and head (Heo et al. 2024). L·D/2·C parameters."),
    choice("model.position.kind", "alibi", "Scores fall with the Euclidean distance in indices (Press et al. 2022; Fuller et al. 2023). No parameters. Elsewhere: goes on."),
    choice("model.position.kind", "relative-mlp", "Scores with a bias that an MLP makes of the difference on a logarithmic scale (Liu et al. 2022). (C + 1)|H| + (|H| + 1)·heads parameters. Elsewhere: fractions, hence a denser sampling of the same range."),
    choice("model.position.kind", "relative-lff", "Scores with a bias that an MLP makes of learnable Fourier features of the difference."),
    choice("model.backbone.kind", "stem", "3×3 convolutions of stride 2 with ReLU, one for each entry."),
    choice("model.backbone.kind", "residual", "Stages of residual blocks (two 3×3 convolutions with group norm each; He et al. 2016, Wu and He 2018), to be trained from scratch. Each stage halves height and width."),
    choice("model.backbone.kind", "resnet-18", "ResNet-18 (He et al. 2016) with frozen batch norm, under torchvision's names; stride 32."),
    choice("model.backbone.kind", "resnet-50", "ResNet-50 with frozen batch norm and the stride in the 3×3 convolution, as torchvision has it; stride 32."),
];
