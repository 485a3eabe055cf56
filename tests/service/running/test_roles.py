"""Roles: what takes new work, and what cannot be left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.graph.versioning.versions import workflow_name
from tickwork.notify.notifier import DELIVER, NOTIFY
from tickwork.service.running.roles import LEFT_OUT, PROTECTION, ROLES, read_roles

NAMES = ["dip", "sniper", workflow_name("", "rsi bot"), NOTIFY, DELIVER]


def test_all_by_default() -> None:
    roles = read_roles()
    assert all(roles.admits(name) for name in NAMES) and all(roles.runs(role) for role in LEFT_OUT)
    assert roles.notes(NAMES) == []


def test_one_workflow() -> None:
    roles = read_roles("workflow:dip")
    assert [roles.admits(name) for name in NAMES] == [True, False, False, True, True]
    roles.check(NAMES)
    (note,) = roles.notes(NAMES)
    assert "rsi bot, sniper take no new work" in note


def test_a_document_by_its_name() -> None:
    roles = read_roles("workflow:rsi bot")
    assert [roles.admits(name) for name in NAMES[:3]] == [False, False, True]
    roles.check(NAMES)


@given(st.sets(st.sampled_from(["workflows", "workflow:dip", "workflow:sniper", *PROTECTION, "notifications"])))
def test_only_never_takes_protection_away(only: set[str]) -> None:
    roles = read_roles(",".join(sorted(only)))
    assert all(roles.runs(role) for role in PROTECTION)
    wanted = {role.removeprefix("workflow:") for role in only if role.startswith("workflow:")}
    for name in NAMES[:2]:
        assert roles.takes(name) == (not only or "workflows" in only or name in wanted)


def test_left_out_by_name_only_and_said_so() -> None:
    roles = read_roles(without="exits, notifications")
    assert not roles.runs("exits") and not roles.admits(DELIVER) and roles.admits("dip")
    assert "open positions are not protected" in roles.notes(NAMES)[0]


@pytest.mark.parametrize(
    ("only", "without", "told"),
    [
        ("executor", "", ROLES[0]),
        ("workflow:", "", "workflow:NAME"),
        ("", "accounts", "cannot be left out"),
        ("", "halts", "cannot be left out"),
        ("", "workflows", "one of: exits"),
        ("exits", "exits", "which --only names"),
    ],
)
def test_what_is_refused(only: str, without: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_roles(only, without)


def test_a_workflow_that_there_is_not() -> None:
    with pytest.raises(InvalidInput, match="dip, rsi bot, sniper"):
        read_roles("workflow:dipp").check(NAMES)
