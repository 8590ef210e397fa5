"""``docs/backup.rst``: what becomes of mail that was sent since the backup."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from flask_outbox import Mail, Receipt, State
from tests.mail.site import ADA, BOB, Site, make_app, url_of
from tests.servers import JournalSmtp
from tests.started_app import PATHS

PAGE = (Path(__file__).parents[2] / "docs/backup.rst").read_text()
COMMANDS = re.findall(r"^    \$ (.+)$", PAGE, re.MULTILINE)
FILE = "instance/outbox-shop.db"


def command(beginning: str) -> list[str]:
    """The words of the page's command that begins so."""
    (found,) = [one for one in COMMANDS if one.startswith(beginning)]
    return shlex.split(found)


def test_a_restored_mail_waits_until_a_person_has_looked(tmp_path: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run(words, cwd=tmp_path, env=PATHS, check=True)

    def site_with(engine: str) -> Site:
        app = make_app(
            tmp_path / "instance",
            MAIL_URL=url_of(server),
            OUTBOX_URL=f"sqlite:///{tmp_path / FILE}",
            OUTBOX_ENGINE=engine,
        )
        return Site(app, Mail(app))

    def flask(site: Site, beginning: str, receipt: Receipt | None = None) -> str:
        _, _, _, _, *words = command(f"flask --app shop outbox {beginning}")
        if receipt is not None:
            words[-1] = receipt.id
        result = site.app.test_cli_runner(env={"COLUMNS": "120"}).invoke(
            args=["outbox", *words]
        )
        assert result.exit_code == 0, result.output
        return result.output

    with JournalSmtp(tmp_path / "journal") as server:
        site = site_with("external")
        cancelled, resumed = site.send(ADA), site.send(BOB)
        run(*command("python -c"))
        site.close()

        site = site_with("thread")
        site.make_ready()
        server.wait_for(2)
        assert site.settled(cancelled).state is State.SENT
        site.close()

        run(*command("cp "))
        run(*command("rm "))
        site = site_with("external")
        flask(site, "pause")
        assert cancelled.id in flask(site, "list")
        flask(site, "cancel", cancelled)
        site.close()

        site = site_with("thread")
        site.make_ready()
        assert site.counts() == {State.CANCELLED: 1, State.PENDING: 1}
        flask(site, "resume")
        assert site.settled(resumed).state is State.SENT
        copies = [one.rfc_message_id for one in server.wait_for(3)]
        assert copies.count(resumed.rfc_message_id) == 2
        assert copies.count(cancelled.rfc_message_id) == 1
        site.close()
