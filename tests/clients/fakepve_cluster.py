"""A cluster that fakepve plays, somebody else's fake of Proxmox VE's API, and what it is known to play wrongly.

What is wrong is measured against answers recorded from a Proxmox VE 9.1.8. Each known mistake stands in `MISTAKES` with the reason,
and is put right in the answer on its way out, nothing else is. A mistake that is no longer made fails the test that looks for it, so
that the list stays as short as it can be.
"""

import asyncio
import hashlib
import inspect
import json
import logging
import re
import tempfile
import threading

from aiohttp import web
from fakepve import FakePve
from fakepve.certs import make_cert

# A connection that the fake breaks on purpose is an error to the library under it.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)

TOKEN = "bailiwick@pve!controller"
SECRET = "11111111-2222-3333-4444-555555555555"
TEMPLATE = "debian-13-standard_13.1-2_amd64.tar.zst"
GIB = 1 << 30
NODES = ("pve1", "pve2")


class Mistake:
    """One kind of answer that Proxmox VE does not give, and what it would have been. `right` gives the answer's data as it should be
    from the cluster, the match of the path and the data as it is."""

    def __init__(self, path, why, right):
        self.path, self.why, self.right = re.compile(path), why, right
        self.seen = 0


def with_digest(pve, path, data):
    return data + [{"key": "digest", "value": pve.guest(int(path["vmid"])).digest()}]


def with_size(pve, path, data):
    size = pve._node_stats(True)
    return {**data, "memory": {**data["memory"], "total": size["maxmem"]}, "cpuinfo": {**data["cpuinfo"], "cpus": size["maxcpu"]}}


def mistakes():
    return [
        Mistake(
            r"/nodes/[^/]+/(qemu|lxc)/(?P<vmid>\d+)/pending",
            "it leaves out the digest, which each of the 37 recorded answers has; without it nobody notices that a guest was changed "
            "between plan and run, so Bailiwick does not read the guest at all",
            with_digest,
        ),
        Mistake(
            r"/nodes/[^/]+/status",
            "it makes up a node without memory and processors, while its own list of nodes has both",
            with_size,
        ),
        Mistake(
            r"/cluster/replication",
            "it makes up a job for the guest 0, which is no VMID; without jobs the list is empty",
            lambda pve, path, data: [],
        ),
        Mistake(
            r"/cluster/ha/resources",
            "it makes up a resource called `fake`, where an id is `vm:100` or `ct:100`; without resources the list is empty",
            lambda pve, path, data: [],
        ),
        Mistake(
            r"/cluster/ha/rules",
            "it makes up a rule without type, resources and nodes; without rules the list is empty",
            lambda pve, path, data: [],
        ),
        Mistake(
            r"/cluster/backup",
            "it makes up a job of a pool that does not exist; without jobs the list is empty",
            lambda pve, path, data: [],
        ),
        Mistake(
            r"/access/domains",
            "it makes up a realm called `fake` and leaves out the two that are built in",
            lambda pve, path, data: [{"realm": realm, "type": realm, "comment": ""} for realm in ("pam", "pve")],
        ),
        Mistake(
            r"/access/domains/(?P<realm>pam|pve)",
            "it makes up a realm's settings without the digest, which every recorded answer has",
            lambda pve, path, data: {"type": path["realm"], "comment": "", "digest": "0" * 40},
        ),
        Mistake(
            r"/access/acl",
            "it makes up an entry of the path `fake`, where paths begin with `/`, and leaves out those that give the token its "
            "privileges",
            lambda pve, path, data: [{"path": "/", "type": "token", "ugid": TOKEN, "roleid": "Administrator", "propagate": 1}],
        ),
    ]


class Corrected(FakePve):
    """A fake whose known mistakes are put right, or not."""

    mistakes = ()

    def _build_app(self):
        application = super()._build_app()
        # The outermost: it sees answers as they would have gone out.
        application.middlewares.insert(0, self._put_right)
        return application

    @web.middleware
    async def _put_right(self, request, handler):
        answer = await handler(request)
        if request.method != "GET" or answer.status != 200:
            return answer
        for mistake in self.mistakes:
            path = mistake.path.fullmatch(request.path.removeprefix("/api2/json"))
            if path:
                data = json.loads(answer.text)["data"]
                right = mistake.right(self, path, data)
                mistake.seen += right != data
                return web.json_response({"data": right})
        return answer


class Cluster:
    """The fake, served over TLS from a thread of its own: two nodes, two storages, and a running machine that nobody manages."""

    def __init__(self, corrected=True, time_scale=0.01):
        self.pve = pve = Corrected(host="127.0.0.1", port=0)
        pve.mistakes = mistakes() if corrected else []
        pve.time_scale = time_scale
        pve.apitokens[TOKEN] = SECRET
        for node in NODES:
            pve.add_node(node)
        for storage in pve.storages.values():
            # Of a local storage it shows each node the same volumes. On one node only, they are where they are.
            storage["nodes"] = NODES[0]
        pve.store_file("local", TEMPLATE, 124 << 20, content="vztmpl")
        disk = {"content": "images", "format": "raw", "size": 8 * GIB, "vmid": 100, "ctime": 1_700_000_000}
        pve.storages["local-lvm"]["volumes"] = {"vm-100-disk-0": disk}
        config = {
            "cores": 2, "memory": 2048, "scsihw": "virtio-scsi-single", "scsi0": "local-lvm:vm-100-disk-0,size=8G",
            "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "boot": "order=scsi0",
        }
        pve.add_vm(100, "old", node=NODES[0], status="running", config=config)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __enter__(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key, der = make_cert(folder, hosts=(self.pve.host,))
            self.tell(lambda pve: pve.start(certificate, key))
        digest = hashlib.sha256(der).hexdigest().upper()
        self.fingerprint = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
        self.url = self.pve.url
        return self

    def __exit__(self, *_):
        self.tell(lambda pve: pve.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)

    def tell(self, what):
        """Does something with the fake in its own thread; what came of it."""

        async def does():
            came = what(self.pve)
            return await came if inspect.isawaitable(came) else came

        return asyncio.run_coroutine_threadsafe(does(), self.loop).result(timeout=30)

    def writes(self):
        """Every write it met so far: `POST /nodes/pve1/qemu`."""
        return self.tell(lambda pve: [
            f"{method} {path.removeprefix('/api2/json')}" for method, path, _ in pve.requests if method != "GET"
        ])

    def tasks(self, kind):
        """How every task of a kind ended, in order."""
        return self.tell(lambda pve: [task.get("exitstatus") for task in pve.tasklog if task["type"] == kind])

    def config(self, vmid):
        """A guest's configuration, or nothing."""
        guest = self.pve.guest(vmid)
        return self.tell(lambda pve: dict(guest.config)) if guest else None

    def power(self, vmid):
        return self.pve.guest(vmid).status

    def disks(self, vmid):
        """The volumes of a machine on the storage of machines, with their sizes."""
        volumes = self.pve.storages["local-lvm"]["volumes"]
        return self.tell(lambda pve: {name: volume["size"] for name, volume in volumes.items() if volume.get("vmid") == vmid})
