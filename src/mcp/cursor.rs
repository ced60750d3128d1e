//! Cursors: where the next page begins, as an opaque word. Each is of one tool, and says so; another tool refuses it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::code::Refusal;

/// The most items of a page.
pub const MOST: usize = 200;
/// The items of a page when nothing is said.
pub const USUAL: usize = 50;

/// A cursor of a list, for the place after which the next page begins.
pub fn write(list: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\n{place}"))
}

/// The place a cursor stands for.
pub fn read(list: &str, cursor: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(cursor) = cursor else {
        return Ok(None);
    };
    let wrong = || {
        Refusal::arguments(
            "`cursor` is not one that this tool gave for this list: leave it out to begin, then use `nextCursor`",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    match text.split_once('\n') {
        Some((of, place)) if of == list => Ok(Some(place.to_owned())),
        _ => Err(wrong()),
    }
}

/// The place of a list whose order never changes: a number.
pub fn read_offset(list: &str, cursor: Option<&str>) -> Result<usize, Refusal> {
    match read(list, cursor)? {
        None => Ok(0),
        Some(place) => place
            .parse()
            .map_err(|_| Refusal::arguments("`cursor` is not one that this tool gave")),
    }
}

/// How many items a page shall have.
pub fn limit(wanted: Option<u32>) -> usize {
    wanted
        .and_then(|wanted| usize::try_from(wanted).ok())
        .unwrap_or(USUAL)
        .clamp(1, MOST)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_are_of_one_list() {
        let cursor = write("list_plans", "2026 sha256:1");
        assert_eq!(
            read("list_plans", Some(&cursor)).unwrap().unwrap(),
            "2026 sha256:1"
        );
        assert!(read("list_drift", Some(&cursor)).is_err());
        assert!(read("list_plans", Some("zz")).is_err());
        assert!(read("list_plans", Some("!")).is_err());
        assert_eq!(read("list_plans", None).unwrap(), None);
        assert_eq!(read_offset("x", Some(&write("x", "7"))).unwrap(), 7);
        assert!(read_offset("x", Some(&write("x", "-7"))).is_err());
    }
}
