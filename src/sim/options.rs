//! Files of `key: value` lines, as `datacenter.cfg`, and property strings (`a=1,b=2`).

/// The value of a key; the last one wins.
#[must_use]
pub fn value(text: &str, key: &str) -> Option<String> {
    text.lines()
        .rev()
        .find_map(|line| {
            let rest = line.trim_start().strip_prefix(key)?;
            rest.trim_start().strip_prefix(':')
        })
        .map(|value| value.trim().to_owned())
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
}

/// All lines, comments and empty ones left out.
#[must_use]
pub fn lines(text: &str) -> Vec<(String, String)> {
    pairs(text)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The parts of a property string in order; a part without `=` has the default key, given by the caller.
#[must_use]
pub fn properties(text: &str, default: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (key.trim().to_owned(), value.to_owned()),
            None => (default.to_owned(), part.to_owned()),
        })
        .collect()
}
