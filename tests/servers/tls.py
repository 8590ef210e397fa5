"""A certificate authority of the tests' own (trustme).

::

    authority = Authority(tmp_path)
    server_side = authority.context("127.0.0.1")  # for a server
    authority.ca_file  # for settings.ca_file
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme

YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
LAST_WEEK = YESTERDAY - datetime.timedelta(days=6)


class Authority:
    """Issues certificates; ``ca_file`` is what a client needs to trust them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca_file = str(folder / f"ca-{id(self)}.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def context(
        self, *names: str, expired: bool = False, demanding: bool = False
    ) -> ssl.SSLContext:
        """The server side of TLS, with a certificate for these host names or IPs.

        ``demanding`` a certificate of ours from each client.
        """
        certificate = (
            self._ca.issue_cert(*names, not_before=LAST_WEEK, not_after=YESTERDAY)
            if expired
            else self._ca.issue_cert(*names)
        )
        context = _server_context()
        certificate.configure_cert(context)
        if demanding:
            self._ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def files(self, name: str) -> tuple[str, str]:
        """The PEM files of a certificate for ``name``, and of its key."""
        certificate = self._ca.issue_cert(name)
        paths = [self._folder / f"{name}-{id(self)}.{end}" for end in ("crt", "key")]
        certificate.cert_chain_pems[0].write_to_path(paths[0])
        certificate.private_key_pem.write_to_path(paths[1])
        return str(paths[0]), str(paths[1])

    def client_files(self, name: str) -> dict[str, str]:
        """The same, as settings of a client name them."""
        certificate, key = self.files(name)
        return {"client_cert_file": certificate, "client_key_file": key}

    def self_signed_context(self) -> ssl.SSLContext:
        """The server side of TLS, with a certificate that nobody else signed."""
        context = _server_context()
        with (
            self._ca.cert_pem.tempfile() as certificate,
            self._ca.private_key_pem.tempfile() as key,
        ):
            context.load_cert_chain(certificate, key)
        return context


def _server_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
