#!/usr/bin/env python3
"""Verifies a Bailiwick ledger. Written from docs/ledger-format.md alone; shares no code with Bailiwick.

    verify_ledger.py LEDGER.jsonl [...] --key FILE [--key FILE ...] [--checkpoints FILE --trust PUBLIC_KEY_HEX ...]

Exit code 0: it holds. 1: it does not, and standard output says where. Needs only the standard library; signatures of checkpoints are
checked when the `cryptography` package is there, and said to be skipped when it is not.
"""

import argparse
import hashlib
import hmac
import json
import re
import sys

MEMBERS = {"action", "actor", "at", "detail", "mac", "plan", "prev", "seq", "subject"}
CHECKPOINT_MEMBERS = {"at", "format", "key", "ledger", "mac", "seq", "signature"}
MAX_LINE = 1 << 18
HEX64 = re.compile(r"[0-9a-f]{64}\Z")


class Broken(Exception):
    pass


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def mac_of(key, data):
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def key_id(key):
    return mac_of(key, b"bailiwick-ledger/1 key-id")[:32]


def read_keys(paths):
    keys = {}
    for path in paths:
        with open(path, encoding="ascii") as file:
            key = bytes.fromhex(file.read().strip())
        if len(key) != 32:
            sys.exit(f"{path} does not hold 32 bytes")
        keys[key_id(key)] = key
    return keys


def no_fraction(text):
    raise ValueError(f"{text} is not a whole number")


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice")
    return members


def parse(line, members):
    """A canonical JSON object with exactly these members, or why not."""
    try:
        value = json.loads(
            line.decode("utf-8"), parse_float=no_fraction, parse_constant=no_fraction, object_pairs_hook=unique
        )
        if not isinstance(value, dict) or set(value) != members:
            raise ValueError("it does not have the members it must have")
        if canonical(value) != line:
            raise ValueError("it is not in canonical form")
    except (ValueError, RecursionError) as why:
        raise Broken(f"not a record: {why}") from None
    return value


def check_types(record):
    texts = all(isinstance(record[name], str) for name in ("action", "actor", "at", "mac", "prev", "subject"))
    if not texts or not isinstance(record["detail"], dict):
        raise Broken("a member has the wrong type")
    if record["plan"] is not None and not isinstance(record["plan"], str):
        raise Broken("`plan` has the wrong type")
    if type(record["seq"]) is not int:
        raise Broken("`seq` is not a number")
    if not HEX64.match(record["mac"]) or not HEX64.match(record["prev"]):
        raise Broken("a MAC is not 64 lower-case hexadecimal digits")


class Chain:
    def __init__(self, keys, checkpoints):
        self.keys = keys
        self.checkpoints = checkpoints
        self.key = None
        self.ledger = None
        self.seq = 0
        self.prev = "0" * 64

    def begin(self, record):
        detail = record["detail"]
        if record["action"] != "ledger-created" or detail.get("format") != "bailiwick-ledger/1":
            raise Broken("a ledger begins with `ledger-created` of format bailiwick-ledger/1")
        self.key = self.keys.get(detail.get("key"))
        if self.key is None:
            raise Broken(f"the ledger is under the key {detail.get('key')}, which was not given")
        self.ledger = detail.get("ledger")
        for checkpoint in self.checkpoints.values():
            if checkpoint["ledger"] != self.ledger:
                raise Broken("the checkpoints are of another ledger")

    def hand_over(self, record):
        detail = record["detail"]
        new = self.keys.get(detail.get("to"))
        if new is None:
            raise Broken(f"the key {detail.get('to')} takes over, which was not given")
        place = {
            "from": key_id(self.key),
            "ledger": self.ledger,
            "prev": self.prev,
            "seq": record["seq"],
            "to": key_id(new),
        }
        if not hmac.compare_digest(mac_of(new, canonical(place)), str(detail.get("seal"))):
            raise Broken("the hand-over is not sealed by the new key")
        self.key = new

    def take(self, line):
        if len(line) > MAX_LINE:
            raise Broken("the line is too long")
        record = parse(line, MEMBERS)
        check_types(record)
        if record["seq"] != self.seq + 1:
            raise Broken(f"record {record['seq']} stands in its place")
        if record["prev"] != self.prev:
            raise Broken("`prev` is not the MAC of the record before")
        if self.seq == 0:
            self.begin(record)
        mac = record.pop("mac")
        if not hmac.compare_digest(mac_of(self.key, canonical(record)), mac):
            raise Broken("it does not bear the MAC of the key in force")
        checkpoint = self.checkpoints.get(record["seq"])
        if checkpoint and checkpoint["mac"] != mac:
            raise Broken("a checkpoint knows another MAC for it: history was rewritten")
        if record["action"] == "key-rotated":
            self.hand_over(record)
        self.seq += 1
        self.prev = mac


def ed25519():
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None

    def holds(public, signature, data):
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), data)
        except (InvalidSignature, ValueError):
            return False
        return True

    return holds


def read_checkpoints(path, trusted):
    holds = ed25519()
    if holds is None:
        print("signatures of checkpoints: skipped, the Python package `cryptography` is not installed")
    found = {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"checkpoint line {number}"
            if not line.endswith(b"\n"):
                raise Broken(f"{where}: it has no end")
            checkpoint = parse(line[:-1], CHECKPOINT_MEMBERS)
            if checkpoint["format"] != "bailiwick-checkpoint/1":
                raise Broken(f"{where}: unknown format")
            if checkpoint["key"] not in trusted:
                raise Broken(f"{where}: signed by {checkpoint['key']}, which is not trusted")
            signature = checkpoint.pop("signature")
            if holds and not holds(checkpoint["key"], signature, canonical(checkpoint)):
                raise Broken(f"{where}: the signature is bad")
            before = found.setdefault(checkpoint["seq"], checkpoint)
            if before["mac"] != checkpoint["mac"]:
                raise Broken(f"{where}: contradicts an earlier one")
    return found


def verify(path, keys, checkpoints):
    chain = Chain(keys, checkpoints)
    with open(path, "rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n"):
                    raise Broken("its line has no end")
                chain.take(line[:-1])
            except Broken as why:
                raise Broken(f"record {chain.seq + 1}: {why}") from None
    if checkpoints and max(checkpoints) > chain.seq:
        raise Broken(f"record {chain.seq + 1}: the ledger ends before it, a checkpoint knows record {max(checkpoints)}")
    if chain.seq == 0:
        raise Broken("the ledger is empty")
    return chain


def main():
    arguments = argparse.ArgumentParser(description="Verifies a Bailiwick ledger.")
    arguments.add_argument("ledger", nargs="+")
    arguments.add_argument("--key", action="append", required=True, help="a key file; every key the ledger was ever under")
    arguments.add_argument("--checkpoints", help="a checkpoint file")
    arguments.add_argument("--trust", action="append", default=[], help="a public key that may sign checkpoints, hexadecimal")
    given = arguments.parse_args()
    keys = read_keys(given.key)
    try:
        checkpoints = read_checkpoints(given.checkpoints, given.trust) if given.checkpoints else {}
    except Broken as why:
        print(f"{given.checkpoints}: BROKEN: {why}")
        return 1
    worst = 0
    for path in given.ledger:
        try:
            chain = verify(path, keys, checkpoints)
            print(f"{path}: ok: {chain.seq} records, head {chain.prev}")
        except Broken as why:
            print(f"{path}: BROKEN: {why}")
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
