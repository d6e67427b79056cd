-- Which patients a role reaches, and by which relation; the same table as src/policy/table.rs, and a test compares them.
CREATE FUNCTION relation_to(patient uuid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN EXISTS (SELECT FROM app_user WHERE app_user.id = caller_id() AND app_user.patient_id = $1) THEN 'own'
        WHEN EXISTS (SELECT FROM care_relation AS relation
                     WHERE relation.user_id = caller_id() AND relation.patient_id = $1) THEN 'care'
        ELSE 'none'
    END;

REVOKE EXECUTE ON FUNCTION relation_to(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION relation_to(uuid) TO medical_app;

DROP POLICY own_relations ON care_relation;
DROP POLICY patients_in_care ON patient;
DROP POLICY admit_patients ON patient;
DROP POLICY change_patients_in_care ON patient;

-- A relation outlives a change of role, but gives nothing to a role that does not care for patients.
CREATE POLICY own_relations ON care_relation FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist') AND user_id = (SELECT caller_id()));

CREATE POLICY patients_in_care ON patient FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist')
        AND EXISTS (SELECT FROM care_relation AS relation
                    WHERE relation.patient_id = patient.id AND relation.user_id = (SELECT caller_id())));

CREATE POLICY patients_at_reception ON patient FOR SELECT TO medical_app
    USING ((SELECT caller_role()) = 'receptionist');

CREATE POLICY own_record ON patient FOR SELECT TO medical_app
    USING ((SELECT caller_role()) = 'patient'
        AND id = (SELECT account.patient_id FROM app_user AS account WHERE account.id = (SELECT caller_id())));

CREATE POLICY admit_patients ON patient FOR INSERT TO medical_app
    WITH CHECK ((SELECT caller_role()) = 'doctor' AND created_by = (SELECT caller_id()));

CREATE POLICY change_patients_in_care ON patient FOR UPDATE TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse')
        AND EXISTS (SELECT FROM care_relation AS relation
                    WHERE relation.patient_id = patient.id AND relation.user_id = (SELECT caller_id())));

CREATE POLICY change_patients_at_reception ON patient FOR UPDATE TO medical_app
    USING ((SELECT caller_role()) = 'receptionist');

-- Row-level security knows no columns. An unchanged value keeps its sealed form, so that a new one tells a change.
CREATE FUNCTION guard_patient_fields() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    AS $$
BEGIN
    IF public.caller_role() = 'nurse' AND NEW.date_of_birth IS DISTINCT FROM OLD.date_of_birth
        OR public.caller_role() = 'receptionist' AND NEW.notes IS DISTINCT FROM OLD.notes
    THEN
        RAISE EXCEPTION 'the role may not change this field' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION guard_patient_fields() FROM PUBLIC;

CREATE TRIGGER patient_fields_guarded BEFORE UPDATE ON patient
    FOR EACH ROW EXECUTE FUNCTION guard_patient_fields();
