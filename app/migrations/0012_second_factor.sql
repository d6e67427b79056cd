-- One-time passwords (RFC 6238) and recovery codes. The secret is sealed by the application; see crypto/vault.rs.
CREATE TABLE user_totp (
    user_id uuid PRIMARY KEY REFERENCES app_user (id),
    kek_id bytea NOT NULL CHECK (octet_length(kek_id) = 16),
    data_key bytea NOT NULL,
    secret bytea NOT NULL,
    -- Time step of the last code that was taken: no code is good twice (RFC 6238 section 5.2).
    last_step bigint NOT NULL DEFAULT 0,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz
);

CREATE TABLE recovery_code (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    user_id uuid NOT NULL REFERENCES app_user (id),
    used_at timestamptz
);

CREATE INDEX recovery_code_user ON recovery_code (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON user_totp TO medical_app;
GRANT SELECT, INSERT, DELETE ON recovery_code TO medical_app;
GRANT UPDATE (used_at) ON recovery_code TO medical_app;

-- Whether the session was started, or strengthened, with a second factor.
ALTER TABLE user_session ADD COLUMN second_factor boolean NOT NULL DEFAULT false;
GRANT UPDATE (second_factor) ON user_session TO medical_app;

CREATE OR REPLACE VIEW live_session AS
    SELECT id, user_id, created_at, last_used_at, expires_at, client_address, user_agent, second_factor
    FROM user_session
    WHERE ended_at IS NULL AND expires_at > now() AND last_used_at + idle_limit > now();
