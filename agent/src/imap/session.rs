//! One session: its beginning, its end, and how a command is run in it.
//!
//! What single commands mean is in the files next to this one; they run through [`Session::run`].

use std::time::Duration;

use async_imap::Client;
use imap_proto::{Capability, MailboxDatum, RequestId, Response, ResponseCode, Status};
use mailsonar_protocol::{Class, Stage};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::folders::Selected;
use super::guard::Guard;
use super::limits::{Limits, Violation};
use super::refusal::{farewell, refused};
use crate::net::BoxedStream;
use crate::trouble::Trouble;

/// The longest that a farewell may take.
const LOGOUT: Duration = Duration::from_secs(2);

/// Whether the server's greeting is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// It is the first thing on the stream (implicit TLS, or plaintext).
    Awaited,
    /// [`starttls`](fn@super::starttls) has read it.
    Seen,
}

/// What the server says it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<String>);

impl Capabilities {
    /// Whether the server offers this, by its name in any case: `IDLE`, `AUTH=PLAIN`.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|offered| offered.eq_ignore_ascii_case(name))
    }

    /// Whether [`Session::idle`] works (RFC 2177).
    pub fn can_idle(&self) -> bool {
        self.has("IDLE")
    }

    /// All of them, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Capabilities {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// A session with a server, over a stream that is as private as the configuration demands.
#[derive(Debug)]
pub struct Session {
    client: Client<Guard>,
    limits: Limits,
    commands: u32,
    /// A call is under way. If it still is when the next one starts, that one failed or was dropped,
    /// and nobody knows which replies are still to come.
    busy: bool,
    capabilities: Capabilities,
    pub(super) selected: Option<Selected>,
    /// The messages in the selected folder, as last heard.
    pub(super) exists: u32,
    /// [`Self::exists`] rose, and the caller has not been told yet.
    pub(super) news: bool,
    /// [`Self::exists`] when the caller last read the newest headers.
    pub(super) read: u32,
}

impl Session {
    /// Hears the greeting, and asks what the server can do. No credential is sent.
    pub async fn open(stream: BoxedStream, greeting: Greeting, limits: Limits) -> Result<Self, Trouble> {
        let mut session = Self {
            client: Client::new(Guard::new(stream, limits)),
            limits,
            commands: 0,
            busy: false,
            capabilities: Capabilities::default(),
            selected: None,
            exists: 0,
            news: false,
            read: 0,
        };
        if greeting == Greeting::Awaited {
            timeout(limits.command, session.hear_greeting())
                .await
                .unwrap_or_else(|_| Err(Trouble::timeout(Stage::Login, limits.command)))?;
        }
        session.ask_capabilities().await?;
        Ok(session)
    }

    async fn hear_greeting(&mut self) -> Result<(), Trouble> {
        let greeting = self.next(Stage::Login, |response| {
            let (class, detail, words) = match response {
                Response::Data { status: Status::Ok, .. } => return Ok(()),
                Response::Data { status: Status::PreAuth, .. } => (
                    Class::Security,
                    "preauth",
                    "the server greets with PREAUTH: it takes us for somebody else",
                ),
                _ => (Class::Protocol, "no_greeting", "the server does not greet with * OK"),
            };
            Err(Trouble::new(Stage::Login, class, detail, words))
        });
        greeting.await?
    }

    pub(super) async fn ask_capabilities(&mut self) -> Result<(), Trouble> {
        let mut names = Vec::new();
        self.run(Stage::Login, "CAPABILITY", |response| {
            if let Response::Capabilities(offered) = response {
                names.extend(offered.iter().map(|capability| match capability {
                    Capability::Imap4rev1 => "IMAP4rev1".to_owned(),
                    Capability::Auth(mechanism) => format!("AUTH={mechanism}"),
                    Capability::Atom(name) => name.to_string(),
                }));
            }
        })
        .await?;
        self.capabilities = names.into_iter().collect();
        Ok(())
    }

    /// What the server said it can do: before the login, or after it.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The limits it was opened with.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Keeps a secret out of whatever the server says from now on.
    pub(super) fn hide(&mut self, secret: Vec<u8>) {
        self.client.get_mut().hide(secret);
    }

    /// Says goodbye, for at most two seconds, and closes the stream.
    pub async fn logout(mut self) {
        if self.enter(Stage::Idle).is_err() {
            return;
        }
        let limit = LOGOUT.min(self.limits.command);
        let farewell = async {
            if self.send(Stage::Idle, "LOGOUT").await.is_ok() {
                // BYE, our OK or an end: each is an answer.
                self.next(Stage::Idle, |_| ()).await.ok();
            }
            self.client.get_mut().shutdown().await
        };
        // The session is over, whatever comes of it.
        timeout(limit, farewell).await.ok();
    }

    /// Runs one command to its own tagged OK, within the deadline. `on` sees each untagged response.
    pub(super) async fn run<F>(&mut self, stage: Stage, command: &str, on: F) -> Result<(), Trouble>
    where
        F: FnMut(&Response<'_>) + Send,
    {
        self.enter(stage)?;
        let limit = self.limits.command;
        let exchange = async {
            let tag = self.send(stage, command).await?;
            self.finish(stage, &tag, on).await
        };
        timeout(limit, exchange).await.unwrap_or_else(|_| Err(Trouble::timeout(stage, limit)))?;
        self.leave();
        Ok(())
    }

    /// Starts a call. It is refused if the last one did not come to its good end.
    pub(super) fn enter(&mut self, stage: Stage) -> Result<(), Trouble> {
        if self.busy {
            let words = "an earlier command failed or was interrupted";
            return Err(Trouble::new(stage, Class::Closed, "session_dropped", words));
        }
        self.busy = true;
        Ok(())
    }

    /// The call came to its good end.
    pub(super) fn leave(&mut self) {
        self.busy = false;
    }

    /// Sends a command under a fresh tag.
    pub(super) async fn send(&mut self, stage: Stage, command: &str) -> Result<RequestId, Trouble> {
        self.commands = self.commands.wrapping_add(1);
        let tag = format!("M{}", self.commands);
        self.write(stage, format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(RequestId(tag))
    }

    /// Sends a line, or several, in one write: two small ones would cost a round trip (Nagle).
    pub(super) async fn write(&mut self, stage: Stage, lines: &[u8]) -> Result<(), Trouble> {
        let guard = self.client.get_mut();
        guard.begin();
        let written = async {
            guard.write_all(lines).await?;
            guard.flush().await
        };
        written.await.map_err(|error| Trouble::from_io(stage, &error))
    }

    /// Reads until our own tagged reply, which must be OK.
    pub(super) async fn finish<F>(&mut self, stage: Stage, own: &RequestId, mut on: F) -> Result<(), Trouble>
    where
        F: FnMut(&Response<'_>) + Send,
    {
        loop {
            let end = self.next(stage, |response| match response {
                Response::Done { .. } => Some(ended(stage, own, response)),
                Response::Continue(_) => {
                    let words = "the server asks for more where nothing more is due";
                    Some(Err(Trouble::new(stage, Class::Protocol, "unexpected_continuation", words)))
                }
                untagged => {
                    on(untagged);
                    None
                }
            });
            if let Some(end) = end.await? {
                return end;
            }
        }
    }

    /// Reads until the server asks for more (`+`). Untagged responses before it are allowed.
    pub(super) async fn finish_continuation(&mut self, stage: Stage, own: &RequestId) -> Result<(), Trouble> {
        loop {
            let end = self.next(stage, |response| match response {
                Response::Continue(_) => Some(Ok(())),
                Response::Done { .. } => Some(ended(stage, own, response).and_then(|()| {
                    let words = "the server says OK where it should ask for more";
                    Err(Trouble::new(stage, Class::Protocol, "no_continuation", words))
                })),
                _ => None,
            });
            if let Some(end) = end.await? {
                return end;
            }
        }
    }

    /// Reads until our own tagged reply, which must be OK, or until the server says more first (`+`): that.
    pub(super) async fn finish_or_challenge(
        &mut self,
        stage: Stage,
        own: &RequestId,
    ) -> Result<Option<String>, Trouble> {
        loop {
            let end = self.next(stage, |response| match response {
                Response::Continue(said) => {
                    Some(Ok(Some(said.information.as_deref().unwrap_or_default().to_owned())))
                }
                Response::Done { .. } => Some(ended(stage, own, response).map(|()| None)),
                _ => None,
            });
            if let Some(end) = end.await? {
                return end;
            }
        }
    }

    /// Looks at the next response. Dropping the future loses nothing.
    pub(super) async fn next<R>(
        &mut self,
        stage: Stage,
        look: impl FnOnce(&Response<'_>) -> R,
    ) -> Result<R, Trouble> {
        match self.client.read_response().await {
            Ok(Some(response)) => {
                self.note(stage, response.parsed())?;
                Ok(look(response.parsed()))
            }
            Ok(None) => {
                let words = "the server closed the connection";
                Err(Trouble::new(stage, Class::Closed, "end_of_stream", words))
            }
            Err(error) => Err(read_trouble(stage, &error)),
        }
    }

    /// Keeps up with what a server may say at any time.
    fn note(&mut self, stage: Stage, response: &Response<'_>) -> Result<(), Trouble> {
        match response {
            Response::Data { status: Status::Bye, outcome } => return Err(farewell(stage, outcome)),
            Response::Data { status: Status::Ok, outcome } => {
                if let (Some(ResponseCode::UidValidity(now)), Some(selected)) =
                    (&outcome.code, &self.selected)
                    && *now != selected.uidvalidity
                {
                    let words = format!("UIDVALIDITY was {} and is now {now}", selected.uidvalidity);
                    return Err(Trouble::new(stage, Class::Protocol, "uidvalidity_changed", words));
                }
            }
            Response::MailboxData(MailboxDatum::Exists(count)) => {
                self.news |= *count > self.exists;
                self.exists = *count;
            }
            Response::Expunge(_) => {
                self.exists = self.exists.saturating_sub(1);
                self.read = self.read.min(self.exists);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether this tagged reply ends our command well.
pub(super) fn ended(stage: Stage, own: &RequestId, response: &Response<'_>) -> Result<(), Trouble> {
    match response {
        Response::Done { tag, status: Status::Ok, .. } if tag == own => Ok(()),
        Response::Done { tag, status, outcome } if tag == own => Err(refused(stage, status, outcome)),
        _ => {
            let words = "the server answers a command that is not under way";
            Err(Trouble::new(stage, Class::Protocol, "stale_tag", words))
        }
    }
}

fn read_trouble(stage: Stage, error: &std::io::Error) -> Trouble {
    let violation = error.get_ref().and_then(|inner| inner.downcast_ref::<Violation>());
    match violation {
        Some(violation @ Violation::Unreadable) => {
            Trouble::new(stage, Class::Protocol, violation.detail(), violation.to_string())
        }
        Some(violation) => Trouble::new(stage, Class::Limit, violation.detail(), violation.to_string()),
        None => Trouble::from_io(stage, error),
    }
}
