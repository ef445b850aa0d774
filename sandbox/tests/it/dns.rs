//! The name server, over UDP, over TCP, and its faults.

use std::{str::FromStr, time::Duration};

use hickory_server::proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use mailsonar_sandbox::{Fault, Rule, Sandbox, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::client::{PATIENCE, pair};

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    message.to_vec().unwrap()
}

/// The code and the answers' data, over UDP.
async fn ask(sandbox: &Sandbox, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&query(name, kind), sandbox.dns_addr()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    read(&buffer[..length])
}

fn read(bytes: &[u8]) -> (ResponseCode, Vec<String>) {
    let reply = Message::from_vec(bytes).unwrap();
    assert_eq!(reply.metadata.id, 7);
    (reply.metadata.response_code, reply.answers.iter().map(|record| record.data.to_string()).collect())
}

#[tokio::test]
async fn the_zones_answer_with_records_no_data_or_no_such_name() {
    let sandbox = pair().await;
    let (code, exchangers) = ask(&sandbox, "acme.example.", RecordType::MX).await;
    assert_eq!(
        (code, &exchangers[..]),
        (ResponseCode::NoError, &["10 mx1.acme.example.".to_owned(), "20 mx2.acme.example.".to_owned()][..])
    );
    let address = sandbox.host("mx1.acme.example").unwrap().address.to_string();
    assert_eq!(ask(&sandbox, "MX1.acme.example.", RecordType::A).await.1, [address]);
    assert_eq!(ask(&sandbox, "acme.example.", RecordType::TXT).await.1, ["v=spf1 mx -all"]);
    assert_eq!(ask(&sandbox, "mx1.acme.example.", RecordType::AAAA).await, (ResponseCode::NoError, vec![]));
    assert_eq!(ask(&sandbox, "nothing.acme.example.", RecordType::A).await, (ResponseCode::NXDomain, vec![]));
    assert_eq!(ask(&sandbox, "elsewhere.example.", RecordType::A).await.0, ResponseCode::Refused);
}

#[tokio::test]
async fn tcp_and_memory_answer_like_udp() {
    let sandbox = pair().await;
    let query = query("acme.example.", RecordType::MX);
    let mut stream = TcpStream::connect(sandbox.dns_addr()).await.unwrap();
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &query].concat()).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await.unwrap();
    let memory = sandbox.ask_dns(&query).await.unwrap();
    let udp = ask(&sandbox, "acme.example.", RecordType::MX).await;
    assert_eq!(read(&reply), udp);
    assert_eq!(read(&memory), udp);
}

#[tokio::test]
async fn a_failover_moves_the_service_names_and_nothing_else() {
    let sandbox = pair().await;
    let address = |name: &str| vec![sandbox.host(name).unwrap().address.to_string()];
    assert_eq!(ask(&sandbox, "smtp.acme.example.", RecordType::A).await.1, address("out1.acme.example"));
    sandbox.fail_over("acme.example", "west").unwrap();
    assert_eq!(ask(&sandbox, "smtp.acme.example.", RecordType::A).await.1, address("out2.acme.example"));
    assert_eq!(ask(&sandbox, "imap.acme.example.", RecordType::A).await.1, address("imap2.acme.example"));
    assert_eq!(
        ask(&sandbox, "smtp.reference.example.", RecordType::A).await.1,
        address("out1.reference.example")
    );
    assert!(sandbox.fail_over("acme.example", "north").unwrap_err().to_string().contains("north"));
}

#[tokio::test]
async fn dns_fails_in_every_way() {
    let sandbox = pair().await;
    let faults = sandbox.faults();
    for (fault, code) in
        [(Fault::NxDomain, ResponseCode::NXDomain), (Fault::ServFail, ResponseCode::ServFail)]
    {
        let rule = faults.add(Rule::new(fault).provider("acme.example"));
        assert_eq!(ask(&sandbox, "acme.example.", RecordType::MX).await, (code, vec![]));
        assert_eq!(ask(&sandbox, "reference.example.", RecordType::MX).await.0, ResponseCode::NoError);
        faults.remove(rule);
    }
    faults.add(Rule::new(Fault::StaleMx));
    assert_eq!(ask(&sandbox, "acme.example.", RecordType::MX).await.1, ["10 old-mx.acme.example."]);
    assert_eq!(ask(&sandbox, "old-mx.acme.example.", RecordType::A).await.1, ["127.255.255.1"]);
    faults.clear();
    faults.add(Rule::new(Fault::Silence).service(Service::Dns));
    let silent = timeout(Duration::from_millis(150), ask(&sandbox, "acme.example.", RecordType::MX)).await;
    assert!(silent.is_err());
}
