"""The process that trades, killed a few times by default and often with ``-m slow``; wrong builds must be caught."""

from __future__ import annotations

import pytest

from tests.chaos import cli
from tests.chaos.points import POINTS as OF_ENGINES
from tests.chaos.trading import exchange, kill
from tests.chaos.trading.lane import Plan
from tests.chaos.trading.plants import PLANTS
from tests.chaos.trading.points import OF_THE_ENGINE, ONCE, POINTS
from tests.chaos.trading.workflows import KINDS
from tickwork.sim.exchange import fault_from

KILLS_OF_A_ROUND = 5
TRIES = 3


@pytest.mark.slow
def test_a_few_kills() -> None:
    outcome = kill.run(Plan(kills=6, seed=1))
    assert outcome.verdict.failures == []
    assert outcome.kills == 6
    assert outcome.figures["orders"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTS)
def test_every_wrong_build_is_caught(name: str) -> None:
    assert any(kill.caught(name, seed, KILLS_OF_A_ROUND) for seed in range(1, TRIES + 1))


@pytest.mark.slow
def test_the_command_line() -> None:
    said: list[str] = []
    assert cli.main(["--trading", "--kills", "12", "--seed", "3"], said.append) == 0, "\n".join(said)
    assert said[-1].endswith(" passed, 0 failed")
    assert '"form": "trading"' in said[1]


def test_every_fault_point_and_kind_is_known() -> None:
    for faults in exchange.FAULTS.values():
        for fault in faults:
            fault_from(fault)
    assert set(OF_THE_ENGINE) <= set(OF_ENGINES)
    assert len(set(POINTS)) == len(POINTS)
    assert set(ONCE) <= set(POINTS)
    for plant in PLANTS.values():
        assert set(plant.faults) <= set(exchange.FAULTS)
        assert set(plant.points) <= {*POINTS, *OF_ENGINES}
        assert set(plant.kinds) <= set(KINDS)
