//! A real client and real servers of QUIC (quinn): the client gets another address while a server sends it something, and
//! goes on with that server, because the connection ID that the server has given it names it.
//!
//! The other server would know nothing of the connection. So it breaks where the director does not read IDs, or takes one for
//! the other server's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use anyhow::{Context, Result, ensure};
use lb_stories::control::Control;
use lb_stories::netns::Namespace;
use lb_stories::process::{PATIENCE, run};
use lb_stories::{Config, Director, Method, World, config::Service, world};
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use quinn::{
    ClientConfig, Connection, ConnectionError, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    IdleTimeout, RecvStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::runtime::Runtime;

/// On the VIP, and on servers.
const PORT: u16 = 4_433;
/// The client's other address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
/// What the certificate is of.
const NAME: &str = "quic.example";
/// Bytes that a server sends: more than a client takes without saying so again and again.
const LEN: usize = 8_000_000;
/// Bytes that the client has before it moves.
const BEFORE: usize = 1_000_000;
/// Clients that move.
const CLIENTS: usize = 6;
/// Silence after which a connection is over. Those that are to break need not take long.
const IDLE_MS: u32 = 30_000;
const SHORT_IDLE_MS: u32 = 2_000;

/// The key of the configuration, and what IDs call the servers.
const KEY: [u8; 16] = *b"between us alone";
const NAMES: [[u8; 8]; 2] = [*b"server 1", *b"server 2"];

/// Makes IDs as draft-ietf-quic-load-balancers has it where name and nonce are one block of AES.
struct Ids {
    name: [u8; 8],
    nonce: u64,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.nonce += 1;
        let mut block = [0; 16];
        block[..8].copy_from_slice(&self.name);
        block[8..].copy_from_slice(&self.nonce.to_be_bytes());
        let mut block = block.into();
        Aes128::new(&KEY.into()).encrypt_block(&mut block);
        // Configuration 2, and how many bytes follow.
        ConnectionId::new(&[&[2 << 5 | 16][..], &block].concat())
    }

    fn cid_len(&self) -> usize {
        17
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// What the director knows of IDs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// All that there is to know.
    All,
    /// The servers' names, but the one for the other.
    Exchanged,
    /// Nothing.
    Nothing,
}

fn config(knows: Knows) -> Config {
    let service = Service::udp(Method::Nat, PORT);
    if knows == Knows::Nothing {
        return Config::new().service(service);
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = hex(&KEY);
    let configuration = format!("rotation = 2, server_id_length = 8, nonce_length = 8, key = \"{key}\"");
    let mut names = NAMES;
    if knows == Knows::Exchanged {
        names.reverse();
    }
    let service = service
        .line(format!("quic = {{ layout = \"quic-lb\", configs = [{{ {configuration} }}] }}"))
        .server_lines(names.map(|name| format!("quic_server_ids = [\"{}\"]", hex(&name))));
    Config::new().service(service)
}

/// Servers and clients of QUIC in a world, and the director between them.
struct Stage {
    // First, because what runs on it has sockets in the world's namespaces.
    runtime: Runtime,
    director: Director,
    client: ClientConfig,
    world: World,
}

/// A connection, and what a server is sending on it.
struct Transfer {
    endpoint: Endpoint,
    connection: Connection,
    stream: RecvStream,
    server: u8,
}

impl Stage {
    fn new(knows: Knows) -> Result<Self> {
        let world = World::new()?;
        world.client().namespace().ip(&format!("addr add {ELSEWHERE}/24 dev wan"))?;
        let director = world.start(&config(knows))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (certificate, key) = certificate(&world)?;
        let mut transport = TransportConfig::default();
        let idle_ms = if knows == Knows::All { IDLE_MS } else { SHORT_IDLE_MS };
        transport.max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))));
        let transport = Arc::new(transport);
        for (number, server) in (0..).zip(world.servers()) {
            let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key.clone_key())?;
            config.transport_config(transport.clone());
            let mut ids = EndpointConfig::default();
            ids.cid_generator(move || {
                Box::new(Ids { name: NAMES[usize::from(number)], nonce: 0x5eed << 32 })
            });
            let socket = socket(server.namespace(), server.lan(), PORT)?;
            let _inside = runtime.enter();
            let endpoint = Endpoint::new(ids, Some(config), socket, Arc::new(TokioRuntime))?;
            runtime.spawn(serve(endpoint, number));
        }
        let mut roots = quinn::rustls::RootCertStore::empty();
        roots.add(certificate)?;
        let mut client = ClientConfig::with_root_certificates(Arc::new(roots))?;
        client.transport_config(transport);
        Ok(Self { runtime, director, client, world })
    }

    /// A client has the beginning of what it asked for.
    fn begin(&self) -> Result<Transfer> {
        let socket = socket(self.world.client().namespace(), world::CLIENT, 0)?;
        self.runtime.block_on(async {
            let mut endpoint =
                Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
            endpoint.set_default_client_config(self.client.clone());
            let vip = SocketAddr::from(Method::Nat.at(PORT));
            let connection = endpoint.connect(vip, NAME)?.await.context("no connection")?;
            let (mut send, mut stream) = connection.open_bi().await?;
            send.write_all(b"?").await?;
            send.finish()?;
            let mut beginning = vec![0; BEFORE];
            stream.read_exact(&mut beginning).await.context("before the move")?;
            Ok(Transfer { endpoint, connection, stream, server: beginning[0] })
        })
    }

    /// The client moves, and gets the rest or not. Returns how that went.
    fn finish(&self, transfer: &mut Transfer) -> Result<Result<()>> {
        let socket = socket(self.world.client().namespace(), ELSEWHERE, 0)?;
        let Transfer { endpoint, stream, server, .. } = transfer;
        Ok(self.runtime.block_on(async {
            endpoint.rebind(socket)?;
            let rest =
                tokio::time::timeout(PATIENCE, stream.read_to_end(LEN)).await.context("it hangs")??;
            ensure!(rest.len() == LEN - BEFORE, "{} bytes are missing", LEN - BEFORE - rest.len());
            ensure!(rest.iter().all(|byte| byte == server), "the other server has sent some of it");
            Ok(())
        }))
    }

    /// The server of a transfer takes no new connections, so that the scheduler has no choice but the other one.
    fn drain(&self, transfer: &Transfer) -> Result<()> {
        let address = self.world.servers()[usize::from(transfer.server)].lan();
        let control = Control::of(&self.director)?;
        control.ask(&format!("set server udp-nat-{PORT} {address} state drain")).map(drop)
    }

    fn end(self) -> Result<()> {
        // Who still sends would find no director.
        drop(self.runtime);
        self.director.stop().map(drop)
    }
}

/// Sends whoever asks many times its own number.
async fn serve(endpoint: Endpoint, number: u8) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            let (mut send, mut ask) = connection.accept_bi().await?;
            ask.read_to_end(16).await?;
            send.write_all(&vec![number; LEN]).await?;
            send.finish()?;
            connection.closed().await;
            Ok::<_, anyhow::Error>(())
        });
    }
}

fn socket(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Result<UdpSocket> {
    let bind = || -> io::Result<UdpSocket> { UdpSocket::bind(SocketAddrV4::new(address, port)) };
    namespace.within(bind).with_context(|| format!("socket at {address}"))
}

/// A certificate that signs itself, as clients ask for one.
fn certificate(world: &World) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let [certificate, key] = ["quic.pem", "quic.key"].map(|name| world.directory().join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", &format!("/CN={NAME}"), "-addext"]);
    openssl.args([&format!("subjectAltName=DNS:{NAME}"), "-addext", "basicConstraints=critical,CA:FALSE"]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    Ok((CertificateDer::from_pem_file(certificate)?, PrivateKeyDer::from_pem_file(key)?))
}

/// On two workers: the new address is another flow, and may be the other worker's.
#[test]
fn clients_move_while_their_servers_send() -> Result<()> {
    let stage = Stage::new(Knows::All)?;
    let control = Control::of(&stage.director)?;
    let shown = control.ask("show services")?;
    ensure!(shown.contains("quic-layout quic-lb") && shown.contains("quic 7365727665722031"), "{shown}");
    let mut transfers = (0..CLIENTS).map(|_| stage.begin()).collect::<Result<Vec<_>>>()?;
    for transfer in &mut transfers {
        let server = transfer.server;
        stage.finish(transfer)?.with_context(|| format!("a client of server {server}"))?;
    }
    let from: Vec<u8> = transfers.iter().map(|transfer| transfer.server).collect();
    ensure!(from.contains(&0) && from.contains(&1), "each server has had some: {from:?}");
    for transfer in &transfers {
        transfer.connection.close(VarInt::from_u32(0), b"");
    }
    stage.end()
}

#[test]
fn a_drained_server_keeps_a_client_that_moves() -> Result<()> {
    let stage = Stage::new(Knows::All)?;
    let mut transfer = stage.begin()?;
    stage.drain(&transfer)?;
    stage.finish(&mut transfer)?.context("its server is drained")?;
    stage.end()
}

/// What the others show is not there by itself.
#[test]
fn a_move_breaks_where_ids_are_not_read_or_read_wrongly() -> Result<()> {
    for knows in [Knows::Nothing, Knows::Exchanged] {
        let stage = Stage::new(knows)?;
        let mut transfer = stage.begin()?;
        // With the names exchanged the ID decides, and not the scheduler.
        if knows == Knows::Nothing {
            stage.drain(&transfer)?;
        }
        ensure!(stage.finish(&mut transfer)?.is_err(), "it went on");
        let why = transfer.connection.close_reason();
        let is_lost = matches!(why, Some(ConnectionError::TimedOut | ConnectionError::Reset));
        ensure!(is_lost, "its server is not where its packets go: {why:?}");
        stage.end()?;
    }
    Ok(())
}
