"""The local connector, spoken from its description alone (rfc/, RFC 3): nothing of the project's own code is used here.

A Connection sends requests and hands out the messages that arrive. It exists to check the wire from outside, so it
knows as little as possible and believes nothing.
"""

import json
import os
import socket
import struct

REQUEST, RESPONSE, EVENT, CONTROL = 1, 2, 4, 8
FLAG_TOPIC, FLAG_PAYLOAD, FLAG_NORESPONSE, FLAG_ROUTE, FLAG_STREAMING = 0x01, 0x02, 0x04, 0x08, 0x40
NODEID_ANY = 0xFFFFFFFF
NODEID_UPSTREAM = 0xFFFFFFFE
UNKNOWN = 0xFFFFFFFF
FRAME_MAGIC = 0xFFEE0012
RECEIVE_TIMEOUT_S = 30


class WireError(Exception):
    pass


def encode_part(data):
    if len(data) < 255:
        return bytes([len(data)]) + data
    return b"\xff" + struct.pack(">I", len(data)) + data


def decode_parts(data):
    parts, at = [], 0
    while at < len(data):
        length, at = data[at], at + 1
        if length == 255:
            (length,) = struct.unpack_from(">I", data, at)
            at += 4
        if at + length > len(data):
            raise WireError("a part is longer than its frame")
        parts.append(data[at : at + length])
        at += length
    return parts


class Message:
    """One message as it came: routes, topic, payload bytes, and the fixed header's fields."""

    def __init__(self, parts):
        header = parts.pop()
        if len(header) != 20:
            raise WireError(f"the last part has {len(header)} bytes, a header has 20")
        magic, version, self.type, self.flags, self.userid, self.rolemask, self.aux1, self.aux2 = struct.unpack(
            ">BBBBIIII", header
        )
        if (magic, version) != (0x8E, 1):
            raise WireError(f"magic {magic:#x} version {version}")
        self.routes, self.topic, self.payload = [], None, None
        if self.flags & FLAG_ROUTE:
            while parts and parts[0]:
                self.routes.append(parts.pop(0).decode())
            if not parts:
                raise WireError("no delimiter after the routes")
            parts.pop(0)
        if self.flags & FLAG_TOPIC:
            self.topic = parts.pop(0).decode()
        if self.flags & FLAG_PAYLOAD:
            self.payload = parts.pop(0)
        if parts:
            raise WireError(f"{len(parts)} parts that no flag announces")

    @property
    def errnum(self):
        return self.aux1

    @property
    def matchtag(self):
        return self.aux2

    @property
    def streaming(self):
        return bool(self.flags & FLAG_STREAMING)

    def text(self):
        """The payload as text: JSON and error texts travel with one terminating NUL."""
        if self.payload is None:
            return None
        if not self.payload.endswith(b"\0"):
            raise WireError(f"{self.topic}: the payload has no terminating NUL: {self.payload!r}")
        return self.payload[:-1].decode()

    def json(self):
        text = self.text()
        return None if text is None else json.loads(text)


class Connection:
    def __init__(self, uri=None):
        uri = uri or os.environ["FLUX_URI"]
        if not uri.startswith("local://"):
            raise WireError(f"{uri}: only local:// is spoken here")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(RECEIVE_TIMEOUT_S)
        self.socket.connect(uri[len("local://") :])
        accepted = self._read(1)
        if accepted != b"\0":
            raise WireError(f"refused with errno {accepted[0]}")

    def close(self):
        self.socket.close()

    def _read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise WireError("the broker closed the connection")
            data += more
        return data

    def request(self, topic, payload, matchtag, nodeid=NODEID_ANY, flags=0):
        """payload: None, bytes as they are, or a value to be encoded as JSON."""
        flags |= FLAG_TOPIC | FLAG_ROUTE
        parts = [b"", topic.encode()]
        if payload is not None:
            flags |= FLAG_PAYLOAD
            parts.append(payload if isinstance(payload, bytes) else json.dumps(payload).encode() + b"\0")
        parts.append(struct.pack(">BBBBIIII", 0x8E, 1, REQUEST, flags, UNKNOWN, 0, nodeid, matchtag))
        body = b"".join(encode_part(part) for part in parts)
        self.socket.sendall(struct.pack("=I", FRAME_MAGIC) + struct.pack(">I", len(body)) + body)

    def receive(self):
        magic, size = struct.unpack("=I", self._read(4))[0], struct.unpack(">I", self._read(4))[0]
        if magic != FRAME_MAGIC:
            raise WireError(f"frame magic {magic:#x}")
        return Message(decode_parts(self._read(size)))
