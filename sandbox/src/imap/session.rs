//! One IMAP connection: its state, and which command does what.

use imap_codec::imap_types::command::CommandBody;

use super::view::Selected;
use crate::{
    fault::{Fault, Service, Stage},
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
    /// Who logged in.
    pub account: Option<String>,
    pub selected: Option<Selected>,
    /// What the rules had us say last in place of a right answer.
    pub said: String,
}

/// What follows the tag in a command's last line.
pub(super) type Tagged = String;

impl Session {
    pub(super) fn new(world: SharedWorld, line: Line, wire: Wire) -> Self {
        let tls = line.service == Service::Imaps;
        Self { world, line, wire, tls, account: None, selected: None, said: String::new() }
    }

    pub(super) fn host_name(&self) -> String {
        self.world.hosts[self.line.host].name().to_owned()
    }

    /// Whether its provider's servers have this capability, of those that one can be without.
    pub(super) fn can(&self, name: &str) -> bool {
        !self.world.provider_of(self.line.host).config.imap_without.iter().any(|lacking| lacking == name)
    }

    pub(super) async fn send(&mut self, line: &str) -> Result<(), End> {
        Ok(self.wire.send(format!("{line}\r\n").as_bytes()).await?)
    }

    /// Goes through what the rules have for this step; true if it was answered with that.
    pub(super) async fn step(&mut self, stage: Stage, tag: &str, account: Option<&str>) -> Result<bool, End> {
        match meet(&self.world, &self.line, account, stage, &mut self.wire).await? {
            Some(Fault::No { text }) => {
                self.send(&format!("{tag} NO {text}")).await?;
                self.said = format!("NO {text}");
            }
            Some(Fault::Raw { text }) => {
                self.wire.send(text.replace("{tag}", tag).as_bytes()).await?;
                self.said = text;
            }
            Some(Fault::Bye { text }) => {
                self.send(&format!("* BYE {text}")).await?;
                return Err(End::Close);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) async fn perform(&mut self, body: CommandBody<'static>) -> Result<Tagged, End> {
        match body {
            CommandBody::Capability => {
                let line = format!("* CAPABILITY {}", self.capabilities());
                self.send(&line).await?;
                Ok("OK CAPABILITY completed".to_owned())
            }
            CommandBody::Noop | CommandBody::Check => Ok("OK completed".to_owned()),
            CommandBody::Id { .. } => {
                self.send(r#"* ID ("name" "Mailsonar sandbox")"#).await?;
                Ok("OK ID completed".to_owned())
            }
            CommandBody::Logout => {
                self.send("* BYE Logging out").await?;
                self.selected = None;
                Ok("OK LOGOUT completed".to_owned())
            }
            CommandBody::Login { username, password } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Ok(self.log_in(&text(username.as_ref()), &text(password.declassify().as_ref())))
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                self.authenticate(&mechanism, initial_response).await
            }
            body => match self.account.clone() {
                Some(account) => self.perform_as(account, body).await,
                None => Ok("BAD Log in first".to_owned()),
            },
        }
    }

    async fn perform_as(&mut self, account: String, body: CommandBody<'static>) -> Result<Tagged, End> {
        match body {
            CommandBody::Select { mailbox, .. } => self.select(&account, &mailbox, false).await,
            CommandBody::Examine { mailbox, .. } => self.select(&account, &mailbox, true).await,
            CommandBody::Status { mailbox, item_names } => self.status(&account, &mailbox, &item_names).await,
            CommandBody::List { mailbox_wildcard, .. } => {
                self.list(&account, "LIST", &mailbox_wildcard).await
            }
            CommandBody::Lsub { mailbox_wildcard, .. } => {
                self.list(&account, "LSUB", &mailbox_wildcard).await
            }
            CommandBody::Namespace => {
                self.send(r#"* NAMESPACE (("" "/")) NIL NIL"#).await?;
                Ok("OK NAMESPACE completed".to_owned())
            }
            CommandBody::Create { mailbox } => Ok(self.create(&account, &mailbox)),
            CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => Ok("OK completed".to_owned()),
            CommandBody::Append { mailbox, flags, message, .. } => {
                Ok(self.append(&account, &mailbox, &flags, &message))
            }
            CommandBody::Idle if self.can("IDLE") => self.idle().await,
            body => {
                let Some(mut selected) = self.selected.take() else {
                    return Ok("BAD Select a mailbox first, or this command is not known here".to_owned());
                };
                match body {
                    CommandBody::Unselect => Ok("OK UNSELECT completed".to_owned()),
                    CommandBody::Close => {
                        self.expunge(&selected, None);
                        Ok("OK CLOSE completed".to_owned())
                    }
                    body => {
                        let tagged = self.perform_in(&mut selected, body).await;
                        self.selected = Some(selected);
                        tagged
                    }
                }
            }
        }
    }

    async fn perform_in(
        &mut self,
        selected: &mut Selected,
        body: CommandBody<'static>,
    ) -> Result<Tagged, End> {
        match body {
            CommandBody::Search { criteria, uid, .. } => self.search(selected, criteria.as_ref(), uid).await,
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid, .. } => {
                self.fetch(selected, &sequence_set, macro_or_item_names, uid).await
            }
            CommandBody::Store { sequence_set, kind, response, flags, uid, .. } => {
                self.store(selected, &sequence_set, kind, response, &flags, uid).await
            }
            CommandBody::Expunge => Ok(self.expunge(selected, None)),
            CommandBody::ExpungeUid { sequence_set } if self.can("UIDPLUS") => {
                Ok(self.expunge(selected, Some(&sequence_set)))
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => {
                Ok(self.copy(selected, &sequence_set, &mailbox, uid, false))
            }
            CommandBody::Move { sequence_set, mailbox, uid } => {
                Ok(self.copy(selected, &sequence_set, &mailbox, uid, true))
            }
            _ => Ok("BAD Not known here".to_owned()),
        }
    }

    /// Tells the client what changed in the selected mailbox since it last heard.
    pub(super) async fn sync(&mut self) -> Result<(), End> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        let (account, folder) = (selected.account.clone(), selected.folder.clone());
        let news = mailboxes.with(&account, &folder, |folder| selected.news(folder));
        match news.flatten() {
            Some(news) if news.is_empty() => Ok(()),
            Some(news) => Ok(self.wire.send(&news).await?),
            None => {
                self.send("* BYE [UNAVAILABLE] The mailbox was replaced: UIDVALIDITY changed").await?;
                Err(End::Close)
            }
        }
    }
}
