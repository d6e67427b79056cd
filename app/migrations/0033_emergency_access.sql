-- Emergency access (45 CFR 164.312(a)(2)(ii)): for a short time, for a reason, and looked at afterwards by somebody else.
CREATE TABLE emergency_access (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES app_user (id),
    patient_id uuid NOT NULL CONSTRAINT emergency_access_patient_known REFERENCES patient (id),
    -- Sealed with a key of its own: who reviews the reason must not get the patient's key.
    kek_id bytea NOT NULL CHECK (octet_length(kek_id) = 16),
    data_key bytea NOT NULL,
    reason bytea NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    reviewed_by uuid REFERENCES app_user (id),
    reviewed_at timestamptz,
    verdict text CHECK (verdict IN ('justified', 'unjustified')),
    CONSTRAINT emergency_access_at_most_an_hour CHECK (expires_at <= granted_at + interval '60 minutes'),
    CONSTRAINT emergency_access_reviewed_by_another CHECK (reviewed_by <> user_id),
    CONSTRAINT emergency_access_reviewed_whole CHECK (num_nonnulls(reviewed_by, reviewed_at, verdict) IN (0, 3))
);

CREATE INDEX emergency_access_user ON emergency_access (user_id, expires_at);
CREATE INDEX emergency_access_patient ON emergency_access (patient_id);
CREATE INDEX emergency_access_reviewer ON emergency_access (reviewed_by);
CREATE INDEX emergency_access_open ON emergency_access (id) WHERE reviewed_at IS NULL;

ALTER TABLE emergency_access ENABLE ROW LEVEL SECURITY;
ALTER TABLE emergency_access FORCE ROW LEVEL SECURITY;

CREATE POLICY own_access_of_the_caller ON emergency_access FOR SELECT TO CURRENT_USER
    USING (user_id = (SELECT caller_id()));

-- The patients whom the caller reaches by an emergency access at this moment of the database's clock.
CREATE FUNCTION patients_in_emergency() RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    SELECT coalesce(array_agg(access.patient_id), '{}') FROM public.emergency_access AS access
    WHERE access.user_id = public.caller_id() AND access.expires_at > clock_timestamp()
$$;

REVOKE EXECUTE ON FUNCTION patients_in_emergency() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION patients_in_emergency() TO medical_app;

CREATE POLICY patients_in_emergency ON patient FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist') AND id = ANY ((SELECT patients_in_emergency())::uuid[]));

CREATE OR REPLACE FUNCTION relation_to(patient uuid) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN EXISTS (SELECT FROM app_user WHERE app_user.id = caller_id() AND app_user.patient_id = $1) THEN 'own'
        WHEN EXISTS (SELECT FROM care_relation AS relation
                     WHERE relation.user_id = caller_id() AND relation.patient_id = $1) THEN 'care'
        WHEN $1 = ANY (patients_in_emergency()) THEN 'emergency'
        ELSE 'none'
    END;

CREATE POLICY break_glass ON emergency_access FOR INSERT TO medical_app
    WITH CHECK ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist') AND user_id = (SELECT caller_id())
        AND reviewed_by IS NULL);

CREATE POLICY look_through ON emergency_access FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('auditor', 'administrator'));

CREATE POLICY review ON emergency_access FOR UPDATE TO medical_app
    USING ((SELECT caller_role()) IN ('auditor', 'administrator') AND user_id <> (SELECT caller_id())
        AND reviewed_by IS NULL)
    WITH CHECK (reviewed_by = (SELECT caller_id()));

GRANT SELECT ON emergency_access TO medical_app;
GRANT INSERT (id, user_id, patient_id, kek_id, data_key, reason, expires_at) ON emergency_access TO medical_app;
GRANT UPDATE (reviewed_by, reviewed_at, verdict) ON emergency_access TO medical_app;
