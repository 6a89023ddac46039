-- The worker's own tables. Nothing here touches `orders` or `products`, which belong to the order API.
-- Every statement may be run again: an administrator may have applied this file by hand (`migrate --print`).

CREATE SCHEMA IF NOT EXISTS fulfillment;

-- One row per transition of an order. `at` is the `orders.updated_at` that the transition wrote.
CREATE TABLE IF NOT EXISTS fulfillment.events (
    order_id       bigint    NOT NULL,
    at             timestamp NOT NULL,
    state          text      NOT NULL,
    attempt        integer   NOT NULL,
    worker         text      NOT NULL,
    correlation_id text,
    note           text,
    PRIMARY KEY (order_id, at)
);

-- One row per message that was given up. `order_id` is null where the message named none.
CREATE TABLE IF NOT EXISTS fulfillment.dead_letters (
    id       bigint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    claim_id text      NOT NULL UNIQUE,
    order_id bigint,
    payload  bytea     NOT NULL,
    reason   text      NOT NULL,
    detail   text      NOT NULL,
    attempts integer   NOT NULL,
    worker   text      NOT NULL,
    at       timestamp NOT NULL
);

CREATE INDEX IF NOT EXISTS dead_letters_order_id ON fulfillment.dead_letters (order_id) WHERE order_id IS NOT NULL;
