"""Reading a mailbox by IMAP (RFC 9051) to which reports about mail come.

Guarantees that each mail is taken once, also across restarts, and that none is passed
over: the outbox keeps how far the mailbox was read, behind what its mails report. Mails
stay where they are, unread, unless they are to be moved. Needs IMAPClient.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from imapclient import DELETED, IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientAbortError, IMAPClientError

from ..errors import ConfigError, StoreError, redacted
from ..feedback.incoming import READ_BYTES
from ..outbox import Outbox
from ..outbox.records import MailboxCursor
from . import Intake

AT_A_TIME = 20
"""How many mails are fetched at once."""

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 60.0

IDLE_SECONDS = 9 * 60.0
"""How long one IDLE lasts; after half an hour servers may close the connection
(RFC 2177)."""

POLL_SECONDS = 60.0
"""How often a server without IDLE is asked."""

LOOK_SECONDS = 0.5
"""How often it is looked whether to stop, without asking the server."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 300.0
"""The waits between attempts to connect; each is twice the one before."""

_PORTS = {"imaps": 993, "imap+starttls": 143}

_FETCHED = f"BODY.PEEK[]<0.{READ_BYTES}>"

_log = logging.getLogger("flask_outbox")


@dataclass(frozen=True, slots=True)
class MailboxUrl:
    """Where a mailbox is, and who reads it."""

    scheme: str
    user: str
    password: str = field(repr=False)
    host: str
    port: int
    folder: str

    @classmethod
    def read(cls, url: str) -> Self:
        """Read ``imaps://user:password@host:port/FOLDER``. Raises `ConfigError`, which
        does not show the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _unusable("its host or port is malformed") from None
        if parts.scheme not in _PORTS:
            raise _unusable("it does not begin with imaps:// or imap+starttls://")
        if not parts.hostname or not parts.username or not parts.password:
            raise _unusable("it lacks a host, a user or a password")
        return cls(
            scheme=parts.scheme,
            user=unquote(parts.username),
            password=unquote(parts.password),
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            folder=unquote(parts.path.strip("/")) or "INBOX",
        )

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.folder}"


def _unusable(why: str) -> ConfigError:
    return ConfigError(
        f"The mailbox's URL cannot be used: {why}. Write it as "
        "'imaps://user:password@imap.example.com/INBOX', with special characters of "
        "the password as %40."
    )


class Mailbox:
    """A mailbox that is read, from one thread, until `stop` is called from any."""

    def __init__(
        self,
        url: MailboxUrl,
        intake: Intake,
        outbox: Outbox,
        move_to: str | None = None,
    ) -> None:
        self._url = url
        self._intake = intake
        self._outbox = outbox
        self._move_to = move_to
        self._stopped = threading.Event()
        self._has_read = False
        """Whether it was ever read to its end."""

    def stop(self) -> None:
        """Have `read` return soon."""
        self._stopped.set()

    def read(self, *, once: bool = False) -> None:
        """Take each mail that is there, and that comes; ``once`` only what is there.

        Connects again whenever the connection is lost or the outbox is out of reach,
        after a wait that doubles. Raises `ConfigError` if the first login is refused,
        or the folder does not exist then; with ``once`` also whatever else goes wrong.
        """
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._read_connected(once=once)
                return
            except (IMAPClientError, OSError, StoreError) as error:
                if once or (not self._has_read and _is_refusal(error)):
                    raise ConfigError(self._said(error)) from error
                _log.warning("%s It is tried again.", self._said(error))
            if time.monotonic() - began > LONGEST_WAIT_SECONDS:
                wait_seconds = FIRST_WAIT_SECONDS
            self._stopped.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _said(self, error: Exception) -> str:
        said = str(error).removeprefix("b'").removesuffix("'").rstrip(".")
        return f"The mailbox {self._url} cannot be read: {redacted(said)}."

    def _read_connected(self, *, once: bool) -> None:
        with self._connected() as client:
            while not self._stopped.is_set():
                self._take_all(client)
                self._has_read = True
                if once:
                    return
                self._wait_for_mail(client)

    @contextmanager
    def _connected(self) -> Iterator[IMAPClient]:
        url = self._url
        client = IMAPClient(
            url.host,
            url.port,
            ssl=url.scheme == "imaps",
            ssl_context=ssl.create_default_context(),
            timeout=SocketTimeout(CONNECT_SECONDS, ANSWER_SECONDS),
        )
        try:
            if url.scheme == "imap+starttls":
                client.starttls(ssl.create_default_context())
            client.login(url.user, url.password)
            yield client
        finally:
            _close(client)

    def _take_all(self, client: IMAPClient) -> None:
        """Take what came since the cursor, in order."""
        folder = client.select_folder(self._url.folder, readonly=self._move_to is None)
        validity = int(folder[b"UIDVALIDITY"])
        name = str(self._url)[:255]
        cursor = self._outbox.mailbox_cursor(name)
        after = cursor.uid if cursor and cursor.uid_validity == validity else 0
        waiting = client.search(["UID", f"{after + 1}:*"])
        uids = sorted(uid for uid in waiting if uid > after)
        for at in range(0, len(uids), AT_A_TIME):
            some = uids[at : at + AT_A_TIME]
            if self._stopped.is_set():
                return
            self._take(client, some)
            self._outbox.note_mailbox_cursor(name, MailboxCursor(validity, some[-1]))

    def _take(self, client: IMAPClient, uids: Sequence[int]) -> None:
        fetched = client.fetch(uids, [_FETCHED])
        for uid in uids:
            self._intake.take(_content(fetched.get(uid, {})))
        if self._move_to is not None:
            _move(client, uids, self._move_to)

    def _wait_for_mail(self, client: IMAPClient) -> None:
        """Return when the server says that something changed, or after a while."""
        if not client.has_capability("IDLE"):
            self._stopped.wait(POLL_SECONDS)
            return
        client.idle()
        try:
            over = time.monotonic() + IDLE_SECONDS
            while time.monotonic() < over and not self._stopped.is_set():
                if client.idle_check(timeout=LOOK_SECONDS):
                    return
        finally:
            client.idle_done()


def _is_refusal(error: Exception) -> bool:
    """Whether the server answered, and trying again without a change cannot help."""
    lost = isinstance(error, IMAPClientAbortError)
    return isinstance(error, IMAPClientError) and not lost


def _content(fetched: Mapping[bytes, Any]) -> bytes:
    """The mail in a reply to FETCH; empty if another client has deleted it."""
    return next((fetched[one] for one in fetched if one.startswith(b"BODY[]")), b"")


def _move(client: IMAPClient, uids: Sequence[int], folder: str) -> None:
    if client.has_capability("MOVE"):
        client.move(uids, folder)
        return
    client.copy(uids, folder)
    client.add_flags(uids, [DELETED])
    if client.has_capability("UIDPLUS"):
        client.uid_expunge(uids)


def _close(client: IMAPClient) -> None:
    """Log out, as far as there still is a connection."""
    with suppress(IMAPClientError, OSError):
        client.logout()
    with suppress(IMAPClientError, OSError):
        client.shutdown()
