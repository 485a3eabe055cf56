"""What comes with the product to run it as a service: held against the command line and its limits."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tickwork.faces.cli import app
from tickwork.service.running.process import _LETTING_GO_S, STOP_WITHIN_S
from tickwork.service.running.watchdog import BEAT_S

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "tickwork.service"
VERBS = {command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands}
OUTSIDE_S = 3
"""Seconds for the interpreter's own beginning and end."""


class _Unit(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit() -> configparser.SectionProxy:
    found = _Unit(strict=False, interpolation=None)
    found.read_string(UNIT.read_text())
    return found["Service"]


def test_the_unit_allows_what_a_stop_takes() -> None:
    service = unit()
    assert service["Type"] == "notify" and service["ExecStart"].split()[1] == "up" and "up" in VERBS
    assert float(service["TimeoutStopSec"]) > STOP_WITHIN_S + _LETTING_GO_S + OUTSIDE_S
    assert float(service["WatchdogSec"]) > 3 * BEAT_S, "three beats may be late"
    assert service["Restart"] == "on-failure" and "2" in service["RestartPreventExitStatus"].split()
    assert service["UMask"] == "0077" and service["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    there = tmp_path / "tickwork.service"
    there.write_text(UNIT.read_text().replace("/opt/tickwork/bin/tickwork", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(there)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_compose_file_allows_what_a_stop_takes() -> None:
    (service,) = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    assert service["command"][0] in VERBS
    grace = re.fullmatch(r"(\d+)s", service["stop_grace_period"])
    assert grace is not None and int(grace[1]) > STOP_WITHIN_S + _LETTING_GO_S + OUTSIDE_S
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["build"]["dockerfile"] == "deploy/Dockerfile" and service["build"]["context"] == ".."


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert copied and all((ROOT / word).exists() and f"!{word}" in ignored for word in copied)
    assert ignored[0] == "*", "nothing gets in that is not named: no home, no keys"
    assert any(line.startswith("USER ") and "root" not in line for line in lines)
    (health,) = [line for line in lines if line.startswith("HEALTHCHECK")]
    assert '["tickwork", "status"]' in health and "status" in VERBS
