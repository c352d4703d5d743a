//! Did you mean …? The nearest known name to one that is not known.

/// The least similarity (Jaro and Winkler's, 0 to 1) of a name that is suggested: `deep` is meant for `depth`, `fly` for nothing.
const LEAST: f64 = 0.77;

/// The known name that is most like this one, if any is like it. Case, `-` and `_` do not count.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let name = plain(name);
    let likeness = |other: &&str| {
        let other = plain(other);
        // Two letters in the wrong order are a long way in a short name.
        let is_slip = name.len() >= 3 && strsim::damerau_levenshtein(&name, &other) == 1;
        strsim::jaro_winkler(&name, &other).max(if is_slip { LEAST } else { 0.0 })
    };
    let near = known.into_iter().map(|known| (likeness(&known), known));
    let near = near.filter(|(likeness, _)| *likeness >= LEAST);
    // The first of equals, so that the order of the list decides.
    near.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, known)| known)
}

/// `no such layer; did you mean …? known are …`, for a name that is not among the known.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("`{name}`: no such {what}; did you mean `{near}`? known are {list}"),
        None => format!("`{name}`: no such {what}; known are {list}"),
    }
}

/// What was meant, if a message of serde says that a field or variant is not known and lists those that are. A key that is known
/// elsewhere in a recipe (`elsewhere`, dotted) is what was meant, in the wrong place.
pub(crate) fn hint<'a>(
    message: &str,
    elsewhere: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let (is_field, rest) = match message.split_once("unknown field `") {
        Some((_, rest)) => (true, rest),
        None => (false, message.split_once("unknown variant `")?.1),
    };
    let (name, rest) = rest.split_once('`')?;
    let list = rest.strip_prefix(", expected ")?.lines().next()?;
    let expected: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let moved = || elsewhere.into_iter().find(|key| key.rsplit('.').next() == Some(name));
    let meant = match is_field.then(moved).flatten() {
        Some(key) => key,
        None => nearest(name, expected)?,
    };
    Some(format!("did you mean `{meant}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["vit-sample", "vit-fashion", "igpt-sample", "depth", "epochs"];
        let near = |name| nearest(name, known);
        assert_eq!(near("vit-simple"), Some("vit-sample"));
        assert_eq!(near("vit_fashoin"), Some("vit-fashion"));
        assert_eq!(near("deep"), Some("depth"));
        assert_eq!(near("Epoch"), Some("epochs"));
        assert_eq!(near("fly"), None);
        assert_eq!(near(""), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_message_of_serde_is_completed_by_what_was_meant() {
        let hint = |message| hint(message, ["optimizer.rate", "train.epochs"]);
        let field = "unknown field `epoch`, expected one of `epochs`, `steps`";
        assert_eq!(hint(field).as_deref(), Some("did you mean `epochs`?"));
        let variant = "a file: TOML\n |\nunknown variant `vti`, expected `vit` or `detr`\n";
        assert_eq!(hint(variant).as_deref(), Some("did you mean `vit`?"));
        let moved = "unknown field `rate`, expected one of `name`, `rates`";
        assert_eq!(hint(moved).as_deref(), Some("did you mean `optimizer.rate`?"));
        for none in [
            "no such file",
            "unknown field `x`, expected one of `name`",
            "unknown field `x`, there are no fields",
            "unknown field `x",
            "unknown variant `x`, expected ",
        ] {
            assert_eq!(hint(none), None, "{none}");
        }
    }
}
