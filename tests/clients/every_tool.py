"""Lists and calls every tool with the official Python client, over HTTP and over standard input and output.

Arguments are a JSON object: url, token, command, args, cwd. The client itself holds every structured answer against its output schema.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

DOCUMENT = """apiVersion: bailiwick.dev/v1alpha1
kind: VirtualMachine
metadata: {name: mail}
spec: {vmid: 102, memory: {size: %dGi}}
"""


async def every_tool(client, size):
    listed = await client.list_tools()
    names = {tool.name for tool in listed.tools}
    assert len(names) == 15, names
    called = set()

    async def call(tool, **arguments):
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, (tool, result.content)
        assert result.structured_content is not None, tool
        assert result.content[0].text, tool
        called.add(tool)
        return result.structured_content

    guests = await call("list_resources", kind="vm", limit=2)
    assert len(guests["items"]) == 2 and guests["total"] > 2
    more = await call("list_resources", kind="vm", limit=2, cursor=guests["nextCursor"])
    assert more["items"][0]["id"] not in [item["id"] for item in guests["items"]]
    await call("get_resource", id="vm/102")
    await call("explain_kind", path="VirtualMachine.disks")
    document = DOCUMENT % size
    assert (await call("validate", documents=document))["valid"]
    await call("plan", documents=document)
    submitted = await call("submit", documents=document)
    assert submitted["outcome"] == "planned", submitted
    plan = submitted["plan"]["plan"]
    assert (await call("list_plans", mine=True))["total"] >= 1
    assert (await call("get_plan", plan=plan))["state"] == "waiting"
    waited = await call("wait_for_plan", id=plan, timeoutSeconds=1)
    assert waited["reached"] is False and waited["needs"][0]["code"] == "approval_missing"
    may = await call("can", principal="ben@pve", privilege="VM.PowerMgmt", path="/vms/103", after=plan)
    assert may["now"]["verdict"] == "yes" and may["after"]["plan"] == plan, may
    assert (await call("reach", to="vm/102:22", **{"from": "any"}))["now"]["verdict"] == "yes"
    await call("list_drift")
    assert (await call("diagnose", target="vm/102"))["target"] == "vm/102"
    assert (await call("withdraw", id=plan, reason="only a test"))["state"] == "withdrawn"
    never = await client.call_tool("propose_undo", {"plan": plan})
    assert never.is_error and json.loads(never.content[0].text)["error"]["code"] == "wrong_state"
    called.add("propose_undo")
    bad = await client.call_tool("submit", {"documents": document, "force": True})
    assert bad.is_error and json.loads(bad.content[0].text)["error"]["code"] == "invalid_arguments"
    assert called == names, names - called
    resources = await client.list_resources()
    assert resources.resources
    await client.read_resource(resources.resources[0].uri)
    assert len((await client.list_prompts()).prompts) == 2
    await client.get_prompt("propose_change", {"wish": "more memory for mail"})
    return client.protocol_version


async def main(given):
    for size, mode in [(6, "auto"), (7, "legacy")]:
        async with create_mcp_http_client({"Authorization": f"Bearer {given['token']}"}) as http:
            transport = streamable_http_client(given["url"], http_client=http)
            async with Client(transport, mode=mode) as client:
                version = await every_tool(client, size)
        print(f"python, HTTP, {mode}: protocol {version}, every tool called")
    server = StdioServerParameters(command=given["command"], args=given["args"], cwd=given["cwd"])
    async with Client(server) as client:
        version = await every_tool(client, 8)
    print(f"python, stdio: protocol {version}, every tool called")
    refused = False
    try:
        async with create_mcp_http_client({"Authorization": "Bearer bw_wrong"}) as http:
            async with Client(streamable_http_client(given["url"], http_client=http)) as client:
                await client.list_tools()
    except BaseException:
        refused = True
    assert refused, "a wrong token got in"


asyncio.run(main(json.loads(sys.argv[1])))
