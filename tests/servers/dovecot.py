"""A private Dovecot with one mailbox, which is read by IMAP.

In a test::

    with Dovecot(authority) as dovecot:
        dovecot.deliver(b"Subject: hello\\r\\n\\r\\nHello\\r\\n")
        ...read the mail at dovecot.url...

It has its own configuration, mail and log in a new folder below ``/tmp``, and touches
no other Dovecot of the machine. It runs as the user who runs the tests; for root, who
may not log in, its processes but the first are those of ``nobody``.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from tests.waiting import WAIT_SECONDS

from .ports import free_port
from .program import ServerProgram
from .tls import Authority

USER, PASSWORD = "bounces", "horse@1"

_BINARY = "/usr/sbin/dovecot"

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
default_internal_user = {owner}
default_internal_group = {group}
default_login_user = {owner}
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{folder}/mail
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={folder}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


def why_absent() -> str | None:
    """Why no Dovecot can be started here, or None if one can."""
    if not Path(_BINARY).exists() or not Path("/usr/lib/dovecot/imap").exists():
        return "dovecot-imapd is not installed"
    return None


class Dovecot(ServerProgram):
    """The server."""

    def __init__(self, authority: Authority) -> None:
        super().__init__()
        self.port, self.tls_port = free_port(), free_port()
        self._delivered = 0
        user = os.geteuid()
        self._owner = pwd.getpwuid(user) if user else pwd.getpwnam("nobody")
        self._configure(authority)

    @property
    def url(self) -> str:
        """Its mailbox, over TLS, with the password."""
        password = quote(PASSWORD, safe="")
        return f"imaps://{USER}:{password}@{self.host}:{self.tls_port}/INBOX"

    @property
    def command(self) -> Iterable[str | Path]:
        """The command that runs it in the foreground."""
        return _BINARY, "-F", "-c", self.folder / "dovecot.conf"

    @property
    def ports(self) -> Iterable[int]:
        """The ports that it listens on."""
        return self.port, self.tls_port

    @property
    def log(self) -> str:
        """The text of its log."""
        path = self.folder / "dovecot.log"
        return path.read_text() if path.exists() else "(no log)"

    def deliver(self, content: bytes, folder: str = "INBOX") -> None:
        """Put a mail into a folder."""
        self._delivered += 1
        place = self.mail if folder == "INBOX" else self.mail / f".{folder}"
        for name in ("cur", "new", "tmp"):
            self._make(place / name)
        name = f"{self._delivered}.test"
        (place / "tmp" / name).write_bytes(content)
        self._own(place / "tmp" / name)
        (place / "tmp" / name).rename(place / "new" / name)

    def mails_in(self, folder: str) -> int:
        """How many mails a folder has."""
        place = self.mail if folder == "INBOX" else self.mail / f".{folder}"
        return sum(
            len(list((place / one).iterdir()))
            for one in ("cur", "new")
            if (place / one).is_dir()
        )

    @property
    def mail(self) -> Path:
        """The Maildir."""
        return self.folder / "mail"

    def restart(self) -> None:
        """End it, with all connections, and start it again on the same ports."""
        self.end()
        self.__enter__()

    def end(self) -> None:
        """End the master, which ends its own."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            super().end()
            raise

    def _configure(self, authority: Authority) -> None:
        self.folder.chmod(0o755)
        for name in ("mail", "home", "state"):
            self._make(self.folder / name)
        certificate, key = authority.files(self.host)
        text = _CONFIG.format(
            folder=self.folder,
            owner=self._owner.pw_name,
            group=grp.getgrgid(self._owner.pw_gid).gr_name,
            certificate=certificate,
            key=key,
            password=PASSWORD,
            port=self.port,
            tls_port=self.tls_port,
        )
        (self.folder / "dovecot.conf").write_text(text)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._own(folder)
        self._own(folder.parent)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0 and path != self.folder:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
