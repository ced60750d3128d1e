//! `bailiwick mcp`: the same tools over standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::MAIL;
use crate::support::play::Play;

struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    id: u64,
}

impl Talk {
    fn with(play: &Play, who: &str) -> Self {
        let mut child = play
            .command(&["mcp", "--as", who])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut talk = Self {
            child,
            input,
            output,
            id: 0,
        };
        let hello = talk.ask(
            "initialize",
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "bailiwick");
        talk.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        talk
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message;
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        answer["result"].clone()
    }

    /// Closes its input and waits for its end.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn an_agent_on_this_machine_has_the_same_tools() {
    let play = Play::new();
    let mut talk = Talk::with(&play, "agent:demo");
    let listed = talk.ask("tools/list", json!({}));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 15);
    let submitted = talk.call("submit", json!({ "documents": MAIL }));
    let plan = submitted["structuredContent"]["plan"]["plan"]
        .as_str()
        .unwrap()
        .to_owned();
    let got = talk.call("get_plan", json!({ "plan": plan }));
    assert_eq!(got["structuredContent"]["submitter"], "agent:demo");
    assert_eq!(got["structuredContent"]["state"], "waiting");
    assert_eq!(talk.call("submit", json!({ "force": 1 }))["isError"], true);
    for (tool, arguments) in [
        ("list_resources", json!({ "limit": 3 })),
        ("get_resource", json!({ "id": "vm/104" })),
        ("explain_kind", json!({ "path": "Pool" })),
        ("validate", json!({ "documents": MAIL })),
        ("plan", json!({ "documents": MAIL })),
        ("list_plans", json!({})),
        ("wait_for_plan", json!({ "id": plan, "timeoutSeconds": 1 })),
        ("list_drift", json!({})),
        ("diagnose", json!({ "target": "vm/104" })),
        (
            "can",
            json!({ "principal": "ben@pve", "privilege": "VM.Audit", "path": "/vms/104" }),
        ),
        ("reach", json!({ "from": "any", "to": "vm/104:22" })),
        ("withdraw", json!({ "id": plan, "reason": "enough" })),
    ] {
        let result = talk.call(tool, arguments);
        assert_ne!(result["isError"], true, "{tool}: {result}");
        assert!(result["structuredContent"].is_object(), "{tool}");
    }
    assert_eq!(
        talk.call("propose_undo", json!({ "plan": plan }))["isError"],
        true
    );
    talk.end();
    assert!(play.writes().is_empty());
}

#[test]
fn nobody_speaks_as_a_person() {
    let play = Play::new();
    for who in ["person:anna", "system:bailiwick", "anna"] {
        let ran = play.bailiwick(&["mcp", "--as", who]).ends(1);
        assert!(ran.out.is_empty(), "{}", ran.out);
    }
}
