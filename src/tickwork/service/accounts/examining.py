"""A look at configured accounts without trading: keys, clock, permissions, symbols, limits."""

from __future__ import annotations

from collections.abc import Mapping

from tickwork.errors import InvalidInput, Refused, TickworkError
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.accounts.opening import MAX_SKEW, MakeVenue, listed
from tickwork.service.finding import Finding, Severity
from tickwork.trading.venue import VenuePort, VenueReport


async def examine(
    name: str, config: AccountConfig, *, make_venue: MakeVenue, env: Mapping[str, str], live: bool
) -> list[Finding]:
    """What is and what is not well with one account; at least one finding.

    ``live``: real money is configured, so that what is only needed for it counts.
    """
    found = [_keys(name, config, env, live)]
    try:
        config.rules(name)
        venue = make_venue(name, config)
    except (InvalidInput, Refused) as error:
        return [*found, _said("error", name, str(error), "see to the configuration")]
    try:
        found += await _venue(name, config, venue, with_keys=found[0].severity == "ok")
    finally:
        await venue.close()
    return found


def _said(severity: Severity, name: str, detail: str, advice: str = "") -> Finding:
    return Finding(severity=severity, what=f"account {name}", detail=detail, advice=advice)


def _keys(name: str, config: AccountConfig, env: Mapping[str, str], live: bool) -> Finding:
    lacking = [variable for variable in config.names_of_keys() if not env.get(variable, "").strip()]
    if config.venue == "paper":
        return _said("ok", name, "trades on paper, and needs no key")
    if not lacking:
        return _said("ok", name, f"its keys are in {' and '.join(config.names_of_keys())}")
    detail = f"{' and '.join(lacking)} not set in the environment"
    if live:
        return _said("error", name, detail, "set them, or name others with key_env and secret_env")
    return _said("notice", name, f"{detail}: only paper can be traded", "set them to trade live")


async def _venue(name: str, config: AccountConfig, venue: VenuePort, *, with_keys: bool) -> list[Finding]:
    try:
        rules = await listed(name, config, venue)
        report = await venue.examine() if with_keys else VenueReport()
    except (TickworkError, OSError) as error:
        return [_said("error", name, f"{config.venue}: {error}", "see to the network, the keys and the symbols")]
    told = ", ".join(f"{symbol} (least {rule.min_notional})" for symbol, rule in sorted(rules.items()))
    found = [_said("ok", name, f"{config.venue} lists {told}")]
    if report.clock_skew is not None:
        seconds = report.clock_skew.total_seconds()
        off = abs(report.clock_skew) > MAX_SKEW
        detail = f"the clock of {config.venue} is {seconds:+.2f} s off ours"
        found.append(_said("warning" if off else "ok", name, detail, "see to NTP" if off else ""))
    if report.may_trade is not None:
        detail = f"its key may {'' if report.may_trade else 'not '}trade"
        found.append(
            _said("ok" if report.may_trade else "error", name, detail, "" if report.may_trade else "give it that right")
        )
    if report.may_withdraw:
        why = config.withdrawals
        detail = "its key may withdraw" + (f": {why}" if why else "")
        advice = "" if why else "make one that may not, or say why in withdrawals; live trading refuses it"
        found.append(_said("notice" if why else "error", name, detail, advice))
    return found + [_said("notice", name, note) for note in report.notes]
