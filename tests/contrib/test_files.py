"""The recipes fit each other, the programs that read them, and what they start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .recipes import (
    DOCKER,
    GRACE_SECONDS,
    KUBERNETES,
    SYSTEMD,
    compose,
    dockerfile,
    dockerfile_command,
    gunicorn_settings,
    manifest,
    manifests,
    pods,
    unit,
)

LIVE, READY = "/health/mail/live", "/health/mail/ready"

POD = {
    "automountServiceAccountToken", "containers", "restartPolicy", "securityContext",
    "terminationGracePeriodSeconds", "volumes",
}  # fmt: skip
CONTAINER = {
    "command", "envFrom", "image", "lifecycle", "livenessProbe", "name", "ports",
    "readinessProbe", "resources", "securityContext", "startupProbe", "volumeMounts",
}  # fmt: skip
PROBE = {
    "exec", "failureThreshold", "httpGet", "initialDelaySeconds", "periodSeconds",
    "timeoutSeconds",
}  # fmt: skip
SERVICE = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image",
    "ports", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs",
    "volumes",
}  # fmt: skip


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not here")
    return path


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With programs that are here in place of the shop's own."""
    analyze = need("systemd-analyze")
    for path in SYSTEMD.glob("shop*.*er*"):
        text = path.read_text("utf-8")
        here = re.sub(r"=/srv/shop/\.venv/bin/\w+", f"={sys.executable}", text)
        (tmp_path / path.name).write_text(here)
    units = sorted(tmp_path.iterdir())
    assert len(units) == 4
    said = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in said.stderr.splitlines() if "shop" in line]
    assert (said.returncode, about_ours) == (0, []), said.stderr


@pytest.mark.parametrize("name", ["shop.service", "shop-mail.service"])
def test_a_unit_may_do_little(name: str) -> None:
    """systemd counts the exposure from 0 to 10, and calls less than 2 OK."""
    said = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=true", "--threshold=20",
         "--no-pager", SYSTEMD / name],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_units_have_the_same_sandbox() -> None:
    of_its_own = {
        "Description", "ExecReload", "ExecStart", "NotifyAccess", "TimeoutStopSec",
        "Type",
    }  # fmt: skip
    web, mail = unit("shop.service"), unit("shop-mail.service")
    assert {key: web[key] for key in {*web} - of_its_own} == {
        key: mail[key] for key in {*mail} - of_its_own
    }


def test_each_waits_longer_for_the_end_than_the_end_may_take() -> None:
    web, worker = compose()["services"]["web"], compose()["services"]["worker"]
    graceful = gunicorn_settings()["graceful_timeout"]
    assert graceful > GRACE_SECONDS
    for stop in (unit("shop.service")["TimeoutStopSec"][0], web["stop_grace_period"]):
        assert int(stop.rstrip("s")) > graceful
    for stop in (
        unit("shop-mail.service")["TimeoutStopSec"][0],
        worker["stop_grace_period"],
    ):
        assert int(stop.rstrip("s")) > GRACE_SECONDS
    sleeping = pods()["web"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    waits = pods()["web"]["terminationGracePeriodSeconds"]
    assert waits > graceful + int(sleeping[1])
    assert pods()["worker"]["terminationGracePeriodSeconds"] > GRACE_SECONDS


def test_the_keys_of_a_pod_are_kubernetes_own() -> None:
    for pod in pods().values():
        (container,) = pod["containers"]
        assert {*pod} <= POD
        assert {*container} <= CONTAINER
        for key in {*container} & {"startupProbe", "livenessProbe", "readinessProbe"}:
            assert {*container[key]} <= PROBE


def test_no_pod_can_write_or_gain_anything() -> None:
    for name, pod in pods().items():
        (container,) = pod["containers"]
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": int(dockerfile("USER")),
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        mounted = {one["name"] for one in container["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}, name


def test_what_selects_pods_finds_them() -> None:
    found = {
        (one["kind"], one["metadata"]["name"]): one
        for one in manifests()
        if one["kind"] in ("Deployment", "Service", "PodDisruptionBudget")
    }
    assert {*found} == {
        ("Deployment", "shop-web"), ("Deployment", "shop-worker"), ("Service", "shop"),
        ("PodDisruptionBudget", "shop-web"), ("PodDisruptionBudget", "shop-worker"),
    }  # fmt: skip
    for (kind, name), one in found.items():
        component = "worker" if "worker" in name else "web"
        deployment = manifest("Deployment", f"shop-{component}")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selector = one["spec"]["selector"]
        assert (selector if kind == "Service" else selector["matchLabels"]) == labels
        assert one["metadata"]["labels"] == labels


def test_the_ports_are_where_gunicorn_listens() -> None:
    port = int(gunicorn_settings()["bind"].rpartition(":")[2])
    (container,) = pods()["web"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert manifest("Service", "shop")["spec"]["ports"][0]["targetPort"] == "http"
    assert int(dockerfile("EXPOSE")) == port
    assert compose()["services"]["web"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    probed = {
        key: container[key]["httpGet"] for key in container if key.endswith("Probe")
    }
    assert probed == {
        "startupProbe": {"path": LIVE, "port": "http"},
        "livenessProbe": {"path": LIVE, "port": "http"},
        "readinessProbe": {"path": READY, "port": "http"},
    }


def test_all_recipes_call_the_same_commands() -> None:
    health = dockerfile_command("HEALTHCHECK")
    services = compose()["services"]
    worker, tables = (pods()[name]["containers"][0] for name in ("worker", "tables"))
    assert services["worker"]["command"] == worker["command"]
    assert services["tables"]["command"] == tables["command"]
    assert services["worker"]["healthcheck"]["test"] == ["CMD", *health, "--live"]
    assert worker["livenessProbe"]["exec"]["command"] == [*health, "--live"]


def test_the_keys_of_the_compose_file_are_its_own() -> None:
    services: dict[str, Any] = compose()["services"]
    for name, service in services.items():
        assert {*service} <= SERVICE, name
        assert {*service.get("depends_on", {})} <= {*services}, name
        if name != "postgres":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_has_the_files_that_it_copies_and_is_nobodys() -> None:
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M)
    for name in " ".join(copied).split():
        assert (DOCKER / name).is_file(), name
    assert dockerfile("USER").isdecimal()
    assert f"--uid {dockerfile('USER')} " in text
    assert dockerfile("STOPSIGNAL") == "SIGTERM"


def test_kustomize_puts_it_together() -> None:
    said = subprocess.run(
        [need("kubectl"), "kustomize", KUBERNETES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    objects = [*yaml.safe_load_all(said.stdout)]
    assert len(objects) == 5
    assert said.stdout.count("image: registry.example.com/shop:") == 2
