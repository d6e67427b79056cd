-- Users change their own password, and a login renews the hash of a password that was hashed with weaker parameters.
GRANT UPDATE (password_hash) ON app_user TO medical_app;
