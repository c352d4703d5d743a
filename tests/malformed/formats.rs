//! Sound files of each format, and how a format is read to the end.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use datasets::detection::{self, Fit, Reading};
use datasets::image_folder::{self, Channels, Listing, Part, Size};
use datasets::screens::{self, Vocabulary};
use datasets::{Images, Normalize, Split, cifar10, idx};
use image::{DynamicImage, ImageFormat, RgbImage};
use nn::checkpoint::{self, TensorFile};
use tensor::Tensor;

/// A file and what stands in it.
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// A format: a folder with files, and a reader that goes to the end of what it gives.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) files: Vec<File>,
    pub(crate) read: fn(&Path) -> Result<(), String>,
    /// Files that no change of a sound one makes.
    pub(crate) crafted: fn(&str) -> Vec<Vec<u8>>,
    /// How many times as long a file takes as one of the others.
    pub(crate) cost: u32,
}

impl Format {
    fn new<const N: usize>(
        name: &'static str,
        read: fn(&Path) -> Result<(), String>,
        files: [(&'static str, Vec<u8>); N],
    ) -> Self {
        let files = files.into_iter().map(|(name, bytes)| File { name, bytes }).collect();
        Self { name, files, read, crafted: |_| Vec::new(), cost: 1 }
    }
}

fn told<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// A picture of 12 × 10 pixels.
fn picture(format: ImageFormat) -> Vec<u8> {
    let colour = |x, y| image::Rgb([(x * 20) as u8, (y * 25) as u8, (x * y) as u8]);
    let picture = DynamicImage::from(RgbImage::from_fn(12, 10, colour));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn all_images(images: Images) -> Result<(), String> {
    let normalize = told(Normalize::of(&images))?;
    let loader = datasets::Loader::new(Arc::new(images), datasets::Options::eval(4, normalize));
    told(told(loader)?.epoch(0, 0).try_for_each(|batch| batch.map(drop)))
}

fn all_boxes(boxes: detection::Detection) -> Result<(), String> {
    let normalize = Normalize { mean: vec![0.5; 3], std: vec![0.25; 3] };
    let options = detection::Options::eval(4, [16, 16], normalize);
    let source = detection::Source::Pictures(Arc::new(boxes));
    let loader = told(detection::Loader::new(source, options))?;
    told(loader.epoch(0, 0).try_for_each(|batch| batch.map(drop)))
}

const READING: Reading = Reading::new(Channels::Rgb, Fit::Within(16));

pub(crate) fn idx() -> Format {
    let images = idx::encode([3, 4, 5], &(0..60).collect::<Vec<u8>>());
    let labels = idx::encode([3], &[0, 2, 1]);
    let read =
        |folder: &Path| all_images(told(idx::folder(folder, Split::Train, &["a", "b", "c"]))?);
    Format::new(
        "IDX",
        read,
        [("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)],
    )
}

pub(crate) fn cifar10() -> Format {
    // 10,000 records of the class 0.
    let file = vec![0; 10_000 * 3073];
    let read = |folder: &Path| told(cifar10::folder(folder, Split::Test)).map(drop);
    Format { cost: 200, ..Format::new("CIFAR-10", read, [("test_batch.bin", file)]) }
}

/// The pictures of a folder to train on, once decoded at once and once when they are asked for.
fn listed(folder: &Path) -> Result<(), String> {
    let size = Size::Cropped { height: 8, width: 8 };
    let eager = image_folder::Reading::new(size, Channels::Rgb);
    for reading in [eager, image_folder::Reading { at_once: 0, ..eager }] {
        let mut listing = told(Listing::of(folder))?;
        told(listing.hold_out(0.5, false))?;
        all_images(told(image_folder::read(&mut listing, Some(Part::Train), &reading))?)?;
    }
    Ok(())
}

pub(crate) fn classes() -> Format {
    let read = listed;
    let files = [
        ("train/a/1.png", picture(ImageFormat::Png)),
        ("train/b/2.jpg", picture(ImageFormat::Jpeg)),
    ];
    Format { crafted: pictures, ..Format::new("class folders", read, files) }
}

pub(crate) fn tables() -> Format {
    let files = [
        ("a.png", picture(ImageFormat::Png)),
        ("b.png", picture(ImageFormat::Png)),
        ("labels.csv", b"file,label,split\na.png,one,train\nb.png,two,\n".to_vec()),
    ];
    Format::new("tables", listed, files)
}

pub(crate) fn lines() -> Format {
    let rows = "{\"file\": \"a.png\", \"label\": 1}\n{\"file\": \"b.png\", \"label\": \"two\"}\n";
    let picture = || picture(ImageFormat::Png);
    let files = [("a.png", picture()), ("b.png", picture()), ("labels.jsonl", rows.into())];
    Format::new("JSON Lines", listed, files)
}

/// Pictures that claim more than they hold.
fn pictures(name: &str) -> Vec<Vec<u8>> {
    if !name.ends_with(".png") {
        return Vec::new();
    }
    let strip = |width, height| {
        let strip = DynamicImage::from(image::GrayImage::new(width, height));
        let mut bytes = Cursor::new(Vec::new());
        strip.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
        bytes.into_inner()
    };
    vec![strip(1 << 22, 1), strip(1, 1 << 22), strip(1 << 11, 1 << 11)]
}

pub(crate) fn voc() -> Format {
    let read = |folder: &Path| {
        all_boxes(told(detection::voc::read(folder, Some("train"), None, &READING))?)
    };
    let xml = "<?xml version=\"1.0\"?>\n<annotation><filename>1.jpg</filename><size><width>12</width>\
               <height>10</height><depth>3</depth></size><object><name>cat</name><difficult>0</difficult>\
               <bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>\n";
    let files = [
        ("Annotations/1.xml", xml.into()),
        ("ImageSets/Main/train.txt", b"1\n".to_vec()),
        ("JPEGImages/1.jpg", picture(ImageFormat::Jpeg)),
    ];
    Format { crafted: documents, ..Format::new("VOC", read, files) }
}

/// Documents of XML that are small and dear to parse.
fn documents(name: &str) -> Vec<Vec<u8>> {
    if !name.ends_with(".xml") {
        return Vec::new();
    }
    let namespaces: String = (0..3000).map(|i| format!("<a xmlns:n{i}=\"u{i}\">")).collect();
    let attributes: String = (0..100_000).map(|i| format!(" a{i}=\"\"")).collect();
    let entities = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\">".to_owned()
        + &(b'b'..=b'j')
            .map(|c| {
                let (this, last) = (char::from(c), char::from(c - 1));
                format!("<!ENTITY {this} \"{}\">", format!("&{last};").repeat(10))
            })
            .collect::<String>()
        + "]><annotation><size><width>&j;</width></size></annotation>";
    let all = [
        namespaces + &"</a>".repeat(3000),
        format!("<annotation{attributes}/>"),
        entities,
        "<a/>".repeat(1 << 18),
        format!("<annotation>{}</annotation>", "<object/>".repeat(1 << 17)),
    ];
    all.map(String::into_bytes).to_vec()
}

const INSTANCES: &str = "{\"images\": [{\"id\": 1, \"width\": 12, \"height\": 10, \"file_name\": \"1.png\"}],\n\
    \"categories\": [{\"id\": 3, \"name\": \"cat\"}],\n\
    \"annotations\": [{\"id\": 7, \"image_id\": 1, \"category_id\": 3, \"bbox\": [2, 3, 7.5, 5], \"area\": 37.5,\n\
    \"iscrowd\": 0}]}";

pub(crate) fn coco() -> Format {
    let read = |folder: &Path| {
        let file = folder.join("instances.json");
        told(detection::coco::read_instances(&file))?;
        all_boxes(told(detection::coco::read_pictures(&file, folder, &READING))?)
    };
    let files = [("instances.json", INSTANCES.into()), ("1.png", picture(ImageFormat::Png))];
    Format::new("COCO", read, files)
}

pub(crate) fn coco_results() -> Format {
    let read =
        |folder: &Path| told(detection::coco::read_results(&folder.join("r.json"))).map(drop);
    let results = "[{\"image_id\": 1, \"category_id\": 3, \"bbox\": [2, 3, 7, 5], \"score\": 0.5}]";
    Format::new("COCO results", read, [("r.json", results.into())])
}

pub(crate) fn yolo() -> Format {
    let read = |folder: &Path| all_boxes(told(detection::yolo::read(folder, "train", &READING))?);
    let files = [
        ("labels/train/1.txt", b"1 0.5 0.5 0.5 0.25\n0 0.25 0.5 0.125 1\n".to_vec()),
        ("classes.txt", b"cat\ndog\n".to_vec()),
        ("images/train/1.png", picture(ImageFormat::Png)),
    ];
    Format::new("YOLO", read, files)
}

pub(crate) fn screens() -> Format {
    let read = |folder: &Path| {
        let screens = Arc::new(told(screens::folder(folder, screens::Part::Train))?);
        let vocabulary = Arc::new(Vocabulary::of_captions(&screens, 100, 1));
        let options = screens::Options { max_nodes: 20, ..screens::Options::eval(4) };
        told(screens::Loader::new(screens, vocabulary, options))?.epoch(0, 0).for_each(drop);
        Ok(())
    };
    let json = r#"{"activity":{"root":{"class":"a.b.FrameLayout","bounds":[0,0,1440,2560],"ancestors":["a.View"],
        "visibility":"visible","visible-to-user":true,"children":[{"class":"a.Button","text":"Go back",
        "resource-id":"a:id/go","clickable":true,"bounds":[0,84,720,300],"content-desc":[null,"x"]},null]}},"request_id":1}"#;
    let files = [
        ("combined/1.json", json.into()),
        (
            "widget_captions.csv",
            b"datasetId,screenId,nodeId,captions\nrc,1,0.0,go back|back\n".to_vec(),
        ),
        ("split/train.txt", b"1\n".to_vec()),
        ("combined/1.jpg", picture(ImageFormat::Jpeg)),
    ];
    Format::new("screens", read, files)
}

pub(crate) fn vocabulary() -> Format {
    let read = |folder: &Path| {
        let text = told(std::fs::read_to_string(folder.join("vocabulary.json")))?;
        let words: Vocabulary = told(serde_json::from_str(&text))?;
        words.encode_caption("go back", 10);
        Ok(())
    };
    let words = r#"["<PADDING>","<EOS>","<UNK>","<START>","back","go"]"#;
    Format::new("vocabulary", read, [("vocabulary.json", words.into())])
}

pub(crate) fn checkpoint() -> Format {
    let read = |folder: &Path| {
        let file = told(TensorFile::read(&folder.join("a.safetensors")))?;
        file.entries();
        let mut names = file.names().into_iter();
        names.try_for_each(|name| told(file.tensor::<f32>(&name)).map(drop))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.safetensors");
    let tensors: Vec<(String, Tensor)> = [("a", [2, 3]), ("b.c", [1, 1])]
        .map(|(name, shape)| (name.to_owned(), Tensor::ones(shape)))
        .to_vec();
    checkpoint::write(&path, tensors, [("k".to_owned(), "v".to_owned())].into()).expect("written");
    let ours = std::fs::read(&path).expect("written");
    Format {
        crafted: tensors_without_end,
        ..Format::new("checkpoint", read, [("a.safetensors", ours)])
    }
}

/// Headers of safetensors files that are dear to read.
fn tensors_without_end(_: &str) -> Vec<Vec<u8>> {
    let file =
        |header: String| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let empty =
        |i: usize| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let many: Vec<String> = (0..100_000).map(empty).collect();
    let shape = |shape: &str| {
        let entry = format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,0]}}");
        file(format!("{{\"t\":{entry}}}"))
    };
    let axes = format!("[{}0]", "1,".repeat(1_000_000));
    vec![
        file(format!("{{{}}}", many.join(","))),
        shape("[0,18446744073709551615]"),
        shape("[4294967296,4294967296,0]"),
        shape("[9223372036854775808,2]"),
        shape(&axes),
    ]
}
