//! A database that is there already. It has to be empty, and its name has to be confirmed; nothing in it is ever taken
//! away.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use zeroize::Zeroizing;

use super::Dev;
use super::database::{Database, SERVING_ROLE, create_role};
use super::directory::{Directory, random_text};
use crate::{Failure, failed};

/// The variable that many programs read.
const VARIABLE: &str = "DATABASE_URL";

/// Where the database is.
pub struct Existing {
    host: String,
    port: u16,
    name: String,
    owner: String,
    password: Zeroizing<String>,
    authority: Option<PathBuf>,
    serving_password_file: Option<PathBuf>,
}

/// The database that was asked for, if one was.
///
/// # Errors
/// The address is not usable, or nobody confirmed the name.
pub fn chosen(dev: &Dev) -> Result<Option<Existing>, Failure> {
    let (source, text) = match &dev.database_url {
        Some(url) => ("--database-url", Zeroizing::new(url.clone())),
        None if dev.postgres_programs.is_some() => return Ok(None),
        None => match std::env::var(VARIABLE) {
            Ok(url) if !url.is_empty() => (VARIABLE, Zeroizing::new(url)),
            _ => return Ok(None),
        },
    };
    let mut existing = read(&text, dev.confirm_database.as_deref())
        .map_err(|problem| failed(format!("{source}: {problem}")))?;
    if source != VARIABLE && !existing.password.is_empty() {
        return Err(failed(
            "--database-url: holds a password, which others see in the list of processes; put it into PGPASSWORD",
        ));
    }
    if existing.password.is_empty() {
        let password = std::env::var("PGPASSWORD")
            .map_err(|_| failed("PGPASSWORD: is not set; set it to the password of the database's owner"))?;
        existing.password = Zeroizing::new(password);
    }
    existing
        .serving_password_file
        .clone_from(&dev.serving_password_file);
    Ok(Some(existing))
}

fn read(text: &str, confirmed: Option<&str>) -> Result<Existing, String> {
    let form = "use the form postgres://OWNER@HOST:5432/NAME";
    // The parser's own error does not repeat the text either, but says little.
    let url = Url::parse(text).map_err(|_| format!("is no address of a database; {form}"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(format!("is no address of a PostgreSQL; {form}"));
    }
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(Cow::into_owned)
            .map_err(|_| format!("is not UTF-8; {form}"))
    };
    let name = decoded(url.path().trim_start_matches('/'))?;
    let owner = decoded(url.username())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    if name.is_empty() || owner.is_empty() || host.is_empty() {
        return Err(format!("lacks the owner, the host or the name; {form}"));
    }
    if confirmed != Some(name.as_str()) {
        return Err(format!(
            "names the database {name}, which would be filled with synthetic data that stays there; \
             if that is meant, add --confirm-database {name}"
        ));
    }
    let parameter = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted);
    let authority = parameter("sslrootcert").map(|(_, path)| PathBuf::from(path.into_owned()));
    if authority.is_none() && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
        return Err(
            "is on another machine; add ?sslrootcert=FILE, the authority of its certificate".to_owned(),
        );
    }
    Ok(Existing {
        host,
        port: url.port().unwrap_or(5432),
        name,
        owner,
        password: Zeroizing::new(decoded(url.password().unwrap_or_default())?),
        authority,
        serving_password_file: None,
    })
}

impl Existing {
    /// Looks whether it is empty, and makes the role that serves where it is missing.
    pub async fn prepare(self, directory: &Directory) -> Result<Database, Failure> {
        let mut owner = self.connect().await.map_err(|error| {
            failed(format!(
                "cannot connect to the database {} as {}: {error}",
                self.name, self.owner
            ))
        })?;
        let objects: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_class
             WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace
                                        WHERE nspname = 'information_schema' OR nspname LIKE 'pg\\_%')",
        )
        .fetch_one(&mut owner)
        .await
        .map_err(failed)?;
        if objects > 0 {
            return Err(failed(format!(
                "the database {} is not empty, and nothing was changed; make another one with createdb",
                self.name
            )));
        }
        let serving_password = self.serving_password(&mut owner, directory).await?;
        owner.close().await.map_err(failed)?;
        Ok(Database {
            owner_password: directory.write("owner-password", &self.password)?,
            host: self.host,
            port: self.port,
            name: self.name,
            owner: self.owner,
            serving_password,
            authority: self.authority,
            keeps_data: true,
        })
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.owner)
            .password(&self.password)
            .database(&self.name)
            .disable_statement_logging();
        let options = match &self.authority {
            Some(authority) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(authority),
            None => options.ssl_mode(PgSslMode::Disable),
        };
        options.connect().await
    }

    /// Roles belong to the whole server: one that is there serves others, so that its password stays.
    async fn serving_password(
        &self,
        owner: &mut PgConnection,
        directory: &Directory,
    ) -> Result<PathBuf, Failure> {
        let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
            .bind(SERVING_ROLE)
            .fetch_one(&mut *owner)
            .await
            .map_err(failed)?;
        match (&self.serving_password_file, is_there) {
            (Some(file), true) => Ok(file.clone()),
            (None, true) => Err(failed(format!(
                "the role {SERVING_ROLE} is on this server already; name the file with its password with --serving-password-file"
            ))),
            (_, false) => {
                let password = random_text::<24>()?;
                sqlx::query(AssertSqlSafe(create_role(SERVING_ROLE, &password)))
                    .execute(owner)
                    .await
                    .map_err(|error| {
                        failed(format!(
                            "cannot make the role {SERVING_ROLE}: {error}; give {} CREATEROLE, or make it as a superuser",
                            self.owner
                        ))
                    })?;
                directory.write("serving-password", &password)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_used_only_under_its_confirmed_name() {
        let url = "postgres://owner:p%40ss@localhost/trial";
        for confirmed in [None, Some("other")] {
            let problem = read(url, confirmed).err().unwrap();
            assert!(problem.ends_with("add --confirm-database trial"), "{problem}");
            assert!(!problem.contains("ss@"), "{problem}");
        }
        let existing = read(url, Some("trial")).ok().unwrap();
        assert_eq!((existing.owner.as_str(), existing.port), ("owner", 5432));
        assert_eq!(existing.password.as_str(), "p@ss");
    }

    #[test]
    fn an_address_without_all_its_parts_or_without_protection_is_refused() {
        for url in [
            "trial",
            "mysql://owner@localhost/trial",
            "postgres://localhost/trial",
            "postgres://owner@localhost",
            "postgres://owner@db.example.org/trial",
        ] {
            assert!(read(url, Some("trial")).is_err(), "{url}");
        }
        let url = "postgres://owner@db.example.org/trial?sslrootcert=ca.crt";
        assert_eq!(
            read(url, Some("trial")).ok().unwrap().authority,
            Some("ca.crt".into())
        );
    }
}
