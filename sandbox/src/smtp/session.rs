//! One SMTP connection: its state, its greeting words, TLS, and the way every reply goes.

use smtp_proto::{
    AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2, EXT_8BIT_MIME, EXT_AUTH,
    EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_START_TLS, EhloResponse,
};

use super::is_submission;
use crate::{
    fault::{Fault, Service, Stage},
    listen::secure,
    meet::{End, meet},
    wire::Wire,
    world::{Line, SharedWorld},
};

/// One connection.
pub(super) struct Session {
    pub world: SharedWorld,
    pub line: Line,
    pub wire: Wire,
    pub tls: bool,
    /// What the peer called itself, and whether it spoke ESMTP.
    pub hello: Option<(String, bool)>,
    /// Who logged in.
    pub account: Option<String>,
    pub mail: Option<Mail>,
    /// What the rules have us say in place of the next reply.
    instead: Option<Vec<u8>>,
    /// What the rules had us say last in place of a right answer.
    pub said: String,
}

/// A mail transaction under way.
pub(super) struct Mail {
    pub from: String,
    pub to: Vec<String>,
}

impl Session {
    pub(super) fn new(world: SharedWorld, line: Line, wire: Wire) -> Self {
        let tls = line.service == Service::Smtps;
        Self {
            world,
            line,
            wire,
            tls,
            hello: None,
            account: None,
            mail: None,
            instead: None,
            said: String::new(),
        }
    }

    pub(super) fn host_name(&self) -> String {
        self.world.hosts[self.line.host].name().to_owned()
    }

    /// Goes through what the rules have for this step; true if it was answered with that.
    pub(super) async fn step(&mut self, stage: Stage) -> Result<bool, End> {
        let account = self.account.as_deref();
        let words = match meet(&self.world, &self.line, account, stage, &mut self.wire).await? {
            Some(Fault::Reply { code, text }) => format!("{code} {text}\r\n").into_bytes(),
            Some(Fault::Raw { text }) => latin1(&text),
            _ => return Ok(false),
        };
        if matches!(words.first(), Some(b'2' | b'3')) {
            self.instead = Some(words);
            return Ok(false);
        }
        String::from_utf8_lossy(&words).trim_end().clone_into(&mut self.said);
        self.wire.send(&words).await?;
        if words.starts_with(b"421") { Err(End::Close) } else { Ok(true) }
    }

    /// Sends a reply of one line.
    pub(super) async fn reply(&mut self, words: &str) -> Result<(), End> {
        let right = || format!("{words}\r\n").into_bytes();
        let bytes = self.instead.take().unwrap_or_else(right);
        Ok(self.wire.send(&bytes).await?)
    }

    /// Answers a command that changes nothing.
    pub(super) async fn command(&mut self, words: &str) -> Result<(), End> {
        if self.step(Stage::Command).await? {
            return Ok(());
        }
        self.reply(words).await
    }

    pub(super) async fn ehlo(&mut self, host: String) -> Result<(), End> {
        if self.step(Stage::Hello).await? {
            return Ok(());
        }
        self.forget_mail();
        self.hello = Some((host, true));
        let mut response = EhloResponse::new(self.host_name());
        response.capabilities = EXT_8BIT_MIME | EXT_ENHANCED_STATUS_CODES | EXT_PIPELINING | EXT_SIZE;
        response.size = self.world.max_message;
        if !self.tls && !self.faulty(Stage::StartTls, &Fault::TlsWithheld) {
            response.capabilities |= EXT_START_TLS;
        }
        if is_submission(self.line.service) && self.tls {
            response.capabilities |= EXT_AUTH;
            response.auth_mechanisms = AUTH_PLAIN | AUTH_LOGIN;
            if self.world.provider_of(self.line.host).mailboxes.takes_tokens() {
                response.auth_mechanisms |= AUTH_XOAUTH2 | AUTH_OAUTHBEARER;
            }
        }
        let mut right = Vec::new();
        response.write(&mut right)?;
        let bytes = self.instead.take().unwrap_or(right);
        Ok(self.wire.send(&bytes).await?)
    }

    pub(super) async fn helo(&mut self, host: String) -> Result<(), End> {
        self.forget_mail();
        self.hello = Some((host, false));
        let words = format!("250 {}", self.host_name());
        self.command(&words).await
    }

    pub(super) async fn start_tls(&mut self) -> Result<(), End> {
        if self.step(Stage::StartTls).await? {
            return Ok(());
        }
        if self.tls || self.faulty(Stage::StartTls, &Fault::TlsWithheld) {
            return self.reply("502 5.5.1 STARTTLS is not available").await;
        }
        let injected = self.faulty(Stage::StartTls, &Fault::TlsInjected);
        let words = if injected { "220 2.0.0 Ready\r\n250 2.0.0 injected" } else { "220 2.0.0 Ready" };
        self.reply(words).await?;
        secure(&self.world, &self.line, &mut self.wire).await?;
        self.tls = true;
        self.hello = None;
        self.forget_mail();
        Ok(())
    }

    /// Ends the transaction under way, if any.
    pub(super) fn forget_mail(&mut self) {
        self.mail = None;
    }

    /// Whether this fault is in force here.
    pub(super) fn faulty(&self, stage: Stage, fault: &Fault) -> bool {
        let place = self.world.place(&self.line, self.account.as_deref());
        self.world.faults.find(&place, stage, |other| (other == fault).then_some(())).is_some()
    }
}

/// Each character as one byte; what does not fit as a question mark.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}
