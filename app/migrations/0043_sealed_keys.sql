-- Emergency accesses and authenticator apps hold data keys of their own: a rotation that passed over them would lose the
-- reasons and the secrets with the former key-encryption key.
CREATE POLICY maintenance ON emergency_access TO CURRENT_USER
    USING ((SELECT caller_role()) = 'maintenance')
    WITH CHECK ((SELECT caller_role()) = 'maintenance');

CREATE INDEX emergency_access_kek_id ON emergency_access (kek_id);
CREATE INDEX user_totp_kek_id ON user_totp (kek_id);

CREATE OR REPLACE FUNCTION data_key_usage() RETURNS TABLE (kek_id bytea, data_keys bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
DECLARE
    role_before text := current_setting('app.role', true);
BEGIN
    PERFORM set_config('app.role', 'maintenance', true);
    RETURN QUERY SELECT holder.kek_id, count(*) FROM (
            SELECT patient.kek_id FROM public.patient WHERE patient.shredded_at IS NULL
            UNION ALL SELECT access.kek_id FROM public.emergency_access AS access WHERE access.data_key <> ''
            UNION ALL SELECT totp.kek_id FROM public.user_totp AS totp
        ) AS holder GROUP BY holder.kek_id;
    PERFORM set_config('app.role', coalesce(role_before, ''), true);
END
$$;
