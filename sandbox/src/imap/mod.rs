//! IMAP4rev1 as a server speaks it (RFC 3501), with IDLE (2177), UIDPLUS (4315), UNSELECT (3691),
//! NAMESPACE (2342), ID (2971), LITERAL+ (7888), MOVE (6851) and SPECIAL-USE (6154).
//!
//! It shows mailboxes and changes flags; how mail gets there is none of its business.

mod change;
mod fetch;
mod folders;
mod idle;
mod input;
mod login;
mod search;
mod session;
mod structure;
mod view;

use imap_codec::imap_types::command::{Command, CommandBody};

use crate::{
    fault::Stage,
    imap::{input::Input, session::Session},
    meet::End,
    smtp::plain,
    wire::Wire,
    world::{Line, SharedWorld},
};

/// Serves one connection to its end.
pub(crate) async fn serve(world: SharedWorld, line: Line, wire: Wire) {
    let mut session = Session::new(world, line, wire);
    let end = match converse(&mut session).await {
        Ok(()) => End::Close,
        Err(end) => end,
    };
    end.conclude(session.wire).await;
}

async fn converse(session: &mut Session) -> Result<(), End> {
    if session.step(Stage::Greeting, "*", None).await? {
        return Ok(());
    }
    let greeting = format!("* OK [CAPABILITY {}] {} ready", session.capabilities(), session.host_name());
    session.send(&greeting).await?;
    loop {
        match input::command(&mut session.wire).await? {
            Input::Command(command) => {
                let last = matches!(command.body, CommandBody::Logout);
                perform(session, command).await?;
                if last {
                    return Ok(());
                }
            }
            Input::Bad(tag) => session.send(&format!("{tag} BAD Cannot parse the command")).await?,
            Input::TooBig(tag) => {
                session.send(&format!("{tag} NO [TOOBIG] Literal too large")).await?;
                return Ok(());
            }
            Input::End => return Ok(()),
        }
    }
}

async fn perform(session: &mut Session, command: Command<'static>) -> Result<(), End> {
    let tag = command.tag.as_ref().to_owned();
    let claimed = match &command.body {
        CommandBody::Login { username, .. } => Some(String::from_utf8_lossy(username.as_ref()).into_owned()),
        CommandBody::Authenticate { initial_response: Some(initial), .. } => {
            plain(initial.declassify().as_ref()).map(|(name, _)| name)
        }
        _ => session.account.clone(),
    };
    let stage = stage(&command.body);
    if session.step(stage, &tag, claimed.as_deref()).await? {
        if stage == Stage::Login {
            session.note(claimed.as_deref().unwrap_or_default(), false, &session.said);
        }
        return Ok(());
    }
    // While sequence numbers are in use, they must not move (RFC 3501, section 5.5).
    let fixed = matches!(
        command.body,
        CommandBody::Fetch { uid: false, .. }
            | CommandBody::Store { uid: false, .. }
            | CommandBody::Search { uid: false, .. }
    );
    let tagged = if matches!(command.body, CommandBody::StartTLS) {
        let Some(tagged) = session.start_tls(&tag).await? else { return Ok(()) };
        tagged
    } else {
        session.perform(command.body).await?
    };
    if !fixed {
        session.sync().await?;
    }
    session.send(&format!("{tag} {tagged}")).await
}

/// Where a command stands, for the rules.
fn stage(body: &CommandBody<'_>) -> Stage {
    match body {
        CommandBody::Login { .. } | CommandBody::Authenticate { .. } => Stage::Login,
        CommandBody::StartTLS => Stage::StartTls,
        CommandBody::Select { .. } | CommandBody::Examine { .. } => Stage::Select,
        CommandBody::Search { .. } => Stage::Search,
        CommandBody::Fetch { .. } => Stage::Fetch,
        CommandBody::Idle => Stage::Idle,
        CommandBody::Store { .. }
        | CommandBody::Expunge
        | CommandBody::ExpungeUid { .. }
        | CommandBody::Move { .. }
        | CommandBody::Copy { .. }
        | CommandBody::Append { .. } => Stage::Store,
        _ => Stage::Command,
    }
}
