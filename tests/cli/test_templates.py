"""``flask outbox templates new``: in apps from nothing, what it writes works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from flask_outbox import Mail, Message
from flask_outbox.checks import check
from flask_outbox.mime.parse import parse_message

SOURCES = Path(__file__).parents[2] / "src"
SHOP = "from flask import Flask\nfrom flask_outbox import Mail\n\n"
MODULE = f"{SHOP}app = Flask(__name__)\nmail = Mail(app)\n"
PACKAGE = (
    f"{SHOP}mail = Mail()\n\n\n"
    "def create_app():\n    app = Flask(__name__)\n    mail.init_app(app)\n"
    "    return app\n"
)


def python(folder: Path, *arguments: str) -> str:
    """What ``python -m`` prints there, as on a developer's machine."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "FLASK_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_what_it_writes_passes_its_test(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MODULE)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/__init__.py").write_text(PACKAGE)
    told = python(
        tmp_path, "flask", "--app", "shop", "outbox", "templates", "new", "welcome"
    )
    written = ["templates/mail/welcome.html", "templates/mail/welcome.txt"]
    written += ["welcome_mail.py", "test_welcome_mail.py"]
    assert told.splitlines()[:4] == [f"Wrote {path}" for path in written]
    assert "python -m pytest test_welcome_mail.py\n" in told
    assert "from welcome_mail import welcome_mail\n" in told

    (tmp_path / "tests").mkdir()
    new = ("outbox", "templates", "new", "orders/not-sent")
    told = python(tmp_path, "flask", "--app", "store:create_app", *new)
    assert "Wrote store/templates/mail/orders/not-sent.html\n" in told
    assert "from store.orders_not_sent_mail import orders_not_sent_mail\n" in told
    tests = ("test_welcome_mail.py", "tests/test_orders_not_sent_mail.py")
    assert "2 passed" in python(tmp_path, "pytest", "-q", "-p", "no:xdist", *tests)


class Fresh:
    """An app in an empty folder, which is the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app = Flask("shop", root_path=str(folder), instance_path=str(folder))
        self.app.config.update(TESTING=True, MAIL_DEFAULT_SENDER="shop@example.com")
        self.mail = Mail(self.app)

    def new(self, name: str) -> Result:
        return self.app.test_cli_runner().invoke(
            args=["outbox", "templates", "new", name]
        )

    def files(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fresh:
    monkeypatch.chdir(tmp_path)
    return Fresh(tmp_path)


def test_the_checks_find_nothing_in_the_new_mail(fresh: Fresh) -> None:
    assert fresh.new("welcome").exit_code == 0
    with fresh.app.app_context():
        message = Message.from_template(
            "welcome", ["ada@example.org"], name="Ada", url="https://example.com/"
        )
        content = fresh.mail.content(fresh.mail.send(message).id)
    assert content is not None
    assert check(parse_message(content), size_bytes=len(content)).findings == ()
    with fresh.app.app_context():
        fresh.mail.stop()


def test_nothing_is_overwritten(fresh: Fresh) -> None:
    (fresh.folder / "welcome_mail.py").write_text("mine")
    result = fresh.new("welcome")
    assert result.exit_code == 1
    assert "There is welcome_mail.py already" in result.stderr
    assert "Nothing was written" in result.stderr
    assert fresh.files() == ["welcome_mail.py"]
    assert (fresh.folder / "welcome_mail.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "Welcome", "x.de", "1x", ""])
def test_a_name_that_is_no_path_below_mail_is_refused(fresh: Fresh, name: str) -> None:
    result = fresh.new(name)
    assert result.exit_code == 2
    assert "is not a name for a mail" in result.stderr
    assert fresh.files() == []


def test_an_app_without_templates_is_told_so(fresh: Fresh) -> None:
    fresh.app.template_folder = None
    result = fresh.new("welcome")
    assert result.exit_code == 1
    assert "has no template folder" in result.stderr
