//! The way to the collector over real HTTP: what is sent, and what a wrong address at the other end
//! cannot do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use mailsonar_agent::ship::{Config, Http, Post};

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A server that keeps what it is sent and always answers the same.
async fn server(status: StatusCode, location: Option<String>, answer: Vec<u8>) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let keeper = seen.clone();
    let handler = move |headers: HeaderMap, body: Bytes| async move {
        keeper.lock().expect("not poisoned").push((headers, body));
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(header::LOCATION, location.parse().expect("a header"));
        }
        (status, headers, answer).into_response()
    };
    let router = Router::new().route(mailsonar_protocol::BATCHES_PATH, post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn way(url: String, ca_file: Option<std::path::PathBuf>) -> anyhow::Result<Http> {
    // As the program does before anything else.
    rustls::crypto::ring::default_provider().install_default().ok();
    let heartbeat = Duration::from_secs(10);
    let config = Config { urls: vec![url], token: "t0ken-of-ours".into(), ca_file, heartbeat };
    Http::new(&config.urls[0], &config)
}

#[tokio::test]
async fn a_batch_goes_with_the_token_and_says_what_it_is() {
    let (address, seen) = server(StatusCode::OK, None, b"{}".to_vec()).await;
    let http = way(format!("http://{address}"), None).expect("a client");
    let answer = http.post(Bytes::from_static(b"packed")).await.expect("answered");
    assert_eq!(answer, (200, Bytes::from_static(b"{}")));
    let (headers, body) = seen.lock().expect("not poisoned").remove(0);
    assert_eq!(headers[header::AUTHORIZATION], "Bearer t0ken-of-ours");
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(body, "packed");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_carries_the_token_nowhere() {
    let (elsewhere, robbed) = server(StatusCode::OK, None, Vec::new()).await;
    let target = format!("http://{elsewhere}{}", mailsonar_protocol::BATCHES_PATH);
    for status in
        [StatusCode::MOVED_PERMANENTLY, StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT]
    {
        let (address, _) = server(status, Some(target.clone()), Vec::new()).await;
        let http = way(format!("http://{address}"), None).expect("a client");
        let (answered, _) = http.post(Bytes::from_static(b"packed")).await.expect("answered");
        assert_eq!(answered, status.as_u16());
    }
    assert!(robbed.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let (address, _) = server(StatusCode::INTERNAL_SERVER_ERROR, None, vec![b'x'; 20 << 20]).await;
    let http = way(format!("http://{address}"), None).expect("a client");
    let (status, answer) = http.post(Bytes::new()).await.expect("answered");
    assert_eq!(status, 500);
    assert!(answer.len() <= 1 << 20, "{} bytes", answer.len());
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_named_without_the_token() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let http = way(format!("http://{address}"), None).expect("a client");
    let words = http.post(Bytes::new()).await.expect_err("nobody is there");
    assert!(words.contains(&address.to_string()) && words.contains("refused"), "{words}");
    assert!(!words.contains("t0ken"), "I12: {words}");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_with_its_path() {
    let place = crate::place::Place::new();
    let absent = way("https://localhost".into(), Some(place.path("absent.pem"))).map(|_| ());
    let words = format!("{:#}", absent.expect_err("refused"));
    assert!(words.contains("absent.pem"), "{words}");
    let empty = place.write("empty.pem", "no certificate at all\n");
    let words = way("https://localhost".into(), Some(empty)).map(|_| ()).expect_err("refused").to_string();
    assert!(words.contains("empty.pem"), "{words}");
}

/// A collector with a certificate of its own CA.
async fn behind_tls(certificate: rcgen::CertifiedKey<rcgen::KeyPair>) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keeper = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 4_096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            keeper.lock().expect("not poisoned").extend_from_slice(&head[..length]);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.write_all(answer).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (address, received)
}

#[tokio::test]
async fn a_certificate_is_trusted_only_by_the_ca_file_and_the_token_waits_for_it() {
    let place = crate::place::Place::new();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let ca_file = place.write("ca.pem", &certificate.cert.pem());
    let (address, received) = behind_tls(certificate).await;
    let url = format!("https://localhost:{}", address.port());
    let words = way(url.clone(), None).expect("a client").post(Bytes::new()).await.expect_err("a stranger");
    assert!(words.to_lowercase().contains("certificate"), "{words}");
    assert!(received.lock().expect("not poisoned").is_empty(), "I11: nothing leaves before TLS is verified");
    let http = way(url, Some(ca_file)).expect("a client");
    assert_eq!(http.post(Bytes::new()).await.expect("answered").0, 200);
    let head = String::from_utf8_lossy(&received.lock().expect("not poisoned")).to_lowercase();
    assert!(head.contains("authorization: bearer t0ken-of-ours"), "{head}");
}
