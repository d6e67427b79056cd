-- The audit log is read by auditors, and by the program itself where it works for no caller. Everybody's rows go in.
ALTER TABLE audit_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_event FORCE ROW LEVEL SECURITY;

CREATE POLICY owner_keeps_the_log ON audit_event TO CURRENT_USER
    USING (true) WITH CHECK (true);

CREATE POLICY record ON audit_event FOR INSERT TO medical_app
    WITH CHECK (true);

CREATE POLICY read_without_a_caller ON audit_event FOR SELECT TO medical_app
    USING ((SELECT caller_id()) IS NULL);

CREATE POLICY read_as_auditor ON audit_event FOR SELECT TO medical_app
    USING ((SELECT caller_role()) = 'auditor');
