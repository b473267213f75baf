#!/usr/bin/env python3
"""Plays recorded conversations to a broker and compares every answer with its recorded shape.

    run.py [-v] FILE...        needs FLUX_URI; FILE is one command's conversation (t/data/transcript)

A file's lines, in order:

    # text                                   a comment
    > TOPIC [FLAGS] PAYLOAD                   send a request: JSON, or hex:BYTES, or nothing
    < TOPIC [FLAGS] SHAPE                     await the next response with this tag (shape.py says what a shape is);
                                              an error's text stands as JSON string, "" where it has no payload;
                                              other payloads that are no JSON: bytes, hex:BYTES, or text and a string's shape
    <? TOPIC [FLAGS] SHAPE                    the same, if the next response has this shape; else it is left for the next line
    <~ TOPIC [FLAGS] [SHAPES]                 await as many responses, one of each shape, in any order
    e TOPIC SHAPE                             await the next event whose topic begins with TOPIC
    job NAME {OPTIONS} COMMAND...             submit a job, set $NAME to its id; options: tasks, nodes, cores, duration,
                                              urgency, flags, mock (run time of a mock job)
    wait NAME EVENT                           await an event in the job's log
    set NAME PATH                             set $NAME from the last response, PATH as a.0.b
    ! COMMAND                                 run a shell command, which has to succeed

FLAGS are tag=N, nodeid=N (or a variable), errnum=N, streaming, noresponse. In a payload, a string "$NAME" is replaced
by the variable; $UID, $SIZE, $OWNER and $HOSTLIST are there from the start. A name between braces in a topic or text,
{NAME}, is replaced likewise.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys

import shape
import wire

F58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def f58(number):
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = F58_ALPHABET[digit] + text
    return "f" + (text or "1")


class BadFile(Exception):
    pass


def jobspec(command, options):
    resources = {"type": "slot", "count": options.get("tasks", 1), "label": "task",
                 "with": [{"type": "core", "count": options.get("cores", 1)}]}
    if "nodes" in options:
        resources["count"] = -(-options.get("tasks", 1) // options["nodes"])
        resources = {"type": "node", "count": options["nodes"], "with": [resources]}
    system = {"duration": options.get("duration", 0), "cwd": os.getcwd(), "environment": {"PATH": os.environ["PATH"]}}
    if "mock" in options:
        system["exec"] = {"test": {"run_duration": options["mock"]}}
    return {"version": 1, "resources": [resources],
            "tasks": [{"command": command, "slot": "task", "count": {"per_slot": 1}}],
            "attributes": {"system": system}}


def sign(payload):
    header = f"version\0i1\0userid\0i{os.getuid()}\0mechanism\0snone\0"
    return ".".join([base64.b64encode(part.encode()).decode() for part in (header, payload)] + ["none"])


class Player:
    def __init__(self, verbose):
        self.verbose = verbose
        self.connection = wire.Connection()
        self.responses = {}  # by tag: those that came while another was awaited
        self.events = []
        self.last = None
        self.variables = {"UID": os.getuid()}
        for name, attribute in (("SIZE", "size"), ("HOSTLIST", "hostlist"), ("OWNER", "security.owner")):
            value = self.rpc("attr.get", {"name": attribute})["value"]
            self.variables[name] = int(value) if name == "SIZE" else value

    def rpc(self, topic, payload, tag=1000000):
        self.connection.request(topic, payload, tag)
        response = self.next_response(tag)
        if response.errnum:
            raise shape.Mismatch(f"{topic}: errno {response.errnum} {response.text()}")
        return response.json()

    def receive(self):
        message = self.connection.receive()
        if self.verbose:
            print(f"    {message.type} {message.topic} {message.aux1} {message.aux2} {message.payload}")
        if message.type == wire.RESPONSE:
            if message.routes:
                raise shape.Mismatch(f"{message.topic}: a response reached its client with routes {message.routes}")
            self.responses.setdefault(message.matchtag, []).append(message)
        elif message.type == wire.EVENT:
            self.events.append(message)
        else:
            raise shape.Mismatch(f"a message of type {message.type} reached a client")

    def next_response(self, tag):
        while not self.responses.get(tag):
            self.receive()
        return self.responses[tag].pop(0)

    def fill(self, value):
        """A request's payload with its variables."""
        if isinstance(value, str):
            if value.startswith("$"):
                return self.variables[value[1:]]
            return self.fill_text(value)
        if isinstance(value, list):
            return [self.fill(element) for element in value]
        if isinstance(value, dict):
            return {key: self.fill(member) for key, member in value.items()}
        return value

    def fill_text(self, text):
        return re.sub(r"\{(\w+)\}", lambda m: str(self.variables.get(m[1], m[0])), text)

    # --- the lines of a file

    def send(self, topic, flags, payload):
        bits = 0
        if "streaming" in flags:
            bits |= wire.FLAG_STREAMING
        if "noresponse" in flags:
            bits |= wire.FLAG_NORESPONSE
        nodeid = flags.get("nodeid", wire.NODEID_ANY)
        if payload.startswith("hex:"):
            body = bytes.fromhex(payload[4:])
        else:
            body = self.fill(json.loads(payload)) if payload else None
        self.connection.request(topic, body, int(flags.get("tag", 0)), int(nodeid), bits)

    def next_for(self, topic, flags):
        """The next response with this tag, whose outside is as it should be."""
        message = self.next_response(int(flags["tag"]))
        if message.topic != topic:
            raise shape.Mismatch(f"a response to {message.topic} where one to {topic} was due")
        if message.streaming != ("streaming" in flags):
            raise shape.Mismatch(f"{topic}: the streaming flag is {message.streaming}")
        errnum = int(flags.get("errnum", 0))
        if message.errnum != errnum:
            raise shape.Mismatch(f"{topic}: errno {message.errnum} ({message.payload}), expected {errnum}")
        return message

    def expect(self, topic, flags, expected):
        self.check(self.next_for(topic, flags), expected)

    def expect_perhaps(self, topic, flags, expected):
        message = self.next_response(int(flags["tag"]))
        try:
            self.check(message, expected)
        except shape.Mismatch:
            self.responses[message.matchtag].insert(0, message)

    def expect_each(self, topic, flags, expected):
        shapes = json.loads(expected)
        while shapes:
            value = self.next_for(topic, flags).json()
            found = [s for s in shapes if shape.matches(self.texts(s), value, self.variables)]
            if not found:
                raise shape.Mismatch(f"{topic}: {shape.short(value)} fits none of {len(shapes)} shapes still due")
            shapes.remove(found[0])

    def check(self, message, expected):
        topic = message.topic
        if expected.startswith("hex:") or expected == "bytes":
            self.last = (message.payload or b"").hex()
            if expected != "bytes" and self.last != self.fill_text(expected[4:]):
                raise shape.Mismatch(f"{topic}: payload {self.last}, expected {expected[4:]}")
        elif expected == "":
            if message.payload is not None:
                raise shape.Mismatch(f"{topic}: a payload where none was due: {message.payload}")
        elif message.errnum or expected.startswith("text "):
            expected = expected.removeprefix("text ")
            shape.compare(topic, self.texts(json.loads(expected)), message.text() or "", self.variables)
        else:
            if message.payload is None:
                raise shape.Mismatch(f"{topic}: no payload where one was due")
            self.last = message.json()
            shape.compare(topic, self.texts(json.loads(expected)), self.last, self.variables)

    def texts(self, value):
        """A shape with the names between braces filled in its strings."""
        if isinstance(value, str):
            return self.fill_text(value)
        if isinstance(value, list):
            return [self.texts(element) for element in value]
        if isinstance(value, dict):
            return {self.fill_text(key): self.texts(member) for key, member in value.items()}
        return value

    def expect_event(self, topic, expected):
        while True:
            while not self.events:
                self.receive()
            event = self.events.pop(0)
            if event.topic.startswith(topic):
                break
        if len(event.routes) != 1:
            raise shape.Mismatch(f"event {event.topic}: {len(event.routes)} routes, one is due (its publisher)")
        if expected:
            shape.compare(topic, json.loads(expected), event.json(), self.variables)
        elif event.payload is not None:
            raise shape.Mismatch(f"event {event.topic}: a payload where none was due: {event.payload}")

    def job(self, name, rest):
        options, end = json.JSONDecoder().raw_decode(rest)
        signed = sign(json.dumps(jobspec(rest[end:].split(), options)))
        answer = self.rpc("job-ingest.submit", {"J": signed, "urgency": options.get("urgency", 16),
                                                "flags": options.get("flags", 0)})
        self.variables[name] = answer["id"]
        self.variables[name + "_F58"] = f58(answer["id"])
        self.variables[name + "_J"] = signed

    def wait(self, name, event):
        tag = 1000001
        topic = "job-info.eventlog-watch"
        self.connection.request(topic, {"id": self.variables[name], "path": "eventlog", "flags": 0}, tag,
                                flags=wire.FLAG_STREAMING)
        while True:
            response = self.next_response(tag)
            if response.errnum:
                raise shape.Mismatch(f"job {name} has no event {event}: errno {response.errnum} {response.text()}")
            names = [json.loads(line)["name"] for line in response.json()["event"].splitlines()]
            if event in names:
                break
        self.connection.request(topic + "-cancel", {"matchtag": tag}, 0, flags=wire.FLAG_NORESPONSE)
        while not self.next_response(tag).errnum:
            pass

    def set(self, name, path):
        value = self.last
        for step in path.split("."):
            value = value[int(step) if isinstance(value, list) else step]
        self.variables[name] = value

    def play(self, line):
        kind, _, rest = line.partition(" ")
        exchanges = {">": self.send, "<": self.expect, "<?": self.expect_perhaps, "<~": self.expect_each}
        if kind in exchanges:
            found = re.fullmatch(r"(\S+)(?: \[([^]]*)\])? ?(.*)", rest)
            flags = dict((word.split("=", 1) + [True])[:2] for word in (found[2] or "").split())
            flags = {key: self.fill(value) if value is not True else True for key, value in flags.items()}
            exchanges[kind](self.fill_text(found[1]), flags, found[3].strip())
        elif kind == "e":
            topic, _, expected = rest.partition(" ")
            self.expect_event(topic, expected)
        elif kind in ("job", "wait", "set"):
            name, _, rest = rest.partition(" ")
            getattr(self, kind)(name, rest)
        elif kind == "!":
            subprocess.run(["bash", "-c", self.fill_text(rest)], check=True)
        else:
            raise BadFile(f"a line begins with {kind!r}")


def play_file(path, verbose):
    """None, or what differs."""
    player = Player(verbose)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if verbose:
                print(f"  {line}")
            try:
                player.play(line)
            except (shape.Mismatch, wire.WireError, BadFile, TimeoutError, subprocess.CalledProcessError,
                    ValueError, KeyError, LookupError) as error:
                return f"{path}:{number}: {type(error).__name__}: {error}"
    player.connection.close()
    return None


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-v", "--verbose", action="store_true")
    options.add_argument("files", nargs="+", metavar="FILE")
    arguments = options.parse_args()
    failed = 0
    files = [path for path in arguments.files if not os.path.isdir(path)]  # tree/ among t/data/transcript/*
    for path in files:
        difference = play_file(path, arguments.verbose)
        failed += difference is not None
        print(f"FAILED {difference}" if difference else f"ok {os.path.basename(path)}", flush=True)
    print(f"{len(files) - failed} of {len(files)} conversations as recorded")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
