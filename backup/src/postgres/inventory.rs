//! What a database holds: the tables whose rows are dumped, roles, extensions, and whether there is anything at all.

use std::collections::BTreeSet;

use super::session::{Session, SessionError};
use crate::rows::RowCounts;

/// Tables whose rows `pg_dump` dumps. Members of extensions are left out (the extension makes them again), and so are
/// materialized views (a restore computes them again), foreign and temporary tables.
const DUMPED_TABLES: &str = "
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend AS d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// Every role that an object of this database depends on: as owner, in a grant, or in a policy.
/// `pg_shdepend` is where the server itself looks before it drops a role.
const ROLES: &str = "
    SELECT to_json(rolname) FROM pg_roles
    WHERE rolname !~ '^pg_' AND oid IN (
      SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass
        AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()));";

/// Whatever a user has made, one name each. Extensions and their members may be there: the platform makes them.
const USER_OBJECTS: &str = "
    WITH schemas AS (
      SELECT oid, nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
    ), members AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
    SELECT to_json(found) FROM (
      SELECT format('schema %I', nspname) AS found FROM schemas
      WHERE nspname <> 'public' AND ('pg_namespace'::regclass, oid) NOT IN (SELECT classid, objid FROM members)
      UNION ALL
      SELECT format('relation %I.%I', s.nspname, c.relname) FROM pg_class AS c JOIN schemas AS s ON s.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM members)
      UNION ALL
      SELECT format('function %I.%I', s.nspname, p.proname) FROM pg_proc AS p JOIN schemas AS s ON s.oid = p.pronamespace
      WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM members)
      UNION ALL
      SELECT format('type %I.%I', s.nspname, t.typname) FROM pg_type AS t JOIN schemas AS s ON s.oid = t.typnamespace
      WHERE t.typtype IN ('d', 'e', 'r') AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM members)
      UNION ALL
      SELECT format('large object %s', oid) FROM pg_largeobject_metadata
    ) AS objects ORDER BY found LIMIT 4;";

/// Lets the owner of a table count it although its policies are forced upon the owner. For a transaction that is rolled back.
const UNFORCE: &str = "ALTER TABLE ONLY %I.%I NO FORCE ROW LEVEL SECURITY";

/// Locks every dumped table against being truncated, rewritten or dropped, for the rest of the transaction.
///
/// A snapshot alone does not protect: TRUNCATE shows at once in snapshots that are older.
pub fn lock_tables(session: &mut Session) -> Result<(), SessionError> {
    let lock = "LOCK TABLE ONLY %I.%I IN ACCESS SHARE MODE";
    session.run(&format!(
        "SELECT format('{lock}', n.nspname, c.relname) {DUMPED_TABLES} ORDER BY c.oid \\gexec"
    ))
}

/// Size in bytes of the tables to be dumped as they lie on disk, without indexes: an estimate of what `pg_dump` will write.
pub fn table_bytes(session: &mut Session) -> Result<u64, SessionError> {
    session.row(&format!(
        "SELECT to_json(coalesce(sum(pg_table_size(c.oid)), 0)::bigint) {DUMPED_TABLES};"
    ))
}

/// Counts the rows of every dumped table in the session's transaction.
///
/// # Errors
/// A table that row-level security hides from the session's role is an error, never a smaller count.
pub fn count_rows(session: &mut Session) -> Result<RowCounts, SessionError> {
    let large_objects = session.row("SELECT to_json(count(*)) FROM pg_largeobject_metadata;")?;
    let count = "SELECT json_build_array(%L, count(*)) FROM ONLY %I.%I";
    let name = "format('%I.%I', n.nspname, c.relname)";
    let sql = format!(
        "SELECT format('{count}', {name}, n.nspname, c.relname) {DUMPED_TABLES} ORDER BY c.oid \\gexec"
    );
    let tables = session.rows::<(String, u64)>(&sql)?.into_iter().collect();
    Ok(RowCounts {
        tables,
        large_objects,
    })
}

/// Counts the rows of a database that was just restored, in a transaction of its own that changes nothing.
///
/// The role that restored owns the tables; where policies are forced upon the owner, that is lifted inside the transaction
/// and comes back with its rollback.
pub fn count_restored_rows(session: &mut Session) -> Result<RowCounts, SessionError> {
    session.run("BEGIN;")?;
    session.run(&format!(
        "SELECT format('{UNFORCE}', n.nspname, c.relname) {DUMPED_TABLES} AND c.relforcerowsecurity
           AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
         ORDER BY c.oid \\gexec"
    ))?;
    let counts = count_rows(session)?;
    session.run("ROLLBACK;")?;
    Ok(counts)
}

/// Roles that must exist before the database can be restored elsewhere; predefined ones are left out.
pub fn roles(session: &mut Session) -> Result<Vec<String>, SessionError> {
    let mut roles: Vec<String> = session.rows(ROLES)?;
    roles.sort_unstable();
    Ok(roles)
}

/// Roles of the server.
pub fn existing_roles(session: &mut Session) -> Result<BTreeSet<String>, SessionError> {
    Ok(session
        .rows("SELECT to_json(rolname) FROM pg_roles;")?
        .into_iter()
        .collect())
}

/// Extensions of the database, without `plpgsql`, which every database has.
pub fn extensions(session: &mut Session) -> Result<BTreeSet<String>, SessionError> {
    let sql = "SELECT to_json(extname) FROM pg_extension WHERE extname <> 'plpgsql';";
    Ok(session.rows(sql)?.into_iter().collect())
}

/// The first few objects that somebody has made in the database; empty when the database is.
pub fn user_objects(session: &mut Session) -> Result<Vec<String>, SessionError> {
    session.rows(USER_OBJECTS)
}

/// The version of the server, such as `17.12`.
pub fn server_version(session: &mut Session) -> Result<String, SessionError> {
    let version: String = session.row("SELECT to_json(current_setting('server_version'));")?;
    Ok(version.split(' ').next().unwrap_or_default().to_owned())
}
