//! Other people's clients against a real server. `scripts/mcp-clients` installs them and says where they are in
//! BAILIWICK_MCP_CLIENTS; without that these tests say that they were skipped.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::support::agents::Desk;

fn clients() -> Option<PathBuf> {
    let found = std::env::var_os("BAILIWICK_MCP_CLIENTS").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: BAILIWICK_MCP_CLIENTS is not set (scripts/mcp-clients sets it)");
    }
    found
}

/// A command with the clients' own Node first.
fn command(prefix: &std::path::Path, program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let node = prefix.join("node_modules/node/bin");
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{path}", node.display()));
    command
}

#[track_caller]
fn succeeds(mut command: Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_python_client_calls_every_tool() {
    let Some(prefix) = clients() else { return };
    let desk = Desk::new();
    desk.keep();
    let given = json!({
        "url": format!("{}/mcp", desk.url()), "token": desk.token("scout"),
        "command": env!("CARGO_BIN_EXE_bailiwick"), "args": ["mcp", "--as", "agent:demo"],
        "cwd": desk.play.folder.path(),
    });
    let python = prefix.join("venv/bin/python");
    let mut command = command(&prefix, python.to_str().unwrap());
    command.arg(script("every_tool.py")).arg(given.to_string());
    succeeds(command);
    assert!(desk.play.writes().is_empty());
}

#[test]
fn the_inspector_calls_every_tool() {
    let Some(prefix) = clients() else { return };
    let desk = Desk::new();
    desk.keep();
    let mut command = command(&prefix, "python3");
    command
        .arg(script("inspector.py"))
        .arg(prefix.join("node_modules/.bin/inspector"))
        .arg(format!("{}/mcp", desk.url()))
        .arg(desk.token("scout"));
    succeeds(command);
    assert!(desk.play.writes().is_empty());
}

#[test]
fn the_conformance_suite_passes_but_for_what_is_expected() {
    let Some(prefix) = clients() else { return };
    let desk = Desk::new();
    desk.keep();
    let token = desk.token("scout");
    let server = desk.running.as_ref().unwrap().address;
    // The suite sends no token: somebody between adds it, and is otherwise not noticed.
    let between = desk
        .play
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = between.local_addr().unwrap();
    desk.play.spawn(async move {
        while let Ok((client, _)) = between.accept().await {
            tokio::spawn(pass_on(
                client,
                server.to_string(),
                address.to_string(),
                token.clone(),
            ));
        }
    });
    let mut command = command(&prefix, "bash");
    command
        .arg(script("conformance.sh"))
        .arg(prefix.join("node_modules/.bin"))
        .arg(format!("http://{address}/mcp"));
    succeeds(command);
    assert!(desk.play.writes().is_empty());
}

/// Passes a connection's requests on, each with a token, as if they had been sent to the server itself.
async fn pass_on(mut client: TcpStream, server: String, here: String, token: String) {
    let Ok(mut upstream) = TcpStream::connect(&server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = upstream.split();
    let requests = async {
        while let Some(head) = head(&mut from_client).await {
            let text = String::from_utf8_lossy(&head).replace(&here, &server);
            let (first, rest) = text.split_once("\r\n").unwrap();
            let head = format!("{first}\r\nauthorization: Bearer {token}\r\n{rest}");
            to_server.write_all(head.as_bytes()).await?;
            let length = rest.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<u64>().unwrap())
            });
            let mut body = (&mut from_client).take(length.unwrap_or(0));
            copy(&mut body, &mut to_server).await?;
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        _ = requests => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

async fn head(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match from.read_u8().await {
            Ok(byte) if head.len() < 65536 => head.push(byte),
            _ => return None,
        }
    }
    Some(head)
}
