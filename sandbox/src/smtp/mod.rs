//! SMTP as a server speaks it: submission and MX (RFC 5321, 6409, 3207, 4954).
//!
//! It accepts or refuses, and hands what it accepted to the queue; it delivers nothing.

mod auth;
mod session;
mod transaction;

pub(crate) use auth::{REFUSED_TOKEN, bearer, plain};

use smtp_proto::Request;

use crate::{
    fault::{Service, Stage},
    meet::End,
    smtp::session::Session,
    wire::Wire,
    world::{Line, SharedWorld},
};

/// The longest command line taken, in bytes: RFC 4954 asks for 12288.
const LINE: usize = 16 * 1024;

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
    if session.step(Stage::Greeting).await? {
        return Ok(());
    }
    let greeting = format!("220 {} ESMTP", session.host_name());
    session.reply(&greeting).await?;
    while let Some(mut line) = session.wire.line(LINE).await? {
        line.extend_from_slice(b"\r\n");
        match Request::parse(&mut line.iter()) {
            Ok(Request::Quit) => {
                session.reply("221 2.0.0 Bye").await?;
                return Ok(());
            }
            Ok(request) => perform(session, request.into_owned()).await?,
            Err(smtp_proto::Error::UnknownCommand) => session.reply("500 5.5.2 Unknown command").await?,
            Err(_) => session.reply("501 5.5.4 Syntax error").await?,
        }
    }
    Ok(())
}

async fn perform(session: &mut Session, request: Request<String>) -> Result<(), End> {
    match request {
        Request::Ehlo { host } => session.ehlo(host).await,
        Request::Helo { host } => session.helo(host).await,
        Request::StartTls => session.start_tls().await,
        Request::Auth { mechanism, initial_response } => session.auth(mechanism, &initial_response).await,
        Request::Mail { from } => session.mail(from.address).await,
        Request::Rcpt { to } => session.rcpt(to.address).await,
        Request::Data => session.data().await,
        Request::Rset => {
            session.forget_mail();
            session.command("250 2.0.0 OK").await
        }
        Request::Noop { .. } => session.command("250 2.0.0 OK").await,
        Request::Vrfy { .. } => session.command("252 2.5.2 Cannot say").await,
        Request::Help { .. } => session.command("214 2.0.0 RFC 5321").await,
        _ => session.command("502 5.5.1 Not implemented").await,
    }
}

/// Whether this door wants account holders.
fn is_submission(service: Service) -> bool {
    matches!(service, Service::Submission | Service::Smtps)
}
