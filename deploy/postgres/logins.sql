-- After roles.sql, in psql: gives each role the password in its file of the folder that $SECRETS names, and makes one for the
-- exporter of metrics.
\set migrator `cat "$SECRETS/migrator-password"`
\set worker `cat "$SECRETS/worker-password"`
\set producer `cat "$SECRETS/producer-password"`
\set exporter `cat "$SECRETS/exporter-password"`

CREATE ROLE fulfillment_exporter LOGIN;
GRANT pg_monitor TO fulfillment_exporter;

ALTER ROLE fulfillment_migrator PASSWORD :'migrator';
ALTER ROLE fulfillment_worker PASSWORD :'worker';
ALTER ROLE fulfillment_producer PASSWORD :'producer';
ALTER ROLE fulfillment_exporter PASSWORD :'exporter';
