//! One line of an allowed-signers file: names, options, key; and OpenSSH's patterns.

use jiff::Timestamp;
use jiff::civil::DateTime;
use ssh_key::PublicKey;

use super::Signer;
use crate::approval::principal::Principal;

/// A line's signer and all its plain names.
pub(super) fn parse_line(line: usize, text: &str) -> Result<(Signer, Vec<Principal>), String> {
    let (principals, rest) = take_field(text)?;
    if principals.is_empty() {
        return Err("expected the names of a person first, then a public key".to_owned());
    }
    let (options, key_text) = if begins_with_key_type(rest) {
        ("", rest)
    } else {
        take_options(rest)?
    };
    let key = PublicKey::from_openssh(key_text).map_err(|error| {
        format!(
            "expected a public key such as `ssh-ed25519 AAAA…` after {} ({error})",
            if options.is_empty() {
                "the names"
            } else {
                "the options"
            }
        )
    })?;
    let mut names = Vec::new();
    for name in principals.split(',') {
        if name.contains(['*', '?', '!']) {
            continue;
        }
        names.push(Principal::person(name).map_err(|error| error.to_string())?);
    }
    let mut signer = Signer {
        line,
        principals: principals.to_owned(),
        person: names.first().cloned(),
        key: key.key_data().clone(),
        namespaces: None,
        valid_after: None,
        valid_before: None,
    };
    for option in split_options(options)? {
        apply_option(&mut signer, &option)?;
    }
    if let (Some(after), Some(before)) = (signer.valid_after, signer.valid_before)
        && before <= after
    {
        return Err(
            "valid-before is not later than valid-after, so the key is never valid".to_owned(),
        );
    }
    Ok((signer, names))
}

/// The first field, which may stand in double quotes, and what follows it.
fn take_field(text: &str) -> Result<(&str, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (field, rest) = quoted
            .split_once('"')
            .ok_or("the names begin with `\"` and never end: close the quotes")?;
        return Ok((field, rest.trim_start()));
    }
    let (field, rest) = text
        .split_once([' ', '\t'])
        .ok_or("expected a public key after the names")?;
    Ok((field, rest.trim_start()))
}

fn begins_with_key_type(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "rsa-"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}

/// The options up to the first blank outside quotes, and what follows.
fn take_options(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let (options, rest) = text.split_at(index);
                return Ok((options, rest.trim_start()));
            }
            _ => {}
        }
    }
    Err(if quoted {
        "an option's value begins with `\"` and never ends: close the quotes".to_owned()
    } else {
        "expected a public key such as `ssh-ed25519 AAAA…` after the names".to_owned()
    })
}

/// The options, split at commas outside quotes.
fn split_options(options: &str) -> Result<Vec<String>, String> {
    let mut quoted = false;
    let mut all = vec![];
    let mut current = String::new();
    for character in options.chars() {
        match character {
            ',' if !quoted => all.push(std::mem::take(&mut current)),
            '"' => {
                quoted = !quoted;
                current.push('"');
            }
            other => current.push(other),
        }
    }
    all.push(current);
    if options.is_empty() {
        return Ok(vec![]);
    }
    if all.iter().any(String::is_empty) {
        return Err("the options have an empty place between two commas".to_owned());
    }
    Ok(all)
}

fn apply_option(signer: &mut Signer, option: &str) -> Result<(), String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let quoted = || {
        value
            .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
            .ok_or_else(|| {
                format!("option `{name}` needs a value in double quotes, such as {name}=\"…\"")
            })
    };
    let twice = || Err(format!("option `{name}` is given twice"));
    match name.to_ascii_lowercase().as_str() {
        "namespaces" if signer.namespaces.is_some() => return twice(),
        "namespaces" => signer.namespaces = Some(quoted()?.to_owned()),
        "valid-after" if signer.valid_after.is_some() => return twice(),
        "valid-after" => signer.valid_after = Some(parse_time(quoted()?)?),
        "valid-before" if signer.valid_before.is_some() => return twice(),
        "valid-before" => signer.valid_before = Some(parse_time(quoted()?)?),
        "cert-authority" => {
            return Err(
                "`cert-authority` is not supported: list the people's own keys instead".to_owned(),
            );
        }
        _ => {
            return Err(format!(
                "`{name}` is not a known option, expected `namespaces`, `valid-after` or `valid-before`"
            ));
        }
    }
    Ok(())
}

/// `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let expected = || {
        format!(
            "`{text}` is not a time, expected `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ`"
        )
    };
    let digits = text.strip_suffix(['Z', 'z']);
    let Some(digits) = digits else {
        return Err(
            if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
                format!(
                    "`{text}` depends on the time zone of the machine that reads it: write `{text}Z` for the time in UTC"
                )
            } else {
                expected()
            },
        );
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected());
    }
    let padded = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return Err(expected()),
    };
    DateTime::strptime("%Y%m%d%H%M%S", &padded)
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| expected())
}

/// OpenSSH's pattern list: some pattern matches, and no `!pattern` does.
pub(super) fn matches_list(list: &str, text: &str) -> bool {
    let mut matched = false;
    for pattern in list.split(',').map(str::trim) {
        if let Some(negated) = pattern.strip_prefix('!') {
            if matches(negated, text) {
                return false;
            }
        } else if matches(pattern, text) {
            matched = true;
        }
    }
    matched
}

/// `*` stands for any characters, `?` for one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    // One row of the usual table: reachable[i] says whether the pattern so far can end after i characters.
    let characters: Vec<char> = text.chars().collect();
    let mut reachable = vec![false; characters.len() + 1];
    if let Some(start) = reachable.first_mut() {
        *start = true;
    }
    for symbol in pattern.chars() {
        if symbol == '*' {
            let mut any = false;
            for place in &mut reachable {
                any |= *place;
                *place = any;
            }
        } else {
            let mut next = vec![false];
            next.extend(
                reachable
                    .iter()
                    .zip(&characters)
                    .map(|(&here, &character)| here && (symbol == '?' || symbol == character)),
            );
            reachable = next;
        }
    }
    reachable.last().copied().unwrap_or(false)
}
