-- Patients. Every column about the person is sealed by the application; see crypto/envelope.rs.
CREATE TABLE patient (
    id uuid PRIMARY KEY,
    version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    kek_id bytea NOT NULL CHECK (octet_length(kek_id) = 16),
    data_key bytea NOT NULL,
    record_number_index bytea NOT NULL CHECK (octet_length(record_number_index) = 32),
    record_number bytea NOT NULL,
    family_name bytea NOT NULL,
    given_name bytea NOT NULL,
    date_of_birth bytea NOT NULL,
    notes bytea,
    created_by uuid NOT NULL REFERENCES app_user (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT patient_record_number_unique UNIQUE (record_number_index)
);

CREATE INDEX patient_created_by ON patient (created_by);

-- Who cares for whom. It decides which patients a clinician sees.
CREATE TABLE care_relation (
    user_id uuid NOT NULL REFERENCES app_user (id),
    patient_id uuid NOT NULL REFERENCES patient (id) ON DELETE CASCADE,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, patient_id)
);

CREATE INDEX care_relation_patient ON care_relation (patient_id);

-- The clinician who admits a patient cares for them. A trigger writes the relation with the owner's rights, so that
-- the serving role needs no right to write relations and cannot give itself one.
CREATE FUNCTION admit_patient() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
BEGIN
    INSERT INTO public.care_relation (user_id, patient_id) VALUES (NEW.created_by, NEW.id);
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION admit_patient() FROM PUBLIC;

CREATE TRIGGER patient_admitted AFTER INSERT ON patient
    FOR EACH ROW EXECUTE FUNCTION admit_patient();

-- FORCE: the rules hold for the owner too.
ALTER TABLE patient ENABLE ROW LEVEL SECURITY;
ALTER TABLE patient FORCE ROW LEVEL SECURITY;
ALTER TABLE care_relation ENABLE ROW LEVEL SECURITY;
ALTER TABLE care_relation FORCE ROW LEVEL SECURITY;

-- The sub-selects make the caller a constant of the query instead of a function call for each row.
CREATE POLICY own_relations ON care_relation FOR SELECT TO medical_app
    USING (user_id = (SELECT caller_id()));

CREATE POLICY admission ON care_relation FOR INSERT TO CURRENT_USER
    WITH CHECK (true);

CREATE POLICY patients_in_care ON patient FOR SELECT TO medical_app
    USING ((SELECT caller_role()) = 'clinician'
        AND EXISTS (SELECT FROM care_relation AS relation
                    WHERE relation.patient_id = patient.id AND relation.user_id = (SELECT caller_id())));

CREATE POLICY admit_patients ON patient FOR INSERT TO medical_app
    WITH CHECK ((SELECT caller_role()) = 'clinician' AND created_by = (SELECT caller_id()));

CREATE POLICY change_patients_in_care ON patient FOR UPDATE TO medical_app
    USING ((SELECT caller_role()) = 'clinician'
        AND EXISTS (SELECT FROM care_relation AS relation
                    WHERE relation.patient_id = patient.id AND relation.user_id = (SELECT caller_id())));

GRANT SELECT, INSERT ON patient TO medical_app;
GRANT UPDATE (version, record_number_index, record_number, family_name, given_name, date_of_birth, notes, updated_at)
    ON patient TO medical_app;
GRANT SELECT ON care_relation TO medical_app;
