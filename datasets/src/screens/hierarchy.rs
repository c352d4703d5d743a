//! The tree of a view hierarchy, read without recursion.
//!
//! ```text
//! ID.json   {"activity": {"root": NODE, …}, …} | null
//! NODE      {"class": "a.b.Button", "bounds": [0, 0, 1440, 84], "children": [NODE | null, …], …}
//! ```
//!
//! Source of the format: Rico (Deka et al., UIST 2017), <http://www.interactionmining.org/rico.html>.

use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use super::features;
use super::{Node, Repair, Repairs};
use crate::Error;
use crate::text::{self, MAX_TEXT};

/// How large a view hierarchy may be. More is refused with an error, and takes neither memory nor stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of its file.
    pub bytes: u64,
    /// The most nodes.
    pub nodes: usize,
    /// The most levels of nodes; the root alone is one level.
    pub depth: usize,
}

impl Default for Limits {
    /// 16 MiB, 65,536 nodes and 500 levels: a screen of Rico has 100 KB, some dozens of nodes and 30 levels.
    fn default() -> Limits {
        Limits { bytes: MAX_TEXT, nodes: 1 << 16, depth: 500 }
    }
}

/// Places in the tree are numbered below this; what is further on has number 0.
const DOM_PLACES: usize = 500;

/// The most bytes of all paths of a screen's nodes: a small file of many nodes deep down would have far more.
const PATHS: usize = 1 << 24;

/// The values of a node as they stand in the file.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) class: Option<Value>,
    pub(super) ancestors: Option<Value>,
    pub(super) bounds: Option<Value>,
    pub(super) text: Option<Value>,
    pub(super) description: Option<Value>,
    pub(super) resource: Option<Value>,
    pub(super) clickable: Option<Value>,
    pub(super) visibility: Option<Value>,
    pub(super) visible_to_user: Option<Value>,
}

impl Written {
    /// Where the value of a key goes, if it is one that is read.
    fn slot(&mut self, key: &str) -> Option<&mut Option<Value>> {
        Some(match key {
            "class" => &mut self.class,
            "ancestors" => &mut self.ancestors,
            "bounds" => &mut self.bounds,
            "text" => &mut self.text,
            "content-desc" => &mut self.description,
            "resource-id" => &mut self.resource,
            "clickable" => &mut self.clickable,
            "visibility" => &mut self.visibility,
            "visible-to-user" => &mut self.visible_to_user,
            _ => return None,
        })
    }
}

/// The nodes of a file in pre-order; none if it has no root.
pub(super) fn read(
    path: &Path,
    limits: &Limits,
    repairs: &mut Repairs,
) -> Result<Vec<Node>, Error> {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        activity: Option<Activity<'a>>,
    }
    #[derive(Deserialize)]
    struct Activity<'a> {
        #[serde(borrow)]
        root: Option<&'a RawValue>,
    }

    let text = text::read_within(path, limits.bytes)?;
    // serde_json passes over a raw value in a loop, whatever its depth. From here on the syntax is sound.
    let file: Option<File> = serde_json::from_str(&text).map_err(|reason| Error::Json {
        expected: "a screen in Rico's format",
        path: path.to_owned(),
        reason,
    })?;
    match file.and_then(|file| file.activity).and_then(|activity| activity.root) {
        Some(root) => Walk::new(path, root.get(), limits, repairs).nodes(),
        None => Ok(Vec::new()),
    }
}

/// A node whose end was not yet reached.
struct Open {
    /// Its place among the nodes.
    node: usize,
    written: Written,
    /// How many children began so far, also those that are null; nothing while there is no list of them.
    children: Option<usize>,
    /// Whether the walk is in that list.
    in_list: bool,
}

/// Goes once through the text of a root, from front to back. Its syntax is known to be sound.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    at: usize,
    limits: &'a Limits,
    repairs: &'a mut Repairs,
    nodes: Vec<Node>,
    /// From the root down.
    open: Vec<Open>,
    /// How many nodes have ended.
    closed: usize,
    /// Bytes of all paths so far.
    paths: usize,
}

impl<'a> Walk<'a> {
    fn new(path: &'a Path, text: &'a str, limits: &'a Limits, repairs: &'a mut Repairs) -> Self {
        let (nodes, open) = (Vec::new(), Vec::new());
        Walk { path, text, at: 0, limits, repairs, nodes, open, closed: 0, paths: 0 }
    }

    fn nodes(mut self) -> Result<Vec<Node>, Error> {
        self.enter("0".to_string())?;
        while let Some(top) = self.open.last_mut() {
            let in_list = top.in_list;
            match next(self.text, &mut self.at) {
                b',' => self.at += 1,
                b']' => {
                    top.in_list = false;
                    self.at += 1;
                }
                b'}' => {
                    self.at += 1;
                    self.leave();
                }
                _ if in_list => self.child()?,
                _ => self.member()?,
            }
        }
        Ok(self.nodes)
    }

    /// The start of a node.
    fn enter(&mut self, path: String) -> Result<(), Error> {
        if next(self.text, &mut self.at) != b'{' {
            let found = self.text[self.at..].split([',', ']', '}', '\n']).next().unwrap_or("");
            let found: String = found.chars().take(40).collect();
            let place = format_args!("node {path}");
            return Err(Error::record(self.path, place, "a node or null", found));
        }
        let Limits { nodes, depth, .. } = *self.limits;
        self.paths += path.len();
        for (what, most, found) in [
            ("nodes", nodes, self.nodes.len()),
            ("levels of nodes", depth, self.open.len()),
            ("bytes of paths", PATHS, self.paths),
        ] {
            if found >= most {
                let expected = format_args!("at most {most} {what}");
                return Err(Error::record(self.path, "the view hierarchy", expected, "more"));
            }
        }
        self.at += 1;
        let node = self.nodes.len();
        let (depth, pre) = (self.open.len() + 1, node + 1);
        self.nodes.push(Node { path, dom: [depth, pre, 0], ..Node::default() });
        let written = Written::default();
        self.open.push(Open { node, written, children: None, in_list: false });
        Ok(())
    }

    /// The end of a node: the last one that was entered.
    fn leave(&mut self) {
        let Some(Open { node, written, .. }) = self.open.pop() else { return };
        let end = self.nodes.len();
        self.closed += 1;
        let ended = &mut self.nodes[node];
        ended.dom[2] = self.closed;
        ended.dom = ended.dom.map(|place| if place < DOM_PLACES { place } else { 0 });
        ended.leaf = end == node + 1;
        features::fill(ended, &written, &text::name(self.path), self.repairs);
    }

    /// A child of the last node that was entered.
    fn child(&mut self) -> Result<(), Error> {
        let top = self.open.last_mut().expect("a list belongs to a node that has not ended");
        let index = top.children.get_or_insert(0);
        let path = format!("{}.{index}", self.nodes[top.node].path);
        *index += 1;
        match self.text[self.at..].starts_with("null") {
            true => self.at += "null".len(),
            false => self.enter(path)?,
        }
        Ok(())
    }

    /// A key of the last node that was entered, with its value; of a list of children only the start.
    fn member(&mut self) -> Result<(), Error> {
        let key: Option<String> = value(self.text, &mut self.at);
        next(self.text, &mut self.at);
        self.at += ":".len();
        let starts_list = next(self.text, &mut self.at) == b'[';
        let top = self.open.last_mut().expect("a key belongs to a node that has not ended");
        let node = &self.nodes[top.node].path;
        let place = || {
            format!("{}: node {node}: {}", text::name(self.path), key.as_deref().unwrap_or("a key"))
        };
        if key.as_deref() == Some("children") {
            if top.children.is_some() {
                let place = format_args!("node {node}");
                return Err(Error::record(self.path, place, "children once", "them again"));
            }
            if starts_list {
                (top.children, top.in_list) = (Some(0), true);
                self.at += "[".len();
                return Ok(());
            }
            if value::<Option<()>>(self.text, &mut self.at).is_none() {
                self.repairs.add(Repair::WrongType, place());
            }
            return Ok(());
        }
        let Some(slot) = key.as_deref().and_then(|key| top.written.slot(key)) else {
            value::<IgnoredAny>(self.text, &mut self.at);
            return Ok(());
        };
        // Unsound are half a surrogate pair, numbers beyond f64 and more than 128 levels.
        *slot = value(self.text, &mut self.at);
        if slot.is_none() {
            self.repairs.add(Repair::WrongType, place());
        }
        Ok(())
    }
}

/// The next byte that is not white space; of sound JSON there is one as long as something is open.
fn next(text: &str, at: &mut usize) -> u8 {
    let rest = text.as_bytes().get(*at..).unwrap_or_default();
    *at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    text.as_bytes().get(*at).copied().unwrap_or(b'}')
}

/// Passes over a value, and reads it if it is of this type.
fn value<T: DeserializeOwned>(text: &str, at: &mut usize) -> Option<T> {
    let rest = &text[*at..];
    let mut raw = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    raw.next();
    let length = raw.byte_offset();
    *at += length;
    serde_json::from_str(&rest[..length]).ok()
}
