//! Screens and captions from files, sound ones and others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use datasets::Error;
use datasets::screens::{
    self, Limits, Node, Part, Repair, SIDE, Screen, Screens, Screenshot, crop, folder, screen,
};
use image::{GrayImage, ImageFormat};
use tempfile::TempDir;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/screens")
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

const HEADER: &str = "datasetId,screenId,nodeId,captions\n";

/// A folder with one screen of 4 × 4 pixels, whose root has a caption.
fn one(hierarchy: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "split/train.txt", "1\n");
    write(root, "widget_captions.csv", format!("{HEADER}rc,1,0,go\n"));
    write(root, "combined/1.json", hierarchy);
    let picture = GrayImage::from_pixel(4, 4, image::Luma([100]));
    picture.save_with_format(root.join("combined/1.png"), ImageFormat::Png).unwrap();
    dir
}

/// A file with this root.
fn rooted(root: &str) -> String {
    format!(r#"{{"activity":{{"root":{root},"added_fragments":[]}},"request_id":1}}"#)
}

fn node_of(values: &str) -> (Node, Screens) {
    let dir = one(&rooted(values));
    let screens = folder(dir.path(), Part::Train).unwrap();
    (screens.screens()[0].nodes[0].clone(), screens)
}

/// The message of an error without the folder in front of the last part of the path.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let message = result.unwrap_err().to_string();
    let (path, rest) = message.split_once(": ").unwrap();
    format!("{}: {rest}", path.rsplit('/').next().unwrap())
}

fn refused(hierarchy: &str) -> String {
    message(folder(one(hierarchy).path(), Part::Train))
}

fn paths(screen: &Screen) -> Vec<&str> {
    screen.nodes.iter().map(|node| node.path.as_str()).collect()
}

#[test]
fn the_screens_of_a_part_come_in_its_order_with_their_captions() {
    let train = folder(&fixture(), Part::Train).unwrap();
    let [first, second] = train.screens() else { panic!("{train:?}") };
    assert_eq!((first.id.as_str(), second.id.as_str(), train.widgets()), ("14", "291", 4));

    let captions = |screen: &Screen| -> Vec<(String, String)> {
        let widgets = screen.widgets.iter();
        widgets.map(|w| (screen.nodes[w.node].path.clone(), w.captions.join("|"))).collect()
    };
    let pair = |path: &str, captions: &str| (path.to_string(), captions.to_string());
    assert_eq!(
        captions(first),
        [pair("0.2.3", "submit|send, please"), pair("0.2.4", "next, go on|next|go to next page")]
    );
    assert_eq!(captions(second), [pair("0.1.2", "name|type your name"), pair("0.1.4", "agree")]);

    let dev = folder(&fixture(), Part::Dev).unwrap();
    assert_eq!((dev.screens()[0].id.as_str(), dev.widgets()), ("32", 2));
    assert_eq!(
        dev.repairs().to_string().lines().count(),
        1,
        "only the row of nr: {}",
        dev.repairs()
    );
    assert_eq!(folder(&fixture(), Part::Test).unwrap().screens()[0].id, "1006");
}

#[test]
fn every_oddity_of_the_fixture_is_counted_and_told() {
    let train = folder(&fixture(), Part::Train).unwrap();
    assert_eq!(
        train.repairs().to_string(),
        "1 row left out of screens that were not published, in widget_captions.csv: line 3\n\
         1 row left out whose captions have no word, in widget_captions.csv: line 9\n\
         1 caption left out without a word, in widget_captions.csv: line 4\n\
         1 row joined to an earlier one for the same node, in widget_captions.csv: line 8\n\
         1 row left out whose node is not on the screen, in widget_captions.csv: line 5: node 0.2.1 of 14.json\n\
         1 screen left out whose file has no view hierarchy, in 99.json\n\
         1 screen left out on which nothing has a caption, in 7.json\n\
         1 node without a stated class, in 291.json: node 0.1.0\n\
         1 node set to the origin without four numbers as bounds, in 291.json: node 0.1.2: nothing\n\
         1 bounds turned whose edges were in the wrong order, in 14.json: node 0.2.3: [535.0, 1411.0, 18.0, 1222.0]\n\
         1 bounds clipped that reached out of the canvas, in 14.json: node 0.2.6: [18.0, 1600.0, 358.0, 2700.0]\n\
         1 bounds kept that have no area on the canvas, in 291.json: node 0.1.3: [45.0, 2108.0, 45.0, 2297.0]\n\
         2 resource ids read without exactly one slash, first in 291.json: node 0.1.0: title_view; 291.json: node 0.1.1: a/b:id/textAreaURL\n\
         1 value left out of another type than their key's, in 291.json: node 0.1.4: clickable: \"yes\""
    );
}

#[test]
fn null_children_count_in_paths_and_are_no_nodes() {
    let train = folder(&fixture(), Part::Train).unwrap();
    let screen = &train.screens()[0];
    let expected = ["0", "0.1", "0.2", "0.2.0", "0.2.2", "0.2.3", "0.2.4", "0.2.5", "0.2.6"];
    assert_eq!(paths(screen), expected);
    let dom: Vec<[usize; 3]> = screen.nodes.iter().map(|node| node.dom).collect();
    let below = [[3, 4, 2], [3, 5, 3], [3, 6, 4], [3, 7, 5], [3, 8, 6], [3, 9, 7]];
    assert_eq!(dom, [vec![[1, 1, 9], [2, 2, 1], [2, 3, 8]], below.to_vec()].concat());
    let leaves: Vec<bool> = screen.nodes.iter().map(|node| node.leaf).collect();
    assert_eq!(leaves, [false, true, false, true, true, true, true, true, true]);
}

#[test]
fn features_are_those_of_the_released_pipeline() {
    let train = folder(&fixture(), Part::Train).unwrap();
    let [first, second] = train.screens() else { panic!("{train:?}") };
    let of = |screen: &Screen, path: &str| screen.nodes[screen.find(path).unwrap()].clone();
    let words = |words: &[String]| words.join(" ");

    let root = of(first, "0");
    assert_eq!((root.class, root.clickable, root.visible), (4, false, true));
    assert_eq!(root.bounds, [0.0, 0.0, 1.0, 2392.0 / 2560.0], "of the canvas, not of the root");
    let query = of(first, "0.1");
    assert_eq!((query.class, words(&query.developer)), (4, "click on the next button".into()));
    assert_eq!(words(&query.resource), "query");
    assert_eq!(words(&of(first, "0.2.0").developer), "first field");
    let submit = of(first, "0.2.3");
    assert_eq!((submit.class, submit.clickable), (2, true));
    let turned = [18.0 / 1440.0, 1222.0 / 2560.0, 535.0 / 1440.0, 1411.0 / 2560.0];
    assert_eq!(submit.bounds, turned.map(|x: f64| x as f32));
    assert_eq!(words(&of(first, "0.2.4").developer), "next page");
    let last = of(first, "0.2.6");
    assert_eq!(
        (last.clickable, words(&last.developer), last.bounds[3]),
        (false, "yes".into(), 1.0)
    );
    assert!(!of(first, "0.2.5").visible);

    let title = of(second, "0.1.0");
    assert_eq!((title.class, words(&title.resource)), (4, "title view".into()));
    assert_eq!(words(&of(second, "0.1.1").resource), "text area url");
    let task = "scroll to the bottom of the textarea enter the name";
    assert_eq!(words(&of(second, "0.0").developer), task);
    assert_eq!(of(second, "0.1.2").bounds, [0.0; 4]);
    assert!(!of(second, "0.1.4").clickable);
}

#[test]
fn pixels_are_crops_and_zero_where_nothing_is_to_be_seen() {
    let train = folder(&fixture(), Part::Train).unwrap();
    let [first, second] = train.screens() else { panic!("{train:?}") };
    assert_eq!(first.pixels.len(), 2 * SIDE * SIDE);
    let picture = Screenshot::read(&fixture().join("combined/14.jpg")).unwrap();
    assert_eq!(picture.size(), [160, 90]);
    for (i, widget) in first.widgets.iter().enumerate() {
        assert_eq!(first.pixels(i), crop(&picture, first.nodes[widget.node].bounds));
        assert!(first.pixels(i).iter().any(|&pixel| pixel > 100));
    }
    assert!(second.pixels.iter().all(|&pixel| pixel == 0), "one is not visible, one has no bounds");
}

#[test]
fn of_one_screen_alone_every_node_can_be_captioned() {
    let screen = screen(&fixture().join("combined/291.json"), &Limits::default()).unwrap();
    assert_eq!((screen.id.as_str(), screen.nodes.len(), screen.widgets.len()), ("291", 8, 8));
    assert!(screen.widgets.iter().enumerate().all(|(i, w)| w.node == i && w.captions.is_empty()));
    assert_eq!(screen.repairs.count(Repair::ResourceId), 2);
    let node = screen.find("0.1.3").unwrap();
    let only = screen.only(|i| i == node);
    assert_eq!((only.widgets.len(), only.widgets[0].node), (1, node));
    assert_eq!((only.pixels(0), only.nodes.len()), (screen.pixels(node), 8));

    let null = screens::screen(&fixture().join("combined/99.json"), &Limits::default());
    assert_eq!(message(null), "99.json: activity.root: expected a node; found none");
}

#[test]
fn every_key_of_a_node_may_be_missing_or_null() {
    let (node, screens) = node_of("{}");
    let expected =
        Node { path: "0".into(), class: 11, dom: [1, 1, 1], leaf: true, ..Node::default() };
    assert_eq!(node, expected);
    let repairs = screens.repairs();
    assert_eq!((repairs.count(Repair::NoClass), repairs.count(Repair::NoBounds)), (1, 1));
    assert_eq!(repairs.to_string().lines().count(), 2);

    let keys = ["class", "ancestors", "bounds", "text", "content-desc", "resource-id", "clickable"];
    let nulls = keys.map(|key| format!("{key:?}:null")).join(",");
    let nulls = format!(r#"{{{nulls},"visibility":null,"visible-to-user":null,"children":null}}"#);
    assert_eq!(node_of(&nulls).0, expected);
}

#[test]
fn values_of_another_type_are_as_if_they_were_missing() {
    let (node, screens) = node_of(
        r#"{"class":7,"ancestors":[1,"a.Switch"],"bounds":[0,0,"1",2],"text":["a"],"content-desc":[3,"b"],
            "resource-id":{},"clickable":1,"visibility":true,"visible-to-user":"x","children":"none"}"#,
    );
    let expected = Node {
        path: "0".into(),
        class: 10,
        dom: [1, 1, 1],
        developer: vec!["b".into()],
        leaf: true,
        ..Node::default()
    };
    assert_eq!(node, expected);
    assert_eq!(screens.repairs().count(Repair::WrongType), 9);
    assert_eq!(screens.repairs().count(Repair::NoBounds), 1);
}

// Half of a pair of surrogates stands where a text was cut off; Python writes and reads it.
#[test]
fn text_that_is_not_unicode_is_left_out() {
    let (node, screens) =
        node_of(r#"{"text":"go \ud83d","content-desc":["on"],"\ud83d":[1],"class":"a.View"}"#);
    assert_eq!((node.developer, node.class), (vec!["on".to_string()], 4));
    assert_eq!(screens.repairs().first(Repair::WrongType), Some("1.json: node 0: text"));
}

#[test]
fn a_class_is_the_last_part_of_its_name_or_the_first_ancestor_that_is_known() {
    let class = |class: &str, ancestors: &str| {
        node_of(&format!(r#"{{"class":{class:?},"ancestors":[{ancestors}]}}"#)).0.class
    };
    assert_eq!(class("android.widget.ImageView", ""), 1);
    assert_eq!(class("SWITCH", r#""a.View""#), 10);
    assert_eq!(class("my.Button$1", r#""x.Other","y.ImageButton","android.view.View""#), 3);
    assert_eq!(class("my.OtherButton", r#""java.lang.Object""#), 11);
}

#[test]
fn a_folder_that_lacks_a_file_is_an_error_with_its_name() {
    let dir = one("null");
    let read = || folder(dir.path(), Part::Train);
    let missing = |name: &str| {
        fs::remove_file(dir.path().join(name)).unwrap();
        message(read())
    };
    assert_eq!(message(folder(dir.path(), Part::Dev)), "dev.txt: cannot be read");
    write(dir.path(), "combined/1.json", rooted("{}"));
    let pictures = "1.jpg or 1.jpeg or 1.png or 1.webp or 1.bmp or 1.gif or 1.tif or 1.tiff";
    assert_eq!(missing("combined/1.png"), format!("combined: expected {pictures}; found none"));
    assert_eq!(missing("combined/1.json"), "1.json: cannot be read");
    assert_eq!(missing("widget_captions.csv"), "widget_captions.csv: cannot be read");
}

#[test]
fn a_file_that_is_no_hierarchy_is_refused_with_the_place() {
    let broken = refused("{\"activity\":{\"root\":{\n\"class\":}}}");
    assert_eq!(
        broken,
        "1.json: a screen in Rico's format expected, in JSON: expected value at line 2 column 9"
    );
    assert!(refused(&rooted("{")).contains("at line 1 column"));
    assert!(refused("[1").contains("in JSON: invalid type: integer `1`"), "{}", refused("[1"));
    let child = refused(&rooted(r#"{"children":[null,{"children":[5]}]}"#));
    assert_eq!(child, "1.json: node 0.1.0: expected a node or null; found 5");
    let root = refused(&rooted(r#""none""#));
    assert_eq!(root, r#"1.json: node 0: expected a node or null; found "none""#);
    let twice = refused(&rooted(r#"{"children":[],"children":[{}]}"#));
    assert_eq!(twice, "1.json: node 0: expected children once; found them again");
    let dir = one("null");
    write(dir.path(), "combined/1.json", b"{\"\xff\":1}");
    let found = message(folder(dir.path(), Part::Train));
    assert_eq!(found, "1.json: byte 2: expected text in UTF-8; found [ff]");
}

#[test]
fn captions_that_break_their_format_are_refused_with_the_line() {
    let dir = one(&rooted("{}"));
    let refused = |contents: &str| {
        write(dir.path(), "widget_captions.csv", contents);
        message(folder(dir.path(), Part::Train))
    };
    let row = |row: &str| refused(&format!("{HEADER}rc,2,0.0,on\n{row}\n"));
    assert_eq!(
        refused("a,b\n"),
        "widget_captions.csv: line 1: expected datasetId,screenId,nodeId,captions; found a,b"
    );
    assert_eq!(row("rc,1,0"), "widget_captions.csv: line 3: expected 4 columns; found 3");
    let set = "widget_captions.csv: line 3: expected rc or nr as datasetId; found xx";
    assert_eq!(row("xx,1,0,go"), set);
    for path in ["", "1", "0.", "0.x", "0.-1", "0.99999999999999999999"] {
        let found =
            format!("widget_captions.csv: line 3: expected a nodeId such as 0.2.1; found {path}");
        assert_eq!(row(&format!("rc,1,{path},go")), found);
    }
    // As Python's `int` reads it.
    write(dir.path(), "widget_captions.csv", format!("{HEADER}\"rc\", 1 ,00,\"go\non\"\n"));
    assert_eq!(
        folder(dir.path(), Part::Train).unwrap().screens()[0].widgets[0].captions,
        ["go on"]
    );
}

#[test]
fn a_list_of_screens_that_breaks_its_format_is_refused_with_the_line() {
    let dir = one(&rooted("{}"));
    let refused = |contents: &str| {
        write(dir.path(), "split/train.txt", contents);
        message(folder(dir.path(), Part::Train))
    };
    assert_eq!(refused("1\n\n2\n1\n"), "train.txt: line 4: expected each id once; found 1");
    assert_eq!(refused("../1\n"), "train.txt: line 1: expected the id of a screen; found ../1");
    assert_eq!(refused("\n"), "train.txt: the file: expected the ids of screens; found none");
}

/// So many nodes, each but the first the child of the one before.
fn chain(levels: usize) -> String {
    rooted(&format!("{}{{}}{}", r#"{"children":["#.repeat(levels - 1), "]}".repeat(levels - 1)))
}

#[test]
fn a_hierarchy_of_ten_thousand_levels_is_refused_and_one_of_five_hundred_read() {
    let found = "1.json: the view hierarchy: expected at most 500 levels of nodes; found more";
    assert_eq!(refused(&chain(10_000)), found);
    assert_eq!(refused(&chain(501)), found);
    let dir = one(&chain(500));
    let screens = folder(dir.path(), Part::Train).unwrap();
    let nodes = &screens.screens()[0].nodes;
    assert_eq!((nodes.len(), nodes[498].dom, nodes[499].dom), (500, [499, 499, 2], [0, 0, 1]));
    let limits = Limits { depth: 20_000, ..Limits::default() };
    let deep = one(&chain(2_000));
    assert_eq!(screen(&deep.path().join("combined/1.json"), &limits).unwrap().nodes.len(), 2_000);
}

#[test]
fn ten_thousand_levels_in_other_values_take_no_stack() {
    let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let (node, screens) =
        node_of(&format!(r#"{{"text":{nested},"other":{nested},"class":"View"}}"#));
    assert_eq!(node.class, 4);
    assert_eq!(screens.repairs().first(Repair::WrongType), Some("1.json: node 0: text"));
    let dir = one(&format!(r#"{{"other":{nested},"activity":{{"x":{nested},"root":{{}}}}}}"#));
    assert_eq!(folder(dir.path(), Part::Train).unwrap().widgets(), 1);
}

#[test]
fn a_million_nodes_are_refused_before_memory_is_taken_for_them() {
    let root = format!(r#"{{"children":[{}{{}}]}}"#, "{},".repeat(999_999));
    let found = "1.json: the view hierarchy: expected at most 65536 nodes; found more";
    assert_eq!(refused(&rooted(&root)), found);

    let dir = one("null");
    let file = File::create(dir.path().join("combined/1.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    let found = format!(
        "1.json: byte 0: expected a file of at most 16777216 bytes; found {} bytes",
        1_u64 << 40
    );
    assert_eq!(message(folder(dir.path(), Part::Train)), found);
}

#[test]
fn small_files_that_would_take_much_memory_are_refused() {
    // 500 levels, and 60,000 leaves at the last one: 60 MB of paths from 0.2 MB.
    let leaves = vec!["{}"; 60_000].join(",");
    let (open, close) = (r#"{"children":["#.repeat(499), "]}".repeat(499));
    let found = refused(&rooted(&format!("{open}{leaves}{close}")));
    assert!(found.contains("at most 16777216 bytes of paths"), "{found}");

    let captioned = |rows: &str| {
        let dir = one(&rooted("{}"));
        write(dir.path(), "widget_captions.csv", format!("{HEADER}{rows}"));
        message(folder(dir.path(), Part::Train))
    };
    let (one_row, rows) = (format!("rc,1,0,{}\n", "a|".repeat(1001)), "rc,1,0,a\n".repeat(1001));
    for rows in [one_row, rows] {
        let found = captioned(&rows);
        assert!(found.contains("at most 1000 captions of a node"), "{found}");
    }
    let found = captioned(&format!("rc,1,0{},a\n", ".0".repeat(1000)));
    assert!(found.contains("a nodeId such as 0.2.1"), "{found}");
}
