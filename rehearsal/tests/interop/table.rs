//! The tables in `docs/interoperability.md`, made from the runs: each test has a section of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::checks::Tried;

/// Tests that end at the same time write one after the other.
static PAGE: Mutex<()> = Mutex::new(());

/// Compares a section with what was found; `MAILSONAR_WRITE_DOCS=1` writes it anew.
pub(crate) fn compare(title: &str, made: &str) {
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interoperability.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let head = format!("\n## {title}\n\n");
    let (before, rest) = page.split_once(&head).unwrap_or_else(|| panic!("no section {title:?} in the page"));
    let end = rest.find("\n## ").unwrap_or(rest.len());
    if std::env::var_os("MAILSONAR_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{head}{made}{}", &rest[end..])).expect("written");
        return;
    }
    assert!(
        &rest[..end] == made,
        "{}: the section {title:?} is not what was found; write it anew with MAILSONAR_WRITE_DOCS=1:\n{made}",
        path.display()
    );
}

/// The matrix of servers.
pub(crate) fn matrix(tried: &[Tried]) -> String {
    let mut text = String::from(
        "Each pair is started, mail is sent by each door with `mailsonar-agent check`, and the verdict read.\n\n",
    );
    let heads: Vec<String> = tried.iter().map(|t| t.names.join(", ")).collect();
    writeln!(text, "| | {} |", heads.join(" | ")).expect("a string takes all");
    writeln!(text, "|---|{}", "---|".repeat(heads.len())).expect("a string takes all");
    let rows = tried.first().map_or(0, |t| t.rows.len());
    for at in 0..rows {
        let cells: Vec<&str> = tried.iter().map(|t| t.rows[at].found.as_str()).collect();
        writeln!(text, "| {} | {} |", tried[0].rows[at].what, cells.join(" | ")).expect("a string takes all");
    }
    text += "\nOpenSMTPD 6.8.0p2 as Debian 12 has it fails every TLS handshake, whoever comes (`openssl s_client` meets the same\n\"internal error\"), and takes passwords under TLS only: the agent says so, and the other rows go straight to its MX.\n`+Junk` means nothing to it. Courier has no SPECIAL-USE: the agent finds Junk by its name.\n";
    text
}
