//! IDLE (RFC 2177): news the moment it happens, until DONE.

use super::{
    input::LINE,
    session::{Session, Tagged},
};
use crate::{
    fault::{Fault, Stage},
    meet::End,
};

impl Session {
    pub(super) async fn idle(&mut self) -> Result<Tagged, End> {
        self.wire.send(b"+ idling\r\n").await?;
        let mut changes = self.selected.as_ref().map(|selected| selected.changes.clone());
        let mut faults = self.world.faults.changed();
        loop {
            self.thaw().await;
            self.sync().await?;
            let change = async {
                match &mut changes {
                    Some(changes) => changes.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                line = self.wire.line(LINE) => {
                    let line = line?.ok_or(End::Close)?;
                    let done = line.eq_ignore_ascii_case(b"DONE");
                    return Ok(if done { "OK IDLE completed" } else { "BAD Expected DONE" }.to_owned());
                }
                () = change => {}
                () = faults.changed() => {
                    if let Some(text) = self.bye() {
                        self.send(&format!("* BYE {text}")).await?;
                        return Err(End::Close);
                    }
                }
            }
        }
    }

    /// Says nothing as long as the rules want that.
    async fn thaw(&self) {
        let place = self.world.place(&self.line, self.account.as_deref());
        let frozen = |fault: &Fault| matches!(fault, Fault::Silence | Fault::Gone);
        self.world.faults.healed(&place, Stage::Idle, frozen).await;
    }

    fn bye(&self) -> Option<String> {
        let place = self.world.place(&self.line, self.account.as_deref());
        self.world.faults.find(&place, Stage::Idle, |fault| match fault {
            Fault::Bye { text } => Some(text.clone()),
            _ => None,
        })
    }
}
