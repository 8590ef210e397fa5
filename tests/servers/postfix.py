"""A private Postfix, which relays all accepted mail to another server.

In a test::

    with Postfix(authority, relay_to=journal.port) as postfix:
        ...send something to postfix.host, postfix.port("plain")...
        (mail,) = journal.wait_for(1)

With ``transports={"example.com": "lmtp:inet:127.0.0.1:2400"}`` mail to that domain goes
there instead.

It has its own configuration, queue and log in a new folder below ``/tmp``, and touches
no other Postfix of the machine. Each of its ports is a server of another kind: see
`PORTS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.waiting import WAIT_SECONDS

from .ports import free_port
from .program import ServerProgram
from .tls import Authority

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
"""The settings of each kind of port, besides `_MAIN`."""

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
transport_maps = {transports}
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
lmtp      unix - - n - - lmtp
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


def _inline(table: Mapping[str, str]) -> str:
    """A table in the configuration itself; Postfix takes no empty one."""
    rows = ", ".join(f"{{ {name} = {value} }}" for name, value in table.items())
    return f"inline:{{ {rows} }}" if rows else ""


class Postfix(ServerProgram):
    """The server."""

    def __init__(
        self,
        authority: Authority,
        *,
        relay_to: int,
        transports: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._ports = {kind: free_port() for kind in PORTS}
        self._transports = transports or {}
        self._configure(authority, relay_to)

    def port(self, kind: str) -> int:
        """Where the server of this kind listens."""
        return self._ports[kind]

    @property
    def command(self) -> Iterable[str | Path]:
        """The command that runs it in the foreground."""
        return "postfix", "-c", self.folder / "etc", "start-fg"

    @property
    def ports(self) -> Iterable[int]:
        """The ports that it listens on."""
        return self._ports.values()

    @property
    def log(self) -> str:
        """The text of its log."""
        path = self.folder / "mail.log"
        return path.read_text() if path.exists() else "(no log)"

    def end(self) -> None:
        """End the master, which ends its own, and then what started it."""
        try:
            self._signal_master(signal.SIGTERM)
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal_master(signal.SIGKILL)
            super().end()
            raise

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
            transports=_inline(self._transports),
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

    def _signal_master(self, what: signal.Signals) -> None:
        """The master leads a process group of its own: all that it started."""
        pid = self.folder / "spool" / "pid" / "master.pid"
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.killpg(int(pid.read_text()), what)
