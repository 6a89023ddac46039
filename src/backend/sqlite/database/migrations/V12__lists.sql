-- What leads to the newest entries of the timeline, and to those with a correlation id.
CREATE INDEX fulfillment_events_at ON fulfillment_events (at, order_id);
CREATE INDEX fulfillment_events_correlation_id ON fulfillment_events (correlation_id, order_id) WHERE correlation_id IS NOT NULL;
