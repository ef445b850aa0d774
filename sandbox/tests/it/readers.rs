//! Real mail readers: mbsync keeps a Maildir and a mailbox alike, mutt sends and files a copy.
//!
//! They must be installed; a missing one fails its test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mailsonar_sandbox::Service;

use crate::{
    client::{address, submit},
    programs::{Bench, PROBE, WATCH, run, text},
};

const HOST: &str = "imap1.acme.example";

/// The files below a folder's `new` and `cur`, sorted.
fn mail(folder: &Path) -> Vec<PathBuf> {
    let below = |part: &str| fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = below("new").chain(below("cur")).collect();
    files.sort();
    files
}

async fn mbsync(bench: &Bench) {
    let mut mbsync = Command::new("mbsync");
    mbsync
        .env("HOME", bench.directory.path())
        .arg("-c")
        .arg(bench.directory.path().join("mbsyncrc"))
        .arg("all");
    let output = run(mbsync, "").await;
    assert!(output.status.success(), "{}", text(&output));
}

/// What arrives is pulled; what is read, deleted and added at home is pushed.
#[tokio::test(flavor = "multi_thread")]
async fn mbsync_pulls_and_pushes() {
    let bench = Bench::new().await;
    let home = bench.directory.path();
    let at = address(&bench.sandbox, HOST, Service::Imaps);
    let (certificate, local) = (home.join("server.pem"), home.join("mail"));
    fs::create_dir(&local).unwrap();
    // As its manual says: the server's own certificate, since it is asked for by its address.
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &at.to_string()]);
    fs::write(&certificate, run(openssl, "").await.stdout).unwrap();
    let rc = format!(
        "IMAPStore far\nHost {}\nPort {}\nUser {WATCH}\nPass secret\nSSLType IMAPS\nCertificateFile {}\n\n\
         MaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nExpunge Both\nSyncState *\n",
        at.ip(),
        at.port(),
        certificate.display(),
        local = local.display()
    );
    fs::write(home.join("mbsyncrc"), rc).unwrap();

    for id in ["read@probe", "deleted@probe"] {
        submit(&bench.sandbox, PROBE, WATCH, id).await;
    }
    bench.delivered(2).await;
    mbsync(&bench).await;
    let pulled = mail(&local.join("INBOX"));
    assert_eq!(pulled.len(), 2, "{pulled:?}");
    assert!(local.join("Junk").is_dir() && local.join("Sent").is_dir());

    for file in pulled {
        let deleted = fs::read_to_string(&file).unwrap().contains("deleted@probe");
        let name = file.file_name().unwrap().to_str().unwrap();
        let (base, _) = name.rsplit_once(':').unwrap_or((name, ""));
        let flags = if deleted { "ST" } else { "S" };
        fs::rename(&file, local.join("INBOX/cur").join(format!("{base}:2,{flags}"))).unwrap();
    }
    let added = "From: me@home.example\nMessage-ID: <added@home>\nSubject: added\n\nFrom the Maildir.\n";
    fs::write(local.join("INBOX/new/1.1.home"), added).unwrap();
    mbsync(&bench).await;
    let inbox = || bench.sandbox.message_ids(WATCH, "INBOX").unwrap();
    assert_eq!(inbox(), ["read@probe", "added@home"]);
    assert_eq!(bench.sandbox.flags(WATCH, "INBOX")[0], [r"\Seen"]);
    let facts = bench.sandbox.truth().facts();
    let removed = |id: &str| facts.of(id).next().unwrap().deliveries[0].removed;
    assert!(removed("deleted@probe").is_some() && removed("read@probe").is_none(), "{facts:#?}");

    // Once more changes nothing.
    mbsync(&bench).await;
    assert_eq!((inbox().len(), mail(&local.join("INBOX")).len()), (2, 2));
}

/// It sends, and files its copy with APPEND.
#[tokio::test(flavor = "multi_thread")]
async fn mutt_sends_and_keeps_a_copy() {
    let bench = Bench::new().await;
    let home = bench.directory.path();
    let smtps = address(&bench.sandbox, "out1.acme.example", Service::Smtps);
    let imaps = address(&bench.sandbox, HOST, Service::Imaps);
    let rc = format!(
        "set from=\"{PROBE}\"\nset smtp_url=\"smtps://{PROBE}@{smtps}\"\nset smtp_pass=secret\n\
         set folder=\"imaps://{PROBE}@{imaps}\"\nset imap_pass=secret\nset record=\"+Sent\"\nset copy=yes\n\
         set ssl_ca_certificates_file=\"{}\"\nset ssl_verify_host=no\nset ssl_force_tls=yes\n",
        bench.ca().display()
    );
    fs::write(home.join("muttrc"), rc).unwrap();
    let mut mutt = Command::new("mutt");
    mutt.env("HOME", home).args(["-n", "-F"]).arg(home.join("muttrc")).args(["-s", "from mutt", WATCH]);
    let output = run(mutt, "Hello\n").await;
    assert!(output.status.success(), "{}", text(&output));
    bench.delivered(1).await;
    let sent = bench.sandbox.message_ids(PROBE, "Sent").unwrap();
    assert_eq!(sent, bench.sandbox.message_ids(WATCH, "INBOX").unwrap());
    assert_eq!(bench.sandbox.flags(PROBE, "Sent"), [[r"\Seen"]]);
}
