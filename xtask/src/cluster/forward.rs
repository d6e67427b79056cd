//! A Service of the cluster on the machine's own loopback.
//!
//! One process with a foot on each side: the listener is bound outside, then a thread moves into the cluster's
//! network namespace and makes the connections there, to the Service's own address, so that kube-proxy balances
//! and network policies see what they would see from the node. Bytes pass through unread: TLS stays end to end.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::inside;
use super::instance::{Instance, Provider, write_whole};
use super::network;
use super::process_id::ProcessId;
use super::start::tail;
use crate::places::Places;

/// What is forwarded: `svc/NAME` or `svc/NAME.NAMESPACE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The Service.
    pub(crate) service: String,
    /// Its namespace, when the target names one.
    pub(crate) namespace: Option<String>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = ["svc/", "service/", "services/"]
            .iter()
            .find_map(|kind| text.strip_prefix(kind))
            .with_context(|| format!("“{text}” is no Service: write svc/NAME or svc/NAME.NAMESPACE"))?;
        let (service, namespace) = match name.split_once('.') {
            Some((service, namespace)) => (service, Some(namespace)),
            None => (name, None),
        };
        for part in std::iter::once(service).chain(namespace) {
            ensure!(
                !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "“{text}” is no Service: write svc/NAME or svc/NAME.NAMESPACE"
            );
        }
        Ok(Self {
            service: service.to_owned(),
            namespace: namespace.map(str::to_owned),
        })
    }
}

/// `PORT` or `LOCAL:PORT`, as kubectl has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortPair {
    /// The port of loopback.
    pub(crate) local: u16,
    /// The port of the Service.
    pub(crate) service: u16,
}

impl FromStr for PortPair {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let port = |text: &str| -> Result<u16> {
            text.parse()
                .ok()
                .filter(|port| *port != 0)
                .with_context(|| format!("“{text}” is no port"))
        };
        match text.split_once(':') {
            Some((local, service)) => Ok(Self {
                local: port(local)?,
                service: port(service)?,
            }),
            None => Ok(Self {
                local: port(text)?,
                service: port(text)?,
            }),
        }
    }
}

/// One forward that runs in the background.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Open {
    process: ProcessId,
    /// What it leads to.
    pub(crate) target: String,
    /// The port of loopback.
    pub(crate) local: u16,
}

impl Open {
    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

/// The recorded forwards of an instance.
pub(crate) fn open(instance: &Instance) -> Vec<Open> {
    fs::read_dir(instance.run())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("forward-"))
        .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
        .collect()
}

/// Ends the forwards of an instance.
pub(crate) fn end_all(instance: &Instance) {
    for forward in open(instance) {
        forward.process.end(Duration::from_secs(2));
    }
}

/// Forwards until it is ended.
pub(crate) fn forward(
    instance: &Instance,
    places: &Places,
    target: &Target,
    namespace: &str,
    ports: PortPair,
) -> Result<()> {
    if instance.provider == Provider::Kind {
        return inside::kubectl(instance, places)?
            .args([
                "-n",
                namespace,
                "port-forward",
                &format!("svc/{}", target.service),
            ])
            .arg(format!("{}:{}", ports.local, ports.service))
            .visible();
    }
    let listener = listen(ports.local)?;
    let address = service_address(instance, places, target, namespace, ports.service)?;
    println!(
        "127.0.0.1:{} → svc/{}.{namespace}:{}",
        ports.local, target.service, ports.service
    );

    // A Service that was deleted and made again has another address.
    let find_again = || service_address(instance, places, target, namespace, ports.service);
    // The listener above stays in the machine's network; only the thread below, and those it starts, move.
    let (sender, accepted) = channel();
    std::thread::scope(|scope| {
        let connector = scope.spawn(|| -> Result<()> {
            let accepted = accepted;
            if let Some(namespace) = instance.network_namespace() {
                network::enter(&namespace)?;
            }
            connect_all(&accepted, address, &find_again);
            Ok(())
        });
        for stream in listener.incoming() {
            if sender.send(stream?).is_err() {
                break; // the connector ended; its error is the reason
            }
        }
        connector
            .join()
            .map_err(|_| anyhow::anyhow!("the connecting thread ended early"))?
    })
}

fn connect_all(
    accepted: &Receiver<TcpStream>,
    address: SocketAddr,
    find_again: &(dyn Fn() -> Result<SocketAddr> + Sync),
) {
    let address = Mutex::new(address);
    std::thread::scope(|scope| {
        for outside in accepted {
            let address = &address;
            scope.spawn(move || match connect(address, find_again) {
                Ok(inside) => pass(outside, inside),
                Err(error) => eprintln!("{error:#}"), // dropping the other side closes it
            });
        }
    });
}

/// Connects to where the last connection went; when nobody answers there, to where the Service is now.
fn connect(
    address: &Mutex<SocketAddr>,
    find_again: &(dyn Fn() -> Result<SocketAddr> + Sync),
) -> Result<TcpStream> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let last = *address.lock().unwrap_or_else(PoisonError::into_inner);
    match TcpStream::connect_timeout(&last, PATIENCE) {
        Ok(stream) => Ok(stream),
        Err(error) => {
            let now = find_again()?;
            if now == last {
                return Err(error).with_context(|| last.to_string());
            }
            *address.lock().unwrap_or_else(PoisonError::into_inner) = now;
            TcpStream::connect_timeout(&now, PATIENCE).with_context(|| now.to_string())
        }
    }
}

/// Passes bytes both ways; an end of one direction is passed on, so that half-closed connections work.
fn pass(outside: TcpStream, inside: TcpStream) {
    let both = outside
        .try_clone()
        .and_then(|outside| Ok((outside, inside.try_clone()?)));
    let Ok((outside_writer, inside_writer)) = both else {
        return;
    };
    let up = std::thread::spawn(move || one_way(outside, inside_writer));
    one_way(inside, outside_writer);
    drop(up.join());
}

fn one_way(mut from: TcpStream, mut to: TcpStream) {
    // A reset by either side ends the direction like a normal end does.
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}

fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} of this machine is taken.\nremedy: name another one before the Service's, as in 18443:443"
        ),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "port {port} needs more rights.\nremedy: name one above 1023 before the Service's, as in 8443:{port}"
        ),
        _ => anyhow::Error::new(error).context(format!("cannot listen on 127.0.0.1:{port}")),
    })
}

fn service_address(
    instance: &Instance,
    places: &Places,
    target: &Target,
    namespace: &str,
    port: u16,
) -> Result<SocketAddr> {
    #[derive(Deserialize)]
    struct Service {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        #[serde(default, rename = "clusterIP")]
        cluster_ip: String,
        #[serde(default)]
        ports: Vec<Port>,
    }
    #[derive(Deserialize)]
    struct Port {
        port: u16,
    }
    let text = inside::kubectl(instance, places)?
        .args(["-n", namespace, "get", "service", &target.service, "-o", "json"])
        .output()?;
    let service: Service = serde_json::from_str(&text).context("kubectl's answer")?;
    let ip = service.spec.cluster_ip;
    let ip = ip
        .parse()
        .with_context(|| format!("svc/{} has no address of its own (“{ip}”)", target.service))?;
    let offered: Vec<u16> = service.spec.ports.iter().map(|port| port.port).collect();
    ensure!(
        offered.contains(&port),
        "svc/{} has no port {port}; it has {offered:?}",
        target.service
    );
    Ok(SocketAddr::new(ip, port))
}

/// Starts a forward that outlives this command; one that already leads there is kept.
pub(crate) fn in_background(instance: &Instance, target: &str, ports: PortPair) -> Result<Open> {
    if let Some(there) = open(instance)
        .into_iter()
        .find(|o| o.target == target && o.local == ports.local && o.is_alive())
    {
        return Ok(there);
    }
    drop(listen(ports.local)?); // a taken port is said here, not in a log
    let log = instance.logs().join(format!("forward-{}.log", ports.local));
    let output = OpenOptions::new().create(true).append(true).open(&log)?;
    let mut child = Command::new("/proc/self/exe")
        .args([
            "forward",
            "--detached",
            "--name",
            &instance.name,
            target,
            &format!("{}:{}", ports.local, ports.service),
        ])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let process = ProcessId::of(child.id()).context("the forward ended at once")?;
    let deadline = Instant::now() + Duration::from_secs(15);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, ports.local)).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            bail!("forwarding {target} failed\n{}", tail(&log, 10));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let open = Open {
        process,
        target: target.to_owned(),
        local: ports.local,
    };
    let record = instance.run().join(format!("forward-{}.json", ports.local));
    write_whole(&record, &serde_json::to_vec(&open)?)?;
    Ok(open)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_target_is_a_service_with_or_without_its_namespace() {
        let parsed: Target = "svc/clinic.medical-sample".parse().unwrap();
        assert_eq!(
            parsed,
            Target {
                service: "clinic".into(),
                namespace: Some("medical-sample".into())
            }
        );
        assert_eq!("service/clinic".parse::<Target>().unwrap().namespace, None);
        for wrong in ["clinic", "pod/clinic", "svc/", "svc/a/b"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_alone_is_the_same_on_both_sides() {
        assert_eq!(
            "443".parse::<PortPair>().unwrap(),
            PortPair {
                local: 443,
                service: 443
            }
        );
        assert_eq!(
            "8443:443".parse::<PortPair>().unwrap(),
            PortPair {
                local: 8443,
                service: 443
            }
        );
        for wrong in ["0", "x", "1:", "70000"] {
            assert!(wrong.parse::<PortPair>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_taken_port_is_reported_with_the_way_around() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = listen(taken.local_addr().unwrap().port())
            .unwrap_err()
            .to_string();
        assert!(error.contains("taken") && error.contains("18443:443"), "{error}");
    }

    #[test]
    fn bytes_pass_both_ways_and_so_does_the_end_of_each() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            stream.write_all(all.to_uppercase().as_bytes()).unwrap();
        });
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let front_address = front.local_addr().unwrap();
        let (sender, accepted) = channel();
        std::thread::spawn(move || sender.send(front.accept().unwrap().0));
        std::thread::spawn(move || connect_all(&accepted, address, &|| bail!("nowhere else")));
        let mut client = TcpStream::connect(front_address).unwrap();
        client.write_all(b"patient").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "PATIENT");
        echo.join().unwrap();
    }

    #[test]
    fn a_service_that_moved_is_found_again() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let now = server.local_addr().unwrap();
        let address = Mutex::new(gone);
        connect(&address, &|| Ok(now)).unwrap();
        assert_eq!(*address.lock().unwrap(), now);
    }
}
