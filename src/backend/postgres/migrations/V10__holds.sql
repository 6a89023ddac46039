-- Orders that are not to be begun, for now or until a time. Every statement may be run again.
-- Workers of the version before go on working while and after this is applied, and know nothing of holds.

-- A hold is in force until `until`, or without an end. One that is over is removed by the leader of the reconcilers; until then it
-- keeps `not_before`, the time that a message named, so that the same message doesn't hold again an order that was released.
CREATE TABLE IF NOT EXISTS fulfillment.holds (
    order_id   bigint      PRIMARY KEY,
    until      timestamptz CHECK (isfinite(until)),
    held_by    text        NOT NULL,
    why        text        NOT NULL,
    at         timestamptz NOT NULL,
    not_before timestamptz
);
