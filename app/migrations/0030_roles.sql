-- Expand: the roles of this version stand in a column of their own. `role` stays for the previous version, which knows
-- doctors as clinicians and refuses a role that it does not know; a later version drops it with the trigger below.
ALTER TABLE app_user ADD COLUMN access_role text;

UPDATE app_user SET access_role = CASE role WHEN 'clinician' THEN 'doctor' ELSE role END;

ALTER TABLE app_user
    ALTER COLUMN access_role SET NOT NULL,
    ADD CONSTRAINT app_user_access_role_known CHECK (access_role IN
        ('doctor', 'nurse', 'radiologist', 'receptionist', 'patient', 'auditor', 'administrator')),
    DROP CONSTRAINT app_user_role_check;

-- The patient whose account it is.
ALTER TABLE app_user
    ADD COLUMN patient_id uuid CONSTRAINT app_user_one_account_a_patient UNIQUE
        CONSTRAINT app_user_patient_known REFERENCES patient (id),
    ADD CONSTRAINT app_user_patients_have_a_record CHECK ((access_role = 'patient') = (patient_id IS NOT NULL));

CREATE FUNCTION keep_both_role_columns() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
BEGIN
    -- The previous version writes `role`, this one `access_role`.
    IF TG_OP = 'INSERT' THEN
        NEW.access_role := coalesce(NEW.access_role, NEW.role);
    ELSIF NEW.role <> OLD.role AND NEW.access_role = OLD.access_role THEN
        NEW.access_role := NEW.role;
    END IF;
    IF NEW.access_role = 'clinician' THEN
        NEW.access_role := 'doctor';
    END IF;
    NEW.role := CASE NEW.access_role WHEN 'doctor' THEN 'clinician' ELSE NEW.access_role END;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION keep_both_role_columns() FROM PUBLIC;

CREATE TRIGGER both_role_columns BEFORE INSERT OR UPDATE OF role, access_role ON app_user
    FOR EACH ROW EXECUTE FUNCTION keep_both_role_columns();

-- The previous version calls a doctor by the former name.
CREATE OR REPLACE FUNCTION caller_role() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE current_setting('app.role', true)
        WHEN '' THEN NULL
        WHEN 'clinician' THEN 'doctor'
        ELSE current_setting('app.role', true)
    END;
