//! Whether a process is well, asked in its own words.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls_ring::pki_types::pem::PemObject;
use rustls_ring::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_ring::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// One question.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// A plain page on loopback answers 200.
    Http { port: u16, path: &'static str },
    /// A page answers 200 over TLS verified against the cluster's authority, asked as its administrator.
    Https {
        host: &'static str,
        port: u16,
        path: String,
    },
    /// A socket takes connections.
    Socket(PathBuf),
}

impl Probe {
    /// What it looks at, for messages.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Http { port, path } => format!("http://127.0.0.1:{port}{path}"),
            Self::Https { host, port, path } => format!("https://{host}:{port}{path}"),
            Self::Socket(path) => path.display().to_string(),
        }
    }
}

/// Asks; holds what TLS needs.
#[derive(Clone)]
pub(crate) struct Prober {
    tls: Arc<ClientConfig>,
}

impl Prober {
    /// Reads the authority and the administrator's certificate from the instance's keys.
    pub(crate) fn new(pki: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pki.join("ca.crt")).context("ca.crt")?)?;
        let chain = vec![CertificateDer::from_pem_file(pki.join("admin.crt")).context("admin.crt")?];
        let key = PrivateKeyDer::from_pem_file(pki.join("admin.key")).context("admin.key")?;
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls_ring::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)?;
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Ok when well; the error says what is wrong.
    pub(crate) fn ask(&self, probe: &Probe) -> Result<()> {
        match probe {
            Probe::Socket(path) => {
                UnixStream::connect(path).context("its socket takes no connection")?;
                Ok(())
            }
            Probe::Http { port, path } => page(connect("127.0.0.1", *port)?, "127.0.0.1", path),
            Probe::Https { host, port, path } => {
                let name = ServerName::try_from(*host)?;
                let session = ClientConnection::new(self.tls.clone(), name)?;
                page(StreamOwned::new(session, connect(host, *port)?), host, path)
            }
        }
    }
}

fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let address = SocketAddr::new(host.parse()?, port);
    let stream =
        TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("{address} is closed"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// HTTP/1.0 ends the answer with the connection: nothing to parse but the first line.
fn page(mut stream: impl Read + Write, host: &str, path: &str) -> Result<()> {
    // In one piece: a server that answers before it has read all would reset the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    // Some servers close without TLS's farewell; what arrived is complete all the same.
    if let Err(error) = stream.take(64 << 10).read_to_end(&mut answer)
        && answer.is_empty()
    {
        bail!("no answer: {error}");
    }
    status_of(&String::from_utf8_lossy(&answer))
}

fn status_of(answer: &str) -> Result<()> {
    let first = answer.lines().next().unwrap_or_default();
    let code = first.split(' ').nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    // The API server lists its checks; those that fail begin with [-].
    let failing: Vec<&str> = body
        .lines()
        .filter(|line| line.starts_with("[-]"))
        .take(3)
        .collect();
    ensure!(
        code == "200",
        "answers {} {}",
        if code.is_empty() { "nothing" } else { code },
        failing.join("; ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_200_is_well_and_failing_checks_are_named() {
        assert!(status_of("HTTP/1.0 200 OK\r\n\r\nok").is_ok());
        let error =
            status_of("HTTP/1.0 500 Error\r\n\r\n[+]ping ok\n[-]etcd failed: reason withheld\n").unwrap_err();
        assert_eq!(error.to_string(), "answers 500 [-]etcd failed: reason withheld");
        assert!(status_of("").unwrap_err().to_string().contains("nothing"));
    }

    #[test]
    fn a_closed_port_is_reported_as_closed() {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert!(
            connect("127.0.0.1", port)
                .unwrap_err()
                .to_string()
                .contains("is closed")
        );
    }

    #[test]
    fn a_page_is_read_to_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 512];
            let count = stream.read(&mut buffer).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok").unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        });
        page(connect("127.0.0.1", port).unwrap(), "127.0.0.1", "/healthz").unwrap();
        assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.0\r\n"));
    }
}
