-- Sessions. Each one is a family of refresh tokens (RFC 9700 section 4.14.2): a token that is shown again after its use
-- was copied, nobody can tell by whom, and the whole session ends. Only the tokens' SHA-256 is stored.
CREATE TABLE user_session (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES app_user (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    idle_limit interval NOT NULL CHECK (idle_limit > interval '0'),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    client_address text CHECK (char_length(client_address) <= 45),
    user_agent text CHECK (char_length(user_agent) <= 200)
);

CREATE INDEX user_session_user ON user_session (user_id, created_at);

CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    session_id uuid NOT NULL REFERENCES user_session (id) ON DELETE CASCADE,
    issued_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);

CREATE INDEX refresh_token_session ON refresh_token (session_id);

-- The one place that says when a session is good, by the clock that all replicas share (R-127).
CREATE VIEW live_session AS
    SELECT id, user_id, created_at, last_used_at, expires_at, client_address, user_agent
    FROM user_session
    WHERE ended_at IS NULL AND expires_at > now() AND last_used_at + idle_limit > now();

GRANT SELECT ON live_session TO medical_app;
GRANT SELECT, INSERT, DELETE ON user_session TO medical_app;
GRANT UPDATE (last_used_at, ended_at) ON user_session TO medical_app;
GRANT SELECT, INSERT ON refresh_token TO medical_app;
GRANT UPDATE (used_at) ON refresh_token TO medical_app;
