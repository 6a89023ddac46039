#!/usr/bin/env python3
"""Measures what indexes and fillfactor of `orders` cost the two updates that every order gets: the figures of docs/TUNING.md.

Usage: scripts/with-servers.sh --durable python3 scripts/tuning.py [ORDERS] [ROUNDS]

Each variant has a table of its own with the given columns. ORDERS rows are inserted, then moved to `processing` and on to
`fulfilled` in batches of 500, a commit each, as the worker does. Variants take turns, so that what else the machine does hits
all of them; the table shows medians. WAL is counted by its position, HOT updates by pg_stat_user_tables, and processor time is
that of the server's process, from /proc: the server must run on this machine. BRIN counts from Postgres 16 on alone. The
last two variants have a transaction beside them that began before and stays open, so that nothing may be cleared away.
"""

import contextlib
import os
import statistics
import subprocess
import sys

URL = os.environ["TEST_POSTGRES_URL"]
ORDERS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
INDEXES = {
    "btree on status": "CREATE INDEX ON tuning (status);",
    "BRIN on status": "CREATE INDEX ON tuning USING brin (status);",
    "none on status": "",
}
FILLFACTORS = [100, 90, 50]
TICKS = os.sysconf("SC_CLK_TCK")

SCRIPT = """
\\set QUIET on
\\pset format unaligned
\\pset tuples_only on
DROP TABLE IF EXISTS tuning;
DROP TABLE IF EXISTS tuning_products;
CHECKPOINT;
CREATE TABLE tuning_products (id SERIAL PRIMARY KEY);
INSERT INTO tuning_products SELECT FROM generate_series(1, 100);
CREATE TABLE tuning (
    id SERIAL PRIMARY KEY, product_id INT NOT NULL REFERENCES tuning_products(id), quantity INT NOT NULL CHECK (quantity > 0),
    status VARCHAR(50) DEFAULT 'pending', created_at TIMESTAMP DEFAULT NOW(), updated_at TIMESTAMP DEFAULT NOW()
) WITH (fillfactor = {fillfactor}, autovacuum_enabled = off);
CREATE INDEX ON tuning (product_id);
{index}
INSERT INTO tuning (product_id, quantity) SELECT n % 100 + 1, 1 FROM generate_series(1, {orders}) n;
ANALYZE tuning;
SELECT pg_backend_pid() AS pid \\gset
\\setenv BACKEND :pid
\\! cut -d' ' -f14,15 /proc/$BACKEND/stat
SELECT pg_current_wal_insert_lsn() AS before \\gset
DO $$
DECLARE
    step text[];
    ids int[];
BEGIN
    FOR batch IN 0 .. {orders} / 500 - 1 LOOP
        SELECT array_agg(n) INTO ids FROM generate_series(batch * 500 + 1, batch * 500 + 500) n;
        FOREACH step SLICE 1 IN ARRAY ARRAY[['pending', 'processing'], ['processing', 'fulfilled']] LOOP
            UPDATE tuning SET status = step[2], updated_at = clock_timestamp() WHERE id = ANY (ids) AND status = step[1];
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
SELECT pg_current_wal_insert_lsn() - :'before';
\\! cut -d' ' -f14,15 /proc/$BACKEND/stat
SELECT pg_stat_force_next_flush();
SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'tuning';
SELECT pg_table_size('tuning');
SELECT pg_indexes_size('tuning');
"""


def psql(script):
    command = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", URL]
    return subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout.split()


@contextlib.contextmanager
def open_transaction():
    session = subprocess.Popen(
        ["psql", "--no-psqlrc", "--quiet", "--dbname", URL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    session.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n")
    session.stdin.flush()
    session.stdout.readline()
    yield
    session.stdin.close()
    session.wait()


def measure(index, fillfactor, held):
    with open_transaction() if held else contextlib.nullcontext():
        said = psql(SCRIPT.format(index=INDEXES[index], fillfactor=fillfactor, orders=ORDERS))
    user0, system0, wal, user1, system1, hot, table, indexes = said
    hot, updates = (int(number) for number in hot.split("|"))
    assert updates == 2 * ORDERS, said
    ticks = int(user1) + int(system1) - int(user0) - int(system0)
    return {
        "cpu": ticks / TICKS / ORDERS * 1e6,
        "wal": float(wal) / ORDERS,
        "hot": 100 * hot / updates,
        "table": int(table) / ORDERS,
        "indexes": int(indexes) / ORDERS,
    }


def main():
    version = psql("\\set QUIET on\n\\pset tuples_only on\nSHOW server_version;")[0]
    variants = [(name, fillfactor, False) for name in INDEXES for fillfactor in FILLFACTORS]
    variants += [("none on status", fillfactor, True) for fillfactor in (100, 50)]
    found = {variant: [] for variant in variants}
    for _ in range(ROUNDS):
        for variant in variants:
            found[variant].append(measure(*variant))
    medians = {
        variant: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for variant, runs in found.items()
    }
    first = medians[variants[0]]
    print(f"Postgres {version}, {ORDERS} orders, medians of {ROUNDS} rounds")
    print("| index | fillfactor | HOT | WAL, bytes an order | ratio | processor time, µs an order | ratio | table and indexes, bytes an order |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, fillfactor, held), row in medians.items():
        print(
            f"| {name}{', an open transaction beside' if held else ''} | {fillfactor} | {row['hot']:.0f} % | {row['wal']:,.0f} | {row['wal'] / first['wal']:.2f} "
            f"| {row['cpu']:.1f} | {row['cpu'] / first['cpu']:.2f} | {row['table']:.0f} + {row['indexes']:.0f} |"
        )


if __name__ == "__main__":
    main()
