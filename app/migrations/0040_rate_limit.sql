-- What clients owe of their rate limits, for all processes together. Unlogged: it is written often and worth nothing
-- after a crash. A bucket is a keyed hash; see rate_limit/mod.rs. No index but the key: updates stay in their page.
CREATE UNLOGGED TABLE rate_limit (
    bucket bytea PRIMARY KEY CHECK (octet_length(bucket) = 32),
    paid_until timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limit TO medical_app;
