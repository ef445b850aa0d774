//! The account's folders: which there are, where junk goes, and opening one.
//!
//! Names are the server's, in modified UTF-7 or UTF-8, and go back to it as they came.

use imap_proto::{
    MailboxDatum, MailboxListData, NameAttribute, Response, ResponseCode, Status, StatusAttribute,
};
use mailsonar_protocol::{Class, Stage};

use super::argument::quoted;
use super::session::Session;
use crate::trouble::Trouble;

/// What junk folders are called where the server does not mark them.
const JUNK_NAMES: [&str; 5] = ["Junk", "Spam", "Bulk Mail", "Junk E-mail", "Junk Email"];

/// The folders that can be opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// All of them, in the server's order.
    pub all: Vec<String>,
    /// Where the server puts what it takes for junk, if there is such a folder.
    pub junk: Option<String>,
}

impl Folders {
    /// The folders in which a message may arrive: the inbox first.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        std::iter::once("INBOX").chain(self.junk.as_deref())
    }
}

/// A folder that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Its name.
    pub folder: String,
    /// UIDs mean the same messages as long as this stays the same.
    pub uidvalidity: u32,
    /// The UID the next message will get, or a smaller one. Old servers do not say.
    pub uidnext: Option<u32>,
    /// The number of messages in it.
    pub exists: u32,
}

/// What is known of a folder without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderStatus {
    /// UIDs mean the same messages as long as this stays the same.
    pub uidvalidity: u32,
    /// The UID the next message will get.
    pub uidnext: u32,
    /// The number of messages in it.
    pub messages: u32,
}

/// One line of LIST.
struct Listed {
    name: String,
    delimiter: Option<char>,
    is_junk: bool,
}

impl Session {
    /// Finds the folders (RFC 3501), and junk among them: by its mark (RFC 6154), else by its name.
    pub async fn folders(&mut self) -> Result<Folders, Trouble> {
        let extended = self.capabilities().has("SPECIAL-USE") && self.capabilities().has("LIST-EXTENDED");
        let command = if extended { "LIST \"\" \"*\" RETURN (SPECIAL-USE)" } else { "LIST \"\" \"*\"" };
        let mut listed = Vec::new();
        self.run(Stage::Select, command, |response| {
            if let Response::MailboxData(MailboxDatum::List(data)) = response {
                listed.extend(selectable(data));
            }
        })
        .await?;
        let junk = junk(&listed).map(ToOwned::to_owned);
        Ok(Folders { all: listed.into_iter().map(|folder| folder.name).collect(), junk })
    }

    /// Opens a folder, for reading and deleting.
    pub async fn select(&mut self, folder: &str) -> Result<Selected, Trouble> {
        let command = format!("SELECT {}", quoted(Stage::Select, folder)?);
        (self.selected, self.exists, self.read) = (None, 0, 0);
        let (mut uidvalidity, mut uidnext, mut exists) = (None, None, None);
        self.run(Stage::Select, &command, |response| match response {
            Response::Data { status: Status::Ok, outcome } => match outcome.code {
                Some(ResponseCode::UidValidity(number)) => uidvalidity = Some(number),
                Some(ResponseCode::UidNext(number)) => uidnext = Some(number),
                _ => {}
            },
            Response::MailboxData(MailboxDatum::Exists(count)) => exists = Some(*count),
            _ => {}
        })
        .await?;
        let (Some(uidvalidity), Some(exists)) = (uidvalidity, exists) else {
            let words = "the server opened the folder without saying EXISTS and UIDVALIDITY";
            return Err(self.broken(Stage::Select, "incomplete_select", words));
        };
        let selected = Selected { folder: folder.to_owned(), uidvalidity, uidnext, exists };
        self.selected = Some(selected.clone());
        self.news = false;
        Ok(selected)
    }

    /// Asks about a folder that is not open.
    pub async fn status(&mut self, folder: &str) -> Result<FolderStatus, Trouble> {
        let command = format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quoted(Stage::Idle, folder)?);
        let (mut uidvalidity, mut uidnext, mut messages) = (None, None, None);
        self.run(Stage::Idle, &command, |response| {
            if let Response::MailboxData(MailboxDatum::Status { status, .. }) = response {
                for attribute in status {
                    match attribute {
                        StatusAttribute::UidValidity(number) => uidvalidity = Some(*number),
                        StatusAttribute::UidNext(number) => uidnext = Some(*number),
                        StatusAttribute::Messages(number) => messages = Some(*number),
                        _ => {}
                    }
                }
            }
        })
        .await?;
        let (Some(uidvalidity), Some(uidnext), Some(messages)) = (uidvalidity, uidnext, messages) else {
            let words = "the server's STATUS lacks MESSAGES, UIDNEXT or UIDVALIDITY";
            return Err(self.broken(Stage::Idle, "incomplete_status", words));
        };
        Ok(FolderStatus { uidvalidity, uidnext, messages })
    }

    /// The server said OK without saying what it must: the session is not to be trusted.
    pub(super) fn broken(&mut self, stage: Stage, detail: &'static str, words: &str) -> Trouble {
        match self.enter(stage) {
            Ok(()) => Trouble::new(stage, Class::Protocol, detail, words),
            Err(earlier) => earlier,
        }
    }
}

fn selectable(data: &MailboxListData<'_>) -> Option<Listed> {
    let marked = |name: &str| {
        data.name_attributes.iter().any(
            |attribute| matches!(attribute, NameAttribute::Extension(own) if own.eq_ignore_ascii_case(name)),
        )
    };
    if data.name_attributes.contains(&NameAttribute::NoSelect) || marked("\\NonExistent") {
        return None;
    }
    Some(Listed {
        name: data.name.to_string(),
        // A backslash comes escaped, as two characters.
        delimiter: data.delimiter.as_ref().and_then(|delimiter| delimiter.chars().last()),
        is_junk: data.name_attributes.contains(&NameAttribute::Junk) || marked("\\Spam"),
    })
}

/// The junk folder: marked; else so named; else so named below another folder.
fn junk(listed: &[Listed]) -> Option<&str> {
    let named = |name: &str| JUNK_NAMES.iter().any(|junk| junk.eq_ignore_ascii_case(name));
    let last = |folder: &Listed| match folder.delimiter {
        Some(delimiter) => folder.name.rsplit(delimiter).next().is_some_and(named),
        None => false,
    };
    listed
        .iter()
        .find(|folder| folder.is_junk)
        .or_else(|| listed.iter().find(|folder| named(&folder.name)))
        .or_else(|| listed.iter().find(|folder| last(folder)))
        .map(|folder| folder.name.as_str())
}
