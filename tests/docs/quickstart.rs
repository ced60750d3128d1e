//! The quickstart on the simulator, run as a newcomer would type it: every block of `sh`, in one shell, in the order of the page.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

use super::pages::{Block, page, root};

/// What the page asks for; where one is missing the test says that it was skipped.
const TOOLS: &[&str] = &["bash", "ssh-keygen", "curl"];

/// After so long it hangs.
const PATIENCE: Duration = Duration::from_secs(900);

fn script(blocks: &[Block]) -> String {
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for block in blocks
        .iter()
        .filter(|block| block.language == "sh" && !block.says("not-run"))
    {
        script.push_str(&format!("echo '### {}'\n", block.place));
        match block.value("exit") {
            None => script.push_str(&block.text),
            Some(code) => script.push_str(&format!(
                "set +e\n{}code=$?\nset -e\n[ $code -eq {code} ] || {{ echo \"it ended with $code, not {code}\"; exit 1; }}\n",
                block.text
            )),
        }
    }
    script
}

/// Lines that are shown as said were said, in this order; `…` stands for anything.
fn was_said(block: &Block, said: &str) {
    let mut lines = said.lines();
    for shown in block.text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<String> = shown
            .split_whitespace()
            .map(|word| regex::escape(word).replace('…', ".*"))
            .collect();
        let pattern = Regex::new(&format!("^\\s*{}\\s*$", words.join("\\s+"))).unwrap();
        assert!(
            lines.any(|line| pattern.is_match(line)),
            "docs/{} shows a line that was not said: {shown}\n--- said\n{said}",
            block.place
        );
    }
}

#[test]
fn the_quickstart_on_the_simulator_runs() {
    let missing = TOOLS.iter().find(|tool| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .output();
        !found.is_ok_and(|found| found.status.success())
    });
    if let Some(tool) = missing {
        eprintln!("skipped: there is no {tool}");
        return;
    }
    let blocks = page("quickstart-simulator.md").blocks();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("examples"), folder.path().join("examples")).unwrap();
    let log = folder.path().join("said");
    let out = std::fs::File::create(&log).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bailiwick"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash")
        .args(["-c", &script(&blocks)])
        .current_dir(folder.path())
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .env("HOME", folder.path())
        .env("BAILIWICK_POLL_MS", "50")
        .env_remove("BAILIWICK_CONFIG")
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .process_group(0)
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    let ended = loop {
        if let Some(ended) = shell.try_wait().unwrap() {
            break Some(ended);
        }
        if Instant::now() > until {
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    // What the shell started and left behind, its own group and nothing else.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", shell.id())])
        .stderr(Stdio::null())
        .status();
    let said = std::fs::read_to_string(&log).unwrap();
    let ended = ended.unwrap_or_else(|| panic!("it does not end\n{said}"));
    assert!(ended.success(), "{ended}\n{said}");
    let mut shown = 0;
    for block in blocks.iter().filter(|block| block.says("said")) {
        was_said(block, &said);
        shown += 1;
    }
    assert!(shown > 2, "only {shown} answers are shown");
}
