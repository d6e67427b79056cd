-- Administrators change roles and end accounts; the owner makes accounts.
ALTER TABLE app_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE app_user FORCE ROW LEVEL SECURITY;

CREATE POLICY owner_makes_accounts ON app_user TO CURRENT_USER
    USING (true) WITH CHECK (true);

-- Without a caller it is the program itself that looks for one.
CREATE POLICY own_account ON app_user FOR SELECT TO medical_app
    USING ((SELECT caller_id()) IS NULL OR id = (SELECT caller_id()));

CREATE POLICY accounts_for_administrators ON app_user FOR SELECT TO medical_app
    USING ((SELECT caller_role()) = 'administrator');

-- The care team shows its members' names. Of care_relation a caller sees the teams that they are in.
CREATE POLICY colleagues ON app_user FOR SELECT TO medical_app
    USING ((SELECT caller_role()) IN ('doctor', 'nurse', 'radiologist')
        AND EXISTS (SELECT FROM care_relation AS relation WHERE relation.user_id = app_user.id));

-- Nobody gives rights to themselves, and nobody locks themselves out.
CREATE POLICY administer_accounts ON app_user FOR UPDATE TO medical_app
    USING ((SELECT caller_role()) = 'administrator' AND id <> (SELECT caller_id()));

GRANT UPDATE (access_role, active) ON app_user TO medical_app;
