//! Tampers with exported ledgers in every way a person with an editor could, and asks that the finding names the record and the kind.
//! The same cases go to the independent verifier in Python, where there is a python3.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use bailiwick::ledger::{
    Action, CheckpointKey, Checkpoints, Detail, Draft, Head, Key, Keys, LedgerId, Tampering,
    Verified, VerifyError, append, genesis, rotate, verify_reader,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32])
}

fn draft(n: i64) -> Draft {
    let actions = [
        Action::DocumentSubmitted,
        Action::PlanCreated,
        Action::Approved,
        Action::RunStarted,
        Action::StepIntent,
        Action::StepOutcome,
        Action::RunFinished,
    ];
    Draft {
        at: start() + SignedDuration::from_millis(n * 1037),
        actor: ["operator:anna", "agent:ci", "system"][n as usize % 3].into(),
        action: actions[n as usize % actions.len()],
        subject: format!("vm/{}", 100 + n % 7),
        plan: (n % 4 != 0).then(|| format!("{:064x}", n % 3)),
        detail: Detail::new(json!({
            "n": n,
            "before": {"memory": 2048, "name": "wéb \"1\"\n\u{1}"},
            "after": {"memory": 4096, "mac": "BC:24:11:00:00:01", "list": [null, true, -3]},
        }))
        .unwrap(),
    }
}

/// A ledger of `records` lines; `rotation` is the record at which the key is handed over.
fn ledger(records: u64, rotation: Option<u64>) -> (Vec<String>, Head) {
    let mut current = key(1);
    let (first, mut head) =
        genesis(LedgerId::from_bytes([7; 16]), &current, start(), "system").unwrap();
    let mut lines = vec![first.line().to_owned()];
    for seq in 2..=records {
        let (record, next) = if Some(seq) == rotation {
            let old = std::mem::replace(&mut current, key(2));
            rotate(&head, &old, &current, start(), "operator:anna", "yearly").unwrap()
        } else {
            append(&head, &current, draft(seq as i64)).unwrap()
        };
        lines.push(record.line().to_owned());
        head = next;
    }
    (lines, head)
}

fn keys() -> Keys {
    [key(1), key(2)].into_iter().collect()
}

fn export(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}

fn check(bytes: &[u8], checkpoints: &Checkpoints) -> Result<Verified, Tampering> {
    match verify_reader(bytes, &keys(), checkpoints) {
        Ok(verified) => Ok(verified),
        Err(VerifyError::Tampered(tampering)) => Err(tampering),
        Err(VerifyError::Read(error)) => panic!("{error}"),
    }
}

fn signer() -> CheckpointKey {
    CheckpointKey::from_bytes(&[9; 32])
}

fn checkpoints(heads: &[Head]) -> Checkpoints {
    let lines: Vec<_> = heads
        .iter()
        .map(|head| signer().sign(head, start()).unwrap().line().to_owned())
        .collect();
    Checkpoints::read(lines.iter().map(String::as_str), &[signer().public()]).unwrap()
}

#[test]
fn a_whole_ledger_holds_across_a_rotation() {
    let (lines, head) = ledger(40, Some(20));
    let verified = check(&export(&lines), &checkpoints(&[head])).unwrap();
    assert_eq!(verified.head, head);
    assert_eq!((verified.records, verified.rotations), (40, 1));
    assert_eq!(verified.vouched, Some(40));
}

/// What was done, to which lines, and what must be said about it: shared with the Python verifier.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str, u64)> {
    let (lines, _) = ledger(12, Some(6));
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        export(&lines)
    };
    let mut unterminated = export(&lines);
    unterminated.truncate(unterminated.len() - 9);
    vec![
        (
            "content",
            with(&|l| l[4] = l[4].replace("4096", "8192")),
            "altered",
            5,
        ),
        (
            "first record",
            with(&|l| l[0] = l[0].replace("12:00:00", "12:00:01")),
            "altered",
            1,
        ),
        (
            "last record",
            with(&|l| l[11] = l[11].replace("4096", "8192")),
            "altered",
            12,
        ),
        (
            "spaces",
            with(&|l| l[4] = l[4].replacen(':', ": ", 1)),
            "altered",
            5,
        ),
        (
            "not json",
            with(&|l| l[7] = "{\"seq\":8".into()),
            "not-json",
            8,
        ),
        (
            "json, no record",
            with(&|l| l[7] = "{\"seq\":8}".into()),
            "not-a-record",
            8,
        ),
        ("deleted", with(&|l| drop(l.remove(3))), "missing", 4),
        ("deleted first", with(&|l| drop(l.remove(0))), "missing", 1),
        (
            "deleted hand-over",
            with(&|l| drop(l.remove(5))),
            "missing",
            6,
        ),
        (
            "deleted several",
            with(&|l| drop(l.drain(2..5))),
            "missing",
            3,
        ),
        ("swapped", with(&|l| l.swap(2, 8)), "reordered", 3),
        (
            "swapped neighbours",
            with(&|l| l.swap(8, 9)),
            "reordered",
            9,
        ),
        (
            "twice",
            with(&|l| {
                let c = l[4].clone();
                l.insert(5, c)
            }),
            "duplicated",
            5,
        ),
        (
            "twice, late",
            with(&|l| {
                let c = l[4].clone();
                l.push(c)
            }),
            "duplicated",
            5,
        ),
        (
            "twice, early",
            with(&|l| {
                let c = l[8].clone();
                l.insert(2, c)
            }),
            "duplicated",
            9,
        ),
        (
            "inserted",
            with(&|l| {
                let c = l[4].replace("4096", "1");
                l.insert(4, c)
            }),
            "inserted",
            5,
        ),
        (
            "rubbish inserted",
            with(&|l| l.insert(4, "hello".into())),
            "inserted",
            5,
        ),
        (
            "empty line",
            with(&|l| l.insert(4, String::new())),
            "inserted",
            5,
        ),
        ("cut in a line", unterminated, "cut-mid-record", 12),
        ("empty", Vec::new(), "empty", 0),
    ]
}

#[test]
fn every_kind_of_tampering_is_told_apart() {
    for (what, bytes, kind, seq) in cases() {
        let tampering = check(&bytes, &Checkpoints::none()).expect_err(what);
        assert_eq!(tampering.kind(), kind, "{what}: {tampering}");
        assert_eq!(tampering.seq().unwrap_or(0), seq, "{what}: {tampering}");
    }
}

#[test]
fn messages_for_people() {
    let said: Vec<String> = cases()
        .into_iter()
        .map(|(what, bytes, _, _)| {
            format!(
                "{what}: {}",
                check(&bytes, &Checkpoints::none()).expect_err(what)
            )
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_cut_tail_a_wiped_ledger_and_a_rewritten_one_are_seen_from_a_checkpoint() {
    let (lines, head) = ledger(12, Some(6));
    let (_, early) = ledger(4, None);
    let both = checkpoints(&[early, head]);
    assert!(check(&export(&lines), &both).is_ok());
    assert_eq!(
        check(&export(&lines[..11]), &both),
        Err(Tampering::TailCut {
            last: 11,
            known: 12,
            by_checkpoint: true
        })
    );
    assert_eq!(
        check(b"", &both),
        Err(Tampering::TailCut {
            last: 0,
            known: 12,
            by_checkpoint: true
        })
    );
    // Somebody with the key writes another history from record 3 on.
    let (_, mut other) = ledger(2, None);
    let mut rewritten = lines[..2].to_vec();
    for n in 100..110 {
        let (record, next) = append(&other, &key(1), draft(n)).unwrap();
        rewritten.push(record.line().to_owned());
        other = next;
    }
    assert!(check(&export(&rewritten), &Checkpoints::none()).is_ok());
    assert_eq!(
        check(&export(&rewritten), &both),
        Err(Tampering::Rewritten { seq: 4 })
    );
    // And splices the two.
    let spliced = [&rewritten[..4], &lines[4..]].concat();
    assert!(matches!(
        check(&export(&spliced), &Checkpoints::none()),
        Err(Tampering::Spliced { seq: 5, .. })
    ));
    // A ledger begun anew.
    let (fresh, _) = genesis(LedgerId::from_bytes([8; 16]), &key(1), start(), "system").unwrap();
    assert!(matches!(
        check(&export(&[fresh.line().to_owned()]), &both),
        Err(Tampering::OtherLedger { .. })
    ));
}

#[test]
fn keys_out_of_turn_missing_and_wrong_are_told_apart() {
    let (lines, _) = ledger(12, Some(6));
    let bytes = export(&lines);
    let verify = |keys: Keys| match verify_reader(bytes.as_slice(), &keys, &Checkpoints::none()) {
        Err(VerifyError::Tampered(tampering)) => tampering,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        verify(Keys::from(key(1))),
        Tampering::WrongKey {
            seq: 7,
            needs: Some(key(2).id())
        }
    );
    assert_eq!(
        verify(Keys::from(key(3))),
        Tampering::WrongKey {
            seq: 1,
            needs: Some(key(1).id())
        }
    );
    // Without the key: a history rewritten with another one from record 8 on.
    let (_, head) = ledger(7, Some(6));
    let mut forged = lines[..7].to_vec();
    let mut head = Head {
        key: key(5).id(),
        ..head
    };
    for n in 8..12 {
        let (record, next) = append(&head, &key(5), draft(n)).unwrap();
        forged.push(record.line().to_owned());
        head = next;
    }
    assert_eq!(
        check(&export(&forged), &Checkpoints::none()),
        Err(Tampering::WrongKey {
            seq: 8,
            needs: None
        })
    );
    // The retired key used after its hand-over.
    let (_, head) = ledger(7, Some(6));
    let mut stale = lines[..7].to_vec();
    let (record, _) = append(
        &Head {
            key: key(1).id(),
            ..head
        },
        &key(1),
        draft(8),
    )
    .unwrap();
    stale.push(record.line().to_owned());
    assert!(matches!(
        check(&export(&stale), &Checkpoints::none()),
        Err(Tampering::KeyOutOfTurn { seq: 8, .. })
    ));
}

#[derive(Debug, Clone)]
enum Deed {
    Flip { at: usize, mask: u8 },
    Delete(usize),
    Swap(usize, usize),
    Copy { from: usize, to: usize },
    Truncate(usize),
    Replace { at: usize, with: u8 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let any = any::<usize>;
    prop_oneof![
        4 => (any(), 1..=255_u8).prop_map(|(at, mask)| Deed::Flip { at, mask }),
        1 => any().prop_map(Deed::Delete),
        1 => (any(), any()).prop_map(|(a, b)| Deed::Swap(a, b)),
        1 => (any(), any()).prop_map(|(from, to)| Deed::Copy { from, to }),
        1 => any().prop_map(Deed::Truncate),
        1 => (any(), 0..=255_u8).prop_map(|(at, with)| Deed::Replace { at, with }),
    ]
}

/// The record a byte of the export belongs to; a newline belongs to the record it ends.
fn record_of(lines: &[String], byte: usize) -> u64 {
    let mut end = 0;
    for (seq, line) in (1..).zip(lines) {
        end += line.len() + 1;
        if byte < end {
            return seq;
        }
    }
    panic!("beyond the end")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_single_deed_is_detected_and_names_the_record(
        records in 1_u64..14, rotation in prop::option::of(2_u64..14), deed in deed()
    ) {
        let (lines, head) = ledger(records, rotation);
        let whole = export(&lines);
        let vouched = checkpoints(&[head]);
        let mut bytes = whole.clone();
        let count = lines.len();
        let expected = match deed {
            Deed::Flip { at, mask } => {
                let at = at % whole.len();
                bytes[at] ^= mask;
                record_of(&lines, at)
            }
            Deed::Replace { at, with } => {
                let at = at % whole.len();
                bytes[at] = with;
                record_of(&lines, at)
            }
            Deed::Delete(at) => {
                let mut lines = lines.clone();
                lines.remove(at % count);
                bytes = export(&lines);
                (at % count) as u64 + 1
            }
            Deed::Swap(a, b) => {
                let mut lines = lines.clone();
                lines.swap(a % count, b % count);
                bytes = export(&lines);
                (a % count).min(b % count) as u64 + 1
            }
            Deed::Copy { from, to } => {
                let mut lines = lines.clone();
                let copy = lines[from % count].clone();
                lines.insert(to % (count + 1), copy);
                bytes = export(&lines);
                (from % count) as u64 + 1
            }
            Deed::Truncate(at) => {
                let at = at % whole.len();
                bytes.truncate(at);
                record_of(&lines, at)
            }
        };
        let verdict = check(&bytes, &vouched);
        if bytes == whole {
            prop_assert!(verdict.is_ok());
        } else {
            let tampering = match verdict {
                Ok(_) => return Err(TestCaseError::fail("not detected")),
                Err(tampering) => tampering,
            };
            prop_assert_eq!(tampering.seq(), Some(expected), "{}", tampering);
        }
    }
}

/// Every byte of a short ledger, every one of its bits.
#[test]
fn every_single_bit_counts() {
    let (lines, head) = ledger(3, Some(2));
    let vouched = checkpoints(&[head]);
    let whole = export(&lines);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let tampering = check(&bytes, &vouched).expect_err("not detected");
            assert_eq!(
                tampering.seq(),
                Some(record_of(&lines, at)),
                "byte {at} bit {bit}: {tampering}"
            );
        }
    }
}

fn python() -> Option<PathBuf> {
    let found = Command::new("python3")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("NOTICE: no python3 here; the independent verifier was not run");
        return None;
    }
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_ledger.py"))
}

/// Runs the script over ledgers, with both keys; gives whether all hold and what it said, a line each.
fn run_python(
    dir: &Path,
    script: &Path,
    ledgers: &[&[u8]],
    checkpoint_lines: Option<&str>,
) -> (bool, Vec<String>) {
    let mut command = Command::new("python3");
    command.arg(script);
    for (number, ledger) in ledgers.iter().enumerate() {
        let path = dir.join(format!("{number}.jsonl"));
        std::fs::write(&path, ledger).unwrap();
        command.arg(path);
    }
    for byte in [1_u8, 2] {
        let path = dir.join(format!("{byte}.key"));
        std::fs::write(&path, format!("{}\n", hex::encode([byte; 32]))).unwrap();
        command.arg("--key").arg(path);
    }
    if let Some(lines) = checkpoint_lines {
        std::fs::write(dir.join("checkpoints.jsonl"), lines).unwrap();
        command
            .arg("--checkpoints")
            .arg(dir.join("checkpoints.jsonl"));
        command.arg("--trust").arg(signer().public().to_string());
    }
    let output = command.output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)) && complaint.is_empty(),
        "the verifier broke: {complaint}"
    );
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.success(),
        said.lines().map(str::to_owned).collect(),
    )
}

#[test]
fn the_independent_verifier_in_python_agrees() {
    let Some(script) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (lines, head) = ledger(12, Some(6));
    let whole = export(&lines);
    let checkpoint = format!("{}\n", signer().sign(&head, start()).unwrap().line());
    let (ok, said) = run_python(dir.path(), &script, &[&whole], Some(&checkpoint));
    assert!(ok, "{said:?}");
    let skipped = said.iter().any(|line| line.contains("skipped"));
    if skipped {
        eprintln!("NOTICE: python3 has no `cryptography`; it did not check signatures");
    }
    let last = said.last().unwrap();
    assert!(
        last.contains(&format!("ok: 12 records, head {}", head.mac)),
        "{last}"
    );

    let cases = cases();
    let bytes: Vec<&[u8]> = cases
        .iter()
        .map(|(_, bytes, ..)| bytes.as_slice())
        .collect();
    let (ok, said) = run_python(dir.path(), &script, &bytes, None);
    assert!(!ok);
    assert_eq!(said.len(), cases.len());
    for ((what, _, kind, seq), said) in cases.iter().zip(said) {
        // It says where the chain breaks; which kind of deed it was is the other verifier's art. A copy breaks it where it stands.
        let named = match *kind {
            "duplicated" | "empty" => "BROKEN".to_owned(),
            _ => format!("BROKEN: record {seq}:"),
        };
        assert!(said.contains(&named), "{what}: {said}");
    }

    let cut = export(&lines[..11]);
    let (ok, said) = run_python(dir.path(), &script, &[&cut], Some(&checkpoint));
    assert!(
        !ok && said.last().unwrap().contains("record 12"),
        "{said:?}"
    );

    let forged = checkpoint.replace("12:00:00", "12:00:09");
    let (ok, said) = run_python(dir.path(), &script, &[&whole], Some(&forged));
    assert_eq!(ok, skipped, "{said:?}");
    if !skipped {
        assert!(said.last().unwrap().contains("signature"), "{said:?}");
    }
}
