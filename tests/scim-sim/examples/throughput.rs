//! Measures the simulator on loopback: `cargo run --release -p scim-sim --example throughput`.
//!
//! The client writes raw HTTP/1.1 over keep-alive connections, so that the figures are the
//! simulator's rather than a client library's; both still share the cores of the machine.

use std::io;
use std::time::Instant;

use scim_sim::{DEFAULT_TOKEN, SimConfig, Simulator};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 16;
const USERS: usize = 50_000;

#[tokio::main]
async fn main() -> io::Result<()> {
    let simulator = Simulator::start(SimConfig::default()).await?;
    let creates = (0..USERS)
        .map(|at| request("POST", "/scim/v2/Users", &user(at)))
        .collect();
    measure(&simulator, "POST", creates, 201).await?;

    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "city", "value": "Oslo"}],
    })
    .to_string();
    let ids = simulator
        .users()
        .into_iter()
        .filter_map(|user| Some(user["id"].as_str()?.to_owned()));
    let patches = ids
        .map(|id| request("PATCH", &format!("/scim/v2/Users/{id}"), &patch))
        .collect();
    measure(&simulator, "PATCH", patches, 200).await?;

    let pages = (0..2_000)
        .map(|at| at * 100 % USERS + 1)
        .map(|start| {
            request(
                "GET",
                &format!("/scim/v2/Users?startIndex={start}&count=100"),
                "",
            )
        })
        .collect();
    measure(&simulator, "pages of 100", pages, 200).await
}

fn user(at: usize) -> String {
    let name = format!("user{at}@example.com");
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ],
        "userName": name,
        "externalId": format!("scim-operator:ns/conn:ns/user-{at}"),
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": name, "primary": true}],
        "addresses": [{"type": "work", "country": "GB"}],
        "preferredLanguage": "en_gb",
        "active": true,
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R&D"},
    })
    .to_string()
}

fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {DEFAULT_TOKEN}\r\n\
         content-type: application/scim+json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends the requests over all connections and prints the rate.
async fn measure(
    simulator: &Simulator,
    what: &str,
    requests: Vec<Vec<u8>>,
    status: u16,
) -> io::Result<()> {
    let total = requests.len();
    let started = Instant::now();
    let mut tasks = Vec::new();
    for share in requests.chunks(total.div_ceil(CONNECTIONS)) {
        let (share, address) = (share.to_vec(), simulator.address());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut buffer = Vec::with_capacity(256 * 1_024);
            for request in share {
                stream.write_all(&request).await?;
                read_reply(&mut stream, &mut buffer, status).await?;
            }
            Ok::<(), io::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    println!("{what}: {rate:.0}/s ({total} requests, {CONNECTIONS} connections)");
    Ok(())
}

/// Reads one reply with a Content-Length and checks its status.
async fn read_reply(stream: &mut TcpStream, buffer: &mut Vec<u8>, status: u16) -> io::Result<()> {
    buffer.clear();
    let (head, length) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        if !text.starts_with(&format!("http/1.1 {status}")) {
            return Err(io::Error::other(text));
        }
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        break (
            head,
            length
                .and_then(|length| length.trim().parse().ok())
                .unwrap_or(0_usize),
        );
    };
    while buffer.len() < head + 4 + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
