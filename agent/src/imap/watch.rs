//! Waiting for new mail: NOOP while one is due, IDLE (RFC 2177) else.
//!
//! A wait that hears nothing proves nothing: whoever waits here searches too.

use std::future::Future;
use std::time::Duration;

use imap_proto::{RequestId, Response};
use mailsonar_protocol::{Class, Stage};
use tokio::time::timeout;

use super::session::{Session, ended};
use crate::trouble::Trouble;

const STAGE: Stage = Stage::Idle;

/// What a NOOP has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// The number of messages in the folder.
    pub exists: u32,
    /// It rose since the caller was last told. It may have been heard during another command.
    pub grew: bool,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleEnd {
    /// The folder has more messages than the caller was last told.
    News,
    /// The time is over.
    Timeout,
    /// The caller's interruption came.
    Interrupted,
}

impl Session {
    /// Asks for news of the selected folder.
    pub async fn noop(&mut self) -> Result<News, Trouble> {
        self.run(STAGE, "NOOP", |_| {}).await?;
        Ok(News { exists: self.exists, grew: std::mem::take(&mut self.news) })
    }

    /// Waits for news of the selected folder, for `max` at most whatever the server sends meanwhile,
    /// or until `interrupt` is done.
    pub async fn idle<F>(&mut self, max: Duration, interrupt: F) -> Result<IdleEnd, Trouble>
    where
        F: Future<Output = ()>,
    {
        if !self.capabilities().can_idle() {
            let words = "the server does not offer IDLE";
            return Err(Trouble::new(STAGE, Class::Protocol, "idle_not_offered", words));
        }
        self.enter(STAGE)?;
        let end = if self.news { IdleEnd::News } else { self.idle_once(max, interrupt).await? };
        self.leave();
        // What came with the last words counts too.
        let news = std::mem::take(&mut self.news);
        Ok(if news { IdleEnd::News } else { end })
    }

    async fn idle_once<F>(&mut self, max: Duration, interrupt: F) -> Result<IdleEnd, Trouble>
    where
        F: Future<Output = ()>,
    {
        let limit = self.limits().command;
        let late = |_| Trouble::timeout(STAGE, limit);
        let start = async {
            let tag = self.send(STAGE, "IDLE").await?;
            self.finish_continuation(STAGE, &tag).await?;
            Ok(tag)
        };
        let tag = timeout(limit, start).await.map_err(late)??;
        let end = tokio::select! {
            biased;
            heard = timeout(max, self.hear_news(&tag)) => match heard {
                Ok(news) => { news?; IdleEnd::News }
                Err(_) => IdleEnd::Timeout,
            },
            () = interrupt => IdleEnd::Interrupted,
        };
        let stop = async {
            self.write(STAGE, b"DONE\r\n").await?;
            self.finish(STAGE, &tag, |_| {}).await
        };
        timeout(limit, stop).await.map_err(late)??;
        Ok(end)
    }

    async fn hear_news(&mut self, own: &RequestId) -> Result<(), Trouble> {
        // News may have come with the command's first words.
        while !self.news {
            let end = self.next(STAGE, |response| match response {
                Response::Done { .. } => ended(STAGE, own, response).and_then(|()| {
                    let words = "the server ended IDLE without being asked to";
                    Err(Trouble::new(STAGE, Class::Protocol, "idle_ended_early", words))
                }),
                _ => Ok(()),
            });
            end.await??;
        }
        Ok(())
    }
}
