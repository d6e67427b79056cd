-- Drops the months of the audit log that ended before a time, as the owner; the serving role may not call it. Seven years
-- are kept whatever the caller says (2557 days: seven times 365, and the leap days).
CREATE FUNCTION drop_audit_partitions(before timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
    SET timezone = 'UTC'
    AS $$
DECLARE
    partition record;
    dropped bigint;
BEGIN
    IF before > now() - interval '2557 days' THEN
        RAISE EXCEPTION 'the audit log of the last 2557 days is kept' USING ERRCODE = 'check_violation';
    END IF;
    SELECT count(*) INTO dropped FROM public.audit_event WHERE occurred_at < before;
    FOR partition IN
        SELECT child.relname AS name, to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month' AS ended
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'public.audit_event'::regclass
    LOOP
        IF partition.ended <= before THEN
            EXECUTE format('DROP TABLE public.%I', partition.name);
        END IF;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE EXECUTE ON FUNCTION drop_audit_partitions(timestamptz) FROM PUBLIC;
