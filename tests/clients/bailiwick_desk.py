"""A folder set up with `bailiwick init`, and the program run in it: what the tests against other people's clusters stand on."""

import json
import os
import pathlib
import subprocess
import tempfile


class Ran:
    """What the program said, and how it ended."""

    def __init__(self, command, done):
        self.command, self.code, self.out, self.err = command, done.returncode, done.stdout, done.stderr

    def ends(self, code):
        assert self.code == code, f"{self}\nexpected exit code {code}"
        return self

    def json(self):
        return json.loads(self.out)

    def says(self, *texts):
        for text in texts:
            assert text in self.out + self.err, f"{self}\nexpected: {text}"
        return self

    def __str__(self):
        return f"{' '.join(self.command)}: exit {self.code}\n{self.out}\n{self.err}"


class Desk:
    """An installation for one cluster, with one person who may approve."""

    def __init__(self, program, url, fingerprint, token, secret):
        self.program = os.path.abspath(program)
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.path / "anna")]
        subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
        self.private("token", f"{token}={secret}\n")
        self.made = self.run(
            "init", "--yes", "--name", "strange", "--endpoint", url, "--fingerprint", fingerprint, "--token-file", "token",
            "--signer-key", "anna.pub", "--signer", "anna",
        )
        if self.made.code != 0:
            return
        configuration = self.path / "bailiwick.yaml"
        text = configuration.read_text()
        own = "defaultPrincipal: person:anna"
        assert own in text, text
        sources = 'sources: {"agent:demo": {prune: true, fuse: {count: 100, share: 1.0}}}'
        configuration.write_text(text.replace(own, f"{sources}\ndefaultPrincipal: agent:demo"))
        (self.path / "docs").mkdir()

    def private(self, name, text):
        file = self.path / name
        file.touch(mode=0o600)
        file.write_text(text)

    def run(self, *arguments):
        """Runs the program to its end, with a clean environment."""
        environment = {"BAILIWICK_POLL_MS": "10", "BAILIWICK_SETTLE_MS": "400"}
        command = [self.program, *arguments]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=60)
        return Ran(command, done)

    def ask(self, *arguments):
        """Runs the program with its answer as JSON."""
        return self.run(*arguments, "-o", "json")

    def document(self, name, text):
        (self.path / "docs" / f"{name}.yaml").write_text(text)

    def withdraw(self, name):
        (self.path / "docs" / f"{name}.yaml").unlink()

    def plan(self):
        """Submits the documents; the plan, which waits for approval."""
        return self.ask("apply", "-f", "docs", "--prune").ends(2).json()

    def approve(self, plan):
        """Approves, every impact seen and every unknown named."""
        arguments = ["approve", plan["hash"], "--key", "anna", "--impacts", "all"]
        unknowns = ",".join(unknown["id"] for unknown in plan["unknowns"])
        if unknowns:
            arguments += ["--unknowns", unknowns]
        return self.ask(*arguments)

    def carry_out(self):
        """Submits, approves and runs; the plan. Afterwards nothing is left to do."""
        plan = self.plan()
        self.approve(plan).ends(0)
        self.ask("run", plan["hash"]).ends(0)
        self.settled()
        return plan

    def settled(self):
        """Planning what is submitted finds nothing to do."""
        return self.ask("plan", "-f", "docs", "--prune").ends(0)
