"""The whole loop of Bailiwick against fakepve: observe, plan, approve, apply, converge, for machines, containers and pools; then
under each of fakepve's own faults. Argument: the program. More arguments: only the cases of those names.

Not done here, because fakepve answers such calls without doing anything: growing and moving a machine's disk, HA, migration of a
machine. `what_is_said_to_be_done_but_is_not` looks at what Bailiwick makes of one of them."""

import re
import sys
import threading
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
        # Its access list names a user that its list of users lacks, so access rules are left out.
        desk.run("import", "--to", "live", "--only", "vm,storage").ends(0).says("imported 3 objects")
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


def old(memory="2Gi", more=""):
    """The machine that is there already."""
    return f"{HEADER}VirtualMachine\nmetadata: {{name: old}}\nspec:\n  vmid: 100\n  memory: {{size: {memory}}}\n  {more}\n"


CHANGED = "description: changed"


def run_stops(on, code, *says):
    """Submits, approves and runs a change of the old machine, which ends so."""
    plan = on.desk.plan()
    on.desk.approve(plan).ends(0)
    on.desk.ask("run", plan["hash"]).ends(code).says(*says)
    return plan


def a_configuration_lock_that_somebody_holds(program):
    """A machine's change is a task, which fails; a container's is a call, which is sent again until the lock is free."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        cluster.tell(lambda pve: pve.add_ct(301, "box", status="running"))
        desk.document("vm", old(more=CHANGED))
        cluster.tell(lambda pve: pve.hold_config_lock(100, None))
        run_stops(on, 1, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout")
        assert "description" not in cluster.config(100)
        cluster.tell(lambda pve: pve.release_config_lock(100))
        desk.carry_out()
        assert cluster.config(100)["description"] == "changed"
        assert [end == "OK" for end in cluster.tasks("qmconfig")] == [False, True], cluster.tasks("qmconfig")

        desk.document("ct", f"{HEADER}Container\nmetadata: {{name: box}}\nspec: {{vmid: 301, memory: 1Gi}}\n")
        plan = desk.plan()
        desk.approve(plan).ends(0)
        cluster.tell(lambda pve: pve.hold_config_lock(301, None))

        def released_after_the_first_call():
            while cluster.writes().count("PUT /nodes/pve1/lxc/301/config") < 2:
                time.sleep(0.02)
            cluster.tell(lambda pve: pve.release_config_lock(301))

        threading.Thread(target=released_after_the_first_call, daemon=True).start()
        desk.ask("run", plan["hash"]).ends(0)
        assert cluster.config(301)["memory"] == 1024, cluster.config(301)
        desk.settled()


def a_guest_locked_by_a_backup(program):
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        cluster.tell(lambda pve: pve.snapshot_lock(100, "backup"))
        desk.document("vm", old(more=CHANGED))
        plan = desk.plan()
        assert plan["risk"] == "high", plan
        assert [(impact["category"], impact["causes"]) for impact in plan["impacts"]] == [
            ("will-fail", ["vm/100 is locked (backup); wait until that ends"])
        ], plan["impacts"]
        desk.approve(plan).ends(0)
        desk.ask("run", plan["hash"]).ends(1).says("VM is locked (backup)")
        cluster.tell(lambda pve: pve.unlock(100))
        assert desk.carry_out()["risk"] == "low"
        assert cluster.config(100)["description"] == "changed"


def lost_quorum(program):
    """It is said before anybody approves; if it is lost later, nothing happens and nothing is lost."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.document("vm", old(more=CHANGED))
        plan = desk.plan()
        desk.approve(plan).ends(0)
        cluster.tell(lambda pve: pve.lose_quorum())
        superseded = desk.ask("run", plan["hash"]).ends(2).json()
        assert superseded["result"] == "superseded" and cluster.writes() == [], superseded
        plan = desk.plan()
        assert plan["hash"] == superseded["by"], plan["hash"]
        assert [impact["category"] for impact in plan["impacts"]] == ["will-fail"], plan["impacts"]
        assert "not quorate" in plan["impacts"][0]["causes"][0], plan["impacts"]
        desk.approve(plan).ends(0)
        desk.ask("run", plan["hash"]).ends(1).says("cluster not ready - no quorum?")
        assert "description" not in cluster.config(100)
        cluster.tell(lambda pve: pve.regain_quorum())
        desk.carry_out()
        assert cluster.config(100)["description"] == "changed"


def a_flaky_network(program):
    """Connections break before an answer, and answers are late. It may take several runs, but each write has its effect once, and
    nothing is said to be done that is not."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.document("vm", machine())
        desk.document("ct", container())
        plan = desk.plan()
        desk.approve(plan).ends(0)
        cluster.tell(lambda pve: pve.flaky_network(drop_rate=0.05, hang_rate=0.02, hang_secs=20))
        cluster.tell(lambda pve: pve.slow_network(1, jitter=1))
        cluster.tell(lambda pve: pve._random.seed(7))
        ends = until_settled(on, plan)
        cluster.tell(lambda pve: pve.flaky_network())
        cluster.tell(lambda pve: pve.slow_network(0))
        desk.settled()
        assert (cluster.power(200), cluster.power(300)) == ("running", "running")
        for kind in ("qmcreate", "vzcreate", "qmstart", "vzstart"):
            assert cluster.tasks(kind) == ["OK"], (kind, cluster.tasks(kind), ends)
        assert cluster.disks(200) == {"vm-200-disk-0": 4 * GIB}, cluster.disks(200)


def until_settled(on, plan):
    """Runs a plan, and those that follow it, until nothing is left to do; how every attempt ended."""
    ends = []
    for _ in range(40):
        ran = on.desk.ask("run", plan["hash"])
        ends.append(ran.code)
        assert ran.code in (0, 1, 3, 4), ran
        if ran.code == 4:
            continue
        planned = on.desk.ask("apply", "-f", "docs", "--prune")
        ends.append(planned.code)
        if planned.code == 0:
            return ends
        if planned.code == 2:
            plan = planned.json()
            on.desk.approve(plan)
    raise AssertionError(f"does not settle: {ends}")


def tasks_and_calls_that_fail(program):
    """What failed is said as Proxmox VE said it, the rest of the plan is not done, and another run takes up what is left."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.document("vm", machine())
        cluster.tell(lambda pve: pve.fail("POST", "/nodes/pve1/qemu", error="unable_read_qemu_server_conf", times=1))
        run_stops(on, 1, "unable to read qemu-server.conf")
        assert cluster.config(200) is None and "POST /nodes/pve1/qemu/200/status/start" not in cluster.writes()

        desk.document("vm", machine(power="stopped"))
        desk.carry_out()
        cluster.tell(lambda pve: setattr(pve.guest(200), "start_error", "start failed: QEMU exited with code 1"))
        desk.document("vm", machine())
        run_stops(on, 1, "start failed: QEMU exited with code 1")
        assert cluster.power(200) == "stopped"
        cluster.tell(lambda pve: setattr(pve.guest(200), "start_error", None))
        desk.carry_out()
        assert cluster.tasks("qmstart") == ["start failed: QEMU exited with code 1", "OK"], cluster.tasks("qmstart")

        # The guest does not go down in time.
        cluster.tell(lambda pve: setattr(pve.guest(200), "shutdown_secs", 100_000))
        desk.document("vm", machine(power="stopped"))
        run_stops(on, 1, "VM quit/powerdown failed - got timeout")
        assert cluster.power(200) == "running"


def answers_that_say_nothing(program):
    """A proxy's page and a time-out between the nodes do not say whether the change was made. It was not; so says the next run, which
    sends it."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        path = "/nodes/pve1/qemu/100/config"
        for status, html, says in ((502, True, "a body that is not Proxmox VE's"), (596, False, "Connection timed out")):
            text = f"changed {status}"
            desk.document("vm", old(more=f"description: {text}"))
            cluster.tell(lambda pve: pve.fail("POST", path, status, "Connection timed out", html=html, times=1))
            plan = run_stops(on, 4, "undetermined", says)
            assert cluster.config(100).get("description") != text
            desk.ask("run", plan["hash"]).ends(0)
            assert cluster.config(100)["description"] == text
            desk.settled()


def a_node_that_is_gone(program):
    """What lies on it cannot be planned; what does not is not hindered."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.document("vm", old(more=CHANGED))
        cluster.tell(lambda pve: pve.set_node_offline("pve2"))
        desk.carry_out()
        cluster.tell(lambda pve: pve.set_node_offline("pve2", False))
        cluster.tell(lambda pve: pve.set_node_offline("pve1"))
        desk.document("vm", old(more="description: again"))
        why = "the configuration of guest 100 could not be read (node pve1: the node is offline), so nothing can be planned on it"
        desk.ask("apply", "-f", "docs", "--prune").ends(1).says(why)
        cluster.tell(lambda pve: pve.set_node_offline("pve1", False))
        desk.carry_out()
        assert cluster.config(100)["description"] == "again"


def a_storage_that_is_down(program):
    """How much is free on it is not known, and that is what the plan says; the creation fails and leaves nothing."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        cluster.tell(lambda pve: pve.add_ceph_storage("ceph"))
        cluster.tell(lambda pve: pve.ceph_down())
        desk.document("vm", machine(power="stopped").replace("local-lvm", "ceph"))
        plan = desk.plan()
        assert plan["risk"] == "unknown", plan
        assert [(impact["entity"], impact["category"]) for impact in plan["impacts"]] == [("storage/ceph", "unknown")], plan["impacts"]
        desk.approve(plan).ends(0)
        desk.ask("run", plan["hash"]).ends(1).says("unable to create VM 200 - storage 'ceph' is not online")
        assert cluster.config(200) is None
        cluster.tell(lambda pve: pve.ceph_recover())
        desk.carry_out()
        assert cluster.config(200)["scsi0"] == "ceph:vm-200-disk-0,size=4G", cluster.config(200)


def somebody_else_was_faster(program):
    """A change by hand between plan and run: nothing is sent, and the next plan stands on what is there now."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        desk.document("vm", old(memory="3Gi"))
        plan = desk.plan()
        desk.approve(plan).ends(0)
        cluster.tell(lambda pve: pve.guest(100).config.update(memory=4096))
        superseded = desk.ask("run", plan["hash"]).ends(2).json()
        assert superseded["result"] == "superseded", superseded
        assert cluster.writes() == [], cluster.writes()
        plan = desk.carry_out()
        assert plan["hash"] == superseded["by"], plan["hash"]
        changes = plan["changes"]
        assert [(change["field"], change["before"], change["after"]) for change in changes] == [("memory", "4096", "3072")], changes


def what_the_token_may_not(program):
    """The privileges are missing at plan time, before any write; a token that is gone is said to be gone."""
    with Setting(program) as on:
        cluster, desk = on.cluster, on.desk
        reads = ("VM.Audit", "Sys.Audit", "Datastore.Audit", "Datastore.Allocate", "SDN.Audit", "Pool.Audit")
        cluster.tell(lambda pve: pve.grant(TOKEN, "/", *reads))
        desk.document("vm", old(more=CHANGED))
        desk.ask("apply", "-f", "docs", "--prune").ends(1).says("lacks `VM.Config.Options` on `/vms/100`")
        cluster.tell(lambda pve: pve.grant(TOKEN, "/vms/100", "VM.Config.Options", *reads))
        desk.carry_out()
        cluster.tell(lambda pve: pve.apitokens.clear())
        desk.ask("plan", "-f", "docs").ends(1).says(f"does not accept the API token {TOKEN}")


def what_is_said_to_be_done_but_is_not(program):
    """fakepve says OK to growing a machine's disk and does nothing. A real one grows it."""
    with Setting(program) as on:
        desk = on.desk
        desk.document("vm", old(more="disks: {scsi0: {size: 9Gi}}"))
        run_stops(on, 1, "not as predicted", "size=9G` was predicted", "size=8G` is")
        assert titles(desk.ask("plan", "-f", "docs").ends(2).json()) == ["grow vm/100 scsi0 8 GiB \u2192 9 GiB"]


def as_it_comes(program):
    """None of its mistakes is put right. Each part that makes no sense is named as not seen; a plan that needs one of them is not made
    or is of unknown risk; and a plan that needs none goes through."""
    with Setting(program, corrected=False) as on:
        cluster, desk = on.cluster, on.desk
        desk.made.ends(0).says(
            "not all of it can be seen", "the configuration of guest 100: Proxmox VE gave it without a digest",
            "the replication jobs: a replication job names no valid guest or target",
            "the HA resources: an HA resource has no valid id: `fake`",
        )
        desk.document("vm", old(more=CHANGED))
        desk.ask("apply", "-f", "docs", "--prune").ends(1).says("the configuration of guest 100 could not be read", "without a digest")
        desk.withdraw("vm")

        desk.document("new", machine(power="stopped"))
        plan = desk.plan()
        assert plan["risk"] == "unknown" and [unknown["what"] for unknown in plan["unknowns"]] == ["the HA resources"], plan
        assert {impact["category"] for impact in plan["impacts"]} == {"unknown"}, plan["impacts"]
        desk.approve(plan).ends(0)
        # It is made; that it became what was planned cannot be seen, and is not said.
        desk.ask("run", plan["hash"]).ends(4).says("done, but what it left cannot be read", "without a digest")
        desk.withdraw("new")

        desk.document("pool", pool(guests="[]"))
        plan = desk.ask("apply", "-f", "docs").ends(2).json()
        assert (titles(plan), plan["risk"], plan["unknowns"]) == (["make pool/both"], "low", []), plan
        desk.approve(plan).ends(0)
        desk.ask("run", plan["hash"]).ends(0)
        assert cluster.tell(lambda pve: pve.pools) == {"both": set()}


CASES = [
    the_whole_loop, somebody_else_was_faster, a_configuration_lock_that_somebody_holds, a_guest_locked_by_a_backup, lost_quorum,
    a_flaky_network, tasks_and_calls_that_fail, answers_that_say_nothing, a_node_that_is_gone, a_storage_that_is_down,
    what_the_token_may_not, what_is_said_to_be_done_but_is_not, as_it_comes,
]


def main(program, *names):
    for case in CASES:
        if not names or case.__name__ in names:
            begun = time.monotonic()
            case(program)
            print(f"fakepve: {case.__name__.replace('_', ' ')} ({time.monotonic() - begun:.1f} s)", flush=True)


main(*sys.argv[1:])
