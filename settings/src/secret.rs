//! Secrets, and where they are kept: in a file, in the environment, or (with a warning) inline.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// A secret: never shown by `Debug`, wiped when dropped.
pub type Secret = SecretString;

/// Where a secret is kept, as three keys of a configuration say: `NAME_file`, `NAME_env`, `NAME`.
#[derive(Debug, Clone)]
pub struct SecretSource<'a> {
    /// `NAME`, for messages: `password`, `token`.
    pub name: &'a str,
    /// The value of `NAME`.
    pub inline: Option<&'a Secret>,
    /// The value of `NAME_file`.
    pub file: Option<&'a Path>,
    /// The value of `NAME_env`.
    pub env: Option<&'a str>,
    /// What a relative `NAME_file` is relative to.
    pub directory: &'a Path,
}

impl SecretSource<'_> {
    /// Whether any of the three keys is there.
    pub fn is_given(&self) -> bool {
        self.inline.is_some() || self.file.is_some() || self.env.is_some()
    }

    /// Fetches the secret, with a warning where it is kept carelessly.
    ///
    /// # Errors
    /// A sentence for a person, without the secret: none or several of the keys are there, the file
    /// or variable is not, or it is empty.
    pub fn fetch(&self) -> Result<(Secret, Option<String>), String> {
        let name = self.name;
        let (secret, warning) = match (self.inline, self.file, self.env) {
            (Some(inline), None, None) => {
                let warning = format!("{name} is written in the configuration itself; prefer {name}_file");
                (inline.clone(), Some(warning))
            }
            (None, Some(file), None) => from_file(name, &self.directory.join(file))?,
            (None, None, Some(variable)) => (from_env(name, variable)?, None),
            (None, None, None) => return Err(format!("no {name}; give {name}_file or {name}_env")),
            _ => return Err(format!("{name} is given twice; keep one of {name}_file, {name}_env, {name}")),
        };
        match secrecy::ExposeSecret::expose_secret(&secret) {
            "" => Err(format!("the {name} is empty")),
            text if text.contains(['\r', '\n', '\0']) => {
                Err(format!("the {name} has a line break or NUL in it"))
            }
            _ => Ok((secret, warning)),
        }
    }
}

fn from_file(name: &str, path: &PathBuf) -> Result<(Secret, Option<String>), String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}_file {shown}: {error}"))?;
    let open = std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0);
    let warning = open.then(|| format!("{name}_file {shown} can be read by everyone; chmod o-r it"));
    Ok((Secret::from(text.trim_end_matches(['\r', '\n'])), warning))
}

fn from_env(name: &str, variable: &str) -> Result<Secret, String> {
    let value = std::env::var(variable).map_err(|_| {
        format!("{name}_env names {variable}, which is not set (or not UTF-8) in the environment")
    })?;
    Ok(Secret::from(value))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn source<'a>(
        inline: Option<&'a Secret>,
        file: Option<&'a Path>,
        env: Option<&'a str>,
    ) -> SecretSource<'a> {
        SecretSource { name: "password", inline, file, env, directory: Path::new("/nonexistent") }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break_and_scolded_if_open() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "s3cret\n").expect("written");
        let (secret, warning) = source(None, Some(file.path()), None).fetch().expect("fetched");
        assert_eq!(secret.expose_secret(), "s3cret");
        assert_eq!(warning, None);
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("opened");
        let (_, warning) = source(None, Some(file.path()), None).fetch().expect("fetched");
        assert!(warning.expect("scolded").contains("chmod"));
    }

    #[test]
    fn none_two_or_empty_are_refused_without_showing_anything() {
        let secret = Secret::from("s3cret");
        for wrong in [source(None, None, None), source(Some(&secret), None, Some("HOME"))] {
            let message = wrong.fetch().expect_err("refused");
            assert!(message.contains("password") && !message.contains("s3cret"), "{message}");
            assert!(!format!("{wrong:?}").contains("s3cret"));
        }
        assert!(source(Some(&Secret::from("")), None, None).fetch().is_err());
        assert!(source(Some(&Secret::from("a\r\nb")), None, None).fetch().is_err());
        assert!(
            source(None, Some(Path::new("absent")), None)
                .fetch()
                .expect_err("absent")
                .contains("/nonexistent/absent")
        );
        assert!(
            source(None, None, Some("MAILSONAR_NOT_SET"))
                .fetch()
                .expect_err("unset")
                .contains("MAILSONAR_NOT_SET")
        );
    }
}
