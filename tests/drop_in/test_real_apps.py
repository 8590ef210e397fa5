"""Apps that people run, with the drop-in: Flask-Security and Flask-AppBuilder.

What they need is in ``requirements/apps.txt``. Each test skips where it is absent, and
fails where ``OUTBOX_TEST_REQUIRE`` names ``apps``.
"""

from __future__ import annotations

import email
import re
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from tests.drop_in.conftest import MakeApp
from tests.drop_in.peers import flask_mail, ours
from tests.mail.site import ADA, BOB, SENDER
from tests.outbox.databases import is_required
from tests.servers import JournalSmtp

OLD, NEW = "correct horse battery", "staple battery horse"


def needed(module: str, name: str) -> Any:
    """What has that name in a module of one of the packages."""
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        reason = f"{error}; pip install -r requirements/apps.txt"
        if is_required("apps"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(params=["beside Flask-Mail", "instead of Flask-Mail"])
def as_flask_mail(request: pytest.FixtureRequest, monkeypatch: Any) -> None:
    """Either way in which a library finds a ``flask_mail`` to import."""
    beside = request.param == "beside Flask-Mail"
    monkeypatch.setitem(sys.modules, "flask_mail", flask_mail if beside else ours)


@pytest.fixture
def instead_of_flask_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flask_mail", ours)


@pytest.fixture
def app(make_app: MakeApp) -> Iterator[Flask]:
    """An app with a database of its own, which either package builds on."""
    app = make_app(
        SECRET_KEY="secret",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        WTF_CSRF_ENABLED=False,
    )
    database = SQLAlchemy(app)
    yield app
    with app.app_context():
        database.engine.dispose()


class Letters:
    """What arrives, one after the other."""

    def __init__(self, server: JournalSmtp) -> None:
        self._server = server
        self._read = 0

    def next(self, recipient: str = ADA) -> EmailMessage:
        self._read += 1
        arrived = self._server.wait_for(self._read)
        assert len(arrived) == self._read
        assert arrived[-1].return_path == SENDER
        assert arrived[-1].recipients == (recipient,)
        return email.message_from_bytes(arrived[-1].content, policy=default)


@pytest.fixture
def letters(server: JournalSmtp) -> Letters:
    return Letters(server)


def link_in(letter: EmailMessage) -> str:
    """The path of the one link in it, the same in each of its texts."""
    texts = [part.get_content() for part in letter.walk() if not part.is_multipart()]
    links: set[str] = {
        one for text in texts for one in re.findall(r"http://[^\s\"<>]+", text)
    }
    (link,) = links
    return urlsplit(link).path


# -------------------------------------------------------------------- Flask-Security


def add_security(app: Flask) -> None:
    """As in Flask-Security's quick start, with the drop-in to send mail."""
    security = needed("flask_security", "Security")
    datastore = needed("flask_security", "SQLAlchemyUserDatastore")
    models = "flask_security.models.fsqla_v3"
    role_mixin: Any = needed(models, "FsRoleMixin")
    user_mixin: Any = needed(models, "FsUserMixin")
    app.config.update(
        SECURITY_EMAIL_SENDER=SENDER,
        SECURITY_PASSWORD_SALT="salt",
        # What its own tests have, for slow hashes are another's business.
        SECURITY_PASSWORD_HASH="plaintext",
        SECURITY_HASHING_SCHEMES=["hex_md5"],
        SECURITY_DEPRECATED_HASHING_SCHEMES=[],
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},  # asks the DNS
        SECURITY_CONFIRMABLE=True,
        SECURITY_RECOVERABLE=True,
        SECURITY_REGISTERABLE=True,
        SECURITY_USE_REGISTER_V2=True,
    )
    ours.Mail(app)
    database = app.extensions["sqlalchemy"]
    needed(models, "FsModels").set_db_info(database)
    model: Any = database.Model

    class Role(model, role_mixin):
        pass

    class User(model, user_mixin):
        pass

    security(app, datastore(database, User, Role))
    with app.app_context():
        database.create_all()


def register(client: FlaskClient) -> None:
    answer = client.post(
        "/register", data={"email": ADA, "password": OLD, "password_confirm": OLD}
    )
    assert answer.status_code == 302, answer.text


def may_log_in(app: Flask, password: str) -> bool:
    answer = app.test_client().post("/login", json={"email": ADA, "password": password})
    return answer.status_code == 200


@pytest.mark.usefixtures("as_flask_mail")
def test_flask_security_confirms_an_address(app: Flask, letters: Letters) -> None:
    add_security(app)
    client = app.test_client()
    register(client)
    letter = letters.next()
    assert (letter["From"], letter["To"]) == (SENDER, ADA)
    assert letter.get_content_type() == "multipart/alternative"
    assert not may_log_in(app, OLD)

    assert client.get(link_in(letter)).status_code == 302
    assert may_log_in(app, OLD)


@pytest.mark.usefixtures("as_flask_mail")
def test_flask_security_resets_a_forgotten_password(
    app: Flask, letters: Letters
) -> None:
    add_security(app)
    client = app.test_client()
    register(client)
    client.get(link_in(letters.next()))

    assert client.post("/reset", data={"email": ADA}).status_code == 200
    link = link_in(letters.next())
    assert client.get(link).status_code == 200
    client.post(link, data={"password": NEW, "password_confirm": NEW})
    notice = letters.next()
    assert "reset" in str(notice["Subject"])
    assert may_log_in(app, NEW)
    assert not may_log_in(app, OLD)


# ------------------------------------------------------------------ Flask-AppBuilder


def add_appbuilder(app: Flask) -> None:
    """Anybody may register, and no captcha asks a server elsewhere."""
    builder = needed("flask_appbuilder", "AppBuilder")
    security = "flask_appbuilder.security"
    their_form: Any = needed(f"{security}.forms", "RegisterUserDBForm")
    their_view: Any = needed(f"{security}.registerviews", "RegisterUserDBView")
    their_manager: Any = needed(f"{security}.sqla.manager", "SecurityManager")

    class Form(their_form):
        recaptcha = None

    class View(their_view):
        form = Form

    class Manager(their_manager):
        registeruserdbview = View

    app.config.update(
        AUTH_TYPE=1,
        AUTH_USER_REGISTRATION=True,
        AUTH_USER_REGISTRATION_ROLE="Public",
        FAB_PASSWORD_HASH_METHOD="pbkdf2:sha256:1",
        RATELIMIT_ENABLED=False,
    )
    with app.app_context():
        builder(
            app,
            app.extensions["sqlalchemy"].session,
            security_manager_class=Manager,
        )


def ask_to_join(client: FlaskClient, name: str, address: str) -> str:
    answer = client.post(
        "/register/form",
        data={
            "username": name,
            "first_name": name.title(),
            "last_name": "Lovelace",
            "email": address,
            "password": OLD,
            "conf_password": OLD,
        },
        follow_redirects=True,
    )
    return answer.text


@pytest.mark.usefixtures("instead_of_flask_mail")
@pytest.mark.parametrize("has_one", [False, True], ids=["no Mail", "a Mail"])
def test_flask_appbuilder_registers_users(
    has_one: bool, app: Flask, letters: Letters
) -> None:
    """It makes a ``Mail(app)`` for each mail, in an app that serves already."""
    add_appbuilder(app)
    if has_one:
        ours.Mail(app)
    for name, address in (("ada", ADA), ("bob", BOB)):
        client = app.test_client()
        answer = ask_to_join(client, name, address)
        assert "Registration sent to your email" in answer
        letter = letters.next(address)
        assert letter["Subject"] == "Account activation"
        text = letter.get_body()
        assert text is not None
        assert f"Hello {name.title()} Lovelace" in text.get_content()

        activated = client.get(link_in(letter))
        assert activated.status_code == 200
        assert may_sign_in(app, name)


def may_sign_in(app: Flask, name: str) -> bool:
    client = app.test_client()
    client.post("/login/", data={"username": name, "password": OLD})
    return "/logout/" in client.get("/", follow_redirects=True).text
