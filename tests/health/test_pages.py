"""The pages for probes: what they answer, and what they never say."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_outbox import ConfigError, Mail
from tests.mail.conftest import MakeSite
from tests.mail.site import Site
from tests.process_models.black_holes import silent
from tests.waiting import eventually

LIVE, READY = "/health/mail/live", "/health/mail/ready"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """An app with pages for probes."""
    return make_site(OUTBOX_HEALTH_PATH="/health/mail")


def answer_of(site: Site) -> TestResponse:
    """The answer to a probe that knows the outcome of its check."""
    client = site.app.test_client()

    def ask() -> TestResponse | None:
        answer = client.get(READY)
        return None if answer.json["outbox"] == "silent" else answer  # type: ignore[index]

    answer = eventually(ask)
    assert answer is not None
    return answer


def test_a_process_whose_courier_runs_is_live(site: Site) -> None:
    answer = site.app.test_client().get(LIVE)
    assert answer.status_code == 200
    assert answer.json == {"live": True, "courier": "running"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_process_that_needs_no_courier_is_live(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_HEALTH_PATH="/health/mail", OUTBOX_ENGINE="external")
    answer = site.app.test_client().get(LIVE)
    assert answer.status_code == 200
    assert answer.json == {"live": True, "courier": "none"}


def test_a_process_that_cannot_run_its_courier_is_not_live(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refuse)
        live = site.app.test_client().get(LIVE)
        ready = site.app.test_client().get(READY)
    assert live.status_code == ready.status_code == 503
    assert live.json == {"live": False, "courier": "ended"}
    assert site.app.test_client().get(LIVE).status_code == 200


def test_an_app_whose_outbox_can_be_used_is_ready(site: Site) -> None:
    answer = answer_of(site)
    assert answer.status_code == 200
    assert answer.json == {
        "ready": True,
        "outbox": "usable",
        "lanes_down": [],
        "other_lanes_down": 0,
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_lanes_that_are_down_are_reported_without_why(make_site: MakeSite) -> None:
    site = make_site(OUTBOX_HEALTH_PATH="/health/mail", OUTBOX_ENGINE="external")
    for lane in ("default", "customer-42"):
        until = site.outbox.clock() + 30
        site.outbox.pause_lane(lane, until, "535 ada@example.org is locked")
    answer = answer_of(site)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["lanes_down"] == ["default"]
    assert answer.json["other_lanes_down"] == 1
    assert "customer-42" not in answer.text
    assert "ada" not in answer.text


def test_an_outbox_out_of_reach_is_answered_without_its_place_and_logged(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "secret-place").touch()
    place = tmp_path / "secret-place" / "outbox.db"
    site = make_site(
        OUTBOX_HEALTH_PATH="/health/mail",
        OUTBOX_ENGINE="external",
        OUTBOX_URL=f"sqlite:///{place}",
    )
    for _ in range(2):
        answer = answer_of(site)
        assert answer.status_code == 503
        assert answer.json is not None
        assert answer.json["ready"] is False
        assert answer.json["outbox"] == "unusable"
        assert "secret-place" not in answer.text
    (told,) = [one for one in caplog.records if "A probe was told" in one.message]
    assert "secret-place" in told.message
    assert vars(told)["app"] == site.app.name
    assert site.app.test_client().get(LIVE).status_code == 200


def test_a_database_that_never_answers_keeps_no_probe(make_site: MakeSite) -> None:
    with silent() as place:
        url = place.replace("smtp://", "postgresql://shop:hunter2@") + "/shop"
        site = make_site(
            OUTBOX_HEALTH_PATH="/health/mail", OUTBOX_ENGINE="external", OUTBOX_URL=url
        )
        answer = site.app.test_client().get(READY)
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["outbox"] == "silent"
    assert "hunter2" not in answer.text


def test_there_are_no_such_pages_without_a_path(make_site: MakeSite) -> None:
    site = make_site()
    assert site.app.test_client().get(LIVE).status_code == 404


def test_no_other_route_may_be_there(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(MAIL_URL="inbox://", OUTBOX_HEALTH_PATH="/health")
    app.add_url_rule("/health/live", "mine", lambda: "fine")
    with pytest.raises(ConfigError, match="set OUTBOX_HEALTH_PATH to another path"):
        Mail(app)
