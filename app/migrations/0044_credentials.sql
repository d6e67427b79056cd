-- Sessions and credentials are the program's own business, where it works for no caller: whoever reached the database in a
-- caller's transaction finds nobody's credentials there, and no sessions but the caller's own.
ALTER TABLE user_session ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_session FORCE ROW LEVEL SECURITY;
ALTER TABLE refresh_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_token FORCE ROW LEVEL SECURITY;
ALTER TABLE user_totp ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_totp FORCE ROW LEVEL SECURITY;
ALTER TABLE recovery_code ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_code FORCE ROW LEVEL SECURITY;
ALTER TABLE password_reset ENABLE ROW LEVEL SECURITY;
ALTER TABLE password_reset FORCE ROW LEVEL SECURITY;

CREATE POLICY own_sessions ON user_session TO medical_app
    USING ((SELECT caller_id()) IS NULL OR user_id = (SELECT caller_id()));
CREATE POLICY without_a_caller ON refresh_token TO medical_app
    USING ((SELECT caller_id()) IS NULL);
CREATE POLICY without_a_caller ON user_totp TO medical_app
    USING ((SELECT caller_id()) IS NULL);
CREATE POLICY without_a_caller ON recovery_code TO medical_app
    USING ((SELECT caller_id()) IS NULL);
CREATE POLICY without_a_caller ON password_reset TO medical_app
    USING ((SELECT caller_id()) IS NULL);

-- The owner makes tokens for a new password, removes lost authenticator apps, and wraps their secrets anew.
CREATE POLICY owner_keeps_sessions ON user_session TO CURRENT_USER
    USING (true) WITH CHECK (true);
CREATE POLICY owner_keeps_tokens ON refresh_token TO CURRENT_USER
    USING (true) WITH CHECK (true);
CREATE POLICY owner_keeps_secrets ON user_totp TO CURRENT_USER
    USING (true) WITH CHECK (true);
CREATE POLICY owner_keeps_codes ON recovery_code TO CURRENT_USER
    USING (true) WITH CHECK (true);
CREATE POLICY owner_makes_tokens ON password_reset TO CURRENT_USER
    USING (true) WITH CHECK (true);

-- The view shows what its reader may see, not what its owner may.
ALTER VIEW live_session SET (security_invoker = true);

-- After the fifth failure the next attempt waits for as long as 5 a minute take (R-176), then twice as long each time.
CREATE OR REPLACE FUNCTION attempt_delay(failures integer) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_interval(secs => CASE WHEN failures < 5 THEN 0
        ELSE least(900, 12 * power(2, least(failures, 20) - 5)) END);
