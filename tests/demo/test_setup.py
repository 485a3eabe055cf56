"""What a checkout sets up for itself, and what it does with a half or a foreign one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import __main__ as bench
from benchmarks.figures import Figure, at_least
from benchmarks.peers import environment
from benchmarks.setting import Setting

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_an_environment_without_pip_is_made_anew(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=tmp_path, check=True)
    made = subprocess.run(["make", "PIP=true", ".venv/.run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    pip = [str(tmp_path / ".venv/bin/python"), "-m", "pip", "--version"]
    assert subprocess.run(pip, capture_output=True, check=False).returncode == 0


def test_every_script_of_the_makefile_is_there() -> None:
    words = (ROOT / "Makefile").read_text().split()
    scripts = {word for word in words if word.startswith("scripts/")}
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_make_world_cuts_the_power_of_a_seed() -> None:
    said = subprocess.run(
        ["make", "-n", "world", "SEED=7"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "scripts/world.py --seed 7" in said


@pytest.mark.parametrize("python", ["#!/nowhere/python\n", pytest.param("no program\n", marks=pytest.mark.slow)])
def test_a_broken_peer_environment_is_rebuilt(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".bench-env"
    (folder / "bin").mkdir(parents=True)
    (folder / "scratch").mkdir()
    (folder / "bin" / "python").write_text(python)
    (folder / "bin" / "python").chmod(0o755)
    monkeypatch.setattr(environment, "ENVIRONMENT", folder)
    monkeypatch.setattr(environment, "PYTHON", folder / "bin" / "python")
    assert not environment.runs("-c", "")
    environment.make()
    assert environment.runs("-m", "pip", "--version")
    assert (folder / "scratch").is_dir()


@pytest.mark.parametrize(("quick", "code"), [(True, 0), (False, 1)])
def test_small_rounds_are_not_judged(
    quick: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(_name: str, setting: Setting) -> None:
        setting.add(Figure("slow", 1.0, "steps/s", goal=at_least(2)))

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "save", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "micro", *(["--quick"] if quick else [])])
    assert bench.main() == code
    assert ("MISSED" in capsys.readouterr().out) is not quick
