//! A command of the operator's own: the page as JSON on its standard input, success as its exit status.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::BoxFuture;
use mailsonar_protocol::Text;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command as Process};

use super::checking::Checking;
use super::{Call, Notifier, Rejection};

/// `[notifiers.NAME]` with `type = "command"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandConfig {
    /// The program and its arguments. No shell is between.
    command: Vec<String>,
}

/// A command, ready to run.
#[derive(Debug, Clone)]
pub(super) struct Command {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl Command {
    pub(super) fn build(
        config: &CommandConfig,
        timeout: Duration,
        checking: &mut Checking<'_>,
    ) -> Option<Self> {
        let Some((program, arguments)) =
            config.command.split_first().filter(|(program, _)| !program.is_empty())
        else {
            checking.problem("command", "names no program", "write command = [\"/usr/local/bin/page\"]");
            return None;
        };
        Some(Self { program: program.clone(), arguments: arguments.to_vec(), timeout })
    }

    /// Runs it once. Whatever becomes of this, the process is killed when it is dropped.
    async fn run(&self, id: &str, input: &[u8]) -> io::Result<(ExitStatus, Text)> {
        let mut child: Child = Process::new(&self.program)
            .args(&self.arguments)
            .env("MAILSONAR_PAGE_ID", id)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let write = async {
            // A program that needs no input may close it.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), words, status) = tokio::join!(write, first_words(stderr), child.wait());
        Ok((status?, words))
    }
}

/// The beginning of what is said; the rest is read and forgotten.
async fn first_words(stream: Option<impl AsyncRead + Unpin>) -> Text {
    let (mut words, mut chunk) = (Vec::new(), [0; 1024]);
    if let Some(mut stream) = stream {
        while let Ok(read @ 1..) = stream.read(&mut chunk).await {
            let room = Text::MAX.saturating_sub(words.len()).min(read);
            words.extend_from_slice(&chunk[..room]);
        }
    }
    Text::from_bytes(&words)
}

impl Notifier for Command {
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let for_now = |words| Rejection::ForNow { words, retry_after: None };
            let mut input =
                serde_json::to_vec(call.first()?).map_err(|error| Rejection::Never(error.to_string()))?;
            input.push(b'\n');
            match tokio::time::timeout(self.timeout, self.run(call.id, &input)).await {
                Err(_) => Err(for_now(format!(
                    "{} was killed: it had not ended after {:.1} s",
                    self.program,
                    self.timeout.as_secs_f64()
                ))),
                Ok(Err(error)) => Err(for_now(format!("{} cannot be run: {error}", self.program))),
                Ok(Ok((status, _))) if status.success() => Ok(status.to_string()),
                Ok(Ok((status, words))) => {
                    let line =
                        words.as_str().lines().next().unwrap_or("").chars().take(200).collect::<String>();
                    Err(for_now(format!("{status}: {line}")))
                }
            }
        })
    }
}
