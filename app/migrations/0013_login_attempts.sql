-- Attempts to prove an identity since the last success, for all replicas together. The account is an HMAC of the address,
-- for known and unknown addresses alike: the table tells neither who was tried nor who exists.
CREATE TABLE login_attempt (
    account bytea PRIMARY KEY CHECK (octet_length(account) = 32),
    failures integer NOT NULL CHECK (failures > 0),
    attempted_at timestamptz NOT NULL DEFAULT now(),
    blocked_until timestamptz NOT NULL
);

CREATE INDEX login_attempt_attempted_at ON login_attempt (attempted_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON login_attempt TO medical_app;

-- One-time tokens by which a user sets a new password. Only the owner makes them.
CREATE TABLE password_reset (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id uuid NOT NULL REFERENCES app_user (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE INDEX password_reset_user ON password_reset (user_id);

GRANT SELECT ON password_reset TO medical_app;
GRANT UPDATE (used_at) ON password_reset TO medical_app;

-- How long an account waits after so many failures: 1 s after the fifth, then twice as long each time, 15 minutes at most.
CREATE FUNCTION attempt_delay(failures integer) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_interval(secs => CASE WHEN failures < 5 THEN 0 ELSE least(900, power(2, least(failures, 20) - 5)) END);

REVOKE EXECUTE ON FUNCTION attempt_delay(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION attempt_delay(integer) TO medical_app;
