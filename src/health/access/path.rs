//! Paths of the access control list.

/// A path in the form entries have it: one slash between parts, none at the end. `None` if it has characters that no such path
/// may have.
#[must_use]
pub fn normal(path: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '/');
    if !path.chars().all(good) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Some(format!("/{}", parts.join("/")))
}

/// The path above one; `None` above `/`.
#[must_use]
pub fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some(("", "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
    }
}

/// The path itself and all above it, from `/` down.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut up: Vec<&str> = std::iter::successors(Some(path), |path| parent(path)).collect();
    up.reverse();
    up.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        assert_eq!(normal("vms//8801/").as_deref(), Some("/vms/8801"));
        assert_eq!(normal("").as_deref(), Some("/"));
        assert_eq!(normal("/").as_deref(), Some("/"));
        assert_eq!(normal("/vms/ä"), None);
        assert_eq!(normal("/a:b"), None);
    }

    #[test]
    fn a_path_lies_below_its_ancestors() {
        let above = |path| ancestors(path).collect::<Vec<_>>().join(" ");
        assert_eq!(above("/"), "/");
        assert_eq!(above("/pool/a/b"), "/ /pool /pool/a /pool/a/b");
    }
}
