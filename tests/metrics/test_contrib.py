"""The dashboard and the alert rules that come with the sources."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mail.conftest import MakeSite
from tests.metrics.reading import families

FOLDER = Path(__file__).parents[2] / "contrib" / "prometheus"
ALERTS, ALERT_TESTS = FOLDER / "alerts.yaml", FOLDER / "alerts.test.yaml"
DASHBOARD = FOLDER / "dashboard.json"

_NAME = re.compile(r"\bflask_outbox_\w+")
_SELECTOR = re.compile(r"\b(flask_outbox_\w+)\{([^{}]*)\}")
_LABEL = re.compile(r'(\w+)\s*=~?\s*"')

OF_PROMETHEUS = {"job", "instance"}


def alert_expressions() -> Iterator[str]:
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield json.dumps(variable["query"])


def exported(make_site: MakeSite) -> dict[str, set[str]]:
    """Each name of a sample, with the labels that it has."""
    endpoint = {"url": "https://crm.example.com", "secrets": ["whsec_" + "A" * 32]}
    site = make_site(
        OUTBOX_METRICS="local",
        OUTBOX_ENGINE="external",
        OUTBOX_WEBHOOKS={"crm": endpoint},
    )
    text = site.app.test_client().get("/outbox/metrics").text
    return {
        sample.name: {*sample.labels}
        for family in families(text).values()
        for sample in family.samples
    }


@pytest.mark.parametrize("expressions", [alert_expressions, dashboard_expressions])
def test_every_metric_that_is_named_exists(
    make_site: MakeSite, expressions: Any
) -> None:
    there = exported(make_site)
    named = {
        name: expression
        for expression in expressions()
        for name in _NAME.findall(expression)
    }

    assert named
    assert named.keys() <= there.keys()
    for expression in named.values():
        for name, inside in _SELECTOR.findall(expression):
            assert {*_LABEL.findall(inside)} <= there[name] | OF_PROMETHEUS


def test_the_dashboard_shows_every_metric(make_site: MakeSite) -> None:
    shown = " ".join(dashboard_expressions())
    missing = [
        name
        for name in exported(make_site)
        if not name.endswith(("_count", "_sum")) and name not in shown
    ]

    assert missing == []


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y)
            for x in range(place["w"])
            for y in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


# ------------------------------------------------------------------------- by promtool


@pytest.fixture
def promtool() -> str:
    """Prometheus's own checker; absent it skips, or fails if
    ``OUTBOX_TEST_REQUIRE`` names it.
    """
    found = shutil.which("promtool")
    if found is None:
        required = re.split(r"[\s,]+", os.environ.get("OUTBOX_TEST_REQUIRE", ""))
        why = "promtool is not installed (Debian: apt install prometheus)"
        (pytest.fail if "promtool" in required else pytest.skip)(why)
    return found


def run(promtool: str, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [promtool, *arguments],
        cwd=FOLDER,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_the_alert_rules(promtool: str) -> None:
    rules = len([*alert_expressions()])

    assert f"{rules} rules found" in run(promtool, "check", "rules", ALERTS.name)


def test_every_alert_fires_when_it_should_and_only_then(promtool: str) -> None:
    tested = ALERT_TESTS.read_text("utf-8")
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["alert"] in tested

    assert "SUCCESS" in run(promtool, "test", "rules", ALERT_TESTS.name)


def test_promtool_accepts_the_expressions_of_the_dashboard(
    promtool: str, tmp_path: Path
) -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    rules = [
        {"record": f"panel:{number}", "expr": _filled(target["expr"])}
        for panel in panels
        for number, target in enumerate(panel["targets"])
    ]
    file = tmp_path / "panels.yaml"
    groups = [{"name": str(number), "rules": [one]} for number, one in enumerate(rules)]
    file.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")

    run(promtool, "check", "rules", str(file))


def _filled(expression: str) -> str:
    """The expression with Grafana's variables replaced."""
    return expression.replace("$__rate_interval", "5m").replace("$job", "outbox")


def test_promtool_accepts_the_text(promtool: str, make_site: MakeSite) -> None:
    site = make_site(OUTBOX_METRICS="local", OUTBOX_ENGINE="external")
    site.send()
    text = site.app.test_client().get("/outbox/metrics").text

    assert run(promtool, "check", "metrics", given=text) == ""
