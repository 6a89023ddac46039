-- Orders that are not to be begun: until `until`, or without an end. A hold that is over is removed by the leader of the reconcilers;
-- until then it keeps `not_before`, the time that a message named, so that the same message doesn't hold again an order that was
-- released. Times are microseconds since 1970.
CREATE TABLE fulfillment_holds (
    order_id   INTEGER PRIMARY KEY,
    until      INTEGER,
    held_by    TEXT    NOT NULL,
    why        TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    not_before INTEGER
) STRICT;
