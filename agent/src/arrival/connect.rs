//! From nothing to a mailbox that can be looked into: DNS, TCP, TLS, sign-in; each step timed, each
//! under its own deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use mailsonar_protocol::{Class, Stage, StageTime};

use super::Watcher;
use crate::imap::{self, Greeting, Limits, Session};
use crate::net::BoxedStream;
use crate::oauth::{Mechanism, Tokens};
use crate::probe::micros_since;
use crate::submit::{Credentials, Proof, SignedIn, TlsMode};
use crate::tls::{self, Policy, Trust};
use crate::trouble::Trouble;

/// The detail that says that nothing was shown, since the server takes nothing that we have.
const NO_MECHANISM: &str = "no_mechanism";

impl Watcher {
    /// A session that is signed in.
    pub(super) async fn connect(&self) -> Result<Session, Trouble> {
        let host = &self.address.host;
        let addresses = self.timed(Stage::Resolve, self.shared.resolver.addresses(host)).await?;
        let first = addresses.first().map(|ip| SocketAddr::new(*ip, self.address.port));
        let address = first
            .ok_or_else(|| Trouble::new(Stage::Resolve, Class::Dns, "nodata", "the host has no address"))?;
        let stream = self.timed(Stage::Connect, self.reach(address)).await?;
        let (stream, greeting) = self.timed(Stage::Tls, self.protect(stream)).await?;
        self.timed(Stage::Login, self.sign_in(stream, greeting)).await
    }

    async fn reach(&self, address: SocketAddr) -> Result<BoxedStream, Trouble> {
        let (stage, limit) = (Stage::Connect, self.shared.config.connect);
        let connecting = async {
            let stream = self.shared.network.connect(address).await;
            stream.map_err(|error| Trouble::from_io(stage, &error))
        };
        within(stage, limit, connecting).await
    }

    async fn protect(&self, mut stream: BoxedStream) -> Result<(BoxedStream, Greeting), Trouble> {
        let limit = self.shared.config.tls;
        match &self.address.tls {
            TlsMode::Plaintext => Ok((stream, Greeting::Awaited)),
            TlsMode::Tls(trust) => Ok((self.handshake(stream, trust).await?, Greeting::Awaited)),
            // Opportunistic is for MX hosts; where credentials follow, TLS is required.
            TlsMode::Starttls(trust) | TlsMode::Opportunistic(trust) => {
                imap::starttls(&mut stream, limit).await?;
                Ok((self.handshake(stream, trust).await?, Greeting::Seen))
            }
        }
    }

    async fn handshake(&self, stream: BoxedStream, trust: &Trust) -> Result<BoxedStream, Trouble> {
        let handshake = tls::handshake(stream, &self.address.host, trust, Policy::Verified);
        let (stream, _report) = within(Stage::Tls, self.shared.config.tls, handshake).await?;
        Ok(stream)
    }

    async fn sign_in(&self, stream: BoxedStream, greeting: Greeting) -> Result<Session, Trouble> {
        let mut session =
            Session::open(stream, greeting, Limits::with_command(self.shared.config.command)).await?;
        let permit = self.shared.breaker.ask(&self.address.account, Stage::Login).await?;
        let Credentials { username, proof } = &self.address.credentials;
        let signed_in = match proof {
            Proof::Password(password) => session.login(username, password).await,
            Proof::Token(tokens) => Box::pin(by_token(&mut session, username, tokens)).await,
        };
        // A server may answer BAD to a wrong password, and count it.
        let how = match &signed_in {
            Ok(()) => SignedIn::Taken,
            Err(trouble) if trouble.detail == NO_MECHANISM => SignedIn::Undecided,
            Err(trouble) if trouble.class == Class::Auth || trouble.detail == "bad" => SignedIn::Refused,
            Err(_) => SignedIn::Undecided,
        };
        if let (SignedIn::Refused, Proof::Token(tokens)) = (how, proof) {
            tokens.discard().await;
        }
        self.shared.breaker.tell(permit, how).await;
        signed_in.map(|()| session)
    }

    /// Does a step, and tells how long it took if it went well.
    pub(super) async fn timed<T>(
        &self,
        stage: Stage,
        step: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let begun = self.shared.clock.now();
        let done = step.await?;
        let took_us = micros_since(begun, self.shared.clock.now());
        self.shared.observer.step(
            &self.address.account,
            &self.address.provider,
            StageTime { stage, took_us },
        );
        Ok(done)
    }
}

/// Signs in with a token, in a way that the server offers.
async fn by_token(session: &mut Session, username: &str, tokens: &Tokens) -> Result<(), Trouble> {
    let offers = |name: &str| session.capabilities().has(&format!("AUTH={name}"));
    let Some(mechanism) = Mechanism::choose(tokens.mechanism(), offers) else {
        let words =
            "the server offers neither AUTH=OAUTHBEARER nor AUTH=XOAUTH2, as the account's `oauth` needs";
        return Err(Trouble::new(Stage::Login, Class::Auth, NO_MECHANISM, words));
    };
    let token = tokens.token(Stage::Login).await?;
    session.login_by_token(username, &token, mechanism).await
}

async fn within<T>(
    stage: Stage,
    limit: Duration,
    step: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| Err(Trouble::timeout(stage, limit)))
}
