//! MAIL, RCPT and DATA: who may send to whom, and the moment of responsibility.

use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;
use smtp_proto::request::receiver::DataReceiver;

use super::{
    is_submission,
    session::{Mail, Session},
};
use crate::{
    fault::{Fault, Stage},
    headers,
    meet::End,
    queue::{self, Item},
    trace::{Trace, with_trace},
    world::domain,
};

/// The most recipients of one message.
const RECIPIENTS: usize = 100;

impl Session {
    pub(super) async fn mail(&mut self, from: String) -> Result<(), End> {
        if self.step(Stage::MailFrom).await? {
            return Ok(());
        }
        if self.hello.is_none() {
            return self.reply("503 5.5.1 Say EHLO first").await;
        }
        if self.mail.is_some() {
            return self.reply("503 5.5.1 A transaction is under way").await;
        }
        if is_submission(self.line.service) {
            let Some(account) = &self.account else {
                return self.reply("530 5.7.0 Authentication required").await;
            };
            let owner = self.world.provider_of(self.line.host).mailboxes.owner(&from);
            if !owner.is_some_and(|owner| owner.eq_ignore_ascii_case(account)) {
                return self.reply("553 5.7.1 Sender address is not yours").await;
            }
        }
        self.mail = Some(Mail { from, to: Vec::new() });
        self.reply("250 2.1.0 OK").await
    }

    pub(super) async fn rcpt(&mut self, to: String) -> Result<(), End> {
        if self.step(Stage::RcptTo).await? {
            return Ok(());
        }
        let refusal = match &self.mail {
            None => Some("503 5.5.1 Say MAIL first"),
            Some(mail) if mail.to.len() >= RECIPIENTS => Some("452 4.5.3 Too many recipients"),
            Some(mail) if self.greylisted(&mail.from, &to) => Some("450 4.7.1 Greylisted, try again later"),
            Some(_) => self.unwanted(&to),
        };
        if let Some(words) = refusal {
            return self.reply(words).await;
        }
        if let Some(mail) = &mut self.mail {
            mail.to.push(to);
        }
        self.reply("250 2.1.5 OK").await
    }

    pub(super) async fn data(&mut self) -> Result<(), End> {
        if self.step(Stage::Data).await? {
            return Ok(());
        }
        let Some(mail) = self.mail.take().filter(|mail| !mail.to.is_empty()) else {
            return self.reply("503 5.5.1 No valid recipients").await;
        };
        self.reply("354 End data with <CR><LF>.<CR><LF>").await?;
        let Some(message) = self.message().await? else {
            return self.reply("552 5.3.4 Message too large").await;
        };
        if self.step(Stage::Accept).await? {
            return Ok(());
        }
        let id = self.take_over(mail, &message);
        if self.faulty(Stage::Accept, &Fault::CloseKept) {
            return Err(End::Close);
        }
        self.reply(&format!("250 2.0.0 OK: queued as {id}")).await
    }

    /// The message up to the final dot, dots unstuffed; `None` if it is too large.
    async fn message(&mut self) -> Result<Option<Vec<u8>>, End> {
        let mut receiver = DataReceiver::new();
        let mut message = Vec::new();
        let mut too_large = false;
        let limit = self.world.max_message;
        // The receiver knows a dot only after a line end; the command line's own counts.
        receiver.ingest(&mut b"\r\n".iter(), &mut message);
        message.clear();
        let take = |bytes: &[u8]| {
            let mut rest = bytes.iter();
            let done = receiver.ingest(&mut rest, &mut message);
            if message.len() > limit {
                too_large = true;
                message.clear();
            }
            (bytes.len() - rest.len(), done)
        };
        self.wire.feed(take).await?;
        Ok((!too_large).then_some(message))
    }

    /// Takes responsibility: from here on the message is in the queue. Returns its queue id.
    fn take_over(&mut self, mail: Mail, message: &[u8]) -> String {
        let world = &self.world;
        let number = world.number();
        let id = world.queue_id(number);
        let (hello, esmtp) = self.hello.clone().unwrap_or_default();
        let host = self.host_name();
        let message_id = headers::message_id(message);
        for to in mail.to {
            let letter = if let Some(letter) = self.line.letter {
                world.truth.relayed(letter, &host);
                letter
            } else {
                world.truth.accepted(world.clock.now(), &host, &mail.from, &to, &message_id)
            };
            let trace = Trace {
                hello: &hello,
                peer: self.line.peer,
                host: &host,
                esmtp,
                tls: self.tls,
                authenticated: self.account.is_some(),
                id: &id,
                to: &to,
                at: world.clock.civil(),
            };
            let results =
                (!is_submission(self.line.service)).then(|| self.authentication_results(&mail.from));
            let bytes: Arc<[u8]> = with_trace(&trace, results.as_deref(), message).into();
            let item = Item { letter, from: mail.from.clone(), to, bytes, key: number };
            queue::enqueue(world, self.line.host, item);
        }
        id
    }

    /// What this MX found out about the sender (RFC 8601): SPF for the domains it knows.
    fn authentication_results(&self, from: &str) -> String {
        let world = &self.world;
        let spf = match world.provider_for(domain(from)) {
            None => "none",
            Some(provider) => {
                let ours = |h: &&crate::world::Host| h.provider == provider && self.line.peer == h.address;
                if world.hosts.iter().any(|host| ours(&host)) { "pass" } else { "fail" }
            }
        };
        format!("spf={spf} smtp.mailfrom={}; dkim=none", domain(from))
    }

    /// Why this door takes no mail for this address, if so.
    fn unwanted(&self, to: &str) -> Option<&'static str> {
        let provider = self.world.provider_of(self.line.host);
        let local = provider.config.takes(domain(to));
        if local {
            let known = provider.mailboxes.owner(to).is_some();
            (!known).then_some("550 5.1.1 No such user here")
        } else {
            (!is_submission(self.line.service)).then_some("554 5.7.1 Relay access denied")
        }
    }

    fn greylisted(&self, from: &str, to: &str) -> bool {
        let place = self.world.place(&self.line, None);
        let pick = |fault: &Fault| match fault {
            Fault::Greylist { wait } => Some(*wait),
            _ => None,
        };
        let Some(wait) = self.world.faults.find(&place, Stage::RcptTo, pick) else { return false };
        let now = self.world.clock.now();
        let triplet = format!("{} {from} {to}", self.line.peer);
        let mut seen =
            self.world.hosts[self.line.host].greylist.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *seen.entry(triplet).or_insert(now);
        first == now
            || now.duration_since(first) < SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)
    }
}
