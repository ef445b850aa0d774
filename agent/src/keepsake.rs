//! A refresh token that a provider handed out in place of the configured one, kept beside the ledger: the old
//! one may be worth nothing from then on, so a restart that forgot the new one would lock the agent out.
//!
//! One file for each account, for its owner's eyes only, written aside and renamed, and on disk before the
//! token is used. It counts only as long as the configuration names the token that it took the place of (known
//! by its hash): who configures a new one is believed. Knows no HTTP.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The most of a file that is read.
const MOST: usize = 64 * 1024;

/// Where one account's refresh token is kept.
#[derive(Debug, Clone)]
pub struct Keepsake(PathBuf);

impl Keepsake {
    /// The one of an account, in the directory of the ledger.
    pub fn of(state_dir: &Path, account: &str) -> Self {
        Self(state_dir.join(format!("oauth-{account}.token")))
    }

    /// What was kept in place of the configured token, if anything was.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn recall(&self, configured: &SecretString) -> io::Result<Option<SecretString>> {
        let text = match std::fs::read(&self.0) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.named(&error)),
        };
        let token = text.lines().nth(1).filter(|token| !token.is_empty());
        let counts = text.lines().next() == Some(&*mark(configured));
        Ok(token.filter(|_| counts).map(SecretString::from))
    }

    /// Keeps a token, durably.
    ///
    /// # Errors
    /// Where the disk does not take it, or the token is not one line.
    pub fn keep(&self, configured: &SecretString, token: &SecretString) -> io::Result<()> {
        let (mark, token) = (mark(configured), token.expose_secret());
        if token.contains(['\r', '\n']) || token.len() >= MOST / 2 {
            return Err(self.named(&io::Error::other("a token that is long or has lines is not kept")));
        }
        let aside = self.0.with_extension("new");
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(format!("{mark}\n{token}\n").as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, &self.0)?;
            std::fs::File::open(self.0.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| self.named(&error))
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.0.display()))
    }
}

/// What a configured token is known by.
fn mark(configured: &SecretString) -> String {
    Sha256::digest(configured.expose_secret()).iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_for_its_owner_and_ends_with_the_configured_token() {
        let place = tempfile::tempdir().expect("a directory");
        let keepsake = Keepsake::of(place.path(), "acme");
        let [first, other] = ["first", "other"].map(SecretString::from);
        let recalled = |configured| {
            let token = keepsake.recall(configured).expect("read");
            token.map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(recalled(&first), None);
        for token in ["second", "third"] {
            keepsake.keep(&first, &SecretString::from(token)).expect("kept");
            assert_eq!(recalled(&first).as_deref(), Some(token));
        }
        assert_eq!(recalled(&other), None, "a new token in the configuration is believed");
        let file = place.path().join("oauth-acme.token");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).expect("read");
        assert!(!text.contains("first"), "the configured one stays where it is");
        assert!(keepsake.keep(&first, &SecretString::from("a\nb")).is_err());
        for odd in ["", "\n", "x\ny\n", "\u{0}"] {
            std::fs::write(&file, odd).expect("written");
            assert_eq!(recalled(&first), None, "{odd:?}");
        }
        std::fs::remove_file(&file).expect("gone");
        std::fs::create_dir(&file).expect("made");
        assert!(keepsake.recall(&first).expect_err("a directory").to_string().contains("oauth-acme.token"));
    }
}
