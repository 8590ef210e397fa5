"""A name server on loopback that knows one zone, over UDP and TCP.

::

    with NameServer({"example.com": [("MX", "10 mail.example.com.")]}) as server:
        ...ask server.place...

A name that is neither in the zone nor above one that is does not exist. Names in
``silent`` get SERVFAIL. A text may be longer than a string of a TXT record.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

Zone = Mapping[str, Sequence[tuple[str, str]]]

UDP_BYTES = 512


class NameServer:
    """The server; a context manager. ``asked`` has each name and type that came."""

    def __init__(self, zone: Zone, silent: Collection[str] = ()) -> None:
        self._zone = zone
        self._silent = silent
        self.asked: list[tuple[str, str]] = []
        self._udp, self._tcp = self._bound()
        self.place = f"127.0.0.1:{self._udp.server_address[1]}"
        self._threads = [
            threading.Thread(target=one.serve_forever, args=[0.05], daemon=True)
            for one in (self._udp, self._tcp)
        ]

    def _bound(self) -> tuple[_Udp, _Tcp]:
        """Both on one port, which must be free for both."""
        while True:
            udp = _Udp(("127.0.0.1", 0), _UdpHandler, self)
            try:
                return udp, _Tcp(udp.server_address, _TcpHandler, self)
            except OSError:
                udp.server_close()

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server, thread in zip((self._udp, self._tcp), self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, wire: bytes, most_bytes: int) -> bytes:
        """The answer to a question; truncated if it is longer than ``most_bytes``."""
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        question = query.question[0]
        name = str(question.name).rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self._silent:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            found = [_record(kind, text) for one, text in self._at(name) if one == kind]
            if found:
                response.answer.append(
                    dns.rrset.from_rdata_list(question.name, 60, found)
                )
        whole = response.to_wire(max_size=65535)
        if len(whole) <= most_bytes:
            return whole
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()

    def _at(self, name: str) -> Sequence[tuple[str, str]]:
        return self._zone.get(name, ())

    def _exists(self, name: str) -> bool:
        return any(one == name or one.endswith(f".{name}") for one in self._zone)


def _record(kind: str, text: str) -> dns.rdata.Rdata:
    if kind != "TXT":
        return dns.rdata.from_text(dns.rdataclass.IN, kind, text)
    encoded = text.encode()
    strings = [encoded[at : at + 255] for at in range(0, len(encoded), 255)]
    return dns.rdtypes.ANY.TXT.TXT(
        dns.rdataclass.IN, dns.rdatatype.TXT, strings or [b""]
    )


class _Udp(socketserver.ThreadingUDPServer):
    def __init__(self, address: Any, handler: Any, owner: NameServer) -> None:
        super().__init__(address, handler)
        self.owner = owner


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self, address: Any, handler: Any, owner: NameServer) -> None:
        super().__init__(address, handler)
        self.owner = owner


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, link = self.request
        answer = self.server.owner.answer(wire, UDP_BYTES)  # type: ignore[attr-defined]
        link.sendto(answer, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        (length,) = struct.unpack("!H", self.rfile.read(2))
        wire = self.rfile.read(length)
        answer = self.server.owner.answer(wire, 65535)  # type: ignore[attr-defined]
        self.wfile.write(struct.pack("!H", len(answer)) + answer)
