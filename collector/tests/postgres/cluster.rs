//! A PostgreSQL server of Debian's package for this test program alone: made by `initdb` in a directory of
//! its own, reached by a socket in it, run by a user without rights, and ended with the program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

/// The server of this program, started when the first test wants it.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

/// Makes the cluster and runs the server until its standard input ends, which it does when the test program
/// does, however it does. Its own pid is all that is ended.
const KEEPER: &str = r#"
    serve() {
        "$BIN/postgres" -D "$DIR/data" -k "$DIR" -c listen_addresses= -c fsync=off -c max_connections=200 \
            -c shared_buffers=64MB >>"$DIR/server.log" 2>&1 &
        server=$!
    }
    "$BIN/initdb" -D "$DIR/data" -U mailsonar -A trust -E UTF8 --locale-provider=icu --icu-locale=en \
        --locale=C.UTF-8 --no-sync >"$DIR/initdb.log" 2>&1 || exit 1
    serve
    echo done
    while read -r word; do
        case $word in
            stop) kill -INT $server; wait $server;;
            start) serve;;
        esac
        echo done
    done
    kill -INT $server
    wait $server
    rm -rf "$DIR"
"#;

/// A running server.
pub(crate) struct Cluster {
    directory: PathBuf,
    bin: PathBuf,
    made: AtomicU32,
    /// Its standard input holds the server.
    keeper: Mutex<Child>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let bin = newest_bin();
        // Kept, since the keeper removes it after the server's end.
        let directory =
            tempfile::Builder::new().prefix("mailsonar-pg").tempdir().expect("a directory").keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("readable");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER]).current_dir(&directory);
        command.env("BIN", &bin).env("DIR", &directory);
        if fs::metadata(&directory).expect("it is there").uid() == 0 {
            // PostgreSQL refuses to run as root.
            let (user, group) = unprivileged();
            chown(&directory, Some(user), Some(group)).expect("handed over");
            command.uid(user).gid(group);
        }
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh runs");
        assert!(is_done(&mut keeper), "initdb failed: {}", log(&directory, "initdb.log"));
        let cluster = Self { directory, bin, made: AtomicU32::new(0), keeper: Mutex::new(keeper) };
        cluster.wait();
        cluster
    }

    /// Ends the server, and with it every connection.
    pub(crate) fn stop(&self) {
        self.have("stop");
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.have("start");
        self.wait();
    }

    fn have(&self, word: &str) {
        let mut keeper = self.keeper.lock().expect("no panic while held");
        writeln!(keeper.stdin.as_mut().expect("piped"), "{word}").expect("heard");
        assert!(is_done(&mut keeper), "{word}: {}", log(&self.directory, "server.log"));
    }

    fn wait(&self) {
        for _ in 0..3_000 {
            if self.psql("postgres", "SELECT 1").is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the server does not answer: {}", log(&self.directory, "server.log"));
    }

    /// A new, empty database. Returns its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("d{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).expect("made");
        name
    }

    /// A new, empty schema in a database that all share: it is made and removed faster. Returns its name.
    pub(crate) fn schema(&self) -> String {
        let name = format!("s{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE SCHEMA {name}")).expect("made");
        name
    }

    /// How a schema of that database is reached.
    pub(crate) fn url_of_schema(&self, schema: &str) -> String {
        format!("{}?options=-c%20search_path%3D{schema}", self.url("postgres"))
    }

    /// How a database is reached.
    pub(crate) fn url(&self, database: &str) -> String {
        let directory = self.directory.to_str().expect("text").replace('/', "%2F");
        format!("postgres://mailsonar@{directory}:5432/{database}")
    }

    /// Has SQL done by PostgreSQL's own client; what it prints.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "mailsonar", "-p", "5432"]);
        command.arg("-h").arg(&self.directory).args(["-d", database, "-c", sql]);
        let output = command.output().expect("psql runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

fn is_done(keeper: &mut Child) -> bool {
    let mut said = [0; 5];
    keeper.stdout.as_mut().expect("piped").read_exact(&mut said).is_ok() && said == *b"done\n"
}

fn log(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap_or_default()
}

/// Where the newest server of Debian's is.
fn newest_bin() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = installed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().expect("PostgreSQL is not installed: run `cargo xtask packages`");
    format!("/usr/lib/postgresql/{newest}/bin").into()
}

/// The user and group that Debian's package brings along for servers.
fn unprivileged() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the package's user");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a user"), numbers.next().expect("a group"))
}
