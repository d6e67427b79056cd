-- Which creation an Idempotency-Key stood for, for 24 hours. It names the created record and holds nothing of it: a
-- repeated request reads the record again. The key and the body's fingerprint are keyed hashes.
CREATE TABLE idempotency_key (
    account uuid NOT NULL REFERENCES app_user (id),
    key bytea NOT NULL CHECK (octet_length(key) = 32),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    resource_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, key)
);

ALTER TABLE idempotency_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_key FORCE ROW LEVEL SECURITY;

CREATE POLICY own_keys ON idempotency_key TO medical_app
    USING (account = (SELECT caller_id()))
    WITH CHECK (account = (SELECT caller_id()));

GRANT SELECT, INSERT, DELETE ON idempotency_key TO medical_app;
