"""The tables of a paper book, and how a book of an older version becomes one of this."""

from __future__ import annotations

from typing import Final

VERSION: Final = 4
"""Of the tables below; a file says its own in ``user_version``."""

SCHEMA: Final = """
-- whose book this is; one row
CREATE TABLE identity (venue TEXT NOT NULL, account TEXT NOT NULL) STRICT;

-- money paid in when the book was opened first; never changed
CREATE TABLE deposits (asset TEXT PRIMARY KEY, amount TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- every order ever accepted, one row for its whole life; client_order_id is what makes accepting idempotent
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,                  -- the venue's order id, from 1, in order of acceptance
    client_order_id TEXT NOT NULL UNIQUE,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,                      -- buy, sell
    type TEXT NOT NULL,                      -- market, limit
    quantity TEXT NOT NULL,                  -- base units
    limit_price TEXT,                        -- quote per base; NULL on market orders
    reduce_only INTEGER NOT NULL,
    status TEXT NOT NULL,                    -- of order_life: acknowledged, partially_filled, filled, cancelled ...
    filled TEXT NOT NULL,                    -- base units executed
    filled_notional TEXT NOT NULL,           -- sum of price x quantity of its fills, quote currency
    fee TEXT NOT NULL,                       -- sum of the fees of its fills
    fee_currency TEXT NOT NULL,
    reason TEXT NOT NULL,                    -- why the venue ended it, when it did
    held_asset TEXT NOT NULL,                -- what it locks while it is open ...
    held_amount TEXT NOT NULL,               -- ... and how much of it
    not_before INTEGER NOT NULL DEFAULT 0,   -- when it was accepted, ns since 1970 UTC; it trades on nothing older
    ended_at INTEGER,                        -- when it was filled whole, cancelled or expired; NULL: it has not ended
    time_in_force TEXT NOT NULL DEFAULT 'gtc'
) STRICT;
CREATE INDEX open_orders ON orders (id) WHERE ended_at IS NULL;

-- every execution; id from 1 without gaps, in order of execution; rows are only ever added
CREATE TABLE fills (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    time INTEGER NOT NULL,                   -- of the quote, or the start of the bar, ns since 1970 UTC
    bar_offset INTEGER                       -- of that bar in its recording; NULL: it traded on a quote
) STRICT;

-- what the account holds: currencies and spot assets by name, contracts by symbol (below zero: short)
CREATE TABLE balances (asset TEXT PRIMARY KEY, total TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- the last bar and quote of each symbol that the rows above know of; those at or before it are ignored
CREATE TABLE cursors (
    symbol TEXT PRIMARY KEY,
    bar_offset INTEGER NOT NULL,             -- of the bar in its recording; -1: none
    last_price TEXT NOT NULL,
    quoted_at INTEGER NOT NULL DEFAULT 0     -- time of the quote, ns since 1970 UTC; 0: none
) STRICT, WITHOUT ROWID;
"""

UPGRADES: Final = {
    1: """
ALTER TABLE orders ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN ended_at INTEGER;
UPDATE orders SET ended_at = 0 WHERE status <> 'open';
""",  # a book of version 1 did not say when
    2: """
DROP INDEX open_orders;
CREATE INDEX open_orders ON orders (id) WHERE ended_at IS NULL;
UPDATE orders SET status = 'acknowledged' WHERE status = 'open' AND filled = '0';
UPDATE orders SET status = 'partially_filled' WHERE status = 'open';
UPDATE orders SET status = 'cancelled' WHERE status = 'canceled' AND filled = '0';
UPDATE orders SET status = 'partially_cancelled' WHERE status = 'canceled';
""",  # version 2 had four words for an order's state
    3: """
ALTER TABLE orders ADD COLUMN time_in_force TEXT NOT NULL DEFAULT 'gtc';
ALTER TABLE cursors ADD COLUMN quoted_at INTEGER NOT NULL DEFAULT 0;
CREATE TABLE fills_4 (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    price TEXT NOT NULL,
    quantity TEXT NOT NULL,
    fee TEXT NOT NULL,
    fee_currency TEXT NOT NULL,
    time INTEGER NOT NULL,
    bar_offset INTEGER
) STRICT;
INSERT INTO fills_4 SELECT id, order_id, price, quantity, fee, fee_currency, time, bar_offset FROM fills;
DROP TABLE fills;
ALTER TABLE fills_4 RENAME TO fills;
""",  # version 3 knew bars alone, and orders that stand until they are cancelled
}
"""From each version to the next; a file is brought up step by step, in one transaction."""
