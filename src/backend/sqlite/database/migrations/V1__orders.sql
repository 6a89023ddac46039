-- Products and orders: the columns of the order API's own tables. In an embedded file nobody else makes them.
-- Times are microseconds since 1970-01-01 00:00 UTC.
CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (length(name) <= 255),
    price REAL NOT NULL,
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

-- Keys are never given out twice, as timelines and dead letters outlive a row that somebody deletes.
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    status TEXT DEFAULT 'pending' CHECK (length(status) <= 50),
    created_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at INTEGER DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

-- Leaves out what is done, so that it stays small and every question about open orders fast.
CREATE INDEX orders_not_fulfilled ON orders (status, created_at) WHERE status IS NOT 'fulfilled';
