-- Who did what to which record, when, and how it ended. Nothing about the person themselves.
CREATE TABLE audit_event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_id uuid,
    actor_role text CHECK (char_length(actor_role) <= 32),
    action text NOT NULL CHECK (char_length(action) <= 32),
    resource text NOT NULL CHECK (char_length(resource) <= 32),
    resource_ids uuid[] NOT NULL DEFAULT '{}',
    outcome text NOT NULL CHECK (char_length(outcome) <= 32),
    request_id uuid NOT NULL,
    client_address text CHECK (char_length(client_address) <= 45)
);

CREATE INDEX audit_event_occurred_at ON audit_event (occurred_at);
CREATE INDEX audit_event_actor ON audit_event (actor_id, occurred_at);
CREATE INDEX audit_event_resource_ids ON audit_event USING gin (resource_ids);

-- Append only: by grants for the serving role, by triggers for everybody, the owner included.
CREATE FUNCTION refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

GRANT SELECT, INSERT ON audit_event TO medical_app;
