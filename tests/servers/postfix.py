"""A Postfix of the tests' own, which relays all that it takes to another server.

In a test::

    with Postfix(authority, relay_to=journal.port) as postfix:
        ...send something to postfix.host, postfix.port("plain")...
        (mail,) = journal.wait_for(1)

It has its own configuration, queue and log in a new folder below ``/tmp``, and touches
no other Postfix of the machine. Each of its ports is a server of another kind: see
`PORTS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from .ports import free_port
from .tls import Authority

WAIT_SECONDS = 30.0
"""How long Postfix may take to start and to end."""

USER, PASSWORD, REALM = "ada", "correct horse", "postfix.test"
QUOTA = "full@example.org"
REFUSED, DEFERRED = "refused@example.org", "deferred@example.org"
SIZE_LIMIT_BYTES = 1_000_000

_LOGIN = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_auth_only": "yes",
    "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
}

PORTS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "no chunking": {"smtpd_discard_ehlo_keywords": "chunking"},
    "no pipelining": {"smtpd_discard_ehlo_keywords": "chunking,pipelining"},
    "bare": {
        "smtpd_discard_ehlo_keywords": "chunking,pipelining,size,8bitmime,dsn,"
        "enhancedstatuscodes,smtputf8"
    },
    "starttls": {"smtpd_tls_security_level": "encrypt"},
    "tls": {"smtpd_tls_wrappermode": "yes", "smtpd_tls_security_level": "encrypt"},
    "login": _LOGIN,
    "cram-md5": {**_LOGIN, "smtpd_sasl_mechanism_filter": "cram-md5"},
    "only plain": {**_LOGIN, "smtpd_sasl_mechanism_filter": "plain"},
    "only login": {**_LOGIN, "smtpd_sasl_mechanism_filter": "login"},
    "quota": {"smtpd_end_of_data_restrictions": "$quota_checks"},
    "few": {
        "smtpd_client_connection_count_limit": "2",
        "smtpd_client_event_limit_exceptions": "",
    },
}
"""What each kind of port has set beyond `_MAIN`."""

_MAIN = """\
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/spool
data_directory = {folder}/lib
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
myhostname = postfix.test
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{relay_to}
smtp_tls_security_level = none
smtp_bind_address = 127.0.0.1
smtputf8_enable = yes
message_size_limit = {size_limit}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
    check_recipient_access inline:{{
        {{ {refused} = 550 5.1.1 no such person }},
        {{ {deferred} = 450 4.2.1 not now }} }}
quota_checks = check_recipient_access inline:{{
    {{ {quota} = 450 4.7.1 quota exceeded }} }}
smtpd_peername_lookup = no
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_chain_files =
smtpd_sasl_local_domain = {realm}
smtpd_sasl_security_options = noanonymous
cyrus_sasl_config_path = {folder}/etc/sasl
"""

_MASTER = """\
postlog   unix-dgram n - n - 1 postlogd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
"""

_SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb2
mech_list: CRAM-MD5 PLAIN LOGIN
"""


def why_absent() -> str | None:
    """Why no Postfix can be started here, or None if one can."""
    if os.geteuid() != 0:
        return "Postfix needs root to start"
    for command in ("postfix", "saslpasswd2"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    return None


class Postfix:
    """The server; a context manager. Nothing of it is left afterwards."""

    host = "127.0.0.1"

    def __init__(self, authority: Authority, *, relay_to: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self._ports = {kind: free_port() for kind in PORTS}
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(authority, relay_to)

    def port(self, kind: str) -> int:
        """Where the server of this kind listens."""
        return self._ports[kind]

    @property
    def log(self) -> str:
        """All that it wrote into its log."""
        path = self.folder / "mail.log"
        return path.read_text() if path.exists() else "(no log)"

    def __enter__(self) -> Self:
        with (self.folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                ["postfix", "-c", self.folder / "etc", "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_listens(self._process)
        except BaseException:
            self._end(self._process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._end(self._process)

    def _configure(self, authority: Authority, relay_to: int) -> None:
        self.folder.chmod(0o755)
        for name in ("spool", "lib", "etc/sasl"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "lib", "postfix")
        certificate, key = authority.files(self.host)
        main = _MAIN.format(
            folder=self.folder,
            relay_to=relay_to,
            certificate=certificate,
            key=key,
            realm=REALM,
            refused=REFUSED,
            deferred=DEFERRED,
            quota=QUOTA,
            size_limit=SIZE_LIMIT_BYTES,
        )
        (self.folder / "etc" / "main.cf").write_text(main)
        services = [self._service(kind) for kind in PORTS]
        (self.folder / "etc" / "master.cf").write_text(_MASTER + "".join(services))
        (self.folder / "etc" / "sasl" / "smtpd.conf").write_text(
            _SASL.format(folder=self.folder)
        )
        self._add_user()

    def _service(self, kind: str) -> str:
        options = "".join(
            f"  -o {name}={value}\n" for name, value in PORTS[kind].items()
        )
        return f"{self.host}:{self.port(kind)} inet n - n - - smtpd\n{options}"

    def _add_user(self) -> None:
        users = self.folder / "sasldb2"
        subprocess.run(
            ["saslpasswd2", "-p", "-c", "-u", REALM, "-f", users, USER],
            input=PASSWORD.encode(),
            check=True,
            timeout=WAIT_SECONDS,
        )
        shutil.chown(users, "postfix")

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._listens():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "said").read_text()
                raise AssertionError(f"Postfix did not start: {said}\n{self.log}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        for port in self._ports.values():
            try:
                socket.create_connection((self.host, port)).close()
            except ConnectionRefusedError:
                return False
        return True

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the master, which ends its own, and then what started it."""
        try:
            self._signal_master(signal.SIGTERM)
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal_master(signal.SIGKILL)
            process.kill()
            process.wait(WAIT_SECONDS)
            raise
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _signal_master(self, what: signal.Signals) -> None:
        """The master leads a process group of its own: all that it started."""
        pid = self.folder / "spool" / "pid" / "master.pid"
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.killpg(int(pid.read_text()), what)
