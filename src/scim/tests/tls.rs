//! Certificates: the bundle is trusted, nothing else is, and the failure says
//! what is wrong.
//!
//! `tls/` holds a server's key for 127.0.0.1 and the authority that signed it,
//! both made for these tests; the authority's key was thrown away.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::config;
use crate::scim::ResourceKind::User;
use crate::scim::{Cause, Client, ScimError};

const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server-key.pem");

/// Answers one connection, unless the client hangs up; the port it is on.
fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(server)).unwrap();
        let mut stream = Stream::new(&mut tls, &mut tcp);
        // A client that does not trust us hangs up here.
        if stream.read(&mut [0; 4096]).is_ok() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"id\":\"1\"}";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

async fn get(host: &str, ca_pem: Option<&[u8]>) -> Option<ScimError> {
    let mut config = config(&format!("https://{host}:{}/", start()));
    config.insecure = false;
    config.ca_pem = ca_pem.map(<[u8]>::to_vec);
    Client::new(config).unwrap().get(User, "1").await.err()
}

#[tokio::test]
async fn a_server_of_the_bundles_authority_is_trusted() {
    assert_eq!(get("127.0.0.1", Some(AUTHORITY)).await, None);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not() {
    let error = get("127.0.0.1", None).await;
    assert_eq!(error, Some(ScimError::Connect(Cause::CertificateIssuer)));
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_accepted() {
    let error = get("localhost", Some(AUTHORITY)).await;
    assert_eq!(error, Some(ScimError::Connect(Cause::CertificateHost)));
}

/// A server that knows nothing newer than a version: it takes the first message of the handshake for granted, and
/// answers it by hand, since no library here speaks TLS 1.1 any more. What the client says then.
async fn answer_of_version(minor: u8) -> (Option<ScimError>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut hello = [0; 4096];
        let read = tcp.read(&mut hello).unwrap();
        assert_eq!(
            &hello[..2],
            &[0x16, 3],
            "no handshake: {:?}",
            &hello[..read]
        );
        // RFC 4346 §7.4.1.3: version, random, no session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
        let body = [&[3, minor][..], &[7; 32], &[0], &[0xc0, 0x13], &[0]].concat();
        let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
        let record = [&[0x16, 3, minor, 0, message.len() as u8][..], &message].concat();
        tcp.write_all(&record).unwrap();
        let mut said = Vec::new();
        tcp.read_to_end(&mut said).ok();
        said
    });
    let mut config = config(&format!("https://127.0.0.1:{port}/"));
    (config.insecure, config.ca_pem) = (false, Some(AUTHORITY.to_vec()));
    let error = Client::new(config).unwrap().get(User, "1").await.err();
    (error, server.join().unwrap())
}

#[tokio::test]
async fn versions_before_tls_1_2_are_refused_by_an_alert() {
    for minor in [0, 1, 2] {
        let (error, said) = answer_of_version(minor).await;
        assert_eq!(error, Some(ScimError::Connect(Cause::Tls)), "3.{minor}");
        // One fatal alert, protocol_version (RFC 8446 §6.2), and the end.
        assert_eq!(said.len(), 7, "{said:?}");
        assert_eq!((said[0], &said[5..]), (21, &[2, 70][..]), "{said:?}");
    }
}
