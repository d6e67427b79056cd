-- The audit log in monthly partitions, and beside it the keyed chain that makes a change of it evident.
--
-- A previous version of the program goes on inserting: it names the columns that it knows, the others have defaults.
ALTER TABLE audit_event RENAME TO audit_event_before;
ALTER TABLE audit_event_before RENAME CONSTRAINT audit_event_pkey TO audit_event_before_pkey;
ALTER INDEX audit_event_occurred_at RENAME TO audit_event_before_occurred_at;
ALTER INDEX audit_event_actor RENAME TO audit_event_before_actor;
ALTER INDEX audit_event_resource_ids RENAME TO audit_event_before_resource_ids;

-- Not an identity column: PostgreSQL before 17 does not know these on partitions.
CREATE SEQUENCE audit_event_number AS bigint;

CREATE TABLE audit_event (
    sequence bigint NOT NULL DEFAULT nextval('audit_event_number'),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor_id uuid,
    actor_role text CHECK (char_length(actor_role) <= 32),
    session_id uuid,
    action text NOT NULL CHECK (char_length(action) <= 32),
    resource text NOT NULL CHECK (char_length(resource) <= 32),
    resource_ids uuid[] NOT NULL DEFAULT '{}',
    -- Patients whom the objects are about, where the objects are not patients themselves.
    patient_ids uuid[] NOT NULL DEFAULT '{}',
    outcome text NOT NULL CHECK (char_length(outcome) <= 32),
    request_id uuid NOT NULL,
    client_address text CHECK (char_length(client_address) <= 45),
    -- Sealed: a reason or a change may say something about the person.
    purpose bytea CHECK (octet_length(purpose) <= 4096),
    diff bytea CHECK (octet_length(diff) <= 1048576),
    -- HMAC over the canonical form of all of the above but the sequence; absent in rows of versions that wrote none.
    mac bytea CHECK (octet_length(mac) = 32),
    PRIMARY KEY (sequence, occurred_at),
    UNIQUE (id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX audit_event_occurred_at ON audit_event (occurred_at);
CREATE INDEX audit_event_actor ON audit_event (actor_id, occurred_at);
CREATE INDEX audit_event_resource_ids ON audit_event USING gin (resource_ids);
CREATE INDEX audit_event_patient_ids ON audit_event USING gin (patient_ids);

CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- Rows that are in no chain yet. A row enters with the transaction that wrote it, so that one which commits late is found
-- when it is there, and the gap of one that was rolled back is nothing to wait for.
CREATE TABLE audit_unsealed (
    sequence bigint PRIMARY KEY,
    occurred_at timestamptz NOT NULL
);

CREATE FUNCTION queue_audit_event() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    AS $$
BEGIN
    INSERT INTO public.audit_unsealed (sequence, occurred_at) VALUES (NEW.sequence, NEW.occurred_at);
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION queue_audit_event() FROM PUBLIC;

CREATE TRIGGER audit_event_unsealed AFTER INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION queue_audit_event();

-- Makes the partition of one month if it is missing. Attaching, other than creating in place, lets inserts go on.
CREATE FUNCTION create_audit_partition(month timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    SET timezone = 'UTC'
    AS $$
DECLARE
    first timestamptz := date_trunc('month', month);
    name text := 'audit_event_' || to_char(first, 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_event partitions'));
    IF to_regclass('public.' || quote_ident(name)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON public.%I
            FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change()', name);
        EXECUTE format('ALTER TABLE public.audit_event ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, first, first + interval '1 month');
    END IF;
END
$$;

-- What the serving role may call: this month and the next three, so that no insert ever meets a missing partition.
CREATE FUNCTION create_audit_partitions_ahead() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public
    SET timezone = 'UTC'
    AS $$
BEGIN
    FOR ahead IN 0..3 LOOP
        PERFORM public.create_audit_partition(date_trunc('month', now()) + make_interval(months => ahead));
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION create_audit_partition(timestamptz), create_audit_partitions_ahead() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_audit_partitions_ahead() TO medical_app;

-- The rows so far move into the partitions of their months, with their numbers.
SELECT create_audit_partitions_ahead();
SELECT create_audit_partition(month)
    FROM (SELECT DISTINCT date_trunc('month', occurred_at, 'UTC') AS month FROM audit_event_before) AS months;
INSERT INTO audit_event (sequence, occurred_at, actor_id, actor_role, action, resource, resource_ids, outcome, request_id,
                         client_address)
    SELECT sequence, occurred_at, actor_id, actor_role, action, resource, resource_ids, outcome, request_id, client_address
    FROM audit_event_before ORDER BY sequence;
SELECT setval('audit_event_number', greatest(max(sequence), 1), max(sequence) IS NOT NULL) FROM audit_event;
DROP TABLE audit_event_before;

-- The chain: one link a row, in the order of sealing. It outlives the rows, so that it verifies after they are pruned.
CREATE TABLE audit_link (
    position bigint PRIMARY KEY CHECK (position > 0),
    sequence bigint NOT NULL UNIQUE,
    occurred_at timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL,
    authenticity text NOT NULL CHECK (authenticity IN ('keyed', 'unkeyed', 'forged', 'missing')),
    content bytea NOT NULL CHECK (octet_length(content) = 32),
    link bytea NOT NULL CHECK (octet_length(link) = 32)
);

-- Signed heads of the chain.
CREATE TABLE audit_checkpoint (
    position bigint PRIMARY KEY CHECK (position > 0),
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    signed_at timestamptz NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);

-- Signed statements that rows older than a time were pruned.
CREATE TABLE audit_tombstone (
    before timestamptz PRIMARY KEY,
    pruned bigint NOT NULL CHECK (pruned >= 0),
    signed_at timestamptz NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64)
);

CREATE TRIGGER audit_link_append_only BEFORE UPDATE OR DELETE ON audit_link
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_link_no_truncate BEFORE TRUNCATE ON audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE ON audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_checkpoint_no_truncate BEFORE TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_tombstone_append_only BEFORE UPDATE OR DELETE ON audit_tombstone
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_tombstone_no_truncate BEFORE TRUNCATE ON audit_tombstone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

GRANT SELECT ON audit_event TO medical_app;
-- Not the sequence: the order of numbers is the database's.
GRANT INSERT (id, occurred_at, actor_id, actor_role, session_id, action, resource, resource_ids, patient_ids, outcome,
              request_id, client_address, purpose, diff, mac) ON audit_event TO medical_app;
GRANT USAGE ON SEQUENCE audit_event_number TO medical_app;
GRANT SELECT, DELETE ON audit_unsealed TO medical_app;
GRANT SELECT, INSERT ON audit_link, audit_checkpoint TO medical_app;
GRANT SELECT ON audit_tombstone TO medical_app;
