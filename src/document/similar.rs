//! What somebody may have meant by a name that does not exist.

use super::refused;

/// Longest name that could be a slip for a known one.
const LONGEST_NAME: usize = 64;

/// The most similar name, if it is similar enough to be meant.
pub fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let plain = refused::plain(name);
    let most = (plain.chars().count() / 3).clamp(1, 3);
    names
        .iter()
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&refused::plain(known), &plain);
            (distance, *known)
        })
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, known)| known)
}

/// The most similar name, or all of them where they are few.
pub fn nearest_or_all(name: &str, names: &[&str]) -> String {
    let all = || {
        let list: Vec<_> = names.iter().map(|known| format!("`{known}`")).collect();
        list.join(", ")
    };
    match nearest(name, names) {
        Some(near) if names.len() > 24 => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? Known: {}", all()),
        None if names.len() <= 40 => format!("known: {}", all()),
        None => "`bailiwick explain` lists what there is".to_owned(),
    }
}
