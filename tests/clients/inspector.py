"""Lists and calls every tool with the command line of the official inspector. Arguments: its program, the server's URL, a token."""

import json
import os
import subprocess
import sys
import tempfile

program, url, token = sys.argv[1:4]
# Its catalogue is a file of its own; the user's is left alone.
folder = tempfile.TemporaryDirectory()
environment = {**os.environ, "MCP_CATALOG_PATH": os.path.join(folder.name, "mcp.json")}
# Not as JSON: that would reach the tool as an object.
DOCUMENT = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 9Gi}}\n"


def inspect(*arguments, may_fail=False):
    command = [program, "--cli", url, "--transport", "http", "--header", f"Authorization: Bearer {token}", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if ran.returncode != 0 and not may_fail:
        sys.exit(f"{arguments}: exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout + ran.stderr if may_fail else json.loads(ran.stdout)


def call(tool, **arguments):
    pairs = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
    result = inspect("--method", "tools/call", "--tool-name", tool, *pairs)
    assert not result.get("isError"), (tool, result)
    called.add(tool)
    return result["structuredContent"]


called = set()
# Schemas that not every client understands are errors under --strict.
names = {tool["name"] for tool in inspect("--method", "tools/list", "--strict")["tools"]}
assert len(names) == 15, names
assert call("list_resources", limit=3)["total"] > 40
assert call("get_resource", id="vm/102")["resource"]["id"] == "vm/102"
assert {"VirtualMachine", "Pool", "Snapshot"} <= set(call("explain_kind")["kinds"])
assert call("validate", documents=DOCUMENT)["valid"]
assert call("plan", documents=DOCUMENT)["plan"]["state"] is None
submitted = call("submit", documents=DOCUMENT)
assert submitted["outcome"] == "planned"
plan = submitted["plan"]["plan"]
assert call("list_plans", mine="true")["total"] >= 1
assert call("get_plan", plan=plan)["state"] == "waiting"
assert call("wait_for_plan", id=plan, timeoutSeconds=0)["reached"] is False
assert call("list_drift")["total"] == 0
assert call("diagnose", target="node/pve1")["target"] == "node/pve1"
may = call("can", principal="ben@pve", privilege="VM.PowerMgmt", path="/vms/103")
assert may["now"]["verdict"] == "yes", may
assert call("reach", to="vm/102:22", **{"from": "any"})["now"]["verdict"] == "yes"
assert call("withdraw", id=plan, reason="only a test")["state"] == "withdrawn"
never = inspect("--method", "tools/call", "--tool-name", "propose_undo", "--tool-arg", f"plan={plan}", may_fail=True)
assert "wrong_state" in never, never
called.add("propose_undo")
assert called == names, names - called
assert len(inspect("--method", "prompts/list")["prompts"]) == 2
assert len(inspect("--method", "resources/list")["resources"]) >= 4
print("inspector: every tool called")
