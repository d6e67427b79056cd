-- A doctor in care brings others into a patient's care team, and takes them out again.

-- For functions that run with the owner's rights on behalf of a caller: the rules hold for the owner, too.
CREATE POLICY own_relations_of_the_caller ON care_relation FOR SELECT TO CURRENT_USER
    USING (user_id = (SELECT caller_id()));

-- A policy on care_relation cannot look into care_relation itself.
CREATE FUNCTION cares_for(patient uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    SELECT EXISTS (SELECT FROM public.care_relation AS relation
                   WHERE relation.user_id = public.caller_id() AND relation.patient_id = $1)
$$;

-- Who may be in a care team.
CREATE FUNCTION is_caregiver(member uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
    SELECT EXISTS (SELECT FROM public.app_user
                   WHERE id = $1 AND active AND access_role IN ('doctor', 'nurse', 'radiologist'))
$$;

REVOKE EXECUTE ON FUNCTION cares_for(uuid), is_caregiver(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cares_for(uuid), is_caregiver(uuid) TO medical_app;

CREATE POLICY relations_of_the_team ON care_relation FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist') AND cares_for(patient_id));

CREATE POLICY join_team ON care_relation FOR INSERT TO medical_app
    WITH CHECK ((SELECT caller_role()) = 'doctor' AND cares_for(patient_id) AND is_caregiver(user_id));

-- Nobody leaves by their own hand: a patient would be left without care.
CREATE POLICY leave_team ON care_relation FOR DELETE TO medical_app
    USING ((SELECT caller_role()) = 'doctor' AND cares_for(patient_id) AND user_id <> (SELECT caller_id()));

GRANT INSERT (user_id, patient_id), DELETE ON care_relation TO medical_app;
