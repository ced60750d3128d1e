//! Allowed signers: whom a key stands for, and every line that is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use ssh_key::PublicKey;
use ssh_key::private::Ed25519Keypair;

use super::*;

fn key(seed: u8) -> String {
    let data = KeyData::from(Ed25519Keypair::from_seed(&[seed; 32]).public);
    PublicKey::from(data).to_openssh().unwrap()
}

fn data(seed: u8) -> KeyData {
    KeyData::from(Ed25519Keypair::from_seed(&[seed; 32]).public)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mistakes(text: &str) -> String {
    AllowedSigners::parse(text).unwrap_err().to_string()
}

#[test]
fn keys_stand_for_people() {
    let text = format!(
        "# people\n\nalice,alice@example.com {} laptop\n\"bob\" namespaces=\"git,bail*\" {}\nalice {} desk\n",
        key(1),
        key(2),
        key(3)
    );
    let signers = AllowedSigners::parse(&text).unwrap();
    let now = at("2026-11-22T17:00:00Z");
    let person = |seed| signers.person_of(&data(seed), now).unwrap().to_string();
    assert_eq!(
        [person(1), person(2), person(3)],
        ["person:alice", "person:bob", "person:alice"]
    );
    assert_eq!(signers.people().len(), 2);
    assert!(matches!(
        signers.person_of(&data(4), now),
        Err(SignerError::UnknownKey { .. })
    ));
}

#[test]
fn validity_and_namespaces_are_kept() {
    let text = format!(
        "alice valid-after=\"20260101Z\",valid-before=\"202612312359Z\" {}\nbob namespaces=\"git\" {}\ncarol namespaces=\"*,!bailiwick\" {}",
        key(1),
        key(2),
        key(3)
    );
    let signers = AllowedSigners::parse(&text).unwrap();
    let person = |seed, time| signers.person_of(&data(seed), at(time));
    assert!(person(1, "2026-06-01T00:00:00Z").is_ok());
    let early = person(1, "2025-12-31T23:59:59Z").unwrap_err().to_string();
    assert!(early.contains("valid only after 2026-01-01"), "{early}");
    assert!(
        person(1, "2027-01-01T00:00:00Z")
            .unwrap_err()
            .to_string()
            .contains("valid only before")
    );
    assert!(
        person(2, "2026-06-01T00:00:00Z")
            .unwrap_err()
            .to_string()
            .contains("namespaces")
    );
    assert!(person(3, "2026-06-01T00:00:00Z").is_err());
}

#[test]
fn patterns_name_nobody() {
    let signers = AllowedSigners::parse(&format!("*@example.com {}", key(1))).unwrap();
    let error = signers
        .person_of(&data(1), at("2026-06-01T00:00:00Z"))
        .unwrap_err();
    assert!(error.to_string().contains("only patterns"), "{error}");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let text = format!(
        "alice\nbob ssh-ed25519 nonsense\n{k}\ncarol cert-authority {k}\ndave valid-after=\"20260101\" {k}\n\
         erin verify-required {k}\nfrank namespaces=bailiwick {k}\nagent:claude {k}\ngrace valid-after=\"20261340Z\" {k}\n\
         heidi valid-after=\"20260102Z\",valid-before=\"20260101Z\" {k}\nivan namespaces=\"a\",namespaces=\"b\" {k}",
        k = key(1)
    );
    let text = mistakes(&text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 11, "{text}");
    for (expected, line) in [
        "expected a public key after the names",
        "expected a public key such as",
        "", // a key type read as a name
        "cert-authority` is not supported",
        "write `20260101Z`",
        "not a known option",
        "double quotes",
        "not a valid principal's name",
        "is not a time",
        "never valid",
        "given twice",
    ]
    .iter()
    .zip(&lines)
    {
        assert!(line.contains(expected), "{line} should say {expected}");
    }
    assert!(lines.last().unwrap().starts_with("line 11: "));
}

#[test]
fn one_human_being_cannot_be_two() {
    let two_people = mistakes(&format!("alice {k}\nbob {k}", k = key(1)));
    assert!(
        two_people.contains("line 2: the key is bob's here and alice's in line 1"),
        "{two_people}"
    );
    let two_names = mistakes(&format!("alice,ops {}\nbob,ops {}", key(1), key(2)));
    assert!(
        two_names.contains("line 2: `ops` is bob here and alice in line 1"),
        "{two_names}"
    );
    let alias_as_person = mistakes(&format!(
        "alice,alice@example.com {}\nalice@example.com {}",
        key(1),
        key(2)
    ));
    assert!(alias_as_person.contains("line 2"), "{alias_as_person}");
    let behind_a_pattern = mistakes(&format!(
        "*@example.com {k}\nalice {k}\nbob {k}",
        k = key(1)
    ));
    assert!(behind_a_pattern.contains("line 3"), "{behind_a_pattern}");
}

#[test]
fn a_file_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("alice {}", key(1))).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load_allowed_signers(file.path()).is_ok());
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o664)).unwrap();
    let refused = load_allowed_signers(file.path()).unwrap_err();
    assert!(refused.to_string().contains("chmod go-w"), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_breaks_the_parser(text in "[ -~\n\t\"#,=é]{0,200}") {
        _ = AllowedSigners::parse(&text);
    }

    #[test]
    fn patterns_agree_with_their_definition(pattern in "[ab?*]{0,6}", text in "[ab]{0,6}") {
        fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), None) => by_definition(rest, text),
                (Some((b'*', rest)), Some((_, tail))) => by_definition(rest, text) || by_definition(pattern, tail),
                (Some((symbol, rest)), Some((character, tail))) => {
                    (*symbol == b'?' || symbol == character) && by_definition(rest, tail)
                }
                (None, Some(_)) | (Some(_), None) => false,
            }
        }
        prop_assert_eq!(line::matches(&pattern, &text), by_definition(pattern.as_bytes(), text.as_bytes()));
    }
}
