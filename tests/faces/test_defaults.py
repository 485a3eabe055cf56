"""What ``tickwork.toml`` says of every verb, and what a table shows where there is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tickwork.service.runs import outcome


def tickwork(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "tickwork"), *words]
    environment = {**{name: text for name, text in os.environ.items() if not name.startswith("TICKWORK_")}, **env}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("words", "env", "looked_in"),
    [
        ((), {}, "from-file"),
        ((), {"TICKWORK_HOME": "from-env"}, "from-env"),
        (("--home", "from-option"), {"TICKWORK_HOME": "from-env"}, "from-option"),
    ],
)
@pytest.mark.parametrize("verb", [("runs",), ("notify", "outbox")])
def test_the_home_of_the_file(
    tmp_path: Path, verb: tuple[str, ...], words: tuple[str, ...], env: dict[str, str], looked_in: str
) -> None:
    (tmp_path / "tickwork.toml").write_text('home = "from-file"')
    done = tickwork(tmp_path, *verb, *words, **env)
    assert done.returncode == 1
    assert f"there is no tape at {looked_in}/" in done.stderr


def test_a_wrong_file_is_complained_of(tmp_path: Path) -> None:
    (tmp_path / "tickwork.toml").write_text('hom = "x"')
    done = tickwork(tmp_path, "runs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'home'" in done.stderr
    assert tickwork(tmp_path).returncode == 0, "help comes all the same"


def test_the_log_level(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    from tickwork.faces import cli
    from tickwork.faces.doors import Defaults, Doors

    logger = logging.getLogger("tickwork")
    level, handlers = logger.level, list(logger.handlers)

    def nothing(*_: object) -> None:
        raise AssertionError

    try:
        for name, expected in (("debug", 10), ("error", 40)):
            doors = Doors(
                open_demo=nothing,  # type: ignore[arg-type]
                open_paper=nothing,  # type: ignore[arg-type]
                open_live=nothing,  # type: ignore[arg-type]
                examine_accounts=nothing,  # type: ignore[arg-type]
                open_notifications=nothing,  # type: ignore[arg-type]
                defaults=lambda name=name: Defaults(Path("nowhere"), name),  # type: ignore[misc]
            )
            told = cli._Told()
            logger.addHandler(told)
            cli.app(["runs", "--help"], obj=doors, standalone_mode=False)
            assert (logger.level, told.level) == (expected, expected)
            logger.removeHandler(told)
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def test_a_result_without_a_reason_shows_none() -> None:
    line = SimpleNamespace(result={"action": "sent", "reason": None}, error=None, status="done")
    assert outcome(line) == ("sent", "")  # type: ignore[arg-type]
