"""What people ask about messages and do to them, as methods of `Mail`."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask

from ..message import AddressLike
from ..outbox.records import MessageRecord, Receipt, Suppression
from ..runtime import Runtime
from ..unsubscribing import url_of
from .installed import Installed


class People:
    """The part of `Mail` that asks about messages and changes what becomes of them."""

    @property
    def _runtime(self) -> Runtime:
        return self._installed.runtime

    @property
    def _app(self) -> Flask:
        raise NotImplementedError

    @property
    def _installed(self) -> Installed:
        raise NotImplementedError

    def get(self, id: str) -> MessageRecord:
        """What became of a message, with its whole story. Raises `MessageNotFound`."""
        return self._runtime.outbox.get(id)

    def cancel(self, id: str) -> MessageRecord:
        """Take a message out before it is delivered.

        Raises `TransitionRefused` when that is too late, and `MessageNotFound`.
        """
        self._runtime.cancel(id)
        return self.get(id)

    def retry(self, id: str) -> MessageRecord:
        """Try a message again now, for every recipient who has not got it.

        Raises `TransitionRefused` when everyone has, and `MessageNotFound`.
        """
        self._runtime.retry(id)
        return self.get(id)

    def suppress(
        self, address: AddressLike, *, reason: str = "", list: str = ""
    ) -> Suppression:
        """See that no more mail goes to ``address``, until `unsuppress`.

        With ``list``, no mail with that tag; without, none at all. It holds for what is
        handed over from now on and for what waits already, on every machine; what a
        courier has in hand at this moment may still leave. Where it holds already, what
        was said then is kept. Raises `AddressError`.
        """
        return self._runtime.outbox.suppress(address, reason=reason, list=list)

    def unsuppress(self, address: AddressLike, *, list: str = "") -> bool:
        """End what `suppress` began with the same ``list``; False if nothing had.

        What was kept back meanwhile stays so, until `retry`.
        """
        return self._runtime.outbox.unsuppress(address, list=list)

    def unsubscribe_url(self, address: AddressLike, *, list: str) -> str:
        """The link by which ``address`` ends all mail with the tag ``list``.

        For the text of a mail: ``send(..., unsubscribe=True)`` has it in the headers.
        It is signed with the app's ``SECRET_KEY`` and does not expire; see
        :doc:`/unsubscribe`. Raises `MessageError` for what is no address or no tag, and
        `ConfigError` without ``OUTBOX_UNSUBSCRIBE_PATH``, without a secret key, and
        outside a request without ``SERVER_NAME``.
        """
        return url_of(self._app, address, list)

    def suppressions(self, list: str | None = None) -> Iterator[Suppression]:
        """Whom not to mail, by address: of one list, or of all."""
        return self._runtime.outbox.suppressions(list)

    def release(self, id: str) -> MessageRecord:
        """Send an *unknown* message once more now, though it may have arrived.

        Only to those of whom nobody knows. Raises `TransitionRefused` for a message
        that is not unknown, and `MessageNotFound`.
        """
        self._runtime.release(id)
        return self.get(id)

    def drop(self, id: str) -> MessageRecord:
        """Have done with an *unknown* message, which may have arrived: it is cancelled.

        Raises `TransitionRefused` for a message that is not unknown, and
        `MessageNotFound`.
        """
        self._runtime.drop(id)
        return self.get(id)

    def send_again(self, id: str) -> Receipt:
        """Send what a finished message said to its recipients once more.

        It is a new message, with a Message-ID and a date of its own; the stories of
        both tell of each other. Raises `TransitionRefused` where it is not done or its
        content was pruned, and `MessageNotFound`.
        """
        return self._installed.send_again(id)
