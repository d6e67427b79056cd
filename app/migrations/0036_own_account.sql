-- The program keeps an account's own columns, as far as they are granted: for its user, and before there is a caller. The
-- role and the end of an account are for another person to change, whatever else lets the row be changed.
CREATE POLICY keep_own_account ON app_user FOR UPDATE TO medical_app
    USING ((SELECT caller_id()) IS NULL OR id = (SELECT caller_id()));

CREATE FUNCTION guard_accounts() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
BEGIN
    IF current_user = 'medical_app'
        AND (public.caller_role() IS DISTINCT FROM 'administrator' OR NEW.id IS NOT DISTINCT FROM public.caller_id())
    THEN
        RAISE EXCEPTION 'another person has to change this' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION guard_accounts() FROM PUBLIC;

CREATE TRIGGER accounts_guarded BEFORE UPDATE OF role, access_role, active ON app_user
    FOR EACH ROW EXECUTE FUNCTION guard_accounts();
