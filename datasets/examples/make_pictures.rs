//! Makes folders of pictures in the layouts that people have, to try the program on.
//!
//! ```sh
//! make=target/release/examples/make_pictures   # cargo build --release -p wavetape-datasets --example make_pictures
//! $make crops VOC OUT    # each object of a data set in VOC's layout as a picture of its own size, in a folder per class
//! $make yolo VOC OUT     # the same data set as Ultralytics' export: train/images, train/labels, valid/…, data.yaml
//! $make coco VOC OUT     # the same as one COCO file beside a folder of pictures, without parts
//! $make digits N OUT     # N grey pictures of digits, 28 × 28, to train on (OUT/train) and 1,000 to test (OUT/test)
//! $make screens N OUT    # N screens of a made-up app in Rico's layout, with captions of their widgets, in parts of 8 : 1 : 1
//! $make many N OUT       # N coloured pictures of 40 to 90 pixels a side in ten classes, as JPEG
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use datasets::detection::{Annotated, Detection, Fit, Reading, voc};
use datasets::picture::{self, Channels};
use image::{GrayImage, Luma, Rgb, RgbImage};
use rayon::prelude::*;
use serde_json::json;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// The pictures of a data set in VOC's layout, in parts of its own.
fn read(folder: &Path) -> Result<Detection, datasets::Error> {
    let reading = Reading { skip_broken: true, ..Reading::new(Channels::Rgb, Fit::Original) };
    voc::read(folder, None, None, &reading)
}

fn file(folder: &Path, picture: &Annotated) -> PathBuf {
    folder.join("JPEGImages").join(&picture.name)
}

fn stem(picture: &Annotated) -> &str {
    picture.name.rsplit_once('.').map_or(&picture.name, |(stem, _)| stem)
}

fn crops(folder: &Path, out: &Path) -> Done {
    let data = read(folder)?;
    for class in data.classes() {
        fs::create_dir_all(out.join(class))?;
    }
    data.pictures().par_iter().try_for_each(|picture| {
        let whole = picture::open(&file(folder, picture))?;
        for (i, object) in picture.objects.iter().enumerate() {
            let region = object.region;
            let [left, top, right, bottom] =
                [region.left, region.top, region.right, region.bottom].map(|edge| edge as u32);
            // What is hardly to be seen, and five in six of what there is most of.
            let class = &data.classes()[object.class];
            if right < left + 12 || bottom < top + 12 || (class == "RBC" && i % 6 != 0) {
                continue;
            }
            let name = out.join(class).join(format!("{}-{i}.png", stem(picture)));
            whole.crop_imm(left, top, right - left, bottom - top).save(name)?;
        }
        Done::Ok(())
    })
}

fn yolo(folder: &Path, out: &Path) -> Done {
    let data = read(folder)?;
    for (i, picture) in data.pictures().iter().enumerate() {
        let part = out.join(if i % 5 == 0 { "valid" } else { "train" });
        let (images, labels) = (part.join("images"), part.join("labels"));
        fs::create_dir_all(&images)?;
        fs::create_dir_all(&labels)?;
        fs::copy(file(folder, picture), images.join(&picture.name))?;
        let [height, width] = picture.original.map(|side| side as f32);
        let mut lines = String::new();
        for object in &picture.objects {
            let r = object.region;
            let centre = [(r.left + r.right) / 2.0 / width, (r.top + r.bottom) / 2.0 / height];
            let size = [(r.right - r.left) / width, (r.bottom - r.top) / height];
            let [x, y, w, h] = [centre[0], centre[1], size[0], size[1]];
            writeln!(lines, "{} {x:.6} {y:.6} {w:.6} {h:.6}", object.class)?;
        }
        fs::write(labels.join(format!("{}.txt", stem(picture))), lines)?;
    }
    let names = data.classes().join(", ");
    let count = data.classes().len();
    let yaml =
        format!("train: ../train/images\nval: ../valid/images\nnc: {count}\nnames: [{names}]\n");
    Ok(fs::write(out.join("data.yaml"), yaml)?)
}

fn coco(folder: &Path, out: &Path) -> Done {
    let data = read(folder)?;
    let pictures = out.join("images");
    fs::create_dir_all(&pictures)?;
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (id, picture) in data.pictures().iter().enumerate() {
        fs::copy(file(folder, picture), pictures.join(&picture.name))?;
        let [height, width] = picture.original;
        images
            .push(json!({ "id": id, "file_name": picture.name, "width": width, "height": height }));
        for truth in &picture.truth {
            annotations.push(json!({
                "id": annotations.len() + 1, "image_id": id, "category_id": truth.class + 1,
                "bbox": truth.bounds, "area": truth.area, "iscrowd": 0,
            }));
        }
    }
    let categories = data.classes().iter().enumerate();
    let categories: Vec<_> =
        categories.map(|(i, name)| json!({ "id": i + 1, "name": name })).collect();
    let file = json!({ "images": images, "annotations": annotations, "categories": categories });
    Ok(fs::write(out.join("annotations.json"), file.to_string())?)
}

fn many(count: u32, out: &Path) -> Done {
    for class in 0..10 {
        fs::create_dir_all(out.join(format!("class-{class}")))?;
    }
    (0..count).into_par_iter().try_for_each(|i| {
        let class = i % 10;
        let noise = i.wrapping_mul(2_654_435_761);
        let (width, height) = (40 + noise % 51, 40 + (noise >> 8) % 51);
        // Stripes whose direction and colour tell the class, and whose phase does not.
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let wave = (x * (class % 5 + 1) + y * (class / 5 * 3 + 1) + noise) % 64;
            Rgb([(wave * 4) as u8, (255 - wave * 3) as u8, (noise >> 16) as u8])
        });
        picture.save(out.join(format!("class-{class}/{i:06}.jpg")))?;
        Done::Ok(())
    })
}

/// Digits in 5 × 7 dots, a row a byte.
const DIGITS: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

/// A digit that is shifted, turned, sheared and blurred a little, with noise: picture `i` of these is always the same.
fn digit(i: u32) -> GrayImage {
    let mut state = u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // xorshift64*: numbers from −1 to 1.
    let mut draw = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    let glyph = &DIGITS[(i % 10) as usize];
    let (angle, shear, size) = (0.35 * draw(), 0.25 * draw(), 2.9 + 0.6 * draw());
    let [right, down] = [13.5 + 3.0 * draw(), 13.5 + 3.0 * draw()];
    let ink = |x: f32, y: f32| {
        let [x, y] = [x - right, y - down];
        let [u, v] = [angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x];
        let [u, v] = [(u + shear * v) / size + 2.5, v / size + 3.5];
        let inside = (0.0..5.0).contains(&u) && (0.0..7.0).contains(&v);
        inside && glyph[v as usize] >> (4 - u as usize) & 1 == 1
    };
    GrayImage::from_fn(28, 28, |x, y| {
        let dots = (0..16).filter(|dot| {
            let [dx, dy] = [(dot % 4) as f32, (dot / 4) as f32].map(|d| (d - 1.5) / 2.5);
            ink(x as f32 + dx, y as f32 + dy)
        });
        let bright = 14.0 * dots.count() as f32 + 30.0 * draw();
        Luma([bright.clamp(0.0, 255.0) as u8])
    })
}

fn digits(count: u32, out: &Path) -> Done {
    for (part, first, count) in [("train", 0, count), ("test", 1_000_000, 1000)] {
        for class in 0..10 {
            fs::create_dir_all(out.join(format!("{part}/{class}")))?;
        }
        for i in first..first + count {
            digit(i).save(out.join(format!("{part}/{}/{i:07}.png", i % 10)))?;
        }
    }
    Ok(())
}

/// A widget: what is drawn, where (left, top, right, bottom on 1440 × 2560), and what people call it.
struct Widget {
    class: &'static str,
    sign: char,
    bounds: [u32; 4],
    text: &'static str,
    captions: [&'static str; 2],
}

/// The widgets of a screen. The same sign means another thing at another place.
fn widgets(i: u32) -> Vec<Widget> {
    let noise = i.wrapping_mul(2_654_435_761) >> 7;
    let chance = |bit: u32| noise >> bit & 1 == 1;
    let shift = noise % 60;
    let icon = |sign, left: u32, top: u32, captions| {
        let bounds = [left, top + shift, left + 168, top + shift + 168];
        Widget { class: "android.widget.ImageButton", sign, bounds, text: "", captions }
    };
    let mut all = vec![match chance(0) {
        true => icon('<', 24, 60, ["go back", "back to previous screen"]),
        false => icon('x', 24, 60, ["close", "close this screen"]),
    }];
    if chance(1) {
        all.push(icon('o', 1230, 60, ["search", "search for items"]));
    }
    if chance(2) {
        all.push(icon('*', 1040, 60, ["open settings", "settings"]));
    }
    let names = ["mail", "music", "photos", "maps", "notes", "contacts"];
    let opened = [
        ["open mail", "read mail"],
        ["open music", "listen to music"],
        ["open photos", "see photos"],
        ["open maps", "show maps"],
        ["open notes", "read notes"],
        ["open contacts", "see contacts"],
    ];
    for row in 0..2 + noise % 4 {
        let which = ((noise >> 3) + 5 * row) as usize % names.len();
        let top = 420 + 330 * row + shift;
        let bounds = [40, top, 1100, top + 200];
        let (class, text) = ("android.widget.TextView", names[which]);
        all.push(Widget { class, sign: '-', bounds, text, captions: opened[which] });
        if chance(4 + row) {
            all.push(icon('x', 1220, 430 + 330 * row, ["delete item", "remove this item"]));
        }
    }
    if chance(9) {
        all.push(icon('+', 1200, 2200, ["add item", "add a new item"]));
    }
    all
}

/// Whether a sign is drawn at a place of its square, from −1 to 1.
fn is_drawn(sign: char, x: f32, y: f32) -> bool {
    let (near, far) = (x.abs() < 0.8 && y.abs() < 0.8, (x * x + y * y).sqrt());
    near && match sign {
        '<' => (x + 0.5 - y.abs()).abs() < 0.2,
        'x' => (x.abs() - y.abs()).abs() < 0.2,
        '+' => x.abs() < 0.15 || y.abs() < 0.15,
        'o' => (far - 0.5).abs() < 0.15,
        '*' => far < 0.3 || ((x * y).abs() < 0.05 && far < 0.75),
        _ => y.abs() < 0.15,
    }
}

fn screens(count: u32, out: &Path) -> Done {
    for folder in ["combined", "split"] {
        fs::create_dir_all(out.join(folder))?;
    }
    let mut table = "datasetId,screenId,nodeId,captions\n".to_owned();
    let mut parts = [const { String::new() }; 3];
    for i in 0..count {
        let (id, widgets) = (10_000 + i, widgets(i));
        let shade = 200 + (i * 37 % 50) as u8;
        let picture = GrayImage::from_fn(180, 320, |x, y| {
            let [x, y] = [x * 8 + 4, y * 8 + 4];
            let inside = |w: &&Widget| {
                (w.bounds[0]..w.bounds[2]).contains(&x) && (w.bounds[1]..w.bounds[3]).contains(&y)
            };
            let of =
                |from: u32, to: u32, at: u32| (2 * (at - from)) as f32 / (to - from) as f32 - 1.0;
            let ink = widgets.iter().find(inside).map(|w| {
                let [left, top, right, bottom] = w.bounds;
                is_drawn(w.sign, of(left, right, x), of(top, bottom, y))
            });
            Luma([match ink {
                Some(true) => 30,
                Some(false) => 250,
                None => shade,
            }])
        });
        picture.save(out.join(format!("combined/{id}.jpg")))?;
        let node = |w: &Widget| {
            let clickable = w.class.ends_with("ImageButton") || !w.text.is_empty();
            json!({
                "class": w.class, "bounds": w.bounds, "clickable": clickable, "visible-to-user": true,
                "ancestors": ["android.view.View", "java.lang.Object"], "text": w.text,
                "resource-id": "app:id/item", "content-desc": [null], "visibility": "visible",
            })
        };
        let children: Vec<_> = widgets.iter().map(node).collect();
        let root = json!({
            "class": "android.widget.FrameLayout", "bounds": [0, 0, 1440, 2560], "clickable": false,
            "visible-to-user": true, "ancestors": ["android.view.View", "java.lang.Object"],
            "children": children,
        });
        let screen = json!({ "activity_name": "app/Screen", "activity": { "root": root } });
        fs::write(out.join(format!("combined/{id}.json")), screen.to_string())?;
        for (at, widget) in widgets.iter().enumerate() {
            writeln!(table, "rc,{id},0.{at},{}", widget.captions.join("|"))?;
        }
        let part = match i % 10 {
            8 => 1,
            9 => 2,
            _ => 0,
        };
        writeln!(parts[part], "{id}")?;
    }
    for (name, ids) in ["train", "dev", "test"].iter().zip(&parts) {
        fs::write(out.join(format!("split/{name}.txt")), ids)?;
    }
    Ok(fs::write(out.join("widget_captions.csv"), table)?)
}

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, from, out] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        return Err("crops|yolo|coco VOC OUT, or digits|screens|many N OUT, expected".into());
    };
    let (folder, out) = (Path::new(from), Path::new(out));
    fs::create_dir_all(out)?;
    match kind {
        "crops" => crops(folder, out),
        "yolo" => yolo(folder, out),
        "coco" => coco(folder, out),
        "digits" => digits(from.parse()?, out),
        "screens" => screens(from.parse()?, out),
        "many" => many(from.parse()?, out),
        _ => Err("crops, yolo, coco, digits, screens or many expected".into()),
    }
}
