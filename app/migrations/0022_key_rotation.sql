-- Work on every patient's key: rotation, destruction, verification. It is the owner's, in a transaction that says so; a
-- connection of the owner that does not say so goes on seeing nothing.
CREATE POLICY maintenance ON patient TO CURRENT_USER
    USING ((SELECT caller_role()) = 'maintenance')
    WITH CHECK ((SELECT caller_role()) = 'maintenance');

CREATE POLICY maintenance ON care_relation FOR ALL TO CURRENT_USER
    USING ((SELECT caller_role()) = 'maintenance')
    WITH CHECK ((SELECT caller_role()) = 'maintenance');

-- A patient whose key was destroyed. The row stays, because the audit log names it; nobody is shown it.
ALTER TABLE patient ADD COLUMN shredded_at timestamptz;

CREATE POLICY not_shredded ON patient AS RESTRICTIVE TO medical_app
    USING (shredded_at IS NULL);

-- For what is still to be wrapped anew; also for counting it.
CREATE INDEX patient_kek_id ON patient (kek_id);

-- How many data keys each key-encryption key wraps: numbers only, so that the serving role may show them as metrics.
CREATE FUNCTION data_key_usage() RETURNS TABLE (kek_id bytea, data_keys bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
DECLARE
    role_before text := current_setting('app.role', true);
BEGIN
    PERFORM set_config('app.role', 'maintenance', true);
    RETURN QUERY SELECT patient.kek_id, count(*) FROM public.patient
        WHERE patient.shredded_at IS NULL GROUP BY patient.kek_id;
    PERFORM set_config('app.role', coalesce(role_before, ''), true);
END
$$;

REVOKE EXECUTE ON FUNCTION data_key_usage() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION data_key_usage() TO medical_app;
