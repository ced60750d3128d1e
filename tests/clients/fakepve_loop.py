"""The whole loop of Bailiwick against fakepve: observe, plan, approve, apply, converge, for machines, containers and pools; then
under each of fakepve's own faults. Argument: the program. More arguments: only the cases of those names.

Not done here, because fakepve answers such calls without doing anything: growing and moving a machine's disk, HA, migration of a
machine. `what_is_said_to_be_done_but_is_not` looks at what Bailiwick makes of one of them."""

import re
import sys
import time

from bailiwick_desk import Desk
from fakepve_cluster import GIB, SECRET, TOKEN, Cluster

HEADER = "apiVersion: bailiwick.dev/v1alpha1\nkind: "
DELETE = "annotations: {bailiwick.dev/deletion: delete}"


def machine(vmid=200, power="running", cores=2, memory="1Gi", disk="4Gi", more=""):
    return f"""{HEADER}VirtualMachine
metadata: {{name: vm-{vmid}, {DELETE}}}
spec:
  vmid: {vmid}
  node: pve1
  powerState: {power}
  cpu: {{cores: {cores}}}
  memory: {{size: {memory}}}
  scsiController: virtio-scsi-single
  disks: {{scsi0: {{storage: local-lvm, size: {disk}}}}}
  networks: {{net0: {{model: virtio, bridge: vmbr0}}}}
  {more}
"""


def container(vmid=300, power="running", cores=1, memory="512Mi", root="4Gi", more=""):
    return f"""{HEADER}Container
metadata: {{name: ct-{vmid}, {DELETE}}}
spec:
  vmid: {vmid}
  node: pve1
  powerState: {power}
  template: local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst
  unprivileged: true
  cores: {cores}
  memory: {memory}
  rootFs: {{storage: local-lvm, size: {root}}}
  networks: {{net0: {{name: eth0, bridge: vmbr0, ip: dhcp}}}}
  {more}
"""


def pool(comment="both", guests="[200, 300]"):
    return f"{HEADER}Pool\nmetadata: {{name: both, {DELETE}}}\nspec: {{id: both, comment: {comment}, guests: {guests}}}\n"


class Setting:
    """A cluster and an installation for it."""

    def __init__(self, program, **how):
        self.cluster = Cluster(**how)
        self.program = program

    def __enter__(self):
        self.cluster.__enter__()
        self.desk = Desk(self.program, self.cluster.url, self.cluster.fingerprint, TOKEN, SECRET)
        return self

    def __exit__(self, kind, *rest):
        try:
            if kind is None:
                self.desk.run("ledger", "verify").ends(0)
        finally:
            self.cluster.__exit__(kind, *rest)


def titles(plan):
    return [step["title"] for step in plan["steps"]]


def the_whole_loop(program):
    """Makes, changes, stops and removes; what is not in the documents stays as it is."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.made.ends(0).says("Proxmox VE 9.", "2 nodes, 1 guests, 2 storages")
        assert "not all of it can be seen" not in desk.made.out, desk.made.out
        old = cluster.config(100)
        # What is imported changes nothing when it is planned.
        desk.run("import", "--to", "live").ends(0).says("imported 3 objects")
        desk.run("plan", "-f", "live").ends(0).says("no steps", "vm/100", "storage/local-lvm")

        desk.document("vm", machine())
        desk.document("ct", container())
        desk.document("pool", pool())
        plan = desk.carry_out()
        assert plan["risk"] == "low" and plan["impacts"] == [] and plan["unknowns"] == [], plan
        assert sorted(titles(plan)) == [
            "create ct/300 ct-300 on pve1", "create vm/200 vm-200 on pve1", "make pool/both", "set pool/both + 200, 300",
            "start ct/300", "start vm/200",
        ], titles(plan)
        vm, ct = cluster.config(200), cluster.config(300)
        assert (vm["cores"], vm["memory"], vm["name"]) == (2, "1024", "vm-200"), vm
        assert re.fullmatch(r"virtio=BC(:[0-9A-F]{2}){5},bridge=vmbr0", vm["net0"]), vm
        assert cluster.disks(200) == {"vm-200-disk-0": 4 * GIB}, cluster.disks(200)
        assert (ct["cores"], ct["memory"], ct["hostname"], ct["unprivileged"]) == (1, 512, "ct-300", 1), ct
        assert (cluster.power(200), cluster.power(300)) == ("running", "running")
        assert cluster.tell(lambda pve: pve.pools) == {"both": {200, 300}}

        wanted = "tags: [b, a]\n  description: changed\n  onBoot: true"
        desk.document("vm", machine(cores=4, memory="2Gi", more=wanted))
        desk.document("ct", container(cores=2, memory="1Gi", more=wanted))
        plan = desk.carry_out()
        said = {(change["object"], change["field"]): change["effect"] for change in plan["changes"]}
        assert said[("vm/200", "cores")] == "at the next stop and start" and said[("ct/300", "cores")] == "at once", said
        vm, ct = cluster.config(200), cluster.config(300)
        assert (vm["cores"], vm["tags"], vm["onboot"]) == (2, "a;b", "1"), vm
        assert cluster.tell(lambda pve: pve.guest(200).pending) == {"cores": "4", "memory": "2048"}
        assert (ct["cores"], ct["memory"], ct["tags"]) == (2, 1024, "a;b"), ct

        desk.document("vm", machine(power="stopped", cores=4, memory="2Gi", more=wanted))
        desk.document("ct", container(power="stopped", cores=2, memory="1Gi", root="6Gi", more=wanted))
        plan = desk.carry_out()
        assert {(impact["entity"], impact["category"]) for impact in plan["impacts"]} == {
            ("vm/200", "stopped"), ("ct/300", "stopped"), ("ct/300", "irreversible"),
        }, plan["impacts"]
        assert (cluster.power(200), cluster.power(300)) == ("stopped", "stopped")
        assert cluster.config(300)["rootfs"] == "local-lvm:vm-300-disk-0,size=6G", cluster.config(300)

        # The machine is started by hand: what waited comes into force, and the start is drift.
        start = cluster.tell(lambda pve: pve._do_start(pve.guest(200), "root@pam", {}))
        assert start.startswith("UPID:"), start
        while cluster.power(200) != "running":
            time.sleep(0.01)
        assert cluster.config(200)["cores"] == "4"
        plan = desk.carry_out()
        assert titles(plan) == ["shut down vm/200"], titles(plan)

        for name in ("vm", "ct", "pool"):
            desk.withdraw(name)
        desk.document("empty", f"{HEADER}Pool\nmetadata: {{name: other}}\nspec: {{comment: stays}}\n")
        plan = desk.carry_out()
        assert {"destroy vm/200", "destroy ct/300"} <= {" ".join(title.split()[:2]) for title in titles(plan)}, titles(plan)
        assert (cluster.config(200), cluster.config(300)) == (None, None)
        assert cluster.disks(200) == {} and set(cluster.tell(lambda pve: pve.pools)) == {"other"}
        assert cluster.config(100) == old and cluster.power(100) == "running" and cluster.disks(100) == {"vm-100-disk-0": 8 * GIB}
        for mistake in cluster.pve.mistakes:
            assert mistake.seen > 0, f"no longer wrong, so it can go from the list: {mistake.path.pattern}"


CASES = [the_whole_loop]


def main(program, *names):
    for case in CASES:
        if not names or case.__name__ in names:
            begun = time.monotonic()
            case(program)
            print(f"fakepve: {case.__name__.replace('_', ' ')} ({time.monotonic() - begun:.1f} s)", flush=True)


main(*sys.argv[1:])
