"""Drives the simulator with proxmoxer, once with an API token and once with a password: lists, creates, changes and destroys guests,
storages and pools, follows tasks, and is refused where Proxmox VE refuses.

Arguments: the program, a world file."""

import contextlib
import hashlib
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import requests
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException
from proxmoxer.tools import Tasks

TOKEN = {"user": "root@pam", "token_name": "break-glass", "token_value": "99999999-2222-3333-4444-555555555555"}
PASSWORD = {"user": "root@pam", "password": "root-lab-password"}
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"
GIB = 1 << 30


@contextlib.contextmanager
def simulator(program, world):
    """A simulated cluster, its certificate in a file and nothing else to be trusted."""
    secret = "{user}!{token_name}={token_value}".format(**TOKEN)
    command = [program, "sim", "--world", world, "--secret", secret, "--time-scale", "100", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, tempfile.TemporaryDirectory() as folder:
        try:
            says = json.loads(process.stdout.readline())
            address = urlsplit(says["url"])
            pem = ssl.get_server_certificate((address.hostname, address.port))
            digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
            assert digest == says["fingerprint"].replace(":", ""), says
            certificate = pathlib.Path(folder, "certificate.pem")
            certificate.write_text(pem)
            yield {"host": address.hostname, "port": address.port, "verify_ssl": str(certificate)}
        finally:
            process.terminate()


class Cluster:
    """A cluster as proxmoxer sees it, with what it did."""

    def __init__(self, **how):
        self.api = ProxmoxAPI(**how)

    def ended(self, upid):
        """Follows a task to its end; its exit status."""
        told = Tasks.decode_upid(upid)
        status = Tasks.blocking_status(self.api, upid, timeout=20, polling_interval=0.02)
        assert status is not None, f"{upid} did not end"
        assert (status["upid"], status["status"], status["type"]) == (upid, "stopped", told["type"]), status
        return status["exitstatus"]

    def does(self, kind, upid):
        """Follows a task of a kind to its end, which is good."""
        assert Tasks.decode_upid(upid)["type"] == kind, upid
        assert self.ended(upid) == "OK"

    def listed(self, vmid):
        found = [guest for guest in self.api.cluster.resources.get(type="vm") if guest["vmid"] == vmid]
        return found[0] if found else None

    def volumes(self, node, storage, vmid):
        return {volume["volid"]: volume["size"] for volume in self.api.nodes(node).storage(storage).content.get(vmid=vmid)}


def refused(call, status, text, errors=None, **arguments):
    """Calls, and is refused with a status, a text in the reason and the names of the parameters that are wrong."""
    try:
        answer = call(**arguments)
    except ResourceException as error:
        assert error.status_code == status, error
        assert text in error.content, error
        assert set(error.errors or {}) == set(errors or []), error
        return
    raise AssertionError(f"not refused: {answer}")


def looks(cluster):
    api = cluster.api
    assert api.version.get()["version"].startswith("9."), api.version.get()
    nodes = {node["node"]: node for node in api.nodes.get()}
    assert {name: node["status"] for name, node in nodes.items()} == dict.fromkeys(("pve1", "pve2", "pve3"), "online")
    assert nodes["pve1"]["maxmem"] == 192 * GIB and nodes["pve1"]["maxcpu"] == 32, nodes["pve1"]
    guests = api.cluster.resources.get(type="vm")
    by_node = [guest["vmid"] for name in nodes for guest in api.nodes(name).qemu.get() + api.nodes(name).lxc.get()]
    assert sorted(guest["vmid"] for guest in guests) == sorted(by_node) and len(guests) > 40
    mail = api.nodes("pve1").qemu(102).config.get() if cluster.listed(102)["node"] == "pve1" else None
    assert mail is None or mail["name"] == "mail", mail
    types = {storage["storage"]: storage["type"] for storage in api.storage.get()}
    expected = {"local": "dir", "local-lvm": "lvmthin", "local-zfs": "zfspool", "ceph-vm": "rbd", "nfs-data": "nfs", "backup": "nfs"}
    assert types == expected, types
    pools = {pool["poolid"] for pool in api.pools.get()}
    assert pools == {"infra", "lab", "prod", "prod/web"}, pools
    members = api.pools.get(poolid="lab")[0]["members"]
    assert {member["vmid"] for member in members} == {103, 121, 122, 123, 124, 308, 309}, members
    status = {item["type"]: item for item in api.cluster.status.get()}
    assert status["cluster"]["quorate"] == 1 and status["cluster"]["nodes"] == 3, status


def a_machine(cluster):
    api, vmid = cluster.api, int(cluster.api.cluster.nextid.get())
    node = api.nodes("pve1")
    made = node.qemu.create(
        vmid=vmid, name="driven", cores=2, memory=2048, scsihw="virtio-scsi-single", scsi0="local-lvm:4", net0="virtio,bridge=vmbr0",
        tags="b;a", description="made by proxmoxer",
    )
    cluster.does("qmcreate", made)
    machine = node.qemu(vmid)
    config = machine.config.get()
    assert (config["name"], config["cores"], config["memory"]) == ("driven", 2, "2048"), config
    assert config["scsi0"] == f"local-lvm:vm-{vmid}-disk-0,size=4G", config
    assert config["net0"].startswith("virtio=BC:24:11:") and config["net0"].endswith(",bridge=vmbr0"), config
    assert cluster.volumes("pve1", "local-lvm", vmid) == {f"local-lvm:vm-{vmid}-disk-0": 4 * GIB}
    refused(node.qemu.create, 500, f"VM {vmid} already exists", vmid=vmid)
    refused(machine.config.set, 400, "Parameter verification failed", errors=["cores"], cores="many")
    refused(machine.config.set, 500, "file change by other user", cores=3, digest="0" * 40)

    assert machine.config.set(cores=4, digest=config["digest"]) is None
    assert machine.config.get()["cores"] == 4
    cluster.does("qmconfig", machine.config.create(memory=4096))
    cluster.does("resize", machine.resize.set(disk="scsi0", size="+2G"))
    assert cluster.volumes("pve1", "local-lvm", vmid) == {f"local-lvm:vm-{vmid}-disk-0": 6 * GIB}

    cluster.does("qmstart", machine.status.start.create())
    assert machine.status.current.get()["status"] == "running"
    assert cluster.listed(vmid)["maxmem"] == 4 * GIB
    assert machine.config.set(cores=1) is None
    waits = {item["key"]: item.get("pending") for item in machine.pending.get() if "pending" in item}
    assert waits == {"cores": 1}, waits
    assert cluster.ended(machine.status.start.create()) == f"VM {vmid} already running"
    refused(machine.delete, 500, f"VM {vmid} is running")

    cluster.does("qmsnapshot", machine.snapshot.create(snapname="before"))
    assert [item["name"] for item in machine.snapshot.get()] == ["before", "current"]
    cluster.does("qmdelsnapshot", machine.snapshot("before").delete())
    cluster.does("qmstop", machine.status.stop.create())
    assert machine.config.get()["cores"] == 1, "what was pending is in force after a stop"
    cluster.does("qmdestroy", machine.delete(purge=1))
    assert cluster.listed(vmid) is None and cluster.volumes("pve1", "local-lvm", vmid) == {}
    refused(machine.config.get, 500, f"Configuration file 'nodes/pve1/qemu-server/{vmid}.conf' does not exist")

    log = Tasks.decode_log(node.tasks(made).log.get())
    assert log.endswith("TASK OK"), log
    kinds = [task["type"] for task in node.tasks.get(vmid=vmid, limit=50)]
    assert {"qmcreate", "qmconfig", "resize", "qmstart", "qmsnapshot", "qmstop", "qmdestroy"} <= set(kinds), kinds


def a_container(cluster):
    api, vmid = cluster.api, int(cluster.api.cluster.nextid.get())
    node = api.nodes("pve1")
    made = node.lxc.create(
        vmid=vmid, hostname="driven", ostemplate=TEMPLATE, cores=1, memory=512, swap=0, rootfs="local-zfs:4", unprivileged=1,
        net0="name=eth0,bridge=vmbr0,ip=dhcp",
    )
    cluster.does("vzcreate", made)
    container = node.lxc(vmid)
    config = container.config.get()
    assert (config["hostname"], config["memory"], config["unprivileged"]) == ("driven", 512, 1), config
    assert config["rootfs"] == f"local-zfs:subvol-{vmid}-disk-0,size=4G", config
    assert "hwaddr=" in config["net0"] and "ip=dhcp" in config["net0"], config
    cluster.does("vzstart", container.status.start.create())
    assert container.config.set(memory=1024, description="more") is None
    config = container.config.get()
    assert (config["memory"], config["description"]) == (1024, "more\n"), config
    cluster.does("resize", container.resize.set(disk="rootfs", size="8G"))
    assert cluster.volumes("pve1", "local-zfs", vmid) == {f"local-zfs:subvol-{vmid}-disk-0": 8 * GIB}
    refused(container.resize.set, 500, "disk is already at specified size", disk="rootfs", size="8G")
    refused(container.delete, 500, "container is running")
    cluster.does("vzshutdown", container.status.shutdown.create(timeout=60))
    assert container.status.current.get()["status"] == "stopped"
    cluster.does("vzdestroy", container.delete())
    assert cluster.listed(vmid) is None and cluster.volumes("pve1", "local-zfs", vmid) == {}


def a_storage(cluster):
    api = cluster.api
    made = api.storage.create(storage="driven", type="dir", path="/srv/driven", content="iso,backup", nodes="pve1")
    assert (made["storage"], made["type"]) == ("driven", "dir"), made
    refused(api.storage.create, 500, "already defined", storage="driven", type="dir", path="/srv/driven")
    storage = api.storage("driven")
    digest = storage.get()["digest"]
    storage.set(content="iso", disable=1, digest=digest)
    read = storage.get()
    assert (read["content"], read["disable"], read["nodes"], read["path"]) == ("iso", 1, "pve1", "/srv/driven"), read
    refused(storage.set, 500, "file changed by other user", content="backup", digest=digest)
    refused(storage.set, 400, "Parameter verification failed", errors=["colour"], colour="red")
    assert storage.delete() is None
    refused(storage.get, 500, "storage 'driven' does not exist")


def a_pool(cluster):
    api = cluster.api
    assert api.pools.create(poolid="driven", comment="by proxmoxer") is None
    assert api.pools.set(poolid="driven", vms="125", storage="nfs-data") is None
    pool = api.pools.get(poolid="driven")[0]
    assert pool["comment"] == "by proxmoxer", pool
    members = {(member["type"], member.get("vmid") or member["storage"]) for member in pool["members"]}
    assert members == {("qemu", 125), ("storage", "nfs-data")}, members
    refused(api.pools.delete, 500, "is not empty", poolid="driven")
    refused(api.pools.set, 500, "belongs already to pool 'driven'", poolid="lab", vms="125")
    assert api.pools.set(poolid="driven", vms="125", storage="nfs-data", delete=1) is None
    assert api.pools.delete(poolid="driven") is None
    refused(api.pools.get, 500, "pool 'driven' does not exist", poolid="driven")


def who_may(where):
    for wrong in ({**PASSWORD, "password": "wrong"}, {**PASSWORD, "user": "nobody@pam"}):
        try:
            ProxmoxAPI(**where, **wrong)
        except AuthenticationError as error:
            assert "code: 401" in str(error), error
        else:
            raise AssertionError(f"let in: {wrong}")
    wrong = ProxmoxAPI(**where, **{**TOKEN, "token_value": "00000000-2222-3333-4444-555555555555"})
    # Such an answer has no body, of which proxmoxer makes an entry of its own.
    refused(wrong.version.get, 401, "Authentication failed!", errors=["errors"])
    ben = ProxmoxAPI(**where, user="ben@pve", password="ben-lab-password")
    assert 109 in {guest["vmid"] for guest in ben.cluster.resources.get(type="vm")}
    refused(ben.nodes("pve1").qemu(102).config.set, 403, "Permission check failed", cores=1)
    refused(ben.pools.create, 403, "Permission check failed (/pool/mine, Pool.Allocate)", poolid="mine")
    # proxmoxer has its ticket renewed with the ticket itself in place of the password.
    renewing = ProxmoxAPI(**where, **PASSWORD)
    first = renewing.get_tokens()
    renewing._backend.auth.renew_age = 0
    assert renewing.pools.create(poolid="renewed") is None
    assert renewing.get_tokens() != first and renewing.get_tokens()[0].startswith("PVE:root@pam:")
    assert renewing.pools.delete(poolid="renewed") is None
    try:
        ProxmoxAPI(**{**where, "verify_ssl": True}, **PASSWORD)
    except requests.exceptions.SSLError:
        pass
    else:
        raise AssertionError("a certificate that nobody trusts was believed")


def main(program, world):
    with simulator(program, world) as where:
        for name, login in [("token", TOKEN), ("password", PASSWORD)]:
            cluster = Cluster(**where, **login)
            for part in (looks, a_machine, a_container, a_storage, a_pool):
                part(cluster)
            print(f"proxmoxer, {name}: guests, storages, pools and tasks")
        who_may(where)
        print("proxmoxer: who may, renewed tickets, and the certificate")


main(*sys.argv[1:])
