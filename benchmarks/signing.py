"""What a DKIM signature costs a mail: ours, dkimpy's, and OpenSSL's part of it.

All sign the same small mail with text and HTML, in turns, by the same keys. ``--quick``
is for a first look, ``--rounds N`` takes more or fewer turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from _figures import Figures, in_turns
from _machine import machine
from _results import Chart, add_json_option, write_results
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

import dkim
from flask_outbox import Message
from flask_outbox.config.dkim import as_dkim_keys
from flask_outbox.dkim import Signer
from flask_outbox.mime import compose

MAILS = 20
"""How many mails each way signs in one turn."""

Sign = Callable[[bytes], object]


def pem(private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """The key in PEM, in the form that dkimpy reads."""
    form = (
        PrivateFormat.TraditionalOpenSSL
        if isinstance(private, rsa.RSAPrivateKey)
        else PrivateFormat.PKCS8
    )
    return private.private_bytes(Encoding.PEM, form, NoEncryption())


def ways() -> dict[str, Sign]:
    """What signs, by name."""
    rivest = rsa.generate_private_key(65537, 2048)
    edwards = ed25519.Ed25519PrivateKey.generate()
    key, relaxed = pem(rivest), (b"relaxed", b"relaxed")
    scheme, digest = padding.PKCS1v15(), SHA256()
    return {
        "dkimpy, RSA": lambda content: dkim.sign(
            content, b"s1", b"example.com", key, canonicalize=relaxed
        ),
        "Flask-Outbox, RSA": signer(pem(rivest)).sign,
        "OpenSSL's RSA alone": lambda content: rivest.sign(content, scheme, digest),
        "Flask-Outbox, Ed25519": signer(pem(edwards)).sign,
        "Flask-Outbox, both": signer(pem(rivest), pem(edwards)).sign,
    }


def signer(*keys: bytes) -> Signer:
    """A signer with these keys."""
    entries = [
        {"domain": "example.com", "selector": f"s{number}", "key": key}
        for number, key in enumerate(keys)
    ]
    return Signer(as_dkim_keys("MAIL_DKIM_KEYS", entries))


def content() -> bytes:
    """A small mail with text and HTML."""
    text = "Hello Ada,\n\nyour order is on its way.\n\n" * 5
    return compose(
        Message(
            "Your order",
            ["ada@example.org"],
            text,
            f"<p>{text}</p>",
            sender="shop@example.com",
        )
    ).content


def measure(rounds: int) -> dict[str, Figures]:
    """The figures of all ways, in turns."""
    mail, signing = content(), ways()
    seconds: dict[str, list[list[float]]] = {name: [] for name in signing}
    for number in range(rounds):
        for name in in_turns(list(signing), number):
            samples = []
            for _ in range(MAILS):
                began = time.perf_counter()
                signing[name](mail)
                samples.append(time.perf_counter() - began)
            seconds[name].append(samples)
    return {name: Figures.of(samples) for name, samples in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--quick", action="store_true")
    add_json_option(parser)
    chosen = parser.parse_args()
    figures = measure(5 if chosen.quick else chosen.rounds)
    base = figures["Flask-Outbox, RSA"]
    print(f"{'per mail':24} {'p50':>9}   times Flask-Outbox with RSA")
    for name, one in figures.items():
        print(f"{name:24} {one.p50 * 1e6:6.0f} µs {one.beside(base)}")
    times = {name: one.p50 * 1e6 for name, one in figures.items()}
    ours = tuple(name for name in times if name.startswith("Flask-Outbox"))
    chart = Chart("A DKIM signature", "µs a mail, median", times, ours)
    write_results(chosen.json, machine(Path.cwd(), ("cryptography", "dkimpy")), [chart])


if __name__ == "__main__":
    main()
