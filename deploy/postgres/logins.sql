-- After roles.sql, in psql: gives each role the password that the environment names, and makes one for the exporter of metrics.
\getenv migrator MIGRATOR_PASSWORD
\getenv worker WORKER_PASSWORD
\getenv producer PRODUCER_PASSWORD
\getenv exporter EXPORTER_PASSWORD

CREATE ROLE fulfillment_exporter LOGIN;
GRANT pg_monitor TO fulfillment_exporter;

ALTER ROLE fulfillment_migrator PASSWORD :'migrator';
ALTER ROLE fulfillment_worker PASSWORD :'worker';
ALTER ROLE fulfillment_producer PASSWORD :'producer';
ALTER ROLE fulfillment_exporter PASSWORD :'exporter';
