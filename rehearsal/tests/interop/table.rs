//! The table in `docs/interoperability.md`, made from the run.

use std::fmt::Write as _;
use std::path::Path;

use crate::checks::Tried;

/// Compares it with what was found; `MAILSONAR_WRITE_DOCS=1` writes it anew.
pub(crate) fn compare(tried: &[Tried]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interoperability.md");
    let made = page(tried);
    if std::env::var_os("MAILSONAR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/interoperability.md is not what was found; see {} and write it anew with MAILSONAR_WRITE_DOCS=1:\n{made}",
        path.display()
    );
}

fn page(tried: &[Tried]) -> String {
    let mut text = String::from(
        "# Interoperability\n\nWhat the agent meets at real servers, as Debian 12 has them. This page is made and checked by\n`cargo test -p mailsonar-rehearsal --test interop`, which starts each pair, sends by each door with\n`mailsonar-agent check`, and reads the verdict.\n\n",
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
