//! `cargo xtask bench host`: the built-in HTTPS host beside nginx: throughput, CPU seconds per GB, memory. On Linux, with nginx on the PATH.
//!
//! Both servers run as processes of their own with the same certificate and the same 1.3 MB image over TLS 1.3; the same client loads one
//! after the other. Each download is a new connection, as nodes do it. Client and server share the machine, so the ratio counts, not the rate.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions, ServerIdentity};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const IMAGE_BYTES: usize = 1_300_000;
/// Clients at once, and downloads in all.
const FULL_SPEED: [(usize, usize); 3] = [(1, 100), (64, 1280), (1000, 2000)];
/// Each server takes so many turns, by turns with the other: what else the machine does then meets both.
const ROUNDS: usize = 3;
/// The file that the benchmark's section is written to (`xtask/src/bench.rs`).
const REPORT_VARIABLE: &str = "ROOTCAST_BENCH_REPORT";
const SLOW_CLIENTS: usize = 1000;
const SLOW_BYTES_PER_SECOND: usize = 50_000;
/// Kernel's clock ticks a second in /proc (USER_HZ, 100 on every Linux).
const TICKS: f64 = 100.0;

fn main() -> Outcome<()> {
    // Cargo itself adds this one.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", folder] => runtime.block_on(serve(Path::new(folder))),
        ["run"] => runtime.block_on(run()),
        // A thousand connections need more open files than many shells allow.
        _ => {
            let this = std::env::current_exe()?;
            let status =
                Command::new("sh").args(["-c", "ulimit -n 8192; exec \"$0\" run"]).arg(this).status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
    }
}

async fn serve(folder: &Path) -> Outcome<()> {
    let identity = ServerIdentity::from_files(&folder.join("chain.pem"), &folder.join("key.pem"))?;
    let host =
        FirmwareHost::start(HostOptions::https(identity).on_free_port(), Files::with_folder(folder)?).await?;
    println!("{}", host.address());
    std::future::pending::<()>().await;
    Ok(())
}

struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn ours(folder: &Path) -> Outcome<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).arg("serve").arg(folder).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { name: "rootcast", child, address: line.trim().parse()? })
    }

    fn nginx(folder: &Path) -> Outcome<Option<Self>> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let at = folder.display();
        // As many workers as processors, as nginx recommends; logs off on both sides.
        let config = format!(
            "daemon off; user root; worker_processes auto; pid {at}/pid; error_log {at}/error.log crit; events {{ worker_connections 4096; }}\n\
             http {{ access_log off; default_type application/octet-stream; sendfile on; tcp_nopush on; client_body_temp_path {at}/b;\n\
             proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             server {{ listen {address} ssl backlog=4096; root {at}; ssl_certificate {at}/chain.pem; ssl_certificate_key {at}/key.pem;\n\
             ssl_protocols TLSv1.3; }} }}"
        );
        fs::write(folder.join("nginx.conf"), config)?;
        let spawned =
            Command::new("nginx").arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(folder).spawn();
        let Ok(child) = spawned else { return Ok(None) };
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(Some(Self { name: "nginx", child, address }));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("nginx does not listen".into())
    }

    /// The process and its workers.
    fn processes(&self) -> Vec<u32> {
        let parent = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        std::iter::once(parent).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
    }

    fn cpu_seconds(&self) -> f64 {
        let of = |id: u32| -> f64 {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum()
        };
        self.processes().into_iter().map(of).sum::<f64>() / TICKS
    }

    /// Memory that is this server's alone or its share of what is shared (PSS), in kB.
    fn memory_kb(&self) -> u64 {
        let of = |id: u32| -> u64 {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        self.processes().into_iter().map(of).sum()
    }
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    megabytes_per_second: f64,
    cpu_seconds_per_gb: f64,
    idle_kb: u64,
    peak_kb: u64,
    failed: usize,
}

async fn run() -> Outcome<()> {
    let ca = DevelopmentCa::generate()?;
    let folder = Path::new("/tmp").join(format!("rootcast-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let identity = ca.server_identity(&[])?;
    fs::write(folder.join("chain.pem"), identity.chain_pem())?;
    fs::write(folder.join("key.pem"), identity.key_pem())?;
    let image: Vec<u8> = (0..IMAGE_BYTES).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(folder.join("fw.bin"), image)?;
    let connector = connector(&ca.certificate_pem())?;
    let mut rows = Vec::new();
    for (clients, downloads) in FULL_SPEED {
        rows.push(
            compare(&folder, &connector, &format!("{clients} at full speed"), clients, downloads, None)
                .await?,
        );
    }
    let (slow, pace) = (SLOW_CLIENTS, Some(SLOW_BYTES_PER_SECOND));
    rows.push(compare(&folder, &connector, &format!("{slow} at 50 kB/s each"), slow, slow, pace).await?);
    fs::remove_dir_all(&folder)?;
    let report = report(&rows);
    println!("\n{report}");
    if let Some(path) = std::env::var_os(REPORT_VARIABLE) {
        fs::write(path, report)?;
    }
    let failed =
        rows.iter().flat_map(|row| [Some(row.ours), row.nginx]).flatten().any(|figures| figures.failed > 0);
    if failed { Err("downloads failed: the figures do not count".into()) } else { Ok(()) }
}

/// What both servers did under one load.
struct Row {
    load: String,
    clients: usize,
    ours: Figures,
    nginx: Option<Figures>,
}

/// Both servers under one load, by turns; the median of the rounds counts, by throughput.
async fn compare(
    folder: &Path,
    connector: &TlsConnector,
    load: &str,
    clients: usize,
    downloads: usize,
    pace: Option<usize>,
) -> Outcome<Row> {
    let rounds = if pace.is_some() { 1 } else { ROUNDS };
    let (mut ours, mut nginx) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(measure(Server::ours(folder)?, connector, clients, downloads, pace).await?);
        if let Some(server) = Server::nginx(folder)? {
            nginx.push(measure(server, connector, clients, downloads, pace).await?);
        }
    }
    let row =
        Row { load: load.to_string(), clients, ours: median(ours).ok_or("no round")?, nginx: median(nginx) };
    println!("{load}: {:?}\n{load}: nginx {:?}", row.ours, row.nginx);
    Ok(row)
}

fn median(mut rounds: Vec<Figures>) -> Option<Figures> {
    rounds.sort_by(|a, b| a.megabytes_per_second.total_cmp(&b.megabytes_per_second));
    rounds.get(rounds.len() / 2).copied()
}

/// The section for `docs/BENCHMARKS.md`.
fn report(rows: &[Row]) -> String {
    let mut text = format!(
        "## The built-in HTTPS host beside nginx\n\nAn image of 1.3 MB over TLS 1.3, a new connection for each download, client and servers on the same machine: the\n\
         ratios count, not the rates. Both have as many threads or workers as there are processors, both write no log. The median of {ROUNDS}\n\
         rounds, by turns. Memory is the growth of the process (PSS) from idle to its most, divided by the connections.\n\n\
         | downloads at once | host MB/s | nginx MB/s | ratio | host CPU s/GB | nginx CPU s/GB | host kB a connection | nginx kB a connection |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let each = |f: Figures| f.peak_kb.saturating_sub(f.idle_kb) as f64 / row.clients as f64;
        let ours = row.ours;
        match row.nginx {
            Some(nginx) => {
                text += &format!(
                    "| {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |\n",
                    row.load,
                    ours.megabytes_per_second,
                    nginx.megabytes_per_second,
                    ours.megabytes_per_second / nginx.megabytes_per_second,
                    ours.cpu_seconds_per_gb,
                    nginx.cpu_seconds_per_gb,
                    each(ours),
                    each(nginx)
                )
            }
            None => {
                text += &format!(
                    "| {} | {:.0} | not installed | | {:.2} | | {:.0} | |\n",
                    row.load,
                    ours.megabytes_per_second,
                    ours.cpu_seconds_per_gb,
                    each(ours)
                )
            }
        }
    }
    text
}

async fn measure(
    server: Server,
    connector: &TlsConnector,
    clients: usize,
    downloads: usize,
    pace: Option<usize>,
) -> Outcome<Figures> {
    // One download warms file caches on both sides.
    download(server.address, connector, None).await.map_err(|error| format!("{}: {error}", server.name))?;
    let idle_kb = server.memory_kb();
    let cpu_before = server.cpu_seconds();
    let (bytes, failed, next) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (connector, address) = (connector.clone(), server.address);
            let (bytes, failed, next) = (bytes.clone(), failed.clone(), next.clone());
            tokio::spawn(async move {
                while next.fetch_add(1, Relaxed) < downloads {
                    match download(address, &connector, pace).await {
                        Ok(count) => bytes.fetch_add(count as u64, Relaxed) as usize,
                        Err(_) => failed.fetch_add(1, Relaxed),
                    };
                }
            })
        })
        .collect();
    let mut peak_kb = idle_kb;
    while tasks.iter().any(|task| !task.is_finished()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak_kb = peak_kb.max(server.memory_kb());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let total = bytes.load(Relaxed) as f64;
    Ok(Figures {
        megabytes_per_second: total / 1e6 / seconds,
        cpu_seconds_per_gb: (server.cpu_seconds() - cpu_before) / (total / 1e9),
        idle_kb,
        peak_kb,
        failed: failed.load(Relaxed),
    })
}

async fn download(address: SocketAddr, connector: &TlsConnector, pace: Option<usize>) -> Outcome<usize> {
    let stream: TcpStream = match pace {
        // A slow client's window is small, so that the rest waits at the server, as with a real one.
        Some(_) => {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(16 << 10)?;
            socket.connect(address).await?
        }
        None => TcpStream::connect(address).await?,
    };
    let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    stream.write_all(b"GET /fw.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut buffer = vec![0; 32 << 10];
    let (mut total, begun) = (0, Instant::now());
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        };
        total += count;
        if let Some(rate) = pace {
            let due = Duration::from_secs_f64(total as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
    }
    if total < IMAGE_BYTES { Err(format!("only {total} bytes").into()) } else { Ok(total) }
}

fn connector(ca_pem: &str) -> Outcome<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
