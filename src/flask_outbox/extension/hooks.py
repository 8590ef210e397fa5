"""What an app hooks into its mail, as methods of `Mail`."""

from __future__ import annotations

from ..readying import Interceptor, Interceptors


class Hooks:
    """The part of `Mail` that takes an app's own functions."""

    _interceptors: Interceptors

    def before_send(self, function: Interceptor) -> Interceptor:
        """Have ``function`` asked about each message before it is kept.

        ::

            @mail.before_send
            def mark(message: Message, wishes: Wishes) -> None:
                if wishes.tag == "newsletter":
                    message.extra_headers["Precedence"] = "bulk"

        It gets a copy of the message, and what ``send`` was told beside it
        (``wishes.tag``, ``key``, ``metadata``, …), which cannot be changed. It may
        change the message, or return another; with ``raise MessageStopped(reason)``
        the message is not sent. Interceptors are asked in the order in which they were
        registered, before or after `init_app`. See :doc:`/hooks`.
        """
        return self._interceptors.register(function)
