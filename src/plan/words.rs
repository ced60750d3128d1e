//! Words: how values, steps and effects are written for people. Everything that comes from a cluster passes [`clean`] first, so that
//! a guest's name can neither colour a terminal nor turn a line around.

use crate::ids::{Bytes, StorageId};
use crate::proxmox::schema::ChangeEffect;

/// The longest value shown whole in a title.
const LONGEST: usize = 48;

/// Text in which control characters, characters that change the direction of writing, and characters without width are replaced by
/// their code: a person sees what is there.
pub fn clean(text: &str) -> String {
    if !text.chars().any(hidden) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if hidden(c) {
                format!("\\u{{{:x}}}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// A message of several lines as one, clean: excerpts of files (lines with a bar) are left out, since the place is named before them.
pub fn line(text: &str) -> String {
    let excerpt = |line: &str| {
        line.trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with('|')
    };
    let mut whole = String::new();
    for part in text.lines().filter(|line| !excerpt(line)) {
        let part = part.trim().trim_start_matches("= ");
        if part.is_empty() {
            continue;
        }
        if !whole.is_empty() {
            let joined = whole.ends_with([':', ';', ',', '.']);
            whole.push_str(if joined { " " } else { "; " });
        }
        whole.push_str(part);
    }
    clean(&whole)
}

fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{ad}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Clean and not too long for a line.
pub(super) fn short(text: &str) -> String {
    let text = clean(text);
    if text.chars().count() <= LONGEST {
        return text;
    }
    let mut cut: String = text.chars().take(LONGEST - 1).collect();
    cut.push('…');
    cut
}

/// Of two lists of options, those that differ: `bridge=vmbr0` and `bridge=vmbr1`. Values that are no such lists stay whole.
pub(super) fn differing(before: &str, after: &str) -> (String, String) {
    if !before.contains(',') && !after.contains(',') {
        return (before.to_owned(), after.to_owned());
    }
    let only = |text: &str, other: &str| {
        let kept: Vec<&str> = text
            .split(',')
            .filter(|part| !other.split(',').any(|o| o == *part))
            .collect();
        if kept.is_empty() {
            "-".to_owned()
        } else {
            kept.join(",")
        }
    };
    (only(before, after), only(after, before))
}

/// `memory 4096 → 6144`, `net0 bridge=vmbr0 → bridge=vmbr1`, `agent → 1`, `agent (removed)`.
pub(super) fn difference(key: &str, before: Option<&str>, after: Option<&str>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => {
            let (before, after) = differing(before, after);
            format!("{key} {} → {}", short(&before), short(&after))
        }
        (None, Some(after)) => format!("{key} → {}", short(after)),
        (_, None) => format!("{key} (removed)"),
    }
}

/// `a, b, c and 4 more`.
pub(super) fn few(parts: &[String]) -> String {
    let shown: Vec<&str> = parts.iter().take(3).map(String::as_str).collect();
    if parts.len() > shown.len() {
        format!(
            "{} and {} more",
            shown.join(", "),
            parts.len() - shown.len()
        )
    } else {
        shown.join(", ")
    }
}

/// When a change of a running guest takes effect.
pub(super) fn effect(effect: ChangeEffect) -> &'static str {
    match effect {
        ChangeEffect::None => "no change",
        ChangeEffect::Live => "at once",
        ChangeEffect::CloudInit => {
            "stored at once; the guest sees it once its cloud-init drive is made anew and it boots"
        }
        ChangeEffect::NicFlap => "at once; the link goes down for a moment",
        ChangeEffect::NicReplug => "at once; the network card is unplugged and plugged in again",
        ChangeEffect::NicHotplug => "at once; a network card is plugged in or unplugged",
        ChangeEffect::DiskPlug => "at once; a disk is plugged in",
        ChangeEffect::DiskUnplug => "at once; the disk is unplugged and kept as unused",
        ChangeEffect::DiskReplace => "at once; the disk is unplugged and another plugged in",
        ChangeEffect::Pending => AT_NEXT_START,
        ChangeEffect::Refused => "refused by Proxmox VE",
    }
}

/// The effect of a change that waits.
pub(super) const AT_NEXT_START: &str = "at the next stop and start";
/// The effect of a change of a guest that does not run.
pub(super) const AT_ONCE: &str = "at once";

/// The value of a parameter for a new volume, `STORAGE:SIZE` with the size in GiB, exactly. `None` if the size is no multiple of
/// 1 MiB.
pub(super) fn new_volume(storage: &StorageId, size: Bytes) -> Option<String> {
    if !size.0.is_multiple_of(Bytes::MIB) || size.0 == 0 {
        return None;
    }
    let whole = size.0 / Bytes::GIB;
    let mut rest = size.0 % Bytes::GIB;
    if rest == 0 {
        return Some(format!("{storage}:{whole}"));
    }
    // A multiple of 2^20 over 2^30 has at most ten decimals.
    let mut decimals = String::new();
    while rest > 0 {
        rest *= 10;
        decimals.push(char::from(
            b'0' + u8::try_from(rest / Bytes::GIB).unwrap_or(0),
        ));
        rest %= Bytes::GIB;
    }
    Some(format!("{storage}:{whole}.{decimals}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_seen() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{202e}c\n"),
            "a\\u{1b}[31mb\\u{202e}c\\u{a}"
        );
        assert_eq!(clean("Grüße 👋"), "Grüße 👋");
    }

    #[test]
    fn a_message_becomes_one_line_without_excerpts() {
        let mistake = "a.yaml:2:7: unknown kind `Virt`\n  |\n2 | kind: Virt\n  |       ^^^^\n  = known: `Pool`\n\n1 error in 1 file";
        assert_eq!(
            line(mistake),
            "a.yaml:2:7: unknown kind `Virt`; known: `Pool`; 1 error in 1 file"
        );
        assert_eq!(line("two:\n  - a|b\u{7}"), "two: - a|b\\u{7}");
        assert_eq!(line(""), "");
    }

    #[test]
    fn new_volumes_are_exact() {
        let s = StorageId::new("ceph-vm").unwrap();
        assert_eq!(new_volume(&s, Bytes(32 << 30)).unwrap(), "ceph-vm:32");
        assert_eq!(new_volume(&s, Bytes(1536 << 20)).unwrap(), "ceph-vm:1.5");
        assert_eq!(
            new_volume(&s, Bytes(1 << 20)).unwrap(),
            "ceph-vm:0.0009765625"
        );
        assert_eq!(new_volume(&s, Bytes(5)), None);
    }
}
