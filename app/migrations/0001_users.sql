-- Staff accounts. The serving role reads them for login; only the owner creates and changes them.
CREATE TABLE app_user (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (char_length(email) BETWEEN 3 AND 254 AND email = lower(email)),
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
    role text NOT NULL CHECK (role IN ('clinician', 'administrator')),
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT ON app_user TO medical_app;

-- The caller of the current transaction. Without a caller both are null, and every policy below says no.
CREATE FUNCTION caller_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.user_id', true), '')::uuid;

CREATE FUNCTION caller_role() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.role', true), '');

REVOKE EXECUTE ON FUNCTION caller_id(), caller_role() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION caller_id(), caller_role() TO medical_app;

-- Fingerprints of the keys that stored data depends on. A process that holds other keys does not become ready, instead
-- of writing rows that nobody can read or find again.
CREATE TABLE key_fingerprint (
    purpose text NOT NULL CHECK (purpose IN ('phi-kek', 'blind-index')),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (purpose, fingerprint)
);

GRANT SELECT, INSERT ON key_fingerprint TO medical_app;
