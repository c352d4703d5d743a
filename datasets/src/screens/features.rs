//! What a model sees of a node.

use serde_json::Value;

use super::hierarchy::Written;
use super::words::{resource_words, text_words};
use super::{Node, Repair, Repairs};

/// Width and height of the canvas on which bounds are given, whatever the size of the picture or of the root.
pub const CANVAS: [f64; 2] = [1440.0, 2560.0];

/// The classes that are told apart, by the last part of their name. The class of a node is a place in this list, from 1; 0 is
/// padding.
pub const CLASSES: [&str; 11] = [
    "ImageView",
    "Button",
    "ImageButton",
    "View",
    "CompoundButton",
    "CheckBox",
    "RadioButton",
    "FloatingActionButton",
    "ToggleButton",
    "Switch",
    "Unknown",
];

/// Puts what is written about a node into it. `file` is for messages.
pub(super) fn fill(node: &mut Node, written: &Written, file: &str, repairs: &mut Repairs) {
    let path = node.path.clone();
    let mut values = Values { place: format!("{file}: node {path}"), repairs };
    let Written { class, ancestors, bounds, text, description, resource, .. } = written;
    node.class = values.class(class, ancestors);
    node.bounds = values.bounds(bounds);
    node.clickable = values.flag("clickable", &written.clickable);
    node.developer = values.developer(text, description);
    node.resource = values.resource(resource);
    let visibility = values.string("visibility", &written.visibility);
    node.visible =
        values.flag("visible-to-user", &written.visible_to_user) && visibility == Some("visible");
}

/// The values of one node, as their types.
struct Values<'a> {
    place: String,
    repairs: &'a mut Repairs,
}

impl Values<'_> {
    fn add(&mut self, repair: Repair, found: &str) {
        self.repairs.add(repair, format_args!("{}{found}", self.place));
    }

    fn wrong_type(&mut self, key: &str, found: &Value) {
        let found = found.to_string();
        let found: String = found.chars().take(60).collect();
        self.add(Repair::WrongType, &format!(": {key}: {found}"));
    }

    fn string<'a>(&mut self, key: &str, value: &'a Option<Value>) -> Option<&'a str> {
        match value {
            Some(Value::String(string)) => Some(string),
            None | Some(Value::Null) => None,
            Some(other) => {
                self.wrong_type(key, other);
                None
            }
        }
    }

    fn flag(&mut self, key: &str, value: &Option<Value>) -> bool {
        match value {
            Some(Value::Bool(flag)) => *flag,
            None | Some(Value::Null) => false,
            Some(other) => {
                self.wrong_type(key, other);
                false
            }
        }
    }

    /// The strings of a list in which null may stand, or a single string.
    fn strings<'a>(&mut self, key: &str, value: &'a Option<Value>) -> Vec<&'a str> {
        let items = match value {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.as_slice(),
            Some(single) => std::slice::from_ref(single),
        };
        let mut strings = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(string) => strings.push(string.as_str()),
                Value::Null => {}
                other => self.wrong_type(key, other),
            }
        }
        strings
    }

    /// The class by the last part of its own name, else by that of the first ancestor that is among the classes.
    fn class(&mut self, class: &Option<Value>, ancestors: &Option<Value>) -> usize {
        let own = self.string("class", class);
        if own.is_none() {
            self.add(Repair::NoClass, "");
        }
        let ancestors = self.strings("ancestors", ancestors);
        let number = |name: &str| {
            let last = name.rsplit('.').next().unwrap_or(name);
            CLASSES.iter().position(|class| class.eq_ignore_ascii_case(last))
        };
        let place = own.into_iter().chain(ancestors).find_map(number);
        place.unwrap_or(CLASSES.len() - 1) + 1
    }

    /// Left, top, right, bottom in fractions of the canvas.
    fn bounds(&mut self, value: &Option<Value>) -> [f32; 4] {
        let numbers: Option<Vec<f64>> = match value {
            Some(Value::Array(items)) => items.iter().map(Value::as_f64).collect(),
            _ => None,
        };
        let numbers = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
        let Some([x0, y0, x1, y1]) = numbers else {
            let found = value.as_ref().map_or("nothing".to_string(), Value::to_string);
            let found: String = found.chars().take(60).collect();
            self.add(Repair::NoBounds, &format!(": {found}"));
            return [0.0; 4];
        };
        let found = format!(": {:?}", [x0, y0, x1, y1]);
        if x1 < x0 || y1 < y0 {
            self.add(Repair::Reversed, &found);
        }
        let [width, height] = CANVAS;
        let turned = [x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)];
        let sides = [width, height, width, height];
        let mut bounds = [0.0; 4];
        for (bound, (&x, side)) in bounds.iter_mut().zip(turned.iter().zip(sides)) {
            *bound = (x / side).clamp(0.0, 1.0) as f32;
        }
        if turned.iter().zip(sides).any(|(&x, side)| !(0.0..=side).contains(&x)) {
            self.add(Repair::Clipped, &found);
        }
        if bounds[0] == bounds[2] || bounds[1] == bounds[3] {
            self.add(Repair::NoArea, &found);
        }
        bounds
    }

    /// The words of the first text that has any: of the text itself, then of the descriptions.
    fn developer(&mut self, text: &Option<Value>, description: &Option<Value>) -> Vec<String> {
        let text = self.string("text", text);
        let descriptions = self.strings("content-desc", description);
        let words = text.into_iter().chain(descriptions).map(text_words);
        words.into_iter().find(|words| !words.is_empty()).unwrap_or_default()
    }

    /// The words of a resource id, `package:id/name`, behind its slash.
    fn resource(&mut self, value: &Option<Value>) -> Vec<String> {
        let Some(id) = self.string("resource-id", value).map(str::trim).filter(|id| !id.is_empty())
        else {
            return Vec::new();
        };
        let mut parts = id.rsplit('/');
        let last = parts.next().unwrap_or(id);
        if parts.count() != 1 {
            let id: String = id.chars().take(60).collect();
            self.add(Repair::ResourceId, &format!(": {id}"));
        }
        resource_words(last)
    }
}
