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
}
