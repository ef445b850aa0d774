//! Mail servers the interoperability tests speak to, which Debian does not let a machine have beside Postfix
//! and Dovecot: their packages are unpacked below the target directory, and installed nowhere.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::tool::Tool;

/// A server, and the packages it is made of: its own, and the libraries a small machine may lack.
const SERVERS: &[(&str, &[&str])] = &[
    (
        "exim",
        &["exim4-daemon-light", "libidn12", "libgnutls-dane0", "libnsl2", "libpcre2-8-0", "libunbound8"],
    ),
    ("opensmtpd", &["opensmtpd", "libevent-2.1-7", "libdb5.3"]),
    (
        "cyrus",
        &[
            "cyrus-common",
            "cyrus-imapd",
            "sasl2-bin",
            "libsasl2-2",
            "libsasl2-modules",
            "libsasl2-modules-db",
            "libical3",
            "libxapian30",
            "libpcre3",
            "libjansson4",
            "libicu72",
            "libwrap0",
            "libxml2",
            "libpq5",
            "libldap-2.5-0",
            "libsqlite3-0",
            "libnsl2",
        ],
    ),
    (
        "courier",
        &[
            "courier-imap",
            "courier-base",
            "courier-authdaemon",
            "courier-authlib",
            "courier-authlib-userdb",
            "libcourier-unicode4",
            "gamin",
            "libgamin0",
            "libidn12",
            "libltdl7",
            "libpcre3",
            "libgdbm6",
        ],
    ),
];

/// Fetches and unpacks what is not there yet.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let house = checkout.target.join("foreign");
    let missing: Vec<_> =
        SERVERS.iter().filter(|(name, packages)| !is_there(&house.join(name), packages)).collect();
    if missing.is_empty() {
        println!("all {} foreign servers are unpacked", SERVERS.len());
        return Ok(());
    }
    Tool::new(&["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300", "update"]).run()?;
    for (name, packages) in missing {
        unpack(&house.join(name), packages).with_context(|| format!("unpacking {name}"))?;
        println!("unpacked {name}");
    }
    Ok(())
}

/// Written last, so that a place that was left half made is made anew.
const NOTE: &str = "packages.txt";

fn is_there(place: &Path, packages: &[&str]) -> bool {
    fs::read_to_string(place.join(NOTE)).is_ok_and(|listed| listed == packages.join("\n"))
}

fn unpack(place: &Path, packages: &[&str]) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("removing {}", place.display()))?;
    }
    let parcels = place.join("parcels");
    fs::create_dir_all(&parcels).with_context(|| format!("making {}", parcels.display()))?;
    Tool::new(&[&["apt-get", "--quiet", "--quiet", "download"], packages].concat()).inside(&parcels).run()?;
    for parcel in fs::read_dir(&parcels)? {
        let parcel = parcel?.path();
        let words = ["dpkg-deb".as_ref(), "--extract".as_ref(), parcel.as_os_str(), place.as_os_str()];
        Tool::new(&words).run()?;
    }
    fs::remove_dir_all(&parcels)?;
    // Debian 12 has /lib in /usr/lib, and some packages do not know it yet
    if place.join("lib").exists() {
        let (from, to) = (place.join("lib/."), place.join("usr/lib/"));
        Tool::new(&["cp".as_ref(), "--archive".as_ref(), from.as_os_str(), to.as_os_str()]).run()?;
    }
    fs::write(place.join(NOTE), packages.join("\n"))?;
    Ok(())
}
